//! What an operator sees: probes, metrics, the drain, a start without the PSA.

use std::time::Duration;

use serde_json::json;

use crate::support::world::{World, until};

#[tokio::test]
async fn the_probes_and_metrics_answer_on_their_own_listener() {
    let world = World::start().await;
    assert_eq!(world.get(&format!("{}/livez", world.ops_url)).await.status, 200);
    assert_eq!(world.get(&format!("{}/readyz", world.ops_url)).await.status, 200);
    let metrics = world.get(&format!("{}/metrics", world.ops_url)).await;
    let text = metrics.body.as_str().unwrap();
    for family in [
        "sidegate_requests_total",
        "sidegate_auth_refusals_total",
        "sidegate_upstream_request_duration_seconds",
        "sidegate_key_mints_total",
        "sidegate_jwks_refreshes_total",
        "sidegate_token_cache_lookups_total",
        "sidegate_requests_in_flight",
        "sidegate_audit_queue_records",
        "sidegate_catalog_age_seconds",
        "sidegate_catalog_info",
    ] {
        assert!(text.contains(&format!("# TYPE {family} ")), "{family} is missing");
    }
    assert_eq!(world.metric("sidegate_ready").await, 1.0);
}

#[tokio::test]
async fn one_key_is_minted_for_many_calls_of_one_agent() {
    let world = World::start().await;
    let before = world.metric("sidegate_key_mints_total{outcome=\"ok\"}").await;
    let call = || {
        let arguments = json!({"entryId": "get-_api_v1_boards"});
        world.call("technician", "call_api_endpoint", arguments)
    };
    assert!(!call().await.is_error());
    let answers = futures_util::future::join_all((0..50).map(|_| call())).await;
    assert!(answers.iter().all(|answer| !answer.is_error()), "{:?}", answers[0]);
    let after = world.metric("sidegate_key_mints_total{outcome=\"ok\"}").await;
    assert_eq!(after - before, 1.0);
    assert!(world.metric("sidegate_token_cache_lookups_total{result=\"hit\"}").await >= 1.0);
}

#[tokio::test]
async fn calls_are_counted_by_agent_tool_effect_and_outcome_and_never_by_what_a_caller_made_up() {
    let world = World::start().await;
    let called = |agent: &str, tool: &str, effect: &str, outcome: &str| {
        let labels = format!("agent=\"{agent}\",effect=\"{effect}\",outcome=\"{outcome}\",tool=\"{tool}\"");
        let family = format!("sidegate_calls_total{{{labels}}}");
        let world = &world;
        async move { world.metric(&family).await }
    };
    let boards = json!({"entryId": "get-_api_v1_boards"});
    assert!(!world.call("technician", "call_api_endpoint", boards.clone()).await.is_error());
    assert!(!world.call("technician", "search_api_registry", json!({"query": "board"})).await.is_error());
    world.call("technician", "made-up", json!({})).await;
    assert_eq!(called("technician", "call_api_endpoint", "read", "ok").await, 1.0);
    assert_eq!(called("technician", "search_api_registry", "none", "ok").await, 1.0);
    assert_eq!(called("technician", "unknown", "none", "fault").await, 1.0);
    assert!(world.metric("sidegate_keys_in_use").await >= 1.0);
    assert!(world.metric("sidegate_keys_outstanding").await >= 1.0);
    assert!(world.metric("sidegate_requests_in_flight_max").await >= 1.0);
    let metrics = world.get(&format!("{}/metrics", world.ops_url)).await;
    assert!(!metrics.body.as_str().unwrap().contains("made-up"));
}

#[tokio::test]
async fn a_key_that_the_psa_refuses_suddenly_is_replaced_once() {
    let world = World::start().await;
    let call = || world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"}));
    assert!(!call().await.is_error());
    let keys = world.control("GET", "/__keys", json!(null)).await;
    for key in keys["data"].as_array().unwrap() {
        let path = format!("/__keys/{}", key["api_key_id"].as_str().unwrap());
        world.control("DELETE", &path, json!(null)).await;
    }
    let again = call().await;
    assert!(!again.is_error(), "{}", again.text());
}

#[tokio::test]
async fn a_suspended_tenant_gets_no_key_and_the_agent_is_told() {
    let world = World::start().await;
    world.control("POST", "/__tenant", json!({"suspended": true})).await;
    let answer =
        world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
    assert!(answer.is_error());
    assert!(answer.text().contains("suspended"), "{}", answer.text());
}

#[tokio::test]
async fn an_agent_that_another_process_disables_is_refused_on_its_next_call_and_its_key_is_revoked() {
    let world = World::start().await;
    let call = || world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"}));
    assert!(!call().await.is_error());
    let elsewhere = world.store().await;
    let switched = std::time::Instant::now();
    elsewhere.switch("technician", false).await;
    tokio::time::sleep(Duration::from_millis(200).saturating_sub(switched.elapsed())).await;
    let refused = call().await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("www-authenticate"), "", "no token would help");
    until(|| async {
        let keys = world.control("GET", "/__keys", json!(null)).await;
        let left = keys["data"]
            .as_array()?
            .iter()
            .any(|key| key["user_id"] == world.psa.technician() && key["active"] == true);
        (!left).then_some(())
    })
    .await;
    elsewhere.switch("technician", true).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!call().await.is_error());
}

#[tokio::test]
async fn a_stop_lets_calls_in_flight_end_and_revokes_the_keys() {
    let mut world = World::start().await;
    let token = world.token("technician");
    let (body, headers) = crate::support::world::modern(
        "tools/call",
        json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_reports_slow", "query": {"ms": 600}}}),
    );
    let url = world.mcp_url.clone();
    let slow = tokio::spawn(async move {
        let mut request = http::Request::post(url)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(bytes::Bytes::from(body.to_string())).unwrap();
        crate::support::world::client().send(request).await
    });
    until(|| async { (!world.reached().await.is_empty()).then_some(()) }).await;
    world.stop().await;
    let answer = slow.await.unwrap().expect("the call in flight was answered");
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["result"]["isError"], false, "{body}");
    let keys = world.control("GET", "/__keys", json!(null)).await;
    let left: Vec<_> = keys["data"].as_array().unwrap().iter().filter(|key| key["active"] == true).collect();
    assert!(left.is_empty(), "{left:?}");
    let records = world.records(1).await;
    assert_eq!(records.last().unwrap()["outcome"], "ok");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream_call() {
    let world = World::start().await;
    let (body, headers) = crate::support::world::modern(
        "tools/call",
        json!({"name": "call_api_endpoint", "arguments": {"entryId": "get-_api_v1_reports_slow", "query": {"ms": 20000}}}),
    );
    let token = world.token("technician");
    let leaving = world.post(Some(&token), body.to_string(), &headers);
    // Dropping the request closes its connection.
    tokio::select! {
        answer = leaving => panic!("it was to take longer: {answer:?}"),
        () = until(|| async { (!world.reached().await.is_empty()).then_some(()) }) => {}
    }
    until(|| async { world.reached().await.iter().any(|request| request["aborted"] == true).then_some(()) })
        .await;
    assert_eq!(world.records(1).await[0]["outcome"], "cancelled");
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_a_result_that_says_so() {
    let world = World::with("call_timeout = \"300ms\"", "").await;
    let arguments = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 20000}});
    let answer = world.call("technician", "call_api_endpoint", arguments).await;
    assert!(answer.is_error() && answer.text().contains("in time"), "{}", answer.text());
    assert_eq!(world.records(1).await[0]["outcome"], "timeout");
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_and_on_record() {
    let world = World::with("max_body = \"4KiB\"", "").await;
    let answer = world.post(Some(&world.token("technician")), vec![b' '; 5000], &[]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(world.records(1).await[0]["reason"], "request_too_large");
}

#[tokio::test]
async fn a_start_without_the_psa_serves_the_catalogue_that_was_kept() {
    let mut world = World::start().await;
    world.stop().await;
    world.psa.stop();
    let again = world.again().await;
    assert_eq!(again.get(&format!("{}/readyz", again.ops_url)).await.status, 200);
    let found = again.call("technician", "search_api_registry", json!({"query": "list tickets"})).await;
    assert_eq!(found.body["result"]["structuredContent"]["results"][0]["entryId"], "get-_api_v1_tickets");
    let call = again.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
    assert!(call.is_error(), "{call:?}");
}

#[tokio::test]
async fn a_psa_that_goes_on_refusing_keys_is_not_given_one_a_call() {
    let world = World::start().await;
    let call = || world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"}));
    let revoke = || async {
        let keys = world.control("GET", "/__keys", json!(null)).await;
        for key in keys["data"].as_array().unwrap() {
            world
                .control("DELETE", &format!("/__keys/{}", key["api_key_id"].as_str().unwrap()), json!(null))
                .await;
        }
    };
    assert!(!call().await.is_error());
    revoke().await;
    assert!(!call().await.is_error(), "replaced once");
    revoke().await;
    let refused = call().await;
    assert_eq!(refused.body["result"]["structuredContent"]["status"], 401, "{}", refused.text());
    assert_eq!(
        world.metric("sidegate_key_mints_total{outcome=\"ok\"}").await,
        3.0,
        "the catalogue's and two"
    );
}

#[tokio::test]
async fn a_body_that_arrives_after_its_agent_was_switched_off_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::start().await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "call_api_endpoint",
        "arguments": {"entryId": "put-_api_v1_tickets_id", "path": {"id": "1"}, "body": {"title": "late"}},
    }})
    .to_string();
    let authority = world.base.trim_start_matches("http://").to_owned();
    let mut connection = tokio::net::TcpStream::connect(&authority).await.unwrap();
    let head = format!(
        "POST /api/mcp HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        world.token("technician"),
        body.len()
    );
    let (first, last) = body.split_at(body.len() - 10);
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(first.as_bytes()).await.unwrap();
    // Admitted: the gauge counts it.
    until(|| async { (world.metric("sidegate_requests_in_flight").await == 1.0).then_some(()) }).await;
    world.store().await.switch("technician", false).await;
    tokio::time::sleep(sidegate::gate::MAX_STALENESS).await;
    connection.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(world.reached().await.is_empty());
}

#[tokio::test]
async fn a_catalogue_that_offers_nothing_is_not_taken_into_use() {
    let mut world = World::start().await;
    world.stop().await;
    let text = std::fs::read_to_string(&world.config_file).unwrap();
    std::fs::write(&world.config_file, format!("{text}\n[catalog]\nprefixes = [\"/nowhere/\"]\n")).unwrap();
    let again = world.again().await;
    let ready = again.get(&format!("{}/readyz", again.ops_url)).await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.to_string().contains("catalogue"), "{ready:?}");
    let call = again.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
    assert!(call.is_error() && call.text().contains("has not been loaded"), "{}", call.text());
}
