//! The other processes that share the store: what is said among them, and what their agents have going.
//!
//! Words travel as rows and wake by the store's notice of changes; a look at a steady pace is the net beneath it.
//! Where the store is this process's alone there is nobody to talk to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::Gate;
use super::elsewhere::Word;
use super::limits::Elsewhere;
use crate::clock::{Clock, Millis};
use crate::store::{Store, StoreError, UsageRow};

/// How often the rows are looked at when nothing tells of them, and how often usage is exchanged.
const PACE: Duration = Duration::from_millis(250);

/// How far back words are read: clocks of replicas may differ by this much. In milliseconds.
const WINDOW: Millis = 10_000;

/// After this, rows mean nothing any more. In milliseconds.
const STALE: Millis = 60_000;

/// Words that wait for a tenant that is busy.
const WAITING: usize = 4096;

/// The kind of row that holds a [`Told`].
const KIND: &str = "session";

/// A word and whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    replica: Uuid,
    tenant: String,
    word: Word,
}

/// The other processes.
pub struct Neighbours {
    store: Store,
    clock: Clock,
    /// This process.
    replica: Uuid,
    told: broadcast::Sender<Arc<Told>>,
}

impl Neighbours {
    /// Nobody is listened to yet.
    pub fn new(store: Store, clock: Clock) -> Arc<Self> {
        Arc::new(Self { store, clock, replica: Uuid::new_v4(), told: broadcast::channel(WAITING).0 })
    }

    /// Listens to the others; ends only with its task, at once where there can be none.
    pub async fn follow(self: Arc<Self>) {
        if !self.store.shared() {
            return;
        }
        let mut changes = self.store.changes();
        let mut heard: HashMap<String, Millis> = HashMap::new();
        let mut pruned = self.clock.now();
        loop {
            let _ = tokio::time::timeout(PACE, changes.changed()).await;
            let now = self.clock.now();
            match self.store.signals(now - WINDOW).await {
                Ok(rows) => {
                    for row in rows {
                        if row.kind == KIND && heard.insert(row.id.clone(), row.at).is_none() {
                            self.hear(&row.payload);
                        }
                    }
                    heard.retain(|_, at| *at > now - 2 * WINDOW);
                }
                Err(error) => tracing::debug!(%error, "nothing can be heard of other replicas"),
            }
            if now - pruned > STALE {
                pruned = now;
                let _ = self.store.prune_signals(now - STALE).await;
                let _ = self.store.prune_usage(now - STALE).await;
            }
        }
    }

    fn hear(&self, payload: &str) {
        match serde_json::from_str::<Told>(payload) {
            Ok(told) if told.replica != self.replica => {
                let _ = self.told.send(Arc::new(told));
            }
            Ok(_) => {}
            // A newer version's word, perhaps.
            Err(error) => tracing::debug!(%error, "what another replica said is not understood"),
        }
    }

    async fn say(&self, tenant: &str, word: Word) -> Result<(), StoreError> {
        let told = Told { replica: self.replica, tenant: tenant.to_owned(), word };
        let payload = serde_json::to_string(&told).expect("ids and texts can be written as JSON");
        self.store.signal(KIND, &payload).await
    }

    /// Tells what this process's agents have going, and hears the same of the others'.
    async fn exchange(&self, own: Vec<UsageRow>) -> Result<Vec<(String, UsageRow)>, StoreError> {
        let replica = self.replica.to_string();
        if !own.is_empty() {
            self.store.put_usage(&replica, &own).await?;
        }
        self.store.usage_of_others(&replica, self.clock.now() - WINDOW).await
    }
}

impl Gate {
    /// Talks with other processes about this tenant; ends only with its task, at once where there can be none.
    pub async fn together(self: Arc<Self>, neighbours: Arc<Neighbours>) {
        if !neighbours.store.shared() {
            return;
        }
        let Some(mut ours) = self.desk.elsewhere.open() else { return };
        let tenant = self.desk.parts.tenant.clone();
        let mut theirs = neighbours.told.subscribe();
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let done = tokio::select! {
                Some(word) = ours.recv() => neighbours.say(&tenant, word).await,
                told = theirs.recv() => {
                    match told {
                        Ok(told) if told.tenant == tenant => self.desk.overhear(&told.word),
                        Err(broadcast::error::RecvError::Closed) => return,
                        _ => {}
                    }
                    continue;
                }
                _ = pace.tick() => self.share(&neighbours, &tenant).await,
            };
            match done {
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "other replicas cannot be told; limits are this one's own meanwhile");
                }
                done => failing = done.is_err(),
            }
        }
    }

    async fn share(&self, neighbours: &Neighbours, tenant: &str) -> Result<(), StoreError> {
        let ours = format!("{tenant}/");
        let row = |(agent, usage): (String, super::limits::Usage)| UsageRow {
            key: format!("{ours}{agent}"),
            calls: i64::try_from(usage.calls).unwrap_or(i64::MAX),
            in_flight: i64::from(usage.in_flight),
        };
        let heard = neighbours.exchange(self.desk.limits.report().into_iter().map(row).collect()).await?;
        let theirs = heard.into_iter().filter_map(|(replica, row)| {
            Some(Elsewhere {
                agent: row.key.strip_prefix(&ours)?.to_owned(),
                replica,
                calls: u64::try_from(row.calls).unwrap_or(0),
                in_flight: u32::try_from(row.in_flight).unwrap_or(0),
            })
        });
        self.desk.limits.hear(theirs.collect());
        Ok(())
    }
}
