//! The door to the record: one [`Event`] a request, secrets taken out, chained, durable before anybody relies on it.
//!
//! It knows nothing of requests beyond the facts it is handed, and not who asks.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::units::{Size, Span};

#[cfg(feature = "server")]
mod carrier;
mod chains;
mod event;
#[cfg(feature = "server")]
mod keeper;
mod ledger;
mod pipeline;
mod redact;
mod sink;

#[cfg(feature = "server")]
pub use carrier::Carrier;
pub use event::{CallerFacts, ChangeFacts, Event, EventBuilder, Phase, Verdict};
#[cfg(feature = "server")]
pub use keeper::Keeper;
pub use pipeline::{Audit, Committed, Recorder};
pub use redact::{REDACTED, RedactionConfig, Redactors, Results, Rules, TenantRedaction};
#[cfg(feature = "server")]
pub use sink::SinkConfig;

/// What must be on the disk before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Every call, reads too: where it cannot be recorded, its answer is withheld.
    All,
    /// Calls that write: the intent before the PSA is called, the outcome before the answer. Reads are on the disk
    /// within [`AuditConfig::flush`], and refused while too many wait.
    #[default]
    Writes,
    /// As `writes`, but reads go on where the record cannot keep up: what is left out is counted, on record too.
    Relaxed,
}

/// The `[audit]` section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// What must be on the disk before it is answered.
    pub durability: Durability,
    /// How long records of which nobody waits may wait for company.
    pub flush: Span,
    /// Records that may wait to be written before new requests are turned away.
    pub queue: usize,
    /// How often the record is signed.
    pub checkpoint: Span,
    /// What it is signed with: 32 random bytes in base64. Empty: a key that whoever came first made, kept in the store.
    pub key: Secret,
    /// How long the record is kept; nothing: for ever.
    pub keep: Span,
    /// How much of it is kept, the oldest going first; nothing: all.
    pub keep_size: Size,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Writes,
            flush: Span::millis(100),
            queue: 10_000,
            checkpoint: Span::seconds(60),
            key: Secret::default(),
            keep: Span::seconds(400 * 86_400),
            keep_size: Size(0),
        }
    }
}

/// The bounds of `flush` and `checkpoint`, in milliseconds.
const FLUSH: std::ops::RangeInclusive<i64> = 1..=10_000;
const CHECKPOINT: std::ops::RangeInclusive<i64> = 1_000..=86_400_000;

impl AuditConfig {
    /// Everything that is wrong with the section, as (key, message with the remedy); no I/O.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String| problems.push((key.to_owned(), message));
        if !FLUSH.contains(&self.flush.as_millis()) {
            problem("flush", format!("{} is out of range; write 1ms to 10s, such as 100ms", self.flush));
        }
        if self.queue == 0 {
            problem("queue", "0 would turn every request away; write 1 or more, such as 10000".to_owned());
        }
        if !CHECKPOINT.contains(&self.checkpoint.as_millis()) {
            problem("checkpoint", format!("{} is out of range; write 1s to 1d, such as 1m", self.checkpoint));
        }
        if !self.key.is_empty()
            && let Err(wrong) = crate::record::Signer::new(&self.key)
        {
            problem("key", wrong);
        }
        problems
    }
}

/// Why a record is not on its way or not safe.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuditError {
    /// The record or a sink could not be opened at start.
    #[error("{0}")]
    Open(String),
    /// The record is not known to be on the disk; what depends on it must not happen.
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
        let config = AuditConfig { key: Secret::new(""), ..AuditConfig::default() };
        assert_eq!(config.problems(), []);
        let written = serde_json::to_string(&AuditConfig::default()).unwrap().replace("[secret]", "");
        assert_eq!(serde_json::from_str::<AuditConfig>(&written).unwrap(), config);
        assert!(serde_json::from_str::<AuditConfig>(r#"{"sink": "file"}"#).is_err());
    }

    #[test]
    fn every_problem_is_named_at_once_with_its_key() {
        let config = AuditConfig {
            flush: Span::seconds(60),
            queue: 0,
            checkpoint: Span::millis(1),
            key: Secret::new("hunter2"),
            ..AuditConfig::default()
        };
        let problems = config.problems();
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["flush", "queue", "checkpoint", "key"]);
        assert!(!format!("{problems:?}").contains("hunter2"));
    }
}
