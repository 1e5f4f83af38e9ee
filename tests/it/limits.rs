//! What is refused because it is too much: 408, 413, 429, 431, 503, each with its remedy.

use std::process::Command;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http::Answer;
use crate::support::plan::Plan;
use crate::support::world::{World, client, modern, until};

/// Writes `parts` on a connection of its own and reads until the server closes it.
async fn raw(world: &World, parts: &[&[u8]]) -> String {
    let mut connection = TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    for part in parts {
        connection.write_all(part).await.unwrap();
    }
    let mut answer = Vec::new();
    // An answer before the body was read may end in a reset.
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// A request whose header is exactly `bytes` long by our count, which leaves out the empty line.
fn sized(world: &World, path: &str, bytes: usize) -> String {
    let host = world.base.trim_start_matches("http://");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Fill: \r\n");
    let fill = "x".repeat(bytes - head.len());
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Fill: {fill}\r\n\r\n")
}

#[tokio::test]
async fn a_header_over_the_bound_is_431_on_every_route_and_one_at_the_bound_is_not() {
    let world = World::with("max_header_bytes = \"2KiB\"", "").await;
    for (path, otherwise) in
        [("/api/mcp", 401), ("/.well-known/oauth-protected-resource", 200), ("/nothing", 404)]
    {
        assert_eq!(status(&raw(&world, &[sized(&world, path, 2048).as_bytes()]).await), otherwise, "{path}");
        let refused = raw(&world, &[sized(&world, path, 2049).as_bytes()]).await;
        assert_eq!(status(&refused), 431, "{path}");
        assert!(refused.contains("server.max_header_bytes"), "{refused}");
    }
    let long = format!("/api/mcp?{}", "x".repeat(1990));
    assert_eq!(status(&raw(&world, &[sized(&world, &long, 2100).as_bytes()]).await), 431);
    assert_eq!(world.metric("sidegate_limit_refusals_total{limit=\"header_too_large\"}").await, 4.0);
    assert_eq!(world.ask("technician", "tools/list", json!({})).await.status, 200);
}

#[tokio::test]
async fn the_hundred_and_first_field_is_431_and_what_the_parser_itself_refuses_is_400() {
    let world = World::start().await;
    let host = world.base.trim_start_matches("http://");
    for (fields, expected) in [(100, 401), (101, 431), (256, 431), (300, 400)] {
        let more: String = (2..fields).map(|number| format!("X-{number}: 1\r\n")).collect();
        let text = format!("GET /api/mcp HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
        assert_eq!(status(&raw(&world, &[text.as_bytes()]).await), expected, "{fields}");
    }
}

#[tokio::test]
async fn over_http_2_the_same_bounds_hold() {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    let ca = world.ca_file();
    let ask = async |more: &[String]| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--cacert"])
            .arg(&ca);
        curl.args(more.iter().flat_map(|header| ["-H", header])).arg(&world.mcp_url);
        let output = tokio::task::spawn_blocking(move || curl.output()).await.unwrap();
        String::from_utf8(output.expect("curl is there").stdout).unwrap()
    };
    let fields = |count: usize| (0..count).map(|number| format!("x-{number}: 1")).collect::<Vec<_>>();
    // curl sends user-agent and accept besides.
    assert_eq!(ask(&fields(98)).await, "2 401");
    assert_eq!(ask(&fields(99)).await, "2 431");
    assert_eq!(ask(&["x-big: ".to_owned() + &"x".repeat(30_000)]).await, "2 401");
    assert_eq!(ask(&["x-big: ".to_owned() + &"x".repeat(33_000)]).await, "2 431");
}

#[tokio::test]
async fn a_body_at_the_bound_is_read_and_one_byte_more_is_413_however_it_is_framed() {
    let world = World::with("max_body = \"4KiB\"", "").await;
    let host = world.base.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /api/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n",
        world.token("technician")
    );
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (size, expected) in [(4096, 200), (4097, 413)] {
        let body = format!("{message}{}", " ".repeat(size - message.len()));
        let plain = format!("{head}Content-Length: {size}\r\n\r\n{body}");
        assert_eq!(status(&raw(&world, &[plain.as_bytes()]).await), expected, "{size}");
        let (first, second) = body.split_at(4000);
        let chunked = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        );
        assert_eq!(status(&raw(&world, &[chunked.as_bytes()]).await), expected, "{size} in chunks");
    }
    assert_eq!(world.metric("sidegate_limit_refusals_total{limit=\"request_too_large\"}").await, 2.0);
}

#[tokio::test]
async fn a_body_that_stalls_is_408_and_on_record() {
    let world = World::with("body_timeout = \"200ms\"", "").await;
    let host = world.base.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /api/mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n",
        world.token("technician")
    );
    let answer = raw(&world, &[head.as_bytes(), b"{"]).await;
    assert_eq!(status(&answer), 408);
    assert!(answer.contains("did not arrive in time"), "{answer}");
    assert_eq!(world.records(1).await[0]["reason"], "request_timeout");
    assert_eq!(world.metric("sidegate_limit_refusals_total{limit=\"request_timeout\"}").await, 1.0);
}

/// Begins a call of the technician's that goes on until it is aborted, and waits until it has reached the PSA.
async fn begin(world: &World) -> tokio::task::JoinHandle<()> {
    let arguments = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 30_000}});
    let (body, headers) = modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
    let mut request = http::Request::post(&world.mcp_url)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", world.token("technician")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Bytes::from(body.to_string())).unwrap();
    let before = world.reached().await.len();
    let running = tokio::spawn(async move {
        client().send(request).await.expect("an answer");
    });
    until(|| async { (world.reached().await.len() > before).then_some(()) }).await;
    running
}

#[tokio::test]
async fn too_much_in_flight_is_503_with_retry_after() {
    let world = World::with("max_in_flight = 1", "").await;
    let running = begin(&world).await;
    let refused = world.ask("reader", "tools/list", json!({})).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    assert_eq!(refused.body["error"], "too_many_requests_in_flight");
    running.abort();
    until(|| async { (world.ask("reader", "tools/list", json!({})).await.status == 200).then_some(()) })
        .await;
    assert!(
        world.metric("sidegate_limit_refusals_total{limit=\"too_many_requests_in_flight\"}").await >= 1.0
    );
}

async fn limited(limits: &str) -> World {
    let server = "trusted_proxies = [\"127.0.0.0/8\"]";
    World::of(Plan { server, limits, ..Plan::default() }).await
}

/// Lists the tools with this token from this address.
async fn list_from(world: &World, token: Option<&str>, address: &str) -> Answer {
    let (body, mut headers) = modern("tools/list", json!({}));
    headers.push(("x-forwarded-for", address.to_owned()));
    world.post(token, body.to_string(), &headers).await
}

fn is_429(answer: &Answer, code: &str, longest: u64) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.body["error"], code);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=longest).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("www-authenticate"), "", "no token would help");
}

#[tokio::test]
async fn an_address_with_too_many_bad_tokens_is_429_before_any_is_looked_at_and_others_are_not() {
    let world = limited("failed_auth_per_minute = 3").await;
    let (bad, good, fresh) = (Some("no.good.token"), world.token("technician"), world.token("reader"));
    assert_eq!(list_from(&world, Some(&good), "192.0.2.1").await.status, 200);
    for _ in 0..3 {
        assert_eq!(list_from(&world, bad, "192.0.2.1").await.status, 401);
    }
    let looked_up = world.metric("sidegate_token_cache_lookups_total{result=\"miss\"}").await;
    for token in [bad, Some("a b"), Some(fresh.as_str())] {
        is_429(&list_from(&world, token, "192.0.2.1").await, "too_many_failed_authentications", 20);
    }
    assert_eq!(world.metric("sidegate_token_cache_lookups_total{result=\"miss\"}").await, looked_up);
    // Without a token one is told where to get one; and what was good here before still is.
    assert_eq!(list_from(&world, None, "192.0.2.1").await.status, 401);
    assert_eq!(list_from(&world, Some(&good), "192.0.2.1").await.status, 200);
    assert_eq!(list_from(&world, Some(&fresh), "192.0.2.2").await.status, 200);
    let records = world.records(10).await;
    let reasons = records.iter().filter(|record| record["reason"] == "too_many_failed_authentications");
    assert!(reasons.clone().all(|record| record["client_address"] == "192.0.2.1"));
    assert_eq!(reasons.count(), 3);
    for line in [
        "sidegate_limit_refusals_total{limit=\"too_many_failed_authentications\"}",
        "sidegate_auth_refusals_total{reason=\"too_many_failed_authentications\"}",
    ] {
        assert_eq!(world.metric(line).await, 3.0);
    }
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address_and_neighbours_are_others() {
    let world = limited("failed_auth_per_minute = 3").await;
    for host in 1..=3 {
        let answer = list_from(&world, Some("no.good.token"), &format!("2001:db8::{host}")).await;
        assert_eq!(answer.status, 401);
    }
    let token = world.token("technician");
    let answer = list_from(&world, Some(&token), "2001:db8::dead:beef").await;
    is_429(&answer, "too_many_failed_authentications", 20);
    assert_eq!(list_from(&world, Some(&token), "2001:db8:0:1::1").await.status, 200);
}

#[tokio::test]
async fn an_address_is_looked_at_again_after_the_time_it_was_told() {
    let world = limited("failed_auth_per_minute = 60").await;
    let bad = Some("no.good.token");
    until(|| async { (list_from(&world, bad, "192.0.2.1").await.status == 429).then_some(()) }).await;
    until(|| async { (list_from(&world, bad, "192.0.2.1").await.status == 401).then_some(()) }).await;
}

#[tokio::test]
async fn requests_without_a_token_and_genuine_tokens_of_strangers_are_no_failures() {
    let world = limited("failed_auth_per_minute = 2").await;
    let stranger = world.token("stranger");
    for _ in 0..5 {
        assert_eq!(list_from(&world, None, "192.0.2.1").await.status, 401);
        assert_eq!(list_from(&world, Some(&stranger), "192.0.2.1").await.status, 401);
    }
    assert_eq!(list_from(&world, Some(&world.token("technician")), "192.0.2.1").await.status, 200);
}

#[tokio::test]
async fn calls_over_an_agents_share_of_a_minute_are_429_and_its_other_requests_are_not() {
    let world = limited("calls_per_minute = 3").await;
    let call = |agent| world.call(agent, "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"}));
    for _ in 0..3 {
        assert!(!call("technician").await.is_error());
    }
    let reached = world.reached().await.len();
    is_429(&call("technician").await, "too_many_calls", 20);
    assert_eq!(world.reached().await.len(), reached);
    for _ in 0..10 {
        assert_eq!(world.ask("technician", "tools/list", json!({})).await.status, 200);
    }
    assert_eq!(call("reader").await.status, 200);
    let record = world.records(15).await.into_iter().find(|record| record["reason"] == "too_many_calls");
    let record = record.expect("on record");
    assert_eq!((&record["agent"], &record["method"]), (&json!("technician"), &json!("tools/call")));
    assert_eq!(record["outcome"], "refused");
    assert_eq!(world.metric("sidegate_limit_refusals_total{limit=\"too_many_calls\"}").await, 1.0);
}

#[tokio::test]
async fn calls_over_an_agents_share_at_once_are_429_until_one_ends_or_its_client_leaves() {
    let world = limited("calls_in_flight = 1").await;
    let call = |agent| world.call(agent, "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"}));
    for _ in 0..3 {
        assert_eq!(call("technician").await.status, 200, "one after another");
    }
    let running = begin(&world).await;
    is_429(&call("technician").await, "too_many_calls_in_flight", 1);
    assert_eq!(call("reader").await.status, 200);
    running.abort();
    until(|| async { (call("technician").await.status == 200).then_some(()) }).await;
}
