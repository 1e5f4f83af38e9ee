//! What can be wrong with a message, and the JSON-RPC code it is answered with.
//!
//! The HTTP status is not decided here: the same fault is 404 in one era and 200 in another, so it belongs to the
//! revision's record.

use serde_json::Value;
use thiserror::Error;

/// A message that cannot be served. `Display` is the text sent to the client; it names the field and the remedy.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Fault {
    /// The body is not JSON.
    #[error("parse error: {0}")]
    Parse(String),
    /// JSON, but not one JSON-RPC 2.0 message that the revision allows.
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    /// The method, as the client wrote it (shortened), is not served in this revision.
    #[error("method not found: {0}")]
    MethodNotFound(String),
    /// The method is served, its parameters are wrong; also an unknown tool and an unknown cursor.
    #[error("invalid params: {0}")]
    InvalidParams(String),
    /// There is no such resource. The code is that of [`Fault::InvalidParams`]; the answer's `data` repeats the URI.
    #[error("resource not found; see data.uri")]
    UnknownResource { uri: String },
    /// The metadata that each request must carry is missing or malformed. The code is that of
    /// [`Fault::InvalidParams`]; the HTTP status is not.
    #[error("invalid params: {0}")]
    InvalidEnvelope(String),
    /// A mirrored header is missing, illegible or disagrees with the body.
    #[error("header mismatch: {0}")]
    HeaderMismatch(String),
    /// The claimed revision is not served; the answer's `data` lists those that are.
    #[error("unsupported protocol version {requested:?}; retry with one of data.supported")]
    UnsupportedVersion { requested: String },
    /// The client did not declare what the request needs. `required` is a `ClientCapabilities` object.
    #[error("the request needs a client capability that was not declared; see data.requiredCapabilities")]
    MissingCapability { required: Value },
    /// Our own failure. The text is fixed: nothing from inside reaches the client.
    #[error("internal error")]
    Internal,
}

impl Fault {
    /// The JSON-RPC error code: JSON-RPC 2.0 section 5.1, and the range that MCP reserves from -32020 downwards.
    pub fn code(&self) -> i64 {
        match self {
            Self::Parse(_) => -32700,
            Self::InvalidRequest(_) => -32600,
            Self::MethodNotFound(_) => -32601,
            Self::InvalidParams(_) | Self::UnknownResource { .. } | Self::InvalidEnvelope(_) => -32602,
            Self::Internal => -32603,
            Self::HeaderMismatch(_) => -32020,
            Self::MissingCapability { .. } => -32021,
            Self::UnsupportedVersion { .. } => -32022,
        }
    }

    /// A bounded name for metrics and records.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Parse(_) => "parse",
            Self::InvalidRequest(_) => "invalid_request",
            Self::MethodNotFound(_) => "method_not_found",
            Self::InvalidParams(_) => "invalid_params",
            Self::UnknownResource { .. } => "unknown_resource",
            Self::InvalidEnvelope(_) => "invalid_envelope",
            Self::HeaderMismatch(_) => "header_mismatch",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::MissingCapability { .. } => "missing_capability",
            Self::Internal => "internal",
        }
    }
}

/// At most `limit` characters of a client's text, for echoing it: an answer must not grow with what it refuses.
pub(super) fn clip(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}

/// Characters of a client's text that a fault may repeat.
pub(super) const ECHO: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_counts_characters_and_never_splits_one() {
        assert_eq!(clip("äöü", 2), "äö");
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("", 3), "");
    }

    #[test]
    fn an_internal_fault_says_nothing_about_the_inside() {
        assert_eq!(Fault::Internal.to_string(), "internal error");
    }
}
