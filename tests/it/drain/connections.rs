//! Connections of a server that drains: kept ones and new ones, HTTP/1 and HTTP/2.

use bytes::Bytes;
use h2::client::SendRequest;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::order;
use crate::support::http::message;
use crate::support::plan::Plan;
use crate::support::wait::{PATIENCE, until};
use crate::support::web::Raw;
use crate::support::wire::Tls;
use crate::support::world::{World, modern};

/// A message of the technician: a slow call, or the list of tools.
fn request(world: &World, slow: bool) -> http::Request<Bytes> {
    let slow_call = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 3000}});
    let (body, headers) = match slow {
        true => modern("tools/call", json!({"name": "call_api_endpoint", "arguments": slow_call})),
        false => modern("tools/list", json!({})),
    };
    message(&world.mcp_url, Some(&world.token("technician")), body.to_string(), &headers)
}

/// The same as HTTP/1.1 has it.
fn written(world: &World, slow: bool) -> String {
    let (head, body) = request(world, slow).into_parts();
    let mut text = format!("POST /api/mcp HTTP/1.1\r\nhost: {}\r\n", world.authority());
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    text + &format!("content-length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(&body))
}

/// One connection of HTTP/2, and its end.
struct Two {
    send: SendRequest<Bytes>,
    end: JoinHandle<Result<(), h2::Error>>,
}

impl Two {
    async fn connect(world: &World) -> Self {
        let (_, port) = world.authority().rsplit_once(':').unwrap();
        let tls = Tls::trusting(&world.ca_file(), None, "h2").connect(port.parse().unwrap()).await.unwrap();
        let (send, connection) = h2::client::handshake(tls).await.unwrap();
        Self { send, end: tokio::spawn(connection) }
    }

    /// Status, Retry-After and body, once they are there.
    fn ask(&mut self, request: http::Request<Bytes>) -> JoinHandle<(u16, String, Value)> {
        let (head, body) = request.into_parts();
        let (answer, mut out) = self.send.send_request(http::Request::from_parts(head, ()), false).unwrap();
        out.send_data(body, true).unwrap();
        tokio::spawn(async move {
            let answer = answer.await.unwrap();
            let after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
            let (head, mut body) = answer.into_parts();
            let mut whole = Vec::new();
            while let Some(piece) = body.data().await {
                whole.extend_from_slice(&piece.unwrap());
            }
            (head.status.as_u16(), after.unwrap_or_default(), serde_json::from_slice(&whole).unwrap())
        })
    }

    /// Ends when the connection has, as was announced.
    async fn ended(self) {
        let end = tokio::time::timeout(PATIENCE, self.end).await.expect("closed in time");
        end.unwrap().expect("an end that was announced");
    }
}

/// A slow call is in flight, and the drain has begun.
async fn begin(world: &World) {
    until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
    assert_eq!(world.send(order(world, "POST", "/drain")).await.status, 202);
}

#[tokio::test]
async fn kept_and_new_connections_of_http_1_are_answered_once_more_and_closed() {
    let more = "[passthrough]\nenabled = true\n";
    let world = World::of(Plan { more, ..Plan::default() }).await;
    let (mut kept, mut silent) = (Raw::connect(&world.base).await, Raw::connect(&world.base).await);
    kept.say(written(&world, false)).await;
    assert!(kept.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let mut slow = Raw::connect(&world.base).await;
    slow.say(written(&world, true)).await;
    begin(&world).await;
    let metadata = format!("{}/.well-known/oauth-protected-resource", world.base);
    until(|| async { (world.get(&metadata).await.status == 503).then_some(()) }).await;
    let host = world.authority();
    for path in ["/.well-known/oauth-protected-resource", "/api/v1/tickets", "/api/mcp/..%2f"] {
        let mut new = Raw::connect(&world.base).await;
        new.say(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = new.rest().await.to_lowercase();
        assert!(answer.starts_with("http/1.1 503") && answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    kept.say(written(&world, false)).await;
    let answer = kept.rest().await;
    let (_, answer) = answer.split_once("HTTP/1.1 503").unwrap_or_else(|| panic!("{answer}"));
    assert!(answer.contains("shutting_down") && answer.to_lowercase().contains("retry-after: 5"), "{answer}");
    assert_eq!(world.reached().await.len(), 1, "nothing came through");
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"isError\":false"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(silent.rest().await, "", "it was not cut before the end");
}

#[tokio::test]
async fn kept_connections_of_http_2_are_told_to_go_and_new_ones_why() {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    let idle = Two::connect(&world).await;
    let mut busy = Two::connect(&world).await;
    let slow = busy.ask(request(&world, true));
    begin(&world).await;
    idle.ended().await;
    assert!(!slow.is_finished());
    let mut new = Two::connect(&world).await;
    let (status, after, body) = new.ask(request(&world, false)).await.unwrap();
    assert_eq!((status, after.as_str(), &body["error"]), (503, "5", &json!("shutting_down")));
    new.ended().await;
    assert!(!slow.is_finished(), "the listener was open because of it");
    let (status, _, body) = slow.await.unwrap();
    assert!(status == 200 && body["result"]["isError"] == false, "{body}");
    busy.ended().await;
}
