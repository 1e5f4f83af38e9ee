//! Answers of all shapes, and what an agent is told of them.

use bytes::Bytes;

use super::super::catalog::{Catalog, CatalogRules};
use super::*;

fn response(status: u16, content_type: &str, body: impl Into<Bytes>) -> RestResponse {
    let content_type = Some(content_type.to_owned()).filter(|kind| !kind.is_empty());
    RestResponse { status, content_type, body: body.into(), ..RestResponse::default() }
}

fn shape(response: &RestResponse) -> ToolResult {
    asked(response, json!({}), &CallArgs::default(), 65_536)
}

/// What is told of the answer of an endpoint with these query parameters, by name and schema.
fn asked(response: &RestResponse, declared: Value, args: &CallArgs, most: usize) -> ToolResult {
    let declared: Vec<Value> = declared
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| json!({"name": name, "in": "query", "schema": schema}))
        .collect();
    let bytes = json!([{"id": "x", "method": "get", "path": "/api/v1/x", "parameters": declared}]).to_string();
    let catalog = Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap();
    shape_for(response, &Asked { entry: &catalog.entries()[0], args, most }, None)
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
        assert_eq!(structured(&result), json!({"status": 200, "ok": true, "data": {"a": [1, 2]}}), "{kind}");
        assert!(!result.is_error && !result.text.contains(' '));
    }
    assert_eq!(structured(&shape(&response(201, "application/json", "\u{feff}7")))["data"], 7);
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
fn a_small_binary_body_comes_in_base64_and_a_large_one_is_described() {
    let small = structured(&shape(&response(200, "application/pdf", vec![0xff; INLINE_BINARY])));
    assert_eq!(small["note"], "binary body, application/pdf, 65536 bytes, in base64");
    assert_eq!(BASE64.decode(small["base64"].as_str().unwrap()).unwrap(), vec![0xff; INLINE_BINARY]);
    let large = structured(&shape(&response(200, "application/pdf", vec![0xff; INLINE_BINARY + 1])));
    assert_eq!(large["note"], "binary body, application/pdf, 65537 bytes, not shown");
    assert!(small["data"].is_null() && large["data"].is_null() && large["base64"].is_null());
}

#[test]
fn a_page_instead_of_data_is_an_error_and_is_not_shown() {
    for kind in ["text/html; charset=utf-8", "application/json", "text/plain", ""] {
        let page = shape(&response(200, kind, "\n<HTML><b>secret</b>"));
        assert!(page.is_error && !page.text.contains("secret"), "{kind}: {}", page.text);
        assert!(page.text.contains("HTML page") && page.text.contains("psa.url"), "{kind}: {}", page.text);
    }
}

#[test]
fn what_has_no_type_is_shown_where_it_is_text() {
    assert_eq!(structured(&shape(&response(200, "", "not json")))["data"], "not json");
    assert_eq!(structured(&shape(&response(200, "", "{not json")))["data"], "{not json");
    let bytes = structured(&shape(&response(200, "", "a\0b")));
    assert_eq!(bytes["note"], "binary body, no content type, 3 bytes, in base64");
}

#[test]
fn a_coded_body_is_named_and_never_shown() {
    for status in [200, 500] {
        let coded = RestResponse { coding: Some("gzip".into()), ..response(status, "text/plain", "secret") };
        let result = shape(&coded);
        assert!(result.is_error && result.text.contains("gzip") && !result.text.contains("secret"));
    }
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
    let mut limited = response(429, "application/json", r#"{"error":{"details":{"retry_after_ms":1500}}}"#);
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
        assert!(result.text.contains("not shown") && !result.text.contains("stack trace"), "{}", result.text);
    }
    let long = shape(&response(500, "text/plain", format!("\u{1b}[31m{}", "ä".repeat(9_000))));
    let error = structured(&long)["error"].as_str().unwrap().to_owned();
    assert!(error.chars().count() < 2_020 && error.ends_with("[cut]") && !error.contains('\u{1b}'));
    let large =
        shape(&response(500, "application/json", json!({"error": {"x": "y".repeat(20_000)}}).to_string()));
    assert!(large.text.len() < 3_000);
}
