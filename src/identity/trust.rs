//! Which issuer may speak for which agent in one tenant: [`Claims`] become a [`Caller`].
//!
//! The table is built once per version of the store and asked on every call; it knows neither
//! the store nor where tokens come from.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;
use url::Url;

use super::claims::{Claims, Rules};
use super::confirmation::{self, ProofFault, Thumbprint};
use super::scopes::{self, RequiredScopes};

/// An issuer whose tokens are accepted, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The issuer identifier, exactly as `iss` says it.
    pub issuer: String,
    /// Where its keys are; `None` finds out by discovery.
    pub jwks_uri: Option<String>,
    /// Audiences that are accepted beside the resource URL.
    pub audiences: Vec<String>,
    /// The claim that names the subject.
    pub subject_claim: String,
    /// How old a token may be, in seconds.
    pub max_age: Option<i64>,
    /// How far its clock may be off, in seconds.
    pub leeway: i64,
    /// What its tokens must have been granted, by what a call does.
    pub required_scopes: RequiredScopes,
    /// Whether its tokens must be bound to a client certificate (RFC 8705).
    pub require_bound_tokens: bool,
}

/// The most characters of an issuer, a claim's name, and whatever else names somebody.
pub const NAME_LIMIT: usize = 255;

/// The largest clock difference that may be tolerated, in seconds.
const MAX_LEEWAY: i64 = 300;

impl TrustedIssuer {
    /// What is wrong with the description itself, as (field, message). Which addresses may be
    /// reached is not judged here.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut say = |field: &str, message: String| found.push((field.to_owned(), message));
        if self.issuer.trim().is_empty() {
            say("issuer", "is missing; write exactly the `iss` of its tokens".to_owned());
        } else if let Some(wrong) = wrong_address(&self.issuer, false) {
            say("issuer", wrong.to_owned());
        } else if self.issuer.chars().count() > NAME_LIMIT {
            say("issuer", format!("must be at most {NAME_LIMIT} characters long"));
        }
        // Unlike an issuer's, a key set's address may have a query: some providers name a policy in it.
        if let Some(wrong) = self.jwks_uri.as_deref().and_then(|uri| wrong_address(uri, true)) {
            say("jwks_uri", wrong.to_owned());
        }
        if self.subject_claim.trim().is_empty() {
            say("subject_claim", "is missing; write the claim that names the agent, such as sub".to_owned());
        } else if self.subject_claim.chars().count() > NAME_LIMIT {
            say("subject_claim", format!("must be at most {NAME_LIMIT} characters long"));
        }
        if self.max_age.is_some_and(|age| age <= 0) {
            say("max_age", "must be at least 1s; leave it out for no limit".to_owned());
        }
        if !(0..=MAX_LEEWAY).contains(&self.leeway) {
            say("leeway", format!("must be 0 to {MAX_LEEWAY} seconds; clocks that differ more need setting"));
        }
        for (list, message) in self.required_scopes.problems() {
            say(&format!("required_scopes.{list}"), message);
        }
        found
    }

    /// The rules its tokens must keep at the protected resource `resource` (the MCP URL).
    pub fn rules(&self, resource: &str) -> Rules {
        let mut audiences = vec![resource.to_owned()];
        audiences.extend(self.audiences.iter().cloned());
        Rules {
            issuer: self.issuer.clone(),
            audiences,
            subject_claim: self.subject_claim.clone(),
            leeway: self.leeway,
            max_age: self.max_age,
        }
    }
}

/// What is wrong with an address (an issuer's, RFC 8414 section 2: no query, no fragment).
fn wrong_address(text: &str, may_query: bool) -> Option<&'static str> {
    // The parser would pass over spaces around the text, which are then compared byte for byte.
    let spaced = text.contains(|char: char| char.is_whitespace() || char.is_control());
    let Some(url) = Url::parse(text).ok().filter(|_| !spaced) else {
        return Some("must be an absolute http or https URL");
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        Some("must be an absolute http or https URL")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("must hold neither a user name nor a password")
    } else if may_query && url.fragment().is_some() {
        Some("must have no fragment")
    } else if !may_query && (url.query().is_some() || url.fragment().is_some()) {
        Some("must have neither a query nor a fragment")
    } else {
        None
    }
}

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
}

/// One tenant's trusted issuers and agents. Immutable; a new store version makes a new one.
#[derive(Debug)]
pub struct Trust {
    tenant: Arc<str>,
    issuers: Vec<Arc<TrustedIssuer>>,
    /// Issuer, then subject. `None` marks a pair that two agents claim: it speaks for neither.
    agents: HashMap<String, HashMap<String, Option<Arc<AgentBinding>>>>,
    scopes_supported: Vec<String>,
    scopes_to_ask_for: Vec<String>,
}

impl Trust {
    /// Builds the table. Of two issuers with one identifier the first counts.
    pub fn new(tenant: impl Into<String>, issuers: Vec<TrustedIssuer>, agents: Vec<AgentBinding>) -> Self {
        let mut table: HashMap<String, HashMap<String, Option<Arc<AgentBinding>>>> = HashMap::new();
        for agent in agents {
            let subjects = table.entry(agent.issuer.clone()).or_default();
            let agent = Arc::new(agent);
            subjects
                .entry(agent.subject.clone())
                .and_modify(|bound| {
                    if bound.as_ref().is_some_and(|other| other.agent_id != agent.agent_id) {
                        *bound = None;
                    }
                })
                .or_insert_with(|| Some(agent.clone()));
        }
        let required = || issuers.iter().map(|issuer| &issuer.required_scopes);
        let (scopes_supported, scopes_to_ask_for) =
            (scopes::supported(required()), scopes::agreed(required()));
        Self {
            tenant: Arc::from(tenant.into()),
            issuers: issuers.into_iter().map(Arc::new).collect(),
            agents: table,
            scopes_supported,
            scopes_to_ask_for,
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The trusted issuer of exactly that identifier.
    pub fn issuer(&self, issuer: &str) -> Option<&Arc<TrustedIssuer>> {
        self.issuers.iter().find(|trusted| trusted.issuer == issuer)
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
    Proof(#[from] ProofFault),
}

impl TrustFault {
    /// The reason as metrics and audit records name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "unknown_issuer",
            Self::NotBound => "not_bound",
            Self::Disabled => "disabled",
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
        };
        let trusted = TrustedIssuer {
            issuer: LOCAL.to_owned(),
            jwks_uri: None,
            audiences: Vec::new(),
            subject_claim: String::new(),
            max_age: None,
            leeway: 0,
            required_scopes: RequiredScopes::default(),
            require_bound_tokens: false,
        };
        Self {
            tenant: Arc::from(tenant),
            agent: Arc::new(agent),
            trusted: Arc::new(trusted),
            token_id: None,
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
/// that is not there, nobody is bound, or the agent is disabled.
pub fn caller(
    trust: &Trust,
    claims: &Claims,
    certificate: Option<&Thumbprint>,
) -> Result<Caller, TrustFault> {
    let trusted = trust.issuer(claims.issuer()).ok_or(TrustFault::UnknownIssuer)?;
    // Before anything is told of the agent: a token that was stolen learns nothing.
    confirmation::prove(claims.certificate(), certificate, trusted.require_bound_tokens)?;
    let agent = trust
        .agents
        .get(claims.issuer())
        .and_then(|subjects| subjects.get(claims.subject()))
        .and_then(Option::as_ref)
        .ok_or(TrustFault::NotBound)?;
    if !agent.active {
        return Err(TrustFault::Disabled);
    }
    Ok(Caller {
        tenant: trust.tenant.clone(),
        agent: agent.clone(),
        trusted: trusted.clone(),
        token_id: claims.token_id().map(str::to_owned),
        scopes: claims.scopes().clone(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::identity::testing::{self, ISSUER, binding, claims, issuer};

    #[test]
    fn a_bound_and_active_agent_is_a_caller() {
        let trust = Trust::new("acme", vec![issuer()], vec![binding("a1", "robot")]);
        let caller = caller(&trust, &claims("robot"), None).unwrap();
        assert_eq!((caller.tenant(), caller.agent_id(), caller.agent_name()), ("acme", "a1", "agent a1"));
        assert_eq!((caller.issuer(), caller.subject(), caller.psa_user()), (ISSUER, "robot", None));
        assert_eq!(testing::caller("acme", "a2").agent_id(), "a2");
    }

    #[test]
    fn who_works_here_is_called_local_and_no_token_can_say_so() {
        let local = Caller::local("acme");
        assert_eq!((local.tenant(), local.agent_name(), local.issuer()), ("acme", LOCAL, LOCAL));
        assert_eq!(local.token_id(), None);
        let posing = TrustedIssuer { issuer: LOCAL.to_owned(), ..issuer() };
        assert_ne!(posing.problems(), []);
    }

    #[test]
    fn a_subject_nobody_is_bound_to_is_refused_whatever_its_case() {
        let trust = Trust::new("acme", vec![issuer()], vec![binding("a1", "robot")]);
        for subject in ["Robot", "robot ", "other"] {
            assert_eq!(caller(&trust, &claims(subject), None).unwrap_err(), TrustFault::NotBound);
        }
    }

    #[test]
    fn a_binding_without_its_issuer_binds_nobody() {
        let trust = Trust::new("acme", vec![], vec![binding("a1", "robot")]);
        assert_eq!(caller(&trust, &claims("robot"), None).unwrap_err(), TrustFault::UnknownIssuer);
    }

    #[test]
    fn the_same_subject_of_another_issuer_is_somebody_else() {
        let other = AgentBinding { issuer: "https://other.example".into(), ..binding("a1", "robot") };
        let trust = Trust::new("acme", vec![issuer()], vec![other]);
        assert_eq!(caller(&trust, &claims("robot"), None).unwrap_err(), TrustFault::NotBound);
    }

    #[test]
    fn a_disabled_agent_is_refused() {
        let off = AgentBinding { active: false, ..binding("a1", "robot") };
        let trust = Trust::new("acme", vec![issuer()], vec![off]);
        assert_eq!(caller(&trust, &claims("robot"), None).unwrap_err().label(), "disabled");
    }

    #[test]
    fn a_bound_token_makes_a_caller_only_with_its_certificate_whoever_its_agent_is() {
        let bound = |subject: &str| {
            let thumbprint = URL_SAFE_NO_PAD.encode([7; 32]);
            testing::claims_with(subject, json!({"cnf": {"x5t#S256": thumbprint}}))
        };
        let off = AgentBinding { active: false, ..binding("a2", "off") };
        let trust = Trust::new("acme", vec![issuer()], vec![binding("a1", "robot"), off]);
        let label = |subject: &str, shown: Option<[u8; 32]>| {
            caller(&trust, &bound(subject), shown.as_ref()).map_or_else(|fault| fault.label(), |_| "a caller")
        };
        assert_eq!(label("robot", Some([7; 32])), "a caller");
        for subject in ["robot", "off", "nobody"] {
            assert_eq!(label(subject, None), "certificate_missing");
            assert_eq!(label(subject, Some([8; 32])), "certificate_mismatch");
        }
        assert_eq!(label("off", Some([7; 32])), "disabled");
    }

    #[test]
    fn an_issuer_that_requires_bound_tokens_has_no_other_callers() {
        let strict = TrustedIssuer { require_bound_tokens: true, ..issuer() };
        let trust = Trust::new("acme", vec![strict], vec![binding("a1", "robot")]);
        for shown in [None, Some(&[7; 32])] {
            assert_eq!(caller(&trust, &claims("robot"), shown).unwrap_err().label(), "unbound_token");
        }
    }

    #[test]
    fn a_subject_that_two_agents_claim_speaks_for_neither() {
        let trust = Trust::new("acme", vec![issuer()], vec![binding("a1", "robot"), binding("a2", "robot")]);
        assert_eq!(caller(&trust, &claims("robot"), None).unwrap_err(), TrustFault::NotBound);
    }

    #[test]
    fn the_rules_of_an_issuer_accept_the_resource_and_its_own_audiences() {
        let issuer = TrustedIssuer { audiences: vec!["api://sidegate".into()], ..issuer() };
        assert_eq!(
            issuer.rules("https://gate/api/mcp").audiences,
            ["https://gate/api/mcp", "api://sidegate"]
        );
    }

    #[test]
    fn a_sound_description_of_an_issuer_has_no_problem() {
        let uri = Some("https://login.example:8443/keys".to_owned());
        for sound in [
            issuer(),
            TrustedIssuer { jwks_uri: uri, leeway: 0, max_age: Some(1), ..issuer() },
            TrustedIssuer { issuer: "http://127.0.0.1:9/realms/a".into(), leeway: 300, ..issuer() },
        ] {
            assert_eq!(sound.problems(), []);
        }
    }

    #[test]
    fn whatever_is_wrong_with_an_issuer_is_named_with_its_field() {
        let fields = |bad: TrustedIssuer| -> Vec<String> {
            bad.problems().into_iter().map(|(field, _)| field).collect()
        };
        for text in [
            "",
            " ",
            "garbage",
            "/relative",
            "ftp://login.example",
            "https://",
            "https://a:b@login.example",
            "https://a@login.example",
            "https://login.example/#f",
            "https://login.example ",
            "https://login.example/\n",
        ] {
            assert_eq!(fields(TrustedIssuer { issuer: text.into(), ..issuer() }), ["issuer"], "{text}");
            let uri = Some(text.to_owned());
            assert_eq!(fields(TrustedIssuer { jwks_uri: uri, ..issuer() }), ["jwks_uri"], "{text}");
        }
        let queried = || "https://login.example/?q=1".to_owned();
        assert_eq!(fields(TrustedIssuer { issuer: queried(), ..issuer() }), ["issuer"]);
        assert!(fields(TrustedIssuer { jwks_uri: Some(queried()), ..issuer() }).is_empty());
        let long = "a".repeat(256);
        for claim in ["", " ", &long] {
            let bad = TrustedIssuer { subject_claim: claim.into(), ..issuer() };
            assert_eq!(fields(bad), ["subject_claim"]);
        }
        assert_eq!(fields(TrustedIssuer { issuer: format!("https://{long}"), ..issuer() }), ["issuer"]);
        for leeway in [-1, 301, i64::MAX] {
            assert_eq!(fields(TrustedIssuer { leeway, ..issuer() }), ["leeway"]);
        }
        let asking = RequiredScopes { destroy: vec!["a b".into()], ..RequiredScopes::default() };
        assert_eq!(
            fields(TrustedIssuer { required_scopes: asking, ..issuer() }),
            ["required_scopes.destroy"]
        );
        for age in [0, -1] {
            assert_eq!(fields(TrustedIssuer { max_age: Some(age), ..issuer() }), ["max_age"]);
        }
    }
}
