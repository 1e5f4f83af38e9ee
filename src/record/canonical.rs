//! One text for one value: the JSON Canonicalization Scheme (RFC 8785).

use serde::Serialize;
use serde_json::{Map, Value};

/// The largest integer that every reader of JSON reads exactly (RFC 7493 section 2.2).
const EXACT: u64 = (1 << 53) - 1;

/// `value` as canonical JSON. Integers that JSON readers cannot be trusted with must be made texts first: see [`exact`].
///
/// # Errors
/// Where `value` is no JSON: a map with keys that are no texts, a number that is none.
pub fn canonical<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(value)
}

/// `value` with integers beyond 2^53-1 as texts, so that no digit is lost.
pub fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let large = number.as_u64().or(number.as_i64().map(i64::unsigned_abs)).is_some_and(|n| n > EXACT);
            if large { Value::String(number.to_string()) } else { Value::Number(number) }
        }
        Value::Array(items) => items.into_iter().map(exact).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, exact(value))).collect::<Map<_, _>>())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::String(_)) => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 8785 section 3.2.3, and what matters here of section 3.2.2.3.
    #[test]
    fn members_are_in_order_and_numbers_have_one_form() {
        let value = json!({"\u{20ac}": 1, "\r": 2.0, "1": 1e21, "\u{f6}": 4.5, "\u{80}": [true, null]});
        let written = canonical(&value).unwrap();
        assert_eq!(written, "{\"\\r\":2,\"1\":1e+21,\"\u{80}\":[true,null],\"\u{f6}\":4.5,\"\u{20ac}\":1}");
        assert_eq!(canonical(&serde_json::from_str::<Value>(&written).unwrap()).unwrap(), written);
    }

    #[test]
    fn no_digit_of_a_large_number_is_lost() {
        let value =
            json!({"a": [9_007_199_254_740_993_u64, -9_007_199_254_740_993_i64, 9_007_199_254_740_991_u64]});
        assert_eq!(
            canonical(&exact(value)).unwrap(),
            r#"{"a":["9007199254740993","-9007199254740993",9007199254740991]}"#
        );
    }
}
