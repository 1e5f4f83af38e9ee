//! Each agent's own short-lived key: cached, minted by one caller for all, renewed ahead of
//! its end, revoked when the agent is switched off and when the process ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::clock::{Clock, Millis};
use crate::identity::trust::Caller;
use crate::metrics::Metrics;
use crate::psa::{Credential, KeyError, Keys, Principal};

/// How long a failed mint answers for the callers that wait behind it.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// The shortest time between two replacements of an agent's refused keys.
const REPLACEMENT_PACE: Duration = Duration::from_secs(10);

/// How often a key is made again that was closed while it was being made.
const CLOSINGS: usize = 5;

/// A key with less than this left is not used for another call.
const MARGIN: Millis = 5_000;

/// Who may have a key.
#[async_trait]
pub trait Standing: Send + Sync {
    /// Whether `id` may, by a look at the agents that is made now.
    async fn may_have_a_key(&self, id: &str) -> Result<bool, KeyError>;
}

/// The keys of all agents.
pub struct Credentials {
    keys: Arc<dyn Keys>,
    ttl: Duration,
    clock: Clock,
    metrics: Arc<Metrics>,
    standing: Option<Arc<dyn Standing>>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One agent's key. The state is small and held briefly; `minting` is held across the mint.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    minting: tokio::sync::Mutex<()>,
}

/// What is held of an agent.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The PSA user that it was minted for; nothing yet: none either.
    pub user: Option<String>,
    /// When the oldest was minted; none yet: no time.
    pub since: Option<Millis>,
}

#[derive(Default)]
struct State {
    held: Held,
    current: Option<Arc<Credential>>,
    renew_at: Millis,
    /// Keys that were minted and may still be good, to be revoked with the agent.
    issued: Vec<Arc<Credential>>,
    failure: Option<(Instant, KeyError)>,
    replaced: Option<Instant>,
    closed: bool,
}

enum Lookup {
    Use(Arc<Credential>),
    UseAndRenew(Arc<Credential>),
    /// Nothing lasts; what there is, if anything, is to be replaced.
    Mint(Option<Arc<Credential>>),
}

impl Credentials {
    /// No keys yet; each will live for `ttl`. Whom `standing` does not let have one gets none.
    pub fn new(
        keys: Arc<dyn Keys>,
        ttl: Duration,
        clock: Clock,
        metrics: Arc<Metrics>,
        standing: Option<Arc<dyn Standing>>,
    ) -> Arc<Self> {
        Arc::new(Self { keys, ttl, clock, metrics, standing, slots: Mutex::default() })
    }

    /// The key of `caller`'s agent.
    pub async fn for_caller(self: &Arc<Self>, caller: &Caller) -> Result<Arc<Credential>, KeyError> {
        self.obtain(caller.agent_id(), || principal(caller)).await
    }

    /// The key of `who`, minted if there is none that lasts.
    pub async fn for_principal(self: &Arc<Self>, who: &Principal) -> Result<Arc<Credential>, KeyError> {
        self.obtain(&who.agent_id, || who.clone()).await
    }

    /// A hit needs no principal: nothing is copied on the hot path.
    async fn obtain(
        self: &Arc<Self>,
        agent_id: &str,
        who: impl FnOnce() -> Principal,
    ) -> Result<Arc<Credential>, KeyError> {
        match self.slot(agent_id).look(self.clock.now()) {
            Lookup::Use(credential) => Ok(credential),
            Lookup::UseAndRenew(credential) => {
                drop(self.mint_in_a_task(who(), Some(credential.clone())));
                Ok(credential)
            }
            Lookup::Mint(stale) => self
                .mint_in_a_task(who(), stale)
                .await
                .unwrap_or_else(|_| Err(KeyError::Unavailable("minting was interrupted".to_owned()))),
        }
    }

    /// Another key in place of one that the PSA refused; minted once however many ask. None where there is
    /// only this one, and while the last replacement is younger than [`REPLACEMENT_PACE`]: a PSA that
    /// refuses every key must not be given one a call.
    pub async fn replace(
        self: &Arc<Self>,
        caller: &Caller,
        refused: &Credential,
    ) -> Result<Option<Arc<Credential>>, KeyError> {
        {
            let slot = self.slot(caller.agent_id());
            let mut state = slot.state.lock();
            if state.uses(refused) {
                if state.replaced.is_some_and(|at| at.elapsed() < REPLACEMENT_PACE) {
                    return Ok(None);
                }
                state.replaced = Some(Instant::now());
                state.current = None;
            }
        }
        let key = self.for_caller(caller).await?;
        Ok((key.key() != refused.key()).then_some(key))
    }

    /// Forgets a key that the PSA refused, unless another is in use already.
    pub fn discard(&self, who: &Principal, refused: &Credential) {
        let slot = self.slot(&who.agent_id);
        let mut state = slot.state.lock();
        if state.uses(refused) {
            state.current = None;
        }
    }

    /// Revokes the keys of all whom `may` does not let have those.
    pub async fn revoke_unless(&self, may: impl Fn(&str, &Held) -> bool) {
        let gone: Vec<_> = {
            let mut slots = self.slots.lock();
            let kept = |id: &str, slot: &Slot| may(id, &slot.state.lock().held);
            let ids: Vec<_> =
                slots.iter().filter(|(id, slot)| !kept(id, slot)).map(|(id, _)| id.clone()).collect();
            ids.into_iter().filter_map(|id| slots.remove(&id)).collect()
        };
        join_all(gone.iter().map(|slot| self.close(slot))).await;
    }

    /// Removes expired keys of ours at a steady pace; ends only with its task.
    pub async fn sweep(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every.mul_f64(rand::random_range(0.85..1.15))).await;
            match self.keys.sweep(self.clock.now()).await {
                Ok(count) => self.metrics.key_removals.with_label_values(&["swept"]).inc_by(count),
                Err(error) => {
                    self.metrics.key_removal_failures.inc();
                    tracing::warn!(%error, "expired keys could not be removed");
                }
            }
        }
    }

    /// Revokes every key of this process.
    pub async fn shutdown(&self) {
        let slots: Vec<_> = self.slots.lock().drain().map(|(_, slot)| slot).collect();
        join_all(slots.iter().map(|slot| self.close(slot))).await;
    }

    /// How many keys can be used now, and how many were minted and may still be good.
    pub fn count(&self) -> (usize, usize) {
        let now = self.clock.now();
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        let lasts = |key: &Arc<Credential>| key.expires_at().is_none_or(|end| end > now);
        let (mut usable, mut outstanding) = (0, 0);
        for slot in slots {
            let state = slot.state.lock();
            usable += usize::from(state.current.as_ref().is_some_and(lasts));
            outstanding += state.issued.iter().filter(|key| lasts(key)).count();
        }
        (usable, outstanding)
    }

    fn slot(&self, agent_id: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        match slots.get(agent_id) {
            Some(slot) => slot.clone(),
            None => slots.entry(agent_id.to_owned()).or_default().clone(),
        }
    }

    /// Mints in place of `stale`, unless another caller did so meanwhile; in a task of its own,
    /// so that the caller's leaving takes no shared mint along.
    fn mint_in_a_task(
        self: &Arc<Self>,
        who: Principal,
        stale: Option<Arc<Credential>>,
    ) -> tokio::task::JoinHandle<Result<Arc<Credential>, KeyError>> {
        let this = self.clone();
        tokio::spawn(async move {
            for _ in 0..CLOSINGS {
                if let Some(done) = this.mint_once(&who, stale.as_ref()).await {
                    return done;
                }
            }
            Err(KeyError::Unavailable("the agent's keys are being replaced".to_owned()))
        })
    }

    /// None where all keys of the agent were closed meanwhile: it may have been switched off, or have had its keys
    /// replaced, and only another look tells.
    async fn mint_once(
        &self,
        who: &Principal,
        stale: Option<&Arc<Credential>>,
    ) -> Option<Result<Arc<Credential>, KeyError>> {
        let slot = self.slot(&who.agent_id);
        let _alone = slot.minting.lock().await;
        let current = slot.state.lock().current.clone();
        if let Some(current) = current
            && stale.is_none_or(|stale| !Arc::ptr_eq(stale, &current))
        {
            return Some(Ok(current));
        }
        if let Some((at, failure)) = &slot.state.lock().failure
            && at.elapsed() < FAILURE_KEPT
        {
            return Some(Err(failure.clone()));
        }
        if let Err(error) = self.still_on(who).await {
            return Some(Err(error));
        }
        self.mint(&slot, who).await.transpose()
    }

    /// Looks at the store afresh before a key is made. The slot stands already: an agent that is
    /// switched off after this look has its slot closed by [`Credentials::revoke_unless`], and the key with it.
    async fn still_on(&self, who: &Principal) -> Result<(), KeyError> {
        let Some(standing) = &self.standing else { return Ok(()) };
        if standing.may_have_a_key(&who.agent_id).await? {
            Ok(())
        } else {
            Err(KeyError::Refused("the agent is switched off".to_owned()))
        }
    }

    async fn mint(&self, slot: &Slot, who: &Principal) -> Result<Option<Arc<Credential>>, KeyError> {
        let now = self.clock.now();
        {
            let mut state = slot.state.lock();
            state.held.user.clone_from(&who.psa_user);
            state.held.since.get_or_insert(now);
        }
        let begun = Instant::now();
        let minted = self.keys.mint(who, self.ttl, now).await;
        self.metrics.key_mint_seconds.observe(begun.elapsed().as_secs_f64());
        let outcome = if minted.is_ok() { "ok" } else { "error" };
        self.metrics.key_mints.with_label_values(&[outcome]).inc();
        let credential = match minted {
            Ok(credential) => Arc::new(credential),
            Err(error) => {
                tracing::warn!(agent = %who.agent_name, %error, "no key could be minted");
                slot.state.lock().failure = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let closed = {
            let mut state = slot.state.lock();
            state.failure = None;
            state.renew_at = credential.expires_at().map_or(Millis::MAX, |end| now + (end - now) * 3 / 4);
            state.issued.retain(|issued| issued.expires_at().is_none_or(|end| end > now));
            if credential.expires_at().is_some() {
                state.issued.push(credential.clone());
            }
            state.current = Some(credential.clone());
            state.closed
        };
        if closed {
            self.close(slot).await;
            return Ok(None);
        }
        Ok(Some(credential))
    }

    async fn close(&self, slot: &Slot) {
        let issued = {
            let mut state = slot.state.lock();
            state.closed = true;
            state.current = None;
            std::mem::take(&mut state.issued)
        };
        for credential in issued {
            match self.keys.revoke(credential.key_id()).await {
                Ok(()) => self.metrics.key_removals.with_label_values(&["revoked"]).inc(),
                Err(error) => {
                    self.metrics.key_removal_failures.inc();
                    tracing::warn!(%error, "a key could not be revoked; it ends by itself");
                }
            }
        }
    }
}

impl State {
    fn uses(&self, credential: &Credential) -> bool {
        self.current.as_ref().is_some_and(|current| current.key_id() == credential.key_id())
    }
}

impl Slot {
    fn look(&self, now: Millis) -> Lookup {
        let mut state = self.state.lock();
        match state.current.clone() {
            Some(key) if key.expires_at().is_some_and(|end| end <= now + MARGIN) => Lookup::Mint(Some(key)),
            Some(key) if now >= state.renew_at => {
                // One caller renews; should that fail, another tries a second later.
                state.renew_at = now + 1_000;
                Lookup::UseAndRenew(key)
            }
            Some(key) => Lookup::Use(key),
            None => Lookup::Mint(None),
        }
    }
}

fn principal(caller: &Caller) -> Principal {
    Principal {
        tenant: caller.tenant().to_owned(),
        agent_id: caller.agent_id().to_owned(),
        agent_name: caller.agent_name().to_owned(),
        psa_user: caller.psa_user().map(str::to_owned),
    }
}
