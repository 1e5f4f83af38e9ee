//! What the PSA is told of where a request came from.

use super::{ON, ask, authority, in_front_of, over_tls};
use crate::support::plan::Plan;
use crate::support::web::{Web, exchange, http2};
use crate::support::world::World;

fn lines<'a>(seen: &'a str, name: &str) -> Vec<&'a str> {
    let named = |line: &&'a str| line.split(':').next().is_some_and(|have| have.eq_ignore_ascii_case(name));
    seen.lines().filter(named).map(|line| line.split_once(": ").map_or("", |(_, value)| value)).collect()
}

#[tokio::test]
async fn the_psa_hears_of_the_client_what_we_saw_and_nothing_it_claims() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let claims = "X-Forwarded-For: 10.1.1.1\r\nx-forwarded-for: 10.1.1.2\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /api/mcp\r\n\
        X_Forwarded_For: 10.1.1.3\r\nX-Real-IP: 10.1.1.4\r\nForwarded: for=10.1.1.5\r\nTrue-Client-IP: 10.1.1.6\r\n\
        X-Original-URL: /api/mcp\r\nX-Rewrite-URL: /api/mcp\r\nX-Middleware-Subrequest: src/middleware\r\n\
        X-Invoke-Path: /api/mcp\r\nX-Matched-Path: /api/mcp\r\nX-HTTP-Method-Override: DELETE\r\n\
        X-Middleware-Rewrite: /api/mcp\r\nx-now-route-matches: 1\r\nContent_Length: 7\r\nX-API-Key: human\r\n\
        Cookie: session=1\r\nRSC: 1\r\nNext-Action: 1f\r\nAuthorization: Basic eDp5\r\n";
    ask(&world, "GET", "/msp", claims, "").await;
    let seen = web.everything();
    assert_eq!(lines(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(lines(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(lines(&seen, "x-forwarded-host"), [authority(&world)]);
    assert_eq!(lines(&seen, "x-forwarded-port"), [authority(&world).rsplit(':').next().unwrap()]);
    assert_eq!(lines(&seen, "host"), [authority(&world)]);
    for (name, value) in [
        ("x-api-key", "human"),
        ("cookie", "session=1"),
        ("rsc", "1"),
        ("next-action", "1f"),
        ("authorization", "Basic eDp5"),
    ] {
        assert_eq!(lines(&seen, name), [value], "{seen}");
    }
    for gone in
        ["10.1.1.", "evil.example", "/api/mcp", "middleware", "DELETE", "route-matches", "Content_Length"]
    {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
}

#[tokio::test]
async fn behind_a_listed_proxy_the_psa_hears_of_the_client_and_of_every_proxy() {
    let web = Web::friendly().await;
    let server = "trusted_proxies = [\"127.0.0.0/8\", \"10.9.0.0/16\"]\nallowed_hosts = [\"gate.example\"]";
    let world = World::of(Plan { psa_url: Some(&web.url), server, more: ON, ..Plan::default() }).await;
    let said = "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.9.0.7\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: gate.example\r\nX-Forwarded-Prefix: /psa\r\nX-Real-IP: 6.6.6.6\r\n";
    let answer = ask(&world, "GET", "/msp", said, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = web.everything();
    assert_eq!(lines(&seen, "x-forwarded-for"), ["192.0.2.1, 10.9.0.7, 127.0.0.1"], "{seen}");
    assert_eq!(lines(&seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(lines(&seen, "x-forwarded-host"), ["gate.example"]);
    assert_eq!(lines(&seen, "x-forwarded-port"), ["443"]);
    assert!(!seen.contains("6.6.6.6") && !seen.contains("/psa"), "{seen}");
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_before_the_psa_hears_of_it() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let ours = authority(&world);
    for (head, status) in [
        ("GET /msp HTTP/1.1\r\nHost: evil.example\r\n".to_owned(), "403"),
        ("GET /msp HTTP/1.1\r\n".to_owned(), "403"),
        ("GET /msp HTTP/1.0\r\n".to_owned(), "403"),
        (format!("GET /msp HTTP/1.1\r\nHost: {ours}\r\nHost: {ours}\r\n"), "400"),
        (format!("GET /msp HTTP/1.1\r\nHost: x@{ours}\r\n"), "400"),
        (format!("GET http://evil.example/msp HTTP/1.1\r\nHost: {ours}\r\n"), "400"),
    ] {
        let answer = exchange(&world.base, format!("{head}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
    }
    assert!(web.seen().is_empty());
}

#[tokio::test]
async fn an_origin_is_the_psas_affair() {
    let web = Web::friendly().await;
    let world = in_front_of(&web, "").await;
    let answer =
        ask(&world, "POST", "/msp", "Origin: https://elsewhere.example\r\nContent-Length: 0\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(lines(&web.everything(), "origin"), ["https://elsewhere.example"]);
}

#[tokio::test]
async fn over_http_2_the_psa_gets_a_host_one_cookie_line_and_the_right_scheme() {
    let web = Web::friendly().await;
    let world = over_tls(&web, "").await;
    let mut send = http2(&world.base, world.ca_file()).await.ready().await.unwrap();
    let request = http::Request::get(format!("{}/msp", world.base))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, _) = send.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let seen = web.everything();
    assert_eq!(lines(&seen, "host"), [authority(&world)]);
    assert_eq!(lines(&seen, "cookie"), ["a=1; b=2"]);
    assert_eq!(lines(&seen, "x-forwarded-proto"), ["https"]);
    assert!(lines(&seen, "te").is_empty() && lines(&seen, "transfer-encoding").is_empty(), "{seen}");
}
