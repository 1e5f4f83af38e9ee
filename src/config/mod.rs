//! The configuration: gathers the sections that the rooms own, and says
//! everything that is wrong with it at once, with its source and key.
//!
//! A section's own `Default` is the lowest layer; over it lie the TOML file,
//! the environment and secret files. No room may import this file.

mod changes;
mod cross;
mod findings;
mod keys;
mod layers;
mod listeners;
mod places;
mod sections;
mod walk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::Dict;
use serde::Serialize;

pub use cross::wrong_public_url;
pub use findings::{Problem, Problems, report};
pub use sections::{IssuerConfig, LogConfig, LogFormat, SearchConfig, TenantConfig};

use findings::Findings;
use keys::Known;
use layers::Layers;
use walk::Walk;

use crate::audit::{AuditConfig, RedactionConfig, SinkConfig, TenantRedaction};
use crate::edge::{AdminConfig, OpsConfig, PassthroughConfig, ServerConfig};
use crate::gate::admin::AgentSpec;
use crate::gate::{LimitsConfig, SessionsConfig, SseConfig};
use crate::idp::IdpConfig;
use crate::policy::PolicyConfig;
use crate::psa::PsaConfig;
use crate::store::StoreConfig;
use crate::tool::catalog::CatalogRules;
use crate::tool::config::ToolsConfig;
use crate::trace::TraceConfig;

/// Gathers the sections: `[name]` under `tables`, `[[name]]` under `lists`, one line each.
///
/// A section implements `Clone`, `Default`, `Debug`, `PartialEq`, `Serialize` and `Deserialize` with
/// `#[serde(default, deny_unknown_fields)]`, and has an inherent
/// `fn problems(&self) -> Vec<(String, String)>` of keys within it and messages.
macro_rules! sections {
    (tables { $($(#[$table_doc:meta])* $table:ident: $table_type:ty,)* }
     lists { $($(#[$list_doc:meta])* $list:ident: $list_type:ty,)* }) => {
        /// The whole configuration, checked. Made by [`load`].
        #[derive(Clone, Debug, Default, Serialize)]
        pub struct Config {
            $($(#[$table_doc])* pub $table: $table_type,)*
            $($(#[$list_doc])* pub $list: Vec<$list_type>,)*
        }

        impl Config {
            /// What each section may hold, in the order above.
            fn known() -> Vec<Known> {
                vec![
                    $(Known::of::<$table_type>(stringify!($table), false),)*
                    $(Known::of::<$list_type>(stringify!($list), true),)*
                ]
            }

            fn read(walk: &mut Walk<'_>, merged: &Dict) -> Self {
                Self {
                    $($table: walk.table(stringify!($table), merged.get(stringify!($table))),)*
                    $($list: walk.list(stringify!($list), merged.get(stringify!($list))),)*
                }
            }

            /// The keys whose values differ from `new`'s; a list is one key. No value is shown.
            pub fn changes(&self, new: &Self) -> Vec<String> {
                let mut keys = Vec::new();
                $(keys.extend(changes::of_table(stringify!($table), &self.$table, &new.$table));)*
                $(keys.extend((self.$list != new.$list).then(|| stringify!($list).to_owned()));)*
                keys
            }

            /// What each section says about itself, with whole keys.
            fn problems(&self) -> Vec<(String, String)> {
                let mut all = Vec::new();
                $(all.extend(under(stringify!($table).to_owned(), self.$table.problems()));)*
                $(for (index, element) in self.$list.iter().enumerate() {
                    all.extend(under(format!("{}[{index}]", stringify!($list)), element.problems()));
                })*
                all
            }
        }
    };
}

sections! {
    tables {
        /// Where agents connect.
        server: ServerConfig,
        /// What is passed on to the PSA's own web server.
        passthrough: PassthroughConfig,
        /// Health probes and metrics.
        ops: OpsConfig,
        /// Where administrators connect.
        admin: AdminConfig,
        /// Sidegate's own database.
        store: StoreConfig,
        /// Whose data this instance opens.
        tenant: TenantConfig,
        /// How issuers' keys are fetched.
        idp: IdpConfig,
        /// The PSA behind.
        psa: PsaConfig,
        /// Which of the PSA's endpoints are offered.
        catalog: CatalogRules,
        /// How they are found.
        search: SearchConfig,
        /// How much of an answer agents are shown.
        tools: ToolsConfig,
        /// What agents may do.
        policy: PolicyConfig,
        /// How often is too often.
        limits: LimitsConfig,
        /// HTTP+SSE, for clients that know nothing newer.
        sse: SseConfig,
        /// How clients' sessions are kept.
        sessions: SessionsConfig,
        /// Where the record is kept.
        audit: AuditConfig,
        /// What it does not show.
        redaction: RedactionConfig,
        /// Where spans go.
        trace: TraceConfig,
        /// What the process says about itself.
        log: LogConfig,
    }
    lists {
        /// Where the record goes beside the store.
        sinks: SinkConfig,
        /// Whose tokens are accepted.
        issuers: IssuerConfig,
        /// Who may call.
        agents: AgentSpec,
        /// What of the redaction is different for one tenant.
        redactions: TenantRedaction,
    }
}

impl Config {
    /// The files that it names and that are read while it is in use: certificates, keys, authorities.
    pub fn files(&self) -> Vec<PathBuf> {
        changes::files(&serde_json::to_value(self).unwrap_or_default())
    }
}

fn under(section: String, problems: Vec<(String, String)>) -> impl Iterator<Item = (String, String)> {
    problems.into_iter().map(move |(key, message)| (keys::join(&section, &key), message))
}

/// Reads the configuration: `file` (if any) over the built-in defaults, the
/// `SIDEGATE__SECTION__KEY` variables among `env` over that, and for each
/// secret `x` the content of the file that `x_file` names.
///
/// # Errors
/// Every problem there is, not only the first. No problem shows a secret.
pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Config, Problems> {
    let mut findings = Findings::new(file);
    let layers = Layers::read(file, env, &mut findings);
    let mut config = Config::read(&mut Walk::new(&layers, Config::known(), &mut findings), layers.merged());
    for (key, message) in config.problems() {
        findings.own(&key, message);
    }
    cross::check(&config, &mut findings);
    config.catalog.vocabulary = places::vocabulary(&config, &mut findings);
    config.catalog.repairs = Arc::new(places::repairs(&config, &mut findings));
    findings.into_problems().map_or(Ok(config), Err)
}

/// Where on this machine `ops.listen` can be asked: what `file` and `env` say of it, whatever else they say.
/// A server goes on with what it had when its file is spoilt, and it must not look dead then.
///
/// # Errors
/// That there is no such address, in words.
pub fn ops_address(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<SocketAddr, String> {
    let layers = Layers::read(file, env, &mut Findings::new(file));
    let listen = layers.merged().get("ops").and_then(|ops| match ops.as_str() {
        Some(text) => layers::toml_value(text)?.find("listen"),
        None => ops.find_ref("listen").cloned(),
    });
    let listen = listen.and_then(|listen| listen.as_str().map(str::to_owned));
    let listen = listen.unwrap_or_else(|| OpsConfig::default().listen);
    let mut address: SocketAddr =
        listen.parse().map_err(|_| format!("ops.listen: `{listen}` is not an IP address with a port"))?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    match address.port() {
        0 => Err("ops.listen: port 0 is a different one each time; choose a port".to_owned()),
        _ => Ok(address),
    }
}

/// The `SIDEGATE__` variables of this process, for [`load`]. Beside the connector's settings only this
/// file reads the environment. What is not UTF-8 gets U+FFFD, which `load` refuses.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(layers::PREFIX))
}

/// What a service manager says to this process about itself, for [`Notify`](crate::app::Notify).
pub fn service_manager() -> impl Iterator<Item = (String, std::ffi::OsString)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| matches!(name.as_str(), "NOTIFY_SOCKET" | "WATCHDOG_USEC" | "WATCHDOG_PID"))
}

/// Every key that a configuration may hold, such as `server.listen` and
/// `agents[].name`; secrets also with `_file`.
pub fn known_keys() -> Vec<String> {
    Config::known().iter().flat_map(Known::keys).collect()
}
