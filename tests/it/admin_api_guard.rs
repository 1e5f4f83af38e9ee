//! What the administrators' listener does not let through, and what its answers say to browsers and caches.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::admin::{Api, problem};
use crate::support::plan::Plan;
use crate::support::tls::Authority;
use crate::support::wait::PATIENCE;
use crate::support::wire::{Tls, answer};
use crate::support::world::World;

async fn administered(admin: &str) -> World {
    World::of(Plan { admin, ..Plan::default() }).await
}

fn authority(world: &World) -> &str {
    world.admin_url.split_once("://").unwrap().1
}

/// Sends `head` as it is and reads until the server closes.
async fn raw(world: &World, head: &str) -> String {
    let mut stream = TcpStream::connect(authority(world)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    // A reset after the answer is no matter.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("closed in time");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn every_answer_keeps_out_of_caches_frames_and_guesses_about_its_type() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let answers = [
        api.get("/agents").await,
        api.get("/agents/nobody").await,
        api.get("/nowhere").await,
        Api::saying(&world, &[]).get("/agents").await,
        Api::saying(&world, &[("origin", "https://evil.example")]).get("/agents").await,
    ];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 404, 404, 401, 403]);
    for answer in answers {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("set-cookie"), "");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_and_so_is_one_that_is_named_twice() {
    let world = administered("allowed_hosts = [\"admin.example\"]").await;
    let token = Api::new(&world).await.token;
    let own = authority(&world);
    let status = |hosts: &str| {
        let head = format!(
            "GET /api/v1/mcp/agents HTTP/1.1\r\n{hosts}x-api-key: {token}\r\nconnection: close\r\n\r\n"
        );
        let world = &world;
        async move { raw(world, &head).await.get(9..12).unwrap_or_default().to_owned() }
    };
    for host in [own, &own.replace("127.0.0.1", "localhost"), "admin.example", "ADMIN.example"] {
        assert_eq!(status(&format!("host: {host}\r\n")).await, "200", "{host}");
    }
    for host in ["evil.example", "127.0.0.1:1", "localhost", "admin.example.evil.example", ""] {
        assert_eq!(status(&format!("host: {host}\r\n")).await, "421", "{host}");
    }
    assert_eq!(status("").await, "421", "none at all");
    assert_eq!(status(&format!("host: {own}\r\nhost: evil.example\r\n")).await, "421");
    let target = format!(
        "GET http://evil.example/api/v1/mcp/agents HTTP/1.1\r\nhost: {own}\r\nx-api-key: {token}\r\nconnection: close\r\n\r\n"
    );
    assert!(raw(&world, &target).await.starts_with("HTTP/1.1 421 "), "the target goes before the header");
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_whatever_they_say_of_themselves() {
    let world = World::start().await;
    let token = Api::new(&world).await.token;
    let with = |headers: &[(&'static str, &str)]| {
        let mut api = Api::saying(&world, headers);
        api.token = token.clone();
        api
    };
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "nonsense")],
    ] {
        for (method, body) in [("GET", Value::Null), ("POST", json!({"name": "x"}))] {
            let answer = with(headers).send(method, "/agents", body).await;
            problem(&answer, 403, "other sites");
        }
    }
    let own = world.admin_url.clone();
    for headers in [
        &[("origin", own.as_str())][..],
        &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
        &[],
    ] {
        assert_eq!(with(headers).get("/agents").await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_call_and_read_and_ask_beforehand() {
    let world = administered("allowed_origins = [\"https://console.example\"]").await;
    let token = Api::new(&world).await.token;
    let from = |origin: &'static str| {
        let mut api = Api::saying(&world, &[("origin", origin), ("sec-fetch-site", "cross-site")]);
        api.token = token.clone();
        api
    };
    let answer = from("https://console.example").get("/agents").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, "https://console.example")
    );
    assert_eq!((answer.header("access-control-allow-credentials"), answer.header("vary")), ("", "Origin"));
    let wrong = Api::saying(&world, &[("origin", "https://console.example")]).get("/agents").await;
    assert_eq!((wrong.status, wrong.header("access-control-allow-origin")), (401, "https://console.example"));

    let preflight = |origin: &'static str| {
        Api::saying(&world, &[("origin", origin), ("access-control-request-method", "PATCH")])
    };
    let asked = preflight("https://console.example").send("OPTIONS", "/agents", Value::Null).await;
    assert_eq!(asked.status, 204, "{asked:?}");
    assert_eq!(asked.header("access-control-allow-origin"), "https://console.example");
    assert!(asked.header("access-control-allow-methods").contains("PATCH"));
    assert!(asked.header("access-control-allow-headers").contains("x-api-key"));
    let foreign = preflight("https://evil.example").send("OPTIONS", "/agents", Value::Null).await;
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (403, ""));
    assert_eq!(foreign.header("access-control-allow-methods"), "");
}

#[tokio::test]
async fn a_body_is_json_says_so_is_not_too_large_and_is_told_where_it_is_wrong() {
    let world = administered("max_body = 200").await;
    let api = Api::new(&world).await;
    let send = |kind: Option<&str>, body: String| {
        let mut request = api.request("POST", "/agents", &Value::Null);
        if let Some(kind) = kind {
            request.headers_mut().insert("content-type", kind.parse().unwrap());
        }
        *request.body_mut() = Bytes::from(body);
        world.send(request)
    };
    for kind in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data")]
    {
        let answer = send(kind, "{\"name\":\"x\"}".to_owned()).await;
        assert_eq!(answer.status, 415, "{kind:?}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains("application/json"));
    }
    let answer = send(Some("application/json; charset=utf-8"), "{}".to_owned()).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("\"name\" is required")));
    let large = send(Some("application/json"), format!("{{\"name\":\"{}\"}}", "x".repeat(300))).await;
    assert_eq!(large.status, 413, "{large:?}");
    assert!(large.body["error"].as_str().unwrap().contains("200 bytes"));
    for (body, word) in [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ("\u{fffd}", "no JSON object"),
        ("{", "line 1"),
        ("{\"name\":5}", "line 1"),
    ] {
        let answer = send(Some("application/json"), body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains(word), "{body}: {answer:?}");
    }
    // Without its length told beforehand.
    let own = authority(&world);
    let head = format!(
        "POST /api/v1/mcp/agents HTTP/1.1\r\nhost: {own}\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n12c\r\n{}\r\n0\r\n\r\n",
        api.token,
        " ".repeat(300)
    );
    assert!(raw(&world, &head).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_that_say_what_there_is() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    problem(&api.get("/nowhere").await, 404, "openapi.json");
    let answer = api.send("PUT", "/agents", json!({})).await;
    assert_eq!(answer.status, 405, "{answer:?}");
    let allow = answer.header("allow");
    assert!(["GET", "POST", "PATCH", "DELETE"].iter().all(|method| allow.contains(method)), "{allow}");
    let answer = api.send("POST", "/idp-providers/x", json!({})).await;
    problem(&answer, 405, "Allow");
}

#[tokio::test]
async fn requests_of_one_address_have_a_limit_that_is_told() {
    let world = administered("requests_per_minute = 5").await;
    let api = Api::new(&world).await;
    for _ in 0..5 {
        assert_eq!(api.get("/agents").await.status, 200);
    }
    let answer = api.get("/agents").await;
    problem(&answer, 429, "too many requests");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
}

#[tokio::test]
async fn wrong_tokens_have_a_limit_which_shuts_nobody_out_who_is_known() {
    let world = administered("failed_per_minute = 3").await;
    let api = Api::new(&world).await;
    assert_eq!(api.get("/agents").await.status, 200);
    let guess = |number: usize| {
        let token = format!("sga_{number:043}");
        let world = &world;
        async move { Api::saying(world, &[("x-api-key", &token)]).get("/agents").await }
    };
    for number in 0..3 {
        assert_eq!(guess(number).await.status, 401, "{number}");
    }
    let answer = guess(3).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
    assert_eq!(api.get("/agents").await.status, 200, "a token that was right a moment ago");
    let new = Api::new(&world).await;
    assert_eq!(new.get("/agents").await.status, 429, "any other waits, right or wrong");
    assert_eq!(Api::saying(&world, &[]).get("/agents").await.status, 401, "nothing given is nothing guessed");
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused_before_anybody_looks_at_it() {
    let world = World::start().await;
    let own = authority(&world);
    let head = format!(
        "GET /api/v1/mcp/agents HTTP/1.1\r\nhost: {own}\r\nconnection: close\r\nx: {}\r\n\r\n",
        "x".repeat(40 << 10)
    );
    assert!(raw(&world, &head).await.starts_with("HTTP/1.1 431 "));
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    let head = format!("GET /api/v1/mcp/agents HTTP/1.1\r\nhost: {own}\r\n{many}\r\n");
    assert!(raw(&world, &head).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn connections_have_a_limit_and_those_that_go_make_room() {
    let world = administered("max_connections = 2").await;
    let own = authority(&world).to_owned();
    let request = format!("GET /api/v1/mcp/agents HTTP/1.1\r\nhost: {own}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(&own).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    let mut third = TcpStream::connect(&own).await.unwrap();
    let mut rest = Vec::new();
    // Closed, perhaps with a reset, and without a word.
    let _ = tokio::time::timeout(PATIENCE, third.read_to_end(&mut rest)).await.expect("closed at once");
    assert_eq!(rest, b"");
    held.pop();
    crate::support::world::until(|| async {
        let mut stream = TcpStream::connect(&own).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        stream.read_exact(&mut [0]).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn with_tls_it_answers_those_with_a_certificate_of_its_authorities_only() {
    let folder = tempfile::tempdir().unwrap();
    let (server, clients, strangers) =
        (Authority::new("The server's"), Authority::new("The clients'"), Authority::new("A stranger's"));
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = server.certify();
    let (certificate, key) = (put("tls.crt", &certificate), put("tls.key", &key));
    let (ca, clients_ca) = (put("ca.pem", &server.pem), put("clients.pem", &clients.pem));
    let lines =
        format!("tls_cert_file = {certificate:?}\ntls_key_file = {key:?}\nclient_ca_file = {clients_ca:?}");
    let world = administered(&lines).await;
    let port: u16 = authority(&world).rsplit_once(':').unwrap().1.parse().unwrap();
    let answered = |authority: Option<&Authority>| {
        let own = authority.map(|authority| {
            let (certificate, key) = authority.certify();
            (put("own.crt", &certificate), put("own.key", &key))
        });
        let ca = ca.clone();
        async move {
            let own = own.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            let Ok(mut stream) = Tls::trusting(&ca, own, "http/1.1").connect(port).await else { return None };
            let head = format!("GET /api/v1/mcp/agents HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok()?;
            answer(&mut stream).await.ok().map(|(status, _)| status)
        }
    };
    assert_eq!(answered(Some(&clients)).await, Some(401));
    for stranger in [None, Some(&strangers)] {
        assert_eq!(answered(stranger).await, None, "a certificate of the authorities is required");
    }
}

#[tokio::test]
async fn a_stop_ends_the_listener_and_lets_a_request_in_flight_end() {
    let mut world = World::start().await;
    let api = Api::new(&world).await;
    let agent = api.add_stranger("bot").await;
    // Switching an agent off waits until every process must have seen it.
    let body = json!({"agentId": agent["agent_id"], "active": false}).to_string();
    let own = authority(&world).to_owned();
    let head = format!(
        "PATCH /api/v1/mcp/agents HTTP/1.1\r\nhost: {own}\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        api.token,
        body.len()
    );
    let mut stream = TcpStream::connect(&own).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let answer = async {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    };
    let ((), answer) = tokio::join!(world.stop(), answer);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"ok\":true}"), "{answer}");
    assert!(TcpStream::connect(&own).await.is_err(), "nobody listens there any more");
}
