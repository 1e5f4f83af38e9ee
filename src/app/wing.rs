//! Everything of one tenant, put together: its gate, the rooms behind it and the work in the background.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tokio::task::JoinSet;

use super::{AppError, INSTRUCTIONS, SWEEP, beyond, configured_issuers, failed, resource};
use crate::audit::{Audit, Redactors};
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::admin::{Admin, Journal};
use crate::gate::{
    Activities, ActivityFollower, Authenticator, Catalogue, CatalogueParts, Credentials, Defaults, Desk,
    DeskParts, DeskTerms, Doorway, Gate, Neighbours, Pulse, Roster, SseTerms, Standing, StoreShelf, TENANTS,
    Terms, Whereabouts, activities,
};
use crate::idp::Idp;
use crate::metrics::Metrics;
use crate::psa::{Directory, Psa, PsaConfig};
use crate::store::{Store, TenantRow};
use crate::tool::table::{ToolRow, ToolTable};
use crate::trace::Tracer;

/// What all tenants share.
pub(super) struct Shared {
    pub config: Arc<ArcSwap<Config>>,
    pub bound: Vec<SocketAddr>,
    pub store: Store,
    pub pulse: Arc<Pulse>,
    pub idp: Arc<dyn Idp>,
    pub audit: Audit,
    pub tracer: Tracer,
    pub journal: Journal,
    pub redactors: Redactors,
    pub neighbours: Arc<Neighbours>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub tools: Vec<ToolRow>,
    /// By tenant: where what its agents do is noted in the PSA, where that is wanted.
    pub activities: Arc<RwLock<HashMap<String, Activities>>>,
}

/// One tenant's rooms.
pub(super) struct Wing {
    pub row: TenantRow,
    pub gate: Arc<Gate>,
    pub roster: Arc<Roster>,
    pub credentials: Arc<Credentials>,
    pub catalogue: Arc<Catalogue>,
    pub psa: Arc<dyn Psa>,
    pub admin: Arc<Admin>,
    activity: Option<ActivityFollower>,
    work: JoinSet<()>,
}

/// What of a tenant's rooms is told of a changed configuration.
pub(super) struct Rooms {
    pub row: TenantRow,
    pub gate: Arc<Gate>,
    pub roster: Arc<Roster>,
    pub catalogue: Arc<Catalogue>,
    pub psa: Arc<dyn Psa>,
    pub admin: Arc<Admin>,
}

impl Shared {
    fn is_main(&self, row: &TenantRow) -> bool {
        row.id == self.config.load().tenant.id
    }

    /// Puts a tenant's rooms together. Nothing works in them yet.
    ///
    /// # Errors
    /// What of its settings cannot be used.
    pub async fn build(&self, row: &TenantRow) -> Result<Wing, AppError> {
        let config = self.config.load_full();
        let section = psa(&config, row);
        let psa = crate::psa::open(&section, self.clock.clone()).await.map_err(failed)?;
        let defaults = defaults(&config);
        let roster = Roster::open(self.pulse.clone(), self.store.clone(), &row.id, defaults);
        let roster = roster.await.map_err(failed)?;
        let credentials = Credentials::new(
            psa.keys.clone(),
            config.psa.key_ttl.0,
            self.clock.clone(),
            self.metrics.clone(),
            Some(roster.clone() as Arc<dyn Standing>),
        );
        let catalogue = Catalogue::open(CatalogueParts {
            rules: config.catalog.clone(),
            psa: psa.psa.clone(),
            key: psa.catalog_credential,
            credentials: credentials.clone(),
            shelf: Some(Arc::new(StoreShelf { store: self.store.clone(), tenant: row.id.clone() })),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        })
        .await;
        let authenticator =
            Authenticator::new(self.idp.clone(), roster.clone(), self.clock.clone(), self.metrics.clone());
        let parts = DeskParts {
            tenant: row.id.clone(),
            catalogue: catalogue.clone(),
            tools: ToolTable::new(self.tools.clone()).map_err(AppError)?,
            instructions: INSTRUCTIONS,
            credentials: credentials.clone(),
            psa: psa.psa.clone(),
            audit: self.audit.clone(),
            tracer: self.tracer.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            extra: beyond(),
        };
        let Terms { doorway, desk, sse } = self.terms(&config, row);
        let gate = Arc::new(Gate::new(Desk::new(parts, desk), authenticator, doorway, sse));
        gate.open(row.mcp && row.active);
        let (current, place) = (self.config.clone(), row.clone());
        let admin = Admin {
            resource: Box::new(move || resource(&current.load(), &place)),
            psa_tenant: section.tenant,
            store: self.store.clone(),
            tenant: row.id.clone(),
            configured_issuers: if self.is_main(row) { configured_issuers(&config) } else { Vec::new() },
            idp: self.idp.clone(),
            keys: psa.keys,
            directory: psa.directory,
            hosted: config.idp.hosted(),
            journal: self.journal.clone(),
            clock: self.clock.clone(),
        };
        let activity = self.activity(&config, row, admin.directory.clone());
        Ok(Wing {
            activity,
            row: row.clone(),
            gate,
            roster,
            credentials,
            catalogue,
            psa: psa.psa,
            admin: Arc::new(admin),
            work: JoinSet::new(),
        })
    }

    /// The way to the PSA's own record of what agents do, where that is wanted.
    fn activity(
        &self,
        config: &Config,
        row: &TenantRow,
        directory: Option<Arc<dyn Directory>>,
    ) -> Option<ActivityFollower> {
        let (way, follower) = activities(directory.filter(|_| config.psa.activity)?);
        self.activities.write().insert(row.id.clone(), way);
        Some(follower)
    }

    /// The terms that `config` sets for a tenant.
    pub fn terms(&self, config: &Config, row: &TenantRow) -> Terms {
        let server = &config.server;
        let mut hosts = server.hosts(&self.bound);
        let mut public_url = server.public_url.clone();
        let mut below = String::new();
        match place(row).filter(|_| !self.is_main(row)) {
            Some(Whereabouts::Path(slug)) => below = format!("{TENANTS}/{slug}"),
            Some(Whereabouts::Host(host)) => {
                public_url = Some(format!("https://{host}"));
                hosts = vec![host];
            }
            None => {}
        }
        Terms {
            doorway: Doorway::new(
                &server.endpoints(),
                &config.sse.paths(),
                &below,
                public_url.as_deref(),
                &hosts,
                &server.allowed_origins,
            ),
            desk: DeskTerms {
                call_timeout: server.call_timeout.0,
                max_result: config.tools.max_result.0,
                limits: config.limits,
                sessions: config.sessions.clone(),
                rules: self.redactors.of(&row.id),
            },
            sse: SseTerms::from(&config.sse),
        }
    }
}

/// The `[psa]` section as it holds for a tenant.
pub(super) fn psa(config: &Config, row: &TenantRow) -> PsaConfig {
    if row.id == config.tenant.id {
        return config.psa.clone();
    }
    config.psa.for_tenant(row.psa_tenant.as_deref(), row.catalog_user.as_deref(), Some(&row.id))
}

/// What holds for agents and issuers that say nothing of their own.
pub(super) fn defaults(config: &Config) -> Defaults {
    Defaults { max_effect: config.policy.default_max_effect, hosted: config.idp.hosted() }
}

/// Where a further tenant is reached; none where neither host nor slug is given.
pub(super) fn place(row: &TenantRow) -> Option<Whereabouts> {
    let host = row.host.clone().map(Whereabouts::Host);
    host.or_else(|| row.slug.clone().map(Whereabouts::Path))
}

impl Wing {
    /// Begins the work in the background.
    pub fn start(&mut self, shared: &Shared) {
        let config = shared.config.load();
        self.work.spawn(self.roster.clone().follow());
        self.work.spawn(self.gate.clone().follow(self.roster.clone()));
        self.work.spawn(self.roster.clone().close_keys(self.credentials.clone()));
        self.work.spawn(self.credentials.clone().sweep(SWEEP));
        self.work.spawn(self.catalogue.clone().follow(config.psa.catalog_refresh.0));
        self.work.spawn(self.gate.clone().together(shared.neighbours.clone()));
        if let Some(activity) = self.activity.take() {
            self.work.spawn(activity.follow());
        }
    }

    /// What a changed configuration reaches, without the work.
    pub fn rooms(&self) -> Rooms {
        Rooms {
            row: self.row.clone(),
            gate: self.gate.clone(),
            roster: self.roster.clone(),
            catalogue: self.catalogue.clone(),
            psa: self.psa.clone(),
            admin: self.admin.clone(),
        }
    }
}

impl Rooms {
    /// Takes over what a changed configuration sets.
    pub async fn adopt(&self, shared: &Shared, config: &Config) {
        self.roster.adopt(defaults(config)).await;
        self.gate.adopt(shared.terms(config, &self.row));
    }
}

impl Wing {
    /// Ends the work in the background; keys that were minted are revoked.
    pub async fn stop(mut self) {
        self.gate.open(false);
        self.gate.cut();
        self.credentials.shutdown().await;
        self.work.shutdown().await;
    }
}
