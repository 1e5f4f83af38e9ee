//! From what the PSA answered to what the agent is told: data, or a clear error with a remedy.
//!
//! Never shows HTML or binary bytes. Knows nothing of the request.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::rest::RestResponse;
use super::schema::Complaint;
use super::text::{clean, excerpt};

/// What a tool call comes to.
#[derive(Clone, Debug)]
pub struct ToolResult {
    pub text: String,
    /// Always an object where there is one; then the text is the same compact JSON.
    pub structured: Option<Box<RawValue>>,
    pub is_error: bool,
}

impl ToolResult {
    /// An error in words.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), structured: None, is_error: true }
    }

    /// A result: compact JSON as text, and the value itself where it is an object.
    pub fn json(value: Value) -> Self {
        let text = value.to_string();
        match value {
            Value::Object(_) => Self::object(text),
            _ => Self { text, structured: None, is_error: false },
        }
    }

    /// A result whose text is a JSON object. The PSA's data stays as it is written: on the path of
    /// every call it is checked and copied, never built up and written again.
    fn object(text: String) -> Self {
        Self { structured: RawValue::from_string(text.clone()).ok(), text, is_error: false }
    }

    /// An error that lists everything that is wrong with the arguments.
    pub fn complaints(subject: &str, complaints: &[Complaint]) -> Self {
        let list: String = complaints.iter().map(|complaint| format!("\n- {complaint}")).collect();
        Self::error(format!("{subject} was not called, because its arguments are not valid:{list}"))
    }

    fn failed(value: Value) -> Self {
        Self { is_error: true, ..Self::json(value) }
    }
}

/// The most that is shown of an error text, in characters.
const EXCERPT: usize = 2_000;
/// The most that is shown of an upstream error object, in bytes of JSON.
const LARGEST_ERROR: usize = 8_192;

/// Shapes a response: 2xx into `{"status","ok":true,"data"}`, everything else into an error result
/// `{"status","ok":false,"error","remedy","retryAfter"?}`.
pub fn shape(response: &RestResponse) -> ToolResult {
    match response.status {
        200..=299 => success(response),
        300..=399 => failure(
            response,
            json!("redirected, not followed"),
            "The PSA wants to send this call elsewhere, and redirects are not followed. Use another endpoint, or tell the administrator.".into(),
        ),
        status => {
            let error = upstream_error(response);
            let remedy = remedy(status, &error);
            failure(response, error, remedy)
        }
    }
}

/// What a body is, by content type and, without one, by its looks.
enum Kind {
    Empty,
    Json,
    Text,
    Opaque(String),
}

fn kind(response: &RestResponse) -> Kind {
    if response.body.is_empty() || response.status == 204 || response.status == 205 {
        return Kind::Empty;
    }
    let full = response.content_type.as_deref().unwrap_or_default();
    let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "text/json" => Kind::Json,
        json if json.ends_with("+json") => Kind::Json,
        "text/html" => Kind::Opaque(essence),
        "application/x-ndjson" | "application/jsonl" => Kind::Text,
        text if text.starts_with("text/") => Kind::Text,
        "" => match response.body.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{' | b'[') if serde_json::from_slice::<Value>(&response.body).is_ok() => Kind::Json,
            _ => Kind::Opaque("no content type".into()),
        },
        _ => Kind::Opaque(excerpt(&essence, 80)),
    }
}

fn success(response: &RestResponse) -> ToolResult {
    let status = response.status;
    let done = |data: Value| ToolResult::json(json!({"status": status, "ok": true, "data": data}));
    match kind(response) {
        Kind::Empty => done(Value::Null),
        Kind::Json => match serde_json::from_slice::<&RawValue>(without_mark(&response.body)) {
            Ok(data) => {
                let data = compact(data.get());
                ToolResult::object(format!(r#"{{"status":{status},"ok":true,"data":{data}}}"#))
            }
            Err(_) => unreadable(response, "it is declared as JSON and is not JSON"),
        },
        Kind::Text => match std::str::from_utf8(without_mark(&response.body)) {
            Ok(text) => done(Value::String(clean(text))),
            Err(_) => unreadable(response, "it is declared as text and is not UTF-8"),
        },
        Kind::Opaque(name) => {
            let (what, bytes) =
                (if name == "text/html" { "HTML page" } else { "binary body" }, response.body.len());
            let note = format!("{what}, {name}, {bytes} bytes, not shown");
            ToolResult::json(json!({"status": status, "ok": true, "data": null, "note": note}))
        }
    }
}

/// Valid JSON without the white space between its tokens.
fn compact(json: &str) -> Cow<'_, str> {
    let (mut within, mut escaped) = (false, false);
    let mut between = |byte: u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if within => escaped = true,
            b'"' => within = !within,
            _ => return !within && byte.is_ascii_whitespace(),
        }
        false
    };
    let Some(first) = json.bytes().position(&mut between) else { return Cow::Borrowed(json) };
    let (head, tail) = json.split_at(first);
    let mut out = Vec::with_capacity(json.len());
    out.extend_from_slice(head.as_bytes());
    // The first one was seen already; outside a string it has changed nothing.
    out.extend(tail.bytes().skip(1).filter(|byte| !between(*byte)));
    String::from_utf8(out).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// A 2xx that cannot be read: the call was carried out, and must not be repeated blindly.
fn unreadable(response: &RestResponse, why: &str) -> ToolResult {
    let error = format!("the answer of {} bytes cannot be read: {why}", response.body.len());
    let remedy = "The PSA reported success, so that a change was probably made: look before you call again. Tell the administrator.";
    failure(response, Value::String(error), remedy.into())
}

fn failure(response: &RestResponse, error: Value, remedy: String) -> ToolResult {
    let mut result = Map::new();
    result.insert("status".into(), response.status.into());
    result.insert("ok".into(), false.into());
    if let Some(wait) = retry_after(response, &error) {
        result.insert("retryAfter".into(), wait);
    }
    result.insert("error".into(), error);
    result.insert("remedy".into(), remedy.into());
    ToolResult::failed(Value::Object(result))
}

/// Seconds as a number, a date as text; for lack of the header, what the error object says.
fn retry_after(response: &RestResponse, error: &Value) -> Option<Value> {
    if let Some(sent) = response.retry_after.as_deref().map(str::trim).filter(|sent| !sent.is_empty()) {
        return Some(sent.parse::<u32>().map_or_else(|_| excerpt(sent, 40).into(), Value::from));
    }
    let millis = error.pointer("/details/retry_after_ms").and_then(Value::as_u64)?;
    (response.status == 429).then(|| millis.div_ceil(1_000).into())
}

/// The error as the PSA words it: its JSON where that is small, a short text, or a description.
fn upstream_error(response: &RestResponse) -> Value {
    match kind(response) {
        Kind::Empty => "the answer has no body".into(),
        Kind::Json => match serde_json::from_slice::<Value>(without_mark(&response.body)) {
            Ok(Value::Object(mut object)) if object.get("error").is_some_and(Value::is_object) => {
                small(object.remove("error").unwrap_or_default())
            }
            Ok(error) => small(error),
            Err(_) => text_of(&response.body),
        },
        Kind::Text => text_of(&response.body),
        Kind::Opaque(name) if name == "text/html" => {
            format!("an HTML page of {} bytes, not shown", response.body.len()).into()
        }
        Kind::Opaque(name) => format!("a body of {} bytes, {name}, not shown", response.body.len()).into(),
    }
}

fn small(error: Value) -> Value {
    let text = error.to_string();
    if text.len() > LARGEST_ERROR { excerpt(&text, EXCERPT).into() } else { cleaned(error) }
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

fn text_of(body: &[u8]) -> Value {
    // Four bytes a character at most; and a page can come under any content type.
    let start = String::from_utf8_lossy(body.get(..4 * EXCERPT).unwrap_or(body));
    match start.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        true => format!("a page of markup of {} bytes, not shown", body.len()).into(),
        false => excerpt(&start, EXCERPT).into(),
    }
}

/// Without the byte order mark that some servers put before JSON.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

fn remedy(status: u16, error: &Value) -> String {
    let said = ["/message", "/error/message", "/error"].iter().find_map(|at| error.pointer(at)?.as_str());
    let said = said.or(error.as_str()).map(|said| excerpt(said, 200)).unwrap_or_default();
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
        404 => "There is no such record, or this agent may not see it. Look the id up before you call again."
            .into(),
        405 => "The PSA does not offer this method here. Use another endpoint of search_api_registry.".into(),
        408 | 504 => {
            "The PSA took too long. A change may or may not have been made: look before you call again."
                .into()
        }
        409 => "The record was changed or exists already. Read its present state, then decide.".into(),
        413 => "What was sent is too large. Send less, or in parts.".into(),
        429 => "Too many calls. Wait for retryAfter (seconds, or a date), then call again.".into(),
        500..=599 => {
            "The PSA failed. Try later; a change may or may not have been made, so look before you repeat it."
                .into()
        }
        _ => "The PSA refused the call; see the error.".into(),
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn response(status: u16, content_type: &str, body: impl Into<Bytes>) -> RestResponse {
        let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
        RestResponse { status, content_type, retry_after: None, body: body.into() }
    }

    fn structured(result: &ToolResult) -> Value {
        let value: Value = serde_json::from_str(result.structured.as_ref().unwrap().get()).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&result.text).unwrap(),
            value,
            "text and structure are the same"
        );
        value
    }

    #[test]
    fn json_comes_back_compact_as_text_and_structure() {
        for kind in ["application/json", "application/json; charset=utf-8", "Application/Problem+JSON", ""] {
            let result = shape(&response(200, kind, "{ \"a\" : [ 1, 2 ] }\n"));
            assert_eq!(
                structured(&result),
                json!({"status": 200, "ok": true, "data": {"a": [1, 2]}}),
                "{kind}"
            );
            assert!(!result.is_error && !result.text.contains(' '));
        }
        assert_eq!(structured(&shape(&response(201, "application/json", "\u{feff}7")))["data"], 7);
    }

    #[test]
    fn white_space_goes_between_tokens_and_stays_within_strings() {
        for (given, wanted) in [
            ("{ \"a b\" : [ 1 ,\n2 ] }", "{\"a b\":[1,2]}"),
            ("[\"\\\" x\", \" \\\\\" ]", "[\"\\\" x\",\" \\\\\"]"),
            ("{\"a\":1}", "{\"a\":1}"),
            (" 7", "7"),
            ("\"\t ä\"\r\n", "\"\t ä\""),
        ] {
            assert_eq!(compact(given), wanted);
        }
    }

    #[test]
    fn nothing_is_null_and_text_is_a_string() {
        for empty in
            [response(204, "", ""), response(200, "application/json", ""), response(204, "text/html", "x")]
        {
            assert_eq!(structured(&shape(&empty))["data"], Value::Null);
        }
        let csv = shape(&response(200, "text/csv", "a,b\r\n1,\u{1b}[31m2"));
        assert_eq!(structured(&csv)["data"], "a,b\n1,2");
    }

    #[test]
    fn other_content_is_described_and_not_shown() {
        let pdf = shape(&response(200, "application/pdf", vec![0xff; 12_345]));
        assert_eq!(structured(&pdf)["note"], "binary body, application/pdf, 12345 bytes, not shown");
        assert_eq!(structured(&pdf)["data"], Value::Null);
        let page = shape(&response(200, "text/html; charset=utf-8", "<html><b>secret</b>"));
        assert!(!page.is_error && !page.text.contains("secret") && page.text.contains("HTML page"));
        let unknown = shape(&response(200, "", "not json"));
        assert!(unknown.text.contains("no content type") && !unknown.text.contains("not json"));
    }

    #[test]
    fn a_success_that_cannot_be_read_is_an_error_that_warns_against_repeating() {
        for bad in [
            response(200, "application/json", "{\"a\":"),
            response(200, "application/json", vec![b'"', 0xff, b'"']),
            response(200, "text/plain", vec![0xff, 0xfe]),
        ] {
            let result = shape(&bad);
            assert!(result.is_error);
            assert!(structured(&result)["remedy"].as_str().unwrap().contains("look before you call again"));
        }
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let result = shape(&response(302, "text/html", "<a href=https://elsewhere.example>"));
        assert!(result.is_error && !result.text.contains("elsewhere.example"));
        assert_eq!(structured(&result)["error"], "redirected, not followed");
    }

    #[test]
    fn a_validation_error_names_its_fields() {
        let body = json!({"error": {"code": "VALIDATION_ERROR", "message": "Validation failed", "details": [
            {"code": "invalid_type", "path": ["title"], "message": "Required"},
            {"code": "invalid_type", "path": ["tags", 0], "message": "Expected string"},
        ]}});
        let result = shape(&response(400, "application/json", body.to_string()));
        assert!(result.is_error);
        let value = structured(&result);
        assert_eq!(value["error"], body["error"]);
        assert!(value["remedy"].as_str().unwrap().contains("title (Required), tags.0 (Expected string)"));
    }

    #[test]
    fn a_refused_permission_is_named_as_the_psa_names_it() {
        let body = r#"{"error":{"code":"FORBIDDEN","message":"Permission denied: Cannot read ticket"}}"#;
        let result = shape(&response(403, "application/json", body));
        assert!(
            structured(&result)["remedy"].as_str().unwrap().contains("Permission denied: Cannot read ticket")
        );
        let plain = shape(&response(403, "application/json", r#"{"error":"not yours"}"#));
        assert!(structured(&plain)["remedy"].as_str().unwrap().contains("not yours"));
    }

    #[test]
    fn every_error_status_has_a_remedy_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for status in [400, 401, 403, 404, 405, 409, 413, 429, 500, 418] {
            let result = shape(&response(status, "", ""));
            assert!(result.is_error);
            seen.insert(structured(&result)["remedy"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen.len(), 10);
        assert!(shape(&response(0, "", "")).is_error && shape(&response(101, "", "")).is_error);
    }

    #[test]
    fn how_long_to_wait_is_kept() {
        let mut limited =
            response(429, "application/json", r#"{"error":{"details":{"retry_after_ms":1500}}}"#);
        assert_eq!(structured(&shape(&limited))["retryAfter"], 2);
        limited.retry_after = Some("17".into());
        assert_eq!(structured(&shape(&limited))["retryAfter"], 17);
        limited.retry_after = Some("Wed, 21 Oct 2026 07:28:00 GMT".into());
        assert_eq!(structured(&shape(&limited))["retryAfter"], "Wed, 21 Oct 2026 07:28:00 GMT");
        let mut busy = response(503, "", "");
        busy.retry_after = Some("5".into());
        assert_eq!(structured(&shape(&busy))["retryAfter"], 5);
    }

    #[test]
    fn an_error_page_is_never_echoed_and_a_long_text_is_cut() {
        for page in [
            response(404, "text/html", "<html>stack trace</html>"),
            response(500, "text/plain", "\n<!DOCTYPE html><p>stack trace"),
            response(500, "application/json", "<html>stack trace</html>"),
            response(500, "text/plain", "<!-- äöüäöüäöü --><p>stack trace"),
        ] {
            let result = shape(&page);
            assert!(
                result.text.contains("not shown") && !result.text.contains("stack trace"),
                "{}",
                result.text
            );
        }
        let long = shape(&response(500, "text/plain", format!("\u{1b}[31m{}", "ä".repeat(9_000))));
        let error = structured(&long)["error"].as_str().unwrap().to_owned();
        assert!(error.chars().count() < 2_020 && error.ends_with("[cut]") && !error.contains('\u{1b}'));
        let large = shape(&response(
            500,
            "application/json",
            json!({"error": {"x": "y".repeat(20_000)}}).to_string(),
        ));
        assert!(large.text.len() < 3_000);
    }
}
