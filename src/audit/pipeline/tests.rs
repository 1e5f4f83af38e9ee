//! The queue and the writer over a ledger in memory that fails as it is told.

use std::collections::HashSet;

use async_trait::async_trait;

use super::*;
use crate::audit::EventBuilder;
use crate::audit::chains::Plan;
use crate::audit::ledger::{Unwritten, Written};
use crate::clock::Millis;
use crate::record::{Chain, ChainId, Digest, Head};

fn event(id: impl Into<String>) -> Event {
    of("acme", id)
}

fn of(tenant: &str, id: impl Into<String>) -> Event {
    let mut event = EventBuilder::new(id, 0, Arc::default());
    event.tenant(tenant);
    event.finish("ok", Duration::ZERO)
}

/// What a ledger in memory holds, and how it behaves.
#[derive(Default)]
struct State {
    records: Vec<Arc<Record>>,
    commits: Vec<usize>,
    /// So many attempts fail; of them as many come through all the same.
    failures: usize,
    through: usize,
    /// The next attempt finds its chains in other hands.
    taken_over: bool,
    heads: Vec<Head>,
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<State>>);

#[async_trait]
impl Ledger for Memory {
    async fn heads(&mut self, _: &str, _: Millis, _: u32) -> Result<Vec<Head>, Unwritten> {
        Ok(self.0.lock().heads.clone())
    }

    async fn commit(&mut self, plan: &Plan) -> Result<Written, Unwritten> {
        let mut state = self.0.lock();
        let last = plan.records.last();
        if state.records.last().is_some_and(|record| Some(record) == last) {
            return Ok(Written::Done);
        }
        if std::mem::take(&mut state.taken_over) {
            return Ok(Written::Lost(plan.advances.iter().map(|(_, advance)| advance.to.chain).collect()));
        }
        if state.failures > 0 {
            state.failures -= 1;
            if state.through == 0 {
                return Err(Unwritten("no room".to_owned()));
            }
            state.through -= 1;
            state.records.extend(plan.records.iter().cloned());
            return Err(Unwritten("nobody knows".to_owned()));
        }
        state.commits.push(plan.records.len());
        state.records.extend(plan.records.iter().cloned());
        Ok(Written::Done)
    }
}

impl Memory {
    fn audit(&self, config: &AuditConfig, clock: Clock) -> Audit {
        let signer = passing().unwrap();
        let metrics = Arc::new(Metrics::new());
        let (audit, recorder) =
            Audit::new(config, Box::new(self.clone()), "process".to_owned(), signer, metrics, clock);
        tokio::spawn(recorder.work());
        audit
    }

    fn ids(&self) -> Vec<String> {
        let state = self.0.lock();
        let asked = state.records.iter().filter(|record| !record.facts.is_own());
        asked.map(|record| record.facts.request_id.clone().unwrap_or_default()).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.0.lock().records.iter().map(|record| record.facts.kind.to_string()).collect()
    }

    /// Each chain from its first record on, link by link.
    fn is_whole(&self) -> bool {
        let state = self.0.lock();
        let mut chains: Vec<Chain> = Vec::new();
        state.records.iter().all(|record| {
            let at = chains.iter().position(|chain| chain.id() == record.chain).unwrap_or_else(|| {
                chains.push(Chain::begin(record.chain));
                chains.len() - 1
            });
            let chain = &mut chains[at];
            chain.next() == record.seq
                && Digest::of(&record.facts.body) == record.digest
                && chain.follow(record.digest) == record.link
        })
    }
}

fn config() -> AuditConfig {
    AuditConfig { queue: 100, ..AuditConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_written_together_after_the_flush_interval() {
    let (memory, clock) = (Memory::default(), Clock::manual(0));
    let audit = memory.audit(&config(), clock);
    for number in 0..5 {
        audit.submit(event(number.to_string()));
    }
    tokio::time::sleep(Duration::from_millis(90)).await;
    assert_eq!((memory.ids().len(), audit.depth()), (0, 5));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(memory.ids(), ["0", "1", "2", "3", "4"]);
    assert_eq!((memory.0.lock().commits.clone(), audit.depth()), (vec![6], 0));
    assert!(memory.is_whole());
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_when_all_before_is_written() {
    let memory = Memory::default();
    let audit = memory.audit(&config(), Clock::manual(0));
    audit.submit(event("before"));
    audit.submit_durable(event("now")).await.unwrap();
    assert_eq!(memory.ids(), ["before", "now"]);
    audit.submit(event("after"));
    audit.flush().await.unwrap();
    assert_eq!(memory.ids().len(), 3);
    audit.flush().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_who_waits_and_nothing_is_lost_or_written_twice() {
    let memory = Memory::default();
    let audit = memory.audit(&config(), Clock::manual(0));
    memory.0.lock().failures = 3;
    audit.submit(event("one"));
    let refused = audit.submit_durable(event("two")).await;
    assert_eq!(refused, Err(AuditError::Write("no room".to_owned())));
    assert!(audit.submit_durable(event("three")).await.is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(memory.ids(), ["one", "two", "three"]);
    assert_eq!(audit.depth(), 0);
    // An attempt that seems to fail and does not.
    {
        let mut state = memory.0.lock();
        (state.failures, state.through) = (1, 1);
    }
    assert!(audit.submit_durable(event("four")).await.is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    audit.submit_durable(event("five")).await.unwrap();
    assert_eq!(memory.ids(), ["one", "two", "three", "four", "five"]);
    assert!(memory.is_whole());
}

#[tokio::test(start_paused = true)]
async fn a_chain_in_other_hands_is_left_and_the_records_begin_a_new_one() {
    let memory = Memory::default();
    let audit = memory.audit(&config(), Clock::manual(0));
    audit.submit_durable(event("one")).await.unwrap();
    memory.0.lock().taken_over = true;
    audit.submit_durable(event("two")).await.unwrap();
    assert_eq!(memory.ids(), ["one", "two"]);
    let chains: HashSet<ChainId> = memory.0.lock().records.iter().map(|record| record.chain).collect();
    assert_eq!((chains.len(), memory.is_whole()), (2, true));
}

#[tokio::test(start_paused = true)]
async fn each_tenant_has_a_chain_that_is_signed_when_it_is_due_and_at_the_end() {
    let (memory, clock) = (Memory::default(), Clock::manual(0));
    memory.0.lock().heads = vec![Head { chain: ChainId(5), seq: 9, link: Digest::of("x") }];
    let audit = memory.audit(&config(), clock.clone());
    audit.submit(of("acme", "1"));
    audit.submit(of("other", "2"));
    audit.submit(of("acme", "3"));
    audit.flush().await.unwrap();
    assert_eq!(memory.kinds(), ["start", "start", "other", "other", "other"]);
    clock.advance(60_000);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(memory.kinds().iter().filter(|kind| *kind == "checkpoint").count(), 2);
    // Nothing went on, so nothing is signed.
    clock.advance(600_000);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(memory.0.lock().records.len(), 7);
    audit.submit(of("other", "4"));
    audit.close().await;
    let kinds = memory.kinds();
    assert_eq!(kinds[7..], ["other", "checkpoint", "checkpoint"], "{kinds:?}");
    assert!(memory.is_whole());
    let state = memory.0.lock();
    let said: serde_json::Value = serde_json::from_str(&state.records[9].facts.body).unwrap();
    assert_eq!((said["last"].as_bool(), said["heads"][0]["seq"].as_i64()), (Some(true), Some(9)));
}

#[tokio::test(start_paused = true)]
async fn with_relaxed_durability_what_has_no_room_is_counted_on_record() {
    let memory = Memory::default();
    let relaxed = AuditConfig { queue: 2, durability: Durability::Relaxed, ..config() };
    let audit = memory.audit(&relaxed, Clock::manual(0));
    for number in 0..5 {
        assert!(audit.has_room());
        audit.submit(event(number.to_string()));
    }
    audit.submit_durable(event("write")).await.unwrap();
    assert_eq!(memory.ids(), ["0", "1", "write", ""]);
    let lost = memory.0.lock().records.last().map(|record| record.facts.body.clone()).unwrap();
    assert!(lost.contains(r#""count":3,"record":"lost""#), "{lost}");
    let strict = memory.audit(&AuditConfig { queue: 2, ..config() }, Clock::manual(0));
    strict.submit(event("a"));
    assert!(strict.has_room());
    strict.submit(event("b"));
    assert!(!strict.has_room());
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_is_left_and_what_comes_later_is_told_so() {
    let memory = Memory::default();
    let audit = memory.audit(&config(), Clock::manual(0));
    for number in 0..3_000 {
        audit.submit(event(number.to_string()));
    }
    audit.close().await;
    audit.close().await;
    assert_eq!((memory.ids().len(), memory.is_whole()), (3_000, true));
    audit.submit(event("late"));
    assert_eq!(audit.submit_durable(event("late")).await, Err(AuditError::Closed));
    assert_eq!(audit.flush().await, Err(AuditError::Closed));
    assert_eq!(memory.ids().len(), 3_000);
}

#[tokio::test(start_paused = true)]
async fn closing_over_a_ledger_that_fails_gives_up_in_the_end() {
    let memory = Memory::default();
    memory.0.lock().failures = usize::MAX;
    let audit = memory.audit(&config(), Clock::manual(0));
    audit.submit(event("one"));
    tokio::time::resume();
    tokio::time::timeout(PATIENCE * 2, audit.close()).await.unwrap();
    assert_eq!(audit.depth(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_submitter_that_goes_away_leaves_its_record() {
    let memory = Memory::default();
    let audit = memory.audit(&config(), Clock::manual(0));
    let durable = audit.submit_durable(event("gone"));
    tokio::select! {
        biased;
        _ = durable => unreachable!("nothing was written yet"),
        () = std::future::ready(()) => {}
    }
    audit.flush().await.unwrap();
    assert_eq!(memory.ids(), ["gone"]);
}

#[tokio::test]
async fn the_connectors_file_is_a_chain_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (audit, recorder) = Audit::of_file(&path, Arc::new(Metrics::new()), Clock::manual(0)).unwrap();
    tokio::spawn(recorder.work());
    audit.submit_durable(event("one")).await.unwrap();
    audit.close().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["record"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "event", "checkpoint"]);
    assert_eq!((&lines[1]["request_id"], &lines[1]["chain"]["seq"]), (&"one".into(), &1.into()));
    let nowhere = Audit::of_file(&folder.path().join("no/a"), Arc::new(Metrics::new()), Clock::manual(0));
    assert!(nowhere.err().unwrap().to_string().contains("no/a"));
}

#[test]
fn it_is_behind_while_the_oldest_record_waits_for_too_long_and_could_be_written() {
    let flush = crate::units::Span(Duration::from_millis(5));
    let config = AuditConfig { flush, ..config() };
    let ledger = Box::new(Memory::default());
    let (audit, _recorder) = Audit::new(
        &config,
        ledger,
        "process".to_owned(),
        passing().unwrap(),
        Arc::new(Metrics::new()),
        Clock::manual(0),
    );
    assert!(!audit.is_behind());
    audit.submit(event("waits"));
    audit.0.line.lock().items[0].since -= Duration::from_millis(11);
    assert!(audit.is_behind());
    audit.0.line.lock().failing = true;
    assert!(!audit.is_behind());
}
