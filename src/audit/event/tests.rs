//! What a record shows, what it leaves out and how it is bounded.

use serde_json::json;

use super::arguments::MAX_ARGUMENTS;
use super::fields::PHASES;
use super::*;

mod canonical;

fn json_of(event: Event) -> Value {
    serde_json::from_str(&event.into_facts().body).unwrap()
}

#[test]
fn a_full_record_has_every_field_under_its_name() {
    let mut builder = EventBuilder::new("0198-id", 1_768_000_000_120, Arc::default());
    builder.caller(CallerFacts {
        tenant: "acme",
        agent_id: "a1",
        agent: "triage",
        issuer: "https://idp.example",
        subject: "s1",
        token_id: Some("j1"),
        person: Some("ali\u{7}ce"),
        oauth_client: Some("desk"),
    });
    builder.client(Some("agent\u{7}kit"), Some("1.2"));
    builder.client_address("192.0.2.7".parse().unwrap());
    builder.revision("r1");
    builder.ask("tools/call", Some("call_api_endpoint"));
    builder.bound("get-_api_v1_x", "GET", "/api/v1/x?token=abc&page=2", "read");
    builder.decision(Verdict::Allow, Some("max_effect"));
    builder.upstream(200);
    builder.request_bytes(10);
    builder.response_bytes(20);
    builder.reason("none");
    builder.phase(Phase::Authenticate, Duration::from_micros(5));
    builder.phase(Phase::Credential, Duration::from_micros(7));
    builder.phase(Phase::Credential, Duration::from_micros(3));
    builder.arguments(&json!({"password": "x", "n": 1}));

    let intent = json_of(builder.intent());
    let event = builder.finish("ok", Duration::from_micros(99));
    assert!(!event.is_intent());
    assert_eq!(
        json_of(event),
        json!({
            "record": "event", "time": "2026-01-09T23:06:40.120Z", "request_id": "0198-id", "tenant": "acme",
            "agent_id": "a1", "agent": "triage", "issuer": "https://idp.example", "subject": "s1",
            "token_id": "j1", "person": "alice", "oauth_client": "desk", "client_name": "agentkit", "client_version": "1.2",
            "client_address": "192.0.2.7", "revision": "r1", "method": "tools/call",
            "tool": "call_api_endpoint", "entry_id": "get-_api_v1_x", "upstream_method": "GET",
            "upstream_path": "/api/v1/x?token=[redacted]&page=2", "effect": "read", "decision": "allow",
            "rule": "max_effect", "reason": "none", "upstream_status": 200, "request_bytes": 10,
            "response_bytes": 20,
            "phases": {"authenticate_us": 5, "credential_us": 10, "total_us": 99},
            "outcome": "ok", "arguments": {"password": "[redacted]", "n": 1}
        })
    );
    assert_eq!(intent["record"], "intent");
    assert_eq!(intent["arguments"], json!({"password": "[redacted]", "n": 1}));
    assert!(intent.get("outcome").is_none() && intent["phases"].get("total_us").is_none());
}

#[test]
fn what_is_not_known_is_left_out() {
    let event = EventBuilder::new("id", 1_768_000_000_000, Arc::default()).finish("refused", Duration::ZERO);
    assert_eq!(
        json_of(event),
        json!({
            "record": "event", "time": "2026-01-09T23:06:40.000Z", "request_id": "id",
            "phases": {"total_us": 0}, "outcome": "refused"
        })
    );
}

#[test]
fn the_columns_say_what_the_text_says() {
    let mut builder = EventBuilder::new("0198-id", 7, Arc::default());
    builder.caller(CallerFacts { tenant: "acme", agent_id: "a1", ..CallerFacts::default() });
    builder.ask("tools/call", Some("call_api_endpoint"));
    builder.bound("get-_api_v1_x", "GET", "/api/v1/x", "read");
    builder.decision(Verdict::Allow, Some("max_effect"));
    builder.upstream(404);
    let (intent, event) =
        (builder.intent().into_facts(), builder.finish("tool_error", Duration::ZERO).into_facts());
    assert_eq!((&*intent.kind, &*event.kind), ("intent", "call"));
    for facts in [intent, event] {
        let said: Value = serde_json::from_str(&facts.body).unwrap();
        assert_eq!((facts.tenant.as_str(), facts.at), ("acme", 7));
        assert_eq!(facts.status, Some(404));
        for (column, member) in [
            (facts.agent_id.as_deref(), "agent_id"),
            (facts.tool.as_deref(), "tool"),
            (facts.entry_id.as_deref(), "entry_id"),
            (facts.decision.as_deref(), "decision"),
            (facts.outcome.as_deref(), "outcome"),
            (facts.request_id.as_deref(), "request_id"),
        ] {
            assert_eq!(column, said[member].as_str(), "{member} of an {}", facts.kind);
        }
    }
}

#[test]
fn every_event_has_its_kind() {
    let kind = |set: &dyn Fn(&mut EventBuilder)| {
        let mut builder = EventBuilder::new("id", 0, Arc::default());
        set(&mut builder);
        builder.finish("ok", Duration::ZERO).into_facts().kind
    };
    assert_eq!(kind(&|_| {}), "other");
    assert_eq!(kind(&|event| event.ask("tools/list", None)), "other");
    assert_eq!(kind(&|event| event.ask("tools/call", Some("x"))), "call");
    assert_eq!(kind(&|event| event.decision(Verdict::Refuse, None)), "refusal");
    let refused_call = |event: &mut EventBuilder| {
        event.ask("tools/call", Some("x"));
        event.decision(Verdict::Refuse, None);
    };
    assert_eq!(kind(&refused_call), "refusal");
    let changed = ChangeFacts {
        actor: "ann",
        actor_kind: "admin_token",
        actor_id: None,
        action: "agent.disable",
        target: "a1",
        agent: Some(("a1", "triage")),
        before: None,
        after: Some(&Value::Null),
    };
    assert_eq!(kind(&|event| event.change(changed)), "change");
}

#[test]
fn an_outcome_nobody_declared_is_unknown() {
    let event = EventBuilder::new("id", 0, Arc::default()).finish("made up", Duration::ZERO);
    assert_eq!(json_of(event)["outcome"], "unknown");
}

#[test]
fn texts_of_the_client_are_bounded_and_free_of_control_characters_and_secrets() {
    let mut builder = EventBuilder::new("id", 0, Arc::default());
    builder.client(Some(&"n\u{0}ä".repeat(1 << 16)), Some("Bearer abcdef"));
    builder.ask("tools/call", Some(&format!("tool\r\n{}", "x".repeat(500))));
    let json = json_of(builder.finish("fault", Duration::ZERO));
    let name = json["client_name"].as_str().unwrap();
    assert_eq!(name.chars().count(), 128);
    assert!(name.starts_with("nän") && name.ends_with('…'), "{name}");
    assert_eq!(json["client_version"], "Bearer [redacted]");
    let tool = json["tool"].as_str().unwrap();
    assert!(tool.starts_with("toolxxx") && tool.chars().count() == 128, "{tool}");
}

#[test]
fn long_arguments_become_a_size_and_a_hash() {
    for arguments in [json!({"body": "z".repeat(40_000)}), json!({"list": vec![json!({"n": 1}); 9_000]})] {
        let mut builder = EventBuilder::new("id", 0, Arc::default());
        builder.arguments(&arguments);
        let shown = &json_of(builder.finish("ok", Duration::ZERO))["arguments"];
        assert_eq!(shown["truncated"], true);
        assert_eq!(shown["bytes"], arguments.to_string().len());
        assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn arguments_just_under_the_bound_are_shown_whole() {
    let arguments = json!({"body": "z".repeat(MAX_ARGUMENTS - 20)});
    let mut builder = EventBuilder::new("id", 0, Arc::default());
    builder.arguments(&arguments);
    assert_eq!(json_of(builder.finish("ok", Duration::ZERO))["arguments"], arguments);
}

#[test]
fn debug_shows_no_arguments() {
    let mut builder = EventBuilder::new("id", 0, Arc::default());
    builder.arguments(&json!({"password": "hunter2"}));
    assert_eq!(format!("{:?}", builder.intent()), "Event(intent id)");
}

#[test]
fn the_parts_of_the_way_are_counted_under_the_names_they_are_recorded_by() {
    let counted: Vec<_> = crate::metrics::PHASES.iter().map(|name| format!("{name}_us")).collect();
    assert_eq!(counted, PHASES[..TOTAL]);
    assert_eq!(Phase::Upstream as usize, TOTAL - 1);
}
