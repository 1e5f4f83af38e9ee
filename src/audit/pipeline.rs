//! From the request's path to the record: a queue that takes at once, and one task that writes many together.
//!
//! Records get their places in the order in which they were submitted. What cannot be written waits and is tried again;
//! who waits for one is told of the first failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, oneshot, watch};
use uuid::Uuid;

use super::chains::Chains;
use super::ledger::{FileLedger, Ledger, Nowhere};
use super::sink::file::{FileSink, Rotation};
use super::{AuditConfig, AuditError, Durability, Event};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::record::{Facts, Record, Signer};
use crate::secret::Secret;

mod writer;

use writer::Writer;

/// Records that are worth waking the writer for.
const CROWD: usize = 512;
/// How long closing tries a ledger that fails before it gives up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Commits that who listens may be behind.
const COMMITS: usize = 32;

/// What was committed together.
pub type Committed = Arc<[Arc<Record>]>;

/// The way to the record; clones share it.
#[derive(Clone)]
pub struct Audit(Arc<Shared>);

/// What writes the record; it works while [`Recorder::work`] is polled.
pub struct Recorder(Writer);

struct Shared {
    line: Mutex<Line>,
    wake: Notify,
    /// Records accepted and not yet written, shown as a metric too.
    depth: AtomicUsize,
    metrics: Arc<Metrics>,
    queue: usize,
    durability: Durability,
    flush: Duration,
    signer: Arc<Signer>,
    process: String,
    committed: broadcast::Sender<Committed>,
    /// True when the writer has stopped, however it stopped.
    stopped: watch::Receiver<bool>,
}

/// The records that wait for the writer.
#[derive(Default)]
struct Line {
    items: Vec<Item>,
    /// Who waits for all that was submitted before.
    flushes: Vec<Ack>,
    urgent: bool,
    closing: bool,
    /// Nobody will come for what waits.
    closed: bool,
    /// Since when the oldest record waits that the writer has taken.
    taken: Option<Instant>,
    /// By tenant: records that were left out, because too many waited.
    lost: BTreeMap<String, u64>,
    /// The last attempt to write came to nothing.
    failing: bool,
}

impl Line {
    /// Since when the oldest record waits; what the writer has taken is older than what it will take.
    fn oldest(&self) -> Option<Instant> {
        self.taken.or_else(|| self.items.first().map(|item| item.since))
    }
}

struct Item {
    facts: Facts,
    since: Instant,
    ack: Option<Ack>,
}

type Ack = oneshot::Sender<Result<(), AuditError>>;

impl Audit {
    /// The record in `store`, signed by `signer`.
    #[cfg(feature = "server")]
    pub fn of_store(
        config: &AuditConfig,
        store: crate::store::Store,
        signer: Arc<Signer>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> (Audit, Recorder) {
        let process = Uuid::new_v4().to_string();
        let ledger = super::ledger::RowLedger::new(store, &process);
        Self::new(config, Box::new(ledger), process, signer, metrics, clock)
    }

    /// The record in a file, signed by a key of the moment.
    ///
    /// # Errors
    /// [`AuditError::Open`] where the file cannot be written.
    pub fn of_file(
        path: &std::path::Path,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<(Audit, Recorder), AuditError> {
        let file = FileSink::open(path, Rotation::default()).map_err(|error| {
            AuditError::Open(format!(
                "{} cannot be written ({error}); create its directory and make sure that you may write there",
                path.display()
            ))
        })?;
        let ledger = Box::new(FileLedger::new(file));
        Ok(Self::new(&AuditConfig::default(), ledger, Uuid::new_v4().to_string(), passing()?, metrics, clock))
    }

    /// No record at all, for who has nobody to answer to.
    ///
    /// # Errors
    /// [`AuditError::Open`] where no key can be made.
    pub fn off(metrics: Arc<Metrics>, clock: Clock) -> Result<(Audit, Recorder), AuditError> {
        let config = AuditConfig { durability: Durability::Relaxed, ..AuditConfig::default() };
        Ok(Self::new(&config, Box::new(Nowhere), Uuid::new_v4().to_string(), passing()?, metrics, clock))
    }

    fn new(
        config: &AuditConfig,
        ledger: Box<dyn Ledger>,
        process: String,
        signer: Arc<Signer>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> (Audit, Recorder) {
        metrics.audit_queue_max.set(i64::try_from(config.queue).unwrap_or(i64::MAX));
        let (running, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            line: Mutex::default(),
            wake: Notify::new(),
            depth: AtomicUsize::new(0),
            metrics,
            queue: config.queue,
            durability: config.durability,
            flush: config.flush.0,
            signer: signer.clone(),
            process: process.clone(),
            committed: broadcast::Sender::new(COMMITS),
            stopped,
        });
        let chains = Chains::new(process, signer);
        let checkpoint = config.checkpoint.as_millis();
        let writer = Writer::new(shared.clone(), ledger, chains, clock, checkpoint, running);
        (Self(shared), Recorder(writer))
    }

    /// Hands `event` over and returns at once; it gets its place after all that came before it.
    ///
    /// Usable anywhere, also in `Drop` and outside a runtime.
    pub fn submit(&self, event: Event) {
        self.0.submit(Item { facts: event.into_facts(), since: Instant::now(), ack: None });
    }

    /// Hands `event` over and returns when it is durable. A caller that goes away meanwhile does not take the record
    /// along.
    ///
    /// # Errors
    /// [`AuditError::Write`] as soon as an attempt fails: the record may come later, and is tried again.
    /// [`AuditError::Closed`] after [`Audit::close`].
    pub async fn submit_durable(&self, event: Event) -> Result<(), AuditError> {
        self.submit_facts(event.into_facts()).await
    }

    /// [`Audit::submit_durable`] of facts, which need not be a request's.
    pub(super) async fn submit_facts(&self, facts: Facts) -> Result<(), AuditError> {
        let since = Instant::now();
        let (ack, answer) = oneshot::channel();
        self.0.submit(Item { facts, since, ack: Some(ack) });
        let answer = self.answer(answer).await;
        self.0.metrics.audit_wait_seconds.observe(since.elapsed().as_secs_f64());
        answer
    }

    async fn answer(&self, mut answer: oneshot::Receiver<Result<(), AuditError>>) -> Result<(), AuditError> {
        let mut stopped = self.0.stopped.clone();
        tokio::select! {
            biased;
            answered = &mut answer => answered.unwrap_or(Err(AuditError::Closed)),
            // Only a writer that died leaves a record unanswered; nobody may wait for it for ever.
            _ = stopped.wait_for(|stopped| *stopped) => answer.try_recv().unwrap_or(Err(AuditError::Closed)),
        }
    }

    /// Returns when all that was submitted before is durable.
    ///
    /// # Errors
    /// As [`Audit::submit_durable`].
    pub async fn flush(&self) -> Result<(), AuditError> {
        let (ack, answer) = oneshot::channel();
        {
            let mut line = self.0.line.lock();
            if line.closed {
                return Err(AuditError::Closed);
            }
            line.flushes.push(ack);
            line.urgent = true;
        }
        self.0.wake.notify_one();
        self.answer(answer).await
    }

    /// How long records of which nobody waits may wait for company.
    pub fn flush_interval(&self) -> Duration {
        self.0.flush
    }

    /// What must be on the disk before it is answered.
    pub fn durability(&self) -> Durability {
        self.0.durability
    }

    /// Who signs.
    pub fn signer(&self) -> &Arc<Signer> {
        &self.0.signer
    }

    /// The UUID by which the record knows this process.
    pub fn process(&self) -> &str {
        &self.0.process
    }

    /// What is committed from now on.
    pub fn committed(&self) -> broadcast::Receiver<Committed> {
        self.0.committed.subscribe()
    }

    /// Records accepted and not yet written.
    pub fn depth(&self) -> usize {
        self.0.depth.load(Ordering::Relaxed)
    }

    /// Shows how long the oldest record has been waiting.
    pub fn observe(&self) {
        let since = self.0.line.lock().oldest();
        let age = since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        self.0.metrics.audit_oldest.set(age);
    }

    /// True where the oldest record has waited for longer than it should: another may not be answered before it is
    /// durable, or what a crash can take would grow. What cannot be written at all delays nobody.
    pub fn is_behind(&self) -> bool {
        let line = self.0.line.lock();
        !line.failing && line.oldest().is_some_and(|since| since.elapsed() > self.0.flush * 2)
    }

    /// False while as many records wait as the configuration allows: no new request should begin.
    pub fn has_room(&self) -> bool {
        self.0.durability == Durability::Relaxed || self.depth() < self.0.queue
    }

    /// Writes all that was submitted, signs for it and stops the writer; a second call waits for the first.
    ///
    /// A ledger that keeps failing is given up after 5 s; the log then says how many records are lost.
    pub async fn close(&self) {
        self.0.line.lock().closing = true;
        self.0.wake.notify_one();
        self.ended().await;
    }

    /// Returns when nothing is written any more.
    pub async fn ended(&self) {
        let mut stopped = self.0.stopped.clone();
        // An error is a writer that is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

impl Recorder {
    /// Writes the record until [`Audit::close`].
    pub async fn work(self) {
        self.0.work().await;
    }
}

/// A key that nobody will know again.
fn passing() -> Result<Arc<Signer>, AuditError> {
    use base64::Engine as _;
    let seed: [u8; 32] = rand::random();
    let seed = Secret::new(base64::engine::general_purpose::STANDARD.encode(seed));
    Signer::new(&seed).map(Arc::new).map_err(AuditError::Open)
}

impl Shared {
    fn submit(&self, item: Item) {
        let mut line = self.line.lock();
        if line.closed {
            drop(line);
            tracing::error!(tenant = item.facts.tenant, "an audit record came after the end and is lost");
            if let Some(ack) = item.ack {
                // Without its receiver there is nobody to tell.
                let _ = ack.send(Err(AuditError::Closed));
            }
            return;
        }
        let full = self.depth.load(Ordering::Relaxed) >= self.queue;
        if full && self.durability == Durability::Relaxed && item.ack.is_none() {
            *line.lost.entry(item.facts.tenant).or_default() += 1;
            drop(line);
            self.metrics.audit_lost.inc();
            return;
        }
        self.depth.fetch_add(1, Ordering::Relaxed);
        self.metrics.audit_queue.inc();
        let first = line.items.is_empty();
        let urgent = item.ack.is_some();
        line.items.push(item);
        line.urgent |= urgent;
        if first || urgent || line.items.len() == CROWD {
            drop(line);
            self.wake.notify_one();
        }
    }

    fn less(&self, records: usize) {
        self.depth.fetch_sub(records, Ordering::Relaxed);
        self.metrics.audit_queue.sub(i64::try_from(records).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
