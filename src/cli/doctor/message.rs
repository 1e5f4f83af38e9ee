//! What clients say, in both eras: bodies, and the headers that go with them. Pure.

use serde_json::{Map, Value, json};

use crate::mcp::Revision;
use crate::mcp::revision::{Era, newest};

/// The id of every request: each has an answer of its own.
pub const ID: u64 = 1;

/// The members of `_meta` that the modern era's requests carry (MCP, basic, `_meta`).
const META: &str = "io.modelcontextprotocol/";

/// One message, and its protocol headers.
#[derive(Clone, Debug)]
pub struct Message {
    pub body: Value,
    pub headers: Vec<(&'static str, String)>,
}

/// What the handshake agreed on.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub revision: String,
    /// `Mcp-Session-Id`, where the server gave one.
    pub id: Option<String>,
}

/// The revision that the era's requests are made in.
pub fn spoken(era: Era) -> &'static Revision {
    newest(era)
}

fn client_info() -> Value {
    json!({"name": "sidegate-doctor", "version": env!("CARGO_PKG_VERSION")})
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": ID, "method": method, "params": params})
}

/// The first message of the legacy era.
pub fn initialize() -> Message {
    let params = json!({
        "protocolVersion": spoken(Era::Legacy).name,
        "capabilities": {},
        "clientInfo": client_info(),
    });
    Message { body: request("initialize", params), headers: Vec::new() }
}

/// The second.
pub fn initialized(session: &Session) -> Message {
    let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    Message { body, headers: session.headers() }
}

/// A later request of the legacy era.
pub fn legacy(session: &Session, method: &str, params: Value) -> Message {
    Message { body: request(method, params), headers: session.headers() }
}

/// A request of the modern era.
pub fn modern(method: &str, params: Map<String, Value>) -> Message {
    let version = spoken(Era::Modern).name;
    let mut headers = vec![("mcp-protocol-version", version.to_owned()), ("mcp-method", method.to_owned())];
    if let Some(name) = params.get("name").and_then(Value::as_str) {
        headers.push(("mcp-name", name.to_owned()));
    }
    let mut params = params;
    let meta = [
        ("protocolVersion", json!(version)),
        ("clientCapabilities", json!({})),
        ("clientInfo", client_info()),
    ];
    let meta: Map<_, _> = meta.into_iter().map(|(name, value)| (format!("{META}{name}"), value)).collect();
    params.insert("_meta".to_owned(), meta.into());
    Message { body: request(method, params.into()), headers }
}

impl Session {
    /// What goes with everything after the handshake.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("mcp-protocol-version", self.revision.clone())];
        headers.extend(self.id.clone().map(|id| ("mcp-session-id", id)));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::{self, Ask, Headers, Posted};

    fn understood(message: &Message) -> Ask {
        let header = |name: &str| {
            message.headers.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str())
        };
        let headers = Headers {
            protocol_version: header("mcp-protocol-version"),
            method: header("mcp-method"),
            name: header("mcp-name"),
            ..Headers::default()
        };
        match mcp::decode(&headers, message.body.to_string().as_bytes()) {
            Ok(Posted::One(decoded)) => decoded.ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_server_of_this_crate_understands_each_message_in_its_era() {
        let session = Session { revision: newest(Era::Legacy).name.to_owned(), id: Some("s".to_owned()) };
        assert!(matches!(understood(&initialize()), Ask::Initialize { .. }));
        assert!(matches!(understood(&initialized(&session)), Ask::Notice));
        assert!(matches!(understood(&legacy(&session, "tools/list", json!({}))), Ask::ListTools { .. }));
        assert!(matches!(understood(&modern("server/discover", Map::new())), Ask::Discover));
        let call = json!({"name": "a tool", "arguments": {}}).as_object().cloned().unwrap();
        assert!(matches!(understood(&modern("tools/call", call)), Ask::CallTool { .. }));
    }
}
