//! The record at real receivers: each is away for a while under load, and misses nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use sidegate::record::{Chain, ChainId, Digest, canonical};

use super::support::receivers::{Collector, HttpReceiver, Rsyslog};
use super::support::wait::until_within;
use super::support::world::World;

/// How long a receiver may take to have everything after it came back: a sink waits longer with each failure.
const LIMIT: Duration = Duration::from_secs(60);
/// Calls of a test's load, at least.
const CALLS: usize = 100;

/// What a receiver got, looked at as someone does who has nothing else: the lines of the record in the order in which
/// they came.
///
/// Of copies the first counts, and a copy is the same. Of each chain nothing is missing, nothing is out of order, and
/// each link covers what was before. Returns how many tool calls there are.
fn calls_in(lines: &[String]) -> usize {
    let mut lines_by_id: BTreeMap<(ChainId, i64), &str> = BTreeMap::new();
    let mut chains: BTreeMap<ChainId, Chain> = BTreeMap::new();
    let mut calls = 0;
    for line in lines {
        let mut record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let place = record.as_object_mut().and_then(|record| record.remove("chain")).expect("a place");
        let id: ChainId = place["id"].as_str().and_then(|id| id.parse().ok()).expect("a chain");
        let seq = place["seq"].as_i64().expect("a number");
        if let Some(first) = lines_by_id.insert((id, seq), line) {
            assert_eq!(first, line, "a copy is the same");
            continue;
        }
        let chain = chains.entry(id).or_insert_with(|| Chain::begin(id));
        assert_eq!(seq, chain.next(), "of {id} the next record, not {line}");
        let link = chain.follow(Digest::of(&canonical(&record).expect("canonical")));
        assert_eq!(place["link"], link.to_string(), "{line}");
        calls += usize::from(record["record"] == "event" && record.get("tool").is_some());
    }
    calls
}

/// Calls one after another until `outage` is over, then waits until what `lines` gives is everything. Returns how many
/// calls there were.
async fn under_load(
    world: &World,
    outage: impl Future<Output = ()>,
    lines: impl Fn() -> Vec<String>,
) -> usize {
    let over = AtomicBool::new(false);
    let load = async {
        let mut calls = 0;
        while calls < CALLS || !over.load(Ordering::Relaxed) {
            calls += 1;
            let query = json!({"limit": 1, "page": calls});
            let arguments = json!({"entryId": "get-_api_v1_tickets", "query": query});
            let answer = world.call("technician", "call_api_endpoint", arguments).await;
            assert_eq!(answer.status, 200, "a receiver that is away holds up nobody: {answer:?}");
        }
        calls
    };
    let outage = async {
        outage.await;
        over.store(true, Ordering::Relaxed);
    };
    let (calls, ()) = join(load, outage).await;
    // Each look is a whole check: what is wrong once is never right.
    until_within(LIMIT, || {
        let all = calls_in(&lines()) == calls;
        async move { all.then_some(()) }
    })
    .await;
    calls
}

/// How long a receiver works and is away in turn.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn rsyslog_misses_nothing(transport: &str) {
    let folder = tempfile::tempdir().unwrap();
    let rsyslog = tokio::sync::Mutex::new(Rsyslog::start(folder.path()).await);
    let (port, more) = {
        let rsyslog = rsyslog.lock().await;
        match transport {
            "tcp" => (rsyslog.tcp, String::new()),
            _ => (rsyslog.tls, format!("ca_file = {:?}", rsyslog.ca_file())),
        }
    };
    let sink = format!(
        "[[sinks]]\nkind = \"syslog\"\naddress = \"localhost:{port}\"\ntransport = \"{transport}\"\n{more}\n"
    );
    let mut world = World::with("", &sink).await;
    let outage = async {
        let mut rsyslog = rsyslog.lock().await;
        a_while().await;
        rsyslog.kill();
        a_while().await;
        rsyslog.again().await;
        a_while().await;
        rsyslog.stop().await;
        a_while().await;
        rsyslog.again().await;
    };
    let messages = || folder_messages(folder.path());
    under_load(&world, outage, messages).await;
    world.stop().await;
}

/// The records among rsyslog's messages.
fn folder_messages(folder: &std::path::Path) -> Vec<String> {
    Rsyslog::messages_in(folder).into_iter().map(|message| message.text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_over_tcp_misses_nothing_while_it_is_killed_and_stopped() {
    rsyslog_misses_nothing("tcp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_over_tls_misses_nothing_while_it_is_killed_and_stopped() {
    rsyslog_misses_nothing("tls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_over_udp_reads_the_records_as_messages_of_rfc_5424() {
    let folder = tempfile::tempdir().unwrap();
    let rsyslog = Rsyslog::start(folder.path()).await;
    let sink = format!(
        "[[sinks]]\nkind = \"syslog\"\naddress = \"127.0.0.1:{}\"\ntransport = \"udp\"\nfacility = \"local3\"\n",
        rsyslog.udp
    );
    let mut world = World::with("", &sink).await;
    under_load(&world, async {}, || folder_messages(folder.path())).await;
    world.stop().await;
    let messages = rsyslog.messages();
    let call = messages.iter().find(|message| message.kind == "call").expect("a call");
    assert_eq!((call.priority.as_str(), call.app_name.as_str()), ("local3.info", "sidegate"));
    let place: Value = serde_json::from_str(&call.text).unwrap();
    let id = format!("{}-{}", place["chain"]["id"].as_str().unwrap(), place["chain"]["seq"]);
    assert_eq!(call.structured, format!("[sidegate@32473 id=\"{id}\" tenant=\"demo\" outcome=\"ok\"]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_receiver_misses_nothing_while_it_is_away() {
    let receiver = tokio::sync::Mutex::new(HttpReceiver::start("Bearer t0ken").await);
    let (url, taken) = {
        let receiver = receiver.lock().await;
        (receiver.url.clone(), receiver.ledger())
    };
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken\n").unwrap();
    let sink =
        format!("[[sinks]]\nname = \"vector\"\nkind = \"http\"\nurl = \"{url}/\"\ntoken_file = {token:?}\n");
    let mut world = World::with("", &sink).await;
    let outage = async {
        let mut receiver = receiver.lock().await;
        for _ in 0..2 {
            a_while().await;
            receiver.stop().await;
            a_while().await;
            receiver.again().await;
        }
    };
    let lines = || {
        let taken = taken.lock();
        assert!(taken.iter().all(|taken| taken.content_type == "application/x-ndjson"));
        taken.iter().flat_map(|taken| taken.text.lines().map(str::to_owned)).collect()
    };
    under_load(&world, outage, lines).await;
    world.stop().await;
}

/// The lines of what was pushed, in the order of each stream's times, as Loki gives them back. Those of all streams
/// together are in the order of the chain.
fn pushed(text: &str) -> Vec<String> {
    let push: Value = serde_json::from_str(text).expect("a push");
    let mut entries = Vec::new();
    for stream in push["streams"].as_array().expect("streams") {
        let labels = stream["stream"].as_object().expect("labels");
        assert!(labels["service_name"] == "sidegate" && labels.contains_key("kind"), "{labels:?}");
        for value in stream["values"].as_array().expect("values") {
            let at: u64 = value[0].as_str().and_then(|at| at.parse().ok()).expect("nanoseconds");
            assert_eq!(at.to_string().len(), 19, "nanoseconds");
            let line = value[1].as_str().expect("a line").to_owned();
            let record: Value = serde_json::from_str(&line).expect("a record");
            entries.push((record["chain"]["id"].to_string(), record["chain"]["seq"].as_i64(), line));
        }
    }
    entries.sort();
    entries.into_iter().map(|(_, _, line)| line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loki_is_pushed_streams_in_its_own_format() {
    let mut receiver = HttpReceiver::start("Basic c2lkZWdhdGU6cGFzc3dvcmQ=").await;
    let sink = format!(
        "[[sinks]]\nkind = \"http\"\nurl = \"{}/loki/api/v1/push\"\nformat = \"loki\"\nusername = \"sidegate\"\n\
         password = \"password\"\nlabels = {{ site = \"north\" }}\n",
        receiver.url
    );
    let mut world = World::with("", &sink).await;
    let taken = receiver.ledger();
    let outage = async {
        a_while().await;
        receiver.stop().await;
        a_while().await;
        receiver.again().await;
    };
    let lines = || {
        let taken = taken.lock();
        assert!(taken.iter().all(|taken| taken.path == "/loki/api/v1/push"));
        taken.iter().flat_map(|taken| pushed(&taken.text)).collect()
    };
    under_load(&world, outage, lines).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_misses_nothing_while_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(folder.path()).await;
    let sink = format!("[[sinks]]\nkind = \"otlp\"\nurl = \"{}\"\n", collector.url());
    let mut world = World::with("", &sink).await;
    let outage = async {
        a_while().await;
        collector.kill();
        a_while().await;
        collector.again().await;
    };
    let bodies = || {
        let logs = Collector::logs_in(folder.path());
        logs.iter().map(|log| log["body"].as_str().expect("a body").to_owned()).collect()
    };
    under_load(&world, outage, bodies).await;
    world.stop().await;
    let logs = Collector::logs_in(folder.path());
    let call = logs.iter().find(|log| log["event"] == "sidegate.call").expect("a call");
    assert_eq!(call["resource"]["service.name"], "sidegate");
    assert_eq!((&call["severity"], &call["attributes"]["sidegate.tenant"]), (&json!(9), &json!("demo")));
    let record: Value = serde_json::from_str(call["body"].as_str().unwrap()).unwrap();
    let id = format!("{}-{}", record["chain"]["id"].as_str().unwrap(), record["chain"]["seq"]);
    assert_eq!(call["attributes"]["log.record.uid"], id);
    assert_eq!(call["attributes"]["sidegate.request.id"], record["request_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_nobody_takes_from_loses_nothing_and_slows_nobody() {
    let mut receiver = HttpReceiver::start("").await;
    receiver.stop().await;
    let (url, taken) = (receiver.url.clone(), receiver.ledger());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let sinks = format!(
        "[[sinks]]\nname = \"away\"\nkind = \"http\"\nurl = \"{url}/\"\n[[sinks]]\nname = \"copy\"\nkind = \"file\"\npath = {file:?}\n"
    );
    let mut world = World::with("", &sinks).await;
    let lines = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect()
    };
    let calls = under_load(&world, async {}, lines).await;
    assert!(taken.lock().is_empty());
    // The next process goes on where this one was.
    world.stop().await;
    receiver.again().await;
    let mut world = world.again().await;
    until_within(LIMIT, || {
        let taken = taken.lock();
        let lines: Vec<_> = taken.iter().flat_map(|taken| taken.text.lines().map(str::to_owned)).collect();
        let all = calls_in(&lines) == calls;
        async move { all.then_some(()) }
    })
    .await;
    world.stop().await;
}
