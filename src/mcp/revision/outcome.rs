//! The JSON of responses: every member that a result of some revision may have, and the envelope around it.
//!
//! Borrowed and written straight to bytes, since this runs on every call. Which members a result has is the
//! revision's business.

use memchr::memchr2;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::SERVER_NAME;
use crate::mcp::fault::Fault;
use crate::mcp::rpc::Id;

/// A result; what is `None` is not written.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_versions: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_info: Option<ServerInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<&'a RawValue>,
    /// The text of a tool's result; see [`response`].
    #[serde(skip)]
    pub text: Option<&'a str>,
    /// The JSON of its structured form.
    #[serde(skip)]
    pub structured: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_scope: Option<&'static str>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta<'a>>,
}

/// This server, as an `Implementation` object.
#[derive(Serialize)]
pub(super) struct ServerInfo {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    version: &'static str,
}

impl ServerInfo {
    pub(super) const OURS: Self =
        Self { name: SERVER_NAME, title: Some("Sidegate"), version: env!("CARGO_PKG_VERSION") };
    /// For revisions that know no titles.
    pub(super) const UNTITLED: Self = Self { title: None, ..Self::OURS };
}

/// What a result says beside itself.
#[derive(Serialize)]
pub(super) struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    pub server_info: ServerInfo,
    /// The request that opened the stream this belongs to.
    #[serde(rename = "io.modelcontextprotocol/subscriptionId", skip_serializing_if = "Option::is_none")]
    pub subscription: Option<&'a Id>,
}

#[derive(Serialize)]
struct Response<'a, T> {
    jsonrpc: &'static str,
    id: &'a Id,
    result: &'a T,
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Option<&'a Id>>,
    error: Body,
}

#[derive(Serialize)]
struct Body {
    code: i64,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// A successful response. What is long in it is the text of a tool's result, which is put in at the end: its structured
/// form was JSON when it came and is not read again, and most of the text's quotation marks are a few bytes apart.
pub(super) fn response(id: &Id, outcome: &Outcome<'_>) -> Vec<u8> {
    let long = 3 * outcome.text.map_or(0, str::len) + outcome.tools.map_or(0, |tools| tools.get().len());
    let mut written = bytes(&Response { jsonrpc: "2.0", id, result: outcome }, 512 + long);
    let Some(text) = outcome.text else { return written };
    // The end of the result and of the response: `isError` at least stands before it.
    written.truncate(written.len() - "}}".len());
    written.extend_from_slice(b",\"content\":[{\"type\":\"text\",\"text\":\"");
    escape(text, &mut written);
    written.extend_from_slice(b"\"}]");
    if let Some(json) = outcome.structured {
        written.extend_from_slice(b",\"structuredContent\":");
        written.extend_from_slice(json.as_bytes());
    }
    written.extend_from_slice(b"}}");
    written
}

/// Writes `text` as the inside of a JSON string (RFC 8259 section 7).
fn escape(text: &str, to: &mut Vec<u8>) {
    if text.bytes().any(|byte| byte < b' ') {
        let quoted = Value::from(text).to_string();
        return to.extend_from_slice(quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default());
    }
    let mut rest = text.as_bytes();
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let (plain, after) = rest.split_at(at);
        to.extend_from_slice(plain);
        to.push(b'\\');
        to.extend(after.first());
        rest = after.get(1..).unwrap_or_default();
    }
    to.extend_from_slice(rest);
}

/// A successful response whose result came whole.
pub(super) fn whole(id: &Id, result: &Map<String, Value>) -> Vec<u8> {
    bytes(&Response { jsonrpc: "2.0", id, result }, 512)
}

/// A notification, or a request where it has an `id`.
pub(super) fn message(id: Option<&Id>, method: &str, params: &Value) -> Vec<u8> {
    #[derive(Serialize)]
    struct Said<'a> {
        jsonrpc: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
        method: &'a str,
        params: &'a Value,
    }
    bytes(&Said { jsonrpc: "2.0", id, method, params }, 256)
}

/// An error response; `null` says whether an absent id is written as null or left out.
pub(super) fn error(id: Option<&Id>, null: bool, fault: &Fault, data: Option<Value>) -> Vec<u8> {
    let id = match id {
        Some(id) => Some(Some(id)),
        None => null.then_some(None),
    };
    let error = Body { code: fault.code(), message: fault.to_string(), data };
    bytes(&Failure { jsonrpc: "2.0", id, error }, 256)
}

/// An internal error whose reason is fit for the client.
pub(super) fn refusal(id: &Id, reason: &str) -> Vec<u8> {
    let error = Body { code: Fault::Internal.code(), message: reason.to_owned(), data: None };
    bytes(&Failure { jsonrpc: "2.0", id: Some(Some(id)), error }, 256)
}

fn bytes(value: &impl Serialize, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room);
    serde_json::to_writer(&mut out, value)
        .expect("a Vec takes every write, and these types have no map whose keys are not strings");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_escaped_as_json() {
        for text in
            ["", "\"", "\\\"", "{\"a\":\"b\\\\c\"}", "\"ä\"é\u{1f600}\"", "\u{7f}", "\"a\nb\u{1}\"", "plain"]
        {
            let mut written = vec![b'"'];
            escape(text, &mut written);
            written.push(b'"');
            assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        }
    }
}
