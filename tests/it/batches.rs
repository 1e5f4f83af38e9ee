//! Several messages in one body, in the one revision that has that.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sidegate::mcp::rpc::MAX_BATCH;

use crate::support::conversation::{BOTH, Conversation, call, notice, request, slow};
use crate::support::plan::Plan;
use crate::support::world::World;

pub const REVISION: &str = "2025-03-26";

#[tokio::test]
async fn the_answers_of_a_batch_come_in_its_order_and_its_calls_run_side_by_side() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let batch = json!([
        request("a", "tools/call", slow(2500)),
        notice("notifications/initialized", json!({})),
        request(2, "ping", json!({})),
        request(3, "no/such/method", json!({})),
        {"jsonrpc": "1.0", "id": 4, "method": "ping"},
        request("b", "tools/call", slow(2500)),
    ]);
    let began = Instant::now();
    let answer = session.say(&batch).await;
    assert!(began.elapsed() < Duration::from_millis(4800), "{:?}", began.elapsed());
    assert_eq!(answer.status, 200);
    let answers = answer.body.as_array().unwrap();
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!("a"), json!(2), json!(3), json!(4), json!("b")]);
    assert_eq!(
        (&answers[0]["result"]["isError"], &answers[4]["result"]["isError"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(answers[1]["result"], json!({}));
    assert_eq!(
        (&answers[2]["error"]["code"], &answers[3]["error"]["code"]),
        (&json!(-32601), &json!(-32600))
    );
    let records = world.records(7).await;
    assert_eq!(records.len(), 7, "the handshake, and one for each message: {records:?}");
}

#[tokio::test]
async fn a_batch_that_asks_for_nothing_is_taken_without_an_answer() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let gone = notice("notifications/cancelled", json!({"requestId": 9}));
    let answer = session.say(&json!([notice("notifications/initialized", json!({})), gone])).await;
    assert_eq!((answer.status, answer.body), (202, Value::String(String::new())));
}

#[tokio::test]
async fn a_batch_is_bounded_and_not_empty() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let pings = |count: usize| json!((0..count).map(|id| request(id, "ping", json!({}))).collect::<Vec<_>>());
    let most = session.say(&pings(MAX_BATCH)).await;
    assert_eq!((most.status, most.body.as_array().map(Vec::len)), (200, Some(MAX_BATCH)));
    for wrong in [pings(0), pings(MAX_BATCH + 1)] {
        let refused = session.say(&wrong).await;
        assert_eq!((refused.status, &refused.body["error"]["code"]), (400, &json!(-32600)));
    }
}

#[tokio::test]
async fn no_other_revision_has_batches() {
    let world = World::start().await;
    let batch = json!([request(1, "ping", json!({}))]);
    for revision in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let session = Conversation::begin(&world, "technician", revision).await;
        for accept in ["application/json", BOTH] {
            let refused = world.send(session.message(accept, &batch)).await;
            assert_eq!((refused.status, &refused.body["error"]["code"]), (400, &json!(-32600)), "{revision}");
        }
    }
    let token = world.token("technician");
    for (revision, status) in [("2026-07-28", 400), ("2025-11-25", 400), (REVISION, 200)] {
        let header = [("mcp-protocol-version", revision.to_owned())];
        let answer = world.post(Some(&token), batch.to_string(), &header).await;
        assert_eq!(answer.status, status, "{revision}: {answer:?}");
    }
    let assumed = world.post(Some(&token), batch.to_string(), &[]).await;
    assert_eq!(assumed.status, 200, "what says nothing is taken for this revision");
}

#[tokio::test]
async fn the_calls_of_a_batch_count_each_for_itself() {
    let world = World::of(Plan { limits: "calls_per_minute = 2", ..Plan::default() }).await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let boards = |id: u64| request(id, "tools/call", call("get-_api_v1_boards", json!({})));
    let answer = session.say(&json!([boards(1), boards(2), boards(3), boards(4)])).await;
    let answers = answer.body.as_array().unwrap();
    let good = answers.iter().filter(|answer| answer["result"]["isError"] == false).count();
    let refused: Vec<_> = answers.iter().filter(|answer| answer["error"].is_object()).collect();
    assert_eq!((answers.len(), good, refused.len()), (4, 2, 2), "{answers:?}");
    let reason = refused[0]["error"]["message"].as_str().unwrap();
    assert!(reason.contains("too many calls within a minute"), "{reason}");
    assert_eq!(world.reached().await.len(), 2);
}
