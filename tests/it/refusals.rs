//! Refusals as a client sees them that is still sending: over HTTP/2, with framing that nobody understands, and in
//! the middle of a stop.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http::{message, modern};
use crate::support::http2::Http2;
use crate::support::plan::Plan;
use crate::support::wait::{PATIENCE, until};
use crate::support::world::World;

/// Several times what a stream may send before it is read, and little enough to be read on a busy machine.
const LARGE: usize = 256 << 10;

async fn over_http2() -> (World, Http2) {
    let world = World::of(Plan { tls: true, server: "max_body = \"16KiB\"", ..Plan::default() }).await;
    let connection = Http2::connect(&world.base, &world.ca_file()).await;
    (world, connection)
}

fn boards(world: &World) -> http::Request<Bytes> {
    let params = json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_boards"}});
    let (body, headers) = modern("tools/call", params);
    message(&world.mcp_url, Some(&world.token("technician")), body.to_string(), &headers)
}

#[tokio::test]
async fn a_refusal_for_want_of_a_token_is_seen_over_http2_behind_a_large_body() {
    let (world, connection) = over_http2().await;
    for token in [None, Some("a.b.c")] {
        let request = message(&world.mcp_url, token, vec![b' '; LARGE], &[]);
        let answer = tokio::time::timeout(PATIENCE, connection.send(request)).await.unwrap().unwrap();
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").starts_with("Bearer resource_metadata="));
        assert!(answer.body["error_description"].is_string(), "{answer:?}");
    }
    let answer = connection.send(boards(&world)).await.unwrap();
    assert_eq!((answer.status, answer.is_error()), (200, false), "{answer:?}");
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_over_http2_announced_or_not() {
    let (world, connection) = over_http2().await;
    let token = world.token("technician");
    for length in [None, Some(LARGE)] {
        let announced: Vec<_> =
            length.map(|length| ("content-length", length.to_string())).into_iter().collect();
        let request = message(&world.mcp_url, Some(&token), vec![b' '; LARGE], &announced);
        let answer = tokio::time::timeout(PATIENCE, connection.send(request)).await.unwrap().unwrap();
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(answer.body["error_description"].as_str().unwrap().contains("16384"), "{answer:?}");
    }
    let answer = connection.send(boards(&world)).await.unwrap();
    assert_eq!((answer.status, answer.is_error()), (200, false), "{answer:?}");
}

#[tokio::test]
async fn a_refusal_over_http1_leaves_the_connection_to_the_next_request() {
    let world = World::of(Plan::default()).await;
    let host = world.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /api/mcp HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
    );
    for _ in 0..2 {
        // Head and body apart, as many clients send them, and at once: the server waits for moments only.
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"{}").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut some = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut some)).await.unwrap().unwrap();
            assert_ne!(read, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&some[..read]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("keep-alive"), "{answer}");
    }
}

/// Writes `request` and reads until the server closes.
async fn raw(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is a close as well.
    closed.expect("closed in time").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A good head but for its framing, which is `framing`.
fn head(world: &World, framing: &str) -> String {
    format!(
        "POST /api/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n",
        world.base.trim_start_matches("http://"),
        world.token("technician"),
    )
}

fn call() -> String {
    let params = json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_boards"}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

#[tokio::test]
async fn a_body_whose_framing_is_doubtful_is_refused_and_ends_the_connection() {
    let world = World::start().await;
    let (body, length) = (call(), call().len());
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    // What a proxy in front might have taken for part of the first request.
    let smuggled = format!("{}{body}", head(&world, &format!("Content-Length: {length}")));
    let mut wrong = Vec::new();
    for (framing, body) in [
        ("Transfer-Encoding: gzip".to_owned(), body.clone()),
        ("Transfer-Encoding: gzip, chunked".to_owned(), chunked.clone()),
        ("Transfer-Encoding: identity".to_owned(), body.clone()),
        ("Transfer-Encoding: xchunked".to_owned(), chunked.clone()),
        (format!("Transfer-Encoding: chunked, identity\r\nContent-Length: {length}"), body.clone()),
        (format!("Content-Length: {length}\r\nContent-Length: 5"), format!("{body}{smuggled}")),
        (format!("Content-Length: {length}, 5"), format!("{body}{smuggled}")),
        (format!("Content-Length: +{length}"), body.clone()),
        ("Content-Length: -1".to_owned(), body.clone()),
        ("Content-Length: 0x10".to_owned(), body.clone()),
        ("Transfer-Encoding : chunked".to_owned(), chunked.clone()),
        ("Transfer-Encoding: chunked".to_owned(), format!("zz\r\n{body}\r\n0\r\n\r\n")),
    ] {
        let answer = raw(&world, &(head(&world, &framing) + &body)).await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
        if !refused || answer.matches("HTTP/1.1").count() > 1 || !world.reached().await.is_empty() {
            wrong.push(format!("{framing:?}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let named = raw(&world, &(head(&world, "Transfer-Encoding: gzip") + &body)).await;
    assert!(named.starts_with("HTTP/1.1 400"), "{named}");
}

#[tokio::test]
async fn a_chunked_body_beside_a_length_is_read_as_chunks_and_nothing_behind_it_is_answered() {
    let world = World::start().await;
    let (body, length) = (call(), call().len());
    let smuggled = format!("{}{body}", head(&world, &format!("Content-Length: {length}")));
    let framing = "Content-Length: 4\r\nTransfer-Encoding: chunked";
    let answer =
        raw(&world, &format!("{}{length:x}\r\n{body}\r\n0\r\n\r\n{smuggled}", head(&world, framing))).await;
    assert!(answer.matches("HTTP/1.1").count() <= 1, "{answer}");
    assert!(world.reached().await.len() <= 1);
}

#[tokio::test]
async fn a_second_request_on_a_connection_shows_its_own_token_or_is_refused() {
    let world = World::start().await;
    let (body, length) = (call(), call().len());
    let first = format!("{}{body}", head(&world, &format!("Content-Length: {length}")));
    let host = world.base.trim_start_matches("http://");
    let second = format!(
        "POST /api/mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    stream.write_all(second.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("HTTP/1.1 401") && !rest.contains("HTTP/1.1 200"), "{rest}");
    assert_eq!(world.reached().await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_given_during_the_drain_ends_its_connection() {
    let mut world = World::start().await;
    let params = json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_reports_slow", "query": {"ms": 800}}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let request = head(&world, &format!("Content-Length: {}", body.len())) + &body;
    let mut stream = TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
    let mut answer = String::new();
    let (read, ()) = tokio::join!(stream.read_to_string(&mut answer), world.stop());
    read.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("\r\nconnection: close"),
        "{head}"
    );
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["result"]["isError"], false);
}
