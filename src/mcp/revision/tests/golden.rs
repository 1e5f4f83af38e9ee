//! Whole answers, byte for byte in meaning: one request and its response for each revision and reply.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{LEGACY, MODERN, enveloped, mirror, request, served, version};
use crate::mcp::message::{Reply, ToolAnswer, Welcome};
use crate::mcp::revision::{Decoded, REVISIONS, Revision, SERVER_NAME, of_session};
use crate::mcp::rpc::Id;

fn result(decoded: &Decoded, reply: &Reply) -> Value {
    let bytes = decoded.revision.encode(decoded.id.as_ref().unwrap(), reply);
    let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(1)));
    assert_eq!(answer.as_object().unwrap().len(), 3);
    answer["result"].take()
}

fn server() -> Value {
    json!({ "name": SERVER_NAME, "title": "Sidegate", "version": env!("CARGO_PKG_VERSION") })
}

fn welcome() -> Welcome {
    Welcome { instructions: "Search first.", capabilities: None }
}

/// What the revisions before titles and structured results leave out.
const EARLY: [&str; 2] = [super::ASSUMED, super::OLDEST];

fn untitled() -> Value {
    json!({ "name": SERVER_NAME, "version": env!("CARGO_PKG_VERSION") })
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn listing() -> Arc<RawValue> {
    Arc::from(raw(&json!([{
        "name": "t", "title": "T", "description": "d", "inputSchema": { "type": "object" },
        "outputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true }
    }])))
}

fn answer(structured: Option<Value>, is_error: bool) -> Reply {
    let text = structured.as_ref().map_or_else(|| "a \"b\"\n\u{1b}".into(), Value::to_string);
    Reply::Tool(ToolAnswer { text, structured: structured.is_some(), is_error })
}

#[test]
fn the_handshake_declares_tools_and_nothing_else() {
    for name in LEGACY {
        let body = request("initialize", json!({ "protocolVersion": name, "capabilities": {} }));
        let decoded = served(&super::Headers::default(), &body);
        assert_eq!(
            result(&decoded, &Reply::Initialized(welcome())),
            json!({
                "protocolVersion": name,
                "capabilities": { "tools": { "listChanged": false } },
                "serverInfo": if EARLY.contains(&name) { untitled() } else { server() },
                "instructions": "Search first."
            })
        );
    }
}

#[test]
fn discovery_lists_the_modern_revisions_and_may_be_cached() {
    let decoded = served(&mirror("server/discover", None), &enveloped("server/discover", json!({})));
    assert_eq!(
        result(&decoded, &Reply::Discovered(welcome())),
        json!({
            "resultType": "complete",
            "supportedVersions": [MODERN],
            "capabilities": { "tools": {} },
            "instructions": "Search first.",
            "ttlMs": 300000,
            "cacheScope": "public",
            "_meta": { "io.modelcontextprotocol/serverInfo": server() }
        })
    );
}

#[test]
fn the_listing_passes_through_as_it_is() {
    let reply = Reply::Tools(listing());
    for name in LEGACY {
        let decoded = served(&version(name), &request("tools/list", json!({})));
        assert_eq!(result(&decoded, &reply), json!({ "tools": *listing() }));
    }
    let decoded = served(&mirror("tools/list", None), &enveloped("tools/list", json!({})));
    assert_eq!(
        result(&decoded, &reply),
        json!({
            "resultType": "complete",
            "tools": *listing(),
            "ttlMs": 300000,
            "cacheScope": "public",
            "_meta": { "io.modelcontextprotocol/serverInfo": server() }
        })
    );
}

#[test]
fn a_hundred_listings_are_the_same_bytes() {
    for revision in REVISIONS {
        let first = revision.encode(&Id::Text("i".into()), &Reply::Tools(listing()));
        for _ in 0..100 {
            assert_eq!(revision.encode(&Id::Text("i".into()), &Reply::Tools(listing())), first);
        }
    }
}

#[test]
fn a_tool_result_has_text_and_the_same_as_structure() {
    let written = |text: &str| json!([{ "type": "text", "text": text }]);
    for name in LEGACY {
        let decoded = served(&version(name), &request("tools/call", json!({ "name": "t" })));
        let mut structured = json!({ "content": written(r#"{"a":1}"#), "isError": false });
        if !EARLY.contains(&name) {
            structured["structuredContent"] = json!({ "a": 1 });
        }
        assert_eq!(result(&decoded, &answer(Some(json!({ "a": 1 })), false)), structured);
        let unstructured = |text: &str| json!({ "content": written(text), "isError": true });
        assert_eq!(result(&decoded, &answer(None, true)), unstructured("a \"b\"\n\u{1b}"));
        assert_eq!(result(&decoded, &answer(Some(json!([1])), true)), unstructured("[1]"), "only objects");
    }
    let decoded = served(&mirror("tools/call", Some("t")), &enveloped("tools/call", json!({ "name": "t" })));
    assert_eq!(
        result(&decoded, &answer(Some(json!({ "a": 1 })), true)),
        json!({
            "resultType": "complete",
            "content": written(r#"{"a":1}"#),
            "structuredContent": { "a": 1 },
            "isError": true,
            "_meta": { "io.modelcontextprotocol/serverInfo": server() }
        })
    );
}

#[test]
fn a_reply_that_a_revision_does_not_know_is_an_internal_error() {
    for revision in REVISIONS {
        let unknown = if revision.name == MODERN {
            Reply::Initialized(welcome())
        } else {
            Reply::Discovered(welcome())
        };
        let bytes = revision.encode(&Id::Text("i".into()), &unknown);
        let error: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            error,
            json!({ "jsonrpc": "2.0", "id": "i", "error": { "code": -32603, "message": "internal error" } })
        );
    }
}

#[test]
fn an_error_looks_as_the_specification_shows_it() {
    let body = enveloped("tools/call", json!({ "name": "bar" }));
    assert_eq!(
        super::refused(&mirror("tools/call", Some("foo")), &body),
        (
            400,
            json!({ "jsonrpc": "2.0", "id": 1, "error": {
                "code": -32020,
                "message": "header mismatch: Mcp-Name is \"foo\" but the body says \"bar\""
            } })
        )
    );
}

#[test]
fn each_revision_lists_of_a_tool_what_it_knows() {
    let listing: Value = serde_json::from_str(listing().get()).unwrap();
    let members = |revision: &Revision| -> Vec<String> {
        revision.listing(&listing)[0].as_object().unwrap().keys().cloned().collect()
    };
    let of = |name| members(of_session(name).unwrap());
    assert_eq!(of(super::OLDEST), ["description", "inputSchema", "name"]);
    assert_eq!(of(super::ASSUMED), ["annotations", "description", "inputSchema", "name"]);
    for revision in REVISIONS.iter().filter(|revision| !EARLY.contains(&revision.name)) {
        assert_eq!(revision.listing(&listing), listing, "{}", revision.name);
    }
}

#[test]
fn a_whole_result_gets_what_the_revisions_results_say_of_themselves_and_keeps_its_own() {
    let own = |result: Value| Reply::Other(result.as_object().cloned().unwrap());
    let decoded = served(&version(super::OLDEST), &request("ping", json!({})));
    assert_eq!(result(&decoded, &own(json!({ "a": 1 }))), json!({ "a": 1 }));
    let decoded = served(&mirror("tools/list", None), &enveloped("tools/list", json!({})));
    let meta = json!({ "io.modelcontextprotocol/serverInfo": server() });
    assert_eq!(
        result(&decoded, &own(json!({ "a": 1 }))),
        json!({ "a": 1, "resultType": "complete", "_meta": meta })
    );
    let asked = json!({ "resultType": "input_required", "requestState": "s", "_meta": meta });
    assert_eq!(result(&decoded, &own(asked.clone())), asked);
}

#[test]
fn the_end_of_a_stream_of_changes_names_the_stream() {
    let decoded = served(&mirror("tools/list", None), &enveloped("tools/list", json!({})));
    let meta = json!({
        "io.modelcontextprotocol/serverInfo": server(), "io.modelcontextprotocol/subscriptionId": "s"
    });
    let ended = Reply::Heard { stream: Id::Text("s".into()) };
    assert_eq!(result(&decoded, &ended), json!({ "resultType": "complete", "_meta": meta }));
}

#[test]
fn no_answer_speaks_of_sessions_or_of_requests_to_the_client() {
    for revision in REVISIONS {
        for reply in [answer(None, false), Reply::Tools(listing())] {
            let bytes = revision.encode(&Id::Text("i".into()), &reply);
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(answer.get("method").is_none() && !answer.to_string().contains("ession"));
        }
    }
}
