//! The trait and the table.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::SinkConfig;
use super::{file, http, otlp, stdout, syslog};
use crate::audit::AuditError;
use crate::record::Record;

/// Takes records, in order.
#[async_trait]
pub(in crate::audit) trait Sink: Send {
    /// Returns when the receiver has them all, as far as its protocol can tell.
    ///
    /// After an error the same records, from the first that was not [`taken`](Undelivered::taken), are handed over
    /// again, perhaps by another process. The same holds where the wait is given up: nobody knows then how many were
    /// taken. So a receiver may see a record twice, with the same [`Record::id`], and never one before its
    /// predecessor.
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered>;
}

/// Records that the receiver may not have.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::audit) struct Undelivered {
    /// How many from the first it has.
    pub taken: usize,
    /// For the log; without secrets.
    pub why: String,
}

/// A row of the table.
pub(super) struct Kind {
    /// The value of `kind`.
    pub name: &'static str,
    /// The keys that mean something to it, beside `name` and `kind`.
    pub keys: &'static [&'static str],
    /// What is wrong with these keys, as (key, message with the remedy); no I/O.
    pub problems: fn(&SinkConfig) -> Vec<(String, String)>,
    /// An error names the key and the remedy.
    pub open: fn(&SinkConfig) -> Result<Box<dyn Sink>, String>,
}

static KINDS: [&Kind; 5] = [&stdout::KIND, &file::KIND, &syslog::KIND, &http::KIND, &otlp::KIND];

/// The row of `name`.
pub(super) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}

/// The names of all rows, for a message.
pub(super) fn names() -> String {
    KINDS.map(|kind| kind.name).join(", ")
}

/// Opens the sink that `config` describes. No connection is made before the first record.
///
/// # Errors
/// [`AuditError::Open`] with the sink's name, the key and the remedy.
pub(in crate::audit) fn open(config: &SinkConfig) -> Result<Box<dyn Sink>, AuditError> {
    let open = |kind: &Kind| (kind.open)(config);
    let unknown = || Err(format!("kind: `{}` is not a kind of sink; write one of {}", config.kind, names()));
    kind(&config.kind)
        .map_or_else(unknown, open)
        .map_err(|why| AuditError::Open(format!("the sink `{}`: {why}", config.name())))
}
