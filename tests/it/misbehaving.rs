//! A PSA that misbehaves, through the whole of Sidegate: each call ends in time, in one clear
//! result and on record, and the next call goes well.

mod table;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::table::{Ends, Row};
use crate::support::http::Answer;
use crate::support::plan::Plan;
use crate::support::raw::{Act, JSON, RawPsa, answer};
use crate::support::wait::until;
use crate::support::world::World;

/// More than any call may take here: configured time limits are a few seconds.
const BOUND: Duration = Duration::from_secs(30);

/// What must never reach an agent, whatever the PSA sends.
const HIDDEN: [&str; 4] = ["s3cret", "set-cookie", "access-control", "x-pathname"];

struct Scene {
    world: World,
    psa: RawPsa,
    _files: TempDir,
}

impl Scene {
    async fn new(rows: &[Row], timeout: &str) -> Self {
        let psa = RawPsa::start(rows.iter().map(|row| (row.name.to_owned(), row.act.clone()))).await;
        let files = tempfile::tempdir().unwrap();
        let key = files.path().join("key");
        std::fs::write(&key, "key-of-technician").unwrap();
        let lines = format!(
            "url = \"http://{}\"\nkeys = \"static\"\ncatalog_key = \"k\"\ntimeout = \"{timeout}\"\n\
             max_response = \"200KiB\"\nstatic_keys = {{ technician = \"{}\" }}",
            psa.address,
            key.display()
        );
        let world = World::of(Plan { psa: Some(&lines), ..Plan::default() }).await;
        // Once to be warm, once when it begins to follow: from here on all connections are calls'.
        until(|| async { (psa.count("GET", "mcp-registry") >= 2).then_some(()) }).await;
        Self { world, psa, _files: files }
    }

    async fn call(&self, method: &str, name: &str) -> Answer {
        let mut arguments = json!({"entryId": "get-thing", "path": {"id": name}});
        if method == "POST" {
            arguments["entryId"] = "post-thing".into();
            arguments["body"] = json!({"title": "Printer"});
        }
        let call = self.world.call("technician", "call_api_endpoint", arguments);
        tokio::time::timeout(BOUND, call).await.unwrap_or_else(|_| panic!("{method} {name} hangs"))
    }

    /// The one event of this call.
    async fn event(&self, method: &str, name: &str) -> Value {
        let ends = format!("/{name}");
        let its = |record: &&Value| {
            record["record"] == "event"
                && record["upstream_method"] == method
                && record["upstream_path"].as_str().is_some_and(|path| path.ends_with(&ends))
        };
        let records = self.world.records_when(|records| records.iter().any(|record| its(&record))).await;
        let mut found = records.iter().filter(its);
        let event = found.next().cloned().unwrap();
        assert!(found.next().is_none(), "{method} {name} has one event");
        event
    }

    async fn goes_well(&self, name: &str) {
        let good = self.call("GET", name).await;
        assert!(!good.is_error(), "after it, {name}: {}", good.text());
        assert_eq!(good.body["result"]["structuredContent"]["data"], json!({"name": name}));
    }

    /// The row as a read and as a write, and a good call after each.
    async fn play(&self, row: &Row) {
        for method in ["GET", "POST"] {
            let at = format!("{} {method}", row.name);
            let said = self.call(method, row.name).await;
            assert_eq!(said.status, 200, "{at}: {said:?}");
            check(&at, row, method, &said);
            assert_eq!(self.event(method, row.name).await["outcome"], row.ends.outcome(method), "{at}");
            if method == "POST" && row.name != "401" {
                assert_eq!(self.psa.count("POST", row.name), 1, "{at}: sent once");
            }
            self.goes_well(&format!("after-{}-{method}", row.name)).await;
        }
    }
}

fn check(at: &str, row: &Row, method: &str, said: &Answer) {
    let text = said.text();
    assert_eq!(said.is_error(), row.ends != Ends::Well, "{at}: {text}");
    for word in row.says {
        assert!(text.contains(word), "{at}: no `{word}` in {text}");
    }
    let whole = format!("{:?} {}", said.headers, said.body).to_lowercase();
    for hidden in HIDDEN {
        assert!(!whole.contains(hidden), "{at}: {hidden} in {whole}");
    }
    let structured = &said.body["result"]["structuredContent"];
    match row.ends {
        Ends::Well | Ends::Refused => {
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *structured, "{at}");
            assert!(structured["status"].is_u64() && structured["ok"] == !said.is_error(), "{at}: {text}");
            assert_eq!(structured["remedy"].is_string(), said.is_error(), "{at}: {text}");
        }
        Ends::TooLarge => {}
        Ends::Broken | Ends::Late => {
            let after = if method == "POST" { "may or may not have taken effect" } else { "can be repeated" };
            assert!(text.contains(after), "{at}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_becomes_one_clear_result_and_the_next_call_goes_well() {
    let rows = table::answers();
    assert!(rows.len() >= 60, "{}", rows.len());
    let scene = Scene::new(&rows, "15s").await;
    let mut failed = Vec::new();
    for row in &rows {
        // Which rows fail says more than which is the first.
        if AssertUnwindSafe(scene.play(row)).catch_unwind().await.is_err() {
            failed.push(row.name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_is_given_up_in_time() {
    let rows = table::silences();
    let scene = Scene::new(&rows, "3s").await;
    join_all(rows.iter().map(|row| scene.play(row))).await;
}

#[tokio::test]
async fn a_connection_that_is_answered_before_it_asks_or_is_dropped_does_no_harm() {
    let scene = Scene::new(&[], "15s").await;
    let early = answer("200 OK", JSON, r#"{"name":"early"}"#);
    for (index, act) in [
        Act::Say(early.clone()),
        Act::Keep(early),
        Act::Say(b"220 mail.example ESMTP\r\n".to_vec()),
        Act::Say(Vec::new()),
        Act::Reset(Vec::new()),
    ]
    .into_iter()
    .enumerate()
    {
        for method in ["GET", "POST"] {
            let name = format!("greeted-{index}");
            scene.psa.greet(act.clone());
            // Whatever comes of it: it is one result, and nothing is sent a second time.
            let said = scene.call(method, &name).await;
            assert_eq!(said.status, 200, "{said:?}");
            assert!(!said.text().is_empty(), "{said:?}");
            assert!(scene.psa.count(method, &name) <= 1, "{name} {method}");
            let outcome = scene.event(method, &name).await["outcome"].clone();
            let outcome = outcome.as_str().unwrap();
            assert!(["ok", "unavailable", "unknown"].contains(&outcome), "{name} {method}: {outcome}");
            assert_eq!(said.is_error(), outcome != "ok", "{}", said.text());
            scene.goes_well(&format!("after-{name}-{method}")).await;
        }
    }
}

#[tokio::test]
async fn a_psa_that_went_away_is_unavailable_until_it_is_back() {
    let mut scene = Scene::new(&[], "15s").await;
    scene.psa.leave().await;
    for method in ["GET", "POST"] {
        let said = scene.call(method, "gone").await;
        assert!(said.is_error() && said.text().contains("Nothing was sent"), "{}", said.text());
        assert_eq!(scene.event(method, "gone").await["outcome"], "unavailable");
    }
    scene.psa.come_back().await;
    scene.goes_well("back").await;
}

/// An answer that promises to go on and does not.
fn lying(name: &str) -> Row {
    let body = format!("{{\"name\":\"{name}\"}}");
    let head = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {}\r\n\r\n", body.len());
    Row { name: "lying", act: Act::Say(format!("{head}{body}").into_bytes()), ends: Ends::Well, says: &[] }
}

#[tokio::test]
async fn a_write_is_sent_at_most_once_however_often_pooled_connections_die() {
    let scene = Scene::new(&[lying("lying")], "15s").await;
    let calls = 40;
    let mut well = 0;
    for _ in 0..calls {
        // Each of them may find the connection of the one before closed, closing, or not yet.
        let said = scene.call("POST", "lying").await;
        match said.is_error() {
            false => well += 1,
            true => assert!(said.text().contains("may or may not have taken effect"), "{}", said.text()),
        }
    }
    let sent = scene.psa.count("POST", "lying");
    assert!((well..=calls).contains(&sent), "{well} of {calls} went well, {sent} arrived");
    assert!(well > 0);
}

#[tokio::test]
async fn a_second_answer_on_a_connection_is_nobodys() {
    let smuggled = r#"{"name":"smuggled"}"#;
    let twice = |first: &str, second: &str| {
        let one =
            |body: &str| format!("HTTP/1.1 200 OK\r\n{JSON}content-length: {}\r\n\r\n{body}", body.len());
        Act::Keep(format!("{}{}", one(first), one(second)).into_bytes())
    };
    let row = |name, act| Row { name, act, ends: Ends::Well, says: &[] };
    let rows = [
        row("twice", twice(r#"{"name":"twice"}"#, smuggled)),
        row("nothing-and-more", Act::Keep(format!("HTTP/1.1 204 No Content\r\n\r\n{smuggled}").into_bytes())),
        row(
            "nothing-and-an-answer",
            Act::Keep(
                [b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), answer("200 OK", JSON, smuggled)].concat(),
            ),
        ),
    ];
    let scene = Scene::new(&rows, "15s").await;
    for row in &rows {
        for round in 0..5 {
            let said = scene.call("POST", row.name).await;
            assert!(!said.is_error() && !said.text().contains("smuggled"), "{}", said.text());
            scene.goes_well(&format!("after-{}-{round}", row.name)).await;
        }
        assert_eq!(scene.psa.count("POST", row.name), 5);
    }
}
