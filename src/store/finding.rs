//! Finds single agents, by what an administrator calls them or by what stands against a new one.

use sqlx::{AnyConnection, AnyExecutor};

use super::agents::{COLUMNS, read};
use super::sql::{Statement, Value};
use super::{AgentRow, NewAgent, Store, StoreError};

impl Store {
    /// The agent with this id, deleted or not, or else of this name, retired ones last and deleted ones never.
    pub async fn agent(&self, tenant: &str, id_or_name: &str) -> Result<Option<AgentRow>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        find(&mut connection, tenant, id_or_name).await
    }

    /// Whether [`Store::add_agent`] would add `agent` now.
    ///
    /// # Errors
    /// As there.
    pub async fn may_add(&self, tenant: &str, agent: &NewAgent) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        may_add(&mut connection, tenant, agent, None).await
    }
}

pub(super) fn unknown(who: &str) -> StoreError {
    StoreError::NotFound(format!("there is no agent `{who}`; `sidegate agent list` shows all"))
}

/// See [`Store::agent`].
pub(super) async fn find(
    connection: &mut AnyConnection,
    tenant: &str,
    who: &str,
) -> Result<Option<AgentRow>, StoreError> {
    // One after the other: each alone has an index.
    for condition in ["id = ?", "name = ? AND retired_at IS NULL", "name = ? AND deleted_at IS NULL"] {
        let found = select(&mut *connection, tenant, condition, [who.into()]).await?;
        if let Some(row) = found.into_iter().max_by_key(|row| row.retired_at) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Whether an agent can have this name and this binding; `own` is the agent itself, where it is there already.
pub(super) async fn may_add(
    connection: &mut AnyConnection,
    tenant: &str,
    agent: &NewAgent,
    own: Option<&str>,
) -> Result<(), StoreError> {
    let bound = "issuer = ? AND subject = ? AND deleted_at IS NULL";
    let binding = [agent.issuer.as_str().into(), agent.subject.as_str().into()];
    let bound = select(&mut *connection, tenant, bound, binding).await?;
    for row in bound.iter().filter(|row| own != Some(&row.id)) {
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
    let named = "name = ? AND retired_at IS NULL";
    let named = select(&mut *connection, tenant, named, [agent.name.as_str().into()]).await?;
    if named.iter().any(|row| own != Some(&row.id)) {
        return Err(StoreError::Conflict(format!(
            "there is an agent named `{}` already; choose another name",
            agent.name
        )));
    }
    Ok(())
}

async fn select<const N: usize>(
    executor: impl AnyExecutor<'_>,
    tenant: &str,
    condition: &str,
    values: [Value; N],
) -> Result<Vec<AgentRow>, StoreError> {
    let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM agents WHERE "));
    statement.push("tenant_id = ? AND ", [tenant.into()]).push(condition, values);
    statement.query().fetch_all(executor).await?.iter().map(read).collect()
}
