//! The era of requests that carry their own metadata.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{MODERN, code, enveloped, meta, mirror, refused, refused_bytes, request, served, version};
use crate::mcp::fault::Fault;
use crate::mcp::message::{Ask, CallOptions, ClientInfo};
use crate::mcp::revision::{Headers, OnDisconnect};

fn call(name: &str) -> Value {
    enveloped("tools/call", json!({ "name": name, "arguments": { "a": 1 } }))
}

#[test]
fn discovery_listing_and_calls_are_served() {
    let ask = |method, name, body: &Value| served(&mirror(method, name), body).ask;
    assert_eq!(ask("server/discover", None, &enveloped("server/discover", json!({}))), Ask::Discover);
    assert_eq!(ask("tools/list", None, &enveloped("tools/list", json!({}))), Ask::ListTools { cursor: None });
    let meta = meta().as_object().cloned().unwrap();
    let options = CallOptions { meta, ..CallOptions::default() };
    let expected = Ask::CallTool { name: "t".into(), arguments: json!({ "a": 1 }), options };
    assert_eq!(ask("tools/call", Some("t"), &call("t")), expected);
}

#[test]
fn each_missing_or_malformed_piece_of_metadata_is_refused_with_400() {
    let mut cases: Vec<(Value, &str)> = vec![
        (json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }), "_meta"),
        (request("tools/list", json!({})), "_meta"),
        (request("tools/list", json!({ "_meta": 5 })), "_meta"),
        (request("tools/list", json!({ "_meta": {} })), "protocolVersion"),
    ];
    for (key, value) in [
        ("io.modelcontextprotocol/protocolVersion", None),
        ("io.modelcontextprotocol/protocolVersion", Some(json!(20260728))),
        ("io.modelcontextprotocol/protocolVersion", Some(Value::Null)),
        ("io.modelcontextprotocol/clientCapabilities", None),
        ("io.modelcontextprotocol/clientCapabilities", Some(Value::Null)),
        ("io.modelcontextprotocol/clientCapabilities", Some(json!([]))),
        ("io.modelcontextprotocol/clientInfo", Some(json!("name"))),
    ] {
        let mut meta = meta();
        match value {
            Some(value) => meta[key] = value,
            None => drop(meta.as_object_mut().unwrap().remove(key)),
        }
        cases.push((request("tools/list", json!({ "_meta": meta })), key));
    }
    for (body, member) in cases {
        let answer = refused(&mirror("tools/list", None), &body);
        assert_eq!(code(&answer), (400, -32602), "{body}");
        assert_eq!(answer.1["id"], 1);
        assert!(answer.1["error"]["message"].as_str().unwrap().contains(member), "{answer:?}");
    }
}

#[test]
fn the_client_need_not_say_who_it_is() {
    let body = enveloped("tools/list", json!({}));
    assert_eq!(served(&mirror("tools/list", None), &body).client, ClientInfo::default());
    let mut body = body;
    body["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] =
        json!({ "name": "agent", "version": "1" });
    let expected = ClientInfo { name: Some("agent".into()), version: Some("1".into()) };
    assert_eq!(served(&mirror("tools/list", None), &body).client, expected);
}

#[test]
fn a_version_header_that_differs_or_is_missing_is_refused() {
    let body = enveloped("tools/list", json!({}));
    for header in [None, Some("2025-11-25"), Some("1900-01-01"), Some("")] {
        let headers = Headers { protocol_version: header, ..mirror("tools/list", None) };
        assert_eq!(code(&refused(&headers, &body)), (400, -32020), "{header:?}");
    }
}

#[test]
fn an_unsupported_version_is_refused_with_what_is_supported_and_what_was_asked() {
    for claimed in ["1900-01-01", "2025-11-25", "2099-01-01", ""] {
        let mut body = enveloped("server/discover", json!({}));
        body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(claimed);
        for header in [Some(claimed), None] {
            let headers =
                Headers { protocol_version: header, method: None, name: None, ..Headers::default() };
            let answer = refused(&headers, &body);
            assert_eq!(code(&answer), (400, -32022), "{claimed}");
            assert_eq!(answer.1["error"]["data"], json!({ "supported": [MODERN], "requested": claimed }));
        }
    }
}

#[test]
fn the_method_header_must_be_there_and_be_the_same_to_the_letter() {
    let body = enveloped("tools/list", json!({}));
    for header in
        [None, Some("tools/call"), Some("Tools/List"), Some(""), Some("=?base64?dG9vbHMvbGlzdA==?=")]
    {
        let headers = Headers { method: header, ..version(MODERN) };
        assert_eq!(code(&refused(&headers, &body)), (400, -32020), "{header:?}");
    }
}

#[test]
fn the_name_header_must_be_there_and_be_the_same() {
    for name in [None, Some("other"), Some("T"), Some("")] {
        assert_eq!(code(&refused(&mirror("tools/call", name), &call("t"))), (400, -32020), "{name:?}");
    }
    for (method, key) in [("prompts/get", "name"), ("resources/read", "uri")] {
        let body = enveloped(method, json!({ key: "x" }));
        assert_eq!(code(&refused(&mirror(method, None), &body)), (400, -32020), "{method}");
        assert_eq!(code(&refused(&mirror(method, Some("x")), &body)), (404, -32601), "{method}");
    }
}

#[test]
fn a_name_that_a_header_cannot_carry_comes_in_base64() {
    for name in ["плата", " padded ", "=?base64?literal?=", "plain"] {
        let wrapped = format!("=?base64?{}?=", STANDARD.encode(name));
        let decoded = served(&mirror("tools/call", Some(&wrapped)), &call(name));
        assert_eq!(decoded.ask.tool(), Some(name));
    }
    for broken in ["=?base64?!!?=", "=?base64?/w==?=", "=?BASE64?dA==?="] {
        assert_eq!(
            code(&refused(&mirror("tools/call", Some(broken)), &call("t"))),
            (400, -32020),
            "{broken}"
        );
    }
    assert_eq!(code(&refused(&mirror("tools/call", Some("ü")), &call("ü"))), (400, -32020), "bare non-ASCII");
}

#[test]
fn a_call_without_a_name_is_a_matter_of_parameters() {
    for header in [None, Some("t")] {
        let answer = refused(&mirror("tools/call", header), &enveloped("tools/call", json!({})));
        assert_eq!(code(&answer), (200, -32602), "{header:?}");
    }
}

#[test]
fn white_space_around_header_values_is_trimmed() {
    let headers = Headers {
        protocol_version: Some(" 2026-07-28 "),
        method: Some("\ttools/call"),
        name: Some(" t\t"),
        ..Headers::default()
    };
    assert_eq!(served(&headers, &call("t")).ask.tool(), Some("t"));
}

#[test]
fn unknown_and_removed_methods_are_404_with_the_id() {
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "resources/list",
        "prompts/list",
        "tasks/get",
        "no/such",
    ] {
        let answer = refused(&mirror(method, None), &enveloped(method, json!({})));
        assert_eq!(code(&answer), (404, -32601), "{method}");
        assert_eq!(answer.1["id"], 1, "{method}");
    }
}

#[test]
fn the_first_check_that_fails_answers() {
    // Everything is wrong at once; each repair lets the next error through.
    let mut body =
        request("no/such", json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "1900-01-01" } }));
    let mut headers = Headers {
        protocol_version: Some(MODERN),
        method: Some("tools/list"),
        name: None,
        ..Headers::default()
    };
    assert_eq!(code(&refused(&headers, &body)), (400, -32602));
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    assert_eq!(code(&refused(&headers, &body)), (400, -32020));
    headers.protocol_version = Some("1900-01-01");
    assert_eq!(code(&refused(&headers, &body)), (400, -32020), "the method header still differs");
    headers.method = None;
    assert_eq!(code(&refused(&headers, &body)), (400, -32022));
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    headers.protocol_version = Some(MODERN);
    assert_eq!(code(&refused(&headers, &body)), (400, -32020), "the method header is missing");
    headers.method = Some("no/such");
    assert_eq!(code(&refused(&headers, &body)), (404, -32601));
}

#[test]
fn a_bad_cursor_and_a_malformed_call_are_answered_on_200() {
    let answer = refused(&mirror("tools/list", None), &enveloped("tools/list", json!({ "cursor": "x" })));
    assert_eq!(code(&answer), (200, -32602));
    let body = enveloped("tools/call", json!({ "name": "t", "arguments": 1 }));
    assert_eq!(code(&refused(&mirror("tools/call", Some("t")), &body)), (200, -32602));
    let decoded = served(&mirror("tools/call", Some("nope")), &call("nope"));
    let fault = Fault::InvalidParams("unknown tool: nope".into());
    assert_eq!(decoded.revision.encode_fault(decoded.id.as_ref(), &fault).0, 200);
}

#[test]
fn a_progress_token_stands_beside_the_metadata() {
    let mut body = call("t");
    body["params"]["_meta"]["progressToken"] = json!("p");
    let Ask::CallTool { options, .. } = served(&mirror("tools/call", Some("t")), &body).ask else {
        panic!("no call")
    };
    assert_eq!(options.progress_token, Some(json!("p")));
}

#[test]
fn notifications_need_no_metadata_and_no_headers_beyond_the_version() {
    let bare = json!({ "jsonrpc": "2.0", "method": "notifications/x" });
    let claiming = json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": { "_meta": meta() } });
    for (headers, body) in [
        (version(MODERN), &bare),
        (mirror("notifications/x", None), &bare),
        (version(MODERN), &claiming),
        (Headers::default(), &claiming),
    ] {
        let decoded = served(&headers, body);
        assert_eq!((decoded.revision.name, decoded.id, decoded.ask), (MODERN, None, Ask::Notice), "{body}");
    }
}

#[test]
fn notifications_that_contradict_themselves_are_refused_without_an_id() {
    let notice =
        |meta: Value| json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": { "_meta": meta } });
    let claim = |version: Value| notice(json!({ "io.modelcontextprotocol/protocolVersion": version }));
    for (headers, body, expected) in [
        (mirror("notifications/y", None), json!({ "jsonrpc": "2.0", "method": "notifications/x" }), -32020),
        (mirror("notifications/y", None), claim(json!(MODERN)), -32020),
        (version("2025-11-25"), claim(json!(MODERN)), -32020),
        (version(MODERN), claim(json!(5)), -32602),
        (Headers::default(), claim(json!("1900-01-01")), -32022),
        (version(MODERN), json!({ "jsonrpc": "2.0", "method": "tools/list" }), -32600),
        (version(MODERN), json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": [] }), -32600),
    ] {
        let (status, answer) = refused(&headers, &body);
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(expected)), "{body}");
        assert_eq!(answer.get("id"), None, "{body}");
    }
}

#[test]
fn batches_null_ids_responses_and_garbage_are_refused() {
    let with_null =
        json!({ "jsonrpc": "2.0", "id": null, "method": "tools/list", "params": { "_meta": meta() } });
    for body in [
        json!([enveloped("tools/list", json!({}))]),
        json!([]),
        with_null,
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
        json!("text"),
    ] {
        assert_eq!(code(&refused(&version(MODERN), &body)), (400, -32600), "{body}");
    }
    let (status, answer) = refused_bytes(&version(MODERN), b"{\"jsonrpc\"");
    assert_eq!((status, &answer["error"]["code"], answer.get("id")), (400, &json!(-32700), None));
}

#[test]
fn an_undeclared_capability_is_answered_with_what_is_needed() {
    let decoded = served(&mirror("tools/call", Some("t")), &call("t"));
    let fault = Fault::MissingCapability { required: json!({ "elicitation": {} }) };
    let (status, bytes) = decoded.revision.encode_fault(decoded.id.as_ref(), &fault);
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32021)));
    assert_eq!(answer["error"]["data"], json!({ "requiredCapabilities": { "elicitation": {} } }));
}

#[test]
fn leaving_cancels() {
    let decoded = served(&mirror("tools/call", Some("t")), &call("t"));
    assert_eq!(decoded.revision.on_disconnect, OnDisconnect::Cancel);
}

#[test]
fn a_stream_of_changes_is_asked_for_by_name() {
    let asked = |params| enveloped("subscriptions/listen", params);
    let headers = mirror("subscriptions/listen", None);
    let decoded = served(&headers, &asked(json!({ "notifications": { "toolsListChanged": true } })));
    let wanted = json!({ "toolsListChanged": true }).as_object().cloned().unwrap();
    assert_eq!(decoded.ask, Ask::Listen { wanted });
    for params in [json!({}), json!({ "notifications": [] })] {
        assert_eq!(code(&refused(&headers, &asked(params))), (200, -32602));
    }
}

#[test]
fn a_transport_without_headers_needs_none_and_keeps_the_rest_of_the_rules() {
    let bare = Headers { bare: true, ..Headers::default() };
    assert_eq!(served(&bare, &call("t")).revision.name, MODERN);
    let mut unknown = call("t");
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("1900-01-01");
    assert_eq!(code(&refused(&bare, &unknown)).1, -32022);
}
