//! The same calls over pipes under one's own key and over HTTP as an agent come to the same; and what AlgaPSA's connector
//! understands is understood.

use serde_json::{Value, json};

use super::begun;
use crate::support::world::World;

/// The id of nothing.
const NONE: &str = "00000000-0000-4000-8000-000000000000";

/// What a call came to, without what differs from call to call.
fn outcome(result: &Value) -> (bool, Value, Value) {
    let structured = &result["structuredContent"];
    let kinds = structured["data"].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>());
    (result["isError"] == true, structured["status"].clone(), json!(kinds))
}

#[tokio::test]
async fn the_same_calls_come_to_the_same_over_pipes_and_over_http() {
    let world = World::start().await;
    let ticket = world.a_ticket("technician").await;
    let mut pipes = begun(&world).await;
    pipes.shake_hands("2025-11-25").await;
    let call = "call_api_endpoint";
    let table = [
        ("search_api_registry", json!({"query": "list tickets"})),
        ("search_api_registry", json!({"query": "list tickets", "limit": 1})),
        ("search_business_data", json!({"query": "printer"})),
        (
            "search_business_data",
            json!({"query": "printer", "types": ["ticket"], "limit": 2, "sort": "recent"}),
        ),
        ("search_business_data", json!({"query": "printer", "types": ["nonsense"]})),
        (call, json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 1}})),
        (call, json!({"entryId": "get__api-v1_tickets", "query": {"limit": 1}})),
        (call, json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": ticket}})),
        (
            call,
            json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": "00000000-0000-4000-8000-000000000000"}}),
        ),
        (call, json!({"entryId": "get-_api_v1_tickets_id"})),
        (call, json!({"entryId": "get-_api_v1_nothing"})),
        (call, json!({"entryId": "get-_api_v1_tickets", "method": "DELETE"})),
        (
            call,
            json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": "Renamed"}}),
        ),
        (
            call,
            json!({"entryId": "post-_api_v1_tickets", "body": {"title": "of nobody", "board_id": NONE, "client_id": NONE,
                "status_id": NONE, "priority_id": NONE}}),
        ),
        (
            call,
            json!({"entryId": "delete-_api_v1_tickets_id", "path": {"id": "00000000-0000-4000-8000-000000000000"}}),
        ),
    ];
    for (id, (tool, arguments)) in (1..).zip(table) {
        let here = pipes.call(id, tool, arguments.clone()).await;
        let there = world.call("technician", tool, arguments.clone()).await;
        assert_eq!(
            outcome(&here),
            outcome(&there.body["result"]),
            "{tool} {arguments}\n{here:#}\n{there:#?}"
        );
    }
}

#[tokio::test]
async fn what_is_out_of_range_or_null_or_elsewhere_is_understood() {
    let world = World::start().await;
    let ticket = world.a_ticket("technician").await;
    let mut pipes = begun(&world).await;
    pipes.shake_hands("2025-11-25").await;
    let count = |result: &Value| result["structuredContent"]["results"].as_array().map(Vec::len);
    let many = pipes.call(1, "search_api_registry", json!({"query": "list tickets", "limit": 1000})).await;
    assert!(count(&many).is_some_and(|count| (6..=25).contains(&count)), "{many:#}");
    let one = pipes.call(2, "search_api_registry", json!({"query": "list tickets", "limit": 0})).await;
    assert_eq!(count(&one), Some(1), "{one:#}");
    let call = "call_api_endpoint";
    let understood = [
        ("search_business_data", json!({"query": "printer", "limit": 1000, "types": null, "cursor": null})),
        (
            call,
            json!({"entryId": "get-_api_v1_tickets", "path": null, "query": null, "headers": null, "body": null}),
        ),
        (call, json!({"entryId": "get-_api_v1_tickets", "limit": 1})),
        (call, json!({"entryId": "get-_api_v1_tickets_id", "id": ticket})),
        (call, json!({"entryId": "get-_api_v1_tickets_id", "pathParams": {"id": ticket}})),
        (call, json!({"entryId": "get-_api_v1_tickets_id", "parameters": {"id": ticket}})),
        (
            call,
            json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "data": {"title": "Data"}}),
        ),
        (
            call,
            json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": "{\"title\": \"Text\"}"}),
        ),
        (call, json!({"entryId": "get-_api_v1_tickets", "headers": {"Content-Type": "application/json"}})),
    ];
    for (id, (tool, arguments)) in (3..).zip(understood) {
        let result = pipes.call(id, tool, arguments.clone()).await;
        assert_ne!(result["isError"], true, "{arguments}: {result:#}");
    }
    assert_eq!(world.title("technician", &ticket).await, "Text");
    for (id, (tool, arguments)) in (100..).zip([
        ("search_api_registry", json!({})),
        ("search_business_data", json!({"query": " "})),
        (call, json!({})),
    ]) {
        let result = pipes.call(id, tool, arguments).await;
        assert_eq!(result["isError"], true, "{result:#}");
    }
}
