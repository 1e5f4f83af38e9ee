//! One tenant's issuers and agents in memory, following the store.
//!
//! Every call reads the binding here, never in a cache of tokens, so that an
//! agent that is switched off, by another process too, is refused on its next call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::credential::{Credentials, Held, Standing};
use super::pulse::Pulse;
use crate::clock::Millis;
use crate::identity::kind::AgentKind;
use crate::identity::preset::{self, Hosted};
use crate::identity::trust::{AgentBinding, Bindings, Trust, TrustedIssuer};
use crate::policy::Policies;
use crate::psa::{CATALOG_PRINCIPAL, KeyError};
use crate::store::{AgentRow, IssuerRow, Store, StoreError};
use crate::tool::effect::Effect;

/// One look at the store.
pub struct Snapshot {
    /// Who may speak for whom.
    pub trust: Trust,
    /// What each may do at most.
    pub policies: Arc<Policies>,
    /// What holds for the keys of the agents that are switched on, by id.
    pub active: HashMap<Arc<str>, KeyTerms>,
    /// Every issuer of the tenant, switched off ones too.
    pub known_issuers: Vec<String>,
}

impl Snapshot {
    /// True for an agent that is on, and for the catalogue's service user, which is no agent.
    fn may_have_a_key(&self, id: &str) -> bool {
        id == CATALOG_PRINCIPAL || self.active.contains_key(id)
    }

    /// Whether what is held for an agent is still what it may have.
    fn may_keep(&self, id: &str, held: &Held) -> bool {
        let Some(terms) = self.active.get(id) else { return id == CATALOG_PRINCIPAL };
        held.since.is_none_or(|since| {
            held.user.as_deref() == terms.user.as_deref()
                && terms.void_before.is_none_or(|before| since >= before)
        })
    }
}

/// What holds for an agent's keys.
#[derive(Clone)]
pub struct KeyTerms {
    user: Option<Arc<str>>,
    void_before: Option<Millis>,
}

/// What holds for agents and issuers that say nothing of their own.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The most that an agent may do.
    pub max_effect: Effect,
    /// The shared applications: their providers are trusted without a row, for tokens that were made for them.
    pub hosted: Hosted,
}

/// What was read, and how. Tables are changed an agent at a time and cloned for a snapshot, which copies no text.
struct Read {
    defaults: Defaults,
    issuers: Vec<IssuerRow>,
    agents: HashMap<Arc<str>, Arc<AgentBinding>>,
    bindings: Bindings,
    active: HashMap<Arc<str>, KeyTerms>,
    policies: Arc<Policies>,
}

/// The table that follows the store.
pub struct Roster {
    pulse: Arc<Pulse>,
    store: Store,
    tenant: String,
    latest: watch::Sender<Arc<Snapshot>>,
    read: Mutex<Read>,
    version: AtomicI64,
}

impl Roster {
    /// Reads the tenant's rows once and follows them from then on.
    pub async fn open(
        pulse: Arc<Pulse>,
        store: Store,
        tenant: &str,
        defaults: Defaults,
    ) -> Result<Arc<Self>, StoreError> {
        let mut read = Read::new(defaults);
        let version = read.on(&store, tenant, -1).await?;
        let snapshot = read.snapshot(tenant);
        Ok(Arc::new(Self {
            pulse,
            store,
            tenant: tenant.to_owned(),
            latest: watch::Sender::new(Arc::new(snapshot)),
            read: Mutex::new(read),
            version: AtomicI64::new(version),
        }))
    }

    /// The rows as they were at most [`MAX_STALENESS`](super::MAX_STALENESS) ago.
    ///
    /// # Errors
    /// The store's, when it cannot be read: the caller must then be refused.
    pub async fn current(&self) -> Result<Arc<Snapshot>, StoreError> {
        // Nearly always, and asked several times a call.
        if self.pulse.is_recent() && !self.is_behind()? {
            return Ok(self.latest());
        }
        Box::pin(async {
            self.pulse.recent().await?;
            self.catch_up().await?;
            Ok(self.latest())
        })
        .await
    }

    /// The rows as they are now, whatever was read a moment ago.
    pub async fn reread(&self) -> Result<Arc<Snapshot>, StoreError> {
        self.pulse.look().await?;
        self.catch_up().await?;
        Ok(self.latest())
    }

    /// From now on `defaults` hold.
    pub async fn adopt(&self, defaults: Defaults) {
        let mut read = self.read.lock().await;
        read.defaults = defaults;
        self.latest.send_replace(Arc::new(read.snapshot(&self.tenant)));
    }

    /// The rows as they were last read, however long ago: for what only describes this server.
    pub fn latest(&self) -> Arc<Snapshot> {
        self.latest.borrow().clone()
    }

    /// True where the store was read within the last seconds.
    pub fn is_fresh(&self) -> bool {
        self.pulse.is_fresh()
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
            credentials.revoke_unless(|id, held| snapshot.may_keep(id, held)).await;
        }
    }

    /// Reads on whenever the store has come further; ends only with its task.
    pub async fn follow(self: Arc<Self>) {
        let mut versions = self.pulse.watch();
        while versions.changed().await.is_ok() {
            if let Err(error) = self.catch_up().await {
                tracing::error!(tenant = self.tenant, %error, "the tenant's agents cannot be read");
                // The next caller tries again; without any, the next change.
                tokio::time::sleep(Duration::from_millis(500)).await;
                versions.mark_changed();
            }
        }
    }

    /// Whether something has changed that was not read.
    fn is_behind(&self) -> Result<bool, StoreError> {
        let there = self.pulse.version(&self.tenant);
        let none = || StoreError::NotFound(format!("there is no tenant `{}`", self.tenant));
        Ok(self.version.load(Ordering::Acquire) < there.ok_or_else(none)?)
    }

    /// Reads what has changed since the last time, if anything has.
    async fn catch_up(&self) -> Result<(), StoreError> {
        if !self.is_behind()? {
            return Ok(());
        }
        let mut read = self.read.lock().await;
        if !self.is_behind()? {
            return Ok(());
        }
        let known = self.version.load(Ordering::Acquire);
        let version = read.on(&self.store, &self.tenant, known).await?;
        self.latest.send_replace(Arc::new(read.snapshot(&self.tenant)));
        self.version.store(version, Ordering::Release);
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

impl Read {
    fn new(defaults: Defaults) -> Self {
        Self {
            policies: Arc::new(Policies::alike(defaults.max_effect)),
            defaults,
            issuers: Vec::new(),
            agents: HashMap::new(),
            bindings: Bindings::default(),
            active: HashMap::new(),
        }
    }

    /// Reads what has changed since `version`, and says up to which it has read.
    async fn on(&mut self, store: &Store, tenant: &str, version: i64) -> Result<i64, StoreError> {
        // The agents' version comes with them. Issuers that are newer than it only do what is due anyway.
        let (version, agents) = store.agents_since(tenant, version).await?;
        self.issuers = store.issuers(tenant).await?;
        for row in &agents {
            self.take_out(&row.id);
            if row.retired_at.is_none() && row.deleted_at.is_none() {
                self.put_in(row);
            }
        }
        Ok(version)
    }

    fn take_out(&mut self, id: &str) {
        if let Some(known) = self.agents.remove(id) {
            self.bindings.unbind(&known);
        }
        self.active.remove(id);
        let Policies { agents, timeouts, roles, .. } = &*self.policies;
        if agents.contains_key(id) || timeouts.contains_key(id) || roles.contains_key(id) {
            let policies = Arc::make_mut(&mut self.policies);
            policies.agents.remove(id);
            policies.timeouts.remove(id);
            policies.roles.remove(id);
        }
    }

    fn put_in(&mut self, row: &AgentRow) {
        let (id, bound): (Arc<str>, _) = (row.id.as_str().into(), Arc::new(binding(row)));
        self.bindings.bind(bound.clone());
        self.agents.insert(id.clone(), bound);
        if row.is_on() {
            self.active.insert(id, key_terms(row));
        }
        // A word the policy does not know must not widen what an agent may do.
        let most = row.max_effect.as_deref().map(|word| Effect::parse(word).unwrap_or(Effect::Read));
        let timeout = row.call_timeout.and_then(|bound| u64::try_from(bound).ok()).map(Duration::from_millis);
        if most.is_some() || timeout.is_some() || !row.roles.is_empty() {
            let policies = Arc::make_mut(&mut self.policies);
            policies.agents.extend(most.map(|most| (row.id.clone(), most)));
            policies.timeouts.extend(timeout.map(|timeout| (row.id.clone(), timeout)));
            if !row.roles.is_empty() {
                policies.roles.insert(row.id.clone(), row.roles.clone());
            }
        }
    }

    fn snapshot(&mut self, tenant: &str) -> Snapshot {
        if self.policies.default_max != self.defaults.max_effect {
            Arc::make_mut(&mut self.policies).default_max = self.defaults.max_effect;
        }
        let mut issuers: Vec<_> = self.issuers.iter().filter(|row| row.active).map(trusted).collect();
        // A row that shares a name with it is an administrator's word and counts first; one that is off keeps it off.
        let spoken_for = |hosted: &TrustedIssuer| {
            self.issuers.iter().any(|row| trusted(row).shared_identifier(hosted).is_some())
        };
        let hosted = preset::hosted(&self.defaults.hosted, self.bindings.issuers());
        issuers.extend(hosted.into_iter().filter(|hosted| !spoken_for(hosted)));
        Snapshot {
            trust: Trust::new(tenant, issuers, self.bindings.clone()),
            policies: self.policies.clone(),
            active: self.active.clone(),
            known_issuers: self.issuers.iter().map(|row| row.issuer.clone()).collect(),
        }
    }
}

fn key_terms(row: &AgentRow) -> KeyTerms {
    KeyTerms { user: row.psa_user.as_deref().map(Arc::from), void_before: row.keys_void_before }
}

/// One look at a tenant's rows, for who does not follow them.
pub(super) async fn read(store: &Store, tenant: &str, defaults: Defaults) -> Result<Snapshot, StoreError> {
    let mut read = Read::new(defaults);
    read.on(store, tenant, -1).await?;
    Ok(read.snapshot(tenant))
}

/// How a row of an issuer is trusted.
pub(super) fn trusted(row: &IssuerRow) -> TrustedIssuer {
    TrustedIssuer {
        issuer: row.issuer.clone(),
        aliases: row.aliases.clone(),
        jwks_uri: row.jwks_uri.clone(),
        audiences: row.audiences.clone(),
        own_audiences_only: false,
        subject_claim: row.subject_claim.clone(),
        max_age: row.max_age,
        leeway: row.leeway,
        required_scopes: row.required_scopes.clone(),
        require_bound_tokens: row.require_bound_tokens,
    }
}

fn binding(row: &AgentRow) -> AgentBinding {
    AgentBinding {
        active: row.is_on() && known_kind(row),
        agent_id: row.id.clone(),
        name: row.name.clone(),
        issuer: row.issuer.clone(),
        subject: row.subject.clone(),
        kind: row.kind.as_deref().and_then(AgentKind::parse),
        psa_user: row.psa_user.clone(),
    }
}

/// A kind that this version does not know must not let in whom a newer one would refuse.
fn known_kind(row: &AgentRow) -> bool {
    row.kind.as_deref().is_none_or(|kind| AgentKind::parse(kind).is_some())
}
