//! Which entry: guesses and denied ones, other methods, arguments that nobody declared, and agents that may not.

use serde_json::{Value, json};

use super::{ID, LIST, Outcome, Post, REMOVE, RENAME, Row, STATUS, TICKET, arguments, read, refused};

/// Ids that no entry on offer has; the first ones exist in the PSA's registry and are denied.
const NONE: &[&str] = &[
    "post-_api_workflowdefinitions_workflowid_version_publish",
    "post-_api_workflowruns",
    "get-_api_workflowruns",
    "get-_api_auth_session",
    "post-_api_auth_validateapikey",
    "get-_api_documents_download_fileid",
    "post-_api_chat_stream_slug",
    "get-_api_health",
    "get-_api_v1_admin",
    "get-_api_v1_meta_mcpregistry",
    "post-_api_mcp",
    "GET-_API_V1_TICKETS",
    "Get-_api_v1_tickets",
    "get-_api_v1_ticket",
    "get-_api_v1_ticketss",
    " get-_api_v1_tickets",
    "get-_api_v1_tickets ",
    "get-_api_v1_tickets\u{0}",
    "get-_api_v1_tickets\r\n",
    "get-_api_v1_tickets/../users",
    "get-_api_v1_tickets,get-_api_v1_users",
    "get.*",
    "*",
    "/api/v1/tickets",
    "GET /api/v1/tickets",
    "http://127.0.0.1/api/v1/tickets",
    "__proto__",
    "constructor",
    "0",
    "get-_api_v1_t\u{456}ckets",
    "\u{ff47}et-_api_v1_tickets",
    "get-_api_v1_tickets\u{200b}",
];

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = NONE
        .iter()
        .map(|id| {
            let said = refused([
                "entryId: there is no endpoint",
                "Use search_api_registry to find the right entryId",
            ]);
            Row::call(format!("entry {id:?}"), id, json!({}), said)
        })
        .collect();
    rows.extend(ids());
    rows.extend(methods());
    rows.extend(members());
    rows.extend(agents());
    rows
}

fn ids() -> Vec<Row> {
    let given = |name: &str, id: Value, said: &'static str| {
        Row::new(format!("entryId is {name}"), Post::Arguments(json!({ "entryId": id })), refused([said]))
    };
    vec![
        given("null", json!(null), "entryId: is required"),
        given("a list", json!([LIST]), "entryId: must be a string"),
        given("an object", json!({"toString": LIST}), "entryId: must be a string"),
        given("a number", json!(0), "entryId: must be a string"),
        given("empty", json!(""), "entryId: must not be empty"),
        given("very long", json!("g".repeat(201)), "entryId: must have at most 200 characters"),
        Row::new("no entryId", Post::Arguments(json!({})), refused(["entryId: is required"])),
        Row::new("EntryId", Post::Arguments(json!({"EntryId": LIST})), read("/api/v1/tickets")),
        Row::new(
            "entryId twice, the second denied",
            Post::Text(format!(r#"{{"entryId":"{LIST}","entryId":"get-_api_auth_session"}}"#)),
            refused(["entryId: there is no endpoint"]),
        ),
        Row::new(
            "entryId twice, the second on offer",
            Post::Text(format!(r#"{{"entryId":"get-_api_auth_session","entryId":"{LIST}"}}"#)),
            read("/api/v1/tickets"),
        ),
        Row::call(
            "an id whose hyphens are underscores",
            "get__api_v1_tickets",
            json!({}),
            read("/api/v1/tickets"),
        ),
    ]
}

fn methods() -> Vec<Row> {
    let other = |method: Value| {
        Row::call(
            format!("method {method}"),
            LIST,
            json!({ "method": method }),
            refused(["method: ", "it is always GET; leave `method` out"]),
        )
    };
    let mut rows: Vec<Row> =
        ["DELETE", "post", "HEAD", "OPTIONS", "CONNECT", "TRACE", "GETX", "GET\r\nDELETE", "G ET", "ｇｅｔ"]
            .map(|method| other(json!(method)))
            .into();
    rows.extend([
        Row::call("no method in its place", LIST, json!({"method": ""}), read("/api/v1/tickets")),
        Row::call("the method in another case", LIST, json!({"method": " get "}), read("/api/v1/tickets")),
        Row::call(
            "method is a list",
            LIST,
            json!({"method": ["GET"]}),
            refused(["method: must be a string"]),
        ),
        Row::call(
            "method is long",
            LIST,
            json!({"method": "G".repeat(17)}),
            refused(["method: ", "it is always GET"]),
        ),
        Row::call(
            "GET for what changes",
            RENAME,
            json!({"method": "GET", "path": {"id": ID}, "body": {"title": "x"}}),
            refused(["method: ", "it is always PUT"]),
        ),
    ]);
    rows
}

/// Members of the arguments that nobody declared.
fn members() -> Vec<Row> {
    [
        "url",
        "baseUrl",
        "host",
        "params",
        "arguments",
        "_meta",
        "tenant",
        "apiKey",
        "credential",
        "__proto__",
        "Path",
        "path\u{0}",
    ]
    .map(|name| {
        let said = refused(["is not declared here", "(declared: "]);
        Row::call(format!("argument {name:?}"), LIST, json!({name: "http://evil.example"}), said)
    })
    .into()
}

/// Agents with less than the technician may.
fn agents() -> Vec<Row> {
    let maximum = || refused(["rule max_effect"]);
    let one = || json!({"path": {"id": ID}});
    let with = |body: Value| json!({"path": {"id": ID}, "body": body});
    let sent = |method, body: Option<&str>| {
        Outcome::Reached(method, format!("/api/v1/tickets/{ID}"), vec![], body.map(str::to_owned))
    };
    let simulate = "post-_api_workflowdefinitions_simulate";
    vec![
        Row::call("a reader at most removes", REMOVE, one(), maximum()).by("stranger"),
        Row::call("a reader at most renames", RENAME, with(json!({"title": "x"})), maximum()).by("stranger"),
        Row::call("a reader at most moves", STATUS, with(json!({"status_id": ID})), maximum()).by("stranger"),
        Row::call(
            "a reader at most creates",
            super::NOTE,
            json!({"body": {"client_id": ID, "title": "t", "type_name": "Note"}}),
            maximum(),
        )
        .by("stranger"),
        Row::call("a reader at most sends an invoice", "post-_api_v1_invoices_id_send", one(), maximum())
            .by("stranger"),
        Row::call(
            "a reader at most says GET",
            REMOVE,
            json!({"method": "GET", "path": {"id": ID}}),
            refused(["method: "]),
        )
        .by("stranger"),
        Row::call("a reader at most reads", TICKET, one(), sent("GET", None)).by("stranger"),
        Row::call(
            "a reader at most tries a workflow out",
            simulate,
            json!({"body": {"definition": {}}}),
            Outcome::Reached(
                "POST",
                "/api/workflow-definitions/simulate".into(),
                vec![],
                Some(r#"{"definition":{}}"#.into()),
            ),
        )
        .by("stranger"),
        Row::new(
            "a reader at most, with a method override on its own request",
            Post::With(arguments(TICKET, one()), vec![("x-http-method-override", "DELETE")]),
            sent("GET", None),
        )
        .by("stranger"),
        // Its maximum is all, its role in the PSA reads only: that is the PSA's to say.
        Row::call("one whose role reads removes", REMOVE, one(), sent("DELETE", None)).by("reader"),
        Row::call(
            "one whose role reads renames",
            RENAME,
            with(json!({"title": "x"})),
            sent("PUT", Some(r#"{"title":"x"}"#)),
        )
        .by("reader"),
        Row::call(
            "one whose role reads, traversing",
            REMOVE,
            json!({"path": {"id": "../users"}}),
            refused(["path.id: "]),
        )
        .by("reader"),
    ]
}
