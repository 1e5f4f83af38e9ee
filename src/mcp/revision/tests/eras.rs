//! Both eras on one address, and what holds for every row of the table.

use serde_json::{Value, json};

use super::{
    LEGACY, MODERN, NEWEST_LEGACY, code, enveloped, meta, mirror, refused, request, served, version,
};
use crate::mcp::fault::Fault;
use crate::mcp::revision::{Era, Headers, Posted, REVISIONS, decode};
use crate::mcp::rpc::Id;

#[test]
fn the_table_is_newest_first_and_has_both_eras() {
    assert!(REVISIONS.is_sorted_by(|newer, older| newer.name > older.name));
    assert!(REVISIONS.iter().any(|revision| revision.era == Era::Legacy));
    assert!(REVISIONS.iter().any(|revision| revision.era == Era::Modern));
}

#[test]
fn the_claim_decides_request_by_request() {
    let modern = enveloped("tools/list", json!({}));
    let legacy = request("tools/list", json!({}));
    for _ in 0..2 {
        assert_eq!(served(&mirror("tools/list", None), &modern).revision.name, MODERN);
        for name in LEGACY {
            assert_eq!(served(&version(name), &legacy).revision.name, name);
        }
    }
}

#[test]
fn a_handshake_with_a_claim_is_an_unknown_method_and_without_one_a_handshake() {
    let handshake = json!({ "protocolVersion": NEWEST_LEGACY, "capabilities": {} });
    assert_eq!(
        served(&Headers::default(), &request("initialize", handshake.clone())).revision.name,
        NEWEST_LEGACY
    );
    let claimed = enveloped("initialize", handshake);
    assert_eq!(code(&refused(&mirror("initialize", None), &claimed)), (404, -32601));
}

#[test]
fn a_legacy_revision_cannot_be_claimed_in_the_metadata() {
    let mut body = enveloped("tools/list", json!({}));
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(NEWEST_LEGACY);
    let headers = Headers { method: Some("tools/list"), ..version(NEWEST_LEGACY) };
    assert_eq!(code(&refused(&headers, &body)), (400, -32022));
}

#[test]
fn a_modern_header_without_metadata_is_never_served_as_legacy() {
    for method in ["tools/list", "ping", "initialize"] {
        let body = request(method, json!({ "protocolVersion": MODERN }));
        assert_eq!(code(&refused(&mirror(method, None), &body)), (400, -32602), "{method}");
    }
}

#[test]
fn mirrored_headers_mean_nothing_to_a_legacy_request() {
    let headers = Headers {
        protocol_version: Some(NEWEST_LEGACY),
        method: Some("tools/call"),
        name: Some("x"),
        ..Headers::default()
    };
    assert_eq!(served(&headers, &request("ping", json!({}))).ask.method(), "ping");
}

#[test]
fn other_metadata_does_not_make_a_request_modern() {
    let params = json!({ "name": "x", "_meta": { "progressToken": 1, "traceparent": "00-0" } });
    assert_eq!(served(&version(NEWEST_LEGACY), &request("tools/call", params)).revision.name, NEWEST_LEGACY);
}

#[test]
fn a_record_never_holds_a_method_name_of_the_clients_invention() {
    let refused =
        |method: &str| decode(&version(NEWEST_LEGACY), request(method, json!({})).to_string().as_bytes());
    assert_eq!(refused("prompts/list").unwrap_err().method.as_deref(), Some("prompts/list"));
    assert_eq!(refused("prompts/list\u{1b}").unwrap_err().method, None);
}

#[test]
fn what_a_refusal_repeats_is_short() {
    let long = "x".repeat(100_000);
    let mut claimed = enveloped("tools/list", json!({}));
    claimed["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(long);
    for (headers, body) in [
        (version(NEWEST_LEGACY), request(&long, json!({}))),
        (version(&long), request("ping", json!({}))),
        (mirror(&long, None), enveloped("tools/list", json!({}))),
        (Headers::default(), claimed),
        (mirror("tools/call", Some("t")), enveloped("tools/call", json!({ "name": long }))),
    ] {
        assert!(refused(&headers, &body).1.to_string().len() < 600);
    }
}

#[test]
fn no_code_is_of_the_legacy_range_or_undefined() {
    let faults = [
        Fault::Parse(String::new()),
        Fault::InvalidRequest(String::new()),
        Fault::MethodNotFound(String::new()),
        Fault::InvalidParams(String::new()),
        Fault::InvalidEnvelope(String::new()),
        Fault::HeaderMismatch(String::new()),
        Fault::UnsupportedVersion { requested: String::new() },
        Fault::MissingCapability { required: json!({}) },
        Fault::Internal,
    ];
    for revision in REVISIONS {
        for fault in &faults {
            let (status, bytes) = revision.encode_fault(Some(&Id::Text("i".into())), fault);
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            let code = answer["error"]["code"].as_i64().unwrap();
            assert!((-32022..=-32020).contains(&code) || (-32603..=-32600).contains(&code) || code == -32700);
            assert!([200, 400, 404].contains(&status));
            assert_eq!(answer["id"], "i");
            let (nameless, _) = revision.encode_fault(None, fault);
            assert!(nameless >= 400, "{} {fault:?}", revision.name);
        }
    }
}

#[test]
fn repeated_members_and_deep_arguments_are_refused_or_read_but_never_panic() {
    let twice = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","name":"b","_meta":{}}}}}"#,
        meta()
    );
    // The last one counts, for the check against the header as for the call.
    assert!(decode(&mirror("tools/call", Some("a")), twice.as_bytes()).is_err());
    let Ok(Posted::One(decoded)) = decode(&mirror("tools/call", Some("b")), twice.as_bytes()) else {
        panic!("not one message")
    };
    assert_eq!(decoded.ask.tool(), Some("b"));
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","arguments":{}1{}}}}}"#,
        r#"{"a":"#.repeat(100),
        "}".repeat(100)
    );
    assert_eq!(code(&super::refused_bytes(&version(NEWEST_LEGACY), deep.as_bytes())), (400, -32600));
    let huge = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"n":123456789012345678901234567890}}}"#;
    assert!(decode(&version(NEWEST_LEGACY), huge.as_bytes()).is_ok());
}
