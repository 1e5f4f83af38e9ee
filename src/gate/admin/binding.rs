//! What would become of a binding, without making one.

use serde::Serialize;

use super::{Admin, AdminError};
use crate::store::{AgentRow, NewAgent, StoreError};

/// What is known of an issuer and a subject in this tenant, and of no other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BindingReport {
    /// Whether the issuer's tokens are accepted.
    pub issuer_trusted: bool,
    /// The id and name of the agent that the two speak for, if there is one.
    pub agent: Option<(String, String)>,
    /// Whether that agent is on.
    pub agent_active: Option<bool>,
    /// Whether a new agent could be bound to the two.
    pub free: bool,
    /// Why not, or what is missing; for people.
    pub detail: String,
}

impl Admin {
    /// Looks up what a token with this issuer and subject would mean, and whether an agent could be bound to it.
    pub async fn dry_run(&self, issuer: &str, subject: &str) -> Result<BindingReport, AdminError> {
        let snapshot = self.snapshot().await?;
        let trusted = snapshot.trust.issuer(issuer);
        // An alias speaks for the issuer's agents.
        let main = trusted.map_or(issuer, |trusted| trusted.issuer.as_str());
        let rows = self.store.agents(&self.tenant).await?;
        let bound: Option<&AgentRow> = rows.iter().find(|row| row.issuer == main && row.subject == subject);
        let new = NewAgent {
            // No agent has this name, so that only the binding is judged.
            name: "\0".to_owned(),
            issuer: main.to_owned(),
            subject: subject.to_owned(),
            ..NewAgent::default()
        };
        let (free, taken) = match self.store.may_add(&self.tenant, &new).await {
            Ok(()) => (true, None),
            Err(StoreError::Conflict(message)) => (false, Some(message)),
            Err(error) => return Err(error.into()),
        };
        let detail = match (trusted, bound) {
            (None, _) => format!("{issuer} is not trusted here; add it as an identity provider first"),
            (Some(_), Some(row)) if row.is_on() => format!("speaks for agent `{}`", row.name),
            (Some(_), Some(row)) => format!("speaks for agent `{}`, which is switched off", row.name),
            (Some(_), None) => taken.unwrap_or_else(|| "no agent is bound to it; one can be".to_owned()),
        };
        Ok(BindingReport {
            issuer_trusted: trusted.is_some(),
            agent: bound.map(|row| (row.id.clone(), row.name.clone())),
            agent_active: bound.map(AgentRow::is_on),
            free,
            detail,
        })
    }
}
