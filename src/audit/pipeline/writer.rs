//! The task that writes: takes what waits, gives it its places, commits it, and tells who waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use super::{Ack, CROWD, Item, PATIENCE, Shared};
use crate::audit::AuditError;
use crate::audit::chains::{Chains, Plan, Signing};
use crate::audit::ledger::{Ledger, Unwritten, Written};
use crate::clock::{Clock, Millis, rfc3339};
use crate::record::{Facts, canonical};

/// The most records of one commit.
const BATCH: usize = 2_048;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The writer and all that it holds.
pub(super) struct Writer {
    shared: Arc<Shared>,
    ledger: Box<dyn Ledger>,
    chains: Chains,
    clock: Clock,
    /// How often a chain is signed for, in milliseconds.
    checkpoint: Millis,
    running: watch::Sender<bool>,
    /// Taken and not yet committed, in order, with its places where it has them.
    taken: Vec<Facts>,
    planned: Option<Plan>,
    acks: Vec<Ack>,
    pause: Option<Duration>,
}

impl Drop for Writer {
    /// However it ends, nobody may wait for it.
    fn drop(&mut self) {
        self.shared.line.lock().closed = true;
        self.running.send_replace(true);
    }
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        ledger: Box<dyn Ledger>,
        chains: Chains,
        clock: Clock,
        checkpoint: Millis,
        running: watch::Sender<bool>,
    ) -> Self {
        Self {
            shared,
            ledger,
            chains,
            clock,
            checkpoint,
            running,
            taken: Vec::new(),
            planned: None,
            acks: Vec::new(),
            pause: None,
        }
    }

    pub async fn work(mut self) {
        let mut give_up = None;
        loop {
            self.wait().await;
            let closing = self.shared.line.lock().closing;
            if self.taken.is_empty() && self.planned.is_none() {
                self.take();
            }
            let all = closing && self.shared.line.lock().items.is_empty();
            let signing = match (all, self.is_due()) {
                (true, _) => Signing::Last,
                (false, true) => Signing::Due,
                (false, false) => Signing::No,
            };
            let written = self.write(signing).await;
            if let Err(Unwritten(why)) = &written {
                self.failed(why);
            }
            if closing {
                let give_up = *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
                if self.finish(written.is_err() && Instant::now() >= give_up, all && written.is_ok()) {
                    return;
                }
            }
        }
    }

    /// Returns when there is something to do.
    async fn wait(&self) {
        let deadline = |span: Duration| tokio::time::Instant::now() + span;
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
            return;
        }
        loop {
            let (idle, ready, first) = {
                let line = self.shared.line.lock();
                let ready = line.urgent || line.closing || line.items.len() >= CROWD;
                (line.items.is_empty(), ready, line.items.first().map(|item| item.since))
            };
            if ready {
                return;
            }
            let waited = first.map_or(Duration::ZERO, |since| since.elapsed());
            let until = match (idle, self.due_in()) {
                (true, None) => None,
                (true, Some(due)) => Some(due),
                (false, due) => {
                    Some(self.shared.flush.saturating_sub(waited).min(due.unwrap_or(Duration::MAX)))
                }
            };
            let woken = self.shared.wake.notified();
            match until {
                None => woken.await,
                Some(until) => {
                    if tokio::time::timeout_at(deadline(until), woken).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn due_in(&self) -> Option<Duration> {
        let due = self.chains.due(self.checkpoint)?;
        Some(Duration::from_millis(u64::try_from(due - self.clock.now()).unwrap_or(0)))
    }

    fn is_due(&self) -> bool {
        self.chains.due(self.checkpoint).is_some_and(|due| due <= self.clock.now())
    }

    /// Takes what waits.
    fn take(&mut self) {
        let (items, lost) = {
            let mut line = self.shared.line.lock();
            let count = line.items.len().min(BATCH);
            let rest = line.items.split_off(count);
            let items = std::mem::replace(&mut line.items, rest);
            if line.items.is_empty() {
                self.acks.append(&mut line.flushes);
                line.urgent = false;
            }
            line.taken = items.first().map(|item| item.since);
            (items, std::mem::take(&mut line.lost))
        };
        for Item { facts, ack, .. } in items {
            self.acks.extend(ack);
            self.taken.push(facts);
        }
        let lost = self.lost(lost);
        self.taken.extend(lost);
    }

    /// What says on record that something is not.
    fn lost(&self, lost: BTreeMap<String, u64>) -> impl Iterator<Item = Facts> + use<> {
        let now = self.clock.now();
        lost.into_iter().map(move |(tenant, count)| {
            let body = json!({"count": count, "record": "lost", "tenant": tenant, "time": rfc3339(now)});
            let body = canonical(&body).unwrap_or_default();
            Facts { tenant, at: now, kind: "lost".into(), body, ..Facts::default() }
        })
    }

    /// Plans and commits what was taken.
    async fn write(&mut self, signing: Signing) -> Result<(), Unwritten> {
        loop {
            let plan = match self.planned.take() {
                Some(plan) => plan,
                None => {
                    let tenants = self.taken.iter().map(|facts| facts.tenant.as_str()).collect();
                    let others = self.chains.prepare(tenants, signing, self.ledger.as_mut()).await?;
                    self.chains.plan(std::mem::take(&mut self.taken), &others, self.clock.now())
                }
            };
            if !plan.records.is_empty() {
                let begun = Instant::now();
                let written = self.ledger.commit(&plan).await;
                self.shared.metrics.audit_write_seconds.observe(begun.elapsed().as_secs_f64());
                match written {
                    Ok(Written::Done) => {}
                    Ok(Written::Lost(chains)) => {
                        tracing::warn!(?chains, "others look after our audit chains; new ones begin");
                        self.chains.lose(&chains);
                        self.taken = plan.undo();
                        continue;
                    }
                    Err(unwritten) => {
                        self.planned = Some(plan);
                        return Err(unwritten);
                    }
                }
            }
            self.settle(plan);
            return Ok(());
        }
    }

    /// Counts what was committed and tells who waited for it, and who listens.
    fn settle(&mut self, plan: Plan) {
        if self.pause.take().is_some() {
            tracing::info!("audit records are written again");
        }
        let asked = plan.asked();
        let records = self.chains.commit(plan);
        let count = |kind: &str| records.iter().filter(|record| record.facts.kind == kind).count();
        let (intents, lost) = (count("intent"), count("lost"));
        let counts = &self.shared.metrics.audit_records;
        counts.with_label_values(&["intent"]).inc_by(intents as u64);
        counts.with_label_values(&["event"]).inc_by((asked - intents - lost) as u64);
        self.shared.less(asked - lost);
        {
            let mut line = self.shared.line.lock();
            (line.taken, line.failing) = (None, false);
        }
        // Last, so that whoever reads the depth after the answer reads it without the record. A submitter may have gone.
        for ack in self.acks.drain(..) {
            let _ = ack.send(Ok(()));
        }
        if !records.is_empty() {
            // Nobody may be listening.
            let _ = self.shared.committed.send(records.into());
        }
    }

    /// Tells all who wait, also those whose records were not taken yet: they cannot be written either.
    fn failed(&mut self, why: &str) {
        if self.pause.is_none() {
            tracing::error!(error = why, "audit records cannot be written; trying again");
        }
        self.pause = Some(self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE)));
        self.shared.metrics.audit_failures.inc();
        let mut acks = std::mem::take(&mut self.acks);
        {
            let mut line = self.shared.line.lock();
            line.failing = true;
            acks.append(&mut line.flushes);
            acks.extend(line.items.iter_mut().filter_map(|item| item.ack.take()));
        }
        for ack in acks {
            let _ = ack.send(Err(AuditError::Write(why.to_owned())));
        }
    }

    /// Ends where all is written, or where it is given up. What comes later is told so.
    fn finish(&self, give_up: bool, all: bool) -> bool {
        let mut line = self.shared.line.lock();
        if all && line.items.is_empty() && line.flushes.is_empty() {
            line.closed = true;
            return true;
        }
        if give_up {
            line.closed = true;
            let planned = self.planned.as_ref().map_or(0, Plan::asked);
            let records = line.items.len() + self.taken.len() + planned;
            tracing::error!(records, "audit records are lost: the record could not be written to the end");
        }
        give_up
    }
}
