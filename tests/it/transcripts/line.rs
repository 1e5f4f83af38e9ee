//! One line of a transcript: what the client does, and what comes of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub conversation: String,
    /// Whose token goes along.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Closes the agent's stream first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hangs_up: bool,
    pub request: Request,
    /// Leaves once the PSA has the call; nothing comes back then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub leaves: bool,
    /// Of a response that does not end: how many events are read before the client leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<usize>,
    /// Does not leave it: answers to what the agent sends from now on come there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stays: bool,
    /// Said once the PSA has the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meanwhile: Option<Request>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meanwhile_response: Option<Response>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// What became of a call that was called off, at the PSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
}

/// `{session}`, `{messages}` and `{ticket}` stand for the agent's session, for where its messages go, and for a ticket's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The body where it is not to be JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    /// JSON; the list of its events for a stream; a string for anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The events that came on the agent's stream up to the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Vec<Value>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
