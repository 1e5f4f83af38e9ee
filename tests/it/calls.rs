//! Tools as an agent calls them: what arrives at the PSA, what comes back, and what never leaves.

use serde_json::{Value, json};
use sidegate::tool::table::{Annotations, ArgPlace, Binding, ToolRow, standard_rows};

use crate::support::world::World;

fn endpoint(entry_id: &str, more: Value) -> Value {
    let mut arguments = json!({"entryId": entry_id});
    if let (Some(all), Some(more)) = (arguments.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    arguments
}

#[tokio::test]
async fn the_three_tools_are_listed_with_closed_schemas_and_annotations() {
    let world = World::start().await;
    let answer = world.ask("technician", "tools/list", json!({})).await;
    let tools = answer.body["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["search_api_registry", "search_business_data", "call_api_endpoint"]);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["additionalProperties"], false);
        assert!(tool["annotations"]["readOnlyHint"].is_boolean());
    }
    let again = world.ask("reader", "tools/list", json!({})).await;
    assert_eq!(again.body["result"], answer.body["result"], "the same for every caller");
}

#[tokio::test]
async fn a_read_reaches_the_psa_under_a_key_and_nothing_of_the_clients_headers() {
    let world = World::start().await;
    let (body, mut headers) = crate::support::world::modern(
        "tools/call",
        json!({"name": "call_api_endpoint", "arguments": endpoint("get-_api_v1_tickets", json!({"query": {"limit": 2}}))}),
    );
    for (name, value) in [
        ("cookie", "session=1"),
        ("x-api-key", "mine"),
        ("x-tenant-id", "other"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-middleware-subrequest", "1"),
    ] {
        headers.push((name, value.to_owned()));
    }
    let answer = world.post(Some(&world.token("technician")), body.to_string(), &headers).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.is_error(), "{answer:?}");
    let result = &answer.body["result"]["structuredContent"];
    assert_eq!(result["status"], 200);
    assert_eq!(result["data"]["data"].as_array().unwrap().len(), 2);
    assert_eq!(serde_json::from_str::<Value>(answer.text()).unwrap(), *result);
    let reached = world.reached().await;
    assert_eq!(reached.len(), 1);
    assert_eq!(reached[0]["path"], "/api/v1/tickets?limit=2");
    let mut names: Vec<_> =
        reached[0]["headers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    let ours = [
        "accept",
        "accept-encoding",
        "host",
        "traceparent",
        "user-agent",
        "x-api-key",
        "x-request-id",
        "x-tenant-id",
    ];
    assert_eq!(names, ours);
}

#[tokio::test]
async fn a_write_reaches_the_psa_once_and_its_effect_can_be_read_back() {
    let world = World::start().await;
    let first = world
        .call(
            "technician",
            "call_api_endpoint",
            endpoint("get-_api_v1_tickets", json!({"query": {"limit": 1}})),
        )
        .await;
    let ticket = first.body["result"]["structuredContent"]["data"]["data"][0].clone();
    let id = ticket["ticket_id"].as_str().unwrap();
    let change = endpoint(
        "put-_api_v1_tickets_id",
        json!({"path": {"id": id}, "body": {"title": "Renamed by an agent"}}),
    );
    let changed = world.call("technician", "call_api_endpoint", change).await;
    assert!(!changed.is_error(), "{}", changed.text());
    let read = endpoint("get-_api_v1_tickets_id", json!({"path": {"id": id}}));
    let read = world.call("technician", "call_api_endpoint", read).await;
    assert_eq!(read.body["result"]["structuredContent"]["data"]["data"]["title"], "Renamed by an agent");
    let writes = world.reached().await.into_iter().filter(|request| request["method"] == "PUT").count();
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn the_psas_own_roles_deny_and_the_agent_is_told_which_permission_is_missing() {
    let world = World::start().await;
    let listed = world
        .call("reader", "call_api_endpoint", endpoint("get-_api_v1_tickets", json!({"query": {"limit": 1}})))
        .await;
    let id = listed.body["result"]["structuredContent"]["data"]["data"][0]["ticket_id"].clone();
    let change = endpoint("put-_api_v1_tickets_id", json!({"path": {"id": id}, "body": {"title": "x"}}));
    let denied = world.call("reader", "call_api_endpoint", change).await;
    assert!(denied.is_error());
    assert_eq!(denied.body["result"]["structuredContent"]["status"], 403);
    assert!(denied.text().contains("Cannot update ticket"), "{}", denied.text());
}

#[tokio::test]
async fn an_agents_maximum_effect_denies_before_anything_is_sent() {
    let world = World::with("", "\n[policy]\ndefault_max_effect = \"read\"\n").await;
    // The two agents name their own maximum; a third goes by the default.
    world.admit_stranger("careful", world.psa.technician()).await;
    let answer = world
        .call(
            "stranger",
            "call_api_endpoint",
            endpoint("delete-_api_v1_tickets_id", json!({"path": {"id": "1"}})),
        )
        .await;
    assert!(answer.is_error());
    assert!(answer.text().contains("rule max_effect"), "{}", answer.text());
    assert!(world.reached().await.is_empty());
    let of_call = |record: &Value| record["method"] == "tools/call";
    let records = world.records_when(|records| records.iter().any(of_call)).await;
    let record = records.into_iter().find(of_call).unwrap();
    assert_eq!((record["decision"].as_str(), record["rule"].as_str()), (Some("deny"), Some("max_effect")));
    assert_eq!(record["outcome"], "denied");
}

#[tokio::test]
async fn hostile_arguments_are_errors_that_name_the_field_and_nothing_is_sent() {
    let world = World::start().await;
    for (what, arguments, named) in [
        ("a parent segment", endpoint("get-_api_v1_tickets_id", json!({"path": {"id": ".."}})), "path.id"),
        (
            "an encoded parent",
            endpoint("get-_api_v1_tickets_id", json!({"path": {"id": "%2e%2e"}})),
            "path.id",
        ),
        ("a slash", endpoint("get-_api_v1_tickets_id", json!({"path": {"id": "a/b"}})), "path.id"),
        ("an empty value", endpoint("get-_api_v1_tickets_id", json!({"path": {"id": ""}})), "path.id"),
        ("a missing value", endpoint("get-_api_v1_tickets_id", json!({})), "path.id"),
        ("another method", endpoint("get-_api_v1_tickets", json!({"method": "DELETE"})), "method"),
        (
            "an undeclared query",
            endpoint("get-_api_v1_tickets", json!({"query": {"evil": "1"}})),
            "query.evil",
        ),
        (
            "an undeclared header",
            endpoint("get-_api_v1_tickets", json!({"headers": {"cookie": "a=b"}})),
            "cookie",
        ),
        (
            "a key as header",
            endpoint("get-_api_v1_tickets", json!({"headers": {"X-API-Key": "k"}})),
            "X-API-Key",
        ),
        ("a body on a read", endpoint("get-_api_v1_tickets", json!({"body": {"a": 1}})), "body"),
        ("an undeclared argument", endpoint("get-_api_v1_tickets", json!({"params": {}})), "params"),
        ("an unknown entry", endpoint("get-_api_v1_nothing", json!({})), "get-_api_v1_nothing"),
        ("a nested query", endpoint("get-_api_v1_tickets", json!({"query": {"limit": {"a": 1}}})), "limit"),
    ] {
        let answer = world.call("technician", "call_api_endpoint", arguments).await;
        assert_eq!(answer.status, 200, "{what}");
        assert!(answer.is_error(), "{what}: {answer:?}");
        assert!(answer.text().contains(named), "{what}: {}", answer.text());
    }
    assert!(world.reached().await.is_empty(), "{:?}", world.reached().await);
}

#[tokio::test]
async fn an_unknown_tool_is_a_protocol_error() {
    let world = World::start().await;
    let answer = world.call("technician", "drop_tables", json!({})).await;
    assert_eq!(answer.body["error"]["code"], -32602);
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("drop_tables"));
}

#[tokio::test]
async fn entries_outside_the_allowed_prefixes_do_not_exist_for_an_agent() {
    let world = World::start().await;
    for query in ["google oauth callback", "publish workflow definition"] {
        let found =
            world.call("technician", "search_api_registry", json!({"query": query, "limit": 25})).await;
        for result in found.body["result"]["structuredContent"]["results"].as_array().unwrap() {
            let path = result["path"].as_str().unwrap();
            assert!(!path.starts_with("/api/auth") && !path.ends_with("/publish"), "{path}");
        }
    }
}

#[tokio::test]
async fn both_searches_answer_as_json_text_and_structured_content() {
    let world = World::start().await;
    let found =
        world.call("technician", "search_api_registry", json!({"query": "list tickets", "limit": 3})).await;
    let structured = &found.body["result"]["structuredContent"];
    assert_eq!(serde_json::from_str::<Value>(found.text()).unwrap(), *structured);
    assert_eq!(structured["query"], "list tickets");
    assert_eq!(structured["results"][0]["entryId"], "get-_api_v1_tickets");
    assert_eq!(structured["count"], structured["results"].as_array().unwrap().len());
    let data =
        world.call("technician", "search_business_data", json!({"query": "printer", "limit": 5})).await;
    assert!(!data.is_error(), "{}", data.text());
    let results = &data.body["result"]["structuredContent"]["data"]["data"]["results"];
    assert!(!results.as_array().unwrap().is_empty(), "{}", data.text());
}

#[tokio::test]
async fn a_fourth_tool_is_one_more_row() {
    let row = ToolRow {
        name: "read_ticket".to_owned(),
        title: "Read a ticket".to_owned(),
        description: "Reads one ticket by its id.".to_owned(),
        input_schema: json!({
            "type": "object", "additionalProperties": false, "required": ["ticket_id"],
            "properties": {"ticket_id": {"type": "string"}},
        }),
        output_schema: None,
        annotations: Annotations { read_only: true, destructive: false, idempotent: true, open_world: false },
        binding: Binding::Entry {
            entry_id: "get-_api_v1_tickets_id".to_owned(),
            places: vec![("ticket_id".to_owned(), ArgPlace::Path("id".to_owned()))],
        },
    };
    let mut rows = standard_rows();
    rows.push(row);
    let world = World::offering(rows, "", "").await;
    let listed = world.ask("technician", "tools/list", json!({})).await;
    assert_eq!(listed.body["result"]["tools"].as_array().unwrap().len(), 4);
    let tickets = world
        .call(
            "technician",
            "call_api_endpoint",
            endpoint("get-_api_v1_tickets", json!({"query": {"limit": 1}})),
        )
        .await;
    let id = tickets.body["result"]["structuredContent"]["data"]["data"][0]["ticket_id"].clone();
    let read = world.call("technician", "read_ticket", json!({"ticket_id": id})).await;
    assert_eq!(read.body["result"]["structuredContent"]["data"]["data"]["ticket_id"], id);
    let wrong = world.call("technician", "read_ticket", json!({"ticket_id": id, "extra": 1})).await;
    assert!(wrong.is_error() && wrong.text().contains("extra"), "{}", wrong.text());
}

#[tokio::test]
async fn a_pdf_is_described_and_not_shown() {
    let world = World::start().await;
    let clerk = json!({"agent_id": "clerk", "name": "clerk", "roles": ["Billing"]});
    let clerk = world.control("POST", "/__users", clerk).await["user_id"].clone();
    world.admit_stranger("clerk", clerk.as_str().unwrap()).await;
    let invoices = world
        .call(
            "stranger",
            "call_api_endpoint",
            endpoint("get-_api_v1_invoices", json!({"query": {"limit": 1}})),
        )
        .await;
    let id = invoices.body["result"]["structuredContent"]["data"]["data"][0]["invoice_id"].clone();
    assert!(id.is_string(), "{}", invoices.text());
    let pdf = world
        .call(
            "stranger",
            "call_api_endpoint",
            endpoint("get-_api_v1_invoices_id_pdf", json!({"path": {"id": id}})),
        )
        .await;
    assert!(pdf.text().contains("application/pdf"), "{}", pdf.text());
    assert!(!pdf.text().contains("%PDF"), "{}", pdf.text());
}
