//! What a call was given, without secrets and as canonical JSON (RFC 8785).

use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::audit::redact::Rules;
use crate::record::{canonical, exact};
use crate::units::hex;

/// Bytes of redacted argument JSON that a record shows; more becomes a size and a hash.
pub(super) const MAX_ARGUMENTS: usize = 16 << 10;

/// A call's arguments. Small ones are redacted where the record is written, off the request's path;
/// large ones at once, so that a queue of records holds no megabytes.
pub(super) struct Arguments {
    given: Value,
    rules: Arc<Rules>,
    shown: OnceLock<Box<RawValue>>,
}

impl Arguments {
    pub fn new(arguments: &Value, rules: Arc<Rules>) -> Self {
        if weight(arguments, MAX_ARGUMENTS) <= MAX_ARGUMENTS {
            return Self { given: arguments.clone(), rules, shown: OnceLock::new() };
        }
        Self { given: Value::Null, shown: OnceLock::from(shown(arguments, &rules)), rules }
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown.get_or_init(|| shown(&self.given, &self.rules)).serialize(serializer)
    }
}

/// The redacted JSON of `arguments`, or what stands for it where it is too long. The hash is of the
/// redacted JSON: one of the original could be tried against guesses of a secret in it.
fn shown(arguments: &Value, rules: &Rules) -> Box<RawValue> {
    let whole = redacted(arguments, rules);
    let text = whole.get();
    if text.len() <= MAX_ARGUMENTS {
        return whole;
    }
    let hash = hex(&Sha256::digest(text.as_bytes()));
    raw(format!(r#"{{"bytes":{},"sha256":"{hash}","truncated":true}}"#, text.len()))
}

/// The canonical JSON of `value` without what is not to be shown.
pub(super) fn redacted(value: &Value, rules: &Rules) -> Box<RawValue> {
    let shown = rules.value(value);
    // There is no value without canonical JSON: names are texts, and JSON has only finite numbers.
    raw(if is_canonical(&shown) { shown.to_string() } else { canonical(&exact(shown)).unwrap_or_default() })
}

/// True where plain JSON is canonical already, as it mostly is: names that sort by their bytes as they do by UTF-16, and
/// small integers.
fn is_canonical(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::Array(items) => items.iter().all(is_canonical),
        Value::Object(fields) => fields.iter().all(|(name, value)| name.is_ascii() && is_canonical(value)),
    }
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// About how many bytes `value` takes, counted no further than a little over `limit`.
fn weight(value: &Value, limit: usize) -> usize {
    let over = |sum: &usize| *sum <= limit;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let mut sum = 2;
            for item in items {
                if !over(&sum) {
                    break;
                }
                sum += weight(item, limit) + 1;
            }
            sum
        }
        Value::Object(fields) => {
            let mut sum = 2;
            for (name, value) in fields {
                if !over(&sum) {
                    break;
                }
                sum += name.len() + 4 + weight(value, limit);
            }
            sum
        }
    }
}
