//! `sidegate connect --gate`: a local client, a Sidegate elsewhere.

use std::process::Command;

use serde_json::{Value, json};

use super::{TOOLS, names, slow_call, slow_is};
use crate::support::clients;
use crate::support::plan::Plan;
use crate::support::scripted::{Server, Then, answer};
use crate::support::stdio::{Pipes, connector};
use crate::support::world::{World, modern, until};

async fn gate() -> World {
    World::of(Plan { tls: true, ..Plan::default() }).await
}

fn bridge(world: &World) -> Command {
    let mut command = connector();
    command.args(["--gate", &world.mcp_url]).arg("--ca-file").arg(world.ca_file());
    command
}

/// With the technician's token from a file.
fn with_token(world: &World) -> Command {
    let file = world.folder.path().join("token");
    std::fs::write(&file, world.token("technician")).unwrap();
    let mut command = bridge(world);
    command.arg("--token-file").arg(file);
    command
}

#[tokio::test]
async fn every_revision_is_carried_over_tls_with_its_headers() {
    let world = gate().await;
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut pipes = Pipes::open(&mut with_token(&world));
        assert_eq!(pipes.shake_hands(revision).await["protocolVersion"], revision);
        assert_eq!(names(&pipes.ask(1, "tools/list", json!({})).await), TOOLS);
        let read = pipes.call(2, "call_api_endpoint", json!({"entryId": "get-_api_v1_tickets"})).await;
        assert_ne!(read["isError"], true, "{read:#}");
        pipes.close_input();
        assert_eq!(pipes.ended().await, (Some(0), vec![]), "{}", pipes.errors());
        let is_end = |record: &Value| record["method"] == "end" && record["revision"] == revision;
        world.records_when(|records| records.iter().any(is_end)).await;
    }
    let mut pipes = Pipes::open(&mut with_token(&world));
    let arguments = json!({"entryId": "get-_api_v1_tickets"});
    let (call, _) = modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
    pipes.say(&call);
    let called = pipes.answered(call["id"].clone()).await.answer;
    assert_eq!(called["result"]["structuredContent"]["ok"], true, "{called:#}");
    let (odd, _) = modern("tools/call", json!({"name": "wörk", "arguments": {}}));
    pipes.say(&odd);
    let refused = pipes.answered(odd["id"].clone()).await.answer;
    assert_eq!(refused["error"]["code"], -32602, "{refused:#}");
}

#[tokio::test]
async fn the_token_may_come_from_a_command_or_from_the_servers_own_issuer() {
    let world = gate().await;
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "secret-of-technician\n").unwrap();
    let mut command = bridge(&world);
    command.args(["--token-command", &format!("echo {}", world.token("technician"))]);
    let mut client = bridge(&world);
    client.args(["--client-id", "demo-technician"]).arg("--client-secret-file").arg(&secret);
    for command in [&mut command, &mut client] {
        let mut pipes = Pipes::open(command.env("PATH", "/usr/bin:/bin"));
        pipes.shake_hands("2025-11-25").await;
        let read = pipes.call(1, "call_api_endpoint", json!({"entryId": "get-_api_v1_tickets"})).await;
        assert_ne!(read["isError"], true, "{read:#}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_or_cannot_be_had_is_an_answer_and_no_silence() {
    let world = gate().await;
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let mut unknown = bridge(&world);
    unknown.args(["--client-id", "nobody"]).arg("--client-secret-file").arg(&secret);
    let mut refused = bridge(&world);
    refused.env("PATH", "/usr/bin:/bin").args(["--token-command", "echo s3cret"]);
    for (command, words) in
        [(&mut bridge(&world), "--token-file"), (&mut unknown, "token"), (&mut refused, "401")]
    {
        let mut pipes = Pipes::open(command);
        pipes.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}}));
        let answer = pipes.answered(1).await.answer;
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
        assert!(
            message.contains(words) && !pipes.errors().contains("s3cret"),
            "{message}\n{}",
            pipes.errors()
        );
    }
}

#[tokio::test]
async fn progress_comes_as_it_is_told_and_cancelling_reaches_the_psa_in_both_eras() {
    let world = gate().await;
    let mut pipes = Pipes::open(&mut with_token(&world));
    pipes.shake_hands("2025-11-25").await;
    pipes.say(&slow_call(1, 2, &json!({"_meta": {"progressToken": 7}})));
    let slow = pipes.answered(1).await;
    assert_eq!(slow.answer["result"]["structuredContent"]["ok"], true, "{:#}", slow.answer);
    assert!(slow.before.iter().any(|said| said["params"]["progressToken"] == 7), "{:#?}", slow.before);

    let (message, _) = modern("ping", json!({}));
    for (id, more) in [(2, json!({})), (3, json!({"_meta": message["params"]["_meta"]}))] {
        let aborted =
            |requests: &[Value]| requests.iter().filter(|request| request["aborted"] == true).count();
        let before = aborted(&world.reached().await);
        let seen = world.reached().await.len();
        pipes.say(&slow_call(id, 30, &more));
        until(|| async { (world.reached().await.len() > seen).then_some(()) }).await;
        pipes.say(
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}),
        );
        until(|| async { (aborted(&world.reached().await) > before).then_some(()) }).await;
    }
    slow_is(&world, |request| request["aborted"] == true).await;
    assert_eq!(pipes.ask(4, "ping", json!({})).await, json!({}));
    pipes.close_input();
    assert_eq!(pipes.ended().await, (Some(0), vec![]), "{}", pipes.errors());
}

#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_begun_anew_unseen() {
    let world = World::start().await;
    let file = world.folder.path().join("token");
    std::fs::write(&file, world.token("technician")).unwrap();
    let mut command = connector();
    command.args(["--gate", &world.mcp_url]).arg("--token-file").arg(&file);
    let mut pipes = Pipes::open(&mut command);
    pipes.shake_hands("2025-11-25").await;
    pipes.ask(1, "ping", json!({})).await;
    // Without a key of its own each start seals session ids anew.
    let mut world = world;
    world.stop().await;
    let world = world.again().await;
    assert_eq!(names(&pipes.ask(2, "tools/list", json!({})).await), TOOLS);
    drop(world);
}

#[tokio::test]
async fn whatever_a_server_answers_a_request_is_answered() {
    let nameless = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"nameless"}}"#;
    let event = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n";
    let stream = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{event}",
        event.len()
    );
    for (script, words) in [
        (answer("500 Internal Server Error", "", "<html>"), "500"),
        (answer("403 Forbidden", "", r#"{"error":"x","error_description":"not you"}"#), "not you"),
        (answer("400 Bad Request", "", nameless), "nameless"),
        (answer("202 Accepted", "", ""), "202"),
        (answer("200 OK", "", "not json"), "200"),
        (Then::Answer(stream), "200"),
        (answer("302 Found", "location: /elsewhere\r\n", ""), "302"),
    ] {
        let server = Server::new(vec![script]).await;
        let mut pipes = Pipes::open(connector().args(["--gate", &server.url]));
        pipes.say(&json!({"jsonrpc": "2.0", "id": "a", "method": "ping"}));
        let answer = pipes.answered("a").await.answer;
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
        assert!(message.contains(words), "{words}: {message}");
    }
    let mut pipes = Pipes::open(connector().args(["--gate", "http://127.0.0.1:9/mcp"]));
    pipes.say(&json!({"jsonrpc": "2.0", "id": "a", "method": "ping"}));
    assert!(pipes.answered("a").await.answer["error"].is_object());
    pipes.say_line("junk");
    assert!(pipes.hear().await["error"].is_object());
}

#[tokio::test]
async fn an_official_client_starts_it_and_speaks_across() {
    let world = gate().await;
    let file = world.folder.path().join("token");
    std::fs::write(&file, world.token("technician")).unwrap();
    let args =
        json!(["connect", "--gate", world.mcp_url, "--ca-file", world.ca_file(), "--token-file", file]);
    for (program, mode, revision) in [
        ("stdio.mjs", "v1", "2025-11-25"),
        ("stdio.mjs", "auto", "2026-07-28"),
        ("stdio_python.py", "auto", "2026-07-28"),
    ] {
        let config = json!({"command": env!("CARGO_BIN_EXE_sidegate"), "args": args, "mode": mode});
        let line = clients::run(program, &config).await;
        assert_eq!((&line["error"], &line["revision"]), (&Value::Null, &json!(revision)), "{line:#}");
        assert_eq!((&line["tools"], &line["readOk"]), (&json!(TOOLS), &json!(true)), "{line:#}");
    }
}
