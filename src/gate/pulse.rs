//! How far the store has come, asked once for all tenants: each roster reads on from there.
//!
//! Knows versions and nothing of what has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use crate::store::{Store, StoreError};

/// The oldest look at the store that a call may rely on.
pub const MAX_STALENESS: Duration = Duration::from_millis(200);

/// How long the store may take to answer, its own restart included. A machine that is short of CPU needs more than a
/// moment to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two tries within [`PATIENCE`].
const AGAIN: Duration = Duration::from_millis(50);

/// How old the last look may be where this server calls itself ready.
const FRESH: Duration = Duration::from_secs(3);

/// How often the store is looked at when nobody calls.
const PACE: Duration = Duration::from_millis(100);

/// The look at the store that all rosters share.
pub struct Pulse {
    store: Store,
    versions: watch::Sender<Arc<HashMap<String, i64>>>,
    asking: Mutex<()>,
    looked: parking_lot::Mutex<Instant>,
}

impl Pulse {
    /// Looks once.
    pub async fn open(store: Store) -> Result<Arc<Self>, StoreError> {
        let asked = Instant::now();
        let versions = store.versions().await?.into_iter().collect();
        Ok(Arc::new(Self {
            store,
            versions: watch::Sender::new(Arc::new(versions)),
            asking: Mutex::default(),
            looked: parking_lot::Mutex::new(asked),
        }))
    }

    /// The version of a tenant's rows at the last look; none: there is no such tenant.
    pub fn version(&self, tenant: &str) -> Option<i64> {
        self.versions.borrow().get(tenant).copied()
    }

    /// Told of every change of any tenant.
    pub fn watch(&self) -> watch::Receiver<Arc<HashMap<String, i64>>> {
        self.versions.subscribe()
    }

    /// True where the store was read within the last seconds.
    pub fn is_fresh(&self) -> bool {
        self.looked.lock().elapsed() < FRESH
    }

    /// Whether the last look is at most [`MAX_STALENESS`] old.
    pub fn is_recent(&self) -> bool {
        self.looked.lock().elapsed() <= MAX_STALENESS
    }

    /// Makes sure that the last look is at most [`MAX_STALENESS`] old.
    ///
    /// # Errors
    /// The store's, when it cannot be read: the caller must then be refused.
    pub async fn recent(&self) -> Result<(), StoreError> {
        if self.is_recent() { Ok(()) } else { self.look().await }
    }

    /// Looks now, whatever was read a moment ago.
    ///
    /// # Errors
    /// As [`Pulse::recent`].
    pub async fn look(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            // A disk that hangs must not hold every request that waits for it.
            let left = PATIENCE.saturating_sub(began.elapsed());
            let looked = match tokio::time::timeout(left, self.once()).await {
                Ok(looked) => looked,
                Err(_) => return Err(StoreError::Deadline),
            };
            match looked {
                // A database that is being restarted comes back within moments.
                Err(error) if error.is_passing() && began.elapsed() + AGAIN < PATIENCE => {
                    tokio::time::sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    }

    /// Looks at a steady pace, and as soon as the store tells of a change; ends only with its task.
    pub async fn follow(self: Arc<Self>) {
        let mut changes = self.store.changes();
        let mut failing = false;
        loop {
            let told = tokio::time::timeout(PACE, changes.changed()).await;
            if matches!(told, Ok(Err(_))) {
                tokio::time::sleep(PACE).await;
            }
            match self.look().await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "the store cannot be read; calls are refused until it can");
                }
                Err(_) => {}
            }
        }
    }

    async fn once(&self) -> Result<(), StoreError> {
        let came = Instant::now();
        let _turn = self.asking.lock().await;
        // Whoever asked since then asked for all who wait: a crowd needs one look and not one each.
        if *self.looked.lock() >= came {
            return Ok(());
        }
        let asked = Instant::now();
        let found: HashMap<_, _> = self.store.versions().await?.into_iter().collect();
        self.versions.send_if_modified(|known| {
            let changed = **known != found;
            if changed {
                *known = Arc::new(found);
            }
            changed
        });
        // The time of the question, not of the answer: what changed in between is not yet known.
        let mut looked = self.looked.lock();
        *looked = (*looked).max(asked);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::StoreConfig;

    #[tokio::test]
    async fn a_crowd_that_waits_for_a_look_asks_nothing_itself() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::at(format!("sqlite://{}/sidegate.db", folder.path().display()));
        let store = Store::open(&config, Clock::System).await.unwrap();
        let pulse = Pulse::open(store.clone()).await.unwrap();
        let looking = pulse.asking.lock().await;
        let crowd: Vec<_> = (0..20).map(|_| tokio::spawn(pulse.clone().waits())).collect();
        tokio::task::yield_now().await;
        // From here on a look that asks would fail.
        store.close().await;
        *pulse.looked.lock() = Instant::now();
        drop(looking);
        for waited in crowd {
            assert!(waited.await.unwrap());
        }
        assert!(!pulse.waits().await, "who comes later asks");
    }

    impl Pulse {
        async fn waits(self: Arc<Self>) -> bool {
            self.look().await.is_ok()
        }
    }
}
