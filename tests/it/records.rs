//! What a request leaves behind.

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::support::world::World;

fn legacy(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
}

#[tokio::test]
async fn every_request_that_reached_authentication_leaves_one_event() {
    let world = World::start().await;
    world.get(&world.mcp_url).await;
    world.ask("technician", "tools/list", json!({})).await;
    world.ask("technician", "no/such/method", json!({})).await;
    world.ask("stranger", "tools/list", json!({})).await;
    world.call("reader", "search_api_registry", json!({"query": "tickets"})).await;
    let records = world.records(5).await;
    let seen: Vec<_> = records
        .iter()
        .map(|record| (record["outcome"].as_str().unwrap(), record["reason"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(
        seen,
        [
            ("refused", "missing_token"),
            ("ok", ""),
            ("fault", "method_not_found"),
            ("refused", "not_bound"),
            ("ok", "")
        ]
    );
    for record in &records {
        assert_eq!(record["record"], "event");
        for field in ["time", "request_id", "tenant", "client_address", "phases"] {
            assert!(!record[field].is_null(), "{field} in {record}");
        }
    }
    assert_eq!(world.metric("sidegate_requests_total{outcome=\"ok\"}").await, 2.0);
}

#[tokio::test]
async fn the_event_of_a_call_says_who_did_what_to_which_endpoint_and_how_it_ended() {
    let world = World::start().await;
    let arguments = json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 1}});
    world.call("technician", "call_api_endpoint", arguments.clone()).await;
    let record = world.records(1).await.remove(0);
    for (field, value) in [
        ("agent", json!("technician")),
        ("issuer", json!(world.issuer.issuer)),
        ("subject", json!("demo-technician")),
        ("client_name", json!("the test")),
        ("client_version", json!("1")),
        ("method", json!("tools/call")),
        ("tool", json!("call_api_endpoint")),
        ("entry_id", json!("get-_api_v1_tickets")),
        ("upstream_method", json!("GET")),
        ("upstream_path", json!("/api/v1/tickets?limit=1")),
        ("effect", json!("read")),
        ("decision", json!("allow")),
        ("rule", json!("max_effect")),
        ("upstream_status", json!(200)),
        ("outcome", json!("ok")),
        ("arguments", arguments),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    for field in ["agent_id", "token_id", "revision", "request_bytes", "response_bytes"] {
        assert!(!record[field].is_null(), "{field}");
    }
    for phase in ["authenticate_us", "decode_us", "decide_us", "credential_us", "upstream_us", "total_us"] {
        assert!(record["phases"][phase].is_u64(), "{phase}");
    }
}

#[tokio::test]
async fn a_write_leaves_its_intent_before_and_its_event_after() {
    let world = World::start().await;
    let body = json!({"title": "x", "note": "the password is in here", "password": "hunter2"});
    let arguments = json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": "nope"}, "body": body});
    world.call("technician", "call_api_endpoint", arguments).await;
    let records = world.records(2).await;
    assert_eq!(
        (records[0]["record"].as_str(), records[1]["record"].as_str()),
        (Some("intent"), Some("event"))
    );
    assert_eq!(records[0]["request_id"], records[1]["request_id"]);
    assert_eq!(records[0]["decision"], "allow");
    assert!(records[0]["outcome"].is_null());
    for record in &records {
        assert_eq!(record["arguments"]["body"]["password"], "[redacted]");
        assert!(!record.to_string().contains("hunter2"));
    }
}

/// Holds the store's only right to write until it is dropped.
async fn hold_the_store(world: &World) -> SqliteConnection {
    let url = format!("sqlite://{}/sidegate.db", world.folder.path().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    other
}

#[tokio::test]
async fn a_write_that_cannot_be_recorded_is_not_made() {
    let world = World::start().await;
    let held = hold_the_store(&world).await;
    let arguments =
        json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": "nope"}, "body": {"title": "x"}});
    let refused = world.call("technician", "call_api_endpoint", arguments.clone()).await;
    let read = world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
    held.close().await.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.body["error"], "record_unavailable");
    assert!(!read.is_error(), "reads go on");
    let methods: Vec<_> = world.reached().await.iter().map(|request| request["method"].clone()).collect();
    assert_eq!(methods, ["GET"]);
    // What waited comes on record, and writes go on.
    let later = world.call("technician", "call_api_endpoint", arguments).await;
    assert_eq!(later.status, 200, "{later:?}");
    let records = world.records(5).await;
    let outcomes: Vec<_> = records.iter().filter_map(|record| record["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["refused", "ok", "tool_error"], "{records:?}");
}

#[tokio::test]
async fn where_everything_must_be_durable_a_read_that_is_not_on_record_is_not_answered() {
    let world = World::with("", "[audit]\ndurability = \"all\"").await;
    let read = json!({"entryId": "get-_api_v1_boards"});
    assert_eq!(world.call("technician", "call_api_endpoint", read.clone()).await.status, 200);
    let held = hold_the_store(&world).await;
    let withheld = world.call("technician", "call_api_endpoint", read.clone()).await;
    held.close().await.unwrap();
    assert_eq!((withheld.status, &withheld.body["error"]), (503, &json!("record_unavailable")));
    assert_eq!(world.call("technician", "call_api_endpoint", read).await.status, 200);
    assert_eq!(world.records(3).await.len(), 3);
}

#[tokio::test]
async fn a_legacy_client_is_named_in_the_events_of_its_session() {
    let world = World::start().await;
    let token = world.token("technician");
    let handshake = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "older client", "version": "3"},
    });
    let began = world.post(Some(&token), legacy("initialize", handshake), &[]).await;
    let session = [("mcp-session-id", began.header("mcp-session-id").to_owned())];
    world.post(Some(&token), legacy("tools/list", json!({})), &session).await;
    let records = world.records(2).await;
    for record in &records {
        assert_eq!(
            (record["client_name"].as_str(), record["revision"].as_str()),
            (Some("older client"), Some("2025-06-18"))
        );
    }
}
