//! The rest of an agent's life: its roles and keys, and its end.

use serde::Serialize;

use super::agents::kept_here;
use super::{Actor, Admin, AdminError, Role};
use crate::gate::pulse::MAX_STALENESS;
use crate::psa::{KeyError, Removal};
use crate::store::AgentRow;

/// What became of a deleted agent's PSA user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PsaUserLeft {
    /// It is there no longer.
    Removed,
    /// It is there, switched off, since the PSA holds on to it.
    Deactivated { why: String },
    /// It was not made for the agent, or there was none: nothing was done to it.
    Kept,
    /// It could not be removed now; remove it in the PSA.
    Failed { why: String },
}

/// A deleted agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Deleted {
    /// As it was.
    pub row: AgentRow,
    /// What became of the user behind it.
    pub psa_user: PsaUserLeft,
}

impl Admin {
    /// The roles of an agent's PSA user, as the PSA has them now.
    pub async fn agent_roles(&self, which: &str) -> Result<Vec<Role>, AdminError> {
        let row = self.agent(which).await?;
        let Some(user) = &row.psa_user else { return Ok(Vec::new()) };
        Ok(self.directory()?.roles_of(user).await?)
    }

    /// Gives an agent's PSA user exactly these roles, each by id or name; they hold from the next call on. An agent
    /// without a user gets one.
    pub async fn set_agent_roles(
        &self,
        actor: &Actor,
        which: &str,
        roles: &[String],
    ) -> Result<AgentRow, AdminError> {
        let before = self.agent(which).await?;
        kept_here(&before)?;
        if roles.is_empty() {
            let message = "a user without any role may do nothing; switch the agent off instead";
            return Err(AdminError::Invalid(vec![("roles".to_owned(), message.to_owned())]));
        }
        let directory = self.directory()?;
        let mut row = before.clone();
        match &before.psa_user {
            Some(user) => directory.set_roles(user, roles).await?,
            None => {
                row.psa_user = Some(directory.provision(&row.id, &row.name, roles).await?);
                row.provisioned = true;
            }
        }
        let user = row.psa_user.as_deref().unwrap_or_default();
        row.roles = directory.roles_of(user).await?.into_iter().map(|role| role.name).collect();
        let after = self.store.update_agent(&self.tenant, &row).await?;
        self.recorded(actor, "agent.roles", Some(&before), Some(&after)).await?;
        Ok(after)
    }

    /// Ends all keys of an agent at once, in the PSA itself; its next call has a new one. For a key that may have been
    /// seen. How many there were.
    pub async fn revoke_keys(&self, actor: &Actor, which: &str) -> Result<u64, AdminError> {
        let row = self.agent(which).await?;
        let after = self.store.void_keys(&self.tenant, &row.id).await?;
        let count = self.keys.revoke_agent(&row.id).await?;
        self.recorded(actor, "agent.keys.revoke", Some(&row), Some(&after)).await?;
        Ok(count)
    }

    /// Has every process mint a new key for an agent and revoke its own old one; no call fails meanwhile.
    pub async fn rotate_keys(&self, actor: &Actor, which: &str) -> Result<AgentRow, AdminError> {
        let row = self.agent(which).await?;
        let after = self.store.void_keys(&self.tenant, &row.id).await?;
        // By then every process has seen it.
        tokio::time::sleep(MAX_STALENESS).await;
        self.recorded(actor, "agent.keys.rotate", Some(&row), Some(&after)).await?;
        Ok(after)
    }

    /// Removes an agent: it is off at once, its keys are revoked and the user that was made for it is removed, or
    /// switched off where the PSA holds on to it. What it did stays on record.
    pub async fn delete_agent(&self, actor: &Actor, which: &str) -> Result<Deleted, AdminError> {
        let before = self.agent(which).await?;
        kept_here(&before)?;
        let row = self.store.delete_agent(&self.tenant, &before.id).await?;
        self.drop_keys(&row).await;
        let psa_user = self.remove_user(&row).await;
        self.recorded(actor, "agent.delete", Some(&before), None).await?;
        Ok(Deleted { row, psa_user })
    }

    async fn remove_user(&self, row: &AgentRow) -> PsaUserLeft {
        let (Some(user), Some(directory), true) = (&row.psa_user, &self.directory, row.provisioned) else {
            return PsaUserLeft::Kept;
        };
        match directory.remove(user).await {
            Ok(Removal::Removed) => PsaUserLeft::Removed,
            Ok(Removal::Deactivated { why }) => PsaUserLeft::Deactivated { why },
            Err(KeyError::Unsupported(_)) => PsaUserLeft::Kept,
            Err(error) => {
                tracing::warn!(agent = %row.name, user, %error, "the agent is gone; its PSA user is still there");
                PsaUserLeft::Failed { why: error.to_string() }
            }
        }
    }
}
