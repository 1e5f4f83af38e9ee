//! The demo PSA's control API under `/__*`: keys, users, roles and the tenant, for whoever holds
//! the control secret. It stands in for the database that a real PSA's keys are written to.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::keys::{Key, SWEPT_PURPOSE};
use super::special::role_rows;
use super::world::{BURST, World, new_id};
use super::{listing, people};
use crate::clock::Millis;

/// Answers one control request. `path` is without the query.
pub(super) fn answer(
    world: &mut World,
    now: Millis,
    method: &Method,
    path: &str,
    query: &BTreeMap<String, String>,
    body: &[u8],
) -> Answer {
    let body: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let answer = match (method.as_str(), parts.as_slice()) {
        ("POST", ["__keys"]) => mint(world, now, &body),
        ("GET", ["__keys"]) => Ok(Answer::data(world.keys.iter().map(Key::show).collect::<Vec<_>>())),
        ("DELETE", ["__keys"]) => match query.get("agent_id") {
            Some(agent) => Ok(remove(world, |key| key.agent_id.as_ref() == Some(agent))),
            None => Err(bad("the query parameter agent_id is missing")),
        },
        ("POST", ["__keys", "sweep"]) => match body.get("now").and_then(Value::as_i64) {
            Some(then) => Ok(remove(world, |key| key.purpose == SWEPT_PURPOSE && !key.valid(then))),
            None => Err(bad("now is missing; it is a number of milliseconds")),
        },
        ("DELETE", ["__keys", id]) => {
            let before = world.keys.len();
            world.keys.retain(|key| key.id != *id);
            Ok(if world.keys.len() < before {
                Answer::empty(204)
            } else {
                Answer::plain_error(404, "unknown key")
            })
        }
        ("GET", ["__roles"]) => Ok(Answer::data(role_rows())),
        ("POST", ["__users"]) => people::provision(world, now, &body),
        ("POST", ["__administrator"]) => people::administrator(world, now, &body),
        (method, ["__users", id]) => people::one(world, method, id),
        (method, ["__users", id, part]) => people::part(world, method, id, part, &body),
        ("POST", ["__tenant"]) => match body.get("suspended").and_then(Value::as_bool) {
            Some(suspended) => {
                world.suspended = suspended;
                Ok(Answer::empty(204))
            }
            None => Err(bad("suspended is missing; it is true or false")),
        },
        // Makes the rate limiter refuse, as AlgaPSA does when it is told to enforce its limits.
        ("POST", ["__limit"]) => {
            world.enforced_burst = body.get("burst").and_then(Value::as_i64);
            let burst = world.enforced_burst.unwrap_or(BURST);
            world.keys.iter_mut().for_each(|key| key.bucket = (burst * 1_000, now));
            Ok(Answer::empty(204))
        }
        _ => Err(Answer::plain_error(404, "unknown control request")),
    };
    answer.unwrap_or_else(|refused| refused)
}

pub(super) fn bad(message: &str) -> Answer {
    Answer::plain_error(400, message)
}

fn remove(world: &mut World, gone: impl Fn(&Key) -> bool) -> Answer {
    let before = world.keys.len();
    world.keys.retain(|key| !gone(key));
    Answer::json(200, json!({"removed": before - world.keys.len()}))
}

fn mint(world: &mut World, now: Millis, body: &Map<String, Value>) -> Result<Answer, Answer> {
    let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let required = |name: &str| field(name).ok_or_else(|| bad(&format!("{name} is missing")));
    let user_id = required("user_id")?;
    let hash = required("key_hash")?;
    if hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(bad("key_hash is not 64 lower-case hex digits"));
    }
    let expires_at = match body.get("expires_at") {
        None | Some(Value::Null) => None,
        Some(written) => {
            let at = written.as_str().and_then(listing::instant);
            Some(at.ok_or_else(|| bad("expires_at is not an RFC 3339 time"))?)
        }
    };
    if world.suspended {
        return Err(Answer::plain_error(403, "suspended"));
    }
    match world.find("users", "user_id", &user_id) {
        None => return Err(Answer::plain_error(403, "no_user")),
        Some(user) if user.get("is_inactive") == Some(&Value::Bool(true)) => {
            return Err(Answer::plain_error(403, "inactive_user"));
        }
        Some(_) => {}
    }
    if world.keys.iter().any(|key| key.hash == hash) {
        return Err(Answer::plain_error(409, "the key exists already"));
    }
    let id = new_id();
    world.keys.push(Key {
        id: id.clone(),
        hash,
        user_id,
        agent_id: field("agent_id"),
        description: field("description").unwrap_or_default(),
        purpose: field("purpose").unwrap_or_else(|| "general".to_owned()),
        active: true,
        expires_at,
        created_at: now,
        last_used_at: None,
        bucket: (world.enforced_burst.unwrap_or(BURST) * 1_000, now),
    });
    Ok(Answer::json(201, json!({"api_key_id": id})))
}
