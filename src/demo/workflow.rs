//! The demo PSA's workflow surface: what can be built with, drafts, a check and a dry run.
//!
//! Its bodies are bare: no `data`, and errors are `{"error": "text"}`.

use axum::http::Method;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome};
use super::router::{Call, Hand};
use super::world::{Row, new_id, text};

pub(super) fn routes() -> Vec<Hand> {
    const READ: Option<(&str, &str)> = Some(("read", "workflow"));
    const CREATE: Option<(&str, &str)> = Some(("create", "workflow"));
    const UPDATE: Option<(&str, &str)> = Some(("update", "workflow"));
    vec![
        (Method::GET, "/api/workflow/registry/authoring-guide", READ, guide),
        (Method::GET, "/api/workflow/registry/events", READ, events),
        (Method::GET, "/api/workflow/registry/actions", READ, |_| Ok(Answer::json(200, actions()))),
        (Method::GET, "/api/workflow/registry/nodes", READ, |_| Ok(Answer::json(200, nodes()))),
        (Method::GET, "/api/workflow/registry/designer-catalog", READ, |_| {
            Ok(Answer::json(200, json!({"actions": actions(), "nodes": nodes()})))
        }),
        (Method::GET, "/api/workflow/registry/schemas/{schemaRef}", READ, schema),
        (Method::GET, "/api/workflow-definitions", READ, list),
        (Method::POST, "/api/workflow-definitions", CREATE, create),
        (Method::POST, "/api/workflow-definitions/validate", READ, validate),
        (Method::POST, "/api/workflow-definitions/simulate", READ, simulate),
        (Method::GET, "/api/workflow-definitions/{workflowId}/{version}", READ, get),
        (Method::PUT, "/api/workflow-definitions/{workflowId}/{version}", UPDATE, update),
        (Method::POST, "/api/workflow-definitions/{workflowId}/{version}/publish", UPDATE, publish),
        (Method::GET, "/api/workflow-runs", READ, |_| Ok(Answer::json(200, json!({"runs": []})))),
        (Method::POST, "/api/workflow-runs", UPDATE, start),
    ]
}

const EVENTS: [(&str, &str); 4] = [
    ("TICKET_CREATED", "A ticket was entered"),
    ("TICKET_STATUS_CHANGED", "A ticket moved to another status"),
    ("TICKET_COMMENT_ADDED", "A comment was added to a ticket"),
    ("INVOICE_FINALIZED", "An invoice was made final"),
];

fn actions() -> Value {
    json!([
        {"id": "tickets.add_comment", "version": 1, "label": "Add a ticket comment",
         "input": {"ticket_id": "string", "comment_text": "string", "is_internal": "boolean"}},
        {"id": "tickets.assign", "version": 1, "label": "Assign a ticket", "input": {"ticket_id": "string", "user_id": "string"}},
        {"id": "tickets.set_status", "version": 1, "label": "Move a ticket", "input": {"ticket_id": "string", "status_id": "string"}},
        {"id": "notify.email", "version": 1, "label": "Send an e-mail", "input": {"to": "string", "subject": "string", "body": "string"}}
    ])
}

fn nodes() -> Value {
    json!([
        {"type": "action.call", "label": "Call an action", "fields": ["actionId", "version", "input"]},
        {"type": "control.if", "label": "Choose", "fields": ["condition", "then", "else"]},
        {"type": "control.wait", "label": "Wait", "fields": ["minutes"]}
    ])
}

fn guide(_: &mut Call<'_>) -> Outcome {
    let guide = "A workflow has a name, one trigger and a list of steps. Find the event for the trigger under \
                 events, the actions under actions. Validate the draft, simulate it with a payload, then save it. \
                 Publishing is for a person.";
    Ok(Answer::json(
        200,
        json!({"guide": guide, "order": ["events", "actions", "validate", "simulate", "save"]}),
    ))
}

fn events(call: &mut Call<'_>) -> Outcome {
    let search = call.query.get("search").map(|words| words.to_lowercase()).unwrap_or_default();
    let rows =
        EVENTS.iter().filter(|(name, about)| format!("{name} {about}").to_lowercase().contains(&search));
    let rows: Vec<Value> = rows
        .map(|(name, about)| json!({"eventType": name, "description": about, "schemaRef": format!("payload.{name}.v1")}))
        .collect();
    Ok(Answer::json(200, json!({"events": rows})))
}

fn schema(call: &mut Call<'_>) -> Outcome {
    let wanted = call.params.get("schemaRef").map(String::as_str).unwrap_or_default();
    if EVENTS.iter().any(|(name, _)| wanted == format!("payload.{name}.v1")) {
        let properties =
            json!({"id": {"type": "string", "format": "uuid"}, "occurredAt": {"type": "string"}});
        return Ok(Answer::json(
            200,
            json!({"ref": wanted, "schema": {"type": "object", "properties": properties}}),
        ));
    }
    Err(Answer::plain_error(404, "Schema not found"))
}

/// What is wrong with a definition, each with the place and a suggestion.
fn complaints(definition: &Value) -> Vec<Value> {
    let mut errors = Vec::new();
    let mut complain = |code: &str, path: &str, message: &str| {
        errors.push(json!({"code": code, "stepPath": path, "message": message}));
    };
    if definition.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        complain("MISSING_NAME", "root", "A workflow needs a name");
    }
    let event = definition.pointer("/trigger/eventType").and_then(Value::as_str);
    if !event.is_some_and(|event| EVENTS.iter().any(|(name, _)| *name == event)) {
        complain("UNKNOWN_EVENT", "root.trigger", "The trigger's eventType is not in the registry of events");
    }
    let steps = definition.get("steps").and_then(Value::as_array);
    if steps.is_none_or(Vec::is_empty) {
        complain("NO_STEPS", "root.steps", "A workflow needs at least one step");
    }
    let known = actions();
    for (at, step) in steps.into_iter().flatten().enumerate() {
        let action = step.get("actionId").and_then(Value::as_str);
        let exists = known.as_array().is_some_and(|all| all.iter().any(|one| one["id"].as_str() == action));
        if step.get("type").and_then(Value::as_str) == Some("action.call") && !exists {
            complain(
                "UNKNOWN_ACTION",
                &format!("root.steps[{at}]"),
                "The action is not in the registry of actions",
            );
        }
    }
    errors
}

fn definition(call: &Call<'_>) -> Result<Value, Answer> {
    let body = serde_json::from_slice::<Value>(&call.body)
        .map_err(|_| Answer::plain_error(400, "Invalid JSON body"))?;
    body.get("definition")
        .filter(|held| held.is_object())
        .cloned()
        .ok_or_else(|| Answer::plain_error(400, "\"definition\" is required"))
}

fn validate(call: &mut Call<'_>) -> Outcome {
    let errors = complaints(&definition(call)?);
    Ok(Answer::json(200, json!({"ok": errors.is_empty(), "errors": errors, "warnings": []})))
}

fn simulate(call: &mut Call<'_>) -> Outcome {
    let definition = definition(call)?;
    let errors = complaints(&definition);
    let steps = definition.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
    let trace: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| json!({"step": at, "type": step["type"], "outcome": "stubbed"}))
        .collect();
    let status = if errors.is_empty() { "succeeded" } else { "failed" };
    Ok(Answer::json(200, json!({"status": status, "trace": trace, "errors": errors})))
}

fn list(call: &mut Call<'_>) -> Outcome {
    Ok(Answer::json(
        200,
        json!({"items": call.world.rows("workflows"), "total": call.world.rows("workflows").len()}),
    ))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let definition = definition(call)?;
    let row = json!({
        "workflow_id": new_id(), "version": 1, "draft_version": 1, "status": "draft", "name": definition["name"],
        "definition": definition, "created_at": call.stamp(), "updated_at": call.stamp(),
    });
    if let Value::Object(row) = row.clone() {
        call.world.insert("workflows", row);
    }
    Ok(Answer::json(201, row))
}

/// The stored workflow that the path names.
fn named<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Row, Answer> {
    let id = call.params.get("workflowId").cloned().unwrap_or_default();
    let version = call.params.get("version").and_then(|version| version.parse::<i64>().ok());
    call.world
        .find_mut("workflows", "workflow_id", &id)
        .filter(|row| row.get("version").and_then(Value::as_i64) == version)
        .ok_or_else(|| Answer::plain_error(404, "Workflow not found"))
}

fn get(call: &mut Call<'_>) -> Outcome {
    Ok(Answer::json(200, Value::Object(named(call)?.clone())))
}

fn update(call: &mut Call<'_>) -> Outcome {
    let definition = definition(call)?;
    let expected = call.object().get("expectedDraftVersion").and_then(Value::as_i64);
    let now = call.stamp();
    let row = named(call)?;
    let held = row.get("draft_version").and_then(Value::as_i64).unwrap_or(1);
    if expected.is_some_and(|expected| expected != held) {
        return Err(Answer::plain_error(409, "The draft was changed by someone else"));
    }
    row.insert("name".to_owned(), definition["name"].clone());
    row.insert("definition".to_owned(), definition);
    row.insert("draft_version".to_owned(), (held + 1).into());
    row.insert("updated_at".to_owned(), now.into());
    Ok(Answer::json(200, Value::Object(row.clone())))
}

fn publish(call: &mut Call<'_>) -> Outcome {
    let row = named(call)?;
    row.insert("status".to_owned(), "published".into());
    Ok(Answer::json(200, Value::Object(row.clone())))
}

fn start(call: &mut Call<'_>) -> Outcome {
    let id = call.object().get("workflowId").and_then(Value::as_str).unwrap_or_default().to_owned();
    match call.world.find("workflows", "workflow_id", &id) {
        Some(row) => {
            let run = json!({"runId": new_id(), "workflowId": text(row, "workflow_id"), "status": "RUNNING"});
            Ok(Answer::json(201, run))
        }
        None => Err(Answer::plain_error(404, "Workflow not found")),
    }
}
