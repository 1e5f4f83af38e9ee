//! The door to identity providers: their public keys, found by discovery, kept for a while.
//!
//! It knows issuers and keys, not tokens' claims, agents or tenants.

mod discovery;
mod jwks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Clock;
use crate::identity::preset::Hosted;
use crate::identity::token::{Peeked, VerifyKey};
use crate::identity::trust::TrustedIssuer;
use crate::metrics::Metrics;
use crate::outbound::{Guard, Limits, Outbound, OutboundError, Transport};
use crate::units::Span;

/// The most keys a token without `kid` is tried with.
const MAX_CANDIDATES: usize = 8;

/// The longest discovery document or key set, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;

/// Where keys come from.
#[async_trait]
pub trait Idp: Send + Sync {
    /// The keys of `issuer`, refreshed where they are old or lack `key_id`.
    ///
    /// An unknown `key_id` is no error: the set simply has no candidate for it.
    ///
    /// # Errors
    /// [`IdpError`] where there are no keys at all: none were ever fetched, or the last good ones
    /// are older than `keep_last_good`.
    async fn keys(&self, issuer: &TrustedIssuer, key_id: Option<&str>) -> Result<Arc<KeySet>, IdpError>;

    /// Tries discovery and the key set afresh, as an administrator's check before the issuer is stored.
    ///
    /// # Errors
    /// [`IdpError`], also where the set holds no usable key.
    async fn probe(&self, issuer: &TrustedIssuer) -> Result<Discovered, IdpError>;

    /// Judges an issuer's addresses as far as they are written out as IP addresses, asking nobody.
    ///
    /// # Errors
    /// [`IdpError::Address`] or [`IdpError::Unavailable`] with the address that may not be reached.
    fn judge(&self, issuer: &TrustedIssuer) -> Result<(), IdpError>;

    /// Reads the files of every way to an issuer again. Fetches under way end as they began.
    ///
    /// # Errors
    /// [`IdpError::Setup`] with the first that cannot be used; for that one what was in use stays.
    fn reload(&self) -> Result<(), IdpError>;
}

/// What [`Idp::probe`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Discovered {
    pub jwks_uri: String,
    /// How many keys can verify tokens.
    pub keys: usize,
    /// The algorithms they can verify, each once, in the order of the set.
    pub algorithms: Vec<String>,
}

/// An issuer's public keys at one moment.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<VerifyKey>,
}

impl KeySet {
    /// The keys that may have signed the token: those with its `kid`, or without a `kid` those whose
    /// type fits its `alg`, at most 8.
    pub fn candidates<'a>(&'a self, peeked: &Peeked<'_>) -> Vec<&'a VerifyKey> {
        self.keys
            .iter()
            .filter(|key| match &peeked.key_id {
                Some(key_id) => key.key_id.as_ref() == Some(key_id),
                None => key.fits(peeked.algorithm),
            })
            .take(MAX_CANDIDATES)
            .collect()
    }

    /// True where the set can serve a token with that `kid`; without one, where it has any key.
    fn serves(&self, key_id: Option<&str>) -> bool {
        match key_id {
            Some(_) => self.keys.iter().any(|key| key.key_id.as_deref() == key_id),
            None => !self.keys.is_empty(),
        }
    }
}

/// Why there are no keys. The text is for administrators.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdpError {
    #[error("the issuer's address cannot be used: {0}")]
    Address(String),
    #[error("{url}: {why}")]
    Unavailable { url: String, why: OutboundError },
    #[error("{url} answered {status}{}", remedy(*status))]
    Status { url: String, status: u16 },
    #[error("{url} is not {expected}")]
    Document { url: String, expected: &'static str },
    #[error("{url} speaks for another issuer; it must say exactly `{expected}`")]
    OtherIssuer { url: String, expected: String },
    #[error("{url} holds no key that can verify tokens")]
    NoKeys { url: String },
    #[error("the issuer's keys could not be fetched in time")]
    Deadline,
    #[error("fetching the issuer's keys was cut short")]
    Aborted,
    #[error("the HTTP client for issuers cannot be set up: {0}")]
    Setup(OutboundError),
}

fn remedy(status: u16) -> &'static str {
    match status {
        300..=399 => "; redirects are not followed, so configure the final address",
        _ => "",
    }
}

/// The `[idp]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdpConfig {
    /// How long a fetched key set counts as fresh.
    pub refresh: Span,
    /// The least time between two fetches for unknown key ids, and between a failed fetch and the next.
    pub min_refresh_interval: Span,
    /// How long the last good keys are used while the issuer cannot be reached.
    pub keep_last_good: Span,
    /// For discovery and key set together.
    pub timeout: Span,
    /// Private networks in which issuers may live.
    pub allow_private_networks: Vec<IpNet>,
    /// PEM certificates that are trusted beside the system's, for issuers without a file of their own.
    pub ca_file: Option<PathBuf>,
    /// The application that a hosted installation has registered with Google: its tokens are trusted
    /// without an entry of Google's.
    pub google_client_id: Option<String>,
    /// The same with Microsoft, for every directory that an agent is bound to.
    pub microsoft_client_id: Option<String>,
}

impl Default for IdpConfig {
    fn default() -> Self {
        Self {
            refresh: Span::seconds(600),
            min_refresh_interval: Span::seconds(30),
            keep_last_good: Span::seconds(86_400),
            timeout: Span::seconds(5),
            allow_private_networks: Vec::new(),
            ca_file: None,
            google_client_id: None,
            microsoft_client_id: None,
        }
    }
}

impl IdpConfig {
    /// The applications of a hosted installation.
    pub fn hosted(&self) -> Hosted {
        Hosted {
            google_client_id: self.google_client_id.clone(),
            microsoft_client_id: self.microsoft_client_id.clone(),
        }
    }

    /// Judges one address of an issuer as [`Idp::judge`] does.
    ///
    /// # Errors
    /// As there.
    pub fn judge(&self, address: &str) -> Result<(), IdpError> {
        judge(&Guard::public_only(self.allow_private_networks.clone()), address)
    }

    /// Every problem as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut check = |good: bool, key: &str, message: &str| {
            if !good {
                found.push((key.to_owned(), message.to_owned()));
            }
        };
        let second = Span::seconds(1);
        check(self.min_refresh_interval >= second, "min_refresh_interval", "must be at least 1s");
        check(
            self.refresh >= self.min_refresh_interval,
            "refresh",
            "must not be shorter than min_refresh_interval",
        );
        check(self.refresh <= Span::seconds(86_400), "refresh", "must be at most 24h");
        check(self.keep_last_good >= self.refresh, "keep_last_good", "must not be shorter than refresh");
        check(
            (Span::millis(100)..=Span::seconds(60)).contains(&self.timeout),
            "timeout",
            "must be between 100ms and 60s",
        );
        check(
            self.ca_file.as_ref().is_none_or(|file| file.is_file()),
            "ca_file",
            "must name a readable file with PEM certificates",
        );
        for (key, id) in
            [("google_client_id", &self.google_client_id), ("microsoft_client_id", &self.microsoft_client_id)]
        {
            let written = id.as_deref().is_none_or(|id| !id.is_empty() && !id.contains(char::is_whitespace));
            check(written, key, "must be the application's client id; leave it out where there is none");
        }
        found
    }
}

fn judge(guard: &Guard, address: &str) -> Result<(), IdpError> {
    let judged = guard.judge_written(&discovery::address(address)?);
    judged.map_err(|why| IdpError::Unavailable { url: address.to_owned(), why })
}

/// Where the keys of an issuer are: its `iss`, and the key set's address where that is configured. Two
/// tenants that trust one `iss` with keys from different places have nothing in common.
pub type Source = (String, Option<String>);

/// The source of the issuer's keys.
pub fn source(issuer: &TrustedIssuer) -> Source {
    (issuer.issuer.clone(), issuer.jwks_uri.clone())
}

/// Opens the door. `ways` are the ways to those sources that differ from what `config` says for
/// all; one without a `ca_file` has that of `config`. `unix_socket` means nothing here.
///
/// # Errors
/// [`IdpError::Setup`] where the HTTP client cannot be made, such as for a bad `ca_file`.
pub fn open(
    config: &IdpConfig,
    ways: BTreeMap<Source, Transport>,
    metrics: Arc<Metrics>,
    clock: Clock,
) -> Result<Arc<dyn Idp>, IdpError> {
    let limits = Limits { deadline: config.timeout.0, connect: config.timeout.0, body: MAX_DOCUMENT };
    let guard = Guard::public_only(config.allow_private_networks.clone());
    let client = |way: Transport| {
        let ca_file = way.ca_file.or_else(|| config.ca_file.clone());
        // The guard must judge every address of an issuer.
        let way = Transport { ca_file, unix_socket: None, ..way };
        Outbound::open(guard.clone(), limits, way).map_err(IdpError::Setup)
    };
    let clients = jwks::Clients {
        usual: client(Transport::default())?,
        own: ways.into_iter().map(|(source, way)| Ok((source, client(way)?))).collect::<Result<_, _>>()?,
    };
    Ok(Arc::new(jwks::Keys::new(config.clone(), clients, metrics, clock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem_and_unknown_keys_are_refused() {
        assert_eq!(IdpConfig::default().problems(), []);
        let read: IdpConfig =
            serde_json::from_str(r#"{"refresh":"5m","allow_private_networks":["10.0.0.0/8"]}"#).unwrap();
        assert_eq!(read.refresh, Span::seconds(300));
        assert!(serde_json::from_str::<IdpConfig>(r#"{"refrehs":"5m"}"#).is_err());
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let zero = Span::seconds(0);
        let config = IdpConfig {
            refresh: zero,
            min_refresh_interval: Span::millis(10),
            keep_last_good: Span::millis(0),
            timeout: zero,
            ca_file: Some("/nowhere/ca.pem".into()),
            google_client_id: Some(String::new()),
            microsoft_client_id: Some("a b".into()),
            ..IdpConfig::default()
        };
        let keys: Vec<_> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "min_refresh_interval",
                "refresh",
                "timeout",
                "ca_file",
                "google_client_id",
                "microsoft_client_id"
            ]
        );
    }
}
