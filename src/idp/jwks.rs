//! Key sets kept in memory: one fetch at a time per issuer, in a task of its own, so that a caller
//! who leaves takes no shared fetch along; refresh limits against floods of unknown key ids; the
//! last good keys through an outage.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Discovered, Idp, IdpConfig, IdpError, KeySet, Source, discovery};
use crate::clock::{Clock, Millis};
use crate::identity::trust::TrustedIssuer;
use crate::metrics::Metrics;
use crate::outbound::{Guard, Outbound};

/// The most sources whose keys are kept, of all tenants together; beyond that, whose were asked for
/// least recently are fetched again.
const MAX_ISSUERS: u64 = 1024;

type Fetched = Result<Arc<KeySet>, IdpError>;

/// The clients that issuers are asked with.
pub(super) struct Clients {
    pub usual: Outbound,
    /// For issuers with a way of their own. Whoever names the same `iss` and other keys has none: a
    /// client certificate is shown to nobody it was not meant for.
    pub own: BTreeMap<Source, Outbound>,
}

impl Clients {
    fn of(&self, issuer: &TrustedIssuer) -> &Outbound {
        self.own.get(&super::source(issuer)).unwrap_or(&self.usual)
    }
}

/// The only implementation of [`Idp`].
pub(super) struct Keys {
    config: Arc<IdpConfig>,
    clients: Clients,
    guard: Guard,
    metrics: Arc<Metrics>,
    clock: Clock,
    states: Cache<Source, Arc<Mutex<State>>>,
}

/// What is known about one issuer's keys.
#[derive(Default)]
struct State {
    /// The last good set and when it was fetched.
    good: Option<(Arc<KeySet>, Millis)>,
    /// The last attempt where it failed, and why.
    failed: Option<(Millis, IdpError)>,
    /// When an unknown key id last caused a fetch.
    unknown_asked: Option<Millis>,
    /// The fetch under way.
    flight: Option<watch::Receiver<Option<Fetched>>>,
}

/// What to do for one caller.
#[derive(Debug)]
enum Step {
    /// Answer at once.
    Answer(Fetched),
    /// Answer at once, and fetch for the next caller.
    AnswerAndFetch(Arc<KeySet>),
    /// Fetch, or wait for the fetch under way.
    Fetch,
}

impl State {
    /// Decides by the state at `now`; notes that an unknown key id asks for a fetch.
    fn step(&mut self, key_id: Option<&str>, config: &IdpConfig, now: Millis) -> Step {
        let within = |since: Millis, limit: Millis| (0..limit).contains(&now.saturating_sub(since));
        let pause = config.min_refresh_interval.as_millis();
        let resting = self.failed.as_ref().filter(|(at, _)| within(*at, pause));
        let good = self.good.as_ref().filter(|(_, at)| within(*at, config.keep_last_good.as_millis()));
        match (good, resting) {
            (None, Some((_, error))) => Step::Answer(Err(error.clone())),
            (None, None) => Step::Fetch,
            (Some((set, _)), Some(_)) => Step::Answer(Ok(set.clone())),
            (Some((set, at)), None) if within(*at, config.refresh.as_millis()) => {
                if set.serves(key_id) {
                    return Step::Answer(Ok(set.clone()));
                }
                // A fetch under way may bring the key: whoever asks for it now waits with the others.
                if self.is_fetching() {
                    return Step::Fetch;
                }
                if self.unknown_asked.is_some_and(|asked| within(asked, pause)) {
                    return Step::Answer(Ok(set.clone()));
                }
                self.unknown_asked = Some(now);
                Step::Fetch
            }
            // In an outage nobody who has a known key waits for the next try.
            (Some((set, _)), None) if self.failed.is_some() && set.serves(key_id) => {
                Step::AnswerAndFetch(set.clone())
            }
            (Some(_), None) => Step::Fetch,
        }
    }

    /// False too where the fetch died without an answer: its sender is gone then.
    fn is_fetching(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.has_changed().is_ok())
    }
}

impl Keys {
    pub(super) fn new(config: IdpConfig, clients: Clients, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let states =
            Cache::builder().max_capacity(MAX_ISSUERS).eviction_policy(EvictionPolicy::lru()).build();
        let guard = Guard::public_only(config.allow_private_networks.clone());
        Self { config: Arc::new(config), clients, guard, metrics, clock, states }
    }

    /// The fetch under way, or a new one in a task of its own.
    fn flight(
        &self,
        issuer: &TrustedIssuer,
        shared: &Arc<Mutex<State>>,
        state: &mut State,
    ) -> watch::Receiver<Option<Fetched>> {
        if let Some(flight) = state.flight.as_ref().filter(|_| state.is_fetching()) {
            return flight.clone();
        }
        let (sender, receiver) = watch::channel(None);
        state.flight = Some(receiver.clone());
        let (shared, issuer) = (shared.clone(), issuer.clone());
        let (config, outbound) = (self.config.clone(), self.clients.of(&issuer).clone());
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        tokio::spawn(async move {
            let fetched = timed_fetch(&config, &outbound, &metrics, &issuer).await;
            if let Err(error) = &fetched {
                tracing::warn!(issuer = %issuer.issuer, %error, "the issuer's keys were not refreshed");
            }
            let now = clock.now();
            let mut state = shared.lock();
            state.flight = None;
            let outcome = match fetched {
                Ok((_, set)) => {
                    let set = Arc::new(set);
                    state.failed = None;
                    state.good = Some((set.clone(), now));
                    Ok(set)
                }
                Err(error) => {
                    state.failed = Some((now, error.clone()));
                    let kept = config.keep_last_good.as_millis();
                    let good = state.good.take().filter(|(_, at)| now.saturating_sub(*at) < kept);
                    state.good = good;
                    state.good.as_ref().map(|(set, _)| set.clone()).ok_or(error)
                }
            };
            drop(state);
            // Nobody may be waiting any more; the state has the outcome.
            let _ = sender.send(Some(outcome));
        });
        receiver
    }
}

async fn timed_fetch(
    config: &IdpConfig,
    outbound: &Outbound,
    metrics: &Metrics,
    issuer: &TrustedIssuer,
) -> Result<(String, KeySet), IdpError> {
    let fetch = discovery::fetch(outbound, issuer);
    let fetched = tokio::time::timeout(config.timeout.0, fetch).await.unwrap_or(Err(IdpError::Deadline));
    let outcome = if fetched.is_ok() { "ok" } else { "error" };
    metrics.jwks_refreshes.with_label_values(&[outcome]).inc();
    fetched
}

#[async_trait]
impl Idp for Keys {
    async fn keys(&self, issuer: &TrustedIssuer, key_id: Option<&str>) -> Fetched {
        let shared = self.states.get_with(super::source(issuer), Arc::default);
        let mut flight = {
            let mut state = shared.lock();
            match state.step(key_id, &self.config, self.clock.now()) {
                Step::Answer(answer) => return answer,
                Step::AnswerAndFetch(set) => {
                    self.flight(issuer, &shared, &mut state);
                    return Ok(set);
                }
                Step::Fetch => self.flight(issuer, &shared, &mut state),
            }
        };
        let landed = flight.wait_for(Option::is_some).await.map_err(|_| IdpError::Aborted)?;
        landed.clone().unwrap_or(Err(IdpError::Aborted))
    }

    async fn probe(&self, issuer: &TrustedIssuer) -> Result<Discovered, IdpError> {
        // Judged before the first byte, so that the answer names the guard and not a broken connection.
        for text in [Some(&issuer.issuer), issuer.jwks_uri.as_ref()].into_iter().flatten() {
            let judged = self.guard.judge_url(&discovery::address(text)?).await;
            judged.map_err(|why| IdpError::Unavailable { url: text.clone(), why })?;
        }
        let (jwks_uri, set) =
            timed_fetch(&self.config, self.clients.of(issuer), &self.metrics, issuer).await?;
        if set.keys.is_empty() {
            return Err(IdpError::NoKeys { url: jwks_uri });
        }
        let mut algorithms: Vec<String> = Vec::new();
        for algorithm in set.keys.iter().flat_map(|key| key.algorithms()) {
            if !algorithms.iter().any(|known| known == algorithm.name()) {
                algorithms.push(algorithm.name().to_owned());
            }
        }
        Ok(Discovered { jwks_uri, keys: set.keys.len(), algorithms })
    }

    fn judge(&self, issuer: &TrustedIssuer) -> Result<(), IdpError> {
        let addresses = [Some(&issuer.issuer), issuer.jwks_uri.as_ref()];
        addresses.into_iter().flatten().try_for_each(|address| super::judge(&self.guard, address))
    }

    fn reload(&self) -> Result<(), IdpError> {
        // Each of them, whatever another's files are like.
        let clients = std::iter::once(&self.clients.usual).chain(self.clients.own.values());
        let reloaded: Vec<_> = clients.map(Outbound::reload).collect();
        reloaded.into_iter().collect::<Result<(), _>>().map_err(IdpError::Setup)
    }
}
