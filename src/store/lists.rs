//! Many agents at once: all of a tenant, those that changed, and one page after the other.

use sqlx::{AnyExecutor, Row};

use super::agents::{COLUMNS, read};
use super::sql::Statement;
use super::{AgentRow, Store, StoreError};
use crate::clock::Millis;

/// Which agents a page shows, and where it begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentFilter {
    /// Part of the name, whatever its case (of ASCII letters).
    pub name_contains: Option<String>,
    /// The issuer half of the binding.
    pub issuer: Option<String>,
    /// Those that may act, or those that may not.
    pub active: Option<bool>,
    /// Those too that the configuration file names no longer.
    pub retired: bool,
    /// After the agent that was added at this time and has this id.
    pub after: Option<(Millis, String)>,
    /// At most so many; 0: all.
    pub limit: u32,
}

impl Store {
    /// The agents of a tenant by name, without retired ones: no two have one binding or name.
    pub async fn agents(&self, tenant: &str) -> Result<Vec<AgentRow>, StoreError> {
        let mut rows = self.all_agents(tenant).await?;
        rows.retain(|row| row.retired_at.is_none());
        Ok(rows)
    }

    /// The same by name, and after them those that the configuration file names no longer.
    pub async fn all_agents(&self, tenant: &str) -> Result<Vec<AgentRow>, StoreError> {
        all(&self.pool, tenant).await
    }

    /// The tenant's version, and every agent that was written since it was `version`, retired and deleted ones too.
    /// `version` -1 means all; a tenant that is not there has version 0 and no agents.
    pub async fn agents_since(&self, tenant: &str, version: i64) -> Result<(i64, Vec<AgentRow>), StoreError> {
        let mut connection = self.pool.acquire().await?;
        // The version comes first: a row that is written in between is read now and once more the next time.
        let now = sqlx::query("SELECT version FROM tenants WHERE id = $1")
            .bind(tenant)
            .fetch_optional(&mut *connection)
            .await?;
        let now = now.map_or(Ok(0), |row| row.try_get("version"))?;
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM agents WHERE "));
        statement.push("tenant_id = ? AND changed > ?", [tenant.into(), version.into()]);
        let rows = statement.query().fetch_all(&mut *connection).await?;
        Ok((now, rows.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// A page of a tenant's agents, the newest first, without deleted ones.
    pub async fn page_agents(&self, tenant: &str, filter: &AgentFilter) -> Result<Vec<AgentRow>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM agents WHERE "));
        statement.push("tenant_id = ? AND deleted_at IS NULL", [tenant.into()]);
        if !filter.retired {
            statement.push(" AND retired_at IS NULL", []);
        }
        if let Some(part) = &filter.name_contains {
            let escaped = part.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            let pattern = format!("%{}%", escaped.to_ascii_lowercase());
            statement.push(" AND LOWER(name) LIKE ? ESCAPE '\\'", [pattern.into()]);
        }
        if let Some(issuer) = &filter.issuer {
            statement.push(" AND issuer = ?", [issuer.as_str().into()]);
        }
        match filter.active {
            Some(true) => {
                statement.push(" AND active AND disabled_at IS NULL AND retired_at IS NULL", []);
            }
            Some(false) => {
                statement.push(" AND (NOT active OR disabled_at IS NOT NULL OR retired_at IS NOT NULL)", []);
            }
            None => {}
        }
        if let Some((at, id)) = &filter.after {
            statement.push(" AND (created_at, id) < (?, ?)", [(*at).into(), id.as_str().into()]);
        }
        statement.push(" ORDER BY created_at DESC, id DESC", []);
        if filter.limit > 0 {
            statement.push(" LIMIT ?", [i64::from(filter.limit).into()]);
        }
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

/// Every agent of a tenant by name that is not deleted, retired ones last.
pub(super) async fn all(executor: impl AnyExecutor<'_>, tenant: &str) -> Result<Vec<AgentRow>, StoreError> {
    let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM agents WHERE "));
    statement.push(
        "tenant_id = ? AND deleted_at IS NULL
         ORDER BY CASE WHEN retired_at IS NULL THEN 0 ELSE 1 END, name, retired_at DESC",
        [tenant.into()],
    );
    statement.query().fetch_all(executor).await?.iter().map(read).collect()
}
