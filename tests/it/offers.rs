//! What an agent is offered: what it may call and how, as the PSA really takes it, and what it may learn about itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::issuer::Issuer;
use crate::support::plan::{Plan, Trusted};
use crate::support::world::World;

fn found(answer: &Answer) -> &Value {
    &answer.body["result"]["structuredContent"]
}

async fn search(world: &World, agent: &str, arguments: Value) -> Value {
    found(&world.call(agent, "search_api_registry", arguments).await).clone()
}

async fn call(world: &World, agent: &str, arguments: Value) -> Answer {
    world.call(agent, "call_api_endpoint", arguments).await
}

fn ids(found: &Value) -> Vec<&str> {
    found["results"].as_array().unwrap().iter().map(|result| result["entryId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_agent_is_shown_nothing_that_it_may_never_call_and_as_much_of_the_rest() {
    let world = World::start().await;
    // It has no max_effect of its own.
    world.admit_stranger("visitor", world.psa.technician()).await;
    let query = json!({"query": "delete or update a ticket", "limit": 5});
    let all = search(&world, "technician", query.clone()).await;
    let some = search(&world, "stranger", query).await;
    let effects = |found: &Value| -> Vec<String> {
        let results = found["results"].as_array().unwrap().iter();
        results.map(|result| result["effect"].as_str().unwrap().to_owned()).collect()
    };
    assert!(effects(&all).iter().any(|effect| effect != "read"), "{all}");
    assert!(effects(&some).iter().all(|effect| effect == "read"), "{some}");
    assert_eq!(some["count"], 5, "what is left out makes room: {some}");
    assert!(some["results"].as_array().unwrap().iter().all(|result| result["allowed"] == true));
}

#[tokio::test]
async fn a_token_that_lacks_scopes_is_told_what_a_call_would_need() {
    let issuer = Issuer::start().await;
    let trusted =
        Some(Trusted { issuer: &issuer.url, agents: vec![("worker", "worker".to_owned(), "technician")] });
    let lines = r#"required_scopes = { read = ["psa.read"], write = ["psa.write"] }"#;
    let world = World::of(Plan { issuer: lines, trusted, ..Plan::default() }).await;
    let token = issuer.token("worker", &world.mcp_url, json!({"scope": "psa.read"}));
    let arguments =
        json!({"name": "search_api_registry", "arguments": {"query": "create a ticket", "limit": 1}});
    let (body, headers) = crate::support::http::modern("tools/call", arguments);
    let answer = world.post(Some(&token), body.to_string(), &headers).await;
    let result = &found(&answer)["results"][0];
    assert_eq!((&result["entryId"], &result["allowed"]), (&json!("post-_api_v1_tickets"), &json!(false)));
    assert!(result["reason"].as_str().unwrap().contains("psa.write"), "{result}");
}

#[tokio::test]
async fn in_short_a_result_is_a_fraction_of_what_it_is_in_full() {
    let world = World::start().await;
    let arguments = |detail: &str| json!({"query": "list tickets", "limit": 1, "detail": detail});
    let (short, full) = (
        search(&world, "technician", arguments("short")).await,
        search(&world, "technician", arguments("full")).await,
    );
    assert_eq!(ids(&short), ids(&full));
    assert!(short.to_string().len() * 2 < full.to_string().len(), "{short}");
    assert!(full["results"][0]["description"].is_string());
    let named = short["results"][0]["moreParameters"].as_array().unwrap();
    assert!(named.contains(&json!("client_name")), "{short}");
}

#[tokio::test]
async fn an_agent_learns_who_it_is_what_it_may_do_and_whether_all_is_well_without_the_psa() {
    let limits = "failed_auth_per_minute = 0\ncalls_per_minute = 60\ncalls_in_flight = 9";
    let world = World::of(Plan { limits, ..Plan::default() }).await;
    world.admit_stranger("visitor", world.psa.technician()).await;
    world.call("stranger", "search_business_data", json!({"query": "printer"})).await;
    let before = world.reached().await.len();
    let mut told = Vec::new();
    for (query, id) in [
        ("who am I?", "sidegate_whoami"),
        ("what may I do", "sidegate_permissions"),
        ("is the PSA up?", "sidegate_health"),
    ] {
        assert_eq!(
            ids(&search(&world, "stranger", json!({"query": query, "limit": 3})).await)[0],
            id,
            "{query}"
        );
        let answer = call(&world, "stranger", json!({"entryId": id})).await;
        assert!(!answer.is_error(), "{}", answer.text());
        told.push(found(&answer)["data"].clone());
    }
    let [who, may, health]: [Value; 3] = told.try_into().unwrap();
    assert_eq!((&who["agent"], &who["maxEffect"]), (&json!("visitor"), &json!("read")));
    assert_eq!(who["issuer"], json!(world.issuer.issuer));
    assert_eq!(
        (&may["effects"]["read"]["allowed"], &may["effects"]["write"]["allowed"]),
        (&json!(true), &json!(false))
    );
    assert!(may["effects"]["write"]["reason"].as_str().unwrap().contains("max_effect"));
    assert_eq!(may["limits"]["callsInFlight"], json!({"limit": 9, "now": 1}));
    let calls = &may["limits"]["callsPerMinute"];
    assert!(calls["limit"] == 60 && calls["left"].as_u64() < Some(60), "{calls}");
    assert_eq!((&health["psa"]["reachable"], &health["gate"]["healthy"]), (&json!(true), &json!(true)));
    assert_eq!(world.reached().await.len(), before, "nobody else was asked");
    let of = |records: &[Value]| {
        records.iter().any(|record| record["entry_id"] == "sidegate_whoami" && record["decision"] == "allow")
    };
    world.records_when(of).await;
    let wrong = call(&world, "stranger", json!({"entryId": "sidegate_whoami", "query": {"x": 1}})).await;
    assert!(wrong.is_error() && wrong.text().contains("query.x"), "{}", wrong.text());
}

#[tokio::test]
async fn comments_are_asked_for_as_markdown_unless_the_agent_says_otherwise() {
    let world = World::of(Plan { tapped: true, ..Plan::default() }).await;
    let ticket = world.a_ticket("reader").await;
    for (query, sent) in [
        (json!({"limit": 2}), "limit=2&content_format=markdown"),
        (json!({"limit": 2, "content_format": "full"}), "limit=2&content_format=full"),
    ] {
        let arguments =
            json!({"entryId": "get-_api_v1_tickets_id_comments", "path": {"id": ticket}, "query": query});
        let answer = call(&world, "reader", arguments).await;
        assert!(!answer.is_error(), "{}", answer.text());
        let targets: Vec<String> = world.sent().into_iter().map(|sent| sent.target).collect();
        assert!(targets.iter().any(|target| target.ends_with(&format!("/comments?{sent}"))), "{targets:?}");
    }
}

#[tokio::test]
async fn an_operators_repair_is_in_use_and_a_changed_file_comes_into_use() {
    let file = |folder: &Path| folder.join("overlay.toml");
    let world = World::start().await;
    let row =
        |summary: &str| format!("[[entries]]\nentry = \"GET /api/v1/boards\"\nsummary = \"{summary}\"\n");
    std::fs::write(file(world.folder.path()), row("Zebras of the helpdesk")).unwrap();
    let path = file(world.folder.path()).display().to_string();
    world.edit(|text| format!("{text}\n[catalog]\noverlay_file = \"{path}\"\n")).await;
    for (query, renewed) in [("zebras", None), ("giraffes", Some("Giraffes of the helpdesk"))] {
        if let Some(summary) = renewed {
            std::fs::write(file(world.folder.path()), row(summary)).unwrap();
        }
        crate::support::world::until(|| async {
            let seen = search(&world, "reader", json!({"query": query, "limit": 1})).await;
            (seen["results"][0]["path"] == "/api/v1/boards").then_some(())
        })
        .await;
    }
}

/// What the rows for AlgaPSA may say at most: they are read at every start.
#[test]
fn the_built_in_repairs_can_be_read() {
    let repairs = sidegate::psa::repairs("alga").unwrap();
    assert_ne!(repairs, sidegate::psa::repairs("another").unwrap());
}
