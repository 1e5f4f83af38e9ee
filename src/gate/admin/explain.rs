//! Why a token would be accepted or refused, step by step, in the order of the real check.

use serde::Serialize;

use super::{Admin, AdminError};
use crate::clock::rfc3339;
use crate::gate::roster::{self, Defaults, Snapshot};
use crate::identity::Principal;
use crate::identity::metadata::Resource;
use crate::identity::token::{self, Claims};
use crate::identity::trust::{self, Caller};
use crate::policy;
use crate::tool::effect::Effect;

/// One step of the check.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was looked at.
    pub check: &'static str,
    /// Whether it was as it must be.
    pub passed: bool,
    /// What was found, or what is wrong.
    pub detail: String,
}

/// The whole check.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// True where the token would be let in.
    pub accepted: bool,
    /// The reason label of the refusal, as metrics and records show it.
    pub reason: Option<&'static str>,
    /// Every step up to the first that failed; lacking scopes end none.
    pub steps: Vec<Step>,
}

impl Explanation {
    fn passed(&mut self, check: &'static str, detail: impl Into<String>) {
        self.steps.push(Step { check, passed: true, detail: detail.into() });
    }

    fn failed(mut self, check: &'static str, reason: &'static str, detail: impl Into<String>) -> Self {
        self.steps.push(Step { check, passed: false, detail: detail.into() });
        self.reason = Some(reason);
        self
    }

    /// What the token was granted, and for which calls that is not enough. It is let in all the same.
    fn scopes(&mut self, caller: &Caller) {
        let held = if caller.scopes().is_empty() { "none".to_owned() } else { caller.scopes().join(" ") };
        let lacking: Vec<_> = [Effect::Read, Effect::Write, Effect::Destroy]
            .into_iter()
            .filter_map(|effect| policy::scoped(caller, effect).err())
            .map(|lacking| format!("calls of effect {} need {}", lacking.effect, lacking.scopes.join(" ")))
            .collect();
        let passed = lacking.is_empty();
        let enough = if passed { "enough for every call".to_owned() } else { lacking.join(", ") };
        self.steps.push(Step { check: "scopes", passed, detail: format!("{held}; {enough}") });
    }
}

/// Whether the token carries a person, as far as it says.
fn carried(claims: &Claims) -> String {
    let what = match claims.principal() {
        Principal::Person => "a person",
        Principal::Application => "an application",
        Principal::Unclear => "it does not say whether a person or an application",
    };
    let person = claims.person().map(|person| format!(", {person}")).unwrap_or_default();
    let client =
        claims.client_id().map(|client| format!(", obtained by client {client}")).unwrap_or_default();
    format!("{what}{person}{client}")
}

impl Admin {
    /// The tenant's rows as they are now.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, AdminError> {
        let defaults = Defaults { max_effect: Effect::Read, hosted: self.hosted.clone() };
        Ok(roster::read(&self.store, &self.tenant, defaults).await?)
    }

    /// Follows `token` through the check that a call to `resource` would make.
    ///
    /// # Errors
    /// The store's only: everything about the token is part of the explanation.
    pub async fn explain(&self, token: &str, resource: &Resource) -> Result<Explanation, AdminError> {
        let snapshot = self.snapshot().await?;
        let mut told = Explanation { accepted: false, reason: None, steps: Vec::new() };
        let peeked = match token::peek(token) {
            Ok(peeked) => peeked,
            Err(fault) => return Ok(told.failed("form and header", fault.label(), fault.to_string())),
        };
        let kid = peeked.key_id.as_deref().unwrap_or("none");
        told.passed("form and header", format!("algorithm {:?}, key id {kid}", peeked.algorithm));
        let Some(issuer) = snapshot.trust.issuer(&peeked.issuer) else {
            let known: Vec<_> = snapshot.trust.issuers().map(|issuer| issuer.issuer.as_str()).collect();
            let detail = format!("{} is not trusted here; trusted are: {}", peeked.issuer, known.join(", "));
            return Ok(told.failed("issuer", "unknown_issuer", detail));
        };
        told.passed("issuer", peeked.issuer.clone());
        let keys = match self.idp.keys(issuer, peeked.key_id.as_deref()).await {
            Ok(keys) => keys,
            Err(error) => return Ok(told.failed("keys", "keys_unavailable", error.to_string())),
        };
        let rules = issuer.rules(resource.identifier());
        let now = self.clock.now_seconds();
        let candidates = keys.candidates(&peeked);
        let claims = match token::verify(peeked, candidates, &rules, now) {
            Ok(claims) => claims,
            Err(fault) => {
                let detail = format!("{fault} (expected audience: one of {})", rules.audiences.join(", "));
                return Ok(told.failed("signature and claims", fault.label(), detail));
            }
        };
        told.passed(
            "signature and claims",
            format!(
                "audience {}, expires {}",
                claims.audiences().join(", "),
                rfc3339(claims.expires_at().saturating_mul(1000))
            ),
        );
        let claim = issuer.subject_claim_of(claims.issuer());
        told.passed("subject", format!("claim `{claim}` is {}", claims.subject()));
        told.passed("carries", carried(&claims));
        if claims.certificate().is_some() {
            told.passed("confirmation", "bound to a TLS client certificate; any other connection is refused");
        }
        // As on a connection that has the certificate, if one is asked for.
        match trust::caller(&snapshot.trust, &claims, claims.certificate()) {
            Ok(caller) => {
                told.passed("agent", format!("{} ({})", caller.agent_name(), caller.agent_id()));
                told.scopes(&caller);
                told.accepted = true;
                Ok(told)
            }
            Err(fault) => {
                let (check, detail) = match fault {
                    trust::TrustFault::Proof(fault) => ("confirmation", fault.to_string()),
                    trust::TrustFault::Kind(fault) => ("kind of agent", fault.to_string()),
                    trust::TrustFault::Disabled => {
                        ("agent", "the agent is switched off; `sidegate agent enable` lifts it".to_owned())
                    }
                    trust::TrustFault::NotBound => {
                        let detail =
                            "no agent is bound to this issuer and subject; `sidegate agent add` binds one";
                        ("agent", detail.to_owned())
                    }
                    trust::TrustFault::UnknownIssuer => ("agent", "the issuer is not trusted".to_owned()),
                };
                Ok(told.failed(check, fault.label(), detail))
            }
        }
    }
}
