//! The PSA's catalogue in memory: loaded from the store at start, refreshed from the PSA.
//!
//! It is fetched under a key of its own, never under an agent's.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::credential::Credentials;
use crate::clock::{Clock, Millis};
use crate::metrics::Metrics;
use crate::psa::{CatalogCredential, Credential, Psa, PsaError};
use crate::tool::about::About;
use crate::tool::catalog::{Catalog, CatalogRules};

/// The catalogue in use and when the PSA was last seen to have it.
pub struct Loaded {
    /// The entries.
    pub catalog: Catalog,
    /// None while nothing was ever loaded.
    pub fetched_at: Option<Millis>,
}

/// What was kept of a catalogue.
pub struct Kept {
    /// The registry as the PSA wrote it.
    pub body: Vec<u8>,
    /// When it was fetched.
    pub fetched_at: Millis,
}

/// Where a catalogue outlives the process.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// What was kept last.
    async fn kept(&self) -> Result<Option<Kept>, String>;

    /// Keeps `body` instead.
    async fn keep(&self, hash: &str, body: &[u8], now: Millis) -> Result<(), String>;
}

/// The catalogue and what it takes to keep it fresh.
pub struct Catalogue {
    current: ArcSwap<Loaded>,
    rules: ArcSwap<CatalogRules>,
    /// One body at a time, so that none judged by old rules comes to stand over one judged by new ones.
    taking: parking_lot::Mutex<()>,
    /// When the PSA was last asked for it, and whether it gave it.
    asked: parking_lot::Mutex<Option<(Millis, bool)>>,
    psa: Arc<dyn Psa>,
    key: CatalogCredential,
    credentials: Arc<Credentials>,
    shelf: Option<Arc<dyn Shelf>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// The parts a [`Catalogue`] is made of.
pub struct CatalogueParts {
    /// Which entries are offered, and their effects.
    pub rules: CatalogRules,
    /// The PSA that has it.
    pub psa: Arc<dyn Psa>,
    /// The key of its own.
    pub key: CatalogCredential,
    /// Where that key is minted, if it is.
    pub credentials: Arc<Credentials>,
    /// Where it is kept for a start without the PSA.
    pub shelf: Option<Arc<dyn Shelf>>,
    /// The time.
    pub clock: Clock,
    /// Its age, hash and size.
    pub metrics: Arc<Metrics>,
}

impl Catalogue {
    /// An empty catalogue, or the one that the store kept.
    pub async fn open(parts: CatalogueParts) -> Arc<Self> {
        let CatalogueParts { rules, psa, key, credentials, shelf, clock, metrics } = parts;
        let empty = Arc::new(Loaded { catalog: Catalog::empty(), fetched_at: None });
        let this = Self {
            current: ArcSwap::new(empty),
            rules: ArcSwap::from_pointee(rules),
            taking: parking_lot::Mutex::default(),
            asked: parking_lot::Mutex::default(),
            psa,
            key,
            credentials,
            shelf,
            clock,
            metrics,
        };
        if let Err(error) = this.take_kept().await {
            tracing::warn!(%error, "the kept catalogue cannot be used");
        }
        Arc::new(this)
    }

    /// Judges the kept catalogue by `rules`, and every later one.
    ///
    /// # Errors
    /// In words, where `rules` would offer nothing or the store cannot be read; the rules stay as they were.
    pub async fn adopt(&self, rules: CatalogRules) -> Result<(), String> {
        let before = self.rules.swap(Arc::new(rules));
        let taken = self.take_kept().await;
        if taken.is_err() {
            self.rules.store(before);
        }
        taken
    }

    async fn take_kept(&self) -> Result<(), String> {
        let Some(shelf) = &self.shelf else { return Ok(()) };
        match shelf.kept().await? {
            Some(kept) => self.take(&kept.body, kept.fetched_at).map(drop),
            None => Ok(()),
        }
    }

    /// The catalogue in use.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// When the PSA was last asked for it, and whether it gave it; none: not yet by this process.
    pub fn asked(&self) -> Option<(Millis, bool)> {
        *self.asked.lock()
    }

    /// True once there is one, from wherever.
    pub fn is_loaded(&self) -> bool {
        self.current.load().fetched_at.is_some()
    }

    /// Brings the age gauge up to now.
    pub fn observe(&self) {
        if let Some(fetched_at) = self.current.load().fetched_at {
            self.metrics.catalog_age.set((self.clock.now() - fetched_at).max(0) as f64 / 1000.0);
        }
    }

    /// Fetches the catalogue once.
    ///
    /// # Errors
    /// In words, for the log; what was in use stays in use.
    pub async fn refresh(&self) -> Result<(), String> {
        let fetched = self.fetch().await;
        *self.asked.lock() = Some((self.clock.now(), fetched.is_ok()));
        let outcome = if fetched.is_ok() { "ok" } else { "error" };
        self.metrics.catalog_refreshes.with_label_values(&[outcome]).inc();
        fetched
    }

    /// Keeps the catalogue fresh; ends only with its task. Waits `every` between fetches and,
    /// after a failure, from one second up to a minute, both with jitter, so that replicas spread out.
    pub async fn follow(self: Arc<Self>, every: Duration) {
        let mut failures = 0;
        loop {
            let pause = match self.refresh().await {
                Ok(()) => {
                    failures = 0;
                    every
                }
                Err(error) => {
                    tracing::warn!(%error, "the catalogue cannot be fetched; what was loaded stays in use");
                    failures = (failures + 1).min(6);
                    Duration::from_secs(1 << failures).min(every).min(Duration::from_secs(60))
                }
            };
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.85..1.15))).await;
        }
    }

    /// The same for a catalogue that was fetched just now.
    pub async fn follow_later(self: Arc<Self>, every: Duration) {
        tokio::time::sleep(every).await;
        self.follow(every).await;
    }

    async fn fetch(&self) -> Result<(), String> {
        let credential = match &self.key {
            CatalogCredential::Fixed(credential) => Arc::new(credential.clone()),
            CatalogCredential::Minted(principal) => {
                self.credentials.for_principal(principal).await.map_err(|error| error.to_string())?
            }
        };
        let body = match self.psa.catalog(&credential).await {
            Ok(body) => body,
            Err(error) => {
                // Removed on the PSA's side: the next try mints anew.
                if matches!(error, PsaError::KeyRefused(_)) {
                    self.renew(&credential);
                }
                return Err(error.to_string());
            }
        };
        let now = self.clock.now();
        let hash = self.take(&body, now)?;
        let Some(shelf) = &self.shelf else { return Ok(()) };
        let kept = shelf.keep(&hash, &body, now).await;
        kept.map_err(|error| format!("the catalogue is in use but could not be kept: {error}"))
    }

    fn renew(&self, refused: &Credential) {
        if let CatalogCredential::Minted(principal) = &self.key {
            self.credentials.discard(principal, refused);
        }
    }

    /// Puts `body` into use and returns its hash.
    fn take(&self, body: &[u8], fetched_at: Millis) -> Result<String, String> {
        let _alone = self.taking.lock();
        let catalog =
            Catalog::with(body, &self.rules.load(), &About::ALL).map_err(|error| error.to_string())?;
        if catalog.registered().is_empty() {
            return Err(format!(
                "the registry offers no entry that may be used ({} outside the rules, {} unusable)",
                catalog.excluded().len(),
                catalog.skipped().len()
            ));
        }
        let hash = catalog.hash().to_owned();
        self.metrics.catalog_is(&hash);
        self.metrics.catalog_entries.set(i64::try_from(catalog.registered().len()).unwrap_or(i64::MAX));
        if self.current.load().catalog.hash() != hash {
            tracing::info!(
                hash = %hash.get(..12).unwrap_or(&hash),
                entries = catalog.registered().len(),
                left_out = catalog.skipped().len(),
                "a new catalogue is in use"
            );
        }
        let idle = catalog.unrepaired();
        if !idle.is_empty() && self.current.load().catalog.unrepaired() != idle {
            tracing::info!(rows = idle.join(", "), "the registry has no entry for these rows of the overlay");
        }
        self.current.store(Arc::new(Loaded { catalog, fetched_at: Some(fetched_at) }));
        Ok(hash)
    }
}
