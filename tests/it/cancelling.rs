//! What ends a call before its answer: in the one era a notification, in the other the client's leaving.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::conversation::{BOTH, Conversation, call, notice, rename, request, slow, told};
use crate::support::http::{message, written};
use crate::support::plan::Plan;
use crate::support::sse::Stream;
use crate::support::world::{World, modern, until};

const REVISION: &str = "2025-11-25";

/// Until the PSA has been asked this often.
async fn asked(world: &World, times: usize) {
    until(|| async { (world.reached().await.len() >= times).then_some(()) }).await;
}

/// The record of the one call that was made.
async fn record(world: &World) -> Value {
    let call = |record: &&Value| record["method"] == "tools/call" && record["record"] == "event";
    let records = world.records_when(|records| records.iter().any(|record| call(&record))).await;
    records.iter().find(call).unwrap().clone()
}

async fn was_aborted(world: &World) -> bool {
    world.reached().await.iter().any(|request| request["aborted"] == true)
}

/// Sends a request and leaves without waiting for anything.
async fn send_and_leave(request: http::Request<bytes::Bytes>) {
    let authority = request.uri().authority().unwrap().to_string();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(written(&request).as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_client_of_the_handshake_era_that_leaves_cancels_nothing() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    for accept in ["application/json", BOTH] {
        send_and_leave(session.message(accept, &request(1, "tools/call", slow(1500)))).await;
    }
    // One that was listening already.
    let mut stream = session.open(&request(2, "tools/call", told(slow(1500), "p"))).await;
    stream.message().await.expect("progress");
    drop(stream);
    let of_calls = |record: &&Value| record["method"] == "tools/call";
    let records = world.records_when(|records| records.iter().filter(of_calls).count() >= 3).await;
    for record in records.iter().filter(of_calls) {
        assert_eq!(record["outcome"], "ok", "{record}");
    }
    assert!(!was_aborted(&world).await);
}

#[tokio::test]
async fn a_write_whose_client_of_the_handshake_era_leaves_is_made_all_the_same() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let ticket = world.a_ticket("technician").await;
    for number in 0..5 {
        let title = format!("Left {number}");
        let write = request(number, "tools/call", rename(&ticket, &title));
        send_and_leave(session.message(BOTH, &write)).await;
        until(|| async { (world.title("technician", &ticket).await == title).then_some(()) }).await;
    }
}

#[tokio::test]
async fn a_client_of_the_newest_revision_that_leaves_takes_its_upstream_call_along() {
    let world = World::start().await;
    let (body, mut headers) = modern("tools/call", told(slow(20_000), "p"));
    headers.push(("accept", BOTH.to_owned()));
    let token = world.token("technician");
    let mut stream = Stream::open(message(&world.mcp_url, Some(&token), body.to_string(), &headers)).await;
    assert!(stream.is_stream());
    stream.message().await.expect("progress");
    drop(stream);
    until(|| async { was_aborted(&world).await.then_some(()) }).await;
    assert_eq!(record(&world).await["outcome"], "cancelled");
}

#[tokio::test]
async fn a_client_of_the_newest_revision_that_leaves_before_anything_is_said_does_so_too() {
    let world = World::start().await;
    let (body, headers) = modern("tools/call", slow(20_000));
    let token = world.token("technician");
    let leaving = world.post(Some(&token), body.to_string(), &headers);
    tokio::select! {
        answer = leaving => panic!("it was to take longer: {answer:?}"),
        () = asked(&world, 1) => {}
    }
    until(|| async { was_aborted(&world).await.then_some(()) }).await;
    assert_eq!(record(&world).await["outcome"], "cancelled");
}

#[tokio::test]
async fn a_notification_cancels_the_call_of_its_session_and_no_answer_comes() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let (as_json, as_stream) =
        (request("one", "tools/call", slow(20_000)), request(2, "tools/call", told(slow(20_000), "p")));
    let cancelling = async {
        asked(&world, 2).await;
        for id in [json!("one"), json!(2)] {
            let cancelled =
                notice("notifications/cancelled", json!({"requestId": id, "reason": "changed my mind"}));
            assert_eq!(session.say(&cancelled).await.status, 202);
        }
    };
    let (silent, stream, ()) = tokio::join!(session.say(&as_json), session.open(&as_stream), cancelling);
    assert_eq!((silent.status, &silent.body), (202, &Value::String(String::new())), "there is no answer");
    if stream.is_stream() {
        let said = stream.messages().await;
        assert!(said.iter().all(|said| said["method"] == "notifications/progress"), "{said:?}");
    } else {
        assert_eq!(stream.status, 202);
    }
    until(|| async {
        let aborted = world.reached().await.iter().filter(|request| request["aborted"] == true).count();
        (aborted == 2).then_some(())
    })
    .await;
    assert_eq!(record(&world).await["outcome"], "cancelled");
}

#[tokio::test]
async fn who_cancels_reaches_only_its_own_session_and_only_what_is_running() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let neighbour = Conversation::begin(&world, "technician", REVISION).await;
    let call = request(7, "tools/call", slow(1500));
    let others = async {
        asked(&world, 1).await;
        let of = |id: Value| notice("notifications/cancelled", json!({"requestId": id}));
        // The same number in another session, another type, nothing at all.
        assert_eq!(neighbour.say(&of(json!(7))).await.status, 202);
        for id in [json!("7"), json!(8), json!(null), json!({})] {
            assert_eq!(session.say(&of(id)).await.status, 202);
        }
    };
    let (answer, ()) = tokio::join!(session.say(&call), others);
    assert_eq!((answer.status, answer.is_error()), (200, false), "{answer:?}");
    // Too late is no error either.
    let late = notice("notifications/cancelled", json!({"requestId": 7}));
    assert_eq!(session.say(&late).await.status, 202);
}

#[tokio::test]
async fn the_end_of_a_session_cancels_what_it_runs() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let call = request(1, "tools/call", slow(20_000));
    let ending = async {
        asked(&world, 1).await;
        assert_eq!(session.end().await.status, 204);
    };
    let (answer, ()) = tokio::join!(session.say(&call), ending);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(record(&world).await["outcome"], "cancelled");
}

#[tokio::test]
async fn a_call_that_was_cancelled_makes_room_for_the_next() {
    let world = World::of(Plan { limits: "calls_in_flight = 1", ..Plan::default() }).await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let running = request(1, "tools/call", slow(20_000));
    let next = async {
        asked(&world, 1).await;
        let boards = request(2, "tools/call", call("get-_api_v1_boards", json!({})));
        assert_eq!(session.say(&boards).await.status, 429);
        session.say(&notice("notifications/cancelled", json!({"requestId": 1}))).await;
        until(|| async { (session.say(&boards).await.status == 200).then_some(()) }).await;
    };
    tokio::join!(session.say(&running), next);
}
