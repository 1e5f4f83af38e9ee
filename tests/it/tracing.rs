//! One request found again everywhere: its client's trace goes on to the PSA, and its id is in every answer.

mod ids;
mod spans;

use serde_json::{Value, json};

use crate::support::conversation::{Conversation, call, request};
use crate::support::http::message;
use crate::support::plan::Plan;
use crate::support::sse::Stream;
use crate::support::stdio::Pipes;
use crate::support::tap::{Sent, Tap};
use crate::support::world::{World, modern, until};
use crate::{batches, connect};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";

/// A client's place in a trace.
fn parent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-{flags}")
}

/// A read of the newest revision with this in its metadata.
fn read(meta: Value) -> (Value, Vec<(&'static str, String)>) {
    let mut params = call("get-_api_v1_tickets", json!({"query": {"limit": 1}}));
    params["_meta"] = meta;
    modern("tools/call", params)
}

async fn tapped(more: &str) -> World {
    World::of(Plan { tapped: true, more, ..Plan::default() }).await
}

/// The calls of endpoints that reached the PSA.
fn calls(sent: Vec<Sent>) -> Vec<Sent> {
    sent.into_iter().filter(|sent| sent.target.starts_with("/api/v1/tickets")).collect()
}

/// Trace, span and flags as the PSA was told, which are well formed.
fn told(sent: &Sent) -> (String, String, String) {
    let text = sent.header("traceparent").unwrap_or_else(|| panic!("none in {sent:?}"));
    let fields: Vec<_> = text.split('-').map(str::to_owned).collect();
    let [version, trace, span, flags] = fields.try_into().unwrap();
    let well = |text: &str, length| text.len() == length && text.bytes().any(|byte| byte != b'0');
    assert!(version == "00" && well(&trace, 32) && well(&span, 16), "{text}");
    (trace, span, flags)
}

/// What a client says of its trace, in the header and in the metadata.
type Said = (Option<String>, Option<String>);

/// What the PSA was told, its `tracestate` last, and what is on record.
async fn continued(world: &World, (header, meta): Said) -> ((String, String, String), Option<String>, Value) {
    let before = (calls(world.sent()).len(), world.records(0).await.len());
    let meta = match meta {
        Some(text) => json!({"traceparent": text, "tracestate": "meta=1"}),
        None => json!({"tracestate": "meta=1"}),
    };
    let (body, mut headers) = read(meta);
    headers.push(("tracestate", "header=1".to_owned()));
    headers.extend(header.map(|text| ("traceparent", text)));
    let token = world.token("technician");
    let answer = world.post(Some(&token), body.to_string(), &headers).await;
    assert!(!answer.is_error() && answer.status == 200, "{answer:?}");
    let sent = calls(world.sent()).remove(before.0);
    let record = world.records(before.1 + 1).await.remove(before.1);
    (told(&sent), sent.header("tracestate").map(str::to_owned), record["trace_id"].clone())
}

#[tokio::test]
async fn a_clients_trace_goes_on_to_the_psa_from_its_header_or_its_metadata() {
    let world = tapped("").await;
    let good = |trace, flags| Some(parent(trace, flags));
    for ((header, meta), trace, flags, state) in [
        ((good(TRACE, "01"), None), TRACE, "01", "header=1"),
        ((None, good(TRACE, "01")), TRACE, "01", "meta=1"),
        // The message's own is closer to what is asked than its transport's.
        ((good(OTHER, "01"), good(TRACE, "00")), TRACE, "00", "meta=1"),
        ((good(TRACE, "00"), None), TRACE, "00", "header=1"),
        ((good(TRACE, "01"), Some("00-0-0-01".to_owned())), TRACE, "01", "header=1"),
        ((good(TRACE, "07"), None), TRACE, "01", "header=1"),
    ] {
        let said = format!("{header:?} {meta:?}");
        let (told, told_state, recorded) = continued(&world, (header, meta)).await;
        assert_eq!((told.0.as_str(), told.2.as_str()), (trace, flags), "{said}");
        assert_ne!(told.1, "00f067aa0ba902b7", "{said}: the span is ours");
        assert_eq!(told_state.as_deref(), Some(state), "{said}");
        assert_eq!(recorded, trace, "{said}");
    }
}

#[tokio::test]
async fn what_is_no_traceparent_is_ignored_and_a_new_trace_begun() {
    let world = tapped("").await;
    let zeros = parent(&"0".repeat(32), "01");
    let bad =
        ["", "00-1-2-01", &zeros, &parent(TRACE, "01").to_uppercase(), &format!("{}-", parent(TRACE, "01"))];
    let mut seen = vec![TRACE.to_owned(), OTHER.to_owned(), "0".repeat(32)];
    for text in bad {
        for said in [(Some(text.to_owned()), None), (None, Some(text.to_owned())), (None, None)] {
            let (told, state, recorded) = continued(&world, said).await;
            assert!(!seen.contains(&told.0), "{text:?}: {told:?}");
            assert_eq!((recorded.as_str(), told.2.as_str()), (Some(told.0.as_str()), "01"), "{text:?}");
            assert_eq!(state, None, "{text:?}: a state without a parent is nobody's");
            seen.push(told.0);
        }
    }
}

#[tokio::test]
async fn metadata_that_is_not_a_text_is_no_parent_and_no_fault() {
    let world = tapped("").await;
    for text in [json!(1), json!(null), json!({"a": 1}), json!([parent(TRACE, "01")])] {
        let (body, headers) = read(json!({"traceparent": text, "tracestate": text}));
        let answer = world.post(Some(&world.token("technician")), body.to_string(), &headers).await;
        assert!(answer.status == 200 && !answer.is_error(), "{answer:?}");
    }
    assert!(calls(world.sent()).iter().all(|sent| told(sent).0 != TRACE));
}

#[tokio::test]
async fn the_messages_of_a_batch_are_each_in_their_own_trace_or_in_their_transports() {
    let world = tapped("").await;
    let session = Conversation::begin(&world, "technician", batches::REVISION).await;
    let mut own = call("get-_api_v1_tickets", json!({"query": {"limit": 2}}));
    own["_meta"] = json!({"traceparent": parent(OTHER, "00")});
    let batch = json!([
        request(1, "tools/call", call("get-_api_v1_tickets", json!({"query": {"limit": 1}}))),
        request(2, "tools/call", own),
        request(3, "tools/call", call("get-_api_v1_tickets", json!({"query": {"limit": 3}}))),
    ]);
    let mut post = session.message("application/json", &batch);
    post.headers_mut().insert("traceparent", parent(TRACE, "01").parse().unwrap());
    assert_eq!(world.send(post).await.status, 200);
    let mut seen: Vec<_> =
        calls(world.sent()).iter().map(|sent| (sent.target.clone(), told(sent).0)).collect();
    seen.sort();
    let traces: Vec<_> = seen.iter().map(|(_, trace)| trace.as_str()).collect();
    assert_eq!(traces, [TRACE, OTHER, TRACE]);
}

#[tokio::test]
async fn a_trace_goes_on_over_http_sse() {
    let world = tapped("[sse]\nenabled = true\n").await;
    let path = format!("{}/api/mcp/sse", world.base);
    world.issuer.allow_resource(&path);
    let token = world.issuer.token_for("demo-technician", &path).unwrap().expose().to_owned();
    let opening = http::Request::get(&path).header("accept", "text/event-stream");
    let opening =
        opening.header("authorization", format!("Bearer {token}")).body(Default::default()).unwrap();
    let mut stream = Stream::open(opening).await;
    let messages = stream.next().await.unwrap().data.unwrap();
    let plain = call("get-_api_v1_tickets", json!({"query": {"limit": 1}}));
    let mut own = plain.clone();
    own["_meta"] = json!({"traceparent": parent(OTHER, "01")});
    for (id, params) in [(1, plain), (2, own)] {
        let body = request(id, "tools/call", params).to_string();
        let headers = [("traceparent", parent(TRACE, "01"))];
        assert_eq!(world.send(message(&messages, Some(&token), body, &headers)).await.status, 202);
        assert_eq!(stream.message().await.unwrap()["id"], id);
    }
    let traces: Vec<_> = calls(world.sent()).iter().map(|sent| told(sent).0).collect();
    assert_eq!(traces, [TRACE, OTHER]);
}

#[tokio::test]
async fn a_trace_goes_on_over_stdio() {
    let world = World::start().await;
    let tap = Tap::before(&world.psa.url).await;
    let mut pipes = Pipes::open(connect::technician(&world).await.env("ALGA_INSTANCE_URL", &tap.url));
    pipes.shake_hands("2025-06-18").await;
    let mut params = call("get-_api_v1_tickets", json!({"query": {"limit": 1}}));
    params["_meta"] = json!({"traceparent": parent(TRACE, "00"), "tracestate": "a=1"});
    let result = pipes.ask(1, "tools/call", params).await;
    assert_ne!(result["isError"], true, "{result:#}");
    let sent = calls(tap.seen()).remove(0);
    let (trace, span, flags) = told(&sent);
    assert_eq!((trace.as_str(), flags.as_str(), sent.header("tracestate")), (TRACE, "00", Some("a=1")));
    assert_ne!(span, "00f067aa0ba902b7");
}

#[tokio::test]
async fn what_passes_through_keeps_its_clients_traceparent_as_it_is() {
    let world = tapped("[passthrough]\nenabled = true\n").await;
    let said = parent(TRACE, "01");
    let url = format!("{}/api/v1/tickets", world.base);
    let request = http::Request::get(url).header("traceparent", &said).header("tracestate", "a=1");
    world.send(request.body(Default::default()).unwrap()).await;
    let sent = until(|| async { calls(world.sent()).pop() }).await;
    let found: Vec<_> =
        sent.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("trace")).collect();
    assert_eq!(found, [&("traceparent".to_owned(), said), &("tracestate".to_owned(), "a=1".to_owned())]);
}
