//! The part of the control API about users: what a directory of the PSA's people is asked.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome};
use super::control::bad;
use super::roles;
use super::special::role_rows;
use super::world::{Row, World, new_id, stamp, text};
use crate::clock::Millis;

/// The backing user of an agent: made on the first call, its name and roles aligned on each.
pub(super) fn provision(world: &mut World, now: Millis, body: &Map<String, Value>) -> Outcome {
    let field = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| bad(&format!("{name} is missing")))
    };
    let (agent, name) = (field("agent_id")?, field("name")?);
    let granted = wanted(body)?;
    let held = world.find("users", "agent_id", &agent).map(|user| text(user, "user_id").to_owned());
    let id = match held {
        Some(id) => id,
        None => {
            let id = new_id();
            let short: String = agent.chars().take(8).collect();
            let user = json!({
                "user_id": id, "tenant": world.tenant, "agent_id": agent, "username": format!("mcp-agent-{short}"),
                "email": format!("mcp-agent-{agent}@agents.example"), "user_type": "internal",
                "first_name": null, "last_name": null, "created_at": stamp(now),
            });
            if let Value::Object(user) = user {
                world.insert("users", user);
            }
            id
        }
    };
    if let Some(user) = world.find_mut("users", "user_id", &id) {
        user.insert("full_name".to_owned(), name.into());
        user.insert("updated_at".to_owned(), stamp(now).into());
    }
    world.grants.insert(id.clone(), granted);
    Ok(Answer::json(200, json!({"user_id": id})))
}

/// `/__users/{id}`: shows or removes a user.
pub(super) fn one(world: &mut World, method: &str, id: &str) -> Outcome {
    let user = world.find("users", "user_id", id).ok_or_else(unknown)?;
    if method == Method::GET {
        return Ok(Answer::data(shown(user)));
    }
    if method != Method::DELETE {
        return Err(Answer::empty(405));
    }
    if let Some(table) = refers(world, id) {
        return Err(Answer::json(409, json!({"error": "held", "table": table})));
    }
    if let Some(users) = world.tables.get_mut("users") {
        users.retain(|user| text(user, "user_id") != id);
    }
    world.grants.remove(id);
    Ok(Answer::empty(204))
}

/// `/__users/{id}/...`: its roles, and whether it is switched on.
pub(super) fn part(
    world: &mut World,
    method: &str,
    id: &str,
    part: &str,
    body: &Map<String, Value>,
) -> Outcome {
    let user = world.find_mut("users", "user_id", id).ok_or_else(unknown)?;
    match (method, part) {
        ("POST", "deactivate" | "reactivate") => {
            user.insert("is_inactive".to_owned(), (part == "deactivate").into());
        }
        ("PUT", "roles") => {
            let granted = wanted(body)?;
            world.grants.insert(id.to_owned(), granted);
        }
        ("GET", "roles") => {
            let held = world.grants.get(id).cloned().unwrap_or_default();
            let rows = role_rows();
            let named = rows.as_array().into_iter().flatten();
            let named =
                named.filter(|row| row["role_name"].as_str().is_some_and(|name| held.contains(&name)));
            return Ok(Answer::data(named.cloned().collect::<Vec<_>>()));
        }
        _ => return Err(Answer::plain_error(404, "unknown control request")),
    }
    Ok(Answer::empty(204))
}

/// The owner of the key whose hash is given, where it is an administrator's; else null.
pub(super) fn administrator(world: &mut World, now: Millis, body: &Map<String, Value>) -> Outcome {
    let hash = body.get("key_hash").and_then(Value::as_str).ok_or_else(|| bad("key_hash is missing"))?;
    let not_for: Vec<_> = body
        .get("not_for")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let owner = world.check_hash(hash, None, now).ok().and_then(|at| world.keys.get(at));
    let owner = owner.filter(|key| !not_for.contains(&key.purpose.as_str()));
    let user = owner.and_then(|key| world.find("users", "user_id", &key.user_id));
    let is_admin = |user: &&Row| {
        world.grants.get(text(user, "user_id")).is_some_and(|names| names.contains(&"Admin"))
            && text(user, "agent_id").is_empty()
    };
    Ok(Answer::data(user.filter(is_admin).map(shown)))
}

fn unknown() -> Answer {
    Answer::plain_error(404, "unknown user")
}

fn shown(user: &Row) -> Value {
    json!({
        "user_id": text(user, "user_id"), "username": text(user, "username"), "email": text(user, "email"),
        "name": text(user, "full_name"), "internal": text(user, "user_type") == "internal",
        "active": user.get("is_inactive") != Some(&Value::Bool(true)), "ours": !text(user, "agent_id").is_empty(),
    })
}

/// A table with a row that names the user, as a foreign key would.
fn refers(world: &World, id: &str) -> Option<&'static str> {
    let names = |row: &Row| row.values().any(|value| value.as_str() == Some(id));
    let mut others = world.tables.iter().filter(|(table, _)| **table != "users");
    others.find(|(_, rows)| rows.iter().any(names)).map(|(table, _)| *table)
}

/// The roles that `body` asks for, each by id or name.
fn wanted(body: &Map<String, Value>) -> Result<Vec<&'static str>, Answer> {
    let words = body.get("roles").and_then(Value::as_array).ok_or_else(|| bad("roles is missing"))?;
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let (known, unknown): (Vec<_>, Vec<_>) =
        words.into_iter().map(|word| (word, roles::find(word))).partition(|(_, role)| role.is_some());
    if unknown.is_empty() {
        return Ok(known.into_iter().filter_map(|(_, role)| Some(role?.name)).collect());
    }
    let unknown: Vec<&str> = unknown.into_iter().map(|(word, _)| word).collect();
    let all: Vec<&str> = roles::ROLES.iter().map(|role| role.name).collect();
    Err(bad(&format!("unknown roles: {}; there are: {}", unknown.join(", "), all.join(", "))))
}
