//! Changes of one agent that is there: what is said of it, its switch, its keys, its PSA user, its end.

use sqlx::Row;

use super::agents::write;
use super::change::Change;
use super::finding::{find, may_add, unknown};
use super::{AgentRow, ManagedBy, NewAgent, Store, StoreError};

impl Store {
    /// Writes a whole row over the one of the same id, as an administrator changed it; who keeps it, when it was
    /// added, retired or deleted stays. Returns it as it is then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the name or the binding is another's, where the
    /// configuration file keeps the row, or where it was changed since it was read: whoever writes a whole row must
    /// not undo what they have not seen, such as another's `disable`.
    pub async fn update_agent(&self, tenant: &str, row: &AgentRow) -> Result<AgentRow, StoreError> {
        let mut change = self.change(tenant).await?;
        let Some(known) =
            find(change.connection(), tenant, &row.id).await?.filter(|known| known.id == row.id)
        else {
            return Err(unknown(&row.id));
        };
        if known.deleted_at.is_some() {
            return Err(StoreError::Conflict(format!("agent `{}` was deleted; add a new one", known.name)));
        }
        if known.managed_by == ManagedBy::Config {
            return Err(kept_by_file(&known));
        }
        if known.changed != row.changed {
            return Err(StoreError::Conflict(format!(
                "agent `{}` was changed by somebody else meanwhile; look at it and try again",
                known.name
            )));
        }
        let asked = NewAgent {
            name: row.name.clone(),
            issuer: row.issuer.clone(),
            subject: row.subject.clone(),
            ..NewAgent::default()
        };
        if known.name != row.name || known.binding() != row.binding() {
            may_add(change.connection(), tenant, &asked, Some(&row.id)).await?;
        }
        let row = AgentRow {
            managed_by: known.managed_by,
            retired_at: known.retired_at,
            deleted_at: known.deleted_at,
            created_at: known.created_at,
            created_by: known.created_by,
            updated_at: self.clock.now(),
            changed: change.version,
            ..row.clone()
        };
        write(change.connection(), tenant, &row).await?;
        change.commit().await?;
        Ok(row)
    }

    /// Switches an agent, named by id or name, off or on again; returns it as it is then. A
    /// retired one stays off either way.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the configuration file itself
    /// keeps it switched off.
    pub async fn switch_agent(&self, tenant: &str, who: &str, on: bool) -> Result<AgentRow, StoreError> {
        let now = self.clock.now();
        let mut change = self.change(tenant).await?;
        let mut row = living(&mut change, tenant, who).await?;
        if on && !row.active && row.retired_at.is_none() && row.managed_by == ManagedBy::Config {
            return Err(StoreError::Conflict(format!(
                "agent `{}` is switched off by the configuration file; change it there",
                row.name
            )));
        }
        row.disabled_at = if on { None } else { Some(row.disabled_at.unwrap_or(now)) };
        // Off by whoever added it, or by this switch: one switch puts both on.
        row.active |= on && row.managed_by == ManagedBy::Admin;
        (row.updated_at, row.changed) = (now, change.version);
        write(change.connection(), tenant, &row).await?;
        change.commit().await?;
        Ok(row)
    }

    /// Makes all PSA keys of an agent void that were minted until now; returns it as it is then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn void_keys(&self, tenant: &str, who: &str) -> Result<AgentRow, StoreError> {
        let now = self.clock.now();
        let mut change = self.change(tenant).await?;
        let mut row = living(&mut change, tenant, who).await?;
        row.keys_void_before = Some(now);
        (row.updated_at, row.changed) = (now, change.version);
        write(change.connection(), tenant, &row).await?;
        change.commit().await?;
        Ok(row)
    }

    /// Remembers the PSA user that was provisioned for an agent.
    pub async fn set_psa_user(&self, agent_id: &str, psa_user: &str) -> Result<(), StoreError> {
        let owner = sqlx::query("SELECT tenant_id FROM agents WHERE id = $1").bind(agent_id);
        let Some(owner) = owner.fetch_optional(&self.pool).await? else { return Err(unknown(agent_id)) };
        let mut change = self.change(owner.try_get("tenant_id")?).await?;
        sqlx::query(
            "UPDATE agents SET psa_user = $1, provisioned = TRUE, updated_at = $2, changed = $3 WHERE id = $4",
        )
        .bind(psa_user)
        .bind(self.clock.now())
        .bind(change.version)
        .bind(agent_id)
        .execute(change.connection())
        .await?;
        change.commit().await
    }

    /// Deletes an agent, named by id or name, and returns what is left of it: a row that keeps its id for the record,
    /// while its name and binding are free.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the configuration file names it.
    pub async fn delete_agent(&self, tenant: &str, who: &str) -> Result<AgentRow, StoreError> {
        let now = self.clock.now();
        let mut change = self.change(tenant).await?;
        let mut row = living(&mut change, tenant, who).await?;
        if row.managed_by == ManagedBy::Config && row.retired_at.is_none() {
            return Err(kept_by_file(&row));
        }
        row.deleted_at = Some(now);
        row.retired_at = Some(row.retired_at.unwrap_or(now));
        (row.updated_at, row.changed) = (now, change.version);
        write(change.connection(), tenant, &row).await?;
        change.commit().await?;
        Ok(row)
    }
}

fn kept_by_file(row: &AgentRow) -> StoreError {
    StoreError::Conflict(format!("agent `{}` is kept by the configuration file; change it there", row.name))
}

/// The agent that `who` names, unless it is deleted.
async fn living(change: &mut Change<'_>, tenant: &str, who: &str) -> Result<AgentRow, StoreError> {
    let found = find(change.connection(), tenant, who).await?;
    found.filter(|row| row.deleted_at.is_none()).ok_or_else(|| unknown(who))
}
