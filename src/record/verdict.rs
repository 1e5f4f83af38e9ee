//! Allowed, denied or an error: a record's end in the three words that the PSA's own record of its agents has.

use super::Facts;

/// The statuses with which the PSA itself says that it does not allow something.
const NOT_ALLOWED: [i64; 2] = [401, 403];

impl Facts {
    /// `allow` where it went well; `deny` where the policy, the gate before it, or the PSA did not let it pass; else
    /// `error`. The PSA's own server says `deny` of its 401 and 403 alone, since it leaves no record of what it turned away
    /// before: what was refused is denied here, and no error.
    pub fn verdict(&self) -> &'static str {
        let denied = matches!(self.outcome.as_deref(), Some("denied" | "refused"))
            || self.decision.as_deref() == Some("deny")
            || self.status.is_some_and(|status| NOT_ALLOWED.contains(&status));
        match (self.outcome.as_deref(), denied) {
            (Some("ok"), _) => "allow",
            (_, true) => "deny",
            (_, false) => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_allowed_denied_or_an_error_as_the_psa_tells_them() {
        for (outcome, decision, status, told) in [
            ("ok", "allow", Some(200), "allow"),
            ("denied", "deny", None, "deny"),
            ("refused", "refuse", None, "deny"),
            ("tool_error", "refuse", None, "error"),
            ("fault", "refuse", None, "error"),
            ("tool_error", "allow", Some(401), "deny"),
            ("tool_error", "allow", Some(403), "deny"),
            ("tool_error", "allow", Some(404), "error"),
            ("timeout", "allow", None, "error"),
        ] {
            let facts = Facts {
                outcome: Some(outcome.into()),
                decision: Some(decision.into()),
                status,
                ..Facts::default()
            };
            assert_eq!(facts.verdict(), told, "{outcome} {status:?}");
        }
    }
}
