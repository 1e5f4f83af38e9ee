//! What a call was given, without secrets and as canonical JSON (RFC 8785).

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use crate::audit::redact::Rules;
use crate::record::{canonical, exact};
use crate::units::hex;

/// Bytes of redacted argument JSON that a record shows; more becomes a size and a hash.
pub(super) const MAX_ARGUMENTS: usize = 16 << 10;

/// The redacted JSON of `arguments`, or what stands for it where it is too long. The hash is of the
/// redacted JSON: one of the original could be tried against guesses of a secret in it.
pub(super) fn shown(arguments: &Value, rules: &Rules) -> Box<RawValue> {
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
    // There is no value without JSON: names are texts, and numbers are finite.
    if is_canonical(&shown) {
        to_raw_value(&shown).unwrap_or_default()
    } else {
        raw(canonical(&exact(shown)).unwrap_or_default())
    }
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
