//! The record as the store has it, its chains followed link by link.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sidegate::clock::Clock;
use sidegate::record::{Chain, Record};
use sidegate::store::{ChainRow, Store, StoreConfig};

/// Records that are read at once.
const PAGE: u32 = 1000;

/// What is on record of requests, by their ids.
#[derive(Default)]
pub struct Kept {
    /// How many intents.
    pub intents: HashMap<String, usize>,
    pub outcomes: HashMap<String, Vec<String>>,
    pub records: usize,
    pub chains: usize,
}

async fn open(url: &str) -> Store {
    Store::open(&StoreConfig::at(url), Clock::System).await.expect("the store")
}

/// Waits until each intent has an outcome, and says how many have none when `within` is over.
pub async fn open_after(url: &str, within: Duration) -> usize {
    let store = open(url).await;
    let began = Instant::now();
    loop {
        let mut open = 0;
        for chain in store.chains(None).await.expect("the chains") {
            open += store.open_intents(chain.head.chain, 0, PAGE).await.expect("the intents").len();
        }
        if open == 0 || began.elapsed() > within {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All of it, every chain whole.
pub async fn read(url: &str) -> Kept {
    let store = open(url).await;
    let mut kept = Kept::default();
    for chain in store.chains(None).await.expect("the chains") {
        kept.chains += 1;
        for Record { facts, .. } in whole(&store, &chain).await {
            kept.records += 1;
            let id = facts.request_id.clone();
            match (&*facts.kind, id) {
                ("start" | "checkpoint", _) => {}
                ("intent", Some(id)) => *kept.intents.entry(id).or_default() += 1,
                ("call" | "refusal" | "change" | "other", Some(id)) => {
                    let outcome = facts.outcome.as_deref().unwrap_or("none").to_owned();
                    kept.outcomes.entry(id).or_default().push(outcome);
                }
                _ => panic!("what is this? {facts:?}"),
            }
        }
    }
    kept
}

/// A chain's records, whose links are what their texts make them.
async fn whole(store: &Store, chain: &ChainRow) -> Vec<Record> {
    let id = chain.head.chain;
    assert_eq!(chain.first_seq, 0, "nothing of {id} is old");
    let (mut all, mut link) = (Vec::new(), Chain::begin(id).link().0);
    loop {
        let next = i64::try_from(all.len()).expect("a number");
        let page = store.records(id, next, PAGE).await.expect("records");
        if page.is_empty() {
            break;
        }
        for (seq, record) in (next..).zip(page) {
            assert_eq!(record.seq, seq, "a record of {id} is missing");
            let digest = Sha256::digest(record.facts.body.as_bytes());
            assert_eq!(record.digest.0, *digest, "{}: its text is another's", record.id());
            link = Sha256::new().chain_update(link).chain_update(digest).finalize().into();
            assert_eq!(record.link.0, link, "{}: the chain is broken", record.id());
            all.push(record);
        }
    }
    assert_eq!((chain.head.seq + 1, chain.head.link.0), (all.len() as i64, link), "the end of {id}");
    all
}
