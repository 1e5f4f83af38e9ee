//! What is long: WebSockets, event streams, large bodies; and how they end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ON, ask, authority, in_front_of, over_tls, request};
use crate::support::plan::Plan;
use crate::support::wait::until;
use crate::support::web::{Conn, Raw, Web, http2};
use crate::support::world::World;

const HANDSHAKE: &str =
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Shakes hands and sends back what it gets, between brackets.
async fn sockets() -> Web {
    Web::new(|mut conn| async move {
        let Some(head) = conn.head().await else { return };
        assert!(head.to_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
        conn.say(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
        )
        .await;
        while let Some(bytes) = conn.some().await {
            conn.say_bytes(&[b"<", bytes.as_slice(), b">"].concat()).await;
        }
    })
    .await
}

async fn open_socket(world: &World) -> Raw<tokio::net::TcpStream> {
    let mut client = Raw::connect(&world.base).await;
    let host = authority(world);
    client
        .say(format!(
            "GET /live HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\n{HANDSHAKE}\r\n"
        ))
        .await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_until_one_side_ends() {
    let web = sockets().await;
    let world = in_front_of(&web, "read_timeout = \"300ms\"").await;
    let mut client = open_socket(&world).await;
    assert_eq!(client.until("hello").await, "hello");
    for word in ["one", "\0\x01two"] {
        client.say(word).await;
        assert_eq!(client.until(">").await, format!("<{word}>"));
    }
    // Silence longer than a request may have.
    tokio::time::sleep(Duration::from_millis(700)).await;
    client.say("three").await;
    assert_eq!(client.until(">").await, "<three>");
    drop(client);
    let counted = "sidegate_passthrough_requests_total{class=\"1xx\"}";
    until(|| async { (world.metric(counted).await == 1.0).then_some(()) }).await;
}

#[tokio::test]
async fn an_agents_token_opens_no_websocket_and_no_hidden_path_does() {
    let web = sockets().await;
    let world = in_front_of(&web, "").await;
    let lines = format!("{HANDSHAKE}Authorization: Bearer {}\r\n", world.token("technician"));
    assert!(ask(&world, "GET", "/live", &lines, "").await.starts_with("HTTP/1.1 403"));
    assert!(ask(&world, "GET", "/api/mcp/live", HANDSHAKE, "").await.starts_with("HTTP/1.1 404"));
    assert!(web.seen().is_empty());
}

#[tokio::test]
async fn open_streams_do_not_hold_the_shutdown() {
    let web = sockets().await;
    let mut world = in_front_of(&web, "").await;
    let mut client = open_socket(&world).await;
    client.until("hello").await;
    let began = Instant::now();
    world.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_request_under_way_is_waited_for_at_shutdown() {
    let web = Web::new(|mut conn| async move {
        while conn.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            conn.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
        }
    })
    .await;
    let mut world = in_front_of(&web, "").await;
    let mut client = Raw::connect(&world.base).await;
    client.say(request(&world, "GET", "/slow", "", "")).await;
    until(|| async { (!web.seen().is_empty()).then_some(()) }).await;
    world.stop().await;
    let answer = client.rest().await;
    assert!(answer.ends_with("late") && answer.to_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_made() {
    // The second event is made only when the client has told that it has the first.
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let web = Web::new(|mut conn| async move {
        if conn.request().await.is_some() {
            conn.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
            for event in 0..3 {
                conn.say(&format!("data: {event}\n\n")).await;
                while HEARD.load(Ordering::SeqCst) <= event {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    })
    .await;
    let world = over_tls(&web, "read_timeout = \"300ms\"").await;
    let mut send = http2(&world.base, world.ca_file()).await.ready().await.unwrap();
    let request = http::Request::get(format!("{}/events", world.base)).header("accept", "text/event-stream");
    let answer = send.send_request(request.body(()).unwrap(), true).unwrap().0.await.unwrap();
    let mut body = answer.into_body();
    for event in 0..3 {
        let piece = body.data().await.unwrap().unwrap();
        assert_eq!(piece, format!("data: {event}\n\n"));
        let _ = body.flow_control().release_capacity(piece.len());
        // Silence longer than a request may have.
        tokio::time::sleep(Duration::from_millis(400)).await;
        HEARD.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads a body to its end and says how long it was; writes as many zeros as the target asks for.
async fn serve_large(mut conn: Conn) {
    while let Some(head) = conn.head().await {
        let lower = head.to_lowercase();
        let length = |text: &str| text.parse::<usize>().unwrap();
        if let Some(down) = head.split(' ').nth(1).unwrap().strip_prefix("/down/") {
            let down = length(down);
            conn.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {down}\r\n\r\n")).await;
            let zeros = vec![0; 1 << 16];
            for _ in 0..down >> 16 {
                conn.say_bytes(&zeros).await;
                SERVED.fetch_add(zeros.len(), Ordering::SeqCst);
            }
            continue;
        }
        let announced =
            lower.lines().find_map(|line| line.strip_prefix("content-length: ")).map(length).unwrap();
        let mut read = 0;
        while read < announced {
            let Some(bytes) = conn.some().await else { return };
            read += bytes.len();
        }
        let said = read.to_string();
        conn.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len())).await;
    }
}

static SERVED: AtomicUsize = AtomicUsize::new(0);
const LARGE: usize = 100 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_go_up_and_down_and_wait_for_whoever_is_slow() {
    let web = Web::new(serve_large).await;
    // Far below what is sent: the bounds of MCP are not those of passthrough.
    let more = format!("{ON}\n");
    let plan = Plan {
        psa_url: Some(&web.url),
        server: "max_body = \"4KiB\"\nbody_timeout = \"1ms\"",
        more: &more,
        tls: true,
        ..Plan::default()
    };
    let world = World::of(plan).await;
    let plain = in_front_of(&web, "").await;
    let mut client = Raw::connect(&plain.base).await;
    client.say(request(&plain, "PUT", "/up", &format!("Content-Length: {LARGE}\r\n"), "")).await;
    let zeros = vec![0; 1 << 20];
    for _ in 0..LARGE >> 20 {
        client.say(&zeros).await;
    }
    let answer = client.rest().await;
    assert!(answer.ends_with(&LARGE.to_string()), "{answer}");

    let send = http2(&world.base, world.ca_file()).await;
    let mut send = send.ready().await.unwrap();
    // Less of it: a window of 64 KiB makes many round trips.
    let some = LARGE / 10;
    let put = http::Request::put(format!("{}/up", world.base)).header("content-length", some);
    let request = put.body(()).unwrap();
    let (answer, mut body) = send.send_request(request, false).unwrap();
    let mut left = some;
    while left > 0 {
        body.reserve_capacity(left.min(1 << 16));
        let granted = std::future::poll_fn(|context| body.poll_capacity(context)).await.unwrap().unwrap();
        let granted = granted.min(left);
        left -= granted;
        body.send_data(Bytes::from(vec![0; granted]), left == 0).unwrap();
    }
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), some.to_string());

    let mut send = send.ready().await.unwrap();
    let request = http::Request::get(format!("{}/down/{LARGE}", world.base)).body(()).unwrap();
    let mut body = send.send_request(request, true).unwrap().0.await.unwrap().into_body();
    // Nobody reads, so nothing more is taken from the PSA than the buffers on the way hold.
    let mut before = usize::MAX;
    until(|| {
        let now = SERVED.load(Ordering::SeqCst);
        let still = std::mem::replace(&mut before, now) == now && now > 0;
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            still.then_some(())
        }
    })
    .await;
    let held = SERVED.load(Ordering::SeqCst);
    assert!(held < 24 << 20, "{held} bytes were taken for a client that reads none");
    let mut read = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        read += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(read, LARGE);
}

#[tokio::test]
async fn an_http_2_body_that_ends_with_an_empty_frame_ends_once() {
    let web = Web::friendly().await;
    let world = over_tls(&web, "").await;
    let mut send = http2(&world.base, world.ca_file()).await;
    for target in ["/first", "/second"] {
        send = send.ready().await.unwrap();
        let request = http::Request::post(format!("{}{target}", world.base)).body(()).unwrap();
        let (answer, mut body) = send.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        body.send_data(Bytes::new(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    let seen = web.seen();
    assert_eq!(seen.len(), 1, "both went over one connection: {seen:?}");
    let bodies: Vec<_> = seen[0].split("\r\n\r\n").collect();
    // Head, chunks, head, chunks, and nothing between or behind.
    assert_eq!(bodies.len(), 5, "{}", seen[0]);
    assert_eq!([bodies[1], bodies[3], bodies[4]], ["5\r\nhello\r\n0", "5\r\nhello\r\n0", ""]);
    assert!(bodies[2].starts_with("POST /second HTTP/1.1\r\n"), "{}", seen[0]);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on_by_the_psa() {
    let web = Web::new(|mut conn| async move {
        while let Some(head) = conn.head().await {
            if head.contains("/refused") {
                conn.say("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            }
            conn.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            conn.until(b"hello").await;
            if head.contains("/breaks") {
                return;
            }
            conn.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let world = in_front_of(&web, "").await;
    let mut client = Raw::connect(&world.base).await;
    client.say(request(&world, "POST", "/up", "Expect: 100-continue\r\nContent-Length: 5\r\n", "")).await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    client.say("hello").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 200"));
    let mut client = Raw::connect(&world.base).await;
    client
        .say(request(&world, "POST", "/refused", "Expect: 100-continue\r\nContent-Length: 5\r\n", ""))
        .await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 417"));
}
