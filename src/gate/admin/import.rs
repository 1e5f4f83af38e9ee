//! Taking over what the PSA's own MCP server knows: providers and agents, with their ids and backing users.
//!
//! What is taken and what not is judged on what was read, without asking anybody further.

use std::collections::HashSet;

use serde::Serialize;

use super::{Actor, Admin, AdminError, AgentSpec, providers, said};
use crate::identity::preset::{self, Hosted, Preset, ProviderSpec};
use crate::identity::trust::TrustedIssuer;
use crate::psa::{Takeover, TakeoverAgent, TakeoverProvider};
use crate::store::{AgentRow, IssuerRow, ManagedBy, NewAgent, StoreError};

/// What was taken over, or would be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Import {
    /// True where nothing was written.
    pub dry_run: bool,
    /// By issuer.
    pub providers: Vec<Judged>,
    /// The oldest first.
    pub agents: Vec<Judged>,
}

/// One provider or agent, and whether it is taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The same there and here.
    pub id: String,
    /// Its name, or the issuer.
    pub name: String,
    pub taken: bool,
    /// Why not, with what to do about it.
    pub why: Option<String>,
    /// What to know about it in either case.
    pub notes: Vec<String>,
}

/// What is here already.
struct Here<'a> {
    issuers: Vec<IssuerRow>,
    agents: Vec<AgentRow>,
    /// Trusted by the configuration file, with a row or without one yet.
    configured: &'a [String],
    hosted: &'a Hosted,
    judge: &'a dyn Fn(&TrustedIssuer) -> Result<(), String>,
}

/// What is to be written, and what is said about it.
#[derive(Default)]
struct Sorted {
    issuers: Vec<IssuerRow>,
    agents: Vec<(String, NewAgent)>,
    told: Import,
}

impl Admin {
    /// Takes over the providers and agents of the PSA's own MCP server, all that can be taken or, with an error,
    /// nothing. What is here already stays as it is, so that it can be run again.
    ///
    /// # Errors
    /// [`AdminError::Unsupported`] without the PSA's database; [`AdminError::NotFound`] where the PSA has no MCP
    /// server of its own.
    pub async fn import(&self, actor: &Actor, dry_run: bool) -> Result<Import, AdminError> {
        let found = self.directory()?.takeover().await?.ok_or_else(|| {
            let message = "this PSA has no MCP server of its own (the tables agents, agent_idp_providers and agent_roles are not there): nothing to take over";
            AdminError::NotFound(message.to_owned())
        })?;
        let mut agents = self.store.all_agents(&self.tenant).await?;
        for agent in &found.agents {
            // Only asked for by its id is a deleted one shown.
            let known = self.store.agent(&self.tenant, &agent.id).await?;
            agents.extend(known.filter(|row| row.id == agent.id && row.deleted_at.is_some()));
        }
        let here = Here {
            issuers: self.store.issuers(&self.tenant).await?,
            agents,
            configured: &self.configured_issuers,
            hosted: &self.hosted,
            judge: &|trusted| self.idp.judge(trusted).map_err(|error| error.to_string()),
        };
        let mut sorted = sort(found, &here);
        self.leave_conflicts(&mut sorted).await?;
        let Sorted { issuers, agents, mut told } = sorted;
        told.dry_run = dry_run;
        if dry_run || (issuers.is_empty() && agents.is_empty()) {
            return Ok(told);
        }
        let added = self.store.take_over(&self.tenant, &issuers, &agents).await?;
        for row in &issuers {
            let row = self.issuer(&row.issuer).await?;
            self.provider_recorded(actor, "provider.import", None, Some(&row)).await?;
        }
        for row in &added {
            self.recorded(actor, "agent.import", None, Some(row)).await?;
        }
        Ok(told)
    }

    /// Leaves out the agents that the store would not add for reasons of its own.
    async fn leave_conflicts(&self, sorted: &mut Sorted) -> Result<(), AdminError> {
        for (id, new) in std::mem::take(&mut sorted.agents) {
            match self.store.may_add(&self.tenant, &new).await {
                Ok(()) => sorted.agents.push((id, new)),
                Err(StoreError::Conflict(why)) => {
                    let told = sorted.told.agents.iter_mut().filter(|judged| judged.id == id);
                    told.for_each(|judged| (judged.taken, judged.why) = (false, Some(why.clone())));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn sort(found: Takeover, here: &Here<'_>) -> Sorted {
    let mut sorted = Sorted::default();
    for provider in &found.providers {
        let mut notes = Vec::new();
        let judged = take_provider(provider, here, &mut notes);
        let why = judged.as_ref().err().cloned();
        sorted.issuers.extend(judged);
        sorted.told.providers.push(Judged {
            id: provider.id.clone(),
            name: provider.issuer.clone(),
            taken: why.is_none(),
            why,
            notes,
        });
    }
    // Within one run too, a name and an identity are one agent's.
    let mut names: HashSet<String> = living(here).map(|row| row.name.clone()).collect();
    for agent in &found.agents {
        let mut notes = Vec::new();
        let judged = take_agent(agent, here, &sorted.issuers, &names, &mut notes);
        let why = judged.as_ref().err().cloned();
        if let Ok(new) = judged {
            names.insert(new.name.clone());
            sorted.agents.push((agent.id.clone(), new));
        }
        sorted.told.agents.push(Judged {
            id: agent.id.clone(),
            name: agent.name.clone(),
            taken: why.is_none(),
            why,
            notes,
        });
    }
    sorted
}

/// Those whose name and identity are taken.
fn living<'a>(here: &'a Here<'_>) -> impl Iterator<Item = &'a AgentRow> {
    here.agents.iter().filter(|row| row.retired_at.is_none() && row.deleted_at.is_none())
}

/// The row of a provider, or why it is not taken.
fn take_provider(
    provider: &TakeoverProvider,
    here: &Here<'_>,
    notes: &mut Vec<String>,
) -> Result<IssuerRow, String> {
    let claim = &provider.subject_claim;
    if let Some(row) = here.issuers.iter().find(|row| row.issuer == provider.issuer) {
        if row.subject_claim != *claim {
            notes.push(format!(
                "agents are identified by `{}` here and by `{claim}` there: their subjects may not fit",
                row.subject_claim
            ));
        }
        return Err("it is trusted here already".to_owned());
    }
    if here.configured.contains(&provider.issuer) {
        return Err("the configuration file has it already".to_owned());
    }
    let (recognised, directory) = Preset::recognise(&provider.issuer);
    let kind = Preset::parse(&provider.kind).filter(|kind| *kind != Preset::Custom).unwrap_or(recognised);
    let Some(audience) = &provider.audience else {
        let more = match kind {
            Preset::Google => "--preset google".to_owned(),
            Preset::Microsoft => "--preset microsoft --entra-tenant-id ID".to_owned(),
            Preset::Custom => provider.issuer.clone(),
        };
        return Err(format!(
            "it has no audience, so a token that the provider made for any other application would be let in; \
             add it with one: `sidegate idp add {more} --audience AUDIENCE`, and run this again for its agents"
        ));
    };
    let spec = ProviderSpec {
        kind,
        entra_tenant_id: match kind {
            Preset::Microsoft => provider.entra_tenant_id.clone().or(directory),
            Preset::Google | Preset::Custom => None,
        },
        issuer: Some(provider.issuer.clone()),
        // A preset's keys are found by discovery, wherever they move.
        jwks_uri: (kind == Preset::Custom).then(|| provider.jwks_uri.clone()),
        audiences: vec![audience.clone()],
        subject_claim: Some(claim.clone()),
        ..ProviderSpec::default()
    };
    let trusted = spec.trusted().map_err(|problems| said(&problems))?;
    (here.judge)(&trusted)?;
    if !provider.active {
        notes.push("it is switched off there, and stays so here".to_owned());
    }
    let row = providers::row(&trusted, &spec, ManagedBy::Admin);
    Ok(IssuerRow { id: provider.id.clone(), active: provider.active, ..row })
}

/// The agent to add, or why it is not taken.
fn take_agent(
    agent: &TakeoverAgent,
    here: &Here<'_>,
    issuers: &[IssuerRow],
    names: &HashSet<String>,
    notes: &mut Vec<String>,
) -> Result<NewAgent, String> {
    if let Some(row) = here.agents.iter().find(|row| row.id == agent.id) {
        let gone = row.deleted_at.is_some() || row.retired_at.is_some();
        let what = if gone { "it was here and was removed" } else { "it is here already" };
        return Err(what.to_owned());
    }
    let (Some(issuer), Some(subject)) = (filled(agent.issuer.as_ref()), filled(agent.subject.as_ref()))
    else {
        return Err("it is bound to no identity: nobody can be it".to_owned());
    };
    let hosted = preset::hosted(here.hosted, [issuer.as_str()]);
    let trusted = issuers.iter().chain(&here.issuers).any(|row| row.issuer == *issuer)
        || here.configured.contains(issuer)
        || hosted.iter().any(|trusted| trusted.issuer == *issuer);
    if !trusted {
        return Err(format!("its identity provider {issuer} is not taken and not trusted here"));
    }
    if let Some(other) = living(here).find(|row| row.issuer == *issuer && row.subject == *subject) {
        return Err(format!("agent `{}` has its issuer and subject here", other.name));
    }
    if names.contains(&agent.name) {
        return Err(format!("another agent is named `{}` here; rename one of them", agent.name));
    }
    let Some(user) = &agent.user else {
        return Err("its PSA user is not there: nothing says what it may do".to_owned());
    };
    if !user.internal {
        return Err(format!("its PSA user {} is a customer's, and no key is made for it", user.user_id));
    }
    let spec = AgentSpec {
        name: agent.name.clone(),
        description: agent.description.clone(),
        issuer: issuer.clone(),
        subject: subject.clone(),
        psa_user: Some(user.user_id.clone()),
        active: agent.active,
        ..AgentSpec::default()
    };
    let problems = spec.problems();
    if !problems.is_empty() {
        return Err(said(&problems));
    }
    if !agent.active {
        notes.push("it is switched off there, and stays so here".to_owned());
    }
    if !user.active {
        notes.push(format!("its PSA user {} is switched off: it gets no key", user.user_id));
    }
    if agent.roles.is_empty() {
        notes.push("its PSA user has no role: it may do nothing".to_owned());
    }
    if agent.roles.iter().any(|role| role.name.eq_ignore_ascii_case("admin")) {
        notes.push("its PSA user is an administrator: it may do anything that its effect allows".to_owned());
    }
    Ok(NewAgent {
        roles: agent.roles.iter().map(|role| role.name.clone()).collect(),
        provisioned: user.ours,
        created_by: agent.created_by.clone(),
        ..spec.row()
    })
}

fn filled(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests;
