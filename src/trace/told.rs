//! What is told of a request that is over. Plain values: whatever a client chose freely is not among them, so that no
//! attribute grows with it.

use std::time::Duration;

use super::Context;
use crate::clock::Millis;

/// A request that is over.
#[derive(Debug)]
pub struct Told {
    /// Its span.
    pub context: Context,
    /// When it began.
    pub began: Millis,
    /// How long it took.
    pub took: Duration,
    /// Names it on record.
    pub request_id: String,
    /// Whose data it was for.
    pub tenant: String,
    /// Who asked, by the name that an administrator gave.
    pub agent: Option<String>,
    /// In which revision of the protocol.
    pub revision: Option<&'static str>,
    /// What was asked; one of the protocol's names.
    pub method: Option<String>,
    /// The tool that was called; one that is offered.
    pub tool: Option<String>,
    /// The catalogue's entry that was called.
    pub entry: Option<String>,
    /// How it ended; one of [`OUTCOMES`](crate::metrics::OUTCOMES).
    pub outcome: &'static str,
    /// The call to the PSA, where one was made.
    pub call: Option<Call>,
}

/// A call to the PSA.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its span.
    pub context: Context,
    /// From the beginning of the request to that of the call.
    pub after: Duration,
    /// How long it took; until the end of the request where there was no answer.
    pub took: Option<Duration>,
    /// The HTTP method.
    pub verb: &'static str,
    /// The path as the catalogue has it, with names for values: `/api/v1/tickets/{id}`.
    pub path: String,
    /// The status of the answer.
    pub status: Option<u16>,
}
