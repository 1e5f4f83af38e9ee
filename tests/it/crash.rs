//! Sidegate is killed at random moments under load, again and again. Then what the PSA was sent, what it did, what
//! clients were told and what is on record are compared.
//!
//! `SIDEGATE_KILLS` says how often it is killed (10).

mod record;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};
use sidegate::outbound::Outbound;

use self::record::Kept;
use crate::connect::own_key;
use crate::support::http::{client, message, modern};
use crate::support::plan::Plan;
use crate::support::postgres;
use crate::support::process::Process;
use crate::support::tap::Sent;
use crate::support::world::World;

/// What is asked for at the same time.
const CLIENTS: usize = 6;
/// How long before a kill the last read that may be lost was answered, on a machine that has nothing else to do: the
/// interval in which records are written, and as much again for writing them. What a busy machine takes longer is seen
/// from the slowest call, for a write waits for the record.
const WRITTEN: Duration = Duration::from_millis(200);
/// How long a start may take where many tests run.
const START: Duration = Duration::from_secs(60);
/// How long after the last start it may take until every intent has an outcome.
const SETTLED: Duration = Duration::from_secs(30);

/// A call, as its client saw it.
struct Call {
    /// Where it was told that it went well: the request's id.
    well: Option<String>,
    writes: bool,
    asked: Instant,
    ended: Instant,
}

impl Call {
    /// When the process was killed that it was sent to, if that was; its answer may have been read after that.
    fn killed(&self, kills: &[Instant]) -> Option<Instant> {
        kills.iter().find(|kill| **kill > self.asked).copied()
    }
}

/// How long a process that serves took for a call, at most: until it was killed, where that came first.
fn slowest(calls: &[Call], kills: &[Instant]) -> Duration {
    let mut serves: HashMap<Option<Instant>, Instant> = HashMap::new();
    for call in calls.iter().filter(|call| call.well.is_some()) {
        let first = serves.entry(call.killed(kills)).or_insert(call.ended);
        *first = call.ended.min(*first);
    }
    let took = calls.iter().filter_map(|call| {
        let killed = call.killed(kills);
        let ended = killed.map_or(call.ended, |killed| killed.min(call.ended));
        (call.asked >= *serves.get(&killed)?).then(|| ended.saturating_duration_since(call.asked))
    });
    took.max().unwrap_or_default()
}

/// What the clients do.
struct Load {
    ticket: String,
    calls: RefCell<Vec<Call>>,
    answered: Cell<usize>,
    written: Cell<u64>,
    over: Cell<bool>,
}

impl Load {
    /// Asks as `agent` until it is over, whoever is there to answer.
    async fn ask(&self, url: &str, token: &str, may_write: bool) {
        // One of its own, so that a connection that breaks is nobody else's.
        let client = client();
        while !self.over.get() {
            let writes = may_write && rand::rng().random_ratio(1, 2);
            let arguments = if writes { self.comment() } else { self.read() };
            let asked = Instant::now();
            let well = told(&client, url, token, arguments).await;
            let failed = well.is_none();
            self.answered.set(self.answered.get() + usize::from(!failed));
            self.calls.borrow_mut().push(Call { well, writes, asked, ended: Instant::now() });
            if failed {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn comment(&self) -> Value {
        let number = self.written.replace(self.written.get() + 1);
        let body = json!({"comment_text": format!("comment {number}"), "is_internal": true});
        json!({"entryId": "post-_api_v1_tickets_id_comments", "path": {"id": self.ticket}, "body": body})
    }

    fn read(&self) -> Value {
        json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": self.ticket}})
    }

    /// Ends when somebody was answered since there were `before` answers.
    async fn serving(&self, before: usize, process: &mut Process) {
        let began = Instant::now();
        while self.answered.get() == before {
            assert!(began.elapsed() < START, "it does not serve:\n{}", process.errors());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The request's id where the call went well.
async fn told(client: &Outbound, url: &str, token: &str, arguments: Value) -> Option<String> {
    let (body, headers) = modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
    let answer = client.send(message(url, Some(token), body.to_string(), &headers)).await.ok()?;
    let body: Value = serde_json::from_slice(answer.body()).ok()?;
    let well = answer.status() == 200 && body["result"]["isError"] == false;
    well.then(|| answer.headers()["x-request-id"].to_str().unwrap().to_owned())
}

fn start(world: &World) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    Process::start(command.arg("serve").arg("--config").arg(&world.config_file))
}

/// Kills one after the other, at moments of no choosing; says when.
async fn kill(world: &World, load: &Load, times: u32) -> Vec<Instant> {
    let mut kills = Vec::new();
    for _ in 0..times {
        let before = load.answered.get();
        let mut process = start(world);
        // Now and then it has hardly begun.
        if rand::rng().random_ratio(4, 5) {
            load.serving(before, &mut process).await;
        }
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..600))).await;
        kills.push(Instant::now());
        // SIGKILL.
        drop(process);
    }
    kills
}

/// The writes that the PSA was sent, whole, by their ids.
fn writes(sent: &[Sent]) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for sent in sent.iter().filter(|sent| sent.method == "POST" && sent.target.ends_with("/comments")) {
        let body: Value = serde_json::from_slice(&sent.body).unwrap();
        let text = body["comment_text"].as_str().unwrap().to_owned();
        let id = sent.header("x-request-id").unwrap().to_owned();
        assert_eq!(all.insert(id, text), None, "sent twice: {sent:?}");
    }
    all
}

/// The comments that the PSA has.
async fn comments(world: &World, ticket: &str) -> HashSet<String> {
    let key = own_key(world, world.psa.technician()).await;
    let (mut all, mut offset) = (HashSet::new(), 0);
    loop {
        let url = format!(
            "{}/api/v1/tickets/{ticket}/comments?limit=200&offset={offset}&content_format=markdown",
            world.psa.url
        );
        let request =
            http::Request::get(url).header("x-api-key", &key).header("x-tenant-id", &world.psa.tenant);
        let answer = world.send(request.body(Bytes::new()).unwrap()).await;
        let page = answer.body["data"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        let texts = page.iter().map(|comment| comment["markdown_content"].as_str().unwrap().to_owned());
        all.extend(texts.filter(|text| text.starts_with("comment ")));
        if page.is_empty() {
            return all;
        }
        offset += page.len();
    }
}

#[allow(clippy::disallowed_methods, reason = "the runner tells the tests, not the program under test")]
fn times() -> u32 {
    let Ok(text) = std::env::var("SIDEGATE_KILLS") else { return 10 };
    text.parse().expect("SIDEGATE_KILLS must be a whole number")
}

/// Runs it all with the store at `store`, or in a file of the world's own.
async fn survive(store: Option<&str>) {
    let mut world = World::of(Plan { tapped: true, store, ..Plan::default() }).await;
    let own = format!("sqlite://{}/sidegate.db", world.folder.path().display());
    let store = store.unwrap_or(&own);
    let load = Load {
        ticket: world.a_ticket("technician").await,
        calls: RefCell::default(),
        answered: Cell::new(0),
        written: Cell::new(0),
        over: Cell::new(false),
    };
    let tokens = (world.token("technician"), world.token("reader"));
    // Only its PSA and its issuer are needed, and they survive.
    world.stop().await;

    let asking = join_all((0..CLIENTS).map(|number| match number % 3 {
        2 => load.ask(&world.mcp_url, &tokens.1, false),
        _ => load.ask(&world.mcp_url, &tokens.0, true),
    }));
    let killing = async {
        let kills = kill(&world, &load, times()).await;
        let before = load.answered.get();
        let mut last = start(&world);
        load.serving(before, &mut last).await;
        load.over.set(true);
        (kills, last)
    };
    let (_, (kills, mut last)) = tokio::join!(asking, killing);
    let open = record::open_after(store, SETTLED).await;
    assert_eq!(open, 0, "intents without an outcome {SETTLED:?} after the last start");
    last.terminate();
    let ended = last.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let kept = record::read(store).await;
    compare(&load, &kills, &kept, &world).await;
}

async fn compare(load: &Load, kills: &[Instant], kept: &Kept, world: &World) {
    let sent = writes(&world.sent());
    for (id, text) in &sent {
        assert_eq!(kept.intents.get(id), Some(&1), "`{text}` ({id}) was sent without an intent");
    }
    let texts: HashSet<&String> = sent.values().collect();
    let done = comments(world, &load.ticket).await;
    assert!(done.iter().all(|text| texts.contains(text)), "the PSA has what it was not sent");
    for id in kept.intents.keys() {
        let outcomes = kept.outcomes.get(id).map_or(0, Vec::len);
        assert_eq!(outcomes, 1, "the intent of {id} has {outcomes} outcomes");
    }
    for (id, outcomes) in &kept.outcomes {
        assert_eq!(outcomes.len(), 1, "{id} ended as {outcomes:?}");
    }
    let calls = load.calls.borrow();
    let (mut writes, mut reads, mut lost) = (0, 0, Vec::new());
    for call in calls.iter() {
        let Some(id) = &call.well else { continue };
        *(if call.writes { &mut writes } else { &mut reads }) += 1;
        match (kept.outcomes.get(id), call.killed(kills)) {
            (Some(outcomes), _) => assert_eq!(outcomes, &["ok"], "{id} was answered"),
            (None, Some(killed)) if !call.writes => lost.push(killed.saturating_duration_since(call.ended)),
            (None, _) => panic!("{id} was answered and is not on record"),
        }
    }
    let oldest = lost.iter().max().copied().unwrap_or_default();
    let slowest = slowest(&calls, kills);
    let unknown = kept.outcomes.values().filter(|outcomes| outcomes[0] == "unknown").count();
    eprintln!(
        "{} kills: {} writes sent, {} done, {writes} answered, {unknown} unknown; {reads} reads answered, {} lost, the \
         oldest {oldest:?} before; the slowest call {slowest:?}; {} records in {} chains",
        kills.len(),
        sent.len(),
        done.len(),
        lost.len(),
        kept.records,
        kept.chains
    );
    assert!(writes > 0 && writes + reads >= kills.len(), "there was hardly any load");
    assert!(oldest <= WRITTEN + slowest, "a read that was answered {oldest:?} before a kill is lost");
    // At most one for each request in flight.
    assert!(unknown <= CLIENTS * kills.len(), "{unknown} outcomes are unknown");
}

#[tokio::test]
async fn what_the_psa_did_is_on_record_in_sqlite_whenever_sidegate_is_killed() {
    survive(None).await;
}

#[tokio::test]
async fn what_the_psa_did_is_on_record_in_postgresql_whenever_sidegate_is_killed() {
    let database = postgres::database("").await;
    survive(Some(&database.url)).await;
}
