//! The description of the administrators' interface against what is served, and as a document of its kind.

use std::process::Command;

use serde_json::{Value, json};
use sidegate::edge::admin::document;

use crate::support::admin::Api;
use crate::support::process::Process;
use crate::support::world::World;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Every (method, path) of the description, `{id}` and the like filled in.
fn described(document: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| METHODS.contains(&key.as_str())) {
            all.push((method.to_uppercase(), path.replace("{id}", "none").replace("{kind}", "none")));
        }
    }
    all
}

#[tokio::test]
async fn what_is_described_is_served_and_what_is_served_is_described() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let served = api.get("/openapi.json").await;
    assert_eq!((served.status, &served.body), (200, &json!(document())));
    assert!(served.body["openapi"].as_str().unwrap().starts_with("3.1."));
    let described = described(&served.body);
    assert!(described.len() >= 30, "{described:?}");
    let paths: std::collections::BTreeSet<_> = described.iter().map(|(_, path)| path.clone()).collect();
    for path in &paths {
        let below = path.strip_prefix("/api/v1/mcp").expect("the base");
        // Whatever is served at a path says so where a method is not.
        let answer = api.send("TRACE", below, Value::Null).await;
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
        let mut allowed: Vec<_> =
            answer.header("allow").split(',').filter(|method| *method != "HEAD").collect();
        allowed.sort_unstable();
        let mut methods: Vec<_> =
            described.iter().filter(|(_, at)| at == path).map(|(method, _)| method.as_str()).collect();
        methods.sort_unstable();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[tokio::test]
async fn nothing_that_is_described_answers_without_a_token() {
    let world = World::start().await;
    for (method, path) in described(&json!(document())) {
        let below = path.strip_prefix("/api/v1/mcp").unwrap().to_owned();
        let body = if matches!(method.as_str(), "POST" | "PUT" | "PATCH") { json!({}) } else { Value::Null };
        let answer = Api::saying(&world, &[]).send(&method, &below, body).await;
        assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_errors_of_its_form() {
    let document = json!(document());
    let mut names = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in
            item.as_object().unwrap().iter().filter(|(key, _)| METHODS.contains(&key.as_str()))
        {
            let at = format!("{method} {path}");
            names.push(operation["operationId"].as_str().unwrap_or_else(|| panic!("{at}")));
            assert!(operation["summary"].is_string(), "{at}");
            if path.ends_with("openapi.json") {
                continue;
            }
            let form = match operation["tags"][0] == "contract" {
                true => ("application/json", "ContractError"),
                false => ("application/problem+json", "Problem"),
            };
            let refused = &operation["responses"]["401"]["content"][form.0]["schema"]["$ref"];
            assert_eq!(*refused, format!("#/components/schemas/{}", form.1), "{at}");
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[tokio::test]
async fn it_is_an_openapi_3_1_document() {
    let folder = tempfile::tempdir().unwrap();
    let judged = |document: Value| {
        let file = folder.path().join("openapi.json");
        std::fs::write(&file, document.to_string()).unwrap();
        let mut command = Command::new(crate::deploy::python());
        command.args(["-m", "openapi_spec_validator", "--schema", "3.1"]).arg(&file);
        async move { Process::run(&mut command).await }
    };
    let ended = judged(json!(document())).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let mut wrong = json!(document());
    wrong["paths"]["/api/v1/mcp/agents"]["get"]["responses"] = json!([]);
    assert_ne!(judged(wrong).await.code, Some(0), "and it would be told if it were none");
}
