//! The request's id: the same in the answer, on record and before the PSA.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{calls, read, tapped};
use crate::support::conversation::{Conversation, call, notice, request, slow, told};
use crate::support::http::message;
use crate::support::plan::Plan;
use crate::support::process::Process;
use crate::support::raw::{Act, RawPsa};
use crate::support::sse::Stream;
use crate::support::wait::{until, until_within};
use crate::support::world::{World, modern};

/// A UUID of version 7.
fn is_id(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok_and(|id| id.get_version_num() == 7 && id.to_string() == text)
}

#[tokio::test]
async fn the_answer_names_the_id_that_is_on_record_and_that_the_psa_saw() {
    let world = tapped("").await;
    let (body, mut headers) = read(json!({}));
    headers.push(("x-request-id", "the-clients-own".to_owned()));
    let answer = world.post(Some(&world.token("technician")), body.to_string(), &headers).await;
    let id = answer.header("x-request-id");
    assert!(is_id(id), "{answer:?}");
    assert_eq!(calls(world.sent())[0].header("x-request-id"), Some(id));
    assert_eq!(world.records(1).await[0]["request_id"], id);
}

#[tokio::test]
async fn every_answer_has_an_id_of_its_own_whatever_its_status() {
    let limits = "failed_auth_per_minute = 2\ncalls_per_minute = 2\ncalls_in_flight = 0\n";
    let plan =
        Plan { limits, server: "max_body = \"64KiB\"\nmax_header_bytes = \"8KiB\"\n", ..Plan::default() };
    let world = World::of(plan).await;
    let token = world.token("technician");
    let (list, listing) = modern("tools/list", json!({}));
    let list = list.to_string();
    let (unknown, asking) = modern("no/such/method", json!({}));
    let (call, calling) = modern("tools/call", call("get-_api_v1_tickets", json!({})));
    let url = world.mcp_url.as_str();
    let plain = |method: &str| http::Request::builder().method(method).uri(url);
    let bearer = format!("Bearer {token}");
    let own = |method: &str| plain(method).header("authorization", &bearer);
    let empty = |head: http::request::Builder| head.body(Bytes::new()).unwrap();
    let good = || message(url, Some(&token), list.clone(), &listing);
    let mut host = good();
    host.headers_mut().insert("host", "evil.example".parse().unwrap());
    let mut origin = good();
    origin.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let large = "x".repeat(10 << 10);
    let calls = || message(url, Some(&token), call.to_string(), &calling);
    let said = notice("notifications/initialized", json!({})).to_string();
    let mut seen = HashSet::new();
    for (status, request) in [
        (200, good()),
        (202, message(url, Some(&token), said, &[])),
        (400, message(url, Some(&token), "no JSON", &[])),
        (401, message(url, None, list.clone(), &listing)),
        (401, message(url, Some("bad"), list.clone(), &listing)),
        (403, host),
        (403, origin),
        (404, message(url, Some(&token), unknown.to_string(), &asking)),
        (404, own("DELETE").header("mcp-session-id", "none").body(Bytes::new()).unwrap()),
        (405, empty(own("PUT"))),
        (406, empty(own("GET").header("mcp-session-id", "none").header("accept", "image/png"))),
        (413, message(url, Some(&token), vec![b' '; 65 << 10], &listing)),
        (415, own("POST").body(Bytes::from(list.clone())).unwrap()),
        (431, message(url, Some(&token), list.clone(), &[("x-large", large)])),
        (200, calls()),
        (200, calls()),
        (429, calls()),
        (401, message(url, Some("worse"), list.clone(), &listing)),
        (429, message(url, Some("worst"), list.clone(), &listing)),
    ] {
        let shown = format!("{status} {request:?}");
        let answer = world.send(request).await;
        assert_eq!(answer.status, status, "{shown} {answer:?}");
        let id = answer.header("x-request-id").to_owned();
        assert!(is_id(&id) && seen.insert(id), "{shown} {answer:?}");
    }
    let recorded = world.records(10).await;
    let unknown: Vec<_> =
        recorded.iter().filter(|record| !seen.contains(record["request_id"].as_str().unwrap())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[tokio::test]
async fn streams_sessions_and_the_registry_name_it_too() {
    let world = World::with("", "[sse]\nenabled = true\n").await;
    let session = Conversation::begin(&world, "technician", "2025-06-18").await;
    let mut ids = HashSet::new();
    let mut check = |status: (u16, u16), id: &str, what: &str| {
        assert_eq!(status.0, status.1, "{what}");
        assert!(is_id(id) && ids.insert(id.to_owned()), "{what}: {id:?}");
    };
    let streamed = session.open(&request(1, "tools/call", told(slow(700), "p"))).await;
    assert!(streamed.is_stream());
    check((streamed.status, 200), streamed.header("x-request-id"), "a stream with an answer");
    let id = streamed.header("x-request-id").to_owned();
    assert_eq!(streamed.messages().await.last().unwrap()["id"], 1);
    let listening = session.listen(None).await;
    check((listening.status, 200), listening.header("x-request-id"), "a session's stream");
    let taken = session.listen(None).await;
    check((taken.status, 409), taken.header("x-request-id"), "a second stream");
    let ended = session.end().await;
    check((ended.status, 204), ended.header("x-request-id"), "the end of a session");

    let path = format!("{}/api/mcp/sse", world.base);
    world.issuer.allow_resource(&path);
    let token = world.issuer.token_for("demo-technician", &path).unwrap().expose().to_owned();
    let opening = http::Request::get(&path).header("accept", "text/event-stream");
    let opening = opening.header("authorization", format!("Bearer {token}")).body(Bytes::new()).unwrap();
    let mut opened = Stream::open(opening).await;
    check((opened.status, 200), opened.header("x-request-id"), "HTTP+SSE");
    let messages = opened.next().await.unwrap().data.unwrap();
    let posted = message(&messages, Some(&token), request(2, "ping", json!({})).to_string(), &[]);
    let posted = world.send(posted).await;
    check((posted.status, 202), posted.header("x-request-id"), "a message of HTTP+SSE");

    let registry = world.mcp_url.replace("/api/mcp", "/api/v1/meta/mcp-registry");
    let token = format!("Bearer {}", world.token("technician"));
    let fetch = |etag: &str| {
        let head = http::Request::get(&registry).header("authorization", &token);
        head.header("if-none-match", etag).body(Bytes::new()).unwrap()
    };
    let fetched = world.send(fetch("\"\"")).await;
    check((fetched.status, 200), fetched.header("x-request-id"), "the registry");
    let same = world.send(fetch(fetched.header("etag"))).await;
    check((same.status, 304), same.header("x-request-id"), "the registry again");

    let recorded =
        world.records_when(|records| records.iter().any(|record| record["request_id"] == *id)).await;
    let record = recorded.iter().find(|record| record["request_id"] == *id).unwrap();
    assert_eq!((&record["tool"], &record["outcome"]), (&json!("call_api_endpoint"), &json!("ok")));
}

#[tokio::test]
async fn the_log_names_the_id_in_one_line_a_request_and_in_warnings_about_it() {
    let psa = RawPsa::start([("broken".to_owned(), Act::Reset(Vec::new()))]).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "key-of-technician").unwrap();
    let lines = format!(
        "url = \"http://{}\"\nkeys = \"static\"\ncatalog_key = \"k\"\nstatic_keys = {{ technician = \"{}\" }}",
        psa.address,
        key.display()
    );
    let world = World::of(Plan { psa: Some(&lines), ..Plan::default() }).await;
    let file = folder.path().join("sidegate.toml");
    std::fs::write(&file, world.beside(folder.path())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.env("SIDEGATE__LOG__FORMAT", "json").env("SIDEGATE__LOG__FILTER", "info,sidegate::gate=debug");
    let process = Process::start(command.arg("serve").arg("--config").arg(&file));
    let url = until_within(Duration::from_secs(60), || {
        let errors = process.errors();
        async move {
            let line = errors.lines().find(|line| line.contains("serving MCP"))?;
            let (_, rest) = line.split_once("127.0.0.1:")?;
            Some(format!("http://127.0.0.1:{}/api/mcp", rest.split('"').next()?))
        }
    })
    .await;
    world.issuer.allow_resource(&url);
    let token = world.issuer.token_for("demo-technician", &url).unwrap();
    let (body, headers) = modern("tools/call", call("get-thing", json!({"path": {"id": "broken"}})));
    let sent = || message(&url, Some(token.expose()), body.to_string(), &headers);
    let answer = until(|| async {
        let answer = world.send(sent()).await;
        // Its catalogue may not be there yet.
        answer.text().contains("connection").then_some(answer)
    })
    .await;
    let id = answer.header("x-request-id").to_owned();
    let mine = || {
        let all = process.errors();
        let mine = all.lines().filter(|line| line.contains(&id));
        mine.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let lines = until(|| async { Some(mine()).filter(|lines| lines.len() == 2) }).await;
    let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["WARN", "DEBUG"], "{lines:?}");
    assert!(lines.iter().all(|line| line["fields"]["request_id"] == id), "{lines:?}");
    let over = &lines[1]["fields"];
    assert!(over["outcome"] == "unavailable" && over["milliseconds"].as_f64() > Some(0.0), "{over}");
    for hidden in [token.expose(), "key-of-technician"] {
        assert!(!process.errors().contains(hidden));
    }
}
