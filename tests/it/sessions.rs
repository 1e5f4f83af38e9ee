//! Sessions of the handshake era: whose they are, how long they last, and who else takes them.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::conversation::{Conversation, initialize, notice, request, slow};
use crate::support::process::Process;
use crate::support::world::{World, until};

const REVISION: &str = "2025-11-25";

const KEY: &str = "[sessions]\nkey = \"a key of at least thirty-two characters\"\n";

#[tokio::test]
async fn a_handshake_begins_a_session_whose_id_is_visible_ascii_and_never_the_same() {
    let world = World::start().await;
    let mut ids = std::collections::BTreeSet::new();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", REVISION] {
        for _ in 0..3 {
            let session = Conversation::begin(&world, "technician", revision).await.session;
            assert!(session.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{session}");
            ids.insert(session);
        }
    }
    assert_eq!(ids.len(), 12);
    assert_eq!(world.metric("sidegate_sessions").await, 12.0);
    let listed = world.ask("technician", "tools/list", json!({})).await;
    assert_eq!(listed.header("mcp-session-id"), "", "the newest revision knows of none");
}

#[tokio::test]
async fn what_is_said_in_a_session_needs_no_version_header_and_is_answered_in_its_revision() {
    let world = World::start().await;
    for (revision, titled) in [("2024-11-05", false), ("2025-03-26", false), ("2025-06-18", true)] {
        let session = Conversation::begin(&world, "technician", revision).await;
        let greeted = session.say(&notice("notifications/initialized", json!({}))).await;
        assert_eq!((greeted.status, greeted.body), (202, Value::String(String::new())));
        let listed = session.ask("tools/list", json!({})).await;
        assert_eq!(listed.status, 200, "{listed:?}");
        assert_eq!(listed.body["result"]["tools"][0]["title"].is_string(), titled, "{revision}");
        assert_eq!(session.ask("ping", json!({})).await.body["result"], json!({}));
    }
    let records = world.records(12).await;
    let named = |record: &&Value| record["client_name"] == "an older client";
    assert_eq!(records.iter().filter(named).count(), 12, "every message is its client's");
}

#[tokio::test]
async fn a_session_is_its_agents_and_for_everybody_else_it_is_not_there() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let stolen = session.taken_by("reader");
    let refused = stolen.ask("tools/list", json!({})).await;
    assert_eq!((refused.status, refused.body["error"].as_str()), (404, Some("session_not_found")));
    assert_eq!(stolen.listen(None).await.status, 404);
    assert_eq!(stolen.end().await.status, 404);
    assert_eq!(session.ask("tools/list", json!({})).await.status, 200, "it goes on");
    let id = [("mcp-session-id", session.session.clone())];
    let nobody = world.post(None, request(1, "ping", json!({})).to_string(), &id).await;
    assert_eq!(nobody.status, 401, "a session lets nobody in");
}

#[tokio::test]
async fn a_session_that_was_ended_or_never_was_is_404_until_a_new_handshake() {
    let world = World::start().await;
    let mut session = Conversation::begin(&world, "technician", REVISION).await;
    assert_eq!(session.end().await.status, 204);
    for _ in 0..2 {
        assert_eq!(session.ask("tools/list", json!({})).await.status, 404);
        assert_eq!(session.say(&notice("notifications/initialized", json!({}))).await.status, 404);
        assert_eq!(session.listen(None).await.status, 404);
        assert_eq!(session.end().await.status, 404);
        session.session = "none-of-ours".to_owned();
    }
    // Whoever begins anew may still carry the old id.
    let hello =
        json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    let again = session.say(&request(1, "initialize", hello)).await;
    assert_eq!(again.status, 200, "{again:?}");
    session.session = again.header("mcp-session-id").to_owned();
    assert_eq!(session.ask("ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_changed_id_is_nobodys() {
    let world = World::start().await;
    let mut session = Conversation::begin(&world, "technician", REVISION).await;
    let good = session.session.clone();
    for at in [0, good.len() / 2, good.len() - 1] {
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        session.session = format!("{}{other}{}", &good[..at], &good[at + 1..]);
        assert_eq!(session.ask("ping", json!({})).await.status, 404, "{at}");
    }
    session.session = good;
    assert_eq!(session.ask("ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn another_process_that_has_the_key_takes_the_id_and_knows_revision_and_client() {
    let mut world = World::with("", KEY).await;
    let begun = Conversation::begin(&world, "technician", "2025-06-18").await.session;
    world.stop().await;
    let world = world.again().await;
    let id = [("mcp-session-id", begun)];
    let token = world.token("technician");
    let message = request(1, "tools/list", json!({})).to_string();
    let listed = world.post(Some(&token), message.clone(), &id).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let records = world.records(2).await;
    let last = records.last().unwrap();
    assert_eq!(last["revision"], "2025-06-18");
    assert_eq!(last["client_name"], "an older client");
    let stolen = world.post(Some(&world.token("reader")), message, &id).await;
    assert_eq!(stolen.status, 404, "it is its agent's there as well");
}

#[tokio::test]
async fn a_process_without_the_key_does_not_know_the_session() {
    let mut world = World::start().await;
    let begun = Conversation::begin(&world, "technician", REVISION).await.session;
    world.stop().await;
    let world = world.again().await;
    let token = world.token("technician");
    let message = request(1, "tools/list", json!({})).to_string();
    let refused = world.post(Some(&token), message, &[("mcp-session-id", begun)]).await;
    assert_eq!(refused.status, 404, "{refused:?}");
}

#[tokio::test]
async fn an_agents_sessions_are_bounded_and_the_least_used_makes_room() {
    let world = World::with("", "[sessions]\nper_agent = 2\n").await;
    let first = Conversation::begin(&world, "technician", REVISION).await;
    let second = Conversation::begin(&world, "technician", REVISION).await;
    let other = Conversation::begin(&world, "reader", REVISION).await;
    assert_eq!(first.ask("ping", json!({})).await.status, 200, "it is the second that is idle longest");
    let third = Conversation::begin(&world, "technician", REVISION).await;
    assert_eq!(second.ask("ping", json!({})).await.status, 404);
    for session in [first, third, other] {
        assert_eq!(session.ask("ping", json!({})).await.status, 200);
    }
    assert_eq!(world.metric("sidegate_sessions").await, 3.0);
}

#[tokio::test]
async fn a_session_with_a_call_under_way_makes_room_last() {
    let world = World::with("", "[sessions]\nper_agent = 2\n").await;
    let busy = Conversation::begin(&world, "technician", REVISION).await;
    let call = request(1, "tools/call", slow(4000));
    let others = async {
        until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
        let idle = Conversation::begin(&world, "technician", REVISION).await;
        Conversation::begin(&world, "technician", REVISION).await;
        assert_eq!(idle.ask("ping", json!({})).await.status, 404);
    };
    let (answer, ()) = tokio::join!(busy.say(&call), others);
    assert_eq!((answer.status, answer.is_error()), (200, false), "{answer:?}");
}

#[tokio::test]
async fn a_session_is_over_when_its_time_is() {
    let world = World::with("", "[sessions]\nlifetime = \"1s\"\n").await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    assert_eq!(session.ask("ping", json!({})).await.status, 200);
    until(|| async { (session.ask("ping", json!({})).await.status == 404).then_some(()) }).await;
}

#[tokio::test]
async fn no_log_line_and_no_record_holds_a_session_id() {
    let mut world = World::start().await;
    world.stop().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.env_clear().env("SIDEGATE__LOG__FILTER", "debug,sidegate=trace,pingora=trace");
    command.args(["serve", "--config"]).arg(&world.config_file);
    let serving = Process::start(&mut command);
    until(|| {
        let ready = serving.errors().contains("serving MCP");
        async move { ready.then_some(()) }
    })
    .await;
    until(|| async { (world.get(&format!("{}/readyz", world.ops_url)).await.status == 200).then_some(()) })
        .await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    session.ask("tools/list", json!({})).await;
    session.taken_by("reader").ask("tools/list", json!({})).await;
    drop(session.listen(None).await);
    session.end().await;
    session.ask("tools/list", json!({})).await;
    let records = world.records(6).await;
    assert!(records.iter().any(|record| record["reason"] == "session_not_found"), "{records:?}");
    let id = &session.session;
    // A piece of it would do to recognise it, and to guess the rest it would not.
    let piece = &id[id.len() / 4..id.len() * 3 / 4];
    for record in &records {
        assert!(!record.to_string().contains(piece), "{record}");
    }
    let log = serving.errors();
    assert!(log.lines().count() > 5, "{log}");
    assert!(!log.contains(piece), "{log}");
}

#[tokio::test]
async fn a_handshake_is_answered_in_the_revision_asked_for_or_the_newest_of_its_era() {
    let world = World::start().await;
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        (REVISION, REVISION),
        ("1999-01-01", REVISION),
        ("2026-07-28", REVISION),
    ] {
        let answer = initialize(&world, "technician", asked).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["result"]["protocolVersion"], answered, "{asked}");
        assert_eq!(answer.body["result"]["capabilities"]["tools"]["listChanged"], false);
    }
}
