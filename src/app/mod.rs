//! The only composition root: a configuration becomes a running whole.
//!
//! Knows everybody and decides nothing about a request.

mod notify;
mod reload;
mod watch;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use notify::Notify;
use reload::Reload;
pub use reload::Source;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::{Config, IssuerConfig};
use crate::edge::ops::Ops;
use crate::edge::{Door, Listening, Phase, Through, Upstream};
use crate::gate::admin::Admin;
use crate::gate::{
    Authenticator, Catalogue, CatalogueParts, Credentials, Desk, DeskParts, DeskTerms, Doorway, Extra, Gate,
    Roster, SseTerms, Standing, StoreShelf, Terms,
};
use crate::identity::metadata::Resource;
use crate::metrics::Metrics;
use crate::outbound::Transport;
use crate::psa::Psa;
use crate::store::Store;
use crate::tool::table::{ToolRow, ToolTable};

/// How often expired keys of ours are removed from the PSA.
const SWEEP: Duration = Duration::from_secs(300);

/// What the end may take beside calls in flight: the record is written, the store closed.
const CLOSING: Duration = Duration::from_secs(10);

/// What a service manager shows while all is well.
const SERVING: &str = "Serving";
/// What revoking the keys has at least, however long the calls in flight took.
const REVOKING: Duration = Duration::from_secs(3);

/// How long the last answers may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a client is told about this server when it connects.
const INSTRUCTIONS: &str = "This server is the governed door to a PSA (tickets, clients, contacts, assets, time, billing). \
Find an endpoint with search_api_registry, then call it with call_api_endpoint under the entryId it returned; \
find records by words with search_business_data. Calls run under this agent's own permissions and are recorded.";

/// Why the whole cannot be put together or run, in the operator's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(pub String);

fn failed(error: impl ToString) -> AppError {
    AppError(error.to_string())
}

/// What is offered beyond the tools: nothing, except in the build for the protocol's conformance suite.
fn beyond() -> Option<Arc<dyn Extra>> {
    #[cfg(feature = "conformance")]
    let beyond: Option<Arc<dyn Extra>> = Some(Arc::new(crate::gate::Fixtures));
    #[cfg(not(feature = "conformance"))]
    let beyond = None;
    beyond
}

/// Listeners, bound and not yet served.
pub struct Sockets {
    /// The public listeners.
    pub door: Door,
    /// The operators' listener.
    pub ops: TcpListener,
}

impl Sockets {
    /// Binds what the configuration names.
    pub fn bind(config: &Config) -> Result<Self, AppError> {
        let ops = TcpListener::bind(&config.ops.listen)
            .map_err(|error| AppError(format!("ops.listen: cannot bind {}: {error}", config.ops.listen)))?;
        Ok(Self { door: Door::bind(&config.server).map_err(AppError)?, ops })
    }
}

/// Everything that runs, ready to be served.
pub struct App {
    config: Arc<ArcSwap<Config>>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    admin: Admin,
    roster: Arc<Roster>,
    credentials: Arc<Credentials>,
    catalogue: Arc<Catalogue>,
    psa: Arc<dyn Psa>,
    audit: Audit,
    store: Store,
    sockets: Sockets,
    source: Option<Source>,
    notify: Arc<Notify>,
}

/// The administrator's verbs on what `config` names, without a listener.
pub async fn admin(config: &Config, clock: Clock) -> Result<Admin, AppError> {
    let store = Store::open(&config.store, clock.clone()).await.map_err(failed)?;
    store.ensure_tenant(&config.tenant.id, &config.tenant.name).await.map_err(failed)?;
    let idp = crate::idp::open(&config.idp, ways(config), Arc::new(Metrics::new()), clock.clone())
        .map_err(failed)?;
    let door = crate::psa::open(&config.psa, clock.clone()).await.map_err(failed)?;
    Ok(Admin {
        store,
        tenant: config.tenant.id.clone(),
        configured_issuers: configured_issuers(config),
        idp,
        keys: door.keys,
        directory: door.directory,
        clock,
    })
}

fn configured_issuers(config: &Config) -> Vec<String> {
    config.issuers.iter().map(|issuer| issuer.trusted().issuer).collect()
}

/// The ways to those issuers that have one of their own.
fn ways(config: &Config) -> BTreeMap<crate::idp::Source, Transport> {
    let all = config.issuers.iter().map(|issuer| (crate::idp::source(&issuer.trusted()), issuer.transport()));
    all.filter(|(_, way)| *way != Transport::default()).collect()
}

/// Makes the store say what the configuration file says of issuers and agents.
async fn apply(admin: &Admin, config: &Config) -> Result<(), AppError> {
    let issuers: Vec<_> = config.issuers.iter().map(IssuerConfig::trusted).collect();
    admin.apply_config(&issuers, &config.agents).await.map_err(failed)
}

/// The resource identifier that tokens must be made for: `public_url` first, else the first
/// listener that has an address.
pub fn resource(config: &Config) -> Resource {
    let base = config.server.public_url.clone().unwrap_or_else(|| {
        let scheme = if config.server.tls_cert_file.is_some() { "https" } else { "http" };
        let address = config.server.listen.iter().find(|listen| listen.parse::<SocketAddr>().is_ok());
        format!("{scheme}://{}", address.map_or("localhost", String::as_str))
    });
    Resource::new(&base, &config.server.mcp_path)
}

/// The terms that `config` sets, for listeners on these addresses.
fn terms(config: &Config, bound: &[SocketAddr]) -> Terms {
    let server = &config.server;
    let hosts = server.hosts(bound);
    Terms {
        doorway: Doorway::new(
            &server.endpoints(),
            &config.sse.paths(),
            server.public_url.as_deref(),
            &hosts,
            &server.allowed_origins,
        ),
        desk: DeskTerms {
            call_timeout: server.call_timeout.0,
            limits: config.limits,
            sessions: config.sessions.clone(),
        },
        sse: SseTerms::from(&config.sse),
    }
}

/// The PSA's own web server, for what is passed through: the host of `psa.url`, whatever its path.
fn web_server(config: &Config) -> Result<Upstream, AppError> {
    let url = url::Url::parse(&config.psa.url).map_err(|error| AppError(format!("psa.url: {error}")))?;
    let host = url.host_str().unwrap_or_default();
    let way = config.psa.transport();
    Ok(Upstream {
        tls: url.scheme() == "https",
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port_or_known_default().unwrap_or(80),
        server_name: way.server_name,
        ca_file: way.ca_file,
        client: way.client_cert_file.zip(way.client_key_file),
        unix_socket: way.unix_socket,
    })
}

impl App {
    /// Opens the store, the doors and the record, and puts the gate together. Nothing is served yet.
    /// `tools` are the tools it offers.
    pub async fn build(
        config: Config,
        sockets: Sockets,
        clock: Clock,
        tools: Vec<ToolRow>,
    ) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new());
        let audit = Audit::open(&config.audit, metrics.clone()).map_err(failed)?;
        let store = Store::open(&config.store, clock.clone()).await.map_err(failed)?;
        let tenant = config.tenant.id.clone();
        store.ensure_tenant(&tenant, &config.tenant.name).await.map_err(failed)?;
        let idp =
            crate::idp::open(&config.idp, ways(&config), metrics.clone(), clock.clone()).map_err(failed)?;
        let psa = crate::psa::open(&config.psa, clock.clone()).await.map_err(failed)?;
        let admin = Admin {
            store: store.clone(),
            tenant: tenant.clone(),
            configured_issuers: configured_issuers(&config),
            idp: idp.clone(),
            keys: psa.keys.clone(),
            directory: psa.directory.clone(),
            clock: clock.clone(),
        };
        apply(&admin, &config).await?;
        let roster =
            Roster::open(store.clone(), &tenant, config.policy.default_max_effect).await.map_err(failed)?;
        let credentials = Credentials::new(
            psa.keys.clone(),
            config.psa.key_ttl.0,
            clock.clone(),
            metrics.clone(),
            Some(roster.clone() as Arc<dyn Standing>),
        );
        let catalogue = Catalogue::open(CatalogueParts {
            rules: config.catalog.clone(),
            psa: psa.psa.clone(),
            key: psa.catalog_credential,
            credentials: credentials.clone(),
            shelf: Some(Arc::new(StoreShelf { store: store.clone(), tenant: tenant.clone() })),
            clock: clock.clone(),
            metrics: metrics.clone(),
        })
        .await;
        let authenticator = Authenticator::new(idp, roster.clone(), clock.clone(), metrics.clone());
        let parts = DeskParts {
            tenant,
            catalogue: catalogue.clone(),
            tools: ToolTable::new(tools).map_err(AppError)?,
            instructions: INSTRUCTIONS,
            credentials: credentials.clone(),
            psa: psa.psa.clone(),
            audit: audit.clone(),
            metrics: metrics.clone(),
            clock,
            extra: beyond(),
        };
        let Terms { doorway, desk, sse } = terms(&config, &sockets.door.addresses());
        let gate = Arc::new(Gate::new(Desk::new(parts, desk), authenticator, doorway, sse));
        Ok(Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
            gate,
            metrics,
            admin,
            roster,
            credentials,
            catalogue,
            psa: psa.psa,
            audit,
            store,
            sockets,
            source: None,
            notify: Arc::default(),
        })
    }

    /// What the listeners serve.
    pub fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    /// Where MCP is served.
    pub fn mcp_addresses(&self) -> Vec<SocketAddr> {
        self.sockets.door.addresses()
    }

    /// Where the probes are.
    pub fn ops_address(&self) -> Result<SocketAddr, AppError> {
        self.sockets.ops.local_addr().map_err(failed)
    }

    /// Fetches the catalogue once, so that the first call finds it.
    pub async fn warm(&self) -> Result<(), AppError> {
        self.catalogue.refresh().await.map_err(AppError)
    }

    /// While it runs, changes of `source` are taken into use as far as a running server can.
    #[must_use]
    pub fn following(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// While it runs, a service manager is told how it is.
    #[must_use]
    pub fn notifying(mut self, notify: Notify) -> Self {
        self.notify = Arc::new(notify);
        self
    }

    /// Serves until `stop` ends or an operator has it drain: see [`leave`]. After both, keys are
    /// revoked and the record is written.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AppError> {
        let config = self.config.load_full();
        let (bound, notify) = (self.mcp_addresses(), self.notify);
        let mut background = JoinSet::new();
        background.spawn(self.roster.clone().follow());
        background.spawn(self.gate.clone().follow(self.roster.clone()));
        background.spawn(self.roster.clone().close_keys(self.credentials.clone()));
        background.spawn(self.credentials.clone().sweep(SWEEP));
        background.spawn(self.catalogue.clone().follow(config.psa.catalog_refresh.0));
        let through = Through::open(&config.passthrough, web_server(&config)?)
            .map_err(|message| AppError(format!("passthrough: {message}")))?;
        let mut door =
            self.sockets.door.serve(&config.server, self.gate.clone(), through).map_err(AppError)?;
        self.sockets.ops.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(self.sockets.ops).map_err(failed)?;
        let drain = door.drain();
        let ops = Ops::new(self.gate.clone(), drain.clone());
        let (stop_ops, stopping) = tokio::sync::watch::channel(false);
        let serving_ops = tokio::spawn(ops.serve(listener, stopping));

        if let Some(source) = self.source {
            let reload = Reload {
                source,
                current: self.config.clone(),
                bound,
                admin: self.admin,
                gate: self.gate.clone(),
                roster: self.roster,
                catalogue: self.catalogue,
                psa: self.psa,
                tuning: door.tuning(),
                metrics: self.metrics,
                notify: notify.clone(),
            };
            background.spawn(reload.follow());
        }
        notify.ready(SERVING);
        let living = notify.clone();
        background.spawn(async move { living.live().await });

        let stopped = async {
            stop.await;
            let server = self.config.load().server.clone();
            notify.stopping(server.drain_delay.0 + server.grace.0 + CLOSING);
            drain.begin();
        };
        let ((), deadline) = tokio::join!(stopped, leave(&mut door, &self.config));
        tracing::info!("stopping");
        if drain.left() > 0 {
            tracing::warn!(left = drain.left(), "requests in flight are cut");
            self.gate.cut();
        }
        let revoked =
            tokio::time::timeout_at(deadline.max(Instant::now() + REVOKING), self.credentials.shutdown());
        let (revoked, _) = tokio::join!(revoked, tokio::time::timeout(FAREWELL, door.left()));
        if revoked.is_err() {
            tracing::warn!("the keys could not be revoked in time; they end by themselves");
        }
        background.shutdown().await;
        self.audit.close().await;
        self.store.close().await;
        let _ = stop_ops.send(true);
        let _ = tokio::time::timeout(Duration::from_secs(1), serving_ops).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Goes all the way out once the drain has begun: not ready, a pause for balancers to notice, new
/// requests are refused, those in flight end or the grace does, and the listeners close. Says when
/// the grace is over.
async fn leave(door: &mut Listening, config: &ArcSwap<Config>) -> Instant {
    let drain = door.drain();
    drain.reached(Phase::Leaving).await;
    let config = config.load_full();
    tracing::info!("draining: no longer ready");
    tokio::time::sleep(config.server.drain_delay.0).await;
    drain.refuse();
    tracing::info!(left = drain.left(), "draining: new requests are refused");
    let deadline = Instant::now() + config.server.grace.0;
    if tokio::time::timeout_at(deadline, drain.idle()).await.is_err() {
        tracing::warn!(left = drain.left(), "the grace period is over with requests in flight");
    }
    door.close().await;
    tracing::info!("drained: the listeners are closed");
    deadline
}
