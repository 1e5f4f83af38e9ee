//! Event streams: when there is one, what it says, how it ends, and how it is read on after it was lost.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::clock::Clock;

use crate::support::conversation::{BOTH, Conversation, call, request, slow, told};
use crate::support::http::{message, written};
use crate::support::issuer::Issuer;
use crate::support::plan::{Plan, Trusted};
use crate::support::sse::Stream;
use crate::support::web::exchange;
use crate::support::world::{World, modern, until};

const REVISION: &str = "2025-11-25";

/// One message of the newest revision, its answer read as it comes.
async fn open(world: &World, method: &str, params: Value, accept: &str) -> Stream {
    let (body, mut headers) = modern(method, params);
    headers.push(("accept", accept.to_owned()));
    Stream::open(message(&world.mcp_url, Some(&world.token("technician")), body.to_string(), &headers)).await
}

fn listening() -> Value {
    json!({"notifications": {"toolsListChanged": true}})
}

#[tokio::test]
async fn a_sessions_stream_is_open_to_one_reader_at_a_time_and_not_gathered_by_proxies() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let stream = session.listen(None).await;
    assert!(stream.is_stream());
    assert_eq!(stream.header("x-accel-buffering"), "no");
    assert_eq!(stream.header("cache-control"), "no-store");
    assert_eq!(world.metric("sidegate_streams_open").await, 1.0);
    let second = session.listen(None).await;
    assert_eq!(second.status, 409);
    assert_eq!(second.body().await["error"], "stream_in_use");
    drop(stream);
    until(|| async { session.listen(None).await.is_stream().then_some(()) }).await;
}

#[tokio::test]
async fn a_stream_needs_a_session_and_a_client_that_takes_streams() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut head = session.head("GET").header("accept", "text/event-stream");
    head.headers_mut().unwrap().remove("mcp-session-id");
    let refused = world.send(head.body(Bytes::new()).unwrap()).await;
    assert_eq!((refused.status, refused.header("allow")), (405, "POST, GET, DELETE, OPTIONS"));
    let head = session.head("GET").header("accept", "application/json");
    assert_eq!(world.send(head.body(Bytes::new()).unwrap()).await.status, 406);
}

#[tokio::test]
async fn a_sessions_stream_ends_with_the_session() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut stream = session.listen(None).await;
    assert_eq!(session.end().await.status, 204);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_sessions_stream_ends_when_its_agent_is_switched_off() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut stream = session.listen(None).await;
    let elsewhere = world.store().await;
    elsewhere.switch("technician", false).await;
    assert_eq!(stream.next().await, None);
    elsewhere.switch("technician", true).await;
    until(|| async {
        let status = session.ask("ping", json!({})).await.status;
        (status != 403).then(|| assert_eq!(status, 404, "the session is over as well"))
    })
    .await;
}

#[tokio::test]
async fn streams_do_not_hold_the_end_of_the_server() {
    let mut world = World::with("grace = \"20s\"", "").await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut stream = session.listen(None).await;
    let mut changes = open(&world, "subscriptions/listen", listening(), BOTH).await;
    changes.message().await.expect("what was agreed on");
    let began = Instant::now();
    let ((), end, heard) = tokio::join!(world.stop(), stream.next(), changes.message());
    assert_eq!(end, None);
    let heard = heard.expect("a result");
    assert_eq!((&heard["id"], &heard["result"]["resultType"]), (&json!(1), &json!("complete")), "{heard}");
    assert_eq!(heard["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(changes.next().await, None);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_with_nothing_before_it_is_plain_json_and_a_stream_where_only_that_is_taken() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let boards = call("get-_api_v1_boards", json!({}));
    for params in [boards.clone(), told(boards.clone(), "quick")] {
        let answer = session.open(&request("a", "tools/call", params.clone())).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.body().await["id"], "a");
        let answer = open(&world, "tools/call", params, BOTH).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    }
    let only = Stream::open(session.message("text/event-stream", &request(9, "tools/call", boards))).await;
    assert!(only.is_stream() && only.header("x-accel-buffering") == "no");
    let said = only.messages().await;
    assert_eq!((said.len(), &said[0]["id"], &said[0]["result"]["isError"]), (1, &json!(9), &json!(false)));
    let list = open(&world, "tools/list", json!({}), "text/event-stream").await.messages().await;
    assert_eq!(list[0]["result"]["tools"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn who_takes_neither_form_gets_json_all_the_same() {
    let world = World::start().await;
    let params = call("get-_api_v1_boards", json!({}));
    for accept in ["text/html", "application/json;q=0, text/event-stream;q=0", "image/*"] {
        let answer = open(&world, "tools/call", params.clone(), accept).await;
        assert_eq!((answer.status, answer.is_stream()), (200, false), "{accept}");
        assert_eq!(answer.body().await["result"]["isError"], false, "{accept}");
    }
}

/// The progress that was told, and then the answer.
fn told_of(said: &[Value]) -> (Vec<&Value>, &Value) {
    let (answer, before) = said.split_last().expect("an answer");
    let progress = before.iter().map(|told| {
        assert_eq!(told["method"], "notifications/progress", "{told}");
        assert!(told.get("id").is_none(), "the server asks nothing: {told}");
        &told["params"]
    });
    (progress.collect(), answer)
}

#[tokio::test]
async fn a_slow_call_tells_of_its_progress_under_its_name_with_growing_numbers_until_its_answer() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let one = session.open(&request("a", "tools/call", told(slow(1800), "mine"))).await;
    let two = open(&world, "tools/call", told(slow(1800), 7), BOTH).await;
    for (stream, token) in [(one, json!("mine")), (two, json!(7))] {
        assert!(stream.is_stream() && stream.header("x-accel-buffering") == "no");
        let said = stream.messages().await;
        let (progress, answer) = told_of(&said);
        assert!(!progress.is_empty());
        assert!(progress.iter().all(|told| told["progressToken"] == token), "{said:?}");
        let numbers: Vec<f64> = progress.iter().map(|told| told["progress"].as_f64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert_eq!(answer["result"]["isError"], false, "nothing comes after it: {said:?}");
    }
}

#[tokio::test]
async fn nobody_is_told_of_progress_who_did_not_ask_or_takes_no_stream() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let unasked = session.open(&request(1, "tools/call", slow(1200))).await;
    assert_eq!(unasked.header("content-type"), "application/json");
    let alone = request(2, "tools/call", told(slow(1200), "t"));
    let alone = Stream::open(session.message("application/json", &alone)).await;
    assert_eq!(alone.header("content-type"), "application/json");
    assert_eq!(alone.body().await["id"], 2);
}

#[tokio::test]
async fn a_long_call_and_an_idle_stream_are_kept_alive_by_comments() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut idle = session.listen(None).await;
    // What leaves with the head of the answer.
    assert!(idle.any().await.unwrap().comment.is_some());
    let began = Instant::now();
    let call = request(3, "tools/call", slow(17_000));
    let (said, kept) = tokio::join!(session.open(&call), idle.any());
    assert_eq!(kept.unwrap().comment.as_deref(), Some("keep-alive"));
    assert!(said.is_stream(), "a line on which nothing happens is cut");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    let said = said.messages().await;
    assert_eq!((said.len(), &said[0]["id"], &said[0]["result"]["isError"]), (1, &json!(3), &json!(false)));
}

#[tokio::test]
async fn an_answer_whose_stream_was_lost_is_read_on_after_the_last_event() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut lost = session.open(&request("lost", "tools/call", told(slow(2500), "p"))).await;
    let first = lost.next().await.unwrap();
    assert_eq!(first.data.as_deref(), Some(""), "it begins with its place");
    let place = first.id.expect("a place");
    let heard = lost.next().await.unwrap();
    let later = heard.id.clone().expect("a place");
    assert!(later != place && heard.message()["method"] == "notifications/progress");
    drop(lost);
    // From where it was lost, and then again from the start.
    let rest = session.listen(Some(&later)).await;
    assert!(rest.is_stream() && rest.header("x-accel-buffering") == "no");
    let rest = rest.messages().await;
    let all = session.listen(Some(&place)).await.messages().await;
    assert_eq!(all[0], heard.message(), "nothing is left out");
    assert_eq!(all[1..], rest[..], "nothing is said twice");
    let answer = rest.last().unwrap();
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!("lost"), &json!(false)));
}

#[tokio::test]
async fn who_comes_back_before_its_loss_was_noticed_gets_the_rest_and_the_lost_one_ends() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut former = session.open(&request("a", "tools/call", told(slow(2500), "p"))).await;
    let place = former.next().await.unwrap().id.unwrap();
    let later = session.listen(Some(&place)).await;
    let (former, said) = tokio::join!(former.messages(), later.messages());
    assert!(former.iter().all(|said| said["method"] == "notifications/progress"), "{former:?}");
    let (progress, answer) = told_of(&said);
    assert!(!progress.is_empty());
    assert_eq!(answer["result"]["isError"], false);
}

#[tokio::test]
async fn who_resumes_hears_of_one_stream_only() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let mut streams = Vec::new();
    for name in ["one", "two"] {
        let mut stream = session.open(&request(name, "tools/call", told(slow(1500), name))).await;
        streams.push((name, stream.next().await.unwrap().id.unwrap()));
    }
    for (name, place) in &streams {
        let said = session.listen(Some(place)).await.messages().await;
        let (progress, answer) = told_of(&said);
        assert!(progress.iter().all(|told| told["progressToken"] == *name), "{said:?}");
        assert_eq!(answer["id"], *name);
    }
    // Neither by another session of the same agent, nor by another agent.
    let neighbour = Conversation::begin(&world, "technician", REVISION).await;
    assert_eq!(neighbour.listen(Some(&streams[0].1)).await.status, 400);
    assert_eq!(session.taken_by("reader").listen(Some(&streams[0].1)).await.status, 404);
}

#[tokio::test]
async fn a_place_that_is_not_kept_is_refused() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    drop(session.listen(None).await);
    // The last is on the session's own stream, where nothing was said yet.
    for place in ["99-0", "0-0", "nonsense", "1", "1-0"] {
        let refused = session.listen(Some(place)).await;
        assert_eq!(refused.status, 400, "{place}");
        assert_eq!(refused.body().await["error"], "stream_not_kept");
    }
}

#[tokio::test]
async fn calls_of_one_session_run_side_by_side() {
    let world = World::start().await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let long = request("long", "tools/call", slow(5000));
    let began = Instant::now();
    let others = async {
        until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
        assert_eq!(session.ask("ping", json!({})).await.body["result"], json!({}));
        let boards = session.ask("tools/call", call("get-_api_v1_boards", json!({}))).await;
        assert!(!boards.is_error(), "{boards:?}");
        began.elapsed()
    };
    let (answer, others) = tokio::join!(session.say(&long), others);
    assert!(others < Duration::from_millis(4500), "{others:?}");
    assert_eq!((answer.status, &answer.body["id"], answer.is_error()), (200, &json!("long"), false));
}

#[tokio::test]
async fn a_subscription_says_first_what_it_will_tell_of_and_promises_nothing_that_never_happens() {
    let world = World::start().await;
    let mut stream = open(&world, "subscriptions/listen", listening(), BOTH).await;
    assert!(stream.is_stream() && stream.header("x-accel-buffering") == "no");
    let first = stream.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], json!({}), "the tools never change");
    assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert!(stream.is_quiet_for(Duration::from_millis(300)).await);
    let discovered = world.ask("technician", "server/discover", json!({})).await;
    assert_ne!(discovered.body["result"]["capabilities"]["tools"]["listChanged"], true, "{discovered:?}");
    let refused = open(&world, "subscriptions/listen", listening(), "application/json").await;
    assert_eq!(refused.status, 406);
}

#[tokio::test]
async fn an_agents_open_streams_are_bounded() {
    let limits = "streams = 2";
    let world = World::of(Plan { limits, ..Plan::default() }).await;
    let session = Conversation::begin(&world, "technician", REVISION).await;
    let own = session.listen(None).await;
    let changes = open(&world, "subscriptions/listen", listening(), BOTH).await;
    assert!(own.is_stream() && changes.is_stream());
    let refused = open(&world, "subscriptions/listen", listening(), BOTH).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(refused.body().await["error"], "too_many_streams");
    let second = Conversation::begin(&world, "technician", REVISION).await;
    assert_eq!(second.listen(None).await.status, 429);
    let other = Conversation::begin(&world, "reader", REVISION).await;
    assert!(other.listen(None).await.is_stream(), "others have their own");
    drop(changes);
    until(|| async { second.listen(None).await.is_stream().then_some(()) }).await;
}

#[tokio::test]
async fn a_stream_ends_when_the_token_that_opened_it_does() {
    let issuer = Issuer::start().await;
    let agents = vec![("technician", "somebody".to_owned(), "technician")];
    let trusted = Some(Trusted { issuer: &issuer.url, agents });
    let world = World::of(Plan { trusted, ..Plan::default() }).await;
    let ends = Clock::System.now_seconds() + 8;
    let token = issuer.token("somebody", &world.mcp_url, json!({"exp": ends}));
    let (body, mut headers) = modern("subscriptions/listen", listening());
    headers.push(("accept", BOTH.to_owned()));
    let request = message(&world.mcp_url, Some(&token), body.to_string(), &headers);
    let mut stream = Stream::open(request).await;
    assert!(stream.message().await.unwrap()["method"].is_string());
    let goodbye = stream.message().await.expect("a result");
    assert_eq!(goodbye["result"]["resultType"], "complete", "{goodbye}");
    assert_eq!(stream.next().await, None);
    let now = Clock::System.now_seconds();
    assert!((ends - 1..ends + 6).contains(&now), "{now} for {ends}");
}

#[tokio::test]
async fn each_revision_marks_the_places_that_it_has() {
    let world = World::start().await;
    for (revision, places, begins_with_one) in [
        ("2024-11-05", false, false),
        ("2025-03-26", true, false),
        ("2025-06-18", true, false),
        (REVISION, true, true),
    ] {
        let session = Conversation::begin(&world, "technician", revision).await;
        let mut stream = session.open(&request(1, "tools/call", told(slow(1200), "p"))).await;
        let mut first = true;
        while let Some(event) = stream.next().await {
            assert_eq!(event.id.is_some(), places, "{revision}: {event:?}");
            assert_eq!(event.message().is_null(), first && begins_with_one, "{revision}: {event:?}");
            first = false;
        }
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_answer_in_one_piece() {
    let world = World::start().await;
    let (body, mut headers) = modern("tools/call", told(slow(1200), "p"));
    headers.push(("accept", BOTH.to_owned()));
    let request = message(&world.mcp_url, Some(&world.token("technician")), body.to_string(), &headers);
    let answer = exchange(&world.base, written(&request).replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["result"]["isError"], false);
}
