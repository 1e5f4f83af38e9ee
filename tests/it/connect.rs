//! `sidegate connect` as a client starts it: the binary, over pipes, against the demo PSA under a key of its user's own.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::secret::Secret;

use crate::support::alga::sha256;
use crate::support::clients;
use crate::support::stdio::{Pipes, connector};
use crate::support::world::{World, modern, until};

mod bridge;
mod outcomes;
mod setup;

/// A key of the user's own in the demo PSA.
pub async fn own_key(world: &World, user: &str) -> String {
    let key = Secret::new("0123456789abcdef".repeat(4));
    let minted = world.control("POST", "/__keys", json!({"user_id": user, "key_hash": sha256(&key)})).await;
    assert!(minted["api_key_id"].is_string(), "{minted}");
    key.expose().to_owned()
}

/// The connector for the demo's technician.
pub async fn technician(world: &World) -> Command {
    let mut command = connector();
    command.env("ALGA_INSTANCE_URL", &world.psa.url);
    command.env("ALGA_API_TOKEN", own_key(world, world.psa.technician()).await);
    command
}

async fn begun(world: &World) -> Pipes {
    Pipes::open(&mut technician(world).await)
}

const TOOLS: [&str; 3] = ["search_api_registry", "search_business_data", "call_api_endpoint"];

fn names(listing: &Value) -> Vec<&str> {
    listing["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_revision_with_a_handshake_is_spoken() {
    let world = World::start().await;
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut pipes = begun(&world).await;
        let welcome = pipes.shake_hands(revision).await;
        assert_eq!(welcome["protocolVersion"], revision);
        assert!(welcome["instructions"].as_str().unwrap().contains("own API key"), "{welcome}");
        assert_eq!(pipes.ask(1, "ping", json!({})).await, json!({}));
        assert_eq!(names(&pipes.ask(2, "tools/list", json!({})).await), TOOLS);
        let read = pipes.call(3, "call_api_endpoint", json!({"entryId": "get-_api_v1_tickets"})).await;
        assert_ne!(read["isError"], true, "{read:#}");
        world.control("DELETE", &format!("/__keys/{}", only_own_key(&world).await), json!({})).await;
    }
}

/// The id of the one key that no agent has.
async fn only_own_key(world: &World) -> String {
    let keys = world.control("GET", "/__keys", json!({})).await;
    let own = keys["data"].as_array().unwrap().iter().find(|key| key["purpose"] == "general");
    own.unwrap_or_else(|| panic!("{keys:#}"))["api_key_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_revision_without_a_handshake_is_spoken_without_headers() {
    let world = World::start().await;
    let mut pipes = begun(&world).await;
    let (discover, _) = modern("server/discover", json!({}));
    pipes.say(&discover);
    let discovered = pipes.answered(discover["id"].clone()).await.answer;
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]), "{discovered:#}");
    let (mut call, _) = modern(
        "tools/call",
        json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_tickets"}}),
    );
    call["id"] = "a call".into();
    pipes.say(&call);
    let called = pipes.answered("a call").await.answer;
    assert_eq!(called["result"]["structuredContent"]["ok"], true, "{called:#}");
}

#[tokio::test]
async fn a_batch_is_answered_as_one_where_the_revision_has_batches() {
    let world = World::start().await;
    let mut pipes = begun(&world).await;
    pipes.shake_hands("2025-03-26").await;
    pipes.say(&json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]));
    let answers = pipes.hear().await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
    let mut newer = begun_again(&world).await;
    newer.shake_hands("2025-06-18").await;
    newer.say(&json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]));
    assert_eq!(newer.hear().await["error"]["code"], -32600);
}

/// Another process under the key that is there.
async fn begun_again(world: &World) -> Pipes {
    let mut command = connector();
    command.env("ALGA_INSTANCE_URL", &world.psa.url).env("ALGA_API_TOKEN", "0123456789abcdef".repeat(4));
    Pipes::open(&mut command)
}

const SLOW: &str = "get-_api_v1_reports_slow";

fn slow_call(id: u64, seconds: u64, more: &Value) -> Value {
    let arguments = json!({"entryId": SLOW, "query": {"ms": seconds * 1000}});
    let mut params = json!({"name": "call_api_endpoint", "arguments": arguments});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

async fn slow_is(world: &World, wanted: impl Fn(&Value) -> bool) {
    until(|| async {
        let reached = world.reached().await;
        let found = reached.iter().any(|request| {
            request["path"].as_str().unwrap().starts_with("/api/v1/reports/slow") && wanted(request)
        });
        found.then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_run_side_by_side_and_progress_is_told_in_between() {
    let world = World::start().await;
    let mut pipes = begun(&world).await;
    pipes.shake_hands("2025-11-25").await;
    pipes.say(&slow_call(1, 2, &json!({"_meta": {"progressToken": "p"}})));
    slow_is(&world, |_| true).await;
    assert_eq!(pipes.ask(2, "ping", json!({})).await, json!({}));
    let slow = pipes.answered(1).await;
    assert_eq!(slow.answer["result"]["structuredContent"]["ok"], true, "{:#}", slow.answer);
    let progress: Vec<_> =
        slow.before.iter().filter(|said| said["method"] == "notifications/progress").collect();
    assert!(!progress.is_empty() && progress.iter().all(|said| said["params"]["progressToken"] == "p"));
}

#[tokio::test]
async fn a_cancelled_call_ends_at_the_psa_and_is_not_answered_in_either_era() {
    let world = World::start().await;
    for (id, envelope) in [(1, false), (2, true)] {
        let mut pipes = if envelope { begun_again(&world).await } else { begun(&world).await };
        let more = if envelope {
            let (message, _) = modern("ping", json!({}));
            json!({"_meta": message["params"]["_meta"]})
        } else {
            pipes.shake_hands("2025-11-25").await;
            json!({})
        };
        pipes.say(&slow_call(id, 30, &more));
        let seen = usize::try_from(id).unwrap();
        until(|| async {
            let slow = world.reached().await;
            let slow = slow.iter().filter(|request| request["path"].as_str().unwrap().contains("slow"));
            (slow.count() == seen).then_some(())
        })
        .await;
        pipes.say(
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}),
        );
        slow_is(&world, |request| request["aborted"] == true).await;
        pipes.close_input();
        let (code, rest) = pipes.ended().await;
        assert_eq!((code, rest), (Some(0), vec![]), "{}", pipes.errors());
    }
}

#[tokio::test]
async fn the_end_of_the_input_lets_what_is_under_way_end_and_then_ends_the_process() {
    let world = World::start().await;
    let mut pipes = begun(&world).await;
    pipes.shake_hands("2025-11-25").await;
    pipes.say(&slow_call(1, 1, &json!({})));
    pipes.close_input();
    let answer = pipes.answered(1).await.answer;
    assert_eq!(answer["result"]["structuredContent"]["ok"], true, "{answer:#}");
    assert_eq!(pipes.ended().await, (Some(0), vec![]));

    let mut hurried = begun_again(&world).await;
    hurried.shake_hands("2025-11-25").await;
    hurried.say(&slow_call(1, 60, &json!({})));
    hurried.close_input();
    let ended =
        tokio::time::timeout(Duration::from_secs(20), hurried.ended()).await.expect("not after a minute");
    assert_eq!(ended.0, Some(0), "{}", hurried.errors());
}

#[tokio::test]
async fn lines_that_are_no_messages_are_answered_and_the_next_is_heard() {
    let world = World::start().await;
    let mut pipes = begun(&world).await;
    pipes.say_line("");
    pipes.say_line("not json");
    assert_eq!(pipes.hear().await["error"]["code"], -32700);
    pipes.say_line("{\"jsonrpc\":\"1.0\"}");
    assert_eq!(pipes.hear().await["error"]["code"], -32600);
    pipes.say_line(&format!("{{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}", "x".repeat(5 << 20)));
    let lost = pipes.hear().await;
    assert_eq!((&lost["error"]["code"], &lost["id"]), (&json!(-32600), &Value::Null), "{lost}");
    pipes.shake_hands("2025-11-25").await;
    assert_eq!(pipes.ask(1, "ping", json!({})).await, json!({}));
}

/// The official SDKs start the connector themselves.
async fn converses(program: &str, mode: &str, revision: &str) {
    let world = World::start().await;
    let ticket = world.a_ticket("technician").await;
    let title = format!("Renamed over stdio by {program} {mode}");
    let write =
        json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": title}});
    let env = json!({"ALGA_INSTANCE_URL": world.psa.url, "ALGA_API_TOKEN": own_key(&world, world.psa.technician()).await});
    let config = json!({"command": env!("CARGO_BIN_EXE_sidegate"), "args": ["connect"], "env": env, "mode": mode, "write": write});
    let line = clients::run(program, &config).await;
    assert_eq!(line["error"], Value::Null, "{line:#}");
    assert_eq!(line["revision"], revision, "{line:#}");
    assert_eq!(line["tools"], json!(TOOLS), "{line:#}");
    assert_eq!(line["searchFirst"], "get-_api_v1_tickets", "{line:#}");
    assert_eq!((&line["readOk"], &line["writeIsError"]), (&json!(true), &json!(false)), "{line:#}");
    assert_eq!(world.title("technician", &ticket).await, title);
}

#[tokio::test]
async fn the_first_typescript_sdk_starts_and_speaks_it() {
    converses("stdio.mjs", "v1", "2025-11-25").await;
}

#[tokio::test]
async fn the_second_typescript_sdk_starts_and_speaks_it() {
    converses("stdio.mjs", "legacy", "2025-11-25").await;
    converses("stdio.mjs", "auto", "2026-07-28").await;
}

#[tokio::test]
async fn the_python_sdk_starts_and_speaks_it() {
    converses("stdio_python.py", "auto", "2026-07-28").await;
    converses("stdio_python.py", "legacy", "2025-11-25").await;
}
