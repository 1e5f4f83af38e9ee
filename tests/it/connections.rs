//! The public listeners under people who connect and do not behave: too many, too slow, silent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::PingPong;
use h2::client::SendRequest;
use serde_json::{Value, json};
use sidegate::edge::{Door, ServerConfig};
use sidegate::gate::Front;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::support::http::message;
use crate::support::plan::Plan;
use crate::support::wait::PATIENCE;
use crate::support::wire::{Tls, answer, ask, closed};
use crate::support::world::{World, modern, until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port(world))).await.expect("connected")
}

fn port(world: &World) -> u16 {
    let (_, port) = world.authority().rsplit_once(':').expect("a port");
    port.parse().expect("a number")
}

async fn encrypted(server: &str) -> World {
    World::of(Plan { tls: true, server, ..Plan::default() }).await
}

/// Speaks HTTP/2 on a connection of its own.
async fn http2(
    stream: TlsStream<TcpStream>,
    window: u32,
) -> (SendRequest<Bytes>, JoinHandle<Ended>, PingPong) {
    let builder = h2::client::Builder::new().initial_window_size(window).handshake(stream).await;
    let (client, mut connection) = builder.unwrap();
    let pings = connection.ping_pong().unwrap();
    (client, tokio::spawn(connection), pings)
}

type Ended = Result<(), h2::Error>;

/// Sends a message as the technician; the status.
async fn send(client: &mut SendRequest<Bytes>, world: &World, method: &str, params: Value) -> u16 {
    let (body, headers) = modern(method, params);
    let request = message(&world.mcp_url, Some(&world.token("technician")), body.to_string(), &headers);
    let (head, body) = request.into_parts();
    let (response, mut sending) = client.send_request(http::Request::from_parts(head, ()), false).unwrap();
    sending.send_data(body, true).unwrap();
    response.await.unwrap().status().as_u16()
}

/// The arguments of a call that takes longer than all the time limits of these tests.
fn slow() -> Value {
    json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 900}})
}

async fn slow_call(world: &World) {
    let answer = world.call("technician", "call_api_endpoint", slow()).await;
    assert!(!answer.is_error(), "{}", answer.text());
}

/// Writes one byte after another until the other side has had enough.
async fn trickle(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), bytes: &[u8]) {
    let trickling = async {
        for byte in bytes.iter().cycle() {
            let mut said = [0; 64];
            tokio::select! {
                read = stream.read(&mut said) => if !matches!(read, Ok(1..)) { return },
                () = tokio::time::sleep(Duration::from_millis(30)) => {
                    if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, trickling).await.expect("closed in time");
}

#[tokio::test]
async fn a_connection_over_the_cap_is_closed_at_accept_and_one_that_leaves_makes_room() {
    let world = World::with("max_connections = 2", "").await;
    let first = connect(&world).await;
    let mut second = connect(&world).await;
    world.metric_is("sidegate_connections_open", 2.0).await;
    assert_eq!(closed(&mut connect(&world).await).await, b"");
    world.metric_is("sidegate_connections_refused_total", 1.0).await;
    assert_eq!(ask(&mut second, world.authority()).await.unwrap(), 200);
    drop(first);
    world.metric_is("sidegate_connections_open", 1.0).await;
    assert_eq!(ask(&mut connect(&world).await, world.authority()).await.unwrap(), 200);
}

#[tokio::test]
async fn a_header_that_stalls_is_closed_while_a_call_goes_on() {
    let world = World::with("header_timeout = \"300ms\"", "").await;
    let mut stalled = connect(&world).await;
    stalled.write_all(b"POST /api/mcp HTTP/1.1\r\nHost:").await.unwrap();
    let (said, ()) = tokio::join!(closed(&mut stalled), slow_call(&world));
    assert_eq!(said, b"");
    assert_eq!(world.metric("sidegate_connections_timed_out_total{reason=\"header\"}").await, 1.0);
    assert_eq!(world.metric("sidegate_connections_timed_out_total{reason=\"idle\"}").await, 0.0);
}

#[tokio::test]
async fn a_header_that_trickles_is_closed_as_well_on_a_kept_connection_too() {
    let world = World::with("header_timeout = \"300ms\"", "").await;
    let mut kept = connect(&world).await;
    assert_eq!(ask(&mut kept, world.authority()).await.unwrap(), 200);
    for mut stream in [connect(&world).await, kept] {
        stream.write_all(b"GET / HTTP/1.1\r\nA: ").await.unwrap();
        trickle(&mut stream, b"a").await;
    }
    assert_eq!(world.metric("sidegate_connections_timed_out_total{reason=\"header\"}").await, 2.0);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_and_a_long_call_is_not() {
    let world = World::with("idle_timeout = \"300ms\"", "").await;
    let mut silent = connect(&world).await;
    let mut kept = connect(&world).await;
    assert_eq!(ask(&mut kept, world.authority()).await.unwrap(), 200);
    let (silent, kept, ()) = tokio::join!(closed(&mut silent), closed(&mut kept), slow_call(&world));
    assert_eq!((silent, kept), (Vec::new(), Vec::new()));
    assert!(world.metric("sidegate_connections_timed_out_total{reason=\"idle\"}").await >= 2.0);
}

#[tokio::test]
async fn an_idle_http_2_connection_is_told_to_go_whatever_it_pings_and_a_long_call_is_not() {
    let world = encrypted("idle_timeout = \"300ms\"").await;
    let tls = Tls::trusting(&world.ca_file(), None, "h2");
    let (mut client, connection, mut pings) = http2(tls.connect(port(&world)).await.unwrap(), 65_535).await;
    let call = json!({"name": "call_api_endpoint", "arguments": slow()});
    assert_eq!(send(&mut client, &world, "tools/call", call).await, 200, "longer than the idle time");
    assert_eq!(world.records(1).await[0]["client_address"], "127.0.0.1");
    let pinging = async { while pings.ping(h2::Ping::opaque()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, pinging).await.expect("closed in time");
    connection.await.unwrap().expect("an end that was announced");
    assert_eq!(world.metric("sidegate_connections_timed_out_total{reason=\"idle\"}").await, 1.0);
}

#[tokio::test]
async fn an_http_2_header_that_never_ends_does_not_keep_its_connection() {
    let world = encrypted("idle_timeout = \"300ms\"").await;
    let tls = Tls::trusting(&world.ca_file(), None, "h2");
    let mut stream = tls.connect(port(&world)).await.unwrap();
    // HEADERS on stream 1 without END_HEADERS, and the frames that would go on with it, a byte at a time.
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82").await.unwrap();
    trickle(&mut stream, b"\x00\x00\x01\x09\x00\x00\x00\x00\x01\x84").await;
    let mut silent = tls.connect(port(&world)).await.unwrap();
    closed(&mut silent).await;
    assert_eq!(world.metric("sidegate_connections_timed_out_total{reason=\"idle\"}").await, 2.0);
}

#[tokio::test]
async fn a_handshake_that_stalls_is_closed_and_counted() {
    let world = encrypted("handshake_timeout = \"300ms\"").await;
    let mut silent = connect(&world).await;
    let mut half = connect(&world).await;
    half.write_all(b"\x16\x03\x01\x02\x00\x01\x00").await.unwrap();
    let (silent, half) = tokio::join!(closed(&mut silent), closed(&mut half));
    assert_eq!((silent, half), (Vec::new(), Vec::new()));
    world.metric_is("sidegate_tls_handshake_failures_total", 2.0).await;
    let mut plain = connect(&world).await;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    closed(&mut plain).await;
    world.metric_is("sidegate_tls_handshake_failures_total", 3.0).await;
}

/// A message of the technician as HTTP/1.1 has it.
fn written(world: &World, host: &str, body: &Value, headers: &[(&str, String)]) -> String {
    let body = body.to_string();
    let mut head = format!(
        "POST /api/mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Authorization: Bearer {}\r\n",
        body.len(),
        world.token("technician")
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    format!("{head}\r\n{body}")
}

const LONG: &str =
    "max_body = \"16MiB\"\nmax_in_flight = 1\nwrite_timeout = \"300ms\"\nbody_timeout = \"60s\"";

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_does_not_hold_its_place() {
    let world = World::with(LONG, "").await;
    let (mut body, headers) = modern("tools/list", json!({}));
    // It comes back in the answer.
    body["id"] = "x".repeat(12 << 20).into();
    let mut deaf = connect(&world).await;
    deaf.write_all(written(&world, world.authority(), &body, &headers).as_bytes()).await.unwrap();
    world.metric_is("sidegate_connections_open", 0.0).await;
    assert_eq!(world.ask("technician", "tools/list", json!({})).await.status, 200);
    assert!(answer(&mut deaf).await.is_err(), "it was cut");
}

#[tokio::test]
async fn an_http_2_client_that_opens_no_window_does_not_hold_its_place() {
    let world = encrypted(LONG).await;
    let tls = Tls::trusting(&world.ca_file(), None, "h2");
    let (mut client, connection, _) = http2(tls.connect(port(&world)).await.unwrap(), 0).await;
    assert_eq!(send(&mut client, &world, "tools/list", json!({})).await, 200);
    until(|| async {
        let answer = world.ask("technician", "tools/list", json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    connection.abort();
}

#[tokio::test]
async fn those_who_are_not_let_in_take_no_place_while_they_do_not_read_their_refusals() {
    let world = encrypted("max_in_flight = 2").await;
    let tls = Tls::trusting(&world.ca_file(), None, "h2");
    let (mut client, connection, _) = http2(tls.connect(port(&world)).await.unwrap(), 0).await;
    let mut refused = Vec::new();
    for _ in 0..4 {
        let (body, headers) = modern("tools/list", json!({}));
        let (head, _) = message(&world.mcp_url, None, body.to_string(), &headers).into_parts();
        client = client.ready().await.unwrap();
        let (response, sending) = client.send_request(http::Request::from_parts(head, ()), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 401);
        refused.push((response, sending));
    }
    assert_eq!(world.ask("technician", "tools/list", json!({})).await.status, 200);
    connection.abort();
}

#[tokio::test]
async fn connections_without_a_request_are_closed_when_the_listeners_are() {
    let mut world = encrypted("").await;
    let connected = async |alpn| {
        let tls = Tls::trusting(&world.ca_file(), None, alpn);
        tls.connect(port(&world)).await.unwrap()
    };
    let mut one = connected("http/1.1").await;
    assert_eq!(ask(&mut one, world.authority()).await.unwrap(), 200);
    let (_client, two, _) = http2(connected("h2").await, 65_535).await;
    world.metric_is("sidegate_connections_open", 2.0).await;
    let ((), said) = tokio::join!(world.stop(), closed(&mut one));
    assert_eq!(said, b"");
    two.await.unwrap().expect("an end that was announced");
}

#[tokio::test]
async fn a_unix_socket_answers_calls_without_tls_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.sock");
    let listen = format!("unix:{}", path.display());
    let quoted = format!("{listen:?}");
    let world = World::of(Plan { listen: &quoted, tls: true, ..Plan::default() }).await;
    let config = ServerConfig {
        listen: vec![listen],
        tls_cert_file: Some(world.folder.path().join("tls.crt")),
        tls_key_file: Some(world.folder.path().join("tls.key")),
        ..ServerConfig::default()
    };
    let door = Door::bind(&config).unwrap();
    assert_eq!(door.addresses(), []);
    assert!(Door::bind(&config).is_err_and(|error| error.contains("another process listens there")));
    let mut listening = door.serve(&config, Arc::new(Front::new(world.gate.clone())), None).unwrap();
    let call = json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_boards"}});
    let (body, headers) = modern("tools/call", call);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(written(&world, "localhost", &body, &headers).as_bytes()).await.unwrap();
    let (status, answer) = answer(&mut stream).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["result"]["isError"]), (200, &json!(false)), "{answer}");
    assert_eq!(ask(&mut stream, "elsewhere.example").await.unwrap(), 403);
    listening.close().await;
    assert!(!path.exists());
    closed(&mut stream).await;
}
