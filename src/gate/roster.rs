//! The tenant's issuers and agents in memory, following the store.
//!
//! Every call reads the binding here, never in a cache of tokens, so that an
//! agent that is switched off, by another process too, is refused on its next call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::credential::{Credentials, Standing};
use crate::identity::trust::{AgentBinding, Trust, TrustedIssuer};
use crate::policy::Policies;
use crate::psa::{CATALOG_PRINCIPAL, KeyError};
use crate::store::{Store, StoreError};
use crate::tool::effect::Effect;

/// The oldest look at the store that a call may rely on.
pub const MAX_STALENESS: Duration = Duration::from_millis(200);

/// How long the store may take to answer. A machine that is short of CPU needs more than a moment to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// How old the last look may be where this server calls itself ready.
const FRESH: Duration = Duration::from_secs(3);

/// How often the store is looked at when nobody calls.
const PACE: Duration = Duration::from_millis(100);

/// One look at the store.
pub struct Snapshot {
    /// Who may speak for whom.
    pub trust: Trust,
    /// What each may do at most.
    pub policies: Arc<Policies>,
    /// The ids of the agents that are switched on.
    pub active: Vec<String>,
    /// Every issuer in the store, of any tenant and switched off ones too.
    pub known_issuers: Vec<String>,
}

impl Snapshot {
    /// True for an agent that is on, and for the catalogue's service user, which is no agent.
    fn may_have_a_key(&self, id: &str) -> bool {
        id == CATALOG_PRINCIPAL || self.active.iter().any(|active| active == id)
    }
}

/// What was read, and how.
struct Read {
    version: i64,
    default_max: Effect,
}

/// The table that follows the store.
pub struct Roster {
    store: Store,
    tenant: String,
    latest: watch::Sender<Arc<Snapshot>>,
    read: Mutex<Read>,
    looked: parking_lot::Mutex<Instant>,
}

impl Roster {
    /// Reads the tenant's rows once and follows them from then on.
    pub async fn open(store: Store, tenant: &str, default_max: Effect) -> Result<Arc<Self>, StoreError> {
        let version = store.version().await?;
        let snapshot = read(&store, tenant, default_max).await?;
        Ok(Arc::new(Self {
            store,
            tenant: tenant.to_owned(),
            latest: watch::Sender::new(Arc::new(snapshot)),
            read: Mutex::new(Read { version, default_max }),
            looked: parking_lot::Mutex::new(Instant::now()),
        }))
    }

    /// The rows as they were at most [`MAX_STALENESS`] ago.
    ///
    /// # Errors
    /// The store's, when it cannot be read: the caller must then be refused.
    pub async fn current(&self) -> Result<Arc<Snapshot>, StoreError> {
        if self.looked.lock().elapsed() > MAX_STALENESS {
            self.look().await?;
        }
        Ok(self.latest.borrow().clone())
    }

    /// The rows as they are now, whatever was read a moment ago.
    pub async fn reread(&self) -> Result<Arc<Snapshot>, StoreError> {
        self.look().await?;
        Ok(self.latest.borrow().clone())
    }

    /// From now on an agent without a bound of its own may do `default_max` at most.
    ///
    /// # Errors
    /// The store's, when it cannot be read: nothing has changed then.
    pub async fn adopt(&self, default_max: Effect) -> Result<(), StoreError> {
        let mut last = self.read.lock().await;
        let snapshot = read(&self.store, &self.tenant, default_max).await?;
        self.latest.send_replace(Arc::new(snapshot));
        last.default_max = default_max;
        Ok(())
    }

    /// The rows as they were last read, however long ago: for what only describes this server.
    pub fn latest(&self) -> Arc<Snapshot> {
        self.latest.borrow().clone()
    }

    /// True where the store was read within the last seconds.
    pub fn is_fresh(&self) -> bool {
        self.looked.lock().elapsed() < FRESH
    }

    /// Told of every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.subscribe()
    }

    /// Has the keys of agents that are switched off or gone revoked; ends only with its task.
    pub async fn close_keys(self: Arc<Self>, credentials: Arc<Credentials>) {
        let mut changes = self.watch();
        while changes.changed().await.is_ok() {
            let snapshot = changes.borrow_and_update().clone();
            credentials.revoke_unless(|id| snapshot.may_have_a_key(id)).await;
        }
    }

    /// Looks at the store at a steady pace; ends only with its task.
    pub async fn follow(self: Arc<Self>) {
        let mut failing = false;
        loop {
            tokio::time::sleep(PACE).await;
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

    async fn look(&self) -> Result<(), StoreError> {
        // A disk that hangs must not hold every request that waits for it.
        match tokio::time::timeout(PATIENCE, self.follow_once()).await {
            Ok(followed) => followed,
            Err(_) => Err(StoreError::Deadline),
        }
    }

    async fn follow_once(&self) -> Result<(), StoreError> {
        let came = Instant::now();
        let mut last = self.read.lock().await;
        // Whoever asked since then asked for all who wait: a crowd needs one look and not one each.
        if *self.looked.lock() >= came {
            return Ok(());
        }
        let asked = Instant::now();
        let version = self.store.version().await?;
        if version != last.version {
            let snapshot = read(&self.store, &self.tenant, last.default_max).await?;
            self.latest.send_replace(Arc::new(snapshot));
            last.version = version;
        }
        // The time of the question, not of the answer: what changed in between is not yet known.
        let mut looked = self.looked.lock();
        *looked = (*looked).max(asked);
        Ok(())
    }
}

#[async_trait]
impl Standing for Roster {
    async fn may_have_a_key(&self, id: &str) -> Result<bool, KeyError> {
        let snapshot = self.reread().await.map_err(|error| KeyError::Unavailable(error.to_string()))?;
        Ok(snapshot.may_have_a_key(id))
    }
}

pub(super) async fn read(store: &Store, tenant: &str, default_max: Effect) -> Result<Snapshot, StoreError> {
    let known_issuers = store.known_issuers().await?;
    let issuers =
        store.issuers(tenant).await?.into_iter().filter(|row| row.active).map(|row| TrustedIssuer {
            issuer: row.issuer,
            jwks_uri: row.jwks_uri,
            audiences: row.audiences,
            subject_claim: row.subject_claim,
            max_age: row.max_age,
            leeway: row.leeway,
            required_scopes: row.required_scopes,
            require_bound_tokens: row.require_bound_tokens,
            ..TrustedIssuer::default()
        });
    let issuers = issuers.collect();
    let rows = store.agents(tenant).await?;
    let agents: HashMap<_, _> = rows
        .iter()
        // A word the policy does not know must not widen what an agent may do.
        .filter_map(|row| {
            row.max_effect.as_deref().map(|word| (row, Effect::parse(word).unwrap_or(Effect::Read)))
        })
        .map(|(row, effect)| (row.id.clone(), effect))
        .collect();
    let timeouts = rows
        .iter()
        .filter_map(|row| {
            Some((row.id.clone(), Duration::from_millis(u64::try_from(row.call_timeout?).ok()?)))
        })
        .collect();
    let active = rows.iter().filter(|row| row.is_on()).map(|row| row.id.clone()).collect();
    let bindings = rows.into_iter().map(|row| AgentBinding {
        active: row.is_on(),
        agent_id: row.id,
        name: row.name,
        issuer: row.issuer,
        subject: row.subject,
        psa_user: row.psa_user,
        kind: None,
    });
    Ok(Snapshot {
        trust: Trust::new(tenant, issuers, bindings.collect()),
        policies: Arc::new(Policies { default_max, agents, timeouts }),
        active,
        known_issuers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::StoreConfig;

    #[tokio::test]
    async fn a_crowd_that_waits_for_a_look_asks_nothing_itself() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig { url: format!("sqlite://{}/sidegate.db", folder.path().display()) };
        let store = Store::open(&config, Clock::System).await.unwrap();
        let roster = Roster::open(store.clone(), "acme", Effect::Read).await.unwrap();
        let looking = roster.read.lock().await;
        let crowd: Vec<_> = (0..20).map(|_| tokio::spawn(roster.clone().waits())).collect();
        tokio::task::yield_now().await;
        // From here on a look that asks would fail: there is something new, and no way to read it.
        Store::open(&config, Clock::System).await.unwrap().ensure_tenant("other", "Other").await.unwrap();
        store.close().await;
        *roster.looked.lock() = Instant::now();
        drop(looking);
        for waited in crowd {
            assert!(waited.await.unwrap());
        }
        assert!(!roster.waits().await, "who comes later asks");
    }

    impl Roster {
        async fn waits(self: Arc<Self>) -> bool {
            self.reread().await.is_ok()
        }
    }
}
