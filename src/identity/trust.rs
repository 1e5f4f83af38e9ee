//! Which issuer may speak for which agent in one tenant: [`Claims`] become a [`Caller`].
//!
//! The table is built once per version of the store and asked on every call; it knows neither
//! the store nor where tokens come from.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::claims::Claims;
use super::confirmation::{self, ProofFault, Thumbprint};
pub use super::issuer::{IssuerAlias, NAME_LIMIT, TrustedIssuer};
use super::kind::{AgentKind, KindFault};
use super::scopes::{self, RequiredScopes};

/// An agent and the one (issuer, subject) that speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentBinding {
    pub agent_id: String,
    pub name: String,
    pub issuer: String,
    pub subject: String,
    /// False after an administrator switched the agent off.
    pub active: bool,
    /// The PSA user that acts for the agent, where one is provisioned.
    pub psa_user: Option<String>,
    /// Whose tokens it may act with; `None`: a person's and an application's alike.
    pub kind: Option<AgentKind>,
}

/// The agents that claim one subject. Of several it speaks for none.
type Claimants = Arc<[Arc<AgentBinding>]>;

/// Which agent each subject of each issuer speaks for. Changed an agent at a time; a clone copies no text.
#[derive(Clone, Debug, Default)]
pub struct Bindings(HashMap<Arc<str>, HashMap<Arc<str>, Claimants>>);

impl Bindings {
    /// Binds an agent; what was bound to the same subject for it before is replaced.
    pub fn bind(&mut self, agent: Arc<AgentBinding>) {
        let subjects = match self.0.get_mut(agent.issuer.as_str()) {
            Some(subjects) => subjects,
            None => self.0.entry(Arc::from(agent.issuer.as_str())).or_default(),
        };
        match subjects.get_mut(agent.subject.as_str()) {
            Some(claimants) => *claimants = others(claimants, &agent).chain([agent.clone()]).collect(),
            None => {
                subjects.insert(Arc::from(agent.subject.as_str()), Arc::from([agent]));
            }
        }
    }

    /// Unbinds an agent.
    pub fn unbind(&mut self, agent: &AgentBinding) {
        let Some(subjects) = self.0.get_mut(agent.issuer.as_str()) else { return };
        let Some(claimants) = subjects.get_mut(agent.subject.as_str()) else { return };
        *claimants = others(claimants, agent).collect();
        if claimants.is_empty() {
            subjects.remove(agent.subject.as_str());
        }
        if subjects.is_empty() {
            self.0.remove(agent.issuer.as_str());
        }
    }

    /// The issuers that agents are bound to.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|issuer| &**issuer)
    }

    fn of(&self, issuer: &str, subject: &str) -> Option<&Arc<AgentBinding>> {
        match &**self.0.get(issuer)?.get(subject)? {
            [only] => Some(only),
            _ => None,
        }
    }
}

fn others<'a>(
    claimants: &'a Claimants,
    agent: &'a AgentBinding,
) -> impl Iterator<Item = Arc<AgentBinding>> + 'a {
    claimants.iter().filter(|other| other.agent_id != agent.agent_id).cloned()
}

impl From<Vec<AgentBinding>> for Bindings {
    fn from(agents: Vec<AgentBinding>) -> Self {
        let mut bindings = Self::default();
        agents.into_iter().for_each(|agent| bindings.bind(Arc::new(agent)));
        bindings
    }
}

/// One tenant's trusted issuers and agents. Immutable; a new store version makes a new one.
#[derive(Debug)]
pub struct Trust {
    tenant: Arc<str>,
    issuers: Vec<Arc<TrustedIssuer>>,
    /// By every `iss` that means one of them.
    by_identifier: HashMap<String, Arc<TrustedIssuer>>,
    agents: Bindings,
    scopes_supported: Vec<String>,
    scopes_to_ask_for: Vec<String>,
}

impl Trust {
    /// Builds the table. Of two issuers with one identifier the first counts, and an issuer before
    /// whoever has its identifier for an alias.
    pub fn new(tenant: impl Into<String>, issuers: Vec<TrustedIssuer>, agents: impl Into<Bindings>) -> Self {
        let required = || issuers.iter().map(|issuer| &issuer.required_scopes);
        let (scopes_supported, scopes_to_ask_for) =
            (scopes::supported(required()), scopes::agreed(required()));
        let issuers: Vec<_> = issuers.into_iter().map(Arc::new).collect();
        let mut by_identifier = HashMap::new();
        let names = issuers.iter().map(|trusted| (&trusted.issuer, trusted));
        let aliases = issuers
            .iter()
            .flat_map(|trusted| trusted.aliases.iter().map(move |alias| (&alias.issuer, trusted)));
        for (identifier, trusted) in names.chain(aliases) {
            by_identifier.entry(identifier.clone()).or_insert_with(|| trusted.clone());
        }
        Self {
            tenant: Arc::from(tenant.into()),
            issuers,
            by_identifier,
            agents: agents.into(),
            scopes_supported,
            scopes_to_ask_for,
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The trusted issuer that has exactly that identifier, or has it for an alias.
    pub fn issuer(&self, identifier: &str) -> Option<&Arc<TrustedIssuer>> {
        self.by_identifier.get(identifier)
    }

    /// All trusted issuers in the order they were given.
    pub fn issuers(&self) -> impl Iterator<Item = &Arc<TrustedIssuer>> {
        self.issuers.iter()
    }

    /// Every scope that some issuer's tokens may need, sorted.
    pub fn scopes_supported(&self) -> &[String] {
        &self.scopes_supported
    }

    /// The scopes that a caller without an accepted token should ask for: those for reading, where
    /// all issuers agree on them.
    pub fn scopes_to_ask_for(&self) -> &[String] {
        &self.scopes_to_ask_for
    }
}

/// Why nobody may act with claims that are valid in themselves.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TrustFault {
    #[error("the token's issuer is not trusted here; an administrator can add it with `sidegate idp add`")]
    UnknownIssuer,
    #[error(
        "no agent is bound to the token's subject; an administrator can add one with `sidegate agent add`"
    )]
    NotBound,
    #[error("the agent is disabled; an administrator can enable it with `sidegate agent enable`")]
    Disabled,
    #[error(transparent)]
    Kind(#[from] KindFault),
    #[error(transparent)]
    Proof(#[from] ProofFault),
}

impl TrustFault {
    /// The reason as metrics and audit records name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "unknown_issuer",
            Self::NotBound => "not_bound",
            Self::Disabled => "disabled",
            Self::Kind(fault) => fault.label(),
            Self::Proof(fault) => fault.label(),
        }
    }
}

/// The issuer of callers that no token speaks for: see [`Caller::local`].
pub const LOCAL: &str = "local";

/// Who is calling: an active agent of a tenant. Made by [`caller`], and by [`Caller::local`] where there is nobody to
/// be told apart; cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    tenant: Arc<str>,
    agent: Arc<AgentBinding>,
    trusted: Arc<TrustedIssuer>,
    token_id: Option<String>,
    person: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
    scopes: Arc<[String]>,
}

impl Caller {
    /// Who started this process and holds the other end of its standard input: whoever that is has the key that it
    /// calls with, so that no token could say more. Never for what came over a network.
    pub fn local(tenant: &str) -> Self {
        let agent = AgentBinding {
            agent_id: LOCAL.to_owned(),
            name: LOCAL.to_owned(),
            issuer: LOCAL.to_owned(),
            subject: LOCAL.to_owned(),
            active: true,
            psa_user: None,
            kind: None,
        };
        let trusted = TrustedIssuer { issuer: LOCAL.to_owned(), ..TrustedIssuer::default() };
        Self {
            tenant: Arc::from(tenant),
            agent: Arc::new(agent),
            trusted: Arc::new(trusted),
            token_id: None,
            person: None,
            client_id: None,
            scopes: Arc::default(),
        }
    }

    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    pub fn agent_id(&self) -> &str {
        &self.agent.agent_id
    }

    pub fn agent_name(&self) -> &str {
        &self.agent.name
    }

    pub fn issuer(&self) -> &str {
        &self.agent.issuer
    }

    pub fn subject(&self) -> &str {
        &self.agent.subject
    }

    /// `jti` of the token it called with.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// The person on whose behalf it calls by name, where the token carries one. For the record only.
    pub fn person(&self) -> Option<&str> {
        self.person.as_deref()
    }

    /// The OAuth client that obtained its token. For the record only.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The PSA user that acts for it, where one is provisioned.
    pub fn psa_user(&self) -> Option<&str> {
        self.agent.psa_user.as_deref()
    }

    /// What its token was granted.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// What its issuer's tokens must have been granted.
    pub fn required_scopes(&self) -> &RequiredScopes {
        &self.trusted.required_scopes
    }
}

/// The agent that `claims` speak for, as the table has it now, on a connection that has shown
/// `certificate`. Nobody is a caller whose token's binding is not proved.
///
/// # Errors
/// [`TrustFault`]: the issuer is not (or no longer) trusted, the token is bound to a certificate
/// that is not there, nobody is bound, the agent is disabled, or the token is not of its kind.
pub fn caller(
    trust: &Trust,
    claims: &Claims,
    certificate: Option<&Thumbprint>,
) -> Result<Caller, TrustFault> {
    let trusted = trust.issuer(claims.issuer()).ok_or(TrustFault::UnknownIssuer)?;
    // Before anything is told of the agent: a token that was stolen learns nothing.
    confirmation::prove(claims.certificate(), certificate, trusted.require_bound_tokens)?;
    let agent = trust.agents.of(&trusted.issuer, claims.subject()).ok_or(TrustFault::NotBound)?;
    if !agent.active {
        return Err(TrustFault::Disabled);
    }
    if let Some(kind) = agent.kind {
        kind.admits(claims.principal())?;
    }
    Ok(Caller {
        tenant: trust.tenant.clone(),
        agent: agent.clone(),
        trusted: trusted.clone(),
        token_id: claims.token_id().map(str::to_owned),
        person: claims.person().cloned(),
        client_id: claims.client_id().cloned(),
        scopes: claims.scopes().clone(),
    })
}

#[cfg(test)]
mod tests;
