//! The configuration file's issuers and agents become rows, all of them or none.
//!
//! Knows how rows of an earlier file are found again; judges neither names nor addresses.

use std::collections::HashSet;

use uuid::Uuid;

use super::{AgentRow, IssuerRow, ManagedBy, NewAgent, Store, StoreError};

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
        let mut transaction = self.pool.begin().await?;
        // A write comes first: a transaction that begins by reading cannot wait for another's write.
        sqlx::query("UPDATE issuers SET active = FALSE WHERE tenant_id = $1 AND managed_by = 'config'")
            .bind(tenant)
            .execute(&mut *transaction)
            .await?;
        for row in issuers {
            let row = IssuerRow { managed_by: ManagedBy::Config, active: true, ..row.clone() };
            super::issuers::write(&mut *transaction, tenant, &row, now).await?;
        }
        sqlx::query("DELETE FROM issuers WHERE tenant_id = $1 AND managed_by = 'config' AND NOT active")
            .bind(tenant)
            .execute(&mut *transaction)
            .await?;

        let mut known = super::agents::all(&mut *transaction, tenant).await?;
        known.retain(|row| row.managed_by == ManagedBy::Config);
        // Retired first, the rows hold neither bindings nor names against each other: two may swap.
        sqlx::query(
            "UPDATE agents SET retired_at = $1, updated_at = $1
             WHERE tenant_id = $2 AND managed_by = 'config' AND retired_at IS NULL",
        )
        .bind(now)
        .bind(tenant)
        .execute(&mut *transaction)
        .await?;
        let mut applied = Vec::with_capacity(agents.len());
        for (agent, found) in agents.iter().zip(found_again(&known, agents)) {
            let row = AgentRow {
                id: found.map_or_else(|| Uuid::new_v4().to_string(), |row| row.id.clone()),
                name: agent.name.clone(),
                issuer: agent.issuer.clone(),
                subject: agent.subject.clone(),
                max_effect: agent.max_effect.clone(),
                call_timeout: agent.call_timeout,
                psa_user: agent.psa_user.clone().or_else(|| found?.psa_user.clone()),
                managed_by: ManagedBy::Config,
                active: agent.active,
                disabled_at: found.and_then(|row| row.disabled_at),
                retired_at: None,
            };
            match super::agents::write(&mut *transaction, tenant, &row, now).await {
                Ok(()) => applied.push(row),
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                    transaction.rollback().await?;
                    return Err(self.taken(tenant, agent).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        transaction.commit().await?;
        Ok(applied)
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
