//! Spans as a receiver of OTLP gets them.

use serde_json::json;

use super::{TRACE, calls, parent, read, tapped, told as sent_parent};
use crate::support::conversation::call;
use crate::support::otlp::{Receiver, Span};
use crate::support::plan::Plan;
use crate::support::world::{World, until};

fn section(receiver: &Receiver, lines: &str) -> String {
    format!("[trace]\nendpoint = \"{}\"\n{lines}\n", receiver.endpoint)
}

/// The server's spans and the client's.
fn sorted(spans: &[Span]) -> (Vec<&Span>, Vec<&Span>) {
    assert!(spans.iter().all(|span| span.kind == 2 || span.kind == 3), "{spans:?}");
    spans.iter().partition(|span| span.kind == 2)
}

#[tokio::test]
async fn a_call_is_a_span_in_its_clients_trace_and_the_psa_is_called_within_it() {
    let receiver = Receiver::start(vec![]).await;
    let world = tapped(&section(&receiver, "token = \"s3cret\"")).await;
    let (body, headers) = read(json!({"traceparent": parent(TRACE, "01"), "tracestate": "a=1"}));
    let answer = world.post(Some(&world.token("technician")), body.to_string(), &headers).await;
    let spans = receiver.some(2).await;
    let (servers, clients) = sorted(&spans);
    let (server, client) = (servers[0], clients[0]);
    assert_eq!((server.trace.as_str(), server.parent.as_str()), (TRACE, "00f067aa0ba902b7"));
    assert_eq!((client.trace.as_str(), &client.parent), (TRACE, &server.id));
    assert_eq!((server.state.as_str(), client.state.as_str()), ("a=1", "a=1"));
    // Sampled; the parent of the first is known to be elsewhere, that of the second to be here.
    assert_eq!((server.flags, client.flags), (0x301, 0x101));
    assert_eq!(sent_parent(&calls(world.sent())[0]), (TRACE.to_owned(), client.id.clone(), "01".to_owned()));
    assert!(server.began <= client.began && client.began < client.ended && client.ended <= server.ended);
    assert!(!server.failed && !client.failed);

    assert_eq!(server.name, "tools/call call_api_endpoint");
    let expected = [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "call_api_endpoint"),
        ("mcp.method.name", "tools/call"),
        ("mcp.protocol.version", headers[0].1.as_str()),
        ("sidegate.agent", "technician"),
        ("sidegate.entry_id", "get-_api_v1_tickets"),
        ("sidegate.outcome", "ok"),
        ("sidegate.request_id", answer.header("x-request-id")),
        ("sidegate.tenant", "demo"),
    ];
    let found: Vec<_> = server.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!(client.name, "GET /api/v1/tickets");
    let expected = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.template", "/api/v1/tickets"),
    ];
    let found: Vec<_> = client.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);

    let headers = &receiver.headers()[0];
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let resource = &receiver.resources()[0];
    assert_eq!(resource["service.name"], "sidegate");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let exported = "sidegate_trace_spans_total{result=\"exported\"}";
    until(|| async { (world.metric(exported).await == 2.0).then_some(()) }).await;
}

#[tokio::test]
async fn what_went_wrong_is_told_and_what_a_client_made_up_is_not() {
    let receiver = Receiver::start(vec![]).await;
    let world = World::with("", &section(&receiver, "")).await;
    let long = "x".repeat(10_000);
    world.call("technician", &long, json!({})).await;
    world.post(None, long.clone(), &[]).await;
    world.ask("technician", &long, json!({})).await;
    let missing =
        call("get-_api_v1_tickets_id", json!({"path": {"id": "00000000-0000-4000-8000-000000000000"}}));
    world.ask("technician", "tools/call", missing).await;
    let spans = receiver.some(5).await;
    let (servers, clients) = sorted(&spans);
    assert!(servers.iter().chain(&clients).all(|span| span.failed), "{spans:#?}");
    for text in servers.iter().flat_map(|span| span.attributes.values().chain([&span.name])) {
        assert!(text.len() < 100, "{text}");
    }
    let kinds: Vec<_> =
        servers.iter().map(|span| (span.name.as_str(), span.attributes["error.type"].as_str())).collect();
    for kind in [
        ("tools/call", "fault"),
        ("request", "refused"),
        ("request", "fault"),
        ("tools/call call_api_endpoint", "tool_error"),
    ] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    assert_eq!(clients.len(), 1);
    assert_eq!(clients[0].name, "GET /api/v1/tickets/{id}");
    assert_eq!(clients[0].attributes["error.type"], "404");
}

#[tokio::test]
async fn the_client_decides_what_is_sampled_and_the_ratio_only_where_it_does_not() {
    let receiver = Receiver::start(vec![]).await;
    let mut world = tapped(&section(&receiver, "sample = 0.0")).await;
    let token = world.token("technician");
    for meta in
        [json!({"traceparent": parent(TRACE, "00")}), json!({}), json!({"traceparent": parent(TRACE, "01")})]
    {
        let (body, headers) = read(meta);
        world.post(Some(&token), body.to_string(), &headers).await;
    }
    let flags: Vec<_> = calls(world.sent()).iter().map(|sent| sent_parent(sent).2).collect();
    assert_eq!(flags, ["00", "00", "01"]);
    // What waits is handed over at the end.
    world.stop().await;
    let spans = receiver.spans();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace == TRACE));
}

#[tokio::test]
async fn a_receiver_that_cannot_take_them_now_gets_them_later_and_nobody_waits() {
    let receiver = Receiver::start(vec![503, 429]).await;
    let world = World::with("", &section(&receiver, "")).await;
    let answer = world.ask("technician", "tools/list", json!({})).await;
    assert_eq!(answer.status, 200);
    let spans = receiver.some(1).await;
    assert_eq!((spans.len(), receiver.headers().len()), (1, 3));
    assert_eq!(spans[0].attributes["sidegate.request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn a_receiver_that_refuses_or_is_not_there_costs_spans_and_no_call() {
    let receiver = Receiver::start(vec![400]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("[trace]\nendpoint = \"http://{closed}/v1/traces\"\n");
    for more in [section(&receiver, ""), away] {
        let world = World::of(Plan { more: &more, ..Plan::default() }).await;
        assert_eq!(world.ask("technician", "tools/list", json!({})).await.status, 200);
        let failed = "sidegate_trace_spans_total{result=\"failed\"}";
        until(|| async { (world.metric(failed).await == 1.0).then_some(()) }).await;
    }
    assert!(receiver.spans().is_empty());
}
