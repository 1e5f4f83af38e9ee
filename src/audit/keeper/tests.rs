//! What the keeper does to a real store: retention, and what a process left behind that ended.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;
use crate::audit::{EventBuilder, Verdict};
use crate::record::{Chain, Filter, Signer};
use crate::secret::Secret;
use crate::store::StoreConfig;
use crate::units::{Size, Span};

struct House {
    store: Store,
    clock: Clock,
    // The database goes with it.
    _folder: TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::at(format!("sqlite://{}/sidegate.db", folder.path().display()));
        let clock = Clock::manual(1_000_000);
        Self { store: Store::open(&config, clock.clone()).await.unwrap(), clock, _folder: folder }
    }

    /// A process that writes its record here.
    fn process(&self, config: &AuditConfig) -> (Audit, Keeper) {
        let signer = Arc::new(Signer::new(&Secret::new(STANDARD.encode([7; 32]))).unwrap());
        let metrics = Arc::new(Metrics::new());
        let (audit, recorder) =
            Audit::of_store(config, self.store.clone(), signer, metrics.clone(), self.clock.clone());
        tokio::spawn(recorder.work());
        let (keeper, carriers) =
            Keeper::open(config, &[], self.store.clone(), audit.clone(), &metrics, self.clock.clone())
                .unwrap();
        assert!(carriers.is_empty());
        (audit, keeper)
    }

    fn event(&self, id: &str) -> EventBuilder {
        let mut event = EventBuilder::new(id, self.clock.now(), Arc::default());
        event.tenant("acme");
        event.ask("tools/call", Some("call_api_endpoint"));
        event.decision(Verdict::Allow, None);
        event
    }

    async fn records(&self) -> Vec<Record> {
        let mut all = Vec::new();
        for chain in self.store.chains(None).await.unwrap() {
            all.extend(self.store.records(chain.head.chain, 0, 10_000).await.unwrap());
        }
        all
    }
}

/// Waits until the chain has been signed up to its end.
async fn signed(house: &House) {
    let unsigned = async || {
        let records = house.records().await;
        records.last().is_none_or(|record| record.facts.kind != "checkpoint")
    };
    while unsigned().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn config() -> AuditConfig {
    AuditConfig { flush: Span::millis(1), checkpoint: Span::seconds(1), ..AuditConfig::default() }
}

#[tokio::test]
async fn what_is_too_old_goes_up_to_a_checkpoint_that_stands_for_it() {
    let house = House::new().await;
    let config = AuditConfig { keep: Span::seconds(100), ..config() };
    let (audit, keeper) = house.process(&config);
    for id in ["old", "new"] {
        audit.submit_durable(house.event(id).finish("ok", Duration::ZERO)).await.unwrap();
        house.clock.advance(2_000);
        // The clock is ours and the writer's alarm is not: something must come for it to look.
        audit.flush().await.unwrap();
        signed(&house).await;
        house.clock.advance(40_000);
    }
    keeper.prune().await.unwrap();
    assert_eq!(house.records().await.len(), 5, "a start, two events and what signs for each");
    house.clock.advance(60_000);
    keeper.prune().await.unwrap();
    let left = house.records().await;
    let kinds: Vec<_> = left.iter().map(|record| &*record.facts.kind).collect();
    assert_eq!(kinds, ["checkpoint", "call", "checkpoint"]);
    // The checkpoint says from which link the chain goes on.
    let said: Value = serde_json::from_str(&left[0].facts.body).unwrap();
    let before = crate::record::Head {
        chain: left[0].chain,
        seq: left[0].seq - 1,
        link: said["link"].as_str().unwrap().parse().unwrap(),
    };
    let mut chain = Chain::resume(before);
    assert!(left.iter().all(|record| chain.append(record.facts.clone()) == *record));
    audit.close().await;
}

#[tokio::test]
async fn what_is_too_much_goes_the_oldest_first() {
    let house = House::new().await;
    let (audit, keeper) = house.process(&AuditConfig { keep_size: Size(2_500), ..config() });
    for id in 0..8 {
        audit.submit_durable(house.event(&id.to_string()).finish("ok", Duration::ZERO)).await.unwrap();
        house.clock.advance(2_000);
        audit.flush().await.unwrap();
        signed(&house).await;
    }
    keeper.prune().await.unwrap();
    let left = house.records().await;
    let bytes: usize = left.iter().map(|record| record.facts.body.len()).sum();
    assert!(bytes <= 2_500 && left.len() >= 2, "{bytes} bytes in {} records", left.len());
    assert_eq!(left.first().unwrap().facts.kind, "checkpoint");
    let newest = house.store.find_records("acme", &Filter::default(), None, 0, 1).await.unwrap();
    assert_eq!(newest[0].facts.request_id.as_deref(), Some("7"));
    let counted: i64 = house.store.chains(None).await.unwrap().iter().map(|chain| chain.bytes).sum();
    assert_eq!(counted, bytes as i64);
    audit.close().await;
}

#[tokio::test]
async fn the_open_intents_of_a_process_that_ended_get_an_outcome_once() {
    let house = House::new().await;
    let (dead, _) = house.process(&config());
    for id in ["done", "cut"] {
        dead.submit_durable(house.event(id).intent()).await.unwrap();
    }
    dead.submit_durable(house.event("done").finish("ok", Duration::ZERO)).await.unwrap();
    let (alive, keeper) = house.process(&config());
    keeper.look().await.unwrap();
    let unknown = Filter { outcome: Some("unknown".to_owned()), ..Filter::default() };
    let find = async || house.store.find_records("acme", &unknown, None, 0, 9).await.unwrap();
    assert_eq!(find().await, [], "it may live");
    house.clock.advance(SILENCE + 1);
    for _ in 0..2 {
        keeper.look().await.unwrap();
        let found = find().await;
        assert_eq!(found.len(), 1);
        let facts = &found[0].facts;
        assert_eq!((facts.request_id.as_deref(), &*facts.kind), (Some("cut"), "call"));
        let body: Value = serde_json::from_str(&facts.body).unwrap();
        assert_eq!((&body["record"], &body["reason"]), (&"event".into(), &"process_ended".into()));
        assert_eq!(canonical(&body).unwrap(), facts.body);
    }
    assert_eq!(
        house.store.owned_chains(alive.process()).await.unwrap().len(),
        1,
        "its own alone is not settled"
    );
    // The one that was given up begins anew, should it live after all.
    dead.submit_durable(house.event("later").finish("ok", Duration::ZERO)).await.unwrap();
    assert_eq!(house.store.chains(None).await.unwrap().len(), 3);
    dead.close().await;
    alive.close().await;
}
