//! AlgaPSA: its REST side, and the table of places its keys can come from.

#[cfg(feature = "server")]
mod db;
mod demo;
#[cfg(feature = "server")]
mod directory;
mod key;
#[cfg(feature = "server")]
mod postgres;
mod rest;
mod static_keys;

use std::sync::Arc;

use uuid::Uuid;

pub(super) use rest::Rest;

use super::config::{PsaConfig, base_url};
use super::{
    CATALOG_PRINCIPAL, CatalogCredential, Credential, Directory, Keys, Principal, PsaDoor, PsaError,
};

/// Keys, and users and roles where the source can write them.
type Source = (Arc<dyn Keys>, Option<Arc<dyn Directory>>);

/// One place where keys come from.
struct KeySource {
    /// What `psa.keys` says.
    name: &'static str,
    /// Whether it can mint a key for any user it is told, such as the catalogue's.
    mints: bool,
    problems: fn(&PsaConfig) -> Vec<(String, String)>,
    open: fn(&PsaConfig) -> Result<Source, PsaError>,
}

static SOURCES: &[KeySource] = &[
    #[cfg(feature = "server")]
    KeySource { name: "postgres", mints: true, problems: postgres::problems, open: postgres::open },
    KeySource { name: "static", mints: false, problems: static_keys::problems, open: static_keys::open },
    KeySource { name: "demo", mints: true, problems: demo::problems, open: demo::open },
];

pub(super) fn problems(config: &PsaConfig) -> Vec<(String, String)> {
    let Some(source) = source(config) else {
        let names: Vec<_> = SOURCES.iter().map(|source| source.name).collect();
        let message = format!("`{}` is unknown; there are: {}", config.keys, names.join(", "));
        return vec![("keys".to_owned(), message)];
    };
    let mut found = (source.problems)(config);
    let user = config.catalog_user.as_deref().unwrap_or_default();
    let at_hand = if source.mints { !user.is_empty() } else { config.static_prefix.is_some() };
    if config.catalog_key.is_empty() && !at_hand {
        let message = if source.mints {
            "is missing; set it (or catalog_key_file), or set catalog_user to a PSA user to mint it for"
        } else {
            "is missing; set it or catalog_key_file: static keys cannot be minted for a catalog_user"
        };
        found.push(("catalog_key".to_owned(), message.to_owned()));
    }
    if !user.is_empty() && Uuid::parse_str(user).is_err() {
        found.push(("catalog_user".to_owned(), "is not a UUID; take `users.user_id`".to_owned()));
    }
    found
}

pub(super) async fn open(config: &PsaConfig) -> Result<PsaDoor, PsaError> {
    let base = base_url(&config.url).map_err(|message| misconfigured("url", &message))?;
    let source = source(config).ok_or_else(|| misconfigured("keys", "is unknown"))?;
    let (keys, directory) = (source.open)(config)?;
    let catalog_credential = if config.catalog_key.is_empty() {
        CatalogCredential::Minted(Principal {
            tenant: config.tenant.clone(),
            agent_id: CATALOG_PRINCIPAL.to_owned(),
            // Also the name of a further tenant's static key for the registry.
            agent_name: "catalogue".to_owned(),
            psa_user: config.catalog_user.clone(),
        })
    } else {
        let key = key::trimmed(config.catalog_key.expose());
        CatalogCredential::Fixed(Credential::new(key, "catalog_key".to_owned(), None))
    };
    let psa = Arc::new(Rest::new(config, &base)?);
    Ok(PsaDoor { psa, keys, directory, catalog_credential })
}

fn source(config: &PsaConfig) -> Option<&'static KeySource> {
    SOURCES.iter().find(|source| source.name == config.keys)
}

fn misconfigured(key: &str, message: &str) -> PsaError {
    PsaError::Misconfigured(format!("psa.{key}: {message}"))
}
