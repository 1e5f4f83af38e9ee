//! Passthrough: all that is not ours goes to the PSA's own web server, and nothing that is ours does.

mod failures;
mod hostile;
mod origin;
mod streams;
mod tokens;

use bytes::Bytes;

use crate::support::plan::Plan;
use crate::support::web::{Web, exchange};
use crate::support::world::World;

const ON: &str = "[passthrough]\nenabled = true\n";

/// A world in front of `web`, with `more` in its `[passthrough]`.
async fn in_front_of(web: &Web, more: &str) -> World {
    let more = format!("{ON}{more}\n");
    World::of(Plan { psa_url: Some(&web.url), more: &more, ..Plan::default() }).await
}

/// The same over TLS and HTTP/2.
async fn over_tls(web: &Web, more: &str) -> World {
    let more = format!("{ON}{more}\n");
    World::of(Plan { psa_url: Some(&web.url), more: &more, tls: true, ..Plan::default() }).await
}

fn authority(world: &World) -> &str {
    world.base.split("://").nth(1).unwrap()
}

/// A request whose connection ends with it, with further whole lines.
fn request(world: &World, method: &str, target: &str, lines: &str, body: &str) -> String {
    let host = authority(world);
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n{body}")
}

async fn ask(world: &World, method: &str, target: &str, lines: &str, body: &str) -> String {
    exchange(&world.base, request(world, method, target, lines, body)).await
}

#[tokio::test]
async fn it_is_off_unless_it_is_switched_on() {
    let web = Web::friendly().await;
    let world = World::of(Plan { psa_url: Some(&web.url), ..Plan::default() }).await;
    for target in ["/", "/msp/tickets", "/api/v1/tickets", "/a/../b"] {
        let answer = ask(&world, "GET", target, "", "").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
    }
    assert!(web.seen().is_empty());
}

#[tokio::test]
async fn a_page_comes_as_the_psa_wrote_it() {
    let web = Web::new(|mut conn| async move {
        while conn.request().await.is_some() {
            conn.say(
                "HTTP/1.1 418 Short And Stout\r\nServer: psa\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                 Alt-Svc: h3=\":443\"\r\nKeep-Alive: timeout=5\r\nX-Pathname: /tea\r\n\
                 Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\nnotzip",
            )
            .await;
        }
    })
    .await;
    let world = in_front_of(&web, "").await;
    let answer =
        ask(&world, "POST", "/tea?a=%2F&b", "Accept-Encoding: gzip\r\nContent-Length: 4\r\n", "milk").await;
    let lower = answer.to_lowercase();
    assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");
    for line in
        ["server: psa", "set-cookie: a=1", "set-cookie: b=2", "x-pathname: /tea", "content-encoding: gzip"]
    {
        assert!(lower.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
    }
    for name in ["alt-svc", "keep-alive:", "pingora", "x-content-type-options", "cache-control"] {
        assert!(!lower.contains(name), "{name}: {answer}");
    }
    assert!(answer.ends_with("\r\n\r\nnotzip"), "{answer}");
    let seen = web.everything();
    assert!(seen.starts_with("POST /tea?a=%2F&b HTTP/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nmilk"), "{seen}");
}

#[tokio::test]
async fn what_is_ours_stays_ours_and_passages_are_counted_and_not_recorded() {
    let web = Web::friendly().await;
    let mut world = in_front_of(&web, "").await;
    assert_eq!(world.post(None, Bytes::new(), &[]).await.status, 401);
    let metadata = format!("{}/.well-known/oauth-protected-resource", world.base);
    assert_eq!(world.get(&metadata).await.status, 200);
    assert!(web.seen().is_empty());
    assert!(ask(&world, "GET", "/msp", "", "").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&world, "GET", "/api/%6dcp", "", "").await.starts_with("HTTP/1.1 404"));
    assert!(ask(&world, "TRACE", "/msp", "", "").await.starts_with("HTTP/1.1 405"));
    let counted = |class: &str| format!("sidegate_passthrough_requests_total{{class=\"{class}\"}}");
    world.metric_is(&counted("2xx"), 1.0).await;
    world.metric_is(&counted("refused"), 1.0).await;
    world.stop().await;
    let records = world.records(1).await;
    assert_eq!(records.len(), 1, "only the call without a token: {records:?}");
}

#[tokio::test]
async fn the_demo_psas_own_users_are_judged_by_the_psa() {
    let world = World::with("", ON).await;
    let answer = world.get(&format!("{}/api/v1/tickets", world.base)).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(world.reached().await.last().unwrap()["path"], "/api/v1/tickets");
}
