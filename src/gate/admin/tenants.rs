//! The tenants, and each one's administrator's verbs.

use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Value, json};

use super::record::Change;
use super::{Actor, Admin, AdminError, sound};
use crate::clock::Clock;
use crate::store::{ManagedBy, Store, TenantRow};

/// A tenant as it is added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantSpec {
    /// What rows and records call it; none: its slug.
    pub id: Option<String>,
    /// For people.
    pub name: String,
    /// Reached at `/t/{slug}` on the main host.
    pub slug: Option<String>,
    /// Reached at this host instead, as `host` or `host:port`.
    pub host: Option<String>,
    /// Its UUID in the PSA; none: the main tenant's.
    pub psa_tenant: Option<String>,
    /// The PSA user for whom the registry's key is minted.
    pub catalog_user: Option<String>,
}

/// What is changed of a tenant; none: it stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantChange {
    pub name: Option<String>,
    pub slug: Option<Option<String>>,
    pub host: Option<Option<String>>,
    pub psa_tenant: Option<Option<String>>,
    pub catalog_user: Option<Option<String>>,
    /// Whether MCP is served.
    pub mcp: Option<bool>,
    /// Whether the console is served; the API is in any case.
    pub console: Option<bool>,
    /// False: nothing of it is served.
    pub active: Option<bool>,
}

/// Every tenant's verbs, as far as its rooms are open in this process.
pub struct Admins {
    main: Arc<Admin>,
    /// By slug too, where there is one.
    others: RwLock<Vec<(Option<String>, Arc<Admin>)>>,
}

impl Admins {
    /// The main tenant's alone.
    pub fn new(main: Arc<Admin>) -> Self {
        Self { main, others: RwLock::default() }
    }

    /// The main tenant's.
    pub fn main(&self) -> Arc<Admin> {
        self.main.clone()
    }

    /// From now on these are the further ones, with their slugs.
    pub fn adopt(&self, others: Vec<(Option<String>, Arc<Admin>)>) {
        *self.others.write() = others;
    }

    /// The verbs of a tenant, by its id or slug.
    pub fn find(&self, which: &str) -> Option<Arc<Admin>> {
        if self.main.tenant == which {
            return Some(self.main());
        }
        let others = self.others.read();
        let found =
            others.iter().find(|(slug, admin)| admin.tenant == which || slug.as_deref() == Some(which));
        found.map(|(_, admin)| admin.clone())
    }

    /// The verbs of the tenant that the PSA knows by this id; of several the main one, or else the first.
    pub fn find_in_psa(&self, psa_tenant: &str) -> Option<Arc<Admin>> {
        let is_meant = |admin: &Arc<Admin>| admin.psa_tenant.eq_ignore_ascii_case(psa_tenant);
        if is_meant(&self.main) {
            return Some(self.main());
        }
        self.others.read().iter().map(|(_, admin)| admin).find(|admin| is_meant(admin)).cloned()
    }

    pub(super) fn store(&self) -> &Store {
        &self.main.store
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.main.clock
    }

    /// All tenants, the main one first.
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, AdminError> {
        let mut rows = self.store().tenants().await?;
        rows.sort_by_key(|row| row.id != self.main.tenant);
        Ok(rows)
    }

    /// One of them, by id or slug.
    pub async fn tenant(&self, which: &str) -> Result<TenantRow, AdminError> {
        let rows = self.store().tenants().await?;
        let found = rows.into_iter().find(|row| row.goes_by(which));
        found.ok_or_else(|| AdminError::NotFound(format!("there is no tenant `{which}`")))
    }

    /// Adds a tenant; running servers open its rooms within a second.
    pub async fn add_tenant(&self, actor: &Actor, spec: &TenantSpec) -> Result<TenantRow, AdminError> {
        let id = spec.id.clone().or_else(|| spec.slug.clone()).unwrap_or_default();
        let row = TenantRow {
            id,
            name: spec.name.clone(),
            slug: spec.slug.clone(),
            host: spec.host.as_ref().map(|host| host.to_ascii_lowercase()),
            psa_tenant: spec.psa_tenant.clone(),
            catalog_user: spec.catalog_user.clone(),
            mcp: true,
            console: false,
            active: true,
            managed_by: ManagedBy::Admin,
            version: 0,
            created_at: self.clock().now(),
        };
        sound(problems(&row, false))?;
        if self.store().tenant(&row.id).await?.is_some() {
            return Err(AdminError::Conflict(format!("id: there is a tenant `{}` already", row.id)));
        }
        let after = self.store().put_tenant(&row).await?;
        self.tenant_recorded(actor, "tenant.add", None, &after).await?;
        Ok(after)
    }

    /// Changes a tenant; running servers follow within a second.
    pub async fn change_tenant(
        &self,
        actor: &Actor,
        which: &str,
        change: &TenantChange,
    ) -> Result<TenantRow, AdminError> {
        let before = self.tenant(which).await?;
        let is_main = before.id == self.main.tenant;
        if is_main && (change.slug.is_some() || change.host.is_some() || change.name.is_some()) {
            let message =
                "the main tenant is named and reached as the configuration file says; change it there";
            return Err(AdminError::Conflict(message.to_owned()));
        }
        if is_main
            && (change.psa_tenant.is_some() || change.catalog_user.is_some() || change.active.is_some())
        {
            let message = "the main tenant's PSA is that of [psa], and it is always there; its MCP endpoint can be switched off";
            return Err(AdminError::Conflict(message.to_owned()));
        }
        let mut row = before.clone();
        let lower = |host: &Option<String>| host.as_ref().map(|host| host.to_ascii_lowercase());
        row.name = change.name.clone().unwrap_or(row.name);
        row.slug = change.slug.clone().unwrap_or(row.slug);
        row.host = change.host.as_ref().map_or(row.host, lower);
        row.psa_tenant = change.psa_tenant.clone().unwrap_or(row.psa_tenant);
        row.catalog_user = change.catalog_user.clone().unwrap_or(row.catalog_user);
        row.mcp = change.mcp.unwrap_or(row.mcp);
        row.console = change.console.unwrap_or(row.console);
        row.active = change.active.unwrap_or(row.active);
        sound(problems(&row, is_main))?;
        let after = self.store().put_tenant(&row).await?;
        self.tenant_recorded(actor, "tenant.change", Some(&before), &after).await?;
        Ok(after)
    }

    async fn tenant_recorded(
        &self,
        actor: &Actor,
        action: &'static str,
        before: Option<&TenantRow>,
        after: &TenantRow,
    ) -> Result<(), AdminError> {
        let (before, after_shown) = (before.map(shown), Some(shown(after)));
        let change = Change { action, target: &after.id, agent: None, before, after: after_shown };
        self.main.journal.change(&after.id, actor, change).await
    }
}

fn shown(row: &TenantRow) -> Value {
    json!({
        "name": row.name, "slug": row.slug, "host": row.host, "psa_tenant": row.psa_tenant,
        "catalog_user": row.catalog_user, "mcp": row.mcp, "console": row.console, "active": row.active,
    })
}

/// The longest id and slug.
const ID_LIMIT: usize = 63;

/// What is wrong with a tenant, as (field, message).
fn problems(row: &TenantRow, is_main: bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut say = |field: &str, message: String| found.push((field.to_owned(), message));
    let label = |text: &str| {
        let inner = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        !text.is_empty()
            && text.len() <= ID_LIMIT
            && text.chars().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    if !is_main && !label(&row.id) {
        say("id", format!("must be 1 to {ID_LIMIT} of a-z, 0-9 and -, such as acme"));
    }
    if row.slug.as_deref().is_some_and(|slug| !label(slug)) {
        say("slug", format!("must be 1 to {ID_LIMIT} of a-z, 0-9 and -, such as acme"));
    }
    if !is_main && row.slug.is_none() && row.host.is_none() {
        say("slug", "is missing; give a slug or a host, or the tenant cannot be reached".to_owned());
    }
    let is_host = |host: &str| {
        url::Url::parse(&format!("https://{host}/")).is_ok_and(|url| {
            url.path() == "/"
                && url.username().is_empty()
                && url.query().is_none()
                && url.fragment().is_none()
        }) && !host.contains(['/', '@', '?', '#'])
    };
    if row.host.as_deref().is_some_and(|host| !is_host(host)) {
        say(
            "host",
            "must be a host name, with its port where it is not 443, such as acme.example.com".to_owned(),
        );
    }
    for (field, value) in [("psa_tenant", &row.psa_tenant), ("catalog_user", &row.catalog_user)] {
        if value.as_deref().is_some_and(|id| uuid::Uuid::parse_str(id).is_err()) {
            say(field, "is not a UUID; take it from the PSA".to_owned());
        }
    }
    found
}
