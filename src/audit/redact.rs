//! Takes secrets out of what goes on record, by the name of a field and by the shape of a value.
//!
//! Pure: it decides nothing about what is recorded and never fails; in doubt it hides.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Number, Value};

mod iban;
mod names;
mod shapes;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Levels of nesting that are shown; what lies deeper is left out.
const MAX_DEPTH: usize = 64;

/// Fields that name what a neighbouring `value` is: `{"name": "password", "value": ".."}`.
const LABELS: [&str; 7] = ["name", "key", "field", "label", "header", "property", "id"];

/// A copy of `value` with every secret replaced by [`REDACTED`].
///
/// Hidden are the values of fields whose name announces a secret (numbers, objects and arrays too;
/// a boolean or null is shown, it can hold none), texts and parts of texts with the shape of one,
/// field names with the shape of one, and what lies deeper than 64 levels.
pub fn redact(value: &Value) -> Value {
    walk(value, 0)
}

/// `text` with every stretch that has the shape of a secret replaced by [`REDACTED`].
pub fn redact_text(text: &str) -> Cow<'_, str> {
    let found = shapes::secrets(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for range in found {
        shown.push_str(text.get(from..range.start).unwrap_or_default());
        shown.push_str(REDACTED);
        from = range.end;
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(shown)
}

/// A request target (`/path?name=value`, percent-encoded) under the same rules: the value of a secret
/// parameter, or a segment or value that has the shape of a secret once decoded, is replaced whole.
pub fn redact_target(target: &str) -> Cow<'_, str> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let clean = !path.split('/').any(is_secret_part)
        && !query.is_some_and(|query| query.split('&').any(|pair| hidden_pair(pair).is_some()));
    if clean {
        return Cow::Borrowed(target);
    }
    let segments = path.split('/').map(|segment| if is_secret_part(segment) { REDACTED } else { segment });
    let mut shown = segments.collect::<Vec<_>>().join("/");
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| hidden_pair(pair).unwrap_or_else(|| pair.to_owned()));
        shown.push('?');
        shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    Cow::Owned(shown)
}

fn walk(value: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::from("[too deep]");
    }
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) if is_card_number(number) => Value::from(REDACTED),
        Value::Number(_) => value.clone(),
        Value::String(text) => Value::from(redact_text(text)),
        Value::Array(items) => items.iter().map(|item| walk(item, depth + 1)).collect(),
        Value::Object(fields) => Value::Object(walk_fields(fields, depth)),
    }
}

fn walk_fields(fields: &Map<String, Value>, depth: usize) -> Map<String, Value> {
    let labelled = LABELS
        .iter()
        .filter(|_| fields.contains_key("value") || fields.contains_key("values"))
        .any(|label| fields.get(*label).and_then(Value::as_str).is_some_and(names::is_secret));
    let mut shown = Map::new();
    for (name, value) in fields {
        let secret = names::is_secret(name) && !is_amount(name, value)
            || labelled && matches!(name.as_str(), "value" | "values");
        let value = match value {
            Value::Null | Value::Bool(_) => value.clone(),
            _ if secret => Value::from(REDACTED),
            _ => walk(value, depth + 1),
        };
        let mut name = redact_text(name).into_owned();
        // Two hidden names must not become one field, or one of the values would go missing.
        if shown.contains_key(&name) {
            name = format!("{name}#{}", shown.len());
        }
        shown.insert(name, value);
    }
    shown
}

/// `max_tokens: 100` counts tokens and holds none.
fn is_amount(name: &str, value: &Value) -> bool {
    value.is_number() && name.to_ascii_lowercase().ends_with("tokens")
}

fn is_card_number(number: &Number) -> bool {
    number
        .as_u64()
        .is_some_and(|number| number >= 1_000_000_000_000 && shapes::is_card(number.to_string().as_bytes()))
}

fn is_secret_part(part: &str) -> bool {
    // Decoded first: `Bearer%20abc` is as secret as `Bearer abc`.
    let plain = percent_decode_str(part).decode_utf8_lossy();
    !shapes::secrets(&plain).is_empty()
}

/// The pair with its value hidden, where it must be; a pair without `=` is judged as a value.
fn hidden_pair(pair: &str) -> Option<String> {
    let Some((name, value)) = pair.split_once('=') else {
        return is_secret_part(pair).then(|| REDACTED.to_owned());
    };
    let spaced = value.replace('+', " ");
    let plain_name = percent_decode_str(name).decode_utf8_lossy();
    let secret_name = !value.is_empty() && names::is_secret(&plain_name);
    let shown_name = if is_secret_part(name) { REDACTED } else { name };
    (secret_name || is_secret_part(&spaced) || shown_name != name).then(|| format!("{shown_name}={REDACTED}"))
}

#[cfg(test)]
mod tests;
