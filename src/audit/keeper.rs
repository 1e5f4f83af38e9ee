//! Looks after the record: says that this process lives, takes over what processes that ended left open, and removes what
//! is too old.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::carrier::{Carrier, Line};
use super::pipeline::Audit;
use super::sink::SinkConfig;
use super::{AuditConfig, AuditError};
use crate::clock::{Clock, Millis};
use crate::metrics::Metrics;
use crate::record::{ChainId, Facts, Record, canonical};
use crate::store::{ChainRow, Store, StoreError};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(5);
/// How long a process may be silent before others take over, in milliseconds.
const SILENCE: Millis = 15_000;
/// How often old records are removed.
const PRUNE: Duration = Duration::from_secs(600);
/// Intents that are settled at once.
const INTENTS: u32 = 500;
/// How many pieces of the record one look may remove for its size.
const PIECES: usize = 10_000;

/// What looks after the record.
pub struct Keeper {
    store: Store,
    audit: Audit,
    lines: Vec<Line>,
    clock: Clock,
    keep: Millis,
    keep_size: i64,
}

impl Keeper {
    /// With a carrier for each of `sinks`.
    ///
    /// # Errors
    /// [`AuditError`] where a sink cannot be opened, with the key and the remedy.
    pub fn open(
        config: &AuditConfig,
        sinks: &[SinkConfig],
        store: Store,
        audit: Audit,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<(Self, Vec<Carrier>), AuditError> {
        let opened = sinks
            .iter()
            .map(|sink| Carrier::open(sink, store.clone(), &audit, metrics.clone(), clock.clone()));
        let (carriers, lines) = opened.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let keep = config.keep.as_millis();
        let keep_size = i64::try_from(config.keep_size.0).unwrap_or(i64::MAX);
        Ok((Self { store, audit, lines, clock, keep, keep_size }, carriers))
    }

    /// Looks after the record until `quit`.
    pub async fn follow(self, quit: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        let mut prune = tokio::time::interval(PRUNE);
        loop {
            let (what, done) = tokio::select! {
                () = quit.cancelled() => return,
                _ = look.tick() => ("looked after", self.look().await),
                _ = prune.tick() => ("shortened", self.prune().await),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the audit record could not be {what}; trying again");
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let me = self.audit.process();
        self.store.touch_chains(me).await?;
        for chain in self.store.orphans(me, self.clock.now() - SILENCE).await? {
            // Somebody else may have been faster.
            if self.store.adopt_chain(&chain, me).await? && !chain.ended {
                tracing::info!(chain = %chain.head.chain, "an audit chain's process ended without a word");
            }
        }
        for chain in self.store.owned_chains(me).await? {
            for line in &self.lines {
                // A carrier that is gone carries nothing.
                let _ = line.heads.send(chain.head);
            }
            if chain.ended && self.close(&chain).await? && self.is_delivered(&chain).await? {
                self.store.settle_chain(chain.head.chain).await?;
            }
        }
        Ok(())
    }

    /// Says of each intent without an outcome that nobody knows it; false where that could not be recorded.
    async fn close(&self, chain: &ChainRow) -> Result<bool, StoreError> {
        let mut from = chain.first_seq;
        loop {
            let intents = self.store.open_intents(chain.head.chain, from, INTENTS).await?;
            let Some(last) = intents.last() else { return Ok(true) };
            from = last.seq + 1;
            tracing::warn!(
                calls = intents.len(),
                "calls were cut off by the end of a process; their outcome is unknown"
            );
            for intent in intents {
                if self.audit.submit_facts(unknown(&intent)).await.is_err() {
                    return Ok(false);
                }
            }
        }
    }

    async fn is_delivered(&self, chain: &ChainRow) -> Result<bool, StoreError> {
        for line in &self.lines {
            if self.store.delivered(&line.name, chain.head.chain).await? < chain.head.seq {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn prune(&self) -> Result<(), StoreError> {
        let chains = self.store.chains(None).await?;
        if self.keep > 0 {
            let before = self.clock.now() - self.keep;
            for chain in chains.iter().filter(|chain| chain.opened_at < before) {
                if let Some(seq) = self.store.checkpoint_before(chain.head.chain, before).await? {
                    self.store.forget_records(chain.head.chain, seq).await?;
                }
            }
        }
        if self.keep_size > 0 {
            self.shrink().await?;
        }
        Ok(())
    }

    /// Removes the oldest pieces, each up to a checkpoint, until the rest is small enough.
    async fn shrink(&self) -> Result<(), StoreError> {
        let mut total = 0;
        let mut oldest: BTreeMap<(Millis, ChainId), i64> = BTreeMap::new();
        for chain in self.store.chains(None).await? {
            total += chain.bytes;
            if let Some(at) = self.store.oldest_record(chain.head.chain).await? {
                oldest.insert((at, chain.head.chain), chain.first_seq);
            }
        }
        for _ in 0..PIECES {
            if total <= self.keep_size {
                return Ok(());
            }
            let Some(((_, chain), first)) = oldest.pop_first() else { return Ok(()) };
            // What no checkpoint stands for yet stays.
            let Some(seq) = self.store.checkpoint_after(chain, first).await? else { continue };
            total -= self.store.forget_records(chain, seq).await?.1;
            if let Some(at) = self.store.oldest_record(chain).await? {
                oldest.insert((at, chain), seq);
            }
        }
        Ok(())
    }
}

/// The event that says of an intent that its outcome is not known.
fn unknown(intent: &Record) -> Facts {
    let mut fields: Map<String, Value> = serde_json::from_str(&intent.facts.body).unwrap_or_default();
    for (name, value) in [("record", "event"), ("outcome", "unknown"), ("reason", "process_ended")] {
        fields.insert(name.to_owned(), value.into());
    }
    Facts {
        kind: "call".into(),
        outcome: Some("unknown".into()),
        body: canonical(&fields).unwrap_or_default(),
        ..intent.facts.clone()
    }
}

#[cfg(test)]
mod tests;
