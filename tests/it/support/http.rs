//! A client's side of HTTP, MCP's newest revision included.

use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::outbound::{Guard, Limits, Outbound};

use super::wait::PATIENCE;

/// What came back, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The tool result's text.
    pub fn text(&self) -> &str {
        self.body["result"]["content"][0]["text"].as_str().unwrap_or_default()
    }

    pub fn is_error(&self) -> bool {
        self.body["result"]["isError"].as_bool().unwrap_or_default()
    }
}

/// One message of the newest revision.
pub fn modern(method: &str, params: Value) -> (Value, Vec<(&'static str, String)>) {
    let mut params = params;
    for (key, value) in [
        ("protocolVersion", json!(REVISION)),
        ("clientCapabilities", json!({})),
        ("clientInfo", json!({"name": "the test", "version": "1"})),
    ] {
        params["_meta"][format!("io.modelcontextprotocol/{key}")] = value;
    }
    let mut headers = vec![("mcp-protocol-version", REVISION.to_owned()), ("mcp-method", method.to_owned())];
    if let Some(name) = params["name"].as_str() {
        headers.push(("mcp-name", name.to_owned()));
    }
    (json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), headers)
}

const REVISION: &str = "2026-07-28";

const LIMITS: Limits = Limits { deadline: PATIENCE, connect: PATIENCE, body: 64 << 20 };

/// A client's view, whatever the address is.
pub fn client() -> Outbound {
    Outbound::new(Guard::operator_chosen(), LIMITS).expect("a client")
}

/// The same, trusting this CA as well.
pub fn client_trusting(ca: &Path) -> Outbound {
    Outbound::with_ca(Guard::operator_chosen(), LIMITS, Some(ca)).expect("a client")
}

/// Sends any request; a body that is not JSON is shown as a string.
pub async fn send(client: &Outbound, request: http::Request<Bytes>) -> Answer {
    let response = client.send(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// A POST to an MCP endpoint.
pub fn message(
    url: &str,
    token: Option<&str>,
    body: impl Into<Bytes>,
    headers: &[(&str, String)],
) -> http::Request<Bytes> {
    let mut request = http::Request::post(url).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(body.into()).expect("a request")
}

/// A request as HTTP/1.1 writes it, for a connection of the test's own.
pub fn written(request: &http::Request<Bytes>) -> String {
    let (uri, body) = (request.uri(), request.body());
    let authority = uri.authority().expect("an absolute URL");
    let path = uri.path_and_query().expect("a path");
    let mut text = format!("{} {path} HTTP/1.1\r\nhost: {authority}\r\n", request.method());
    for (name, value) in request.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().expect("a text"));
    }
    text + &format!("content-length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(body))
}
