//! The administrator's verbs. The command line, and later the admin listener, only translate to them.

mod agents;
mod apply;
mod explain;
mod issuers;
mod throttle;

use std::sync::Arc;

pub use agents::{AgentSpec, Role};
pub use explain::{Explanation, Step};

pub use super::roster::MAX_STALENESS;
pub use throttle::Throttle;

use crate::clock::Clock;
use crate::idp::Idp;
use crate::psa::{Directory, KeyError, Keys};
use crate::store::{Store, StoreError};

/// What an administrator's verb needs.
pub struct Admin {
    /// Sidegate's own tables.
    pub store: Store,
    /// The tenant that is administered.
    pub tenant: String,
    /// The issuers of the configuration file, which the next start will trust if it does not yet.
    pub configured_issuers: Vec<String>,
    /// For probing issuers.
    pub idp: Arc<dyn Idp>,
    /// For sweeping keys.
    pub keys: Arc<dyn Keys>,
    /// For provisioning backing users, where the PSA's database or API allows it.
    pub directory: Option<Arc<dyn Directory>>,
    /// The time.
    pub clock: Clock,
}

/// Why a verb did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was asked for cannot be, with the remedy.
    #[error("{0}")]
    Refused(String),
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The PSA's answer.
    #[error("the PSA: {0}")]
    Psa(#[from] KeyError),
}

/// The problems of a description as a refusal that says all of them.
fn said(problems: Vec<(String, String)>) -> Result<(), AdminError> {
    let said: Vec<_> = problems.into_iter().map(|(key, message)| format!("{key}: {message}")).collect();
    if said.is_empty() { Ok(()) } else { Err(AdminError::Refused(said.join("; "))) }
}

impl Admin {
    /// Removes this tenant's expired keys from the PSA and says how many there were.
    pub async fn sweep_keys(&self) -> Result<u64, AdminError> {
        Ok(self.keys.sweep(self.clock.now()).await?)
    }
}
