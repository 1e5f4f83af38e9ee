//! How long a call may take: the least of what its client, its endpoint, its agent and the server allow.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::conversation::{Conversation, request, slow};
use crate::support::world::World;

/// A slow call by the agent that the configuration names last.
async fn end_of(world: &World, client: Option<u64>) -> (Duration, bool) {
    let mut params = slow(20_000);
    if let Some(milliseconds) = client {
        params["_meta"] = json!({"sidegate/timeoutMs": milliseconds});
    }
    let session = Conversation::begin(world, "reader", "2025-11-25").await;
    let began = Instant::now();
    let answer = session.say(&request(1, "tools/call", params)).await;
    let took = began.elapsed();
    assert!(answer.is_error(), "{answer:?}");
    let record = world.records(2).await.pop().unwrap();
    assert_eq!(record["outcome"], "timeout", "{record}");
    (took, answer.text().contains("did not answer in time"))
}

#[tokio::test]
async fn the_least_of_all_limits_ends_a_call() {
    let agent = |span: &str| format!("call_timeout = \"{span}\"\n");
    let entry =
        |span: &str| format!("[catalog]\ntimeouts = {{ \"get-_api_v1_reports_slow\" = \"{span}\" }}\n");
    let server = |span: &str| format!("call_timeout = \"{span}\"");
    for (whose, server, more, client) in [
        ("the client's", server("10s"), agent("11s") + &entry("12s"), Some(700)),
        ("the endpoint's", server("10s"), agent("11s") + &entry("700ms"), Some(12_000)),
        ("the agent's", server("10s"), agent("700ms") + &entry("11s"), Some(12_000)),
        ("the server's", server("700ms"), agent("10s") + &entry("11s"), Some(12_000)),
        ("the server's alone", server("700ms"), String::new(), None),
    ] {
        let world = World::with(&server, &more).await;
        let (took, told) = end_of(&world, client).await;
        assert!(told, "{whose}");
        let least = Duration::from_millis(700);
        assert!(took >= least && took < Duration::from_secs(8), "{whose}: {took:?}");
    }
}

#[tokio::test]
async fn the_limits_of_one_endpoint_and_of_one_agent_are_theirs_alone() {
    let more = "call_timeout = \"500ms\"\n[catalog]\ntimeouts = { \"get-_api_v1_boards\" = \"500ms\" }\n";
    let world = World::with("", more).await;
    let session = Conversation::begin(&world, "technician", "2025-11-25").await;
    let answer = session.ask("tools/call", slow(1500)).await;
    assert!(!answer.is_error(), "{answer:?}");
}

#[tokio::test]
async fn a_client_says_in_whole_milliseconds_how_long_it_waits() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", "2025-06-18").await;
    for wrong in [json!(0), json!(-1), json!(1.5), json!("500"), json!(true), Value::Null] {
        let mut params = slow(1);
        params["_meta"] = json!({"sidegate/timeoutMs": wrong});
        let answer = session.ask("tools/call", params).await;
        assert_eq!(answer.body["error"]["code"], -32602, "{wrong}: {answer:?}");
        assert!(answer.body["error"]["message"].as_str().unwrap().contains("sidegate/timeoutMs"));
    }
    assert!(world.reached().await.is_empty());
}

#[tokio::test]
async fn hours_are_allowed_where_they_are_configured() {
    let more = "call_timeout = \"5h\"\n[catalog]\ntimeouts = { \"get-_api_v1_reports_slow\" = \"4h\" }\n";
    let world = World::with("call_timeout = \"6h\"", more).await;
    let session = Conversation::begin(&world, "reader", "2025-11-25").await;
    let mut params = slow(300);
    params["_meta"] = json!({"sidegate/timeoutMs": 10_800_000});
    let answer = session.ask("tools/call", params).await;
    assert!(!answer.is_error(), "{answer:?}");
}
