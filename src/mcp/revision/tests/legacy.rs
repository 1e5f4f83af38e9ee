//! The handshake era.

use serde_json::{Value, json};

use super::{ASSUMED, LEGACY, NEWEST_LEGACY, OLDEST, code, refused, refused_bytes, request, served, version};
use crate::mcp::message::{Ask, CallOptions, ClientInfo, Reply, Welcome};
use crate::mcp::revision::{Headers, OnDisconnect, of_session};
use crate::mcp::rpc::Id;

const NONE: Headers<'static> =
    Headers { protocol_version: None, method: None, name: None, session: None, bare: false, more: None };

fn initialize(requested: &str) -> Value {
    let client = json!({ "name": "agent", "version": "1.2" });
    request("initialize", json!({ "protocolVersion": requested, "capabilities": {}, "clientInfo": client }))
}

#[test]
fn a_listing_is_asked_for_with_a_number_or_a_text_as_id_and_the_id_comes_back() {
    for id in [json!(7), json!(-7), json!("seven"), json!("")] {
        let mut body = request("tools/list", json!({}));
        body["id"] = id.clone();
        let decoded = served(&version(NEWEST_LEGACY), &body);
        assert_eq!(decoded.ask, Ask::ListTools { cursor: None });
        let bytes = decoded.revision.encode(
            decoded.id.as_ref().unwrap(),
            &Reply::Tools(serde_json::value::RawValue::NULL.to_owned().into()),
        );
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["id"], id);
    }
}

#[test]
fn notifications_are_accepted_without_an_answer() {
    for method in ["notifications/initialized", "notifications/cancelled", "notifications/of/strangers"] {
        for headers in [NONE, version(NEWEST_LEGACY)] {
            let decoded = served(&headers, &json!({ "jsonrpc": "2.0", "method": method }));
            assert_eq!((decoded.id, decoded.ask), (None, Ask::Notice), "{method}");
        }
    }
}

#[test]
fn malformed_notifications_get_an_error_status() {
    let bodies = [
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized", "params": 5 }),
        json!({ "jsonrpc": "2.0", "method": 5 }),
        json!({ "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "x" } }),
    ];
    for body in bodies {
        let (status, answer) = refused(&version(NEWEST_LEGACY), &body);
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32600)), "{body}");
        assert_eq!(answer.get("id"), None, "{body}");
    }
}

#[test]
fn a_cancellation_names_the_request_that_it_ends() {
    for (id, request) in [(json!(7), Id::Number(7.into())), (json!("a"), Id::Text("a".into()))] {
        let params = json!({ "requestId": id, "reason": "enough" });
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        assert_eq!(served(&version(NEWEST_LEGACY), &body).ask, Ask::Cancel { request });
    }
}

#[test]
fn answers_to_questions_are_taken_with_their_ids() {
    let result = json!({ "jsonrpc": "2.0", "id": 1, "result": { "a": 1 } });
    let decoded = served(&version(OLDEST), &result);
    let answer = Ask::Answer { id: Some(Id::Number(1.into())), outcome: Ok(json!({ "a": 1 })) };
    assert_eq!((decoded.id, decoded.ask), (None, answer));
    let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -1, "message": "no" } });
    let answer = Ask::Answer { id: None, outcome: Err(json!({ "code": -1, "message": "no" })) };
    assert_eq!(served(&version(NEWEST_LEGACY), &error).ask, answer);
}

#[test]
fn the_handshake_echoes_a_revision_that_is_served() {
    for name in LEGACY {
        let decoded = served(&NONE, &initialize(name));
        assert_eq!(decoded.revision.name, name);
        assert_eq!(decoded.ask, Ask::Initialize { requested: name.into(), capabilities: json!({}) });
        let welcome = Welcome { instructions: "", capabilities: None };
        let bytes = decoded.revision.encode(&Id::Text("a".into()), &Reply::Initialized(welcome));
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer["result"]["protocolVersion"], name);
    }
}

#[test]
fn the_handshake_offers_the_newest_legacy_revision_for_any_other() {
    for name in ["1999-01-01", "2024-10-07", super::MODERN, ""] {
        assert_eq!(served(&NONE, &initialize(name)).revision.name, NEWEST_LEGACY, "{name}");
    }
}

#[test]
fn the_handshake_tells_who_the_client_says_it_is() {
    let decoded = served(&NONE, &initialize(NEWEST_LEGACY));
    assert_eq!(decoded.client, ClientInfo { name: Some("agent".into()), version: Some("1.2".into()) });
    let later = served(&version(NEWEST_LEGACY), &request("ping", json!({ "clientInfo": { "name": "x" } })));
    assert_eq!(later.client, ClientInfo::default(), "only the handshake introduces a client");
}

#[test]
fn a_handshake_without_a_version_is_refused() {
    for params in [json!({}), json!({ "protocolVersion": 20251125 })] {
        assert_eq!(code(&refused(&NONE, &request("initialize", params))), (200, -32602));
    }
}

#[test]
fn an_unsupported_version_header_is_refused_and_the_supported_ones_are_listed() {
    for name in ["1999-01-01", "2024-10-07", "2025-11-25x", "", "DRAFT-2026-v1"] {
        let (status, answer) = refused(&version(name), &request("tools/list", json!({})));
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32600)), "{name}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(LEGACY.iter().all(|supported| message.contains(supported)), "{message}");
    }
    let notice = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(refused(&version("1999-01-01"), &notice).0, 400);
}

#[test]
fn without_a_version_header_the_session_says_the_revision_and_else_the_specification() {
    let listing = request("tools/list", json!({}));
    assert_eq!(served(&NONE, &listing).revision.name, ASSUMED);
    for name in LEGACY {
        let headers = Headers { session: of_session(name), ..NONE };
        assert_eq!(served(&headers, &listing).revision.name, name);
        let told = Headers { protocol_version: Some(NEWEST_LEGACY), ..headers };
        assert_eq!(served(&told, &listing).revision.name, NEWEST_LEGACY);
    }
}

#[test]
fn the_version_header_may_be_padded() {
    assert_eq!(served(&version(" 2025-11-25\t"), &request("ping", json!({}))).revision.name, NEWEST_LEGACY);
}

#[test]
fn ping_is_answered_with_an_empty_object() {
    for name in LEGACY {
        let decoded = served(&version(name), &request("ping", json!({})));
        assert_eq!(decoded.ask, Ask::Ping);
        let answer = decoded.revision.encode(&decoded.id.unwrap(), &Reply::Pong);
        assert_eq!(answer, br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    }
}

#[test]
fn no_request_needs_a_handshake_or_a_session() {
    assert_eq!(
        served(&version(NEWEST_LEGACY), &request("tools/list", json!({}))).ask,
        Ask::ListTools { cursor: None }
    );
}

#[test]
fn what_was_not_declared_is_an_unknown_method_on_200() {
    for method in [
        "logging/setLevel",
        "resources/list",
        "resources/read",
        "resources/subscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "server/discover",
        "tasks/get",
        "no/such",
        "",
        "Tools/List",
    ] {
        let answer = refused(&version(NEWEST_LEGACY), &request(method, json!({})));
        assert_eq!(code(&answer), (200, -32601), "{method}");
        assert_eq!(answer.1["id"], 1);
    }
}

#[test]
fn a_call_has_a_name_and_arguments_that_default_to_none() {
    let decoded = served(&NONE, &request("tools/call", json!({ "name": "nope" })));
    let Ask::CallTool { name, arguments, options } = decoded.ask else { panic!("no call") };
    // Whether the tool exists is not known here; the gate answers with the same fault as below.
    assert_eq!((name.as_str(), arguments, options), ("nope", json!({}), CallOptions::default()));
    let (status, _) = decoded
        .revision
        .encode_fault(decoded.id.as_ref(), &crate::mcp::Fault::InvalidParams("unknown tool: nope".into()));
    assert_eq!(status, 200);
}

#[test]
fn a_malformed_call_is_an_error_that_names_the_member() {
    for (params, member) in [
        (json!({}), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "name": 1 }), "name"),
        (json!({ "name": "x", "arguments": [] }), "arguments"),
        (json!({ "name": "x", "arguments": null }), "arguments"),
        (json!({ "name": "x", "arguments": "{}" }), "arguments"),
        (json!({ "name": "x", "_meta": 1 }), "_meta"),
        (json!({ "name": "x", "_meta": { "progressToken": 1.5 } }), "progressToken"),
        (json!({ "name": "x", "_meta": { "progressToken": null } }), "progressToken"),
        (json!({ "name": "x", "_meta": { "progressToken": [1] } }), "progressToken"),
        (json!({ "name": "x", "_meta": { "sidegate/timeoutMs": 0 } }), "sidegate/timeoutMs"),
        (json!({ "name": "x", "_meta": { "sidegate/timeoutMs": "5s" } }), "sidegate/timeoutMs"),
    ] {
        let answer = refused(&version(NEWEST_LEGACY), &request("tools/call", params.clone()));
        assert_eq!(code(&answer), (200, -32602), "{params}");
        assert!(answer.1["error"]["message"].as_str().unwrap().contains(member), "{params}: {answer:?}");
    }
}

#[test]
fn a_progress_token_is_a_text_or_a_whole_number() {
    for token in [json!("t"), json!(0), json!(-3)] {
        let params = json!({ "name": "x", "_meta": { "progressToken": token } });
        let Ask::CallTool { options, .. } = served(&NONE, &request("tools/call", params)).ask else {
            panic!("no call")
        };
        assert_eq!(options.progress_token, Some(token));
    }
}

#[test]
fn a_client_may_say_how_long_it_waits_and_what_else_it_sends_is_kept() {
    let meta = json!({ "sidegate/timeoutMs": 1500, "traceparent": "00-0" });
    let params = json!({ "name": "x", "_meta": meta, "task": {} });
    let Ask::CallTool { options, .. } = served(&NONE, &request("tools/call", params)).ask else {
        panic!("no call")
    };
    assert_eq!((options.timeout_ms, &options.meta["traceparent"]), (Some(1500), &json!("00-0")));
    assert!(options.more.contains_key("task"));
}

#[test]
fn a_cursor_that_was_never_issued_is_refused() {
    for cursor in [json!("x"), json!(""), json!(1), json!(null)] {
        let answer = refused(&version(NEWEST_LEGACY), &request("tools/list", json!({ "cursor": cursor })));
        assert_eq!(code(&answer), (200, -32602), "{cursor}");
    }
}

#[test]
fn an_unreadable_body_is_answered_in_the_form_of_the_revision() {
    let (status, answer) = refused_bytes(&version(OLDEST), b"{");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32700)));
    assert_eq!(answer.get("id"), Some(&Value::Null));
    // The newest revision's schema knows an absent id and no null.
    let (status, answer) = refused_bytes(&version(NEWEST_LEGACY), b"{");
    assert_eq!((status, answer.get("id")), (400, None));
    let (status, answer) = refused_bytes(&NONE, b"");
    assert_eq!((status, answer.get("id")), (400, Some(&Value::Null)));
}

#[test]
fn leaving_cancels_nothing() {
    for name in LEGACY {
        let decoded = served(&version(name), &request("ping", json!({})));
        assert_eq!(decoded.revision.on_disconnect, OnDisconnect::Detach);
    }
}
