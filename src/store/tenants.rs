//! The tables' view of tenants: how each is reached, whom it is in the PSA, and which version its rows have.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::sql::{flag, is_taken};
use super::{ManagedBy, Store, StoreError};
use crate::clock::Millis;

/// One tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantRow {
    /// What every other row calls it.
    pub id: String,
    /// For people.
    pub name: String,
    /// The part of its path, `/t/{slug}/…`; unique.
    pub slug: Option<String>,
    /// The host name that means it; unique.
    pub host: Option<String>,
    /// Its UUID in the PSA.
    pub psa_tenant: Option<String>,
    /// The PSA user under whom its catalogue is fetched.
    pub catalog_user: Option<String>,
    /// Whether its MCP endpoint answers.
    pub mcp: bool,
    /// Whether its console answers.
    pub console: bool,
    /// False: nothing of it answers.
    pub active: bool,
    /// Who keeps the row.
    pub managed_by: ManagedBy,
    /// Goes up with every change of its issuers, its agents and itself; the store counts it.
    pub version: i64,
    /// When it was added; the store sets it.
    pub created_at: Millis,
}

impl Default for TenantRow {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            slug: None,
            host: None,
            psa_tenant: None,
            catalog_user: None,
            mcp: true,
            console: false,
            active: true,
            managed_by: ManagedBy::Admin,
            version: 0,
            created_at: 0,
        }
    }
}

impl TenantRow {
    /// Whether `which` is its id or its slug.
    pub fn goes_by(&self, which: &str) -> bool {
        self.id == which || self.slug.as_deref() == Some(which)
    }
}

impl Store {
    /// The (id, version) of every tenant: what is asked again and again to see whether anything changed.
    pub async fn versions(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = sqlx::query("SELECT id, version FROM tenants ORDER BY id").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("version")?))).collect()
    }

    /// All tenants by id.
    pub async fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, slug, host, psa_tenant, catalog_user, CAST(mcp AS INTEGER) AS mcp,
               CAST(console AS INTEGER) AS console, CAST(active AS INTEGER) AS active, managed_by, version,
               created_at
             FROM tenants ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The tenant with this id.
    pub async fn tenant(&self, id: &str) -> Result<Option<TenantRow>, StoreError> {
        Ok(self.tenants().await?.into_iter().find(|row| row.id == id))
    }

    /// Makes sure that the tenant is there under this name.
    pub async fn ensure_tenant(&self, id: &str, name: &str) -> Result<(), StoreError> {
        let mut change = self.transaction().await?;
        let written = sqlx::query(
            "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = tenants.version + 1
             WHERE tenants.name <> excluded.name",
        )
        .bind(id)
        .bind(name)
        .bind(self.clock.now())
        .execute(change.connection())
        .await?;
        if written.rows_affected() == 0 { change.rollback().await } else { change.commit().await }
    }

    /// Adds a tenant, or writes a whole row over the one of the same id; returns it as it is then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where another tenant has the slug or the host.
    pub async fn put_tenant(&self, row: &TenantRow) -> Result<TenantRow, StoreError> {
        let mut change = self.transaction().await?;
        let written = sqlx::query(
            "INSERT INTO tenants (id, name, slug, host, psa_tenant, catalog_user, mcp, console, active, managed_by,
               created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (id) DO UPDATE SET
               name = excluded.name, slug = excluded.slug, host = excluded.host, psa_tenant = excluded.psa_tenant,
               catalog_user = excluded.catalog_user, mcp = excluded.mcp, console = excluded.console,
               active = excluded.active, managed_by = excluded.managed_by, version = tenants.version + 1",
        )
        .bind(&row.id)
        .bind(&row.name)
        .bind(&row.slug)
        .bind(&row.host)
        .bind(&row.psa_tenant)
        .bind(&row.catalog_user)
        .bind(row.mcp)
        .bind(row.console)
        .bind(row.active)
        .bind(row.managed_by.as_str())
        .bind(self.clock.now())
        .execute(change.connection())
        .await;
        match written {
            Ok(_) => change.commit().await?,
            Err(error) if is_taken(&error) => {
                change.rollback().await?;
                return Err(self.tenant_taken(row).await?);
            }
            Err(error) => return Err(error.into()),
        }
        self.tenant(&row.id)
            .await?
            .ok_or_else(|| StoreError::NotFound(format!("there is no tenant `{}`", row.id)))
    }

    async fn tenant_taken(&self, row: &TenantRow) -> Result<StoreError, StoreError> {
        let others = self.tenants().await?;
        let mut others = others.iter().filter(|other| other.id != row.id);
        let has_slug = others.any(|other| row.slug.is_some() && other.slug == row.slug);
        let (what, value) = if has_slug { ("slug", &row.slug) } else { ("host", &row.host) };
        let value = value.as_deref().unwrap_or_default();
        Ok(StoreError::Conflict(format!("{what}: `{value}` is another tenant's; choose another")))
    }
}

fn read(row: &AnyRow) -> Result<TenantRow, StoreError> {
    Ok(TenantRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        slug: row.try_get("slug")?,
        host: row.try_get("host")?,
        psa_tenant: row.try_get("psa_tenant")?,
        catalog_user: row.try_get("catalog_user")?,
        mcp: flag(row, "mcp")?,
        console: flag(row, "console")?,
        active: flag(row, "active")?,
        managed_by: ManagedBy::parse(row.try_get("managed_by")?),
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
    })
}
