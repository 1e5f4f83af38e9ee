//! Query parameters: undeclared names, several values for one, values that would become more than one.

use serde_json::{Value, json};

use super::{ID, LIST, Row, TICKET, read, refused};

/// Names that the list of tickets does not declare.
const NAMES: &[&str] = &[
    "tenant",
    "tenant_id",
    "Limit",
    "limit ",
    "limit[]",
    "limit[$gt]",
    "fields[x]=y",
    "limit&tenant",
    "limit=1&tenant=other#",
    "search\u{0}",
    "search\r\nx",
    "",
    "__proto__",
    "constructor",
    "constructor[prototype][admin]",
    "_method",
    "access_token",
    "api_key",
    "\u{ff4c}imit",
    "l\u{130}mit",
];

pub fn rows() -> Vec<Row> {
    let undeclared = |name: &&str| {
        let said = refused(["query.", "is not a query parameter of this endpoint", "(declared: `page`"]);
        Row::call(format!("query name {name:?}"), LIST, json!({"query": {*name: "x"}}), said)
    };
    let mut rows: Vec<Row> = NAMES.iter().map(undeclared).collect();
    rows.extend(values());
    rows.extend(texts());
    let many: Value =
        (0..20_000).map(|n| (format!("q{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    rows.push(Row::call(
        "twenty thousand query names",
        LIST,
        json!({ "query": many }),
        refused(["query.q0: "]),
    ));
    rows
}

fn values() -> Vec<Row> {
    let row = |name: &str, query: &str, outcome| {
        Row::text(format!("query {name}"), LIST, &format!(r#""query":{query}"#), outcome)
    };
    let whole = |given| refused(["query.limit: ", given]);
    vec![
        row("given twice", r#"{"limit":1,"limit":"100&tenant=x"}"#, whole("must be a whole number")),
        row("given twice, both good", r#"{"limit":1,"limit":2}"#, read("/api/v1/tickets?limit=2")),
        row("a list where a number is declared", r#"{"limit":[1,2]}"#, whole("must be a whole number")),
        row("a list of lists", r#"{"limit":[[1]]}"#, whole("or an array of these")),
        row("a list with null", r#"{"limit":[null]}"#, whole("or an array of these")),
        row("an object", r#"{"limit":{"$gt":0}}"#, whole("or an array of these")),
        row("a fraction", r#"{"limit":1.5}"#, whole("must be a whole number")),
        row("beyond integers", r#"{"limit":1e30}"#, whole("must be a whole number")),
        row("an exponent as text", r#"{"limit":"1e3"}"#, whole("must be a whole number")),
        row("hexadecimal", r#"{"limit":"0x10"}"#, whole("must be a whole number")),
        row("a number and more", r#"{"limit":"1;drop"}"#, whole("must be a whole number")),
        row("a number and a line", r#"{"limit":"1\n"}"#, read("/api/v1/tickets?limit=1")),
        row("other digits", r#"{"limit":"\u0661"}"#, whole("must be a whole number")),
        row("empty", r#"{"limit":""}"#, whole("must be a whole number")),
        row("a boolean for a number", r#"{"limit":true}"#, whole("must be a whole number")),
        row(
            "a text for a boolean",
            r#"{"is_open":"yes"}"#,
            refused(["query.is_open: must be `true` or `false`"]),
        ),
        row(
            "a number for a boolean",
            r#"{"is_open":1}"#,
            refused(["query.is_open: must be `true` or `false`"]),
        ),
        row(
            "not of the list",
            r#"{"order":"up"}"#,
            refused(["query.order: must be one of `asc` and `desc`"]),
        ),
        row("of the list twice", r#"{"order":["asc","desc"]}"#, refused(["query.order: must be one of"])),
        row("a list is text", r#"["limit"]"#, refused(["query: must be an object"])),
        row("as text", r#""limit=1""#, refused(["query: must be an object"])),
        row("null", r#"{"limit":null}"#, read("/api/v1/tickets")),
        row("an empty list", r#"{"limit":[]}"#, read("/api/v1/tickets")),
        row("a list", r#"{"status_ids":["a","b"]}"#, read("/api/v1/tickets?status_ids=a%2Cb")),
        row(
            "a list whose item would be two",
            r#"{"status_ids":["a,b","c"]}"#,
            refused(["query.status_ids: ", "has an item with a comma"]),
        ),
        row(
            "in another order than declared",
            r#"{"search":"x","limit":1}"#,
            read("/api/v1/tickets?limit=1&search=x"),
        ),
        Row::call(
            "query where none is declared",
            TICKET,
            json!({"path": {"id": ID}, "query": {"limit": 1}}),
            refused(["query.limit: ", "(declared: none)"]),
        ),
    ]
}

fn texts() -> Vec<Row> {
    let row = |value: &str, outcome| {
        Row::call(format!("query.search = {value:.40?}"), LIST, json!({"query": {"search": value}}), outcome)
    };
    let sent = |value: &str, text: &str| row(value, read(format!("/api/v1/tickets?search={text}")));
    let control = || refused(["query.search: contains a control character"]);
    let long = "x".repeat(4_000);
    let wide = json!({"query": {"search": long, "title": long, "client_name": long}});
    vec![
        sent("a&tenant=other", "a%26tenant%3Dother"),
        sent("a=b#c?d;e", "a%3Db%23c%3Fd%3Be"),
        sent("a%26b+c d", "a%2526b%2Bc%20d"),
        sent("../../x\\y", "..%2F..%2Fx%5Cy"),
        sent("a\r\nX-Api-Key: k", "a%0D%0AX-Api-Key%3A%20k"),
        sent("\u{202e}\u{feff}é", "%E2%80%AE%EF%BB%BF%C3%A9"),
        sent("' OR 1=1; --", "%27%20OR%201%3D1%3B%20--"),
        sent("", ""),
        row("a\u{0}", control()),
        row("\u{1b}[2J", control()),
        row("a\u{9b}", control()),
        row(&"x".repeat(4_097), refused(["query.search: is longer than 4096 bytes"])),
        Row::call(
            "a query that is too long as a whole",
            LIST,
            wide,
            refused(["path and query together are longer than 8192 bytes"]),
        ),
    ]
}
