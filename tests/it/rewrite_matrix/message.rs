//! The message around the arguments: bytes that are no JSON, two messages for one, envelopes that contradict
//! themselves or their headers.

use serde_json::{Value, json};

use super::{LIST, Outcome, Post, Row, arguments, message, read};

pub fn rows() -> Vec<Row> {
    let mut rows = bytes();
    rows.extend(envelopes());
    rows.extend(fields());
    rows
}

fn call() -> String {
    message(&arguments(LIST, json!({})).to_string()).0
}

/// The good message with one piece of its text replaced.
fn with(old: &str, new: &str) -> Vec<u8> {
    let text = call();
    assert!(text.contains(old), "{text}");
    text.replacen(old, new, 1).into_bytes()
}

fn body(name: &str, body: impl Into<Vec<u8>>, outcome: Outcome) -> Row {
    Row::new(format!("message: {name}"), Post::Body(body.into()), outcome)
}

fn bytes() -> Vec<Row> {
    let parse = |part| Outcome::Fault(-32700, part);
    let replaced = |bytes: &[u8]| {
        let text = call();
        let (before, after) = text.split_once(LIST).unwrap();
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    vec![
        body("empty", "", parse("ends too early")),
        body("no JSON", "entryId=get-_api_v1_tickets", parse("not JSON")),
        body("cut short", call().as_bytes()[..60].to_vec(), parse("ends too early")),
        body("a byte order mark", format!("\u{feff}{}", call()), parse("not JSON")),
        body("invalid UTF-8", replaced(b"get\xff"), parse("not UTF-8")),
        body("overlong UTF-8", replaced(b"get\xc0\xae"), parse("not UTF-8")),
        body("a surrogate as UTF-8", replaced(b"get\xed\xa0\x80"), parse("not UTF-8")),
        body("UTF-16", call().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(), parse("")),
        body("a raw control character in a text", replaced(b"get\n"), parse("not JSON")),
        body("NUL behind it", format!("{}\0", call()), parse("not JSON")),
        body("the same again behind it", format!("{}{}", call(), call()), parse("not JSON")),
        body("the same again on the next line", format!("{}\n{}", call(), call()), parse("not JSON")),
        body("the same again as a record sequence", format!("\u{1e}{}\n", call()), parse("not JSON")),
        body("brackets of brackets", "[".repeat(500_000), Outcome::Fault(-32600, "nested deeper")),
        body("white space around it", format!(" \r\n\t{}\n", call()), read("/api/v1/tickets")),
    ]
}

fn envelopes() -> Vec<Row> {
    let invalid = |part| Outcome::Fault(-32600, part);
    let params = |part| Outcome::Fault(-32602, part);
    let twice = |member: &str| with("\"jsonrpc\":", &format!("{member},\"jsonrpc\":"));
    let arguments_are = |text: &str| message(text).0;
    let quoted = Value::from(arguments(LIST, json!({})).to_string()).to_string();
    vec![
        body("a batch", format!("[{}]", call()), invalid("not an array")),
        body("a batch of two", format!("[{},{}]", call(), call()), invalid("not an array")),
        body("an empty batch", "[]", invalid("not an array")),
        body("two versions", with("\"2.0\"", "\"2.0\",\"jsonrpc\":\"2.0\""), invalid("at most once")),
        body("two ids", twice("\"id\":9"), invalid("at most once")),
        body("two methods", twice("\"method\":\"ping\""), invalid("at most once")),
        body("two methods, one behind an escape", twice(r#""\u006dethod":"ping""#), invalid("at most once")),
        body("two parameters", twice("\"params\":{}"), invalid("at most once")),
        body("another version", with("\"2.0\"", "\"1.0\""), invalid("jsonrpc must be")),
        body("the version as a number", with("\"2.0\"", "2.0"), invalid("jsonrpc must be")),
        body("a result beside the method", twice("\"result\":{}"), invalid("a method, a result or an error")),
        body("id null", with("\"id\":1", "\"id\":null"), invalid("id must not be null")),
        body("id a list", with("\"id\":1", "\"id\":[1]"), invalid("id must be")),
        body("id a fraction", with("\"id\":1", "\"id\":1.5"), invalid("id must be")),
        body("no id", with("\"id\":1,", ""), invalid("is a request and needs an id")),
        body(
            "params a list",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["call_api_endpoint"]}"#,
            invalid("params must be an object"),
        ),
        body(
            "the method in another case",
            with("tools/call", "Tools/Call"),
            Outcome::Fault(-32020, "Mcp-Method"),
        ),
        body(
            "the method with a space",
            with("tools/call", "tools/call "),
            Outcome::Fault(-32020, "Mcp-Method"),
        ),
        body(
            "another tool than the header names",
            with("call_api_endpoint", "search_api_registry"),
            Outcome::Fault(-32020, "Mcp-Name"),
        ),
        body(
            "the tool twice, the second another",
            with("\"name\":\"call_api_endpoint\"", "\"name\":\"call_api_endpoint\",\"name\":\"drop\""),
            Outcome::Fault(-32020, "Mcp-Name"),
        ),
        body(
            "the tool as a list",
            with("\"name\":\"call_api_endpoint\"", "\"name\":[\"call_api_endpoint\"]"),
            params("name must be a string"),
        ),
        body("no metadata", with("\"_meta\":", "\"meta\":"), params("_meta is missing")),
        body("arguments as a text of JSON", arguments_are(&quoted), params("arguments must be an object")),
        body("arguments a list", arguments_are("[]"), params("arguments must be an object")),
        body("arguments null", arguments_are("null"), params("arguments must be an object")),
        body(
            "members beside the arguments",
            with(
                "\"arguments\":",
                "\"entryId\":\"get-_api_auth_session\",\"path\":{\"id\":\"..\"},\"task\":{},\"arguments\":",
            ),
            read("/api/v1/tickets"),
        ),
        body(
            "members beside the method",
            twice("\"entryId\":\"x\",\"path\":\"/\",\"extra\":[1]"),
            read("/api/v1/tickets"),
        ),
        body(
            "arguments twice",
            with("\"arguments\":", "\"arguments\":{\"entryId\":\"get-_api_auth_session\"},\"arguments\":"),
            read("/api/v1/tickets"),
        ),
        body(
            "a request in the metadata",
            with(
                "\"_meta\":{",
                "\"_meta\":{\"arguments\":{\"entryId\":\"x\"},\"headers\":{\"x-api-key\":\"k\"},",
            ),
            read("/api/v1/tickets"),
        ),
        body(
            "a progress token that is an object",
            with("\"_meta\":{", "\"_meta\":{\"progressToken\":{},"),
            params("progressToken must be"),
        ),
        body("names behind escapes", with("\"arguments\":", r#""argument\u0073":"#), read("/api/v1/tickets")),
    ]
}

fn fields() -> Vec<Row> {
    let row = |name: &'static str, value: &'static str, outcome| {
        let post = Post::With(arguments(LIST, json!({})), vec![(name, value)]);
        Row::new(format!("field {name}: {value}"), post, outcome)
    };
    let mismatch = |part| Outcome::Fault(-32020, part);
    vec![
        row("content-type", "text/plain", Outcome::Turned(415)),
        row("content-type", "application/x-www-form-urlencoded", Outcome::Turned(415)),
        row("content-type", "application/json, text/plain", Outcome::Turned(415)),
        row("content-encoding", "gzip", Outcome::Turned(415)),
        row("authorization", "Basic eDp5", Outcome::Turned(401)),
        row("authorization", "Bearer", Outcome::Turned(401)),
        row("authorization", "Bearer a b", Outcome::Turned(401)),
        row("host", "evil.example", Outcome::Turned(403)),
        row("origin", "https://evil.example", Outcome::Turned(403)),
        row("mcp-name", "search_api_registry", mismatch("Mcp-Name")),
        row("mcp-name", "Call_Api_Endpoint", mismatch("Mcp-Name")),
        row("mcp-name", "=?base64?%%?=", mismatch("Mcp-Name")),
        row("mcp-method", "ping", mismatch("Mcp-Method")),
        row("mcp-protocol-version", "1999-01-01", mismatch("MCP-Protocol-Version")),
        row("content-type", "application/json; charset=utf-16", read("/api/v1/tickets")),
        row("mcp-name", "=?base64?Y2FsbF9hcGlfZW5kcG9pbnQ=?=", read("/api/v1/tickets")),
    ]
}
