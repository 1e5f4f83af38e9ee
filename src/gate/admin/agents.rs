//! Agents: add, list, switch off and on, and what the configuration file says of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Admin, AdminError, said};
use crate::gate::roster::MAX_STALENESS;
use crate::identity::trust::NAME_LIMIT;
pub use crate::psa::Role;
use crate::store::{AgentRow, NewAgent};
use crate::tool::effect::Effect;
use crate::units::Span;

/// An agent as an administrator describes it, and an `[[agents]]` element of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSpec {
    /// Unique within the tenant.
    pub name: String,
    /// The issuer of its tokens.
    pub issuer: String,
    /// The subject of its tokens.
    pub subject: String,
    /// The most it may do; none: the policy's default.
    pub max_effect: Option<Effect>,
    /// The longest that one of its calls may take; `server.call_timeout` holds beside it.
    pub call_timeout: Option<Span>,
    /// The PSA user whose permissions apply.
    pub psa_user: Option<String>,
    /// Make that user, with `roles`.
    pub provision: bool,
    /// PSA roles by name, for provisioning.
    pub roles: Vec<String>,
    /// False: known and switched off.
    pub active: bool,
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            subject: String::new(),
            max_effect: None,
            call_timeout: None,
            psa_user: None,
            provision: false,
            roles: Vec::new(),
            active: true,
        }
    }
}

impl AgentSpec {
    /// What is wrong with the description itself, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut say = |key: &str, message: String| found.push((key.to_owned(), message));
        for (key, value, what) in [
            ("name", &self.name, "a name for people and records"),
            ("issuer", &self.issuer, "the issuer of its tokens, one of [[issuers]]"),
            ("subject", &self.subject, "the value of its tokens' subject claim"),
        ] {
            if value.trim().is_empty() {
                say(key, format!("is missing; write {what}"));
            } else if value.chars().count() > NAME_LIMIT {
                say(key, format!("must be at most {NAME_LIMIT} characters long"));
            }
        }
        if self.call_timeout.is_some_and(|timeout| timeout.0.is_zero()) {
            say("call_timeout", "must be more than nothing; leave it out for no bound of its own".to_owned());
        }
        if self.provision && self.psa_user.is_some() {
            say("psa_user", "give either the user or provision, not both".to_owned());
        }
        if self.provision && self.roles.is_empty() {
            say("roles", "a provisioned user needs at least one role, or it may do nothing".to_owned());
        }
        found
    }

    pub(super) fn row(&self) -> NewAgent {
        NewAgent {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            max_effect: self.max_effect.map(|effect| effect.as_str().to_owned()),
            call_timeout: self.call_timeout.map(Span::as_millis),
            psa_user: self.psa_user.clone(),
            roles: self.roles.clone(),
            active: self.active,
            ..NewAgent::default()
        }
    }
}

impl Admin {
    /// All agents by name, and after them those that the configuration file names no longer.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, AdminError> {
        Ok(self.store.all_agents(&self.tenant).await?)
    }

    /// Adds an agent bound to a trusted issuer's subject, with its PSA user where asked. Where
    /// that cannot be made, nothing is added.
    pub async fn add_agent(&self, spec: &AgentSpec) -> Result<AgentRow, AdminError> {
        said(spec.problems())?;
        let known = self.store.issuers(&self.tenant).await?;
        let trusted = known.iter().any(|row| row.active && row.issuer == spec.issuer);
        if !trusted && !self.configured_issuers.contains(&spec.issuer) {
            return Err(AdminError::Refused(format!(
                "issuer: {} is not trusted here; add it first with `sidegate idp add`",
                spec.issuer
            )));
        }
        if !spec.provision {
            return Ok(self.store.add_agent(&self.tenant, &spec.row()).await?);
        }
        let directory = self.directory.as_ref().ok_or_else(no_directory)?;
        // The user comes first, so that the agent is never there without its roles; whether the
        // agent may be added is asked before that, so that no user is made in vain.
        let mut new = spec.row();
        self.store.may_add(&self.tenant, &new).await?;
        let id = Uuid::new_v4().to_string();
        let user = directory.provision(&id, &spec.name, &spec.roles).await?;
        new.psa_user = Some(user.clone());
        match self.store.add_agent_as(&self.tenant, &id, &new).await {
            Ok(row) => Ok(row),
            Err(error) => {
                if let Err(left) = directory.deactivate(&user).await {
                    tracing::warn!(user, error = %left, "the agent was not added; switch its PSA user off there");
                }
                Err(error.into())
            }
        }
    }

    /// Switches an agent off everywhere: once this returns, its next call is refused. Its keys
    /// are revoked.
    pub async fn disable_agent(&self, who: &str) -> Result<AgentRow, AdminError> {
        let row = self.store.switch_agent(&self.tenant, who, false).await?;
        // Running processes may act on a look at the store that is this old, and may mint until then.
        tokio::time::sleep(MAX_STALENESS).await;
        // They revoke what they minted; this catches what a dead one left.
        if let Err(error) = self.keys.revoke_agent(&row.id).await {
            tracing::warn!(agent = %row.name, %error, "the agent is switched off; its keys could not be revoked now and end by themselves");
        }
        Ok(row)
    }

    /// Lifts an administrator's [`Admin::disable_agent`]; an agent that the configuration file
    /// names no longer stays off.
    pub async fn enable_agent(&self, who: &str) -> Result<AgentRow, AdminError> {
        Ok(self.store.switch_agent(&self.tenant, who, true).await?)
    }

    /// Makes the PSA user of a configured agent, or aligns its roles.
    pub(super) async fn provision(&self, row: &AgentRow, spec: &AgentSpec) -> Result<(), AdminError> {
        let directory = self.directory.as_ref().ok_or_else(no_directory)?;
        let user = directory.provision(&row.id, &row.name, &spec.roles).await?;
        if row.psa_user.as_ref() != Some(&user) {
            self.store.set_psa_user(&row.id, &user).await?;
        }
        Ok(())
    }
}

fn no_directory() -> AdminError {
    let message = "provision: this key source cannot make users in the PSA; name an existing one as psa_user";
    AdminError::Refused(message.to_owned())
}
