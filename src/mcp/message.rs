//! What can be asked and what can be answered, free of any revision.
//!
//! A revision turns its wire form into an [`Ask`] and a [`Reply`] into its wire form; the gate sees only these.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fault::clip;
use super::rpc::Id;

/// What a client says about itself. Not verified: for records, never for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// At most 128 characters.
    pub name: Option<String>,
    /// At most 128 characters.
    pub version: Option<String>,
}

impl ClientInfo {
    /// Reads an `Implementation` object; what is not a text is left out.
    pub(super) fn read(implementation: &Map<String, Value>) -> Self {
        let text = |key: &str| {
            implementation.get(key).and_then(Value::as_str).map(|text| clip(text, 128).to_owned())
        };
        Self { name: text("name"), version: text("version") }
    }
}

/// Where a message stands in its client's trace, as its metadata says (`traceparent`, `tracestate`). Not judged here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traced {
    pub parent: Option<String>,
    pub state: Option<String>,
}

impl Traced {
    /// Reads a message's parameters; what is not a text is left out.
    pub(super) fn read(params: &Map<String, Value>) -> Self {
        let meta = params.get("_meta");
        let text = |key: &str| meta.and_then(|meta| meta.get(key)?.as_str()).map(str::to_owned);
        Self { parent: text("traceparent"), state: text("tracestate") }
    }
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The legacy handshake; `requested` is the revision the client would like to speak.
    Initialize {
        requested: String,
        /// What the client can do, as it says: an object, or null.
        capabilities: Value,
    },
    /// Which revisions and capabilities there are.
    Discover,
    Ping,
    /// `cursor` is always `None` for now: the listing is one page, and a cursor never issued is refused on decoding.
    ListTools {
        cursor: Option<String>,
    },
    CallTool {
        name: String,
        /// Always an object; `{}` where the client sent none.
        arguments: Value,
        options: CallOptions,
    },
    /// A stream of the changes that `wanted` names, until one side ends it.
    Listen {
        wanted: Map<String, Value>,
    },
    /// A request of the same session is no longer wanted.
    Cancel {
        request: Id,
    },
    /// The client's answer to a question that was put to it: a result, or an error object.
    Answer {
        id: Option<Id>,
        outcome: Result<Value, Value>,
    },
    /// Any other notification: accepted, nothing to do.
    Notice,
    /// A request of the protocol beyond those above, where somebody serves it.
    Other {
        method: &'static str,
        params: Map<String, Value>,
    },
}

/// How a tool is to be called, beside its arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallOptions {
    /// A string or a whole number: the client wants to hear of progress under this name.
    pub progress_token: Option<Value>,
    /// The longest the client will wait, in milliseconds: [`TIMEOUT`] in the request's metadata.
    pub timeout_ms: Option<u64>,
    /// The rest of the request's metadata.
    pub meta: Map<String, Value>,
    /// The rest of the request's parameters.
    pub more: Map<String, Value>,
}

/// The metadata key under which a client says how many milliseconds it will wait for a call.
pub const TIMEOUT: &str = "sidegate/timeoutMs";

impl Ask {
    /// The method's name, or `notification`: a bounded label.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Initialize { .. } => "initialize",
            Self::Discover => "server/discover",
            Self::Ping => "ping",
            Self::ListTools { .. } => "tools/list",
            Self::CallTool { .. } => "tools/call",
            Self::Listen { .. } => "subscriptions/listen",
            Self::Cancel { .. } | Self::Answer { .. } | Self::Notice => "notification",
            Self::Other { method, .. } => method,
        }
    }

    /// The tool that a call names; it need not exist.
    pub fn tool(&self) -> Option<&str> {
        match self {
            Self::CallTool { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A tool's result.
#[derive(Debug, Clone)]
pub struct ToolAnswer {
    pub text: String,
    /// The text is JSON, and as such the structured form too.
    pub structured: bool,
    pub is_error: bool,
}

/// What a client is told when it arrives.
#[derive(Debug, Clone)]
pub struct Welcome {
    pub instructions: &'static str,
    /// `ServerCapabilities`, where there is more than tools that never change.
    pub capabilities: Option<Value>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    Initialized(Welcome),
    Discovered(Welcome),
    Pong,
    /// The JSON array of tools, as the revision lists it.
    Tools(Arc<RawValue>),
    Tool(ToolAnswer),
    /// A stream of changes has ended; `stream` is the request that opened it.
    Heard {
        stream: Id,
    },
    /// A whole result object.
    Other(Map<String, Value>),
}

/// Every request method that some revision of the protocol defines, served here or not: the bounded set of names that
/// may stand in a record or a label although the request was refused.
const REQUESTS: &[&str] = &[
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "tasks/list",
    "tasks/result",
];

/// The same name as a constant if it is a request method of the protocol.
pub(super) fn known_request(method: &str) -> Option<&'static str> {
    REQUESTS.iter().copied().find(|known| *known == method)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_cannot_fill_the_record_with_its_name() {
        let long = json!({ "name": "ä".repeat(1000), "version": 7 });
        let info = ClientInfo::read(long.as_object().unwrap());
        assert_eq!(info.name.unwrap().chars().count(), 128);
        assert_eq!(info.version, None);
    }

    #[test]
    fn only_a_call_names_a_tool() {
        let call = Ask::CallTool { name: "x".into(), arguments: json!({}), options: CallOptions::default() };
        assert_eq!(call.tool(), Some("x"));
        assert_eq!(Ask::ListTools { cursor: None }.tool(), None);
    }
}
