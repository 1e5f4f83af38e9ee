//! The official SDKs with a token in hand, through TLS: each finds the tools, reads, writes, and is told of a denial.

use serde_json::{Value, json};

use crate::support::clients;
use crate::support::plan::Plan;
use crate::support::world::World;

/// Holds the same conversation as the technician's agent and as the reader's, with each in `revision`.
async fn converses(program: &str, mode: &str, revision: &str) {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    let ticket = world.a_ticket("technician").await;
    let title = format!("Renamed through {program} {mode}");
    let write = |title: &str| json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": title}});
    let speak = async |agent: &str, write: Value| {
        let config = json!({
            "mcp_url": world.mcp_url, "ca_file": world.ca_file(), "token": world.token(agent), "mode": mode,
            "write": write,
        });
        let line = clients::run(program, &config).await;
        assert_eq!(line["error"], Value::Null, "{line:#}");
        assert_eq!(line["revision"], revision, "{line:#}");
        let tools = ["search_api_registry", "search_business_data", "call_api_endpoint"];
        assert_eq!(line["tools"], json!(tools), "{line:#}");
        assert_eq!(line["searchFirst"], "get-_api_v1_tickets", "{line:#}");
        assert_eq!((&line["readOk"], &line["readStructured"]), (&json!(true), &json!(true)), "{line:#}");
        let steps = line["trace"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["bearer"] == true), "{line:#}");
        line
    };

    let wrote = speak("technician", write(&title)).await;
    assert_eq!(wrote["writeIsError"], false, "{wrote:#}");
    assert_eq!(world.title("technician", &ticket).await, title);

    let denied = speak("reader", write("Renamed by one who may not")).await;
    assert_eq!(denied["writeIsError"], true, "{denied:#}");
    assert!(denied["writeText"].as_str().unwrap().contains("Cannot update ticket"), "{denied:#}");
    assert_eq!(world.title("technician", &ticket).await, title);
    let is_denial = |record: &Value| {
        record["entry_id"] == "put-_api_v1_tickets_id"
            && record["agent"] == "reader"
            && record["record"] == "event"
    };
    let records = world.records_when(|records| records.iter().any(is_denial)).await;
    let denial = records.into_iter().find(is_denial).unwrap();
    assert_eq!(denial["upstream_status"], 403, "{denial:#}");
    assert_eq!(denial["revision"], revision, "{denial:#}");
}

#[tokio::test]
async fn the_first_typescript_sdk_speaks_the_newest_revision_it_knows() {
    converses("sdk_v1.mjs", "", "2025-11-25").await;
}

#[tokio::test]
async fn the_second_typescript_sdk_speaks_a_session_revision_by_default() {
    converses("sdk_v2.mjs", "legacy", "2025-11-25").await;
}

#[tokio::test]
async fn the_second_typescript_sdk_finds_the_newest_revision_where_it_may_probe() {
    converses("sdk_v2.mjs", "auto", "2026-07-28").await;
}

#[tokio::test]
async fn the_second_typescript_sdk_speaks_the_newest_revision_where_it_is_pinned() {
    converses("sdk_v2.mjs", "modern", "2026-07-28").await;
}

#[tokio::test]
async fn the_python_sdk_finds_the_newest_revision_by_itself() {
    converses("sdk_python.py", "auto", "2026-07-28").await;
}

#[tokio::test]
async fn the_python_sdk_speaks_a_session_revision_where_it_is_told_to() {
    converses("sdk_python.py", "legacy", "2025-11-25").await;
}
