//! Bodies: where none belongs, keys that are not declared, and JSON of every kind.

use serde_json::{Value, json};

use super::{ID, LIST, Outcome, REMOVE, RENAME, Row, STATUS, TICKET, refused};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::call(
            "a body on a read",
            LIST,
            json!({"body": {"a": 1}}),
            refused(["body: GET ", "takes no body; leave `body` out"]),
        ),
        Row::call("an empty body on a read", LIST, json!({"body": {}}), super::read("/api/v1/tickets")),
        Row::call(
            "a false body on a read",
            LIST,
            json!({"body": false}),
            refused(["body: GET ", "leave `body` out"]),
        ),
        Row::call(
            "a body on what removes",
            REMOVE,
            json!({"path": {"id": ID}, "body": {"ids": ["all"]}}),
            refused(["body: DELETE ", "leave `body` out"]),
        ),
        Row::call(
            "no body where one is needed",
            STATUS,
            json!({"path": {"id": ID}}),
            refused(["body: is required, with at least `status_id`"]),
        ),
        Row::call(
            "null where a body is needed",
            STATUS,
            json!({"path": {"id": ID}, "body": null}),
            refused(["body: is required, with at least `status_id`"]),
        ),
        Row::call(
            "a wrong path and a wrong body are both named",
            STATUS,
            json!({"path": {"id": ".."}, "body": {"tenant": 1}}),
            refused(["path.id: ", "body.tenant: "]),
        ),
        Row::text(
            "null as body of a read",
            TICKET,
            &format!(r#""path":{{"id":"{ID}"}},"body":null"#),
            super::read(format!("/api/v1/tickets/{ID}")),
        ),
    ];
    rows.extend(undeclared());
    rows.extend(open());
    rows
}

/// Keys of a body that is closed.
fn undeclared() -> Vec<Row> {
    let names = [
        "tenant",
        "Status_id",
        "status_id ",
        "__proto__",
        "constructor",
        "status_id\u{0}",
        "",
        "st\u{430}tus_id",
    ];
    let mut rows: Vec<Row> = names
        .iter()
        .map(|name| {
            let body = json!({"path": {"id": ID}, "body": {"status_id": ID, *name: "x"}});
            let said = refused(["body", "is not declared here", "(declared: `status_id`)"]);
            Row::call(format!("body name {name:?}"), STATUS, body, said)
        })
        .collect();
    let many: Value =
        (0..20_000).map(|n| (format!("k{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let many = json!({"path": {"id": ID}, "body": many});
    rows.push(Row::call("twenty thousand body names", STATUS, many, refused(["body.k0: "])));
    rows
}

/// Bodies of an entry whose schema is open: what is not declared is the PSA's to judge, and sent as JSON that we wrote.
fn open() -> Vec<Row> {
    let row = |name: &str, given: &str, sent: String| {
        let more = format!(r#""path":{{"id":"{ID}"}},"body":{given}"#);
        let outcome = Outcome::Reached("PUT", format!("/api/v1/tickets/{ID}"), vec![], Some(sent));
        Row::text(format!("body: {name}"), RENAME, &more, outcome)
    };
    let same = |name: &str, text: &str| row(name, text, text.to_owned());
    let other = |name: &str, given: &str| {
        let more = format!(r#""path":{{"id":"{ID}"}},"body":{given}"#);
        Row::text(format!("body: {name}"), RENAME, &more, refused(["body: must be an object"]))
    };
    let fault = |name: &str, given: &str, code, part| {
        let more = format!(r#""path":{{"id":"{ID}"}},"body":{given}"#);
        Row::text(format!("body: {name}"), RENAME, &more, Outcome::Fault(code, part))
    };
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let large = format!(r#"{{"url":"{}"}}"#, "x".repeat(900_000));
    vec![
        row("one key twice", r#"{"title":"a","title":"b"}"#, r#"{"title":"b"}"#.into()),
        row("one key twice behind an escape", r#"{"title":"a","\u0074itle":"b"}"#, r#"{"title":"b"}"#.into()),
        row("white space and another order", "{ \"b\" : 1 ,\n\"a\" : 2 }", r#"{"a":2,"b":1}"#.into()),
        row(
            "escapes",
            r#"{"title":"\u003cscript\u003e\r\n\u0000\ud83d\ude00"}"#,
            "{\"title\":\"<script>\\r\\n\\u0000\u{1f600}\"}".into(),
        ),
        same("prototype keys", r#"{"__proto__":{"admin":true},"constructor":{"prototype":{}}}"#),
        same("brackets as names", r#"{"a.b":"c","a[b]":"c"}"#),
        other("text", r#""title=x&tenant=other""#),
        other("a list", "[1,2,3]"),
        other("a number", "7"),
        other("true", "true"),
        same(
            "a text that holds a request",
            r#"{"title":"x\r\n\r\nDELETE /api/v1/tickets/1 HTTP/1.1\r\nHost: x\r\n\r\n"}"#,
        ),
        same("as deep as it may be", &format!(r#"{{"x":{}}}"#, deep(59))),
        row("a request that was written down as text", r#""{\"title\":\"a\"}""#, r#"{"title":"a"}"#.into()),
        same("large", &large),
        fault("too deep", &deep(62), -32600, "nested deeper"),
        fault("very deep", &deep(100_000), -32600, "nested deeper"),
        fault("half a surrogate pair", r#"{"title":"\udfff"}"#, -32700, "not JSON"),
        fault("beyond every number", r#"{"n":1e400}"#, -32700, "not JSON"),
        fault("a comment", r#"{"title":"x"/**/}"#, -32700, "not JSON"),
        fault("a comma too many", r#"{"title":"x",}"#, -32700, "not JSON"),
        fault("single quotes", "{'title':'x'}", -32700, "not JSON"),
    ]
}
