//! How a client that knows only the URL finds out what it needs, and who is turned away before that.

use bytes::Bytes;
use serde_json::json;

use crate::support::world::{World, modern};

#[tokio::test]
async fn every_method_without_a_token_is_answered_401_with_the_metadata_url() {
    let world = World::start().await;
    let metadata = format!("{}/.well-known/oauth-protected-resource/api/mcp", world.base);
    for method in ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"] {
        let request = http::Request::builder().method(method).uri(&world.mcp_url);
        let answer = world.send(request.body(Bytes::new()).unwrap()).await;
        assert_eq!(answer.status, 401, "{method}");
        assert_eq!(
            answer.header("www-authenticate"),
            format!("Bearer resource_metadata=\"{metadata}\""),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_bad_token_is_answered_401_invalid_token_for_every_method() {
    let world = World::start().await;
    for method in ["GET", "POST", "DELETE"] {
        let request = http::Request::builder().method(method).uri(&world.mcp_url);
        let request = request.header("authorization", "Bearer not.a.token").body(Bytes::new()).unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, 401, "{method}");
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{answer:?}");
    }
}

#[tokio::test]
async fn the_metadata_is_public_at_the_root_and_at_the_inserted_path_and_names_the_issuers() {
    let world = World::start().await;
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/api/mcp"] {
        let answer = world.get(&format!("{}{path}", world.base)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.body["resource"], world.mcp_url);
        assert_eq!(answer.body["authorization_servers"], json!([world.issuer.issuer]));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn the_public_url_names_the_resource_in_metadata_and_challenge() {
    let world = World::with("public_url = \"https://gate.example/psa/\"", "").await;
    let answer = world.get(&format!("{}/.well-known/oauth-protected-resource", world.base)).await;
    assert_eq!(answer.body["resource"], "https://gate.example/psa/api/mcp");
    let refused = world.get(&world.mcp_url).await;
    let expected = "https://gate.example/.well-known/oauth-protected-resource/psa/api/mcp";
    assert!(refused.header("www-authenticate").contains(expected), "{refused:?}");
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_answered_403_before_the_token_is_looked_at() {
    let world = World::start().await;
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "localhost:1"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request = http::Request::get(&world.mcp_url).header(name, value).body(Bytes::new()).unwrap();
        assert_eq!(world.send(request).await.status, 403, "{name}: {value}");
    }
    let own = world.base.clone();
    let request = http::Request::get(&world.mcp_url).header("origin", own).body(Bytes::new()).unwrap();
    assert_eq!(world.send(request).await.status, 401);
    assert_eq!(world.metric("sidegate_auth_refusals_total{reason=\"host_not_allowed\"}").await, 2.0);
}

#[tokio::test]
async fn a_token_in_the_query_is_no_token() {
    let world = World::start().await;
    let url = format!("{}?access_token={}", world.mcp_url, world.token("technician"));
    let request = http::Request::post(&url).header("content-type", "application/json");
    assert_eq!(world.send(request.body(Bytes::from("{}")).unwrap()).await.status, 401);
}

#[tokio::test]
async fn with_a_token_and_without_a_session_only_post_with_json_is_taken() {
    let world = World::start().await;
    let token = format!("Bearer {}", world.token("technician"));
    for method in ["GET", "DELETE", "PUT"] {
        let request = http::Request::builder().method(method).uri(&world.mcp_url);
        let answer = world.send(request.header("authorization", &token).body(Bytes::new()).unwrap()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST, GET, DELETE, OPTIONS"), "{method}");
    }
    let request = http::Request::post(&world.mcp_url).header("authorization", &token);
    let request = request.header("content-type", "text/plain").body(Bytes::from("{}")).unwrap();
    assert_eq!(world.send(request).await.status, 415);
}

#[tokio::test]
async fn whatever_is_not_mcp_metadata_or_health_is_404() {
    let world = World::start().await;
    for path in
        ["/", "/api/v1/tickets", "/api/mcp/", "/metrics", "/livez", "/.well-known/openid-configuration"]
    {
        assert_eq!(world.get(&format!("{}{path}", world.base)).await.status, 404, "{path}");
    }
    assert!(world.reached().await.is_empty());
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused_although_it_was_verified_before() {
    let world = World::start().await;
    world.issuer.allow_resource("https://elsewhere.example/api/mcp");
    let other = world.issuer.token_for("demo-technician", "https://elsewhere.example/api/mcp").unwrap();
    let (body, headers) = modern("tools/list", json!({}));
    for _ in 0..2 {
        let answer = world.post(Some(other.expose()), body.to_string(), &headers).await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(world.metric("sidegate_auth_refusals_total{reason=\"audience\"}").await, 2.0);
}

#[tokio::test]
async fn a_subject_that_no_agent_is_bound_to_is_refused_and_named_in_the_record() {
    let world = World::start().await;
    let answer = world.ask("stranger", "tools/list", json!({})).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
    let records = world.records(1).await;
    assert_eq!(records[0]["reason"], "not_bound");
    assert_eq!(records[0]["subject"], "demo-stranger");
    assert_eq!(records[0]["outcome"], "refused");
}

#[tokio::test]
async fn a_header_that_comes_twice_is_not_the_first_of_its_values() {
    let world = World::start().await;
    let token = world.token("technician");
    let (body, headers) = modern("tools/list", json!({}));
    for (name, second, status) in [
        ("mcp-method", "tools/call", 400),
        ("mcp-protocol-version", "2025-06-18", 400),
        ("content-type", "text/plain", 415),
        ("content-encoding", "gzip", 415),
    ] {
        let mut headers = headers.clone();
        headers.push((name, second.to_owned()));
        let answer = world.post(Some(&token), body.to_string(), &headers).await;
        assert_eq!(answer.status, status, "{name}");
    }
}
