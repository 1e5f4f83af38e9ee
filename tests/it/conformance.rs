//! What the conformance suite needs is in no build but its own: `tests/conformance.sh` makes that one.
#![cfg(not(feature = "conformance"))]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::world::World;

/// What only the fixtures answer: in both eras, then in the legacy era alone.
const METHODS: [&str; 9] = [
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "completion/complete",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
];

/// The names and URIs of the fixtures, as their source has them.
fn fixtures() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gate/fixtures");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the fixtures") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a source file");
        let named = text.split('"').filter(|word| {
            ["test_", "test://", "json_schema_"].iter().any(|start| word.starts_with(start))
                && !word.contains(char::is_whitespace)
        });
        found.extend(named.map(str::to_owned));
    }
    found
}

#[test]
fn no_fixture_is_in_the_binary() {
    let names = fixtures();
    for name in ["test_simple_text", "test_input_required_result_prompt", "test://static-text"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let mut search = Command::new("grep");
    search.args(["--text", "--only-matching", "--fixed-strings"]);
    search.args(names.iter().flat_map(|name| ["-e", name]));
    let found = search.arg(env!("CARGO_BIN_EXE_sidegate")).output().expect("grep");
    assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stdout));
}

#[tokio::test]
async fn no_fixture_is_listed_declared_or_served_in_the_modern_era() {
    let world = World::start().await;
    let listed = world.ask("technician", "tools/list", json!({})).await;
    let tools = listed.body["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["search_api_registry", "search_business_data", "call_api_endpoint"]);
    let discovered = world.ask("technician", "server/discover", json!({})).await;
    only_tools(&discovered.body["result"]["capabilities"]);
    for method in METHODS {
        let answer = world.ask("technician", method, json!({})).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (404, &json!(-32601)),
            "{method}: {answer:?}"
        );
    }
    let called = world.call("technician", "test_simple_text", json!({})).await;
    assert_eq!(called.body["error"]["code"], -32602, "{called:?}");
}

#[tokio::test]
async fn no_fixture_is_declared_or_served_in_the_legacy_era() {
    let world = World::start().await;
    let token = world.token("technician");
    let client = json!({"name": "the test", "version": "1"});
    let params = json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client});
    let handshake = world.post(Some(&token), message("initialize", params), &[]).await;
    only_tools(&handshake.body["result"]["capabilities"]);
    let mut headers = vec![("mcp-protocol-version", REVISION.to_owned())];
    let session = handshake.header("mcp-session-id").to_owned();
    if !session.is_empty() {
        headers.push(("mcp-session-id", session));
    }
    for method in METHODS {
        let answer = world.post(Some(&token), message(method, json!({})), &headers).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (200, &json!(-32601)),
            "{method}: {answer:?}"
        );
    }
}

const REVISION: &str = "2025-11-25";

fn message(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

fn only_tools(capabilities: &Value) {
    let names: Vec<_> = capabilities.as_object().unwrap().keys().collect();
    assert_eq!(names, ["tools"], "{capabilities}");
}
