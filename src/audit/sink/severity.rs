//! How grave a record is, in the words of those who watch logs (RFC 5424 section 6.2.1, OpenTelemetry's log data model).

use crate::record::Facts;

/// From the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Records were lost.
    Critical,
    /// Nobody knows what came of it, or the PSA could not be asked.
    Error,
    /// Somebody was not allowed, or asked for what there is not.
    Warning,
    /// A change, or a call that the PSA turned down.
    Notice,
    Informational,
}

impl Severity {
    /// By kind and outcome.
    pub fn of(facts: &Facts) -> Self {
        if facts.kind == "lost" {
            return Self::Critical;
        }
        match facts.outcome.as_deref() {
            Some("unknown" | "timeout" | "unavailable") => Self::Error,
            Some("denied" | "refused" | "fault") => Self::Warning,
            Some("tool_error" | "cancelled") => Self::Notice,
            _ if facts.kind == "refusal" => Self::Warning,
            _ if facts.kind == "change" => Self::Notice,
            _ => Self::Informational,
        }
    }

    /// Syslog's number.
    pub fn syslog(self) -> u8 {
        match self {
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Informational => 6,
        }
    }

    /// OpenTelemetry's number, as its data model maps syslog's (appendix B).
    pub fn otel(self) -> i32 {
        match self {
            Self::Critical => 18,
            Self::Error => 17,
            Self::Warning => 13,
            Self::Notice => 10,
            Self::Informational => 9,
        }
    }

    /// What both call it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARN",
            Self::Notice => "NOTICE",
            Self::Informational => "INFO",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_outcome_and_kind() {
        let of = |kind: &'static str, outcome: Option<&'static str>| {
            let facts = Facts { kind: kind.into(), outcome: outcome.map(Into::into), ..Facts::default() };
            Severity::of(&facts).syslog()
        };
        assert_eq!(of("call", Some("ok")), 6);
        assert_eq!(of("intent", None), 6);
        assert_eq!(of("change", Some("ok")), 5);
        assert_eq!(of("call", Some("tool_error")), 5);
        assert_eq!(of("call", Some("denied")), 4);
        assert_eq!(of("refusal", None), 4);
        assert_eq!(of("call", Some("unknown")), 3);
        assert_eq!(of("lost", None), 2);
    }
}
