//! Carries the record to one sink, which has a place of its own in every chain: one that is slow or away loses nothing
//! and holds up nobody.
//!
//! What was just committed comes from memory; where the sink is behind, the store is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::AuditError;
use super::pipeline::{Audit, Committed};
use super::sink::{self, Sink, SinkConfig, Undelivered};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::record::{ChainId, Head, Record};
use crate::store::{Store, StoreError};

/// Records that are read from the store and handed over at once.
const BATCH: u32 = 500;
/// How often the sink's places are noted in the store: what was delivered since comes twice after a crash.
const NOTE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What carries the record to one sink.
pub struct Carrier {
    name: String,
    sink: Box<dyn Sink>,
    store: Store,
    audit: Audit,
    committed: broadcast::Receiver<Committed>,
    heads: mpsc::UnboundedReceiver<Head>,
    places: HashMap<ChainId, Place>,
    metrics: Arc<Metrics>,
    clock: Clock,
    pause: Option<Duration>,
}

/// Where the sink is in one chain.
struct Place {
    /// The last record that it has.
    sent: i64,
    /// The last that there is, as far as is known.
    known: i64,
    /// What the store knows of `sent`.
    noted: i64,
}

/// By which a carrier is told of chains that were taken over, and of how far chains are.
pub(super) struct Line {
    pub name: String,
    pub heads: mpsc::UnboundedSender<Head>,
}

/// Why a carrier stops before it has carried all.
enum Halt {
    /// The server ends.
    Quit,
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Carrier {
    /// Opens the sink that `config` describes, for what `audit` writes from now on.
    pub(super) fn open(
        config: &SinkConfig,
        store: Store,
        audit: &Audit,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<(Self, Line), AuditError> {
        let (sender, heads) = mpsc::unbounded_channel();
        let name = config.name().to_owned();
        let line = Line { name: name.clone(), heads: sender };
        metrics.sinks.begin(&name);
        let carrier = Self {
            sink: sink::open(config)?,
            name,
            store,
            committed: audit.committed(),
            audit: audit.clone(),
            heads,
            places: HashMap::new(),
            metrics,
            clock,
            pause: None,
        };
        Ok((carrier, line))
    }

    /// Carries until the record is closed and all of it is carried, or `quit`.
    pub async fn follow(mut self, quit: CancellationToken) {
        let mut note = interval(NOTE);
        note.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut fresh = None;
            let mut ended = false;
            tokio::select! {
                biased;
                () = quit.cancelled() => break,
                Some(head) = self.heads.recv() => self.learn(head).await,
                _ = note.tick() => self.note().await,
                received = self.committed.recv() => match received {
                    Ok(batch) => fresh = Some(batch),
                    Err(_) => self.look_around().await,
                },
                () = self.audit.ended() => {
                    self.look_around().await;
                    ended = true;
                }
            }
            let carried = match fresh {
                Some(batch) => self.take(&batch, &quit).await,
                None => Ok(()),
            };
            let carried = match carried {
                Ok(()) => self.catch_up(&quit).await,
                halted => halted,
            };
            match carried {
                Ok(()) if ended => break,
                Ok(()) => {}
                Err(Halt::Quit) => break,
                Err(Halt::Store(error)) => {
                    tracing::debug!(%error, sink = self.name, "the record cannot be read for a sink; trying again");
                    sleep(LONGEST_PAUSE.min(NOTE)).await;
                }
            }
            self.show(None);
        }
        self.note().await;
    }

    /// A chain is that far.
    async fn learn(&mut self, head: Head) {
        if let Some(place) = self.places.get_mut(&head.chain) {
            place.known = place.known.max(head.seq);
            return;
        }
        match self.store.delivered(&self.name, head.chain).await {
            Ok(sent) => {
                self.places.insert(head.chain, Place { sent, known: head.seq, noted: sent });
            }
            // Told again in moments.
            Err(error) => tracing::debug!(%error, sink = self.name, "a chain's place cannot be read"),
        }
    }

    /// Asks how far our chains are.
    async fn look_around(&mut self) {
        match self.store.owned_chains(self.audit.process()).await {
            Ok(rows) => {
                for row in rows {
                    self.learn(row.head).await;
                }
            }
            Err(error) => tracing::debug!(%error, sink = self.name, "the chains cannot be read"),
        }
    }

    /// Carries what was just committed, as far as it follows what the sink has.
    async fn take(&mut self, batch: &[Arc<Record>], quit: &CancellationToken) -> Result<(), Halt> {
        let mut next = Vec::with_capacity(batch.len());
        let mut reach: HashMap<ChainId, i64> = HashMap::new();
        for record in batch {
            // A chain of ours that we saw begin; any other is learnt of first.
            if record.seq == 0 {
                self.places.entry(record.chain).or_insert(Place { sent: -1, known: -1, noted: -1 });
            } else if !self.places.contains_key(&record.chain) {
                self.learn(Head { chain: record.chain, seq: record.seq, link: record.link }).await;
            }
            let Some(place) = self.places.get_mut(&record.chain) else { continue };
            place.known = place.known.max(record.seq);
            let reach = reach.entry(record.chain).or_insert(place.sent);
            if record.seq == *reach + 1 {
                *reach += 1;
                next.push(record.clone());
            }
        }
        self.deliver(&next, quit).await
    }

    /// Carries what the store has beyond the sink's places.
    async fn catch_up(&mut self, quit: &CancellationToken) -> Result<(), Halt> {
        loop {
            let behind = self.places.iter().find(|(_, place)| place.sent < place.known);
            let Some((&chain, &Place { sent, known, .. })) = behind else { return Ok(()) };
            let records: Vec<_> =
                self.store.records(chain, sent + 1, BATCH).await?.into_iter().map(Arc::new).collect();
            match records.first() {
                Some(first) if first.seq > sent + 1 => {
                    let missing = first.seq - sent - 1;
                    tracing::warn!(
                        missing,
                        sink = self.name,
                        "records were removed before the sink took them"
                    );
                    self.sent(chain, first.seq - 1);
                }
                Some(_) => {}
                None => self.sent(chain, known),
            }
            self.deliver(&records, quit).await?;
        }
    }

    /// Hands `records` over, again and again until the sink has them.
    async fn deliver(&mut self, records: &[Arc<Record>], quit: &CancellationToken) -> Result<(), Halt> {
        let mut rest = records;
        while let Some(first) = rest.first() {
            let delivered = tokio::select! {
                biased;
                delivered = self.sink.deliver(rest) => delivered,
                () = quit.cancelled() => return Err(Halt::Quit),
            };
            let taken = match &delivered {
                Ok(()) => rest.len(),
                Err(Undelivered { taken, .. }) => (*taken).min(rest.len()),
            };
            let (done, left) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            for record in done {
                self.sent(record.chain, record.seq);
            }
            self.metrics.sinks.delivered(&self.name, taken as u64);
            rest = left;
            match delivered {
                Ok(()) => {
                    if self.pause.take().is_some() {
                        tracing::info!(sink = self.name, "the sink takes records again");
                    }
                }
                Err(Undelivered { why, .. }) => {
                    self.metrics.sinks.failed(&self.name);
                    if self.pause.is_none() {
                        tracing::warn!(why, sink = self.name, "the sink does not take records; trying again");
                    }
                    let pause = match self.pause {
                        Some(pause) if taken == 0 => (pause * 2).min(LONGEST_PAUSE),
                        _ => FIRST_PAUSE,
                    };
                    self.pause = Some(pause);
                    self.rest(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0), first, quit).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits before the next attempt; shows meanwhile how far behind the sink falls.
    async fn rest(&mut self, pause: Duration, first: &Record, quit: &CancellationToken) -> Result<(), Halt> {
        let until = Instant::now() + pause;
        loop {
            self.look_around().await;
            self.show(Some(first));
            let step = NOTE.min(until.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = sleep(step) => {}
                () = quit.cancelled() => return Err(Halt::Quit),
            }
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn sent(&mut self, chain: ChainId, seq: i64) {
        if let Some(place) = self.places.get_mut(&chain) {
            place.sent = place.sent.max(seq);
            place.known = place.known.max(seq);
        }
    }

    fn show(&self, oldest: Option<&Record>) {
        let behind: i64 = self.places.values().map(|place| place.known - place.sent).sum();
        let age = oldest.map_or(0, |record| (self.clock.now() - record.facts.at).max(0));
        self.metrics.sinks.behind(&self.name, behind, age);
    }

    /// Notes in the store how far the sink is.
    async fn note(&mut self) {
        let moved = self.places.iter().filter(|(_, place)| place.sent > place.noted);
        let moved: Vec<_> = moved.map(|(chain, place)| (*chain, place.sent)).collect();
        if moved.is_empty() {
            return;
        }
        match self.store.put_delivered(&self.name, &moved).await {
            Ok(()) => {
                for (chain, sent) in moved {
                    if let Some(place) = self.places.get_mut(&chain) {
                        place.noted = sent;
                    }
                }
            }
            Err(error) => tracing::debug!(%error, sink = self.name, "a sink's place cannot be noted"),
        }
    }
}
