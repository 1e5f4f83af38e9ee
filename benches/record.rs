//! What the record costs: events a second and CPU an event with each durability, how long a call waits until its event
//! is durable, and what an export of everything takes.
//!
//! `cargo bench --bench record -- [EVENTS] [postgres://…]` prints all of it in one run, for SQLite and for the PostgreSQL
//! database that is named (its tables are made, and filled); 200000 events unless it is told otherwise, of which the
//! export has all.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sidegate::audit::{Audit, AuditConfig, CallerFacts, Durability, Event, EventBuilder, Phase, Verdict};
use sidegate::clock::Clock;
use sidegate::metrics::Metrics;
use sidegate::record::Signer;
use sidegate::secret::Secret;
use sidegate::store::{Store, StoreConfig};

// As the program has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Calls that wait at the same time.
const CROWD: usize = 256;

/// An event as a read leaves it, about 900 bytes of JSON.
fn event(number: usize, rules: &Arc<sidegate::audit::Rules>) -> Event {
    let now = Clock::System.now();
    let mut event = EventBuilder::new(format!("0198f3a2-0000-7000-8000-{number:012}"), now, rules.clone());
    event.caller(CallerFacts {
        tenant: "main",
        agent_id: "8f1c2d3e-0000-4000-8000-123456789abc",
        agent: "triage",
        issuer: "https://login.example.com/realms/msp",
        subject: "triage-bot",
        token_id: Some("6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11"),
        person: None,
        oauth_client: Some("triage-bot"),
    });
    event.client_address("192.0.2.7".parse().expect("an address"));
    event.client(Some("bench"), Some("1.0"));
    event.revision("bench");
    event.ask("tools/call", Some("call_api_endpoint"));
    event.arguments(&json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 4, "page": number}}));
    event.bound("get-_api_v1_tickets", "GET", "/api/v1/tickets?limit=4", "read");
    event.decision(Verdict::Allow, Some("max_effect"));
    event.upstream(200);
    event.request_bytes(312);
    event.response_bytes(1_544);
    event.phase(Phase::Upstream, Duration::from_micros(812));
    event.finish("ok", Duration::from_micros(1_020))
}

/// User and system time of this process, and of its threads that ended.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

struct Measured {
    a_second: f64,
    cpu_us: f64,
    waits: Vec<Duration>,
}

/// Records `events` events: from one submitter that waits only where there is no room, or, with `all`, from many that
/// wait for each of theirs.
async fn measure(config: &StoreConfig, durability: Durability, events: usize) -> Measured {
    let store = Store::open(config, Clock::System).await.expect("a store");
    let seed = Secret::new(STANDARD.encode([7; 32]));
    let signer = Arc::new(Signer::new(&seed).expect("a key"));
    let settings = AuditConfig { durability, ..AuditConfig::default() };
    let (audit, recorder) =
        Audit::of_store(&settings, store.clone(), signer, Arc::new(Metrics::new()), Clock::System);
    tokio::spawn(recorder.work());
    let rules = Arc::default();
    audit.submit_durable(event(0, &rules)).await.expect("written");
    let (begun, used) = (Instant::now(), cpu());
    let mut waits = Vec::new();
    if durability == Durability::All {
        let each = |lane: usize| {
            let (audit, rules) = (audit.clone(), rules.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                for number in (lane..events).step_by(CROWD) {
                    let begun = Instant::now();
                    audit.submit_durable(event(number, &rules)).await.expect("written");
                    waits.push(begun.elapsed());
                }
                waits
            })
        };
        for lane in (0..CROWD).map(each).collect::<Vec<_>>() {
            waits.extend(lane.await.expect("it ends"));
        }
    } else {
        for number in 0..events {
            while audit.depth() >= settings.queue {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            audit.submit(event(number, &rules));
        }
        audit.flush().await.expect("written");
    }
    let (took, used) = (begun.elapsed(), cpu() - used);
    audit.close().await;
    store.close().await;
    waits.sort_unstable();
    let each = |time: Duration| time.as_secs_f64() / events as f64;
    Measured { a_second: 1.0 / each(took), cpu_us: each(used) * 1e6, waits }
}

/// What making the events costs, without writing them.
fn made(events: usize) -> f64 {
    let rules = Arc::default();
    let used = cpu();
    for number in 0..events {
        std::hint::black_box(event(number, &rules));
    }
    (cpu() - used).as_secs_f64() * 1e6 / events as f64
}

/// How long one call alone waits for its event.
async fn alone(config: &StoreConfig) -> Vec<Duration> {
    let store = Store::open(config, Clock::System).await.expect("a store");
    let signer = Arc::new(Signer::new(&Secret::new(STANDARD.encode([7; 32]))).expect("a key"));
    let settings = AuditConfig::default();
    let (audit, recorder) =
        Audit::of_store(&settings, store.clone(), signer, Arc::new(Metrics::new()), Clock::System);
    tokio::spawn(recorder.work());
    let rules = Arc::default();
    let mut waits = Vec::new();
    for number in 0..300 {
        let begun = Instant::now();
        audit.submit_durable(event(number, &rules)).await.expect("written");
        waits.push(begun.elapsed());
    }
    audit.close().await;
    store.close().await;
    waits.sort_unstable();
    waits
}

fn quantile(sorted: &[Duration], share: f64) -> String {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or("-".to_owned(), |time| format!("{:.2}", time.as_secs_f64() * 1e3))
}

/// Seconds and the largest resident size in MiB that the export of everything takes, as the command does it.
fn export(folder: &Path, config: &StoreConfig) -> (f64, u64, u64) {
    let file = folder.join("sidegate.toml");
    let key = folder.join("agent.key");
    std::fs::write(&key, "a-key-that-nothing-here-uses-0123456789\n").expect("written");
    let text = format!(
        "[store]\nurl = \"{}\"\n[tenant]\nid = \"main\"\n[psa]\nurl = \"https://psa.example.com\"\nkeys = \"static\"\n\
         catalog_key = \"k\"\ntenant = \"6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11\"\nstatic_keys = {{ agent = {key:?} }}\n",
        config.url.expose()
    );
    std::fs::write(&file, text).expect("written");
    let output = folder.join("export.ndjson");
    let begun = Instant::now();
    let mut exporting = Command::new(env!("CARGO_BIN_EXE_sidegate"))
        .args(["audit", "export", "--output"])
        .arg(&output)
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let mut peak = 0;
    let status = loop {
        if let Some(status) = exporting.try_wait().expect("asked") {
            break status;
        }
        let said = std::fs::read_to_string(format!("/proc/{}/status", exporting.id())).unwrap_or_default();
        let line = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = size.unwrap_or_default().max(peak);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "the export failed");
    let size = std::fs::metadata(&output).expect("there").len();
    (begun.elapsed().as_secs_f64(), peak >> 10, size >> 20)
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("the first to install one");
    let events = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = |name: &str| StoreConfig::at(format!("sqlite://{}/{name}.db", folder.path().display()));
    println!("{events} events each; making one costs {:.1} us, which is part of what follows", made(events));
    println!(
        "{:>10} {:>10} {:>10} {:>12} {:>14} {:>14}",
        "store", "durability", "events/s", "CPU us/event", "wait p50 ms", "wait p99 ms"
    );
    let postgres = std::env::args().find(|argument| argument.starts_with("postgres")).map(StoreConfig::at);
    for durability in [Durability::Relaxed, Durability::Writes, Durability::All] {
        let name = format!("{durability:?}").to_lowercase();
        let places = [Some(("sqlite", sqlite(&name))), postgres.clone().map(|config| ("postgres", config))];
        for (store, config) in places.into_iter().flatten() {
            let measured = measure(&config, durability, events).await;
            println!(
                "{store:>10} {name:>10} {:>10.0} {:>12.1} {:>14} {:>14}",
                measured.a_second,
                measured.cpu_us,
                quantile(&measured.waits, 0.5),
                quantile(&measured.waits, 0.99)
            );
        }
    }
    for (store, config) in
        [Some(("sqlite", sqlite("alone"))), postgres.map(|config| ("postgres", config))].into_iter().flatten()
    {
        let waits = alone(&config).await;
        println!(
            "{store}: a call alone waits {} ms (p50), {} ms (p99)",
            quantile(&waits, 0.5),
            quantile(&waits, 0.99)
        );
    }
    let (seconds, peak, size) = export(folder.path(), &sqlite("writes"));
    println!(
        "export of {events} events from sqlite: {seconds:.1} s, {size} MiB, {peak} MiB of memory at the most"
    );
}
