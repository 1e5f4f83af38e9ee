//! The sections that no room below owns: whom this instance serves, whom it
//! trusts, and how it logs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::identity::issuer::{IssuerAlias, TrustedIssuer};
use crate::identity::preset::{Preset, ProviderSpec};
use crate::identity::scopes::RequiredScopes;
use crate::outbound::Transport;
use crate::units::Span;

/// The `[tenant]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// What rows in the store and audit records call the tenant.
    pub id: String,
    /// For people.
    pub name: String,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self { id: "default".to_owned(), name: String::new() }
    }
}

impl TenantConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        missing("id", &self.id, "an identifier such as default").into_iter().collect()
    }
}

/// The `[search]` section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// TOML that adds to the built-in vocabulary.
    pub vocabulary_file: Option<PathBuf>,
}

impl SearchConfig {
    /// What is wrong within the section: nothing can be, but in the file that it names.
    pub fn problems(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The `[log]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        match EnvFilter::try_new(&self.filter) {
            Ok(_) => Vec::new(),
            Err(error) => vec![("filter".to_owned(), format!("{error}; write such as info,sidegate=debug"))],
        }
    }
}

/// One `[[issuers]]` element: whose tokens are accepted (OpenID Connect Discovery 1.0, RFC 8414).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerConfig {
    /// Which provider it is.
    pub kind: Preset,
    /// The directory's id, for kind microsoft.
    pub entra_tenant_id: Option<String>,
    /// Exactly the `iss` of its tokens. Other kinds than custom have their own.
    pub issuer: String,
    /// Other `iss` of its tokens.
    pub aliases: Vec<IssuerAlias>,
    /// Its key set; found by discovery where absent.
    pub jwks_uri: Option<String>,
    /// Accepted `aud` values beside the resource identifier.
    pub audiences: Vec<String>,
    /// The claim that names the agent; `None`: the usual one of its kind.
    pub subject_claim: Option<String>,
    /// The oldest `iat` that is accepted.
    pub max_age: Option<Span>,
    /// How far clocks may differ.
    pub leeway: Span,
    /// The scopes that its tokens need, by what a call does.
    pub required_scopes: RequiredScopes,
    /// Refuses tokens that are not bound to a client certificate.
    pub require_bound_tokens: bool,
    /// PEM certificates that vouch for it beside the system's, instead of `idp.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// The certificate that it may ask of us: its chain in PEM, and the key of its first certificate.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// The name that its certificate must have, where that is not the host of its URLs.
    pub server_name: Option<String>,
}

impl Default for IssuerConfig {
    fn default() -> Self {
        Self {
            kind: Preset::Custom,
            entra_tenant_id: None,
            issuer: String::new(),
            aliases: Vec::new(),
            jwks_uri: None,
            audiences: Vec::new(),
            subject_claim: None,
            max_age: None,
            leeway: Span::seconds(60),
            required_scopes: RequiredScopes::default(),
            require_bound_tokens: false,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            server_name: None,
        }
    }
}

impl IssuerConfig {
    /// What an administrator would say of it, its times in whole seconds.
    pub fn spec(&self) -> ProviderSpec {
        ProviderSpec {
            kind: self.kind,
            entra_tenant_id: self.entra_tenant_id.clone(),
            issuer: Some(self.issuer.clone()).filter(|issuer| !issuer.is_empty()),
            aliases: self.aliases.clone(),
            jwks_uri: self.jwks_uri.clone(),
            audiences: self.audiences.clone(),
            subject_claim: self.subject_claim.clone(),
            max_age: self.max_age.map(|age| age.as_millis() / 1000),
            leeway: self.leeway.as_millis() / 1000,
            required_scopes: self.required_scopes.clone(),
            require_bound_tokens: self.require_bound_tokens,
        }
    }

    /// The issuer as it is trusted. One that has problems is none: it has no name.
    pub fn trusted(&self) -> TrustedIssuer {
        self.spec().trusted().unwrap_or_default()
    }

    /// The way to the issuer, as far as it is its own.
    pub fn transport(&self) -> Transport {
        Transport {
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
            server_name: self.server_name.clone(),
            unix_socket: None,
        }
    }

    /// What is wrong within the element, as (key, message): the rules are those of `idp add`.
    pub fn problems(&self) -> Vec<(String, String)> {
        match self.spec().trusted() {
            Ok(trusted) => self.transport().problems(&trusted.issuer),
            Err(mut found) => {
                found.extend(self.transport().problems(&self.issuer));
                found
            }
        }
    }
}

fn missing(key: &str, value: &str, what: &str) -> Option<(String, String)> {
    value.trim().is_empty().then(|| (key.to_owned(), format!("is missing; write {what}")))
}
