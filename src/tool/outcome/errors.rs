//! What the PSA says is wrong, fit to be shown, and what to do about it.

use serde_json::Value;

use super::super::rest::RestResponse;
use super::super::text::{clean, excerpt};
use super::body::Body;

/// The most that is shown of an error text, in characters.
const EXCERPT: usize = 2_000;
/// The most that is shown of an error object, in bytes of JSON.
const LARGEST: usize = 8_192;

/// The error as the PSA words it: its JSON where that is small, a short text, or a description.
pub(super) fn said(response: &RestResponse, body: Body<'_>) -> Value {
    let bytes = response.body.len();
    match body {
        Body::Empty => "the answer has no body".into(),
        Body::Json(text) => match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(mut object)) if object.get("error").is_some_and(Value::is_object) => {
                small(object.remove("error").unwrap_or_default())
            }
            Ok(error) => small(error),
            Err(_) => excerpt(&text, EXCERPT).into(),
        },
        Body::Text(text) if text.trim_start().starts_with('<') => {
            format!("a page of markup of {bytes} bytes, not shown").into()
        }
        Body::Text(text) => {
            // Four bytes a character at most: what is cut off is not cleaned first.
            excerpt(text.get(..text.floor_char_boundary(4 * EXCERPT)).unwrap_or_default(), EXCERPT).into()
        }
        Body::Page => format!("an HTML page of {bytes} bytes, not shown").into(),
        Body::Binary(kind) => format!("a body of {bytes} bytes, {kind}, not shown").into(),
        Body::Unreadable { why, start: None } => format!("a body of {bytes} bytes, not shown: {why}").into(),
        Body::Unreadable { start: Some(start), .. } => start.into(),
    }
}

fn small(error: Value) -> Value {
    let text = error.to_string();
    if text.len() > LARGEST { excerpt(&text, EXCERPT).into() } else { cleaned(error) }
}

/// The same value with cleaned texts: error texts often repeat what a stranger wrote.
fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(items) => items.into_iter().map(cleaned).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (clean(&key), cleaned(value))).collect()
        }
        other => other,
    }
}

/// What the agent can do. `wait` is what the PSA asks for; `is_page` where it answered with a web page.
pub(super) fn remedy(status: u16, error: &Value, wait: Option<&Value>, is_page: bool) -> String {
    let said = ["/message", "/error/message", "/error"].iter().find_map(|at| error.pointer(at)?.as_str());
    let said =
        said.or(error.as_str().filter(|_| !is_page)).map(|said| excerpt(said, 200)).unwrap_or_default();
    let wait = match wait {
        Some(Value::Number(seconds)) => Some(format!("Wait {seconds} seconds")),
        Some(date) => date.as_str().map(|date| format!("Wait until {date}")),
        None => None,
    };
    match status {
        400 | 422 => match fields(error) {
            fields if fields.is_empty() => {
                "The PSA does not accept the arguments; correct what the error names and call again.".into()
            }
            fields => format!("The PSA does not accept these fields: {fields}. Correct them and call again."),
        },
        401 => {
            "The PSA did not accept this agent's key. You cannot mend that: tell the administrator.".into()
        }
        403 => match said.is_empty() {
            true => {
                "This agent's role lacks a permission; ask the administrator for it, or do without.".into()
            }
            false => format!(
                "This agent's role lacks the permission. The PSA says: {said}. Ask the administrator for it, or do without."
            ),
        },
        404 if is_page => "The PSA has no such endpoint: its answer is a web page. Use another endpoint of search_api_registry; if every call ends like this, tell the administrator to check psa.url.".into(),
        404 => "There is no such record, or this agent may not see it. Look the id up before you call again."
            .into(),
        405 => "The PSA does not offer this method here. Use another endpoint of search_api_registry.".into(),
        408 | 504 => {
            "The PSA took too long. A change may or may not have been made: look before you call again."
                .into()
        }
        409 => "The record was changed or exists already. Read its present state, then decide.".into(),
        413 => "What was sent is too large. Send less, or in parts.".into(),
        429 => format!("Too many calls. {}, then call again.", wait.as_deref().unwrap_or("Wait a little")),
        500..=599 => {
            let wait = wait.map_or_else(|| "Try later".to_owned(), |wait| format!("{wait} before you try again"));
            format!("The PSA failed. {wait}; a change may or may not have been made, so look before you repeat it.")
        }
        400..=499 => "The PSA refused the call; see the error.".into(),
        _ => "This status is no answer that HTTP knows: whether the call was carried out is uncertain, so look before you repeat it. Tell the administrator to check psa.url.".into(),
    }
}

/// The fields a validation error names: a list of issues with `path` and `message`.
fn fields(error: &Value) -> String {
    let issues = ["/details", "/details/issues", "/issues", "/errors"]
        .iter()
        .find_map(|at| error.pointer(at)?.as_array());
    let named = issues.into_iter().flatten().filter_map(|issue| {
        let path: Vec<String> = match issue.get("path").or_else(|| issue.get("field"))? {
            Value::Array(path) => {
                path.iter().map(|part| part.as_str().map_or(part.to_string(), str::to_owned)).collect()
            }
            Value::String(path) => vec![path.clone()],
            _ => return None,
        };
        let message = issue.get("message").and_then(Value::as_str).unwrap_or("not valid");
        Some(format!("{} ({})", excerpt(&path.join("."), 60), excerpt(message, 100)))
    });
    named.take(20).collect::<Vec<_>>().join(", ")
}
