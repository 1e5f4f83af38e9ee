//! The record as administrators take it away, and as they watch it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::record::{Kind, PublicKey, Report, Verifier};
use sqlx::{AnyConnection, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::admin::{Api, problem};
use crate::support::http::written;
use crate::support::replica;
use crate::support::sse::Stream;
use crate::support::world::{World, until};

fn verify(copy: &str, pins: Vec<PublicKey>) -> Report {
    let mut verifier = Verifier::export(pins);
    for line in copy.split_inclusive('\n') {
        let ended = line.strip_suffix('\n');
        verifier.line(ended.unwrap_or(line).as_bytes(), ended.is_some());
    }
    verifier.finish()
}

fn lines(copy: &str) -> Vec<Value> {
    copy.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn events(copy: &str) -> Vec<Value> {
    lines(copy).into_iter().filter(|line| line["record"] == "event").collect()
}

async fn exported(api: &Api<'_>, query: &str) -> String {
    let answer = api.get(&format!("/audit/export{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.as_str().expect("lines").to_owned()
}

async fn read(world: &World) -> u16 {
    world.call("reader", "search_api_registry", json!({"query": "tickets"})).await.status
}

#[tokio::test]
async fn an_export_while_calls_go_on_is_whole_and_has_all_that_was_answered_before() {
    let world = World::start().await;
    let ended = AtomicBool::new(false);
    for _ in 0..20 {
        assert_eq!(read(&world).await, 200);
    }
    let calling = async {
        let mut calls = 20;
        while !ended.load(Ordering::Relaxed) {
            assert_eq!(read(&world).await, 200);
            calls += 1;
        }
        calls
    };
    let exporting = async {
        let api = Api::new(&world).await;
        let mut before = 20;
        for _ in 0..5 {
            let copy = exported(&api, "").await;
            let report = verify(&copy, Vec::new());
            assert!(report.whole() && report.tenant.as_deref() == Some("demo"), "{report}");
            let found = events(&copy).iter().filter(|event| event["method"] == "tools/call").count();
            assert!(found >= before, "{found} of {before}");
            before = found;
        }
        ended.store(true, Ordering::Relaxed);
    };
    let (calls, ()) = tokio::join!(calling, exporting);
    let copy = exported(&Api::new(&world).await, "").await;
    let calls_found = events(&copy).iter().filter(|event| event["method"] == "tools/call").count();
    assert_eq!(calls_found, calls);
}

#[tokio::test]
async fn an_export_says_what_it_is_and_any_touch_is_told() {
    let world = World::start().await;
    for _ in 0..3 {
        read(&world).await;
    }
    let api = Api::new(&world).await;
    let answer = api.get("/audit/export?format=ndjson").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"sidegate-record.ndjson\"");
    let copy = answer.body.as_str().expect("lines").to_owned();
    let header = lines(&copy).remove(0);
    assert_eq!(
        (&header["record"], &header["tenant"], &header["filter"]),
        (&json!("export"), &json!("demo"), &json!({}))
    );
    let key: PublicKey = header["key"].as_str().unwrap().parse().unwrap();
    assert!(verify(&copy, vec![key]).whole());
    let all: Vec<&str> = copy.split_inclusive('\n').collect();
    let event = all.iter().position(|line| line.contains("\"record\":\"event\"")).unwrap();
    let without = [&all[..event], &all[event + 1..]].concat().concat();
    let twice = [&all[..=event], &all[event..]].concat().concat();
    let mut swapped = all.clone();
    swapped.swap(event, event + 1);
    for (touched, kind) in [
        (copy.replacen("\"outcome\":\"ok\"", "\"outcome\":\"no\"", 1), Kind::Edit),
        (without, Kind::Removal),
        (twice, Kind::Insertion),
        (swapped.concat(), Kind::Swap),
        (all[..all.len() - 1].concat(), Kind::Cut),
        (copy[..copy.len() / 2].to_owned(), Kind::Cut),
    ] {
        let found = verify(&touched, vec![key]).first_break.expect("a break");
        assert_eq!(found.kind, kind, "{found}");
    }
    problem(&api.get("/audit/export?format=xml").await, 400, "format");
    problem(&api.get("/audit/export?since=yesterday").await, 400, "since");
}

#[tokio::test]
async fn what_a_filter_leaves_out_stands_in_the_export_as_hashes() {
    let world = World::start().await;
    for _ in 0..2 {
        read(&world).await;
        world.ask("technician", "tools/list", json!({})).await;
    }
    let api = Api::new(&world).await;
    let agents = api.data("/agents").await;
    let reader =
        agents.as_array().unwrap().iter().find(|row| row["name"] == "reader").unwrap()["agent_id"].clone();
    let reader = reader.as_str().unwrap();
    let copy = exported(&api, &format!("?agent={reader}&tool=search_api_registry")).await;
    let report = verify(&copy, Vec::new());
    assert!(report.whole() && report.omitted >= 2, "{report}");
    let found = events(&copy);
    assert!(found.len() == 2 && found.iter().all(|event| event["agent"] == "reader"), "{found:?}");
    let whole = events(&exported(&api, "").await);
    let third = whole[2]["time"].as_str().unwrap();
    let since = exported(&api, &format!("?since={third}")).await;
    let report = verify(&since, Vec::new());
    assert!(report.whole(), "{report}");
    assert!(events(&since).iter().all(|event| event["time"].as_str().unwrap() >= third));
    assert_eq!(
        events(&since).len(),
        whole.iter().filter(|event| event["time"].as_str().unwrap() >= third).count()
    );
    let nothing = exported(&api, "?since=2199-01-01T00:00:00Z").await;
    assert!(verify(&nothing, Vec::new()).whole() && nothing.lines().count() == 2, "{nothing}");
    let one = whole[0]["request_id"].as_str().unwrap();
    assert_eq!(events(&exported(&api, &format!("?request_id={one}")).await).len(), 1);
}

#[tokio::test]
async fn the_table_has_a_row_a_record_and_no_formulas() {
    let world = World::start().await;
    read(&world).await;
    world.ask("reader", "tools/call", json!({"name": "=HYPERLINK(1)", "arguments": {}})).await;
    let api = Api::new(&world).await;
    let answer = api.get("/audit/export?format=csv").await;
    assert!(answer.header("content-type").starts_with("text/csv"), "{answer:?}");
    let mut reader = csv::Reader::from_reader(answer.body.as_str().expect("rows").as_bytes());
    let names = reader.headers().unwrap().clone();
    let at = |name: &str| names.iter().position(|column| column == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let tools: Vec<_> = rows.iter().map(|row| row[at("tool")].to_owned()).collect();
    assert!(tools.iter().any(|tool| tool == "search_api_registry"), "{tools:?}");
    assert!(tools.iter().any(|tool| tool == "'=HYPERLINK(1)"), "{tools:?}");
    assert!(rows.iter().all(|row| row[at("kind")] != *"start"));
    let record: Value = serde_json::from_str(&rows[0][at("record")]).unwrap();
    assert_eq!(record["request_id"], rows[0][at("request_id")]);
}

async fn following(api: &Api<'_>, query: &str) -> Stream {
    let stream = Stream::open(api.request("GET", &format!("/audit/tail{query}"), &Value::Null)).await;
    assert!(stream.is_stream(), "{} {:?}", stream.status, stream.headers);
    stream
}

#[tokio::test]
async fn a_tail_tells_what_comes_as_it_comes_from_any_process_and_ends_with_the_server() {
    let mut world = World::start().await;
    read(&world).await;
    let mut all;
    let mut changes;
    {
        let api = Api::new(&world).await;
        all = following(&api, "").await;
        changes = following(&api, "?kind=change").await;
        read(&world).await;
        let event = all.next().await.expect("an event");
        assert_eq!(event.message()["tool"], "search_api_registry");
        let place = &event.message()["chain"];
        let id = format!("{}-{}", place["id"].as_str().unwrap(), place["seq"]);
        assert_eq!(event.id.as_deref(), Some(&*id));
        // Another process, in a chain of its own.
        replica::command(&world.config_file, &["agent", "disable", "reader"]).await;
        let change = changes.next().await.expect("a change");
        assert_eq!(
            (&change.message()["record"], change.message()["change"].is_object()),
            (&json!("event"), true)
        );
        assert_ne!(change.message()["chain"]["id"], place["id"]);
        assert_eq!(all.next().await.expect("the same").id, change.id);
        assert!(all.is_quiet_for(Duration::from_millis(600)).await);
    }
    world.stop().await;
    while all.any().await.is_some() {}
    while changes.any().await.is_some() {}
}

#[tokio::test]
async fn no_more_than_sixteen_may_follow_and_whoever_leaves_makes_room() {
    let world = World::start().await;
    let api = Api::new(&world).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(following(&api, "").await);
    }
    problem(&api.get("/audit/tail").await, 429, "under way");
    open.pop();
    // Who left is noticed when something is said.
    until(|| async {
        read(&world).await;
        let request = api.request("GET", "/audit/tail", &Value::Null);
        (Stream::open(request).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_export_that_cannot_go_on_is_broken_off_and_does_not_look_like_an_end() {
    let world = World::start().await;
    read(&world).await;
    let api = Api::new(&world).await;
    assert!(verify(&exported(&api, "").await, Vec::new()).whole());
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}/sidegate.db", world.folder.path().display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    // A column of SQLite takes any type, and who reads it does not.
    let spoilt = "UPDATE record SET at = 'broken' WHERE kind = 'call'";
    assert!(sqlx::query(spoilt).execute(&mut connection).await.unwrap().rows_affected() > 0);
    let request = api.request("GET", "/audit/export", &Value::Null);
    let address = world.admin_url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(written(&request).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The server closes, in order or not.
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    // It may break before the first piece is written.
    let begun = answer.starts_with("HTTP/1.1 200") && answer.contains("\"record\":\"export\"");
    assert!(begun || answer.is_empty(), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("\"record\":\"seal\""), "{answer}");
}
