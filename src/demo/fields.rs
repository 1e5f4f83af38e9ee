//! Checks a request body against a resource's fields, every complaint at once.

use serde_json::Value;
use uuid::Uuid;

use super::answer::{Answer, issue, wrong_type};
use super::listing::instant;
use super::resources::{self, Field, Kind, Resource};
use super::world::{Row, World};

/// The known fields of `body`, each checked; every complaint at once.
pub(super) fn checked(world: &World, resource: &Resource, body: &Row, all: bool) -> Result<Row, Answer> {
    let mut given = Row::new();
    let mut issues = Vec::new();
    let mut dangling = false;
    for field in resource.fields {
        match body.get(field.name) {
            None if all && field.required => {
                issues.push(wrong_type(field.name, expected(&field.kind), "undefined"))
            }
            None => {}
            Some(value) => {
                issues.extend(complaint(field, value));
                if let (Kind::Ref(table), Some(id)) = (&field.kind, value.as_str()) {
                    let column = resources::of(table).map_or("", |other| other.id);
                    dangling |= world.find(table, column, &id.to_lowercase()).is_none();
                }
                given.insert(field.name.to_owned(), value.clone());
            }
        }
    }
    if resource.strict {
        let unknown = body.keys().filter(|name| resource.fields.iter().all(|field| field.name != *name));
        issues.extend(unknown.map(|name| issue("unrecognized_keys", name, "Unrecognized key(s) in object")));
    }
    match (issues.is_empty(), dangling) {
        (false, _) => Err(Answer::invalid_body(issues)),
        (true, true) => Err(Answer::error(400, "BAD_REQUEST", "Invalid reference")),
        (true, false) => Ok(given),
    }
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text(_) | Kind::Email | Kind::Uuid | Kind::Ref(_) | Kind::Instant | Kind::OneOf(_) => "string",
        Kind::Bool => "boolean",
        Kind::Number => "number",
        Kind::Object => "object",
        Kind::List => "array",
    }
}

fn complaint(field: &Field, value: &Value) -> Option<Value> {
    let received = match value {
        Value::Null if field.nullable => return None,
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = expected(&field.kind);
    if received != wanted {
        return Some(wrong_type(field.name, wanted, received));
    }
    let written = value.as_str().unwrap_or_default();
    let wrong = |code: &str, message: &str| Some(issue(code, field.name, message));
    match &field.kind {
        Kind::Text(_) if field.required && written.is_empty() => {
            wrong("too_small", "String must contain at least 1 character(s)")
        }
        Kind::Text(most) if written.chars().count() > *most => {
            wrong("too_big", &format!("String must contain at most {most} character(s)"))
        }
        Kind::Email
            if !written
                .split_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && host.contains('.')) =>
        {
            wrong("invalid_string", "Invalid email")
        }
        Kind::Uuid | Kind::Ref(_) if Uuid::try_parse(written).is_err() => {
            wrong("invalid_string", "Invalid uuid")
        }
        Kind::Instant if instant(written).is_none() => wrong("invalid_string", "Invalid datetime"),
        Kind::OneOf(all) if !all.contains(&written) => {
            wrong("invalid_enum_value", &format!("Invalid enum value. Expected one of: {}", all.join(", ")))
        }
        Kind::Text(_) | Kind::Email | Kind::Uuid | Kind::Ref(_) | Kind::Instant | Kind::OneOf(_) => None,
        Kind::Bool | Kind::Number | Kind::Object | Kind::List => None,
    }
}
