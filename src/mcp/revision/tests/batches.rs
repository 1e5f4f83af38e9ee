//! Several messages in one body, in the one revision that has that.

use serde_json::{Value, json};

use super::{ASSUMED, LEGACY, MODERN, code, enveloped, mirror, refused, refused_bytes, request, version};
use crate::mcp::message::Ask;
use crate::mcp::revision::{Decoded, Headers, Posted, Rejected, decode, of_session};
use crate::mcp::rpc::{Id, MAX_BATCH};

fn batch(headers: &Headers<'_>, body: &Value) -> Vec<Result<Decoded, Box<Rejected>>> {
    match decode(headers, body.to_string().as_bytes()) {
        Ok(Posted::Batch(messages)) => messages,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn the_messages_of_a_batch_are_read_each_for_itself() {
    let notice =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    let body = json!([
        request("ping", json!({})),
        notice,
        request("nonsense", json!({})),
        { "jsonrpc": "2.0", "id": "s" },
        5,
        request("tools/list", json!({}))
    ]);
    let read = batch(&version(ASSUMED), &body);
    assert_eq!(read.len(), 6);
    assert_eq!(read[0].as_ref().unwrap().ask, Ask::Ping);
    assert_eq!(read[1].as_ref().unwrap().ask, Ask::Cancel { request: Id::Number(7.into()) });
    let codes: Vec<i64> = [2, 3, 4].map(|at: usize| read[at].as_ref().unwrap_err().fault.code()).into();
    assert_eq!(codes, [-32601, -32600, -32600]);
    assert_eq!(read[3].as_ref().unwrap_err().id, Some(Id::Text("s".into())));
    assert!(read.iter().flatten().all(|decoded| decoded.revision.name == ASSUMED));
}

#[test]
fn a_batch_is_taken_where_nothing_says_otherwise_and_where_the_session_has_it() {
    let body = json!([request("ping", json!({}))]);
    assert_eq!(batch(&Headers::default(), &body).len(), 1);
    let session = |name| Headers { session: of_session(name), ..Headers::default() };
    assert_eq!(batch(&session(ASSUMED), &body).len(), 1);
    for name in LEGACY.into_iter().filter(|name| *name != ASSUMED) {
        assert_eq!(code(&refused(&version(name), &body)), (400, -32600), "{name}");
        assert_eq!(code(&refused(&session(name), &body)), (400, -32600), "{name}");
    }
    assert_eq!(code(&refused(&version(MODERN), &body)), (400, -32600));
}

#[test]
fn no_handshake_no_other_batch_and_nothing_modern_hides_in_a_batch() {
    let body = json!([
        request("initialize", json!({ "protocolVersion": ASSUMED })),
        [],
        enveloped("tools/list", json!({}))
    ]);
    let read = batch(&version(ASSUMED), &body);
    assert!(
        read.iter().all(|message| message.as_ref().is_err_and(|rejected| rejected.fault.code() == -32600)),
        "{read:?}"
    );
}

#[test]
fn a_batch_that_is_empty_or_too_long_is_refused_as_a_whole() {
    assert_eq!(code(&refused_bytes(&version(ASSUMED), b"[]")), (400, -32600));
    let of = |count| Value::from(vec![request("ping", json!({})); count]);
    assert_eq!(batch(&version(ASSUMED), &of(MAX_BATCH)).len(), MAX_BATCH);
    let refused = refused(&version(ASSUMED), &of(MAX_BATCH + 1));
    assert!(refused.1["error"]["message"].as_str().unwrap().contains("at most 50"), "{refused:?}");
}

#[test]
fn a_modern_client_with_a_batch_is_told_to_send_one_message() {
    let body = json!([enveloped("tools/list", json!({}))]);
    assert_eq!(code(&refused(&mirror("tools/list", None), &body)), (400, -32600));
}
