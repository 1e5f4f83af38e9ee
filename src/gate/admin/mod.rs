//! The administrator's verbs, on one tenant or on all. The command line and the admin listener only translate to them.
//!
//! Whatever changes something takes the [`Actor`] and leaves an event with what was before and what is after.

mod agents;
mod apply;
mod binding;
mod events;
mod explain;
mod export;
mod import;
mod lifecycle;
mod providers;
mod record;
mod tail;
mod tenants;
mod throttle;
mod tokens;
mod verify;

use std::sync::Arc;

pub use agents::{AgentChange, AgentSpec, warnings};
pub use binding::BindingReport;
pub use explain::{Explanation, Step};
pub use export::{Exporting, Form};
pub use import::{Import, Judged};
pub use lifecycle::{Deleted, PsaUserLeft};
pub use providers::{PlatformProvider, Suggestions};
pub use record::{Actor, ActorKind, Journal};
pub use tail::Tail;
pub use tenants::{Admins, TenantChange, TenantSpec};
pub use throttle::Throttle;
pub use tokens::{PREFIX as TOKEN_PREFIX, TokenSpec};
pub use verify::verify_store;

pub use super::pulse::MAX_STALENESS;
pub use crate::psa::{PsaUser, Role};
pub use crate::record::{ChainId, Filter, Record};
pub use crate::store::{AdminTokenRow, AgentFilter, AgentRow, IssuerRow, ManagedBy, TenantRow};

use crate::clock::Clock;
use crate::identity::metadata::Resource;
use crate::identity::preset::Hosted;
use crate::idp::Idp;
use crate::psa::{Directory, KeyError, Keys};
use crate::store::{Store, StoreError};

/// A resource that may be renamed while the server runs.
pub type ResourceNow = Box<dyn Fn() -> Resource + Send + Sync>;

/// What an administrator's verb needs.
pub struct Admin {
    /// Sidegate's own tables.
    pub store: Store,
    /// The tenant that is administered.
    pub tenant: String,
    /// What tokens for the tenant must be made for, as it is known now.
    pub resource: ResourceNow,
    /// Its id in the PSA.
    pub psa_tenant: String,
    /// The issuers of the configuration file, which the next start will trust if it does not yet.
    pub configured_issuers: Vec<String>,
    /// For probing issuers.
    pub idp: Arc<dyn Idp>,
    /// For sweeping and revoking keys.
    pub keys: Arc<dyn Keys>,
    /// For backing users, where the PSA's database or API allows it.
    pub directory: Option<Arc<dyn Directory>>,
    /// The shared applications that are registered with providers.
    pub hosted: Hosted,
    /// Where changes are recorded.
    pub journal: Journal,
    /// The time.
    pub clock: Clock,
}

/// Why a verb did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was described cannot be: every (field, what to do about it).
    #[error("{}", said(.0))]
    Invalid(Vec<(String, String)>),
    /// What was asked for cannot be, with the remedy.
    #[error("{0}")]
    Refused(String),
    /// It would stand against something that is there.
    #[error("{0}")]
    Conflict(String),
    /// There is no such thing in this tenant.
    #[error("{0}")]
    NotFound(String),
    /// This installation cannot do it; the text names the missing setting.
    #[error("{0}")]
    Unsupported(String),
    /// The store's answer.
    #[error(transparent)]
    Store(StoreError),
    /// The record does not take what was submitted; what it says is not complete.
    #[error("{0}")]
    Record(crate::audit::AuditError),
    /// The PSA's answer.
    #[error("the PSA: {0}")]
    Psa(KeyError),
}

fn said(problems: &[(String, String)]) -> String {
    let said: Vec<_> = problems.iter().map(|(key, message)| format!("{key}: {message}")).collect();
    said.join("; ")
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(message) => Self::Conflict(message),
            StoreError::NotFound(message) => Self::NotFound(message),
            other => Self::Store(other),
        }
    }
}

impl From<KeyError> for AdminError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unsupported(message) => Self::Unsupported(message),
            KeyError::Refused(message) | KeyError::NoUser(message) => Self::Refused(message),
            other => Self::Psa(other),
        }
    }
}

/// The problems of a description as a refusal that says all of them.
fn sound(problems: Vec<(String, String)>) -> Result<(), AdminError> {
    if problems.is_empty() { Ok(()) } else { Err(AdminError::Invalid(problems)) }
}

impl Admin {
    /// Removes this tenant's expired keys from the PSA and says how many there were.
    pub async fn sweep_keys(&self) -> Result<u64, AdminError> {
        Ok(self.keys.sweep(self.clock.now()).await?)
    }

    /// The PSA's roles that a backing user can have.
    pub async fn roles(&self) -> Result<Vec<Role>, AdminError> {
        Ok(self.directory()?.roles().await?)
    }

    /// The owner of a PSA key who is an administrator there; none for everybody else.
    pub async fn psa_administrator(
        &self,
        key: &crate::secret::Secret,
    ) -> Result<Option<PsaUser>, AdminError> {
        Ok(self.directory()?.administrator(key).await?)
    }

    fn directory(&self) -> Result<&Arc<dyn Directory>, AdminError> {
        self.directory.as_ref().ok_or_else(|| KeyError::no_directory().into())
    }
}
