//! What differs from run to run, and what stands for it in a transcript.

use serde_json::Value;

/// `value` with `change` made to each of its strings; the names of members stay.
pub fn strings(value: Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(items) => items.into_iter().map(|item| strings(item, change)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, strings(value, change))).collect()
        }
        other => other,
    }
}

/// Ids that were made during the run, and times, as `{uuid}` and `{time}`.
pub fn volatile(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (name, length) = if is_like(rest, UUID) {
            ("{uuid}", UUID.len())
        } else if is_like(rest, TIME) {
            ("{time}", TIME.len())
        } else {
            shown.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        shown.push_str(name);
        rest = &rest[length..];
    }
    shown
}

/// `x` is a hexadecimal digit, `0` a decimal one, all else itself.
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const TIME: &str = "0000-00-00T00:00:00.000Z";

fn is_like(text: &str, shape: &str) -> bool {
    let alike = |(have, like): (u8, u8)| match like {
        b'x' => have.is_ascii_hexdigit(),
        b'0' => have.is_ascii_digit(),
        _ => have == like,
    };
    text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(alike)
}

#[test]
fn what_differs_from_run_to_run_is_masked_and_the_rest_is_not() {
    let text =
        "née 851d22a6-1883-483b-8dfb-56db9d25fed0 at 2026-11-29T15:00:00.000Z, not 2025-11-25 nor abc-";
    assert_eq!(volatile(text), "née {uuid} at {time}, not 2025-11-25 nor abc-");
}
