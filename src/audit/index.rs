//! A copy of the record in the store, to be asked: what agents did, and what administrators changed.
//!
//! The record itself is the sink's. Where the store cannot keep up, copies are left out and counted, and no call waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Event;
use crate::clock::{Clock, Millis};
use crate::metrics::Metrics;
use crate::store::{EventRow, Store};

/// Rows that may wait.
const WAITING: usize = 20_000;

/// The most rows of one statement.
const BATCH: usize = 500;

/// How long rows wait for company.
const LINGER: Duration = Duration::from_millis(200);

/// How often old rows are removed.
const PRUNE: Duration = Duration::from_secs(600);

/// Where the writer of the record drops its copies.
#[derive(Clone)]
pub struct Tap {
    rows: mpsc::Sender<EventRow>,
    metrics: Arc<Metrics>,
}

impl Tap {
    /// Takes a copy of `event`, which was written as `line`.
    pub(super) fn copy(&self, event: &Event, line: &[u8]) {
        if let Some(row) = event.row(line)
            && self.rows.try_send(row).is_err()
        {
            self.metrics.audit_unindexed.inc();
        }
    }
}

/// What carries the copies to the store.
pub struct Index {
    rows: mpsc::Receiver<EventRow>,
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// How long rows are kept, in milliseconds.
    keep: Millis,
    told: Option<Told>,
}

/// Told of events when they are in the store.
type Told = Box<dyn Fn(&[EventRow]) + Send>;

/// A way to the store, both ends of it.
pub fn index(store: Store, clock: Clock, metrics: Arc<Metrics>, keep: Millis) -> (Tap, Index) {
    let (sender, rows) = mpsc::channel(WAITING);
    (Tap { rows: sender, metrics: metrics.clone() }, Index { rows, store, clock, metrics, keep, told: None })
}

impl Index {
    /// Has `told` hear of events when they have been copied.
    #[must_use]
    pub fn telling(self, told: impl Fn(&[EventRow]) + Send + 'static) -> Self {
        Self { told: Some(Box::new(told)), ..self }
    }

    /// Carries rows until the last [`Tap`] is gone and all is carried.
    pub async fn follow(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut prune = tokio::time::interval(PRUNE);
        let mut failing = false;
        loop {
            tokio::select! {
                biased;
                _ = prune.tick(), if self.keep > 0 => {
                    if let Err(error) = self.store.prune_events(self.clock.now() - self.keep).await {
                        tracing::debug!(%error, "old events could not be removed");
                    }
                }
                count = self.rows.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    if count < BATCH && !self.rows.is_closed() {
                        tokio::time::sleep(LINGER).await;
                        while batch.len() < BATCH && let Ok(row) = self.rows.try_recv() {
                            batch.push(row);
                        }
                    }
                    let written = self.store.put_events(&batch).await;
                    if let Err(error) = &written {
                        self.metrics.audit_unindexed.inc_by(batch.len() as u64);
                        if !failing {
                            tracing::warn!(%error, "events are on record and cannot be copied to the store");
                        }
                    }
                    failing = written.is_err();
                    if let Some(told) = &self.told {
                        told(&batch);
                    }
                    batch.clear();
                }
            }
        }
    }
}
