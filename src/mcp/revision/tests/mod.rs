//! What the revisions promise, seen through `decode` and `encode` alone.

mod batches;
mod eras;
mod golden;
mod legacy;
mod modern;
mod noise;

use serde_json::{Map, Value, json};

use super::{Decoded, Headers, Posted, Rejected, decode};

const MODERN: &str = "2026-07-28";
const NEWEST_LEGACY: &str = "2025-11-25";
/// What a request without a header is taken for.
const ASSUMED: &str = "2025-03-26";
const OLDEST: &str = "2024-11-05";
const LEGACY: [&str; 4] = [NEWEST_LEGACY, "2025-06-18", ASSUMED, OLDEST];

fn version(name: &str) -> Headers<'_> {
    Headers { protocol_version: Some(name), ..Headers::default() }
}

fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// The metadata that a modern request must carry.
fn meta() -> Value {
    json!({ "io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {} })
}

/// A modern request: `params` and the metadata.
fn enveloped(method: &str, params: Value) -> Value {
    let mut params: Map<String, Value> = params.as_object().cloned().unwrap();
    params.insert("_meta".into(), meta());
    request(method, Value::Object(params))
}

/// The headers of a well-behaved modern client.
fn mirror<'a>(method: &'a str, name: Option<&'a str>) -> Headers<'a> {
    Headers { protocol_version: Some(MODERN), method: Some(method), name, ..Headers::default() }
}

fn served(headers: &Headers<'_>, body: &Value) -> Decoded {
    match decode(headers, body.to_string().as_bytes()) {
        Ok(Posted::One(decoded)) => decoded,
        Ok(Posted::Batch(_)) => panic!("{body} was taken for a batch"),
        Err(rejected) => panic!("{body} refused: {rejected:?}"),
    }
}

/// Status and JSON of the answer to a message that must be refused.
fn refused(headers: &Headers<'_>, body: &Value) -> (u16, Value) {
    refused_bytes(headers, body.to_string().as_bytes())
}

fn refused_bytes(headers: &Headers<'_>, body: &[u8]) -> (u16, Value) {
    match decode(headers, body) {
        Ok(decoded) => panic!("{} was served: {decoded:?}", String::from_utf8_lossy(body)),
        Err(rejected) => answer(&rejected),
    }
}

fn answer(rejected: &Rejected) -> (u16, Value) {
    let (status, bytes) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
    (status, serde_json::from_slice(&bytes).unwrap())
}

fn code(answer: &(u16, Value)) -> (u16, i64) {
    (answer.0, answer.1["error"]["code"].as_i64().unwrap())
}
