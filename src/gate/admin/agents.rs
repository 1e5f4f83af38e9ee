//! Agents: what is said of them, and adding, changing, switching them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::record::Change;
use super::{Actor, Admin, AdminError, sound};
use crate::gate::pulse::MAX_STALENESS;
use crate::identity::kind::AgentKind;
use crate::identity::preset;
use crate::identity::trust::NAME_LIMIT;
use crate::psa::KeyError;
use crate::store::{AgentFilter, AgentRow, ManagedBy, NewAgent};
use crate::tool::effect::Effect;
use crate::units::Span;

/// An agent as an administrator describes it, and an `[[agents]]` element of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSpec {
    /// Unique within the tenant.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whose tokens it acts with; none: either.
    pub kind: Option<AgentKind>,
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
    /// PSA roles by name or id, for provisioning.
    pub roles: Vec<String>,
    /// False: known and switched off.
    pub active: bool,
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            kind: None,
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

/// What is changed of an agent; none: it stays. Its roles have a verb of their own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct AgentChange {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub kind: Option<Option<AgentKind>>,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub max_effect: Option<Option<Effect>>,
    pub call_timeout: Option<Option<Span>>,
    pub psa_user: Option<Option<String>>,
}

/// The longest description, in characters.
const DESCRIPTION_LIMIT: usize = 2_000;

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
        if self.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_LIMIT) {
            say("description", format!("must be at most {DESCRIPTION_LIMIT} characters long"));
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
        if !self.provision && !self.roles.is_empty() {
            say("roles", "are given to a user that is made for the agent; set provision too".to_owned());
        }
        found
    }

    pub(super) fn row(&self) -> NewAgent {
        NewAgent {
            name: self.name.clone(),
            description: self.description.clone(),
            kind: self.kind.map(|kind| kind.as_str().to_owned()),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            max_effect: self.max_effect.map(|effect| effect.as_str().to_owned()),
            call_timeout: self.call_timeout.map(Span::as_millis),
            psa_user: self.psa_user.clone(),
            roles: self.roles.clone(),
            provisioned: self.provision,
            active: self.active,
            ..NewAgent::default()
        }
    }
}

/// What an administrator should know of the roles of an agent.
pub fn warnings(row: &AgentRow) -> Vec<&'static str> {
    let all = row.roles.iter().any(|role| role.eq_ignore_ascii_case("admin"));
    all.then_some("the PSA's role Admin lets this agent do everything there that its max_effect allows")
        .into_iter()
        .collect()
}

/// An agent as the record shows it.
pub(super) fn shown(row: &AgentRow) -> Value {
    json!({
        "name": row.name, "description": row.description, "kind": row.kind, "issuer": row.issuer,
        "subject": row.subject, "max_effect": row.max_effect, "call_timeout_ms": row.call_timeout,
        "psa_user": row.psa_user, "roles": row.roles, "active": row.is_on(),
    })
}

impl Admin {
    /// All agents by name, and after them those that the configuration file names no longer.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, AdminError> {
        Ok(self.store.all_agents(&self.tenant).await?)
    }

    /// Agents that `filter` lets through, newest first.
    pub async fn page_agents(&self, filter: &AgentFilter) -> Result<Vec<AgentRow>, AdminError> {
        Ok(self.store.page_agents(&self.tenant, filter).await?)
    }

    /// One agent, by its id or its name.
    pub async fn agent(&self, which: &str) -> Result<AgentRow, AdminError> {
        let found = self.store.agent(&self.tenant, which).await?.filter(|row| row.deleted_at.is_none());
        found.ok_or_else(|| AdminError::NotFound(format!("there is no agent `{which}`")))
    }

    /// Adds an agent bound to a trusted issuer's subject, with its PSA user where asked. Where
    /// that cannot be made, nothing is added.
    pub async fn add_agent(&self, actor: &Actor, spec: &AgentSpec) -> Result<AgentRow, AdminError> {
        sound(spec.problems())?;
        self.trusted(&spec.issuer).await?;
        let mut new = spec.row();
        new.created_by = Some(actor.id.clone().unwrap_or_else(|| actor.name.clone()));
        self.store.may_add(&self.tenant, &new).await?;
        let row = if spec.provision {
            self.add_provisioned(spec, new).await?
        } else {
            self.usable(spec.psa_user.as_deref()).await?;
            self.store.add_agent(&self.tenant, &new).await?
        };
        self.recorded(actor, "agent.add", None, Some(&row)).await?;
        Ok(row)
    }

    /// The user comes first, so that the agent is never there without its roles; whether the
    /// agent may be added was asked before that, so that no user is made in vain.
    async fn add_provisioned(&self, spec: &AgentSpec, mut new: NewAgent) -> Result<AgentRow, AdminError> {
        let directory = self.directory.as_ref().ok_or_else(no_directory)?;
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

    /// Changes what is said of an agent. What it may do changes with its next call.
    pub async fn change_agent(
        &self,
        actor: &Actor,
        which: &str,
        change: &AgentChange,
    ) -> Result<AgentRow, AdminError> {
        let before = self.agent(which).await?;
        kept_here(&before)?;
        let mut row = before.clone();
        let effect = |effect: &Effect| effect.as_str().to_owned();
        let kind = |kind: &AgentKind| kind.as_str().to_owned();
        row.name = change.name.clone().unwrap_or(row.name);
        row.issuer = change.issuer.clone().unwrap_or(row.issuer);
        row.subject = change.subject.clone().unwrap_or(row.subject);
        row.description = change.description.clone().unwrap_or(row.description);
        row.kind = change.kind.as_ref().map_or(row.kind, |new| new.as_ref().map(kind));
        row.max_effect = change.max_effect.as_ref().map_or(row.max_effect, |new| new.as_ref().map(effect));
        row.call_timeout = change.call_timeout.map_or(row.call_timeout, |new| new.map(Span::as_millis));
        sound(
            AgentSpec {
                name: row.name.clone(),
                description: row.description.clone(),
                issuer: row.issuer.clone(),
                subject: row.subject.clone(),
                call_timeout: change.call_timeout.flatten(),
                ..AgentSpec::default()
            }
            .problems(),
        )?;
        if row.issuer != before.issuer {
            self.trusted(&row.issuer).await?;
        }
        if let Some(user) = &change.psa_user
            && *user != before.psa_user
        {
            self.usable(user.as_deref()).await?;
            row.psa_user.clone_from(user);
            row.provisioned = false;
            row.roles = Vec::new();
        }
        let after = self.store.update_agent(&self.tenant, &row).await?;
        self.recorded(actor, "agent.change", Some(&before), Some(&after)).await?;
        Ok(after)
    }

    /// Switches an agent off everywhere: once this returns, its next call is refused. Its keys
    /// are revoked.
    pub async fn disable_agent(&self, actor: &Actor, who: &str) -> Result<AgentRow, AdminError> {
        let before = self.agent(who).await.ok();
        let row = self.store.switch_agent(&self.tenant, who, false).await?;
        self.drop_keys(&row).await;
        self.recorded(actor, "agent.disable", before.as_ref(), Some(&row)).await?;
        Ok(row)
    }

    /// Lifts an administrator's [`Admin::disable_agent`]; an agent that the configuration file
    /// names no longer stays off.
    pub async fn enable_agent(&self, actor: &Actor, who: &str) -> Result<AgentRow, AdminError> {
        let before = self.agent(who).await.ok();
        let row = self.store.switch_agent(&self.tenant, who, true).await?;
        self.recorded(actor, "agent.enable", before.as_ref(), Some(&row)).await?;
        Ok(row)
    }

    /// After the agent was switched off: waits until no process may mint for it any more, and revokes what is left.
    pub(super) async fn drop_keys(&self, row: &AgentRow) -> u64 {
        // Running processes may act on a look at the store that is this old, and may mint until then.
        tokio::time::sleep(MAX_STALENESS).await;
        // They revoke what they minted; this catches what a dead one left.
        self.keys.revoke_agent(&row.id).await.unwrap_or_else(|error| {
            tracing::warn!(agent = %row.name, %error, "the agent's keys could not be revoked now and end by themselves");
            0
        })
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

    /// Whether tokens of this issuer are accepted at all, so that an agent can be bound to one.
    async fn trusted(&self, issuer: &str) -> Result<(), AdminError> {
        let known = self.store.issuers(&self.tenant).await?;
        let by_row = known.iter().any(|row| row.active && row.issuer == issuer);
        if by_row || self.configured_issuers.iter().any(|known| known == issuer) {
            return Ok(());
        }
        let hosted = preset::hosted(&self.hosted, [issuer]);
        let switched_off = known.iter().any(|row| row.issuer == issuer);
        if !switched_off && hosted.iter().any(|trusted| trusted.issuer == issuer) {
            return Ok(());
        }
        Err(AdminError::Refused(format!(
            "issuer: {issuer} is not trusted here; add it first with `sidegate idp add`"
        )))
    }

    /// Whether a PSA user may stand behind an agent, as far as that can be asked.
    async fn usable(&self, user: Option<&str>) -> Result<(), AdminError> {
        let (Some(user), Some(directory)) = (user, &self.directory) else { return Ok(()) };
        let wrong = |message: &str| {
            Err(AdminError::Invalid(vec![(
                "psa_user".to_owned(),
                format!("the PSA's user {user} {message}"),
            )]))
        };
        match directory.user(user).await {
            Err(KeyError::Unsupported(_)) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(None) => wrong("is not there; take `users.user_id`"),
            Ok(Some(found)) if !found.internal => wrong("is a customer's; take one of the MSP's own"),
            Ok(Some(found)) if !found.active => wrong("is switched off there"),
            Ok(Some(_)) => Ok(()),
        }
    }

    pub(super) async fn recorded(
        &self,
        actor: &Actor,
        action: &'static str,
        before: Option<&AgentRow>,
        after: Option<&AgentRow>,
    ) -> Result<(), AdminError> {
        let Some(row) = after.or(before) else { return Ok(()) };
        let change = Change {
            action,
            target: &row.id,
            agent: Some((&row.id, &row.name)),
            before: before.map(shown),
            after: after.map(shown),
        };
        self.journal.change(&self.tenant, actor, change).await
    }
}

/// Only the file changes what it keeps.
pub(super) fn kept_here(row: &AgentRow) -> Result<(), AdminError> {
    match row.managed_by {
        ManagedBy::Admin => Ok(()),
        ManagedBy::Config => Err(AdminError::Conflict(format!(
            "agent `{}` is kept by the configuration file; change it there",
            row.name
        ))),
    }
}

fn no_directory() -> AdminError {
    let message = "provision: this key source cannot make users in the PSA; name an existing one as psa_user";
    AdminError::Unsupported(message.to_owned())
}
