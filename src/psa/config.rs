//! The `[psa]` section: its keys, their defaults, and what can be wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::outbound::Transport;
use crate::secret::Secret;
use crate::units::{Size, Span};

/// The `[psa]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PsaConfig {
    /// Which kind of PSA: `alga`.
    pub kind: String,
    /// Where the PSA's REST API is: `https://psa.example.com`, with a path prefix where it has one.
    pub url: String,
    /// PEM certificates that vouch for the PSA beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that the PSA may ask of us: its chain in PEM, and the key of its first certificate.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// The name that the PSA's certificate must have, where that is not the URL's host.
    pub server_name: Option<String>,
    /// The unix socket that the PSA listens on; `url` then gives `http`, Host and path prefix only.
    pub unix_socket: Option<PathBuf>,
    /// The tenant's UUID in the PSA; travels as `x-tenant-id` where it is set.
    pub tenant: String,
    /// Where keys come from: `postgres` (minted in the PSA's database), `static`
    /// (one per agent, from files) or `demo` (minted in the embedded demo PSA).
    pub keys: String,
    /// How long a minted key lives, 1m to 15m.
    pub key_ttl: Span,
    /// The `purpose` of minted rows. Whatever has it is ours, to revoke and to sweep.
    pub key_purpose: String,
    /// Within which one call to the PSA must be answered.
    pub timeout: Span,
    /// The largest answer that is read.
    pub max_response: Size,
    /// The key the registry is fetched under; also from `catalog_key_file`.
    pub catalog_key: Secret,
    /// Instead of `catalog_key`: the PSA user for whom such a key is minted.
    pub catalog_user: Option<String>,
    /// How often the registry is fetched.
    pub catalog_refresh: Span,
    /// `keys = "postgres"`: `postgres://user:password@host/database`, the PSA's
    /// database; also from `database_url_file`. Connect directly, not through a
    /// pooler that multiplexes transactions: settings travel with the connection.
    pub database_url: Secret,
    /// `keys = "postgres"`: the schema of the PSA's tables where it is not on the role's search path.
    pub database_schema: Option<String>,
    /// `keys = "static"`: agent name = file with that agent's key. Read again for each key that is needed.
    pub static_keys: BTreeMap<String, PathBuf>,
    /// Write agents' calls into the PSA's own record of them too, where it has one (`mcp_agent_audit`), so that
    /// its Activity card stays true.
    pub activity: bool,
    /// `keys = "demo"`: the demo PSA's control side; empty: `url`.
    pub demo_url: String,
    /// `keys = "demo"`: what its control side asks for; also from `demo_secret_file`.
    pub demo_secret: Secret,
    /// No key of the section: what stands before an agent's name in `static_keys`, with a slash. [`PsaConfig::for_tenant`] sets it.
    #[serde(skip)]
    pub static_prefix: Option<String>,
}

impl Default for PsaConfig {
    fn default() -> Self {
        Self {
            kind: "alga".to_owned(),
            url: String::new(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            server_name: None,
            unix_socket: None,
            tenant: String::new(),
            keys: "postgres".to_owned(),
            key_ttl: Span::seconds(300),
            key_purpose: "mcp_sidecar".to_owned(),
            timeout: Span::seconds(30),
            max_response: Size(4 << 20),
            catalog_key: Secret::default(),
            catalog_user: None,
            catalog_refresh: Span::seconds(300),
            database_url: Secret::default(),
            database_schema: None,
            static_keys: BTreeMap::new(),
            activity: false,
            demo_url: String::new(),
            demo_secret: Secret::default(),
            static_prefix: None,
        }
    }
}

const KEY_TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(900);

impl PsaConfig {
    /// The way to the PSA.
    pub fn transport(&self) -> Transport {
        Transport {
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
            server_name: self.server_name.clone(),
            unix_socket: self.unix_socket.clone(),
        }
    }

    /// The section as it holds for a further tenant: `tenant` is its UUID in the PSA, none where it shares the main
    /// tenant's; `catalog_user` the user that its registry's key is minted for. With `prefix` (`acme`), static keys are
    /// those named `acme/agent`, and the registry's is `acme/catalogue`.
    ///
    /// Of another tenant of the PSA, the main one's key and user for the registry open nothing and are left out.
    pub fn for_tenant(
        &self,
        tenant: Option<&str>,
        catalog_user: Option<&str>,
        prefix: Option<&str>,
    ) -> PsaConfig {
        let mut config = self.clone();
        let tenant = tenant.unwrap_or(&self.tenant);
        if !tenant.eq_ignore_ascii_case(&self.tenant) || catalog_user.is_some() {
            config.catalog_key = Secret::default();
            config.catalog_user = None;
        }
        config.tenant = tenant.to_owned();
        config.catalog_user = catalog_user.map(ToOwned::to_owned).or(config.catalog_user);
        config.static_prefix = prefix.map(ToOwned::to_owned);
        config
    }

    /// All that is wrong, as (key within the section, what to do about it).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut say = |key: &str, message: String| found.push((key.to_owned(), message));
        match base_url(&self.url) {
            Err(message) => say("url", message),
            Ok(url) => found.extend(self.transport().problems(&url)),
        }
        let mut say = |key: &str, message: String| found.push((key.to_owned(), message));
        if !self.demo_url.is_empty()
            && let Err(message) = base_url(&self.demo_url)
        {
            say("demo_url", message);
        }
        if !self.tenant.is_empty() && uuid::Uuid::parse_str(&self.tenant).is_err() {
            say("tenant", "is not a UUID; take it from the PSA's `tenants` table".to_owned());
        }
        if !KEY_TTL.contains(&self.key_ttl.0) {
            say("key_ttl", format!("{} is outside 1m to 15m", self.key_ttl));
        }
        for (key, span) in [("timeout", self.timeout), ("catalog_refresh", self.catalog_refresh)] {
            if span.0.is_zero() {
                say(key, "must be longer than 0".to_owned());
            }
        }
        if self.max_response.0 == 0 {
            say("max_response", "must be larger than 0".to_owned());
        }
        match super::kind(&self.kind) {
            Some(kind) => found.extend((kind.problems)(self)),
            None => {
                let names: Vec<_> = super::KINDS.iter().map(|kind| kind.name).collect();
                say("kind", format!("`{}` is unknown; there is: {}", self.kind, names.join(", ")));
            }
        }
        found
    }
}

/// `text` as a base URL without its last slash, or what is wrong with it.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is missing; set it to the PSA's address, such as https://psa.example.com".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("must start with http:// or https:// and name a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must hold no query and no fragment".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(config: &PsaConfig) -> Vec<String> {
        config.problems().into_iter().map(|(key, _)| key).collect()
    }

    fn working() -> PsaConfig {
        PsaConfig {
            url: "https://psa.example.com/app/".to_owned(),
            tenant: "6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11".to_owned(),
            database_url: Secret::new("postgres://sidegate@db/psa"),
            catalog_user: Some("6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a12".to_owned()),
            ..PsaConfig::default()
        }
    }

    #[test]
    fn a_working_configuration_has_no_problem() {
        assert_eq!(working().problems(), Vec::new());
    }

    #[test]
    fn an_empty_configuration_names_everything_that_is_missing_at_once() {
        assert_eq!(keys_of(&PsaConfig::default()), ["url", "tenant", "database_url", "catalog_key"]);
    }

    #[test]
    fn each_bad_value_is_named_with_its_key() {
        let bad = |change: fn(&mut PsaConfig)| {
            let mut config = working();
            change(&mut config);
            keys_of(&config)
        };
        assert_eq!(bad(|c| c.url = "ftp://psa".into()), ["url"]);
        assert_eq!(bad(|c| c.url = "https://a:b@psa".into()), ["url"]);
        assert_eq!(bad(|c| c.url = "https://psa/?a=b".into()), ["url"]);
        assert_eq!(bad(|c| c.client_cert_file = Some("tls.crt".into())), ["client_key_file"]);
        assert_eq!(bad(|c| c.unix_socket = Some("/run/psa.sock".into())), ["unix_socket"]);
        assert_eq!(bad(|c| c.kind = "other".into()), ["kind"]);
        assert_eq!(bad(|c| c.keys = "vault".into()), ["keys"]);
        assert_eq!(bad(|c| c.tenant = "acme".into()), ["tenant"]);
        assert_eq!(bad(|c| c.key_ttl = Span::seconds(59)), ["key_ttl"]);
        assert_eq!(bad(|c| c.key_ttl = Span::seconds(901)), ["key_ttl"]);
        assert_eq!(bad(|c| c.key_purpose = " ".into()), ["key_purpose"]);
        assert_eq!(bad(|c| c.database_url = Secret::new("mysql://db/psa")), ["database_url"]);
        assert_eq!(bad(|c| c.catalog_user = Some("svc".into())), ["catalog_user"]);
        assert_eq!(bad(|c| c.timeout = Span::millis(0)), ["timeout"]);
        assert_eq!(bad(|c| c.max_response = Size(0)), ["max_response"]);
    }

    #[test]
    fn static_keys_need_agents_and_a_catalog_key() {
        let config = PsaConfig { keys: "static".to_owned(), ..working() };
        assert_eq!(keys_of(&config), ["static_keys", "catalog_key"]);
    }

    #[test]
    fn the_demo_source_needs_its_secret() {
        let config = PsaConfig { keys: "demo".to_owned(), ..working() };
        assert_eq!(keys_of(&config), ["demo_secret"]);
    }

    #[test]
    fn a_further_tenant_has_its_own_users_and_shares_the_rest() {
        let main = PsaConfig { catalog_key: Secret::new("main's"), ..working() };
        let own = "6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a13";
        let further = main.for_tenant(Some(own), Some("u"), None);
        assert_eq!((further.tenant.as_str(), further.catalog_user.as_deref()), (own, Some("u")));
        assert!(further.catalog_key.is_empty());
        assert_eq!(further.database_url, main.database_url);
        assert_eq!(keys_of(&main.for_tenant(Some(own), None, None)), ["catalog_key"]);
        assert_eq!(main.for_tenant(None, None, None), main);
    }

    #[test]
    fn a_further_tenant_needs_no_catalog_key_beside_its_static_keys() {
        let static_keys = [("acme/catalogue".to_owned(), PathBuf::from("/keys/acme"))].into();
        let main = PsaConfig { keys: "static".to_owned(), static_keys, ..working() };
        assert_eq!(keys_of(&main.for_tenant(None, None, Some("acme"))), Vec::<String>::new());
    }

    #[test]
    fn no_problem_shows_a_secret() {
        let config = PsaConfig { database_url: Secret::new("mysql://u:hunter2@db/psa"), ..working() };
        assert!(!format!("{:?}", config.problems()).contains("hunter2"));
    }
}
