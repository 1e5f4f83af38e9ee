//! A changed configuration is taken into use while calls go on, as far as a running server can:
//! on SIGHUP, and when its file or one that it names has changed. A bad one is refused as a whole.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::tenants::Tenants;
use super::watch::Watch;
use super::wing::Rooms;
use super::{AppError, Notify, SERVING, apply, failed, ways};
use crate::config::{self, Config, LogConfig, Problems};
use crate::edge::admin::AdminListening;
use crate::edge::{ServerConfig, Tuning};
use crate::gate::SseConfig;

/// Keys, and sections as a whole, that a running server takes over. All others need a restart.
const LIVE: [&str; 12] = [
    "agents",
    "catalog",
    "issuers",
    "limits",
    "log.filter",
    "policy",
    "redaction",
    "redactions",
    "search",
    "server",
    "sessions",
    "sse",
];

/// Keys of those sections that need one all the same.
const FIXED: [&str; 12] = [
    "redaction.salt",
    "server.client_ca_file",
    "server.client_certificates",
    "server.listen",
    "server.mcp_aliases",
    "server.mcp_path",
    "server.tls_cert_file",
    "server.tls_key_file",
    "sessions.key",
    "sse.aliases",
    "sse.enabled",
    "sse.path",
];

/// Where a configuration comes from, to be read again.
pub struct Source {
    file: Option<PathBuf>,
    log: fn(&LogConfig),
    hangup: Signal,
}

impl Source {
    /// `file` and the environment; `log` takes over what is logged. From now on SIGHUP ends nothing.
    ///
    /// # Errors
    /// Where signals cannot be received.
    pub fn new(file: Option<PathBuf>, log: fn(&LogConfig)) -> Result<Self, AppError> {
        let hangup = signal(SignalKind::hangup()).map_err(failed)?;
        Ok(Self { file, log, hangup })
    }

    fn load(&self) -> Result<Config, Problems> {
        config::load(self.file.as_deref(), config::environment())
    }
}

/// What a new configuration reaches.
pub(super) struct Reload {
    pub source: Source,
    /// The main tenant's rooms.
    pub main: Rooms,
    /// Those of all others, and the configuration in use.
    pub tenants: Arc<Tenants>,
    pub tuning: Tuning,
    pub admin: Arc<AdminListening>,
    pub notify: Arc<Notify>,
}

impl Reload {
    /// Follows the source; ends only with its task.
    pub async fn follow(mut self) {
        let started = self.current().load_full();
        let mut watch = Watch::new(self.files(&started));
        loop {
            tokio::select! {
                _ = self.source.hangup.recv() => {}
                () = watch.changed() => {}
            }
            self.notify.reloading();
            let done = self.again(&started).await;
            self.tenants.shared.metrics.reloaded(done.is_ok());
            let mut status = SERVING;
            if let Err(AppError(error)) = done {
                tracing::error!("the new configuration is refused, the old one stays in use: {error}");
                status = "Serving; the changed configuration was refused, see the log";
            }
            self.notify.ready(status);
            watch.only(self.files(&started));
        }
    }

    /// What is in use.
    fn current(&self) -> &ArcSwap<Config> {
        &self.tenants.shared.config
    }

    /// Those that were named at the start are in use even where they are named no longer.
    fn files(&self, started: &Config) -> Vec<PathBuf> {
        let named = started.files().into_iter().chain(self.current().load().files());
        let all: BTreeSet<_> = self.source.file.iter().cloned().chain(named).collect();
        all.into_iter().collect()
    }

    /// Reads all certificates again, each for itself: whatever the configuration or another's files are
    /// like by now, what was renewed must be in use before the old one runs out.
    fn renew(&self) -> Result<(), AppError> {
        let ours = self.tuning.reload_certificates().map_err(failed);
        let admin = self.admin.reload_certificates().map_err(failed);
        if matches!(ours, Ok(true)) || matches!(admin, Ok(true)) {
            tracing::info!("new certificates are in use");
        }
        let psa = self.main.psa.reload().map_err(failed);
        let idp = self.main.admin.idp.reload().map_err(failed);
        ours.and(admin).map(drop).and(psa).and(idp)
    }

    /// All or nothing; what a running server cannot take over is named.
    async fn again(&self, started: &Config) -> Result<(), AppError> {
        let renewed = self.renew();
        let mut new = self.source.load().map_err(failed)?;
        // The store may have had one where the file has none.
        if new.sessions.key.is_none() {
            new.sessions.key.clone_from(&started.sessions.key);
        }
        renewed?;
        let mut fixed = started.changes(&new);
        fixed.retain(|key| !is_live(key));
        if ways(started) != ways(&new) {
            fixed.push("issuers (the ways to them)".to_owned());
        }
        if !fixed.is_empty() {
            tracing::warn!(keys = fixed.join(", "), "these keys have changed and need a restart");
        }
        new.server = ServerConfig {
            listen: started.server.listen.clone(),
            mcp_path: started.server.mcp_path.clone(),
            mcp_aliases: started.server.mcp_aliases.clone(),
            ..new.server
        };
        new.sse = SseConfig {
            enabled: started.sse.enabled,
            path: started.sse.path.clone(),
            aliases: started.sse.aliases.clone(),
            ..new.sse
        };
        let current = self.current().load_full();
        let live: Vec<_> = current.changes(&new).into_iter().filter(|key| is_live(key)).collect();
        if live.is_empty() {
            return Ok(());
        }
        let offers = |error| AppError(format!("catalog: {error}"));
        self.main.catalogue.adopt(new.catalog.clone()).await.map_err(offers)?;
        if let Err(error) = self.adopt(&new).await {
            // These were in use a moment ago, and offered something.
            let _ = self.main.catalogue.adopt(current.catalog.clone()).await;
            // Where even this fails, the store cannot be read, and nobody is let in.
            let _ = apply(&self.main.admin, &current).await;
            return Err(error);
        }
        tracing::info!(keys = live.join(", "), "the new configuration is in use");
        (self.source.log)(&new.log);
        let new = Arc::new(new);
        self.current().store(new.clone());
        self.tenants.adopt(&new).await;
        Ok(())
    }

    async fn adopt(&self, new: &Config) -> Result<(), AppError> {
        apply(&self.main.admin, new).await?;
        self.tenants.shared.redactors.adopt(&new.redaction, &new.redactions);
        self.main.adopt(&self.tenants.shared, new).await;
        self.tuning.adopt(&new.server);
        Ok(())
    }
}

fn is_live(key: &str) -> bool {
    let within = |section: &&str| {
        key.strip_prefix(*section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    LIVE.iter().any(within) && !FIXED.contains(&key)
}
