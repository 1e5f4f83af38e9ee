//! The tables' view of agents: who they are, what they may do at most, whether they are on.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteExecutor};
use uuid::Uuid;

use super::{ManagedBy, Store, StoreError};
use crate::clock::Millis;

/// One agent of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRow {
    /// A UUID, made when the agent is added.
    pub id: String,
    /// Unique within the tenant.
    pub name: String,
    /// The issuer half of its binding.
    pub issuer: String,
    /// The subject half of its binding.
    pub subject: String,
    /// `read`, `write` or `destroy`; none: the policy's default.
    pub max_effect: Option<String>,
    /// The longest that one of its calls may take, in milliseconds; none: the server's own bound alone.
    pub call_timeout: Option<i64>,
    /// The PSA user whose permissions apply.
    pub psa_user: Option<String>,
    /// Who keeps the row.
    pub managed_by: ManagedBy,
    /// As the configuration file or the adding administrator said.
    pub active: bool,
    /// When an administrator switched it off; survives every re-reading of the configuration.
    pub disabled_at: Option<Millis>,
    /// When the configuration file stopped naming it: its binding and name are free since.
    pub retired_at: Option<Millis>,
}

impl AgentRow {
    /// True where the agent may act.
    pub fn is_on(&self) -> bool {
        self.active && self.disabled_at.is_none() && self.retired_at.is_none()
    }

    /// Who calls: issuer and subject.
    pub(super) fn binding(&self) -> (&str, &str) {
        (&self.issuer, &self.subject)
    }
}

/// An agent to be added, or one that the configuration file describes.
#[derive(Clone, Debug)]
pub struct NewAgent {
    /// Unique within the tenant.
    pub name: String,
    /// The issuer half of the binding.
    pub issuer: String,
    /// The subject half of the binding.
    pub subject: String,
    /// See [`AgentRow::max_effect`].
    pub max_effect: Option<String>,
    /// See [`AgentRow::call_timeout`].
    pub call_timeout: Option<i64>,
    /// See [`AgentRow::psa_user`].
    pub psa_user: Option<String>,
    /// See [`AgentRow::active`].
    pub active: bool,
}

impl NewAgent {
    /// Who calls: issuer and subject.
    pub(super) fn binding(&self) -> (&str, &str) {
        (&self.issuer, &self.subject)
    }
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

    /// Adds an agent under a new id and returns it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name or the binding is taken within the tenant, or the
    /// binding is that of a retired agent that an administrator had switched off.
    pub async fn add_agent(&self, tenant: &str, agent: &NewAgent) -> Result<AgentRow, StoreError> {
        self.add_agent_as(tenant, &Uuid::new_v4().to_string(), agent).await
    }

    /// [`Store::add_agent`] under an id that was made beforehand.
    pub async fn add_agent_as(
        &self,
        tenant: &str,
        id: &str,
        agent: &NewAgent,
    ) -> Result<AgentRow, StoreError> {
        self.may_add(tenant, agent).await?;
        let row = AgentRow {
            id: id.to_owned(),
            name: agent.name.clone(),
            issuer: agent.issuer.clone(),
            subject: agent.subject.clone(),
            max_effect: agent.max_effect.clone(),
            call_timeout: agent.call_timeout,
            psa_user: agent.psa_user.clone(),
            managed_by: ManagedBy::Admin,
            active: agent.active,
            disabled_at: None,
            retired_at: None,
        };
        match write(&self.pool, tenant, &row, self.clock.now()).await {
            Ok(()) => Ok(row),
            // Another process was faster.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                self.may_add(tenant, agent).await?;
                Err(StoreError::Query(sqlx::Error::Database(error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether [`Store::add_agent`] would add `agent` now.
    ///
    /// # Errors
    /// As there.
    pub async fn may_add(&self, tenant: &str, agent: &NewAgent) -> Result<(), StoreError> {
        let rows = self.all_agents(tenant).await?;
        let mut live = rows.iter().filter(|row| row.retired_at.is_none());
        let bound = rows.iter().filter(|row| row.binding() == agent.binding());
        for row in bound {
            if row.retired_at.is_none() {
                return Err(StoreError::Conflict(format!(
                    "subject `{}` of issuer {} is already bound to agent `{}`; one identity is one agent",
                    agent.subject, agent.issuer, row.name
                )));
            }
            if row.disabled_at.is_some() {
                return Err(StoreError::Conflict(format!(
                    "subject `{}` of issuer {} was agent `{}`, which an administrator switched off before the \
                     configuration file dropped it; if it may act again, lift that first with \
                     `sidegate agent enable {}`",
                    agent.subject, agent.issuer, row.name, row.id
                )));
            }
        }
        if live.any(|row| row.name == agent.name) {
            return Err(StoreError::Conflict(format!(
                "there is an agent named `{}` already; choose another name",
                agent.name
            )));
        }
        Ok(())
    }

    /// Switches an agent, named by id or name, off or on again; returns it as it is then. A
    /// retired one stays off either way.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the configuration file itself
    /// keeps it switched off.
    pub async fn switch_agent(&self, tenant: &str, who: &str, on: bool) -> Result<AgentRow, StoreError> {
        let Some(mut row) =
            self.all_agents(tenant).await?.into_iter().find(|row| row.id == who || row.name == who)
        else {
            return Err(StoreError::NotFound(format!(
                "there is no agent `{who}`; `sidegate agent list` shows all"
            )));
        };
        if on && !row.active && row.retired_at.is_none() && row.managed_by == ManagedBy::Config {
            return Err(StoreError::Conflict(format!(
                "agent `{}` is switched off by the configuration file; change it there",
                row.name
            )));
        }
        let now = self.clock.now();
        row.disabled_at = if on { None } else { Some(row.disabled_at.unwrap_or(now)) };
        sqlx::query("UPDATE agents SET disabled_at = $1, updated_at = $2 WHERE id = $3")
            .bind(row.disabled_at)
            .bind(now)
            .bind(&row.id)
            .execute(&self.pool)
            .await?;
        Ok(row)
    }

    /// Remembers the PSA user that was provisioned for an agent.
    pub async fn set_psa_user(&self, agent_id: &str, psa_user: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE agents SET psa_user = $1, updated_at = $2 WHERE id = $3")
            .bind(psa_user)
            .bind(self.clock.now())
            .bind(agent_id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Every agent of a tenant by name, retired ones last.
pub(super) async fn all(
    executor: impl SqliteExecutor<'_>,
    tenant: &str,
) -> Result<Vec<AgentRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, name, issuer, subject, max_effect, call_timeout, psa_user, managed_by, active, disabled_at,
           retired_at
         FROM agents WHERE tenant_id = $1
         ORDER BY CASE WHEN retired_at IS NULL THEN 0 ELSE 1 END, name, retired_at DESC",
    )
    .bind(tenant)
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// Writes a whole row, over the one of the same id where there is one.
pub(super) async fn write(
    executor: impl SqliteExecutor<'_>,
    tenant: &str,
    row: &AgentRow,
    now: Millis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO agents (id, tenant_id, name, issuer, subject, max_effect, psa_user, managed_by, active,
           disabled_at, retired_at, created_at, updated_at, call_timeout)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13)
         ON CONFLICT (id) DO UPDATE SET
           name = excluded.name, issuer = excluded.issuer, subject = excluded.subject,
           max_effect = excluded.max_effect, psa_user = excluded.psa_user, active = excluded.active,
           disabled_at = excluded.disabled_at, retired_at = excluded.retired_at,
           call_timeout = excluded.call_timeout, updated_at = excluded.updated_at",
    )
    .bind(&row.id)
    .bind(tenant)
    .bind(&row.name)
    .bind(&row.issuer)
    .bind(&row.subject)
    .bind(&row.max_effect)
    .bind(&row.psa_user)
    .bind(row.managed_by.as_str())
    .bind(row.active)
    .bind(row.disabled_at)
    .bind(row.retired_at)
    .bind(now)
    .bind(row.call_timeout)
    .execute(executor)
    .await
    .map(drop)
}

fn read(row: &SqliteRow) -> Result<AgentRow, StoreError> {
    Ok(AgentRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        issuer: row.try_get("issuer")?,
        subject: row.try_get("subject")?,
        max_effect: row.try_get("max_effect")?,
        call_timeout: row.try_get("call_timeout")?,
        psa_user: row.try_get("psa_user")?,
        managed_by: ManagedBy::parse(row.try_get("managed_by")?),
        active: row.try_get("active")?,
        disabled_at: row.try_get("disabled_at")?,
        retired_at: row.try_get("retired_at")?,
    })
}
