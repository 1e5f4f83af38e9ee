//! Path values: traversal in every spelling, values that spell another endpoint, and values of other types.

use serde_json::{Value, json};

use super::{Outcome, REMOVE, Row, TICKET, read, refused};

const DOTS: &str = "is a dot segment; send the record's own id";
const EMPTY: &str = "is empty; send the record's own id";
const SLASH: &str = "contains a slash; one value fills exactly one path segment";
const CONTROL: &str = "contains a control character; send the plain value";
const UTF8: &str = "not UTF-8 when decoded; send the plain value";
const OFTEN: &str = "percent-encoded too many times; send the plain value";
const OTHER: &str = "that is the path of another endpoint";

/// Values of `path.id` that must not go out, and what is said of them.
const REFUSED: &[(&str, &str)] = &[
    ("..", DOTS),
    (".", DOTS),
    (" .. ", DOTS),
    ("..\u{a0}", DOTS),
    ("..;", DOTS),
    ("..;/", DOTS),
    ("..;a=b", DOTS),
    ("%2e%2e", DOTS),
    ("%2E%2e", DOTS),
    (".%2e", DOTS),
    ("%2e%2e%3b", DOTS),
    ("%252e%252e", DOTS),
    ("%25252e%25252e", DOTS),
    ("%2525252e%2525252e", OFTEN),
    ("%252525252e", OFTEN),
    ("../../auth/session", SLASH),
    ("..%2f..%2fauth%2fsession", SLASH),
    ("%2e%2e%252fauth", SLASH),
    ("..\\..\\auth", SLASH),
    ("..%5cauth", SLASH),
    ("..%255c", SLASH),
    ("x/comments", SLASH),
    ("/", SLASH),
    ("%2f", SLASH),
    ("//evil.example", SLASH),
    ("https://evil.example", SLASH),
    ("\\\\evil.example\\share", SLASH),
    ("..%00", CONTROL),
    ("..\u{0}", CONTROL),
    ("x\u{0}", CONTROL),
    ("x%00", CONTROL),
    ("x%2500", CONTROL),
    ("x\r\nX-Api-Key: k", CONTROL),
    ("x%0d%0aHost:%20evil", CONTROL),
    ("x HTTP/1.1\r\nHost: evil\r\n\r\n", SLASH),
    ("x\u{7f}", CONTROL),
    ("x\u{85}y", CONTROL),
    ("%c2%85", EMPTY),
    ("x%c2%85", CONTROL),
    ("x%1b[31m", CONTROL),
    ("%c0%ae%c0%ae", UTF8),
    ("%c0%af", UTF8),
    ("%e0%80%ae", UTF8),
    ("%f0%80%80%af", UTF8),
    ("%ff", UTF8),
    ("%u002e%u002e/", SLASH),
    ("", EMPTY),
    (" ", EMPTY),
    ("\u{a0}", EMPTY),
    ("\u{2003}\u{3000}", EMPTY),
    ("%20", EMPTY),
    (";", EMPTY),
    (";x=1", EMPTY),
    ("stats", OTHER),
    ("STATS", OTHER),
    ("st%61ts", OTHER),
    ("%2573tats", OTHER),
    ("stats;v=1", OTHER),
    ("stats ", OTHER),
    ("search", OTHER),
];

/// Values of `path.id` that go out, and the segment that they become.
const REACHED: &[(&str, &str)] = &[
    ("?limit=1", "%3Flimit%3D1"),
    ("x?admin=true", "x%3Fadmin%3Dtrue"),
    ("x#y", "x%23y"),
    ("x&tenant=other", "x%26tenant%3Dother"),
    ("x;jsessionid=1", "x%3Bjsessionid%3D1"),
    ("@evil.example", "%40evil.example"),
    (":8080", "%3A8080"),
    ("https:evil.example", "https%3Aevil.example"),
    ("...", "..."),
    ("..x", "..x"),
    ("x%", "x%25"),
    ("%zz", "%25zz"),
    ("x%20y", "x%2520y"),
    ("%u002e%u002e", "%25u002e%25u002e"),
    ("a+b", "a%2Bb"),
    ("\u{2024}\u{2024}", "%E2%80%A4%E2%80%A4"),
    ("\u{2025}", "%E2%80%A5"),
    ("\u{ff0e}\u{ff0e}", "%EF%BC%8E%EF%BC%8E"),
    ("x\u{2215}y", "x%E2%88%95y"),
    ("x\u{ff0f}y", "x%EF%BC%8Fy"),
    ("x\u{29f5}y", "x%E2%A7%B5y"),
    ("\u{202e}stats", "%E2%80%AEstats"),
    ("\u{feff}..", "%EF%BB%BF.."),
    ("\u{200b}", "%E2%80%8B"),
    ("ｓｔａｔｓ", "%EF%BD%93%EF%BD%94%EF%BD%81%EF%BD%94%EF%BD%93"),
    ("e\u{301}", "e%CC%81"),
    ("{id}", "%7Bid%7D"),
    ("*", "%2A"),
    ("$(id)", "%24%28id%29"),
    ("' OR 1=1 --", "%27%20OR%201%3D1%20--"),
    ("<script>", "%3Cscript%3E"),
];

pub fn rows() -> Vec<Row> {
    let id = |value: Value| json!({"path": {"id": value}});
    let row = |value: Value, outcome| Row::call(format!("path.id = {value:.60}"), TICKET, id(value), outcome);
    let mut rows: Vec<Row> =
        REFUSED.iter().map(|(value, said)| row(json!(value), refused(["path.id: ", said]))).collect();
    rows.extend(
        REACHED.iter().map(|(value, segment)| row(json!(value), read(format!("/api/v1/tickets/{segment}")))),
    );
    rows.push(Row::call(
        "path.id is very long",
        TICKET,
        id(json!("x".repeat(513))),
        refused(["path.id: ", "is longer than 512 bytes; send the record's own id"]),
    ));
    rows.push(Row::call(
        "path.id is as long as it may be",
        TICKET,
        id(json!("\u{20ac}".repeat(170))),
        read(format!("/api/v1/tickets/{}", "%E2%82%AC".repeat(170))),
    ));
    rows.extend(other_types());
    rows.extend(other_names());
    rows
}

fn other_types() -> Vec<Row> {
    let typed = |name: &str, text: &str, outcome: Outcome| {
        Row::text(format!("path.id is {name}"), TICKET, &format!(r#""path":{{"id":{text}}}"#), outcome)
    };
    let scalar = || refused(["path.id: ", "must be "]);
    vec![
        typed("null", "null", refused(["path.id: is required"])),
        typed("a list", r#"["..","stats"]"#, scalar()),
        typed("an object", r#"{"toString":"x"}"#, scalar()),
        typed("deep", &format!("{}1{}", "[".repeat(40), "]".repeat(40)), scalar()),
        typed(
            "too deep",
            &format!("{}1{}", "[".repeat(100), "]".repeat(100)),
            Outcome::Fault(-32600, "deeper"),
        ),
        typed("beyond every number", "1e400", Outcome::Fault(-32700, "not JSON")),
        typed("NaN", "NaN", Outcome::Fault(-32700, "not JSON")),
        typed("a boolean", "true", read("/api/v1/tickets/true")),
        typed("a number", "7", read("/api/v1/tickets/7")),
        typed("a negative number", "-1", read("/api/v1/tickets/-1")),
        typed("negative nothing", "-0", read("/api/v1/tickets/-0.0")),
        typed("a fraction", "1.50", read("/api/v1/tickets/1.5")),
        typed("the largest integer", "18446744073709551615", read("/api/v1/tickets/18446744073709551615")),
        typed("an escaped slash", r#""\u002e\u002e\u002f""#, refused(["path.id: ", SLASH])),
        typed("half a surrogate pair", r#""\ud800""#, Outcome::Fault(-32700, "not JSON")),
        Row::text("path is a list", TICKET, r#""path":["x"]"#, refused(["path: must be an object"])),
        Row::text("path is text", TICKET, r#""path":"id=x""#, refused(["path: must be an object"])),
        Row::text("path is null", TICKET, r#""path":null"#, refused(["path.id: is required"])),
    ]
}

fn other_names() -> Vec<Row> {
    const COMMENT: &str = "put-_api_v1_tickets_id_comments_commentid";
    let undeclared = |name: &'static str| {
        let value = json!({"path": {"id": "x", name: "y"}});
        let said = refused(["path.", "is not a path parameter of this endpoint", "(declared: `id`)"]);
        Row::call(format!("another path parameter, {name:?}"), TICKET, value, said)
    };
    let mut rows: Vec<Row> =
        ["ID", "id ", "tenant", "__proto__", "constructor", "../id", "id\u{0}", "\u{456}d", "id[]"]
            .map(undeclared)
            .into();
    rows.extend([
        Row::call("no path at all", TICKET, json!({}), refused(["path.id: is required"])),
        Row::call("a path without its value", TICKET, json!({"path": {}}), refused(["path.id: is required"])),
        Row::text(
            "path.id twice, the second a traversal",
            TICKET,
            r#""path":{"id":"x","id":".."}"#,
            refused(["path.id: ", DOTS]),
        ),
        Row::text(
            "path.id twice, the second behind an escape",
            TICKET,
            r#""path":{"id":"..","\u0069d":"x"}"#,
            read("/api/v1/tickets/x"),
        ),
        Row::call(
            "two values that would cancel each other",
            COMMENT,
            json!({"path": {"id": "x", "commentId": ".."}, "body": {"comment_text": "t"}}),
            refused(["path.commentId: ", DOTS]),
        ),
        Row::call(
            "two values, both wrong, are both named",
            COMMENT,
            json!({"path": {"id": "a/b", "commentId": ""}, "body": {"comment_text": "t"}}),
            refused(["path.id: ", SLASH, "path.commentId: ", EMPTY]),
        ),
        Row::call(
            "a traversal in something that removes",
            REMOVE,
            json!({"path": {"id": "..%2fclients%2fx"}}),
            refused(["path.id: ", SLASH]),
        ),
        Row::call(
            "an act of a workflow as its version",
            "put-_api_workflowdefinitions_workflowid_version",
            json!({"path": {"workflowId": "w", "version": "publish"}, "body": {"definition": {}}}),
            refused(["path.version: ", OTHER]),
        ),
        Row::call(
            "the act behind an encoding",
            "put-_api_workflowdefinitions_workflowid_version",
            json!({"path": {"workflowId": "w", "version": "p%75blish"}, "body": {"definition": {}}}),
            refused(["path.version: ", OTHER]),
        ),
    ]);
    rows
}
