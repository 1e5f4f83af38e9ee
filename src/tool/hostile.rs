//! What a hostile agent tries, as one table: whatever it sends, nothing gets into the request that
//! the entry does not declare.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::catalog::{Catalog, CatalogRules, Entry};
use super::rewrite::{CallArgs, bind};

fn entry() -> Arc<Entry> {
    let bytes = json!({"data": {"entries": [
        {"id": "get-_api_v1_tickets_id", "method": "get", "path": "/api/v1/tickets/{id}", "parameters": [
            {"name": "fields", "in": "query", "schema": {"type": "string"}},
            {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
            {"name": "limit", "in": "query", "schema": {"type": "integer"}},
            {"name": "closed", "in": "query", "schema": {"type": "boolean"}},
            {"name": "x-canary", "in": "header"},
            {"name": "authorization", "in": "header"},
            {"name": "X-API-Key", "in": "header"},
        ]},
        {"id": "stats", "method": "get", "path": "/api/v1/tickets/stats"},
        {"id": "publish", "method": "post", "path": "/api/workflow-definitions/{id}/{version}/publish"},
    ]}})
    .to_string();
    let catalog = Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap();
    catalog.get("get-_api_v1_tickets_id").unwrap().clone()
}

fn call(group: &str, given: Value) -> CallArgs {
    let given = given.as_object().cloned().unwrap_or_default();
    let id = || Map::from_iter([("id".to_owned(), json!("1"))]);
    match group {
        "path" => CallArgs { path: given, ..CallArgs::default() },
        "query" => CallArgs { path: id(), query: given, ..CallArgs::default() },
        "headers" => CallArgs { path: id(), headers: given, ..CallArgs::default() },
        other => panic!("{other}"),
    }
}

/// Every row: which group, what is sent, the field that the complaint must name.
fn refused() -> Vec<(&'static str, Value, &'static str)> {
    let mut rows = Vec::new();
    for id in [
        "",
        " ",
        "\t",
        ".",
        "..",
        " .. ",
        "..;",
        "..;a=b",
        ".;",
        "%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "%252e%252e",
        "%25252e%25252e",
        "%2525252e",
        "../../admin",
        "..\\..\\admin",
        "a/b",
        "/",
        "//evil.example",
        "\\",
        "%2f",
        "%2F..%2F",
        "%5c",
        "%255c",
        "%252f",
        "%25252f",
        "a%00b",
        "%00",
        "%0d%0aHost:%20evil",
        "a\u{0}",
        "a\nb",
        "a\r\nX-Api-Key: k",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{9b}b",
        "%c2%85",
        "%c0%ae%c0%ae",
        "%c0%af",
        "%e0%80%af",
        "%ff",
        "stats",
        "STATS",
        "st%61ts",
        "%73tats",
    ] {
        rows.push(("path", json!({"id": id}), "path.id"));
    }
    for id in
        [json!(null), json!([]), json!(["1"]), json!({}), json!({"toString": "1"}), json!("x".repeat(513))]
    {
        rows.push(("path", json!({"id": id}), "path.id"));
    }
    rows.push(("path", json!({}), "path.id"));
    rows.push(("path", json!({"id": "1", "ID": "2"}), "path.ID"));
    rows.push(("path", json!({"id": "1", "../x": "2"}), "path.../x"));
    rows.push(("path", json!({"id": "1", "__proto__": "2"}), "path.__proto__"));
    for (name, value) in [
        ("tenant", json!("other")),
        ("Fields", json!("a")),
        ("fields[]", json!("a")),
        ("fields&tenant", json!("a")),
        ("", json!("a")),
        ("fields=a&tenant=b#", json!("a")),
        ("field_ranges[x]", json!("0-1")),
        ("_method", json!("DELETE")),
        ("access_token", json!("t")),
        ("fields\u{0}", json!("a")),
    ] {
        rows.push(("query", json!({ name: value }), "query."));
    }
    for (name, value) in [
        ("fields", json!({"$ne": ""})),
        ("fields", json!([["a"]])),
        ("fields", json!([{"a": 1}])),
        ("fields", json!([null])),
        ("fields", json!(["a,b", "c"])),
        ("fields", json!("a\u{0}b")),
        ("fields", json!("a\u{1b}[31m")),
        ("fields", json!("x".repeat(4_097))),
        ("order", json!("up")),
        ("order", json!("asc;desc")),
        ("order", json!(["asc", "desc"])),
        ("limit", json!("1 OR 1=1")),
        ("limit", json!("1e3")),
        ("limit", json!(1.5)),
        ("limit", json!("")),
        ("limit", json!("٣")),
        ("closed", json!("yes")),
        ("closed", json!(1)),
    ] {
        rows.push(("query", json!({ name: value }), "query."));
    }
    for name in [
        "authorization",
        "Authorization",
        "AUTHORIZATION",
        "x-api-key",
        "X-API-Key",
        "x_api_key",
        "x-tenant-id",
        "cookie",
        "Cookie",
        "forwarded",
        "x-forwarded-for",
        "X-Forwarded-Host",
        "x-forwarded-proto",
        "x-real-ip",
        "host",
        "Host",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "content-length",
        "content-type",
        "accept-encoding",
        "upgrade",
        "expect",
        "x-middleware-subrequest",
        "next-action",
        "x-request-id",
        "x-http-method-override",
        "x-original-url",
        "range",
        "x-undeclared",
        ":path",
        "",
        " x-canary",
        "x-canary ",
        "x-canary\r\nx-api-key",
        "x-canary:",
        "x\u{0}",
    ] {
        rows.push(("headers", json!({ name: "v" }), "headers."));
    }
    for value in [
        json!("a\r\nx-api-key: k"),
        json!("a\nb"),
        json!("a\rb"),
        json!("a\u{0}"),
        json!("a\u{7f}"),
        json!("é"),
        json!("a\u{85}"),
        json!(["a"]),
        json!({"a": 1}),
        json!("x".repeat(1_025)),
    ] {
        rows.push(("headers", json!({ "x-canary": value }), "headers.x-canary"));
    }
    rows.push(("headers", json!({"x-canary": "a", "X-Canary": "b"}), "headers."));
    rows
}

#[test]
fn what_is_not_declared_or_not_safe_is_refused_and_named() {
    let entry = entry();
    let rows = refused();
    assert!(rows.len() >= 100, "{}", rows.len());
    for (group, given, field) in rows {
        let complaints = bind(&entry, &call(group, given.clone())).err().unwrap_or_default();
        assert!(!complaints.is_empty(), "{group} {given} got through");
        for complaint in complaints {
            let text = complaint.to_string();
            assert!(complaint.field.starts_with(field), "{group} {given}: {text}");
            assert!(!text.chars().any(char::is_control), "{group} {given}: {text:?}");
            assert!(text.len() < 600, "{group} {given}: {text}");
        }
    }
}

#[test]
fn what_is_strange_and_allowed_stays_inside_its_place() {
    let entry = entry();
    for id in [
        "?admin=1", "#x", "a?b#c", "a b", "100%", "a%20b", "...", "~root", "名前", "a&b", "{id}", "a:b@c",
        "-1",
    ] {
        let bound = bind(&entry, &call("path", json!({"id": id}))).unwrap();
        let target = &bound.request().target;
        let value = target.strip_prefix("/api/v1/tickets/").unwrap();
        assert!(
            value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)) && !value.is_empty(),
            "{target}"
        );
        // What a browser-like client does with the target leaves it as it is.
        assert_eq!(
            url::Url::parse("http://psa.example").unwrap().join(target).unwrap().path(),
            target,
            "{id}"
        );
        assert!(bound.request().headers.is_empty() && bound.request().body.is_none());
    }
    for text in ["a&tenant=b", "a#b", "a=b", "a+b", "a\nb", "?", "a%26b", "../..", "a;b"] {
        let bound = bind(&entry, &call("query", json!({"fields": text}))).unwrap();
        let query = bound.request().target.strip_prefix("/api/v1/tickets/1?fields=").unwrap().to_owned();
        assert!(!query.contains(['&', '#', '=', '+', '?', '/', ';', ' ']), "{query}");
        let back: Vec<(String, String)> = url::form_urlencoded::parse(format!("fields={query}").as_bytes())
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        assert_eq!(back, [("fields".to_owned(), text.to_owned())]);
    }
}

#[test]
fn no_method_but_the_entrys_is_ever_bound() {
    let entry = entry();
    for method in ["DELETE", "post", "HEAD", "GETX", "", "GET\r\nDELETE", "G ET", "CONNECT", "ｇｅｔ"] {
        let args = CallArgs { method: Some(method.into()), ..call("path", json!({"id": "1"})) };
        let complaints = bind(&entry, &args).unwrap_err();
        assert_eq!(complaints.len(), 1, "{method:?}");
        assert_eq!(complaints[0].field, "method");
    }
}

#[test]
fn an_entry_that_was_not_read_from_a_registry_is_judged_all_the_same() {
    let mut wrong = Entry::clone(&entry());
    wrong.path = "/api/v1/../secret/{id}".into();
    assert!(bind(&Arc::new(wrong), &call("path", json!({"id": "1"}))).is_err());
    let mut keys = Entry::clone(&entry());
    keys.params
        .iter_mut()
        .filter(|param| param.name == "x-canary")
        .for_each(|param| param.name = "x-api-key".into());
    assert!(bind(&Arc::new(keys), &call("headers", json!({"x-api-key": "k"}))).is_err());
}
