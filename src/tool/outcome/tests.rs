//! Answers of all shapes, and what an agent is told of them.

use bytes::Bytes;
use proptest::prelude::*;

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
    let bytes =
        json!([{"id": "x", "method": "get", "path": "/api/v1/x", "parameters": declared}]).to_string();
    let catalog = Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap();
    shape_for(response, &Asked { entry: &catalog.entries()[0], args, most }, None)
}

fn structured(result: &ToolResult) -> Value {
    assert!(result.structured);
    serde_json::from_str(&result.text).unwrap()
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

fn args(query: Value) -> CallArgs {
    CallArgs { query: query.as_object().cloned().unwrap_or_default(), ..CallArgs::default() }
}

/// `next` of the answer of an endpoint that declares these names.
fn next(declared: &[&str], query: Value, body: Value) -> Value {
    let declared: Map<String, Value> = declared.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    let response = response(200, "application/json", body.to_string());
    structured(&asked(&response, declared.into(), &args(query), 65_536))["next"].clone()
}

#[test]
fn the_next_page_is_told_in_the_arguments_of_the_endpoint() {
    let rows = |count: usize| json!(vec![json!({"id": 1}); count]);
    let alga = |page: u64, more: bool| json!({"data": rows(25), "pagination": {"page": page, "limit": 25, "total": 60, "totalPages": 3, "hasNext": more, "hasPrev": false}});
    let assets = json!({"success": true, "data": rows(2), "pagination": {"page": 1, "limit": 2, "total": 3, "totalPages": 2}, "meta": {"version": "1"}});
    let django = json!({"count": 30, "next": "http://psa/api/x/?page=3&page_size=10&secret=1", "previous": null, "results": rows(10)});
    let halo =
        |page: u64| json!({"page_no": page, "page_size": 50, "record_count": 120, "tickets": rows(50)});
    let found = json!({"data": {"results": rows(2), "totalCount": 9, "nextCursor": "abc="}});
    for (declared, query, body, next_page) in [
        (&["page", "limit"][..], json!({}), alga(1, true), json!({"query": {"page": 2}})),
        (&["page", "limit"], json!({"page": 3}), alga(3, false), Value::Null),
        (&["limit"], json!({}), alga(1, true), Value::Null),
        (&["page", "limit"], json!({}), assets, json!({"query": {"page": 2}})),
        (
            &["page", "page_size"],
            json!({"page": "2", "page_size": 10}),
            django,
            json!({"query": {"page": "3"}}),
        ),
        (&["page_no", "page_size"], json!({}), halo(1), json!({"query": {"page_no": 2}})),
        (&["page_no", "page_size"], json!({}), halo(3), Value::Null),
        (&["query", "cursor"], json!({}), found, json!({"query": {"cursor": "abc="}})),
        // No word about pages: a full page may be followed by another.
        (
            &["limit", "offset"],
            json!({"limit": 2}),
            json!({"data": rows(2)}),
            json!({"query": {"offset": 2}}),
        ),
        (
            &["limit", "offset"],
            json!({"limit": 2, "offset": 4}),
            json!(rows(2)),
            json!({"query": {"offset": 6}}),
        ),
        (&["limit", "offset"], json!({"limit": 3}), json!({"data": rows(2)}), Value::Null),
        (&["page", "per_page"], json!({"per_page": 2}), json!(rows(2)), json!({"query": {"page": 2}})),
        (&["page", "limit"], json!({"limit": 2}), json!({"data": []}), Value::Null),
        // One record, whatever lists it has.
        (
            &["page", "limit"],
            json!({"limit": 1}),
            json!({"data": {"invoice_id": 1, "total": 9, "items": rows(1)}}),
            Value::Null,
        ),
        (
            &["page", "limit"],
            json!({"limit": 1}),
            json!({"id": 1, "total": 9, "items": rows(1)}),
            Value::Null,
        ),
        (
            &["page", "limit"],
            json!({"limit": 1}),
            json!({"data": {"id": 1, "documents": rows(1)}}),
            Value::Null,
        ),
    ] {
        assert_eq!(next(declared, query.clone(), body.clone()), next_page, "{declared:?} {query} {body}");
    }
}

#[test]
fn the_next_page_is_said_as_the_tool_takes_it() {
    let body = json!({"data": {"results": [1], "nextCursor": "abc"}});
    let response = response(200, "application/json", body.to_string());
    for (turn, next) in [(Turn::Flat, json!({"cursor": "abc"})), (Turn::Unknown, Value::Null)] {
        let args = CallArgs { answer: Wish { turn, ..Wish::default() }, ..CallArgs::default() };
        assert_eq!(structured(&asked(&response, json!({"cursor": {}}), &args, 65_536))["next"], next);
    }
}

#[test]
fn chosen_members_come_of_each_row_and_what_none_has_is_told() {
    let wish = |fields: &[&str]| CallArgs {
        answer: Wish { fields: fields.iter().map(|name| (*name).to_owned()).collect(), ..Wish::default() },
        ..CallArgs::default()
    };
    let body = r#"{"data":[{"id":12345678901234567890123,"title":"a","client":{"name":"x","id":2}},{"id":1.10,"title":"b"}],"pagination":{"page":1,"totalPages":1}}"#;
    let list = response(200, "application/json", body);
    let result = asked(&list, json!({}), &wish(&["id", "client.name", "titel"]), 65_536);
    assert!(
        result.text.ends_with(r#""data":{"data":[{"id":12345678901234567890123,"client":{"name":"x"}},{"id":1.10}],"pagination":{"page":1,"totalPages":1}}}"#),
        "{}",
        result.text
    );
    let note = structured(&result)["note"].as_str().unwrap().to_owned();
    assert_eq!(
        note,
        "fields: nothing here has `titel`; did you mean `title`? (there is: `id`, `title` and `client`)"
    );
    let single = response(200, "application/json", r#"{"data":{"id":1,"notes":[{"a":1,"b":2}]}}"#);
    let result = asked(&single, json!({}), &wish(&["notes.b"]), 65_536);
    assert_eq!(structured(&result)["data"], json!({"data": {"notes": [{"b": 2}]}}));
    let none = response(200, "application/json", r#"{"data":[]}"#);
    assert!(structured(&asked(&none, json!({}), &wish(&["x"]), 65_536)).get("note").is_none());
}

#[test]
fn html_becomes_plain_text_where_it_is_asked_for_only() {
    let body = json!({"data": {"note": "<p>Hello <b>you</b></p><p>a &amp; b</p>", "title": "1 < 2", "html": {"x": ["<br>y"]}}});
    let response = response(200, "application/json", body.to_string());
    assert_eq!(structured(&shape(&response))["data"], body);
    let args = CallArgs { answer: Wish { plain_text: true, ..Wish::default() }, ..CallArgs::default() };
    let plain = json!({"data": {"note": "Hello you\n\na & b", "title": "1 < 2", "html": {"x": ["y"]}}});
    assert_eq!(structured(&asked(&response, json!({}), &args, 65_536))["data"], plain);
}

/// A list of `count` rows of about a hundred bytes, as page `page` of `limit`.
fn long_list(count: u64, page: u64, limit: u64) -> RestResponse {
    let rows: Vec<Value> =
        (0..count).map(|n| json!({"id": (page - 1) * limit + n, "title": "x".repeat(80)})).collect();
    let body = json!({"data": rows, "pagination": {"page": page, "limit": limit, "total": 1000}});
    response(200, "application/json", body.to_string())
}

#[test]
fn a_long_list_is_cut_between_rows_and_says_how_to_get_the_rest() {
    let declared = json!({"page": {}, "limit": {}, "search": {}, "status_id": {}, "sort": {}});
    let result = asked(&long_list(100, 1, 100), declared.clone(), &args(json!({"limit": 100})), 4_096);
    assert!(result.text.len() <= 4_096, "{}", result.text.len());
    let value = structured(&result);
    let rows = value["data"]["data"].as_array().unwrap().len();
    assert!((20..40).contains(&rows), "{rows}");
    assert_eq!(
        value["cut"],
        json!({"rows": rows, "of": 100, "narrow": ["fields", "query.search", "query.status_id"]})
    );
    assert_eq!(value["next"], json!({"query": {"limit": rows, "page": 2}}));
    assert_eq!(value["data"]["pagination"]["total"], 1000);
    // Later pages go on exactly where the rows end.
    let value =
        structured(&asked(&long_list(100, 3, 100), declared, &args(json!({"limit": 100, "page": 3})), 4_096));
    let last = value["data"]["data"].as_array().unwrap().last().unwrap()["id"].as_u64().unwrap();
    let (page, limit) = (&value["next"]["query"]["page"], &value["next"]["query"]["limit"]);
    assert_eq!((page.as_u64().unwrap() - 1) * limit.as_u64().unwrap(), last + 1);
    let offset = json!({"offset": {}, "limit": {}});
    let body = json!({"data": vec![json!({"x": "y".repeat(90)}); 100]});
    let body = response(200, "application/json", body.to_string());
    let value = structured(&asked(&body, offset, &args(json!({"offset": 50})), 4_096));
    let rows = value["data"]["data"].as_array().unwrap().len();
    assert_eq!(value["next"], json!({"query": {"offset": 50 + rows}}));
}

#[test]
fn what_cannot_be_gone_on_with_is_to_be_asked_for_in_smaller_parts() {
    let body = json!({"data": {"results": vec![json!({"title": "x".repeat(500)}); 30], "nextCursor": "c"}});
    let declared = json!({"query": {}, "limit": {}, "cursor": {}});
    let args = CallArgs { answer: Wish { turn: Turn::Flat, ..Wish::default() }, ..CallArgs::default() };
    let value =
        structured(&asked(&response(200, "application/json", body.to_string()), declared, &args, 4_096));
    assert!(value.get("next").is_none(), "the rows between would be lost");
    assert_eq!(value["cut"]["narrow"], json!(["limit", "query"]));
}

#[test]
fn many_notes_are_told_in_few_words() {
    let args = CallArgs {
        notes: (0..500).map(|n| format!("body.{n}: read\u{1b} as a number")).collect(),
        ..CallArgs::default()
    };
    let note = structured(&asked(&response(200, "", "{}"), json!({}), &args, 65_536))["note"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(note.ends_with("; and 488 more") && !note.contains('\u{1b}'), "{note}");
}

#[test]
fn one_record_that_is_too_large_loses_the_ends_of_its_longest_texts() {
    let body = json!({"data": {"id": "7", "note": "n".repeat(30_000), "title": "t".repeat(300)}});
    let result =
        asked(&response(200, "application/json", body.to_string()), json!({}), &CallArgs::default(), 8_192);
    assert!(result.text.len() <= 8_192 && result.text.len() > 6_000, "{}", result.text.len());
    let value = structured(&result);
    assert_eq!(value["cut"], json!({"texts": ["data.note"], "narrow": ["fields"]}));
    assert!(value["data"]["data"]["note"].as_str().unwrap().ends_with("n [cut, 30000 characters in all]"));
    assert_eq!(value["data"]["data"]["title"], body["data"]["title"]);
    let row = json!({"data": [body["data"], {"id": "8"}]});
    let declared = json!({"offset": {}});
    let value = structured(&asked(
        &response(200, "application/json", row.to_string()),
        declared,
        &CallArgs::default(),
        8_192,
    ));
    assert_eq!(
        (&value["cut"]["rows"], &value["cut"]["of"], &value["cut"]["texts"]),
        (&json!(1), &json!(2), &json!(["note"]))
    );
    assert_eq!(value["next"], json!({"query": {"offset": 1}}));
}

#[test]
fn what_cannot_be_cut_is_described() {
    let many: Map<String, Value> = (0..2_000).map(|n| (format!("member{n}"), json!(n))).collect();
    let result = asked(
        &response(200, "application/json", Value::from(many).to_string()),
        json!({}),
        &CallArgs::default(),
        4_096,
    );
    let value = structured(&result);
    assert!(value["data"].is_null() && value["cut"]["bytes"].as_u64().unwrap() > 20_000, "{value}");
    let csv = response(200, "text/csv", "a,b,c\n".repeat(5_000));
    let result = asked(&csv, json!({"from": {}}), &CallArgs::default(), 4_096);
    let value = structured(&result);
    assert!(result.text.len() <= 4_096 && value["data"].as_str().unwrap().ends_with("a,b,c\n"));
    assert_eq!((&value["cut"]["of"], &value["cut"]["narrow"]), (&json!(30_000), &json!(["query.from"])));
}

#[test]
fn what_was_understood_differently_is_told_with_the_answer_and_with_an_error() {
    let args = CallArgs { notes: vec!["id: read as path.id".into()], ..CallArgs::default() };
    for status in [200, 404] {
        let result = asked(&response(status, "application/json", "{}"), json!({}), &args, 65_536);
        assert_eq!(structured(&result)["note"], "id: read as path.id");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let text =
        prop_oneof!["[a-z<>&;/\"' \\\\\u{e4}\u{1f600}]{0,40}", "(<p>|</p>|<a href=\"|&#|;|<br|>|x){0,8}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
        "x{1,3000}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "data|results|pagination|page|total|next|nextCursor|hasNext|limit",
        "[a-z.\"\u{e4}]{0,6}"
    ];
    leaf.prop_recursive(4, 60, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

proptest! {
    /// Whatever the PSA says and the agent wishes, a result is JSON, and no larger than it may be.
    #[test]
    fn every_answer_becomes_one_that_can_be_read_and_has_its_size(
        body in any_json(), most in 4_096_usize..20_000, plain_text: bool, chosen in proptest::bool::weighted(0.3), limit in 0_u64..9,
    ) {
        let fields = if chosen { vec!["data".to_owned(), "a.b".to_owned()] } else { vec![] };
        let answer = Wish { fields, plain_text, turn: Turn::Query };
        let args = CallArgs { answer, ..args(json!({"limit": limit, "page": 2})) };
        let declared = json!({"limit": {}, "page": {}, "offset": {}, "cursor": {}});
        let result = asked(&response(200, "application/json", body.to_string()), declared, &args, most);
        let value = structured(&result);
        prop_assert!(result.text.len() <= most, "{} of {most}", result.text.len());
        if !plain_text && !chosen && value.get("cut").is_none() {
            prop_assert_eq!(&value["data"], &body);
        }
    }
}
