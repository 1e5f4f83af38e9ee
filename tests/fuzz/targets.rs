//! What must hold of any bytes that a stranger sends. Shared by the fuzzer and by the tests that replay its corpora.

use serde_json::Value;
use sidegate::identity::token;
use sidegate::mcp::rpc::{self, MAX_BATCH, Message};
use sidegate::mcp::sse;
use sidegate::mcp::{Headers, Posted, REVISIONS, Rejected, decode};

/// JSON-RPC: any bytes are one message, one batch, or a fault that repeats nothing.
#[allow(dead_code, reason = "each fuzz target uses one of these")]
pub fn rpc(bytes: &[u8]) {
    match rpc::parse(bytes) {
        Ok(message) => {
            let whole: Value = serde_json::from_slice(bytes).expect("what was read is JSON");
            match message {
                Message::Request { id, method, params } => {
                    assert_eq!(serde_json::to_value(&id).expect("an id"), whole["id"]);
                    assert_eq!(
                        (Value::from(method), whole["method"].is_string()),
                        (whole["method"].clone(), true)
                    );
                    assert!(params.is_empty() || whole["params"].is_object());
                }
                Message::Notification { .. } => assert!(whole.get("id").is_none()),
                Message::Response { .. } => assert!(whole.get("method").is_none()),
                Message::Batch(elements) => assert_eq!(whole.as_array().map(Vec::len), Some(elements.len())),
            }
        }
        Err(fault) => assert!(fault.to_string().len() < 300),
    }
}

/// Revision and era: three lines of headers, then a body. An empty line is a header that is not there.
#[allow(dead_code, reason = "each fuzz target uses one of these")]
pub fn negotiation(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line =
        || parts.next().and_then(|line| std::str::from_utf8(line).ok()).filter(|line| !line.is_empty());
    let headers = Headers { protocol_version: line(), method: line(), name: line(), ..Headers::default() };
    match decode(&headers, parts.next().unwrap_or_default()) {
        Ok(Posted::One(decoded)) => {
            assert!(REVISIONS.iter().any(|revision| revision.name == decoded.revision.name));
            assert!(!decoded.ask.method().is_empty());
        }
        Ok(Posted::Batch(messages)) => {
            assert!(!messages.is_empty() && messages.len() <= MAX_BATCH);
            messages.iter().flat_map(|message| message.as_ref().err()).for_each(|rejected| refusal(rejected));
        }
        Err(rejected) => refusal(&rejected),
    }
}

fn refusal(rejected: &Rejected) {
    let (status, answer) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
    let answer: Value = serde_json::from_slice(&answer).expect("a refusal is JSON");
    assert!([200, 400, 404].contains(&status) && answer["error"]["code"].is_i64());
    assert!(answer["error"].to_string().len() < 2_000);
}

/// `Mcp-Name` against a body: a call comes out only where the header, unwrapped, is the name.
#[allow(dead_code, reason = "each fuzz target uses one of these")]
pub fn header(bytes: &[u8]) {
    let Ok(value) = std::str::from_utf8(bytes) else { return };
    let modern = REVISIONS.first().expect("there is one");
    let meta = serde_json::json!({
        "io.modelcontextprotocol/protocolVersion": modern.name, "io.modelcontextprotocol/clientCapabilities": {}
    });
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a tool", "_meta": meta}
    });
    let headers = Headers {
        protocol_version: Some(modern.name),
        method: Some("tools/call"),
        name: Some(value),
        ..Headers::default()
    };
    match decode(&headers, body.to_string().as_bytes()) {
        Ok(_) => {
            let plain = value.trim_matches([' ', '\t']);
            assert!(plain == "a tool" || plain == "=?base64?YSB0b29s?=", "{value:?}");
        }
        Err(rejected) => refusal(&rejected),
    }
}

/// Event streams: a reader of the framed bytes gets the data back, as one event, whatever it holds.
#[allow(dead_code, reason = "each fuzz target uses one of these")]
pub fn sse(bytes: &[u8]) {
    let frame = sse::message(Some("1-2"), Some(500), bytes);
    assert!(frame.ends_with(b"\n\n"));
    let lines: Vec<&[u8]> = frame[..frame.len() - 2].split(|byte| matches!(byte, b'\n' | b'\r')).collect();
    assert!(lines.iter().all(|line| !line.is_empty()), "an empty line would end the event early");
    assert_eq!(lines.iter().filter(|line| line.starts_with(b"id: ")).count(), 1);
    assert!(lines.iter().skip(2).all(|line| line.starts_with(b"data: ")));
    let data: Vec<&[u8]> = lines.iter().filter_map(|line| line.strip_prefix(b"data: ")).collect();
    // The three line ends that the format knows are one and the same to its reader.
    let mut normal = Vec::new();
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        if *byte == b'\r' {
            rest.next_if_eq(&&b'\n');
            normal.push(b'\n');
        } else {
            normal.push(*byte);
        }
    }
    assert_eq!(data.join(&b'\n'), normal);
}

/// Tokens before their signature is checked: any text is refused or names an issuer.
#[allow(dead_code, reason = "each fuzz target uses one of these")]
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match token::peek(text) {
        Ok(peeked) => assert!(!peeked.issuer.is_empty() && text.split('.').count() == 3),
        Err(fault) => assert!(!fault.label().is_empty() && fault.to_string().len() < 500),
    }
}
