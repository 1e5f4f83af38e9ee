//! Agent-given values as request text: which JSON becomes which text, and whether it fits the declared schema.
//!
//! Knows one parameter at a time; does not encode.

use serde_json::{Map, Value};

use super::text::{listed, named};

/// How deep `anyOf` and its kin are followed.
const DEEPEST: usize = 8;
/// The longest value of a query parameter, in bytes.
const LONGEST_QUERY: usize = 4_096;
/// The longest header value, in bytes.
const LONGEST_HEADER: usize = 1_024;

/// A string, number or boolean as it goes into a path, a query or a header.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A query value as one text; an array becomes comma-separated, for where a key is repeated many
/// servers take only the last. `None` for what is left out: null and an empty array.
pub(super) fn query(value: &Value, schema: &Value) -> Result<Option<String>, String> {
    const FORM: &str = "must be a string, a number, a boolean, or an array of these";
    let text = match value {
        Value::Null => return Ok(None),
        Value::Object(_) => return Err(FORM.into()),
        Value::Array(items) if items.is_empty() => return Ok(None),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(scalar).collect();
            let items = items.ok_or(FORM)?;
            if items.len() > 1 && items.iter().any(|item| item.contains(',')) {
                return Err("has an item with a comma, which the PSA would read as two".into());
            }
            items.join(",")
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => scalar(value).ok_or(FORM)?,
    };
    if text.len() > LONGEST_QUERY {
        return Err(format!("is longer than {LONGEST_QUERY} bytes"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err("contains a control character".into());
    }
    fits(schema, &text)?;
    Ok(Some(text))
}

/// A header value as text (RFC 9110 5.5, without its obsolete parts).
pub(super) fn header(value: &Value, schema: &Value) -> Result<Option<String>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let text = scalar(value).ok_or("must be a string, a number or a boolean")?;
    if text.len() > LONGEST_HEADER {
        return Err(format!("is longer than {LONGEST_HEADER} bytes"));
    }
    if !text.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return Err("may have printable ASCII characters only".into());
    }
    fits(schema, &text)?;
    Ok(Some(text.trim().to_owned()))
}

/// Whether `text` fits a parameter's schema: its type in text form, its enum or const, its bounds, and
/// `anyOf`, `oneOf` (as `anyOf`) and `allOf` of such. Other keywords are the PSA's to judge.
pub(super) fn fits(schema: &Value, text: &str) -> Result<(), String> {
    fits_within(schema, text, DEEPEST)
}

fn fits_within(schema: &Value, text: &str, depth: usize) -> Result<(), String> {
    let Some(keywords) = schema.as_object().filter(|_| depth > 0) else { return Ok(()) };
    let types: Vec<&str> = match keywords.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if types.contains(&"array") {
        let items = keywords.get("items").unwrap_or(&Value::Null);
        return text.split(',').try_for_each(|item| fits_within(items, item.trim(), depth - 1));
    }
    if let Some(options) = keywords.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().map(shown).collect();
        if !options.iter().any(|option| option == text) {
            return Err(format!("must be one of {}", listed(options.iter().map(String::as_str), 40)));
        }
    }
    if let Some(only) = keywords.get("const").map(shown)
        && only != text
    {
        return Err(format!("must be {}", named(&only)));
    }
    if !types.is_empty() && !types.iter().any(|kind| is_of(kind, text)) {
        let kinds = types.iter().filter(|kind| **kind != "null").map(|kind| match *kind {
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "`true` or `false`",
            _ => "left out",
        });
        return Err(format!("must be {}", kinds.collect::<Vec<_>>().join(" or ")));
    }
    if let Some(refusal) = out_of_bounds(keywords, &types, text) {
        return Err(refusal);
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(forms) = keywords.get(keyword).and_then(Value::as_array) {
            let refusals: Vec<String> =
                forms.iter().filter_map(|form| fits_within(form, text, depth - 1).err()).collect();
            if !forms.is_empty() && refusals.len() == forms.len() {
                return Err(refusals.join(", or "));
            }
        }
    }
    let all = keywords.get("allOf").and_then(Value::as_array);
    all.into_iter().flatten().try_for_each(|form| fits_within(form, text, depth - 1))
}

/// What is wrong with a number's size or a text's length.
fn out_of_bounds(keywords: &Map<String, Value>, types: &[&str], text: &str) -> Option<String> {
    let of = |kinds: [&str; 2]| types.iter().any(|kind| kinds.contains(kind));
    let limit = |keyword: &str| keywords.get(keyword).filter(|limit| limit.is_number());
    if let (true, Ok(number)) = (of(["integer", "number"]), text.parse::<f64>()) {
        let beyond = |keyword: &str, wrong: fn(f64, f64) -> bool| {
            limit(keyword).filter(|limit| limit.as_f64().is_some_and(|limit| wrong(number, limit)))
        };
        let least = beyond("minimum", |number, limit| number < limit);
        let most = beyond("maximum", |number, limit| number > limit);
        return least
            .map(|limit| format!("must be at least {limit}"))
            .or(most.map(|limit| format!("must be at most {limit}")));
    }
    if of(["string", "string"]) {
        let length = text.chars().count() as u64;
        let least = limit("minLength").and_then(Value::as_u64).filter(|least| length < *least);
        let most = limit("maxLength").and_then(Value::as_u64).filter(|most| length > *most);
        return least
            .map(|least| format!("must have at least {least} characters"))
            .or(most.map(|most| format!("must have at most {most} characters")));
    }
    None
}

fn shown(value: &Value) -> String {
    scalar(value).unwrap_or_else(|| value.to_string())
}

fn is_of(kind: &str, text: &str) -> bool {
    match kind {
        "integer" => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.len() <= 40 && digits.bytes().all(|b| b.is_ascii_digit())
        }
        "number" => {
            text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
                && text.parse::<f64>().is_ok_and(f64::is_finite)
        }
        "boolean" => matches!(text, "true" | "false"),
        "null" => text == "null",
        "object" => false,
        // `string`, and kinds that JSON Schema does not have.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_fits_by_its_text() {
        for (schema, text, fit) in [
            (json!({}), "anything", true),
            (json!({"type": "integer"}), "25", true),
            (json!({"type": "integer"}), "-3", true),
            (json!({"type": "integer"}), "2.5", false),
            (json!({"type": "integer"}), "", false),
            (json!({"type": "integer"}), "1;drop", false),
            (json!({"type": ["integer", "null"]}), "null", true),
            (json!({"type": ["integer", "null"]}), "x", false),
            (json!({"type": "number"}), "2.5e3", true),
            (json!({"type": "number"}), "inf", false),
            (json!({"type": "number"}), "NaN", false),
            (json!({"type": "boolean"}), "true", true),
            (json!({"type": "boolean"}), "yes", false),
            (json!({"type": "string", "enum": ["asc", "desc"]}), "asc", true),
            (json!({"type": "string", "enum": ["asc", "desc"]}), "ASC", false),
            (json!({"enum": [1, true, "x"]}), "1", true),
            (json!({"const": "x"}), "y", false),
            (json!({"type": "integer", "minimum": 1, "maximum": 100}), "100", true),
            (json!({"type": "integer", "minimum": 1, "maximum": 100}), "101", false),
            (json!({"type": "integer", "minimum": 1, "maximum": 100}), "0", false),
            (json!({"type": "number", "maximum": 0.5}), "0.6", false),
            (json!({"type": "string", "minLength": 2, "maxLength": 3}), "äöü", true),
            (json!({"type": "string", "minLength": 2, "maxLength": 3}), "a", false),
            (json!({"type": "string", "minLength": 2, "maxLength": 3}), "abcd", false),
            (json!({"minimum": 5}), "1", true),
            (json!({"anyOf": [{"enum": ["true"]}, {"enum": ["false"]}]}), "false", true),
            (json!({"anyOf": [{"enum": ["true"]}, {"enum": ["false"]}]}), "maybe", false),
            (json!({"allOf": [{"type": "integer"}, {"enum": ["1"]}]}), "2", false),
            (json!({"type": "array", "items": {"enum": ["a", "b"]}}), "a,b", true),
            (json!({"type": "array", "items": {"enum": ["a", "b"]}}), "a,c", false),
            (json!({"type": "object"}), "x", false),
            (json!({"$ref": "#/components/schemas/X"}), "x", true),
        ] {
            assert_eq!(fits(&schema, text).is_ok(), fit, "{schema} {text:?}");
        }
    }

    #[test]
    fn a_query_array_becomes_one_comma_separated_value() {
        let any = json!({});
        assert_eq!(query(&json!(["a", 1, true]), &any), Ok(Some("a,1,true".into())));
        assert_eq!(query(&json!([]), &any), Ok(None));
        assert_eq!(query(&json!(null), &any), Ok(None));
        assert_eq!(query(&json!(["a,b"]), &any), Ok(Some("a,b".into())));
        for bad in [
            json!(["a,b", "c"]),
            json!([["a"]]),
            json!([null]),
            json!({"a": 1}),
            json!("a\u{0}"),
            json!("\u{85}"),
        ] {
            assert!(query(&bad, &any).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_value_is_printable_ascii() {
        let any = json!({});
        assert_eq!(header(&json!(" abc "), &any), Ok(Some("abc".into())));
        assert_eq!(header(&json!(7), &any), Ok(Some("7".into())));
        for bad in
            [json!("a\r\nx-api-key: b"), json!("a\u{0}"), json!("é"), json!(["a"]), json!("x".repeat(1_025))]
        {
            assert!(header(&bad, &any).is_err(), "{bad}");
        }
    }
}
