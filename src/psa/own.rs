//! The door to an AlgaPSA for one person with a key of their own: no source of keys, no database, no configuration file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::alga::Rest;
use super::{CatalogCredential, Credential, KeyError, Keys, Principal, PsaConfig, PsaDoor, PsaError};
use crate::clock::Millis;
use crate::secret::Secret;
use crate::units::Span;

/// What such a person says about the PSA and themselves.
#[derive(Clone, Debug)]
pub struct OwnKey {
    /// Where the PSA's REST API is, with a path prefix where it has one.
    pub url: String,
    /// The key; travels as `x-api-key`.
    pub key: Secret,
    /// Travels as `x-tenant-id` where it is there.
    pub tenant: Option<String>,
    /// Within which one call must be answered.
    pub timeout: Duration,
    /// Where the registry of endpoints is, below `url`.
    pub registry_path: String,
    /// PEM certificates that vouch for the PSA beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Opens the door. Nothing is sent yet.
///
/// # Errors
/// [`PsaError::Misconfigured`], which names the variable it was read from.
pub fn with_own_key(own: OwnKey) -> Result<PsaDoor, PsaError> {
    let base = super::config::base_url(&own.url)
        .map_err(|message| PsaError::Misconfigured(format!("ALGA_INSTANCE_URL {message}")))?;
    let config = PsaConfig {
        tenant: own.tenant.unwrap_or_default(),
        timeout: Span(own.timeout),
        ca_file: own.ca_file,
        ..PsaConfig::default()
    };
    let rest =
        Rest::new(&config, &base)?.of_a_person(own.registry_path, "ALGA_INSTANCE_URL", "ALGA_API_TOKEN");
    let credential = Credential::new(own.key, "own".to_owned(), None);
    Ok(PsaDoor {
        psa: Arc::new(rest),
        keys: Arc::new(TheOne(credential.clone())),
        directory: None,
        catalog_credential: CatalogCredential::Fixed(credential),
    })
}

/// Only ever this key.
struct TheOne(Credential);

#[async_trait]
impl Keys for TheOne {
    async fn mint(&self, _who: &Principal, _ttl: Duration, _now: Millis) -> Result<Credential, KeyError> {
        Ok(self.0.clone())
    }

    /// Nothing to do: the key is its owner's to end.
    async fn revoke(&self, _key_id: &str) -> Result<(), KeyError> {
        Ok(())
    }

    async fn revoke_agent(&self, _agent_id: &str) -> Result<u64, KeyError> {
        Ok(0)
    }

    async fn sweep(&self, _now: Millis) -> Result<u64, KeyError> {
        Ok(0)
    }
}
