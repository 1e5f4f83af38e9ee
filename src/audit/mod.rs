//! The door to the record: one [`Event`] a request, secrets taken out, written in order and never lost.
//!
//! It knows nothing of requests beyond the facts it is handed, and not who asks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

mod event;
#[cfg(feature = "server")]
mod index;
mod pipeline;
mod redact;
mod sink;

#[cfg(feature = "server")]
pub use index::{Index, Tap, index};

pub use event::{CallerFacts, ChangeFacts, Event, EventBuilder, Phase, Verdict};
pub use pipeline::Audit;
pub use redact::{REDACTED, RedactionConfig, Redactors, Results, Rules, TenantRedaction};

/// The `[audit]` section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Where records go: the name of a sink, `stdout` or `file`.
    pub sink: String,
    /// The file that the sink `file` appends to; its directory must exist. Empty means not set.
    pub path: PathBuf,
    /// The size at which the file is moved to `<path>.1` and a new one begun.
    pub rotate_size: Size,
    /// How many moved files are kept.
    pub rotate_keep: u32,
    /// Records that may wait to be written before new requests are turned away.
    pub queue: usize,
    /// How long the copy in Sidegate's own tables is kept, by which the admin listener answers; nothing: none is made.
    pub keep: Span,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            sink: "stdout".to_owned(),
            path: PathBuf::new(),
            rotate_size: Size(64 << 20),
            rotate_keep: 10,
            queue: 10_000,
            keep: Span::seconds(30 * 86_400),
        }
    }
}

impl AuditConfig {
    /// Everything that is wrong with the section, as (key, message with the remedy); no I/O.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = match sink::kind(&self.sink) {
            Some(kind) => (kind.problems)(self),
            None => vec![(
                "sink".to_owned(),
                format!("`{}` is not a sink; write one of {}", self.sink, sink::names()),
            )],
        };
        if self.queue == 0 {
            problems.push((
                "queue".to_owned(),
                "0 would turn every request away; write 1 or more, such as 10000".to_owned(),
            ));
        }
        problems
    }
}

/// Why a record is not on its way or not safe.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuditError {
    /// No sink has this name.
    #[error("audit.sink: `{0}` is not a sink; write one of {1}")]
    UnknownSink(String, String),
    /// The sink could not be opened at start.
    #[error("{0}")]
    Open(String),
    /// The record is not known to be written and synced; what depends on it must not happen.
    #[error("the audit record could not be written: {0}")]
    Write(String),
    /// The audit was closed before.
    #[error("the audit is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problems_and_read_back_what_they_write() {
        let config = AuditConfig::default();
        assert_eq!(config.problems(), []);
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<AuditConfig>(written).unwrap(), config);
        assert!(serde_json::from_str::<AuditConfig>(r#"{"sinks": "file"}"#).is_err());
    }

    #[test]
    fn every_problem_is_named_at_once_with_its_key() {
        let config = AuditConfig {
            sink: "file".to_owned(),
            rotate_size: Size(10),
            rotate_keep: 0,
            queue: 0,
            ..AuditConfig::default()
        };
        let keys: Vec<String> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["path", "rotate_size", "rotate_keep", "queue"]);
    }

    #[test]
    fn an_unknown_sink_is_answered_with_the_known_ones() {
        let config = AuditConfig { sink: "syslogd".to_owned(), ..AuditConfig::default() };
        let problems = config.problems();
        assert!(problems[0].1.contains("stdout") && problems[0].1.contains("file"), "{problems:?}");
    }
}
