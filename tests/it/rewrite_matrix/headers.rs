//! Header fields: as arguments of a call, where nearly all are refused, and of the agent's own request, where
//! none gets any further.

use serde_json::json;

use super::{LIST, Outcome, Post, Row, arguments, read, refused};

/// Never from an agent, whatever a catalogue declares.
const NEVER: &[&str] = &[
    "authorization",
    "Authorization",
    "AUTHORIZATION",
    "proxy-authorization",
    "cookie",
    "Cookie",
    "set-cookie",
    "x-api-key",
    "X-API-Key",
    "X-Api-Key",
    "x_api_key",
    "X_API-KEY",
    "x-tenant-id",
    "X-Tenant-ID",
    "x_tenant_id",
    "host",
    "Host",
    ":authority",
    ":path",
    "content-length",
    "Content-Length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "Transfer-Encoding",
    "connection",
    "Connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "Upgrade",
    "expect",
    "http2-settings",
    "forwarded",
    "x-forwarded-for",
    "X-Forwarded-Host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
    "x-http-method-override",
    "X-HTTP-Method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-middleware-subrequest",
    "X-Middleware-Rewrite",
    "x-invoke-path",
    "next-action",
    "next-router-state-tree",
    "x-nextjs-data",
    "x-matched-path",
    "x-pathname",
    "x-request-id",
    "accept",
    "accept-encoding",
    "user-agent",
    "origin",
    "referer",
    "sec-fetch-site",
    "",
    " ",
    "x-idempotency-key ",
    " x-idempotency-key",
    "x-idempotency-key:",
    "x-idempotency-key\r\nx-api-key",
    "x-idempotency-key\u{0}",
    "x-idempotency-key\t",
    "x-\u{456}dempotency-key",
    "\u{ff58}-api-key",
];

/// Harmless in themselves, but not declared.
const UNDECLARED: &[&str] =
    &["range", "Range", "if-match", "x-canary", "__proto__", "constructor", "prefer", "rsc"];

/// Of the agent's own request.
const OUTSIDE: &[(&str, &str)] = &[
    ("x-api-key", "mine"),
    ("x_api_key", "mine"),
    ("cookie", "session=1"),
    ("x-tenant-id", "other"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=203.0.113.9;host=evil.example"),
    ("x-http-method-override", "DELETE"),
    ("x-method-override", "DELETE"),
    ("x-original-url", "/api/auth/session"),
    ("x-middleware-subrequest", "middleware:middleware"),
    ("next-action", "0123456789"),
    ("range", "bytes=0-1"),
    ("te", "trailers"),
    ("trailer", "x-api-key"),
    ("upgrade", "websocket"),
    ("expect", "100-continue"),
    ("accept", "text/html"),
    ("accept-encoding", "gzip, br"),
    ("user-agent", "evil/1.0"),
    ("x-request-id", "00000000-0000-0000-0000-000000000000"),
    ("x-idempotency-key", "outside"),
    ("if-none-match", "*"),
    ("proxy-authorization", "Basic eDp5"),
    ("authorization2", "Bearer x"),
];

pub fn rows() -> Vec<Row> {
    let given = |name: &str| json!({"headers": {name: "v"}, "body": note()});
    let of = |names: &'static [&'static str], said: &'static str| {
        names.iter().map(move |name| {
            Row::call(format!("header {name:?}"), super::NOTE, given(name), refused(["headers.", said]))
        })
    };
    let mut rows: Vec<Row> = of(NEVER, "can never be set by a caller; leave it out").collect();
    rows.extend(of(UNDECLARED, "is not a header of this endpoint"));
    rows.push(Row::call(
        "an undeclared header is told which are declared",
        super::NOTE,
        given("x-idempotence-key"),
        refused(["headers.x-idempotence-key: ", "did you mean `x-idempotency-key`?"]),
    ));
    rows.extend(values());
    rows.extend(OUTSIDE.iter().map(|(name, value)| {
        let post = Post::With(arguments(LIST, json!({"query": {"limit": 1}})), vec![(name, value)]);
        Row::new(format!("{name} on the agent's own request"), post, read("/api/v1/tickets?limit=1"))
    }));
    rows
}

fn note() -> serde_json::Value {
    json!({"client_id": super::ID, "title": "t", "type_name": "Note"})
}

fn values() -> Vec<Row> {
    let row = |name: &str, headers: &str, outcome| {
        let more = format!(r#""headers":{headers},"body":{}"#, note());
        Row::text(format!("header value: {name}"), super::NOTE, &more, outcome)
    };
    let sent = |value: &'static str| {
        let target = "/api/v1/interactions".to_owned();
        Outcome::Reached("POST", target, vec![("x-idempotency-key", value)], Some(note().to_string()))
    };
    let ascii = || refused(["headers.x-idempotency-key: may have printable ASCII characters only"]);
    let shape = || refused(["headers.x-idempotency-key: must be a"]);
    vec![
        row("a line break", r#"{"x-idempotency-key":"a\r\nx-api-key: k"}"#, ascii()),
        row("a line feed", r#"{"x-idempotency-key":"a\n b"}"#, ascii()),
        row("a return", r#"{"x-idempotency-key":"a\rb"}"#, ascii()),
        row("NUL", r#"{"x-idempotency-key":"a\u0000"}"#, ascii()),
        row("a tab", r#"{"x-idempotency-key":"a\tb"}"#, ascii()),
        row("delete", r#"{"x-idempotency-key":"a\u007f"}"#, ascii()),
        row("a C1 control", r#"{"x-idempotency-key":"a\u0085"}"#, ascii()),
        row("beyond ASCII", r#"{"x-idempotency-key":"é"}"#, ascii()),
        row("a line break in another script", r#"{"x-idempotency-key":"a\u560d\u560a"}"#, ascii()),
        row("a list", r#"{"x-idempotency-key":["a","b"]}"#, shape()),
        row("an object", r#"{"x-idempotency-key":{"a":1}}"#, shape()),
        row(
            "null",
            r#"{"x-idempotency-key":null}"#,
            Outcome::Reached("POST", "/api/v1/interactions".into(), vec![], Some(note().to_string())),
        ),
        row(
            "two spellings",
            r#"{"x-idempotency-key":"a","X-Idempotency-Key":"b"}"#,
            refused(["is given twice; send it once"]),
        ),
        row(
            "very long",
            &format!(r#"{{"x-idempotency-key":"{}"}}"#, "x".repeat(1_025)),
            refused(["headers.x-idempotency-key: is longer than 1024 bytes"]),
        ),
        row("headers are a list", r#"["x-idempotency-key: a"]"#, refused(["headers: must be an object"])),
        row("headers are text", r#""x-idempotency-key: a""#, refused(["headers: must be an object"])),
        row("another spelling", r#"{"X-IDEMPOTENCY-KEY":"a"}"#, sent("a")),
        row("the same name twice", r#"{"x-idempotency-key":"a","x-idempotency-key":"b"}"#, sent("b")),
        row("a number", r#"{"x-idempotency-key":7}"#, sent("7")),
        row("white space around", r#"{"x-idempotency-key":"  a b "}"#, sent("a b")),
        row(
            "what looks like another field",
            r#"{"x-idempotency-key":"a, x-api-key: k"}"#,
            sent("a, x-api-key: k"),
        ),
    ]
}
