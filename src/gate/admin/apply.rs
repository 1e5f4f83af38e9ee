//! What the configuration file says of issuers and agents becomes so, at each start.
//!
//! Does not know the file: the composition root hands in what it says.

use super::{Admin, AdminError, AgentSpec, providers, sound};
use crate::identity::preset::ProviderSpec;
use crate::identity::trust::TrustedIssuer;
use crate::store::ManagedBy;

impl Admin {
    /// Makes the store say what the configuration file says, all of it or nothing: its issuers
    /// and agents are added or updated, those that it names no longer are not trusted any more.
    ///
    /// A backing user that cannot be provisioned now is a warning: the agent has no key until
    /// a later start succeeds.
    ///
    /// # Errors
    /// [`AdminError::Refused`] where a description is wrong or names an address that may never be
    /// reached; [`AdminError::Store`] where an administrator's agent stands in the way.
    pub async fn apply_config(
        &self,
        trusted: &[TrustedIssuer],
        agents: &[AgentSpec],
    ) -> Result<(), AdminError> {
        trusted.iter().try_for_each(|issuer| self.judge(issuer))?;
        agents.iter().try_for_each(|spec| sound(spec.problems()))?;
        let rows: Vec<_> = trusted
            .iter()
            .map(|issuer| providers::row(issuer, &ProviderSpec::of(issuer), ManagedBy::Config))
            .collect();
        let new: Vec<_> = agents.iter().map(AgentSpec::row).collect();
        let applied = self.store.apply_config(&self.tenant, &rows, &new).await?;
        for (row, spec) in applied.iter().zip(agents).filter(|(_, spec)| spec.provision) {
            if let Err(error) = self.provision(row, spec).await {
                tracing::warn!(agent = %row.name, %error, "the agent's PSA user could not be provisioned");
            }
        }
        Ok(())
    }
}
