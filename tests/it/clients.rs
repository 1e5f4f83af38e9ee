//! Every client that people connect with, through TLS and with a bearer token: each finds the tools, searches, reads, writes,
//! is told of a denial and is cancelled. What came of it is the table in the README.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::clients;
use crate::support::plan::Plan;
use crate::support::world::World;

/// A client as people start it.
struct Client {
    name: &'static str,
    version: &'static str,
    /// How it is told to agree on a revision.
    way: &'static str,
    program: &'static str,
    mode: &'static str,
}

const JAVASCRIPT: &str = include_str!("../clients/package.json");
const INSPECTOR: &str = include_str!("../clients/inspector/package.json");
const PYTHON_1: &str = include_str!("../clients/requirements-v1.txt");
const PYTHON_2: &str = include_str!("../clients/requirements.txt");
const RUST: &str = include_str!("../clients/rmcp/Cargo.toml");

/// The version that a file pins: what follows `mark`.
fn pinned<'a>(file: &'a str, mark: &str) -> &'a str {
    let (_, after) = file.split_once(mark).unwrap_or_else(|| panic!("no {mark} in\n{file}"));
    after.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default()
}

fn all() -> Vec<Client> {
    let client = |name, version, program, ways: &[(&'static str, &'static str)]| {
        let one = |&(way, mode)| Client { name, version, way, program, mode };
        ways.iter().map(one).collect::<Vec<_>>()
    };
    let typescript_1 = pinned(JAVASCRIPT, "\"@modelcontextprotocol/sdk\": \"");
    let typescript_2 = pinned(JAVASCRIPT, "\"@modelcontextprotocol/client\": \"");
    let mcp_remote = pinned(JAVASCRIPT, "\"mcp-remote\": \"");
    let inspector = pinned(INSPECTOR, "\"@modelcontextprotocol/inspector\": \"");
    [
        client("TypeScript SDK", typescript_1, "sdk_v1.mjs", &[("default", "")]),
        client(
            "TypeScript SDK",
            typescript_2,
            "sdk_v2.mjs",
            &[("default", "legacy"), ("`auto`", "auto"), ("pinned", "modern")],
        ),
        client("Python SDK", pinned(PYTHON_1, "mcp=="), "sdk_python_v1.py", &[("default", "")]),
        client(
            "Python SDK",
            pinned(PYTHON_2, "mcp=="),
            "sdk_python.py",
            &[("default", "auto"), ("`legacy`", "legacy")],
        ),
        client("mcp-remote", mcp_remote, "mcp_remote.mjs", &[("default", "legacy"), ("`auto`", "auto")]),
        client(
            "Inspector, command line",
            inspector,
            "inspector.mjs",
            &[("default", "legacy"), ("`auto`", "auto")],
        ),
        client(
            "rmcp",
            pinned(RUST, "rmcp = { version = \"="),
            "rmcp",
            &[("default", "legacy"), ("`auto`", "auto")],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the client did, or what was wrong with it.
type Cell = Result<String, String>;

/// `yes`, or all that is known of why not.
fn cell(good: bool, known: &Value) -> Cell {
    if good { Ok("yes".to_owned()) } else { Err(format!("{known:#}")) }
}

const HEAD: &str = "| client | version | negotiates by | revision | lists | searches | reads | writes | sees a denial | cancels by |\n\
                    |---|---|---|---|---|---|---|---|---|---|\n";

/// Holds the whole conversation as the technician's agent, and the same with another write as the reader's.
async fn converse(client: &Client) -> Vec<Cell> {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    let ticket = world.a_ticket("technician").await;
    let title = format!("Renamed through {} {}", client.program, client.mode);
    let folder = tempfile::tempdir().expect("a folder");
    let speak = async |agent: &str, title: &str, cancel: Value| {
        let config = json!({
            "mcp_url": world.mcp_url, "ca_file": world.ca_file(), "folder": folder.path(),
            "token": world.token(agent), "mode": client.mode,
            "read": {"entryId": "get-_api_v1_tickets", "query": {"limit": 2}},
            "write": {"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": title}},
            "cancel": cancel,
        });
        clients::run_trusting(client.program, &config, &world.ca_file()).await
    };
    let slow = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 12_000}});
    let cancel = json!({"watch": format!("{}/__requests", world.psa.url), "call": slow});

    let line = speak("technician", &title, cancel).await;
    let renamed = world.title("technician", &ticket).await == title;
    let denied = speak("reader", "Renamed by one who may not", Value::Null).await;
    let kept = world.title("technician", &ticket).await == title;
    let ended = |records: &[Value], agent: &str, entry: &str| {
        let of = |record: &&Value| {
            record["agent"] == agent && record["entry_id"] == entry && record["record"] == "event"
        };
        records.iter().find(of).cloned()
    };
    // What a client has not done leaves no record to wait for.
    let wrote = denied["writeIsError"].is_boolean();
    let began = line["cancelled"]["ended"] == "rejected";
    let records = world
        .records_when(|records| {
            let is = |agent, entry| ended(records, agent, entry).is_some();
            (!wrote || is("reader", "put-_api_v1_tickets_id"))
                && (!began || is("technician", "get-_api_v1_reports_slow"))
        })
        .await;
    // The world itself asks for titles; the reader's records are the client's alone.
    let denial = ended(&records, "reader", "put-_api_v1_tickets_id").unwrap_or_default();
    let cancelled = ended(&records, "technician", "get-_api_v1_reports_slow").unwrap_or_default();
    // The first of a session says that the client is ready.
    let is_notification =
        |record: &&Value| record["agent"] == "technician" && record["method"] == "notification";
    let notified = records.iter().filter(is_notification).count() > 1;

    let known = json!({"technician": line, "reader": denied, "denial": denial, "cancelled": cancelled});
    let both = |good: fn(&Value) -> bool| cell(good(&line) && good(&denied), &known);
    let bearer = |line: &Value| {
        line["trace"].as_array().is_none_or(|steps| steps.iter().all(|step| step["bearer"] == true))
    };
    let revision = &denial["revision"];
    let agreed = line["error"].is_null()
        && bearer(&line)
        && bearer(&denied)
        && [&line["revision"], &denied["revision"]].iter().all(|said| said.is_null() || *said == revision)
        && revision == &cancelled["revision"];
    vec![
        cell(agreed, &known).map(|_| revision.as_str().unwrap_or("none").to_owned()),
        both(|line| {
            line["tools"] == json!(["search_api_registry", "search_business_data", "call_api_endpoint"])
        }),
        both(|line| line["searchFirst"] == "get-_api_v1_tickets"),
        both(|line| line["readOk"] == true && line["readStructured"] == true),
        cell(line["writeIsError"] == false && renamed, &known),
        cell(
            denied["writeIsError"] == true
                && denied["writeText"].as_str().is_some_and(|text| text.contains("Cannot update ticket"))
                && denial["upstream_status"] == 403
                && kept,
            &known,
        ),
        cancels_by(&line["cancelled"], &cancelled, notified).ok_or_else(|| format!("{known:#}")),
    ]
}

/// What ended the call at the PSA: something said, or the client's leaving. Nothing did where it went on to its end without
/// a client, as it must in the revisions in which leaving says nothing.
fn cancels_by(cancelled: &Value, record: &Value, notified: bool) -> Option<String> {
    let how = match (cancelled["aborted"].as_bool()?, record["outcome"].as_str()?) {
        (true, "cancelled") if notified => "notification",
        (true, "cancelled") => "leaving",
        (false, "ok") => "nothing",
        _ => return None,
    };
    (cancelled["ended"] == "rejected").then(|| how.to_owned())
}

#[tokio::test]
async fn every_client_does_what_the_readme_says_of_it() {
    let clients = all();
    let rows: Vec<Vec<Cell>> = stream::iter(&clients).map(converse).buffered(3).collect().await;
    let mut table = HEAD.to_owned();
    for (client, row) in clients.iter().zip(&rows) {
        let cells = row.iter().map(|cell| cell.as_deref().unwrap_or("**no**")).collect::<Vec<_>>();
        table +=
            &format!("| {} | {} | {} | {} |\n", client.name, client.version, client.way, cells.join(" | "));
    }
    println!("{table}");
    for (client, row) in clients.iter().zip(&rows) {
        if let Some(why) = row.iter().find_map(|cell| cell.as_ref().err()) {
            println!("{} {} {}: {why}", client.name, client.version, client.way);
        }
    }
    let readme = include_str!("../../README.md");
    let block =
        readme.split_once("<!-- clients -->\n").and_then(|(_, after)| after.split_once("<!-- /clients -->"));
    assert_eq!(block.map(|(block, _)| block), Some(table.as_str()), "README.md is to have the table above");
}
