//! What the writer thread does with a sink: lines in order, in batches, again after a failure.
//!
//! It knows neither the queue nor threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Depth, Item};
use crate::audit::sink::old::{BATCH, Sink};
use crate::audit::sink::write::Failed;
use crate::audit::{AuditError, Event};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The sink and the lines that have not reached it.
pub(super) struct Writer {
    sink: Box<dyn Sink>,
    depth: Arc<Depth>,
    copy: Option<Copy>,
    pending: VecDeque<Line>,
    batch: Vec<u8>,
    trouble: Option<Trouble>,
    /// Something was written since the last sync.
    unsynced: bool,
}

/// Told of each record and of how it is written.
pub(super) type Copy = Box<dyn Fn(&Event, &[u8]) + Send>;

struct Line {
    bytes: Vec<u8>,
    since: Instant,
    record: &'static str,
    ack: Option<Ack>,
}

type Ack = oneshot::Sender<Result<(), AuditError>>;

struct Trouble {
    next: Instant,
    pause: Duration,
}

impl Writer {
    pub(super) fn new(sink: Box<dyn Sink>, depth: Arc<Depth>, copy: Option<Copy>) -> Self {
        Self {
            sink,
            depth,
            copy,
            pending: VecDeque::new(),
            batch: Vec::new(),
            trouble: None,
            unsynced: false,
        }
    }

    /// Turns `items` into lines behind those that wait.
    pub(super) fn take(&mut self, items: impl IntoIterator<Item = Item>) {
        for Item { event, since, ack } in items {
            let mut bytes = Vec::with_capacity(1024);
            let record = if event.is_intent() { "intent" } else { "event" };
            if let Err(error) = event.write_line(&mut bytes) {
                // Not reachable with the fields of today; a record of the failure is better than none.
                tracing::error!(?event, %error, "an audit record has no JSON");
                bytes.clear();
                bytes.extend_from_slice(b"{\"record\":\"broken\"}\n");
            }
            if let Some(copy) = &self.copy {
                copy(&event, &bytes);
            }
            self.pending.push_back(Line { bytes, since, record, ack });
        }
        self.show_oldest();
    }

    /// Writes all that waits, until a failure; syncs where a line needs it, or where `sync` is set.
    pub(super) fn write(&mut self, sync: bool) {
        while !self.pending.is_empty() || (sync && self.unsynced) {
            let count = self.fill();
            let durable = self.pending.range(..count).any(|line| line.ack.is_some());
            let last = count == self.pending.len();
            let safe = durable || (sync && last);
            let begun = Instant::now();
            let appended = self.sink.append(&self.batch, safe);
            self.depth.metrics.audit_write_seconds.observe(begun.elapsed().as_secs_f64());
            match appended {
                Ok(()) => {
                    self.trouble = None;
                    self.unsynced = !safe;
                    let acks = self.settle(count);
                    answer(acks, &Ok(()));
                }
                Err(failed) => {
                    self.failed(count, failed);
                    break;
                }
            }
        }
    }

    /// Copies the next lines into the batch and says how many they are.
    fn fill(&mut self) -> usize {
        self.batch.clear();
        let mut count = 0;
        for line in &self.pending {
            if count > 0 && self.batch.len() + line.bytes.len() > BATCH {
                break;
            }
            self.batch.extend_from_slice(&line.bytes);
            count += 1;
        }
        count
    }

    /// Counts the first `count` lines as written and returns who waits for them.
    fn settle(&mut self, count: usize) -> Vec<Ack> {
        let mut intents = 0;
        let mut acks = Vec::new();
        for line in self.pending.drain(..count) {
            intents += u64::from(line.record == "intent");
            acks.extend(line.ack);
        }
        let records = &self.depth.metrics.audit_records;
        records.with_label_values(&["intent"]).inc_by(intents);
        records.with_label_values(&["event"]).inc_by(count as u64 - intents);
        self.depth.less(count);
        self.show_oldest();
        acks
    }

    fn show_oldest(&self) {
        *self.depth.oldest.lock() = self.pending.front().map(|line| line.since);
    }

    fn failed(&mut self, count: usize, failed: Failed) {
        let pause = self.trouble.as_ref().map_or(FIRST_PAUSE, |old| (old.pause * 2).min(LONGEST_PAUSE));
        if self.trouble.is_none() {
            tracing::error!(error = %failed.source, "audit records cannot be written; trying again");
        }
        self.trouble = Some(Trouble { next: Instant::now() + pause, pause });
        self.depth.metrics.audit_failures.inc();

        // The lines that landed whole are there to stay; writing them again would double them. Whoever
        // waits for one is told of the failure all the same, for the sync is missing.
        let mut left = failed.landed;
        let whole = self.pending.range(..count).take_while(|line| {
            let fits = left.checked_sub(line.bytes.len());
            left = fits.unwrap_or(0);
            fits.is_some()
        });
        let landed = whole.count();
        self.unsynced |= failed.landed > 0;
        let mut acks = self.settle(landed);

        let before = self.pending.len();
        self.pending.retain_mut(|line| {
            let ack = line.ack.take();
            let given_up = ack.is_some();
            acks.extend(ack);
            !given_up
        });
        self.depth.less(before - self.pending.len());
        self.show_oldest();
        answer(acks, &Err(AuditError::Write(failed.source.to_string())));
    }

    /// When to try again, while the last attempt failed and there is something to write, or to sync
    /// because of `closing`.
    pub(super) fn next_attempt(&self, closing: bool) -> Option<Instant> {
        let waiting = !self.pending.is_empty() || (closing && self.unsynced);
        self.trouble.as_ref().filter(|_| waiting).map(|trouble| trouble.next)
    }

    /// True where nothing waits and all is synced.
    pub(super) fn is_clean(&self) -> bool {
        self.pending.is_empty() && !self.unsynced
    }

    /// Nobody is told any more.
    pub(super) fn alone(&mut self) {
        self.copy = None;
    }

    /// True where the last attempt failed.
    pub(super) fn fails(&self) -> bool {
        self.trouble.is_some()
    }

    /// Says how many records will be lost if nobody comes to try once more.
    pub(super) fn report_lost(&self) {
        if !self.is_clean() {
            tracing::error!(
                records = self.pending.len(),
                "audit records are lost: the sink failed to the end"
            );
        }
    }
}

/// Last of all, so that whoever reads the depth after the answer reads it without the record. A
/// submitter may have gone.
fn answer(acks: Vec<Ack>, result: &Result<(), AuditError>) {
    for ack in acks {
        let _ = ack.send(result.clone());
    }
}
