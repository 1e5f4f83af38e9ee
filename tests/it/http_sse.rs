//! HTTP+SSE, the oldest transport: a stream, and beside it an address for messages that lets nobody in by itself.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::clock::Clock;

use crate::support::conversation::{call, notice, request, slow, told};
use crate::support::http::{Answer, message};
use crate::support::issuer::Issuer;
use crate::support::plan::{Plan, Trusted};
use crate::support::sse::Stream;
use crate::support::world::{World, until};

const PATH: &str = "/api/mcp/sse";

/// A world that serves it, with further lines for its section.
async fn world(lines: &str) -> World {
    World::with("", &format!("[sse]\nenabled = true\n{lines}\n")).await
}

fn token(world: &World, agent: &str, resource: &str) -> String {
    world.issuer.allow_resource(resource);
    world.issuer.token_for(&format!("demo-{agent}"), resource).unwrap().expose().to_owned()
}

fn opening(world: &World, token: Option<&str>) -> http::Request<Bytes> {
    let mut head = http::Request::get(format!("{}{PATH}", world.base)).header("accept", "text/event-stream");
    if let Some(token) = token {
        head = head.header("authorization", format!("Bearer {token}"));
    }
    head.body(Bytes::new()).unwrap()
}

/// An open stream with the address of its messages.
struct Line<'a> {
    world: &'a World,
    token: String,
    stream: Stream,
    messages: String,
}

impl<'a> Line<'a> {
    async fn open(world: &'a World, agent: &str) -> Self {
        let token = token(world, agent, &format!("{}{PATH}", world.base));
        let mut stream = Stream::open(opening(world, Some(&token))).await;
        assert!(stream.is_stream(), "{}", stream.status);
        let first = stream.next().await.unwrap();
        assert_eq!(first.kind, "endpoint");
        let messages = first.data.unwrap();
        Self { world, token, stream, messages }
    }

    async fn say(&self, said: &Value) -> Answer {
        post(self.world, &self.messages, Some(&self.token), said).await
    }

    /// Says it, and reads the answer where it comes.
    async fn ask(&mut self, said: &Value) -> Value {
        let taken = self.say(said).await;
        assert_eq!((taken.status, taken.body), (202, Value::String(String::new())));
        let answer = self.stream.next().await.expect("an answer");
        assert_eq!(answer.kind, "message");
        answer.message()
    }
}

async fn post(world: &World, url: &str, token: Option<&str>, said: &Value) -> Answer {
    world.send(message(url, token, said.to_string(), &[])).await
}

#[tokio::test]
async fn it_is_off_unless_it_is_switched_on() {
    let world = World::start().await;
    let token = world.token("technician");
    assert_eq!(Stream::open(opening(&world, Some(&token))).await.status, 404);
    let messages = format!("{}{PATH}/messages?stream=x", world.base);
    assert_eq!(post(&world, &messages, Some(&token), &request(1, "ping", json!({}))).await.status, 404);
}

#[tokio::test]
async fn a_call_whose_stream_is_lost_goes_on_to_its_end() {
    let world = world("").await;
    let line = Line::open(&world, "technician").await;
    assert_eq!(line.say(&request(1, "tools/call", slow(1500))).await.status, 202);
    until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
    drop(line);
    let of_calls = |record: &&Value| record["method"] == "tools/call";
    let records = world.records_when(|records| records.iter().any(|record| of_calls(&record))).await;
    assert_eq!(records.iter().find(of_calls).unwrap()["outcome"], "ok");
    assert!(world.reached().await.iter().all(|request| request["aborted"] != true));
}

#[tokio::test]
async fn a_whole_conversation_takes_place_on_one_stream() {
    let world = world("").await;
    let mut line = Line::open(&world, "technician").await;
    assert_eq!(line.stream.header("x-accel-buffering"), "no");
    assert!(
        line.messages.starts_with(&format!("{}{PATH}/messages?stream=", world.base)),
        "{}",
        line.messages
    );
    let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}});
    let welcome = line.ask(&request(0, "initialize", hello)).await;
    assert_eq!(welcome["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(line.say(&notice("notifications/initialized", json!({}))).await.status, 202);
    let listed = line.ask(&request("list", "tools/list", json!({}))).await;
    assert_eq!(listed["id"], "list");
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 3);
    let boards = line.ask(&request(2, "tools/call", call("get-_api_v1_boards", json!({})))).await;
    assert_eq!(boards["result"]["isError"], false, "{boards}");
    let unknown = line.ask(&request(3, "no/such/method", json!({}))).await;
    assert_eq!((&unknown["id"], &unknown["error"]["code"]), (&json!(3), &json!(-32601)));
    let nonsense = line.say(&json!("nonsense")).await;
    assert_eq!(nonsense.status, 202);
    assert_eq!(line.stream.message().await.unwrap()["error"]["code"], -32600);
    let records = world.records(6).await;
    let named = records.iter().filter(|record| record["client_name"] == "old").count();
    assert!(named >= 4, "{records:?}");
}

#[tokio::test]
async fn the_address_of_messages_is_built_from_the_public_url() {
    let public = "public_url = \"https://gate.example/psa/\"";
    let world = World::with(public, "[sse]\nenabled = true\n").await;
    let token = token(&world, "technician", &format!("https://gate.example/psa{PATH}"));
    let mut stream = Stream::open(opening(&world, Some(&token))).await;
    let first = stream.next().await.unwrap();
    let address = first.data.unwrap();
    assert!(address.starts_with("https://gate.example/psa/api/mcp/sse/messages?stream="), "{address}");
    let refused = world.send(opening(&world, None)).await;
    let metadata = "https://gate.example/.well-known/oauth-protected-resource/psa/api/mcp/sse";
    assert!(refused.header("www-authenticate").contains(metadata), "{refused:?}");
}

#[tokio::test]
async fn every_message_shows_a_token_of_its_own() {
    let world = world("").await;
    let mut line = Line::open(&world, "technician").await;
    let ping = request(1, "ping", json!({}));
    let refused = post(&world, &line.messages, None, &ping).await;
    let metadata = format!("{}/.well-known/oauth-protected-resource{PATH}", world.base);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), format!("Bearer resource_metadata=\"{metadata}\""));
    assert_eq!(post(&world, &line.messages, Some("no.good.token"), &ping).await.status, 401);
    let main = world.token("technician");
    assert_eq!(
        post(&world, &line.messages, Some(&main), &ping).await.status,
        401,
        "it is for another resource"
    );
    assert_eq!(line.ask(&ping).await["result"], json!({}));
    for method in ["GET", "DELETE", "PUT", "HEAD"] {
        for url in [&format!("{}{PATH}", world.base), &line.messages] {
            let request = http::Request::builder().method(method).uri(url).body(Bytes::new()).unwrap();
            assert_eq!(world.send(request).await.status, 401, "{method} {url}");
        }
    }
}

#[tokio::test]
async fn an_address_is_good_for_the_agent_of_its_stream_while_that_is_open() {
    let world = world("").await;
    let line = Line::open(&world, "technician").await;
    let ping = request(1, "ping", json!({}));
    let resource = format!("{}{PATH}", world.base);
    let other = token(&world, "reader", &resource);
    let refused = post(&world, &line.messages, Some(&other), &ping).await;
    assert_eq!((refused.status, refused.body["error"].as_str()), (404, Some("session_not_found")));
    for address in [
        format!("{resource}/messages"),
        format!("{}x", line.messages),
        format!("{resource}/messages?stream="),
    ] {
        assert_eq!(post(&world, &address, Some(&line.token), &ping).await.status, 404, "{address}");
    }
    let Line { token, stream, messages, .. } = line;
    drop(stream);
    until(|| async { (post(&world, &messages, Some(&token), &ping).await.status == 404).then_some(()) })
        .await;
}

#[tokio::test]
async fn where_the_stream_is_proof_its_address_stands_for_the_token_and_for_nothing_more() {
    let world = world("stream_is_proof = true").await;
    let mut line = Line::open(&world, "technician").await;
    let boards = request(1, "tools/call", call("get-_api_v1_boards", json!({})));
    let messages = line.messages.clone();
    assert_eq!(post(&world, &messages, None, &boards).await.status, 202);
    assert_eq!(line.stream.message().await.unwrap()["result"]["isError"], false);
    let record = world.records(2).await.pop().unwrap();
    assert_eq!((&record["agent"], &record["method"]), (&json!("technician"), &json!("tools/call")));
    // Another's address, no address, a bad token beside a good address.
    assert_eq!(post(&world, &format!("{messages}x"), None, &boards).await.status, 401);
    assert_eq!(post(&world, &format!("{}{PATH}/messages", world.base), None, &boards).await.status, 401);
    assert_eq!(post(&world, &messages, Some("no.good.token"), &boards).await.status, 401);
    // It opens nothing else.
    let stream = messages.split_once('?').unwrap().1;
    assert_eq!(post(&world, &format!("{}?{stream}", world.mcp_url), None, &boards).await.status, 401);
    drop(line);
    until(|| async { (post(&world, &messages, None, &boards).await.status == 401).then_some(()) }).await;
}

#[tokio::test]
async fn an_agent_that_is_switched_off_between_two_messages_is_refused_with_the_second() {
    for proof in [false, true] {
        let world = world(&format!("stream_is_proof = {proof}")).await;
        let mut line = Line::open(&world, "technician").await;
        let boards = request(1, "tools/call", call("get-_api_v1_boards", json!({})));
        assert_eq!(line.ask(&boards).await["result"]["isError"], false);
        world.store().await.switch("technician", false).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let reached = world.reached().await.len();
        let token = Some(line.token.as_str()).filter(|_| !proof);
        let refused = post(&world, &line.messages, token, &boards).await;
        assert!([401, 403].contains(&refused.status), "{refused:?}");
        assert_eq!(line.stream.next().await, None, "its stream ends");
        assert_eq!(world.reached().await.len(), reached);
    }
}

#[tokio::test]
async fn a_stream_lasts_no_longer_than_its_time() {
    let world = world("lifetime = \"1s\"").await;
    let began = Instant::now();
    let mut line = Line::open(&world, "technician").await;
    assert_eq!(line.stream.next().await, None);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    until(|| async { (line.say(&request(1, "ping", json!({}))).await.status == 404).then_some(()) }).await;
}

#[tokio::test]
async fn a_stream_does_not_hold_the_end_of_the_server_and_counts_among_its_agents() {
    let plan = Plan {
        limits: "streams = 1",
        server: "grace = \"20s\"",
        more: "[sse]\nenabled = true\n",
        ..Plan::default()
    };
    let mut world = World::of(plan).await;
    let token = token(&world, "technician", &format!("{}{PATH}", world.base));
    let mut stream = Stream::open(opening(&world, Some(&token))).await;
    stream.next().await.unwrap();
    let second = Stream::open(opening(&world, Some(&token))).await;
    assert_eq!(second.status, 429);
    let began = Instant::now();
    let ((), end) = tokio::join!(world.stop(), stream.next());
    assert_eq!(end, None);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_call_does_not_hold_a_ping_and_tells_of_its_progress() {
    let world = world("").await;
    let mut line = Line::open(&world, "technician").await;
    assert_eq!(line.say(&request("slow", "tools/call", told(slow(2000), "p"))).await.status, 202);
    assert_eq!(line.ask(&request("ping", "ping", json!({}))).await["id"], "ping");
    let mut progress = 0;
    loop {
        let said = line.stream.message().await.unwrap();
        if said["method"] == "notifications/progress" {
            assert_eq!(said["params"]["progressToken"], "p");
            progress += 1;
            continue;
        }
        assert_eq!((&said["id"], &said["result"]["isError"]), (&json!("slow"), &json!(false)));
        break;
    }
    assert!(progress > 0);
}

#[tokio::test]
async fn a_call_is_cancelled_by_a_notification_and_nothing_is_said_of_it() {
    let world = world("").await;
    let mut line = Line::open(&world, "technician").await;
    assert_eq!(line.say(&request(5, "tools/call", slow(20_000))).await.status, 202);
    until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
    let cancelled = notice("notifications/cancelled", json!({"requestId": 5}));
    assert_eq!(line.say(&cancelled).await.status, 202);
    until(|| async { (world.reached().await[0]["aborted"] == true).then_some(()) }).await;
    assert_eq!(line.ask(&request(6, "ping", json!({}))).await["id"], 6, "the next that is said is another's");
    let records =
        world.records_when(|records| records.iter().any(|record| record["outcome"] == "cancelled")).await;
    assert_eq!(records.iter().filter(|record| record["method"] == "tools/call").count(), 1);
}

#[tokio::test]
async fn each_of_the_two_addresses_takes_its_own_method_only() {
    let world = world("").await;
    let line = Line::open(&world, "technician").await;
    let with = |method: &str, url: &str, accept: &str| {
        let head = http::Request::builder().method(method).uri(url).header("accept", accept.to_owned());
        head.header("authorization", format!("Bearer {}", line.token)).body(Bytes::from("{}")).unwrap()
    };
    let stream = format!("{}{PATH}", world.base);
    assert_eq!(world.send(with("POST", &stream, "*/*")).await.status, 405);
    assert_eq!(world.send(with("DELETE", &stream, "*/*")).await.status, 405);
    assert_eq!(world.send(with("GET", &line.messages, "text/event-stream")).await.status, 405);
    assert_eq!(world.send(with("GET", &stream, "application/json")).await.status, 406);
    assert_eq!(world.send(with("POST", &line.messages, "*/*")).await.status, 415, "no content type");
}

#[tokio::test]
async fn a_stream_is_proof_for_no_longer_than_its_token() {
    let issuer = Issuer::start().await;
    let agents = vec![("technician", "somebody".to_owned(), "technician")];
    let trusted = Some(Trusted { issuer: &issuer.url, agents });
    let more = "[sse]\nenabled = true\nstream_is_proof = true\n";
    let world = World::of(Plan { trusted, more, ..Plan::default() }).await;
    let ends = Clock::System.now_seconds() + 8;
    let token = issuer.token("somebody", &format!("{}{PATH}", world.base), json!({"exp": ends}));
    let mut stream = Stream::open(opening(&world, Some(&token))).await;
    let messages = stream.next().await.unwrap().data.unwrap();
    let ping = request(1, "ping", json!({}));
    assert_eq!(post(&world, &messages, None, &ping).await.status, 202);
    assert_eq!(stream.message().await.unwrap()["result"], json!({}));
    assert_eq!(stream.next().await, None);
    assert!(Clock::System.now_seconds() >= ends - 1);
    until(|| async { (post(&world, &messages, None, &ping).await.status == 401).then_some(()) }).await;
}
