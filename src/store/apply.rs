//! The configuration file's issuers and agents become rows, all of them or none.
//!
//! Knows how rows of an earlier file are found again; judges neither names nor addresses.

use std::collections::HashSet;

use uuid::Uuid;

use super::sql::is_taken;
use super::{AgentRow, IssuerRow, ManagedBy, NewAgent, Store, StoreError};
use crate::clock::Millis;

impl Store {
    /// Makes the store say what the configuration file says, in one transaction; returns the
    /// agents as they are then, in the order of `agents`.
    ///
    /// An issuer that the file names no longer is forgotten. An agent that it names no longer is
    /// retired: its binding and name are free, and its row keeps its id and an administrator's
    /// `disable` for the day it comes back. An agent is found again by its binding, else by its
    /// name, so that a renamed one stays who it was, switched off included. A PSA user that was
    /// provisioned earlier stays where the file names none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where an agent's binding or name belongs to one that an
    /// administrator added. Nothing has changed then.
    pub async fn apply_config(
        &self,
        tenant: &str,
        issuers: &[IssuerRow],
        agents: &[NewAgent],
    ) -> Result<Vec<AgentRow>, StoreError> {
        let now = self.clock.now();
        let mut change = self.change(tenant).await?;
        let version = change.version;
        let kept = super::issuers::all(change.connection(), tenant).await?;
        let mut known = super::lists::all(change.connection(), tenant).await?;
        known.retain(|row| row.managed_by == ManagedBy::Config);
        let wanted: Vec<_> = agents
            .iter()
            .zip(found_again(&known, agents))
            .map(|(agent, found)| wanted(agent, found, now, version))
            .collect();
        if same_issuers(&kept, issuers) && same_agents(&known, &wanted) {
            // A start that says nothing new has nobody read anything again.
            change.rollback().await?;
            return Ok(wanted
                .iter()
                .filter_map(|row| known.iter().find(|known| known.id == row.id))
                .cloned()
                .collect());
        }
        sqlx::query("UPDATE issuers SET active = FALSE WHERE tenant_id = $1 AND managed_by = 'config'")
            .bind(tenant)
            .execute(change.connection())
            .await?;
        for row in issuers {
            let row = IssuerRow { managed_by: ManagedBy::Config, active: true, ..row.clone() };
            super::issuers::put(change.connection(), tenant, &row, now, version).await?;
        }
        sqlx::query("DELETE FROM issuers WHERE tenant_id = $1 AND managed_by = 'config' AND NOT active")
            .bind(tenant)
            .execute(change.connection())
            .await?;

        // Retired first, the rows hold neither bindings nor names against each other: two may swap.
        sqlx::query(
            "UPDATE agents SET retired_at = $1, updated_at = $1, changed = $2
             WHERE tenant_id = $3 AND managed_by = 'config' AND retired_at IS NULL",
        )
        .bind(now)
        .bind(version)
        .bind(tenant)
        .execute(change.connection())
        .await?;
        for (agent, row) in agents.iter().zip(&wanted) {
            match super::agents::write(change.connection(), tenant, row).await {
                Ok(()) => {}
                Err(error) if is_taken(&error) => {
                    change.rollback().await?;
                    return Err(self.taken(tenant, agent).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        change.commit().await?;
        Ok(wanted)
    }

    /// Adds issuers and agents, the agents under ids of their own, all of them or none; for those that another
    /// system kept before.
    ///
    /// # Errors
    /// As [`Store::put_issuer`] and [`Store::add_agent`]. Nothing has changed then.
    pub async fn take_over(
        &self,
        tenant: &str,
        issuers: &[IssuerRow],
        agents: &[(String, NewAgent)],
    ) -> Result<Vec<AgentRow>, StoreError> {
        let now = self.clock.now();
        let mut change = self.change(tenant).await?;
        let version = change.version;
        for row in issuers {
            super::issuers::put(change.connection(), tenant, row, now, version).await?;
        }
        let mut added = Vec::with_capacity(agents.len());
        for (id, agent) in agents {
            added.push(super::agents::add(&mut change, tenant, id, agent, now).await?);
        }
        change.commit().await?;
        Ok(added)
    }

    /// Says which administrator's agent stands against one of the configuration file.
    async fn taken(&self, tenant: &str, agent: &NewAgent) -> Result<StoreError, StoreError> {
        let rows = self.agents(tenant).await?;
        let admins = || rows.iter().filter(|row| row.managed_by == ManagedBy::Admin);
        let bound = admins().find(|row| row.binding() == agent.binding());
        Ok(StoreError::Conflict(match (bound, admins().any(|row| row.name == agent.name)) {
            (Some(row), _) => format!(
                "agent `{}` of the configuration file has the issuer and subject of agent `{}`, which an \
                 administrator added; one identity is one agent",
                agent.name, row.name
            ),
            (None, true) => format!(
                "agent `{}` of the configuration file was added by an administrator before; rename one of them",
                agent.name
            ),
            (None, false) => format!(
                "agent `{}` has the name or the identity of another in the configuration file",
                agent.name
            ),
        }))
    }
}

/// The row that an agent of the file is to be, given the one that it was.
fn wanted(agent: &NewAgent, found: Option<&AgentRow>, now: Millis, version: i64) -> AgentRow {
    let id = found.map_or_else(|| Uuid::new_v4().to_string(), |row| row.id.clone());
    let mut row = agent.row(id, ManagedBy::Config, now, version);
    if let Some(found) = found {
        row.created_at = found.created_at;
        row.created_by.clone_from(&found.created_by);
        row.disabled_at = found.disabled_at;
        row.keys_void_before = found.keys_void_before;
        if row.psa_user.is_none() {
            row.psa_user.clone_from(&found.psa_user);
            row.provisioned |= found.provisioned;
        }
    }
    row
}

/// True where the file's issuers in the store are these.
fn same_issuers(kept: &[IssuerRow], issuers: &[IssuerRow]) -> bool {
    let told = |row: &IssuerRow| IssuerRow {
        id: String::new(),
        managed_by: ManagedBy::Config,
        active: true,
        created_at: 0,
        updated_at: 0,
        changed: 0,
        ..row.clone()
    };
    let by_file = || kept.iter().filter(|row| row.managed_by == ManagedBy::Config);
    by_file().count() == issuers.len()
        && issuers.iter().all(|row| by_file().any(|kept| kept.active && told(kept) == told(row)))
}

/// True where the file's agents in use are these.
fn same_agents(known: &[AgentRow], wanted: &[AgentRow]) -> bool {
    let told = |row: &AgentRow| AgentRow { updated_at: 0, changed: 0, ..row.clone() };
    let in_use = || known.iter().filter(|row| row.retired_at.is_none());
    in_use().count() == wanted.len()
        && wanted.iter().all(|row| in_use().any(|known| told(known) == told(row)))
}

/// For each of `agents` the earlier row that is the same agent, each row at most once: first by
/// binding, since that is who calls, then by name, rows in use before retired ones.
fn found_again<'a>(known: &'a [AgentRow], agents: &[NewAgent]) -> Vec<Option<&'a AgentRow>> {
    let mut rows: Vec<_> = known.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.retired_at.unwrap_or(i64::MAX)));
    let bound = |agent: &NewAgent| rows.iter().copied().find(|row| row.binding() == agent.binding());
    let mut found: Vec<_> = agents.iter().map(bound).collect();
    let mut claimed: HashSet<_> = found.iter().flatten().map(|row| &row.id).collect();
    for (agent, found) in agents.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
        *found = rows.iter().copied().find(|row| row.name == agent.name && !claimed.contains(&row.id));
        claimed.extend(found.map(|row| &row.id));
    }
    found
}
