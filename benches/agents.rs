//! What it costs to know a caller among 10, 1,000 and 100,000 agents, and to learn of one that was switched off: the
//! first must not grow with their number.
//!
//! `cargo bench --bench agents` prints microseconds and how they grow, in one run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sidegate::clock::Clock;
use sidegate::gate::{Authenticator, Bearer, Defaults, Pulse, Roster};
use sidegate::identity::metadata::Resource;
use sidegate::identity::preset::Hosted;
use sidegate::idp::{self, IdpConfig};
use sidegate::metrics::Metrics;
use sidegate::secret::Secret;
use sidegate::store::{IssuerRow, NewAgent, Store, StoreConfig};
use sidegate::tool::effect::Effect;

#[path = "../tests/it/support/issuer.rs"]
#[allow(dead_code)]
mod issuer;

const CROWDS: [usize; 3] = [10, 1_000, 100_000];
const TOKENS: usize = 10;
const ROUNDS: usize = 2_000;

struct Measured {
    /// A token that was seen before: the cache, and the binding.
    known: Duration,
    /// A token that was never seen: its signature as well.
    new: Duration,
    /// From a switch in the store to the first refusal.
    switched: Duration,
}

fn each(begun: Instant, count: usize) -> Duration {
    begun.elapsed() / u32::try_from(count).unwrap_or(u32::MAX)
}

async fn measure(agents: usize) -> Measured {
    let issuer = issuer::Issuer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/sidegate.db", folder.path().display());
    let store = Store::open(&StoreConfig::at(url), Clock::System).await.expect("a store");
    store.ensure_tenant("main", "").await.expect("a tenant");
    let row = IssuerRow { issuer: issuer.url.clone(), ..IssuerRow::default() };
    let agent = |number: usize| {
        let new = NewAgent {
            name: format!("agent {number}"),
            issuer: issuer.url.clone(),
            subject: format!("subject-{number}"),
            ..NewAgent::default()
        };
        (format!("00000000-0000-4000-8000-{number:012}"), new)
    };
    let crowd: Vec<_> = (0..agents).map(agent).collect();
    store.take_over("main", &[row], &crowd).await.expect("agents");
    let pulse = Pulse::open(store.clone()).await.expect("a pulse");
    let defaults = Defaults { max_effect: Effect::Read, hosted: Hosted::default() };
    let roster = Roster::open(pulse.clone(), store.clone(), "main", defaults).await.expect("a roster");
    tokio::spawn(pulse.follow());
    tokio::spawn(roster.clone().follow());
    let metrics = Arc::new(Metrics::new());
    let config = IdpConfig {
        allow_private_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ..IdpConfig::default()
    };
    let idp = idp::open(&config, Default::default(), metrics.clone(), Clock::System).expect("a door");
    let authenticator = Authenticator::new(idp, roster, Clock::System, metrics);
    let resource = Resource::new("https://gate.example", "/api/mcp");
    let bearer = |number: usize, id: usize| {
        let subject = format!("subject-{}", number % agents);
        Bearer::Token(Secret::new(issuer.token(
            &subject,
            resource.identifier(),
            json!({"jti": id.to_string()}),
        )))
    };
    // Spread over the whole crowd.
    let tokens: Vec<_> = (0..TOKENS).map(|number| bearer(number * agents / TOKENS, 0)).collect();
    for token in &tokens {
        assert!(authenticator.authenticate(token, None, &resource).await.is_ok(), "it must be let in");
    }
    let begun = Instant::now();
    for round in 0..ROUNDS {
        let token = &tokens[round % TOKENS];
        assert!(authenticator.authenticate(token, None, &resource).await.is_ok());
    }
    let known = each(begun, ROUNDS);
    let fresh: Vec<_> = (1..=ROUNDS / 4).map(|id| bearer(id * 7919, id)).collect();
    let begun = Instant::now();
    for token in &fresh {
        assert!(authenticator.authenticate(token, None, &resource).await.is_ok());
    }
    let new = each(begun, fresh.len());
    store.switch_agent("main", "agent 0", false).await.expect("switched");
    let begun = Instant::now();
    while authenticator.authenticate(&tokens[0], None, &resource).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Measured { known, new, switched: begun.elapsed() }
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("the first to install one");
    let mut measured = Vec::new();
    for agents in CROWDS {
        measured.push((agents, measure(agents).await));
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{:>8} {:>16} {:>16} {:>22}",
        "agents", "known token us", "new token us", "switched off after ms"
    );
    for (agents, measured) in &measured {
        println!(
            "{agents:>8} {:>16.2} {:>16.2} {:>22.1}",
            micros(measured.known),
            micros(measured.new),
            micros(measured.switched) / 1e3
        );
    }
    if let [(_, few), .., (_, many)] = measured.as_slice() {
        let ratio = |of: fn(&Measured) -> Duration| of(many).as_secs_f64() / of(few).as_secs_f64();
        println!("100,000 of 10:   known {:.2}, new {:.2}", ratio(|m| m.known), ratio(|m| m.new));
    }
}
