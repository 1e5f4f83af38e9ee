//! Who is a caller, and who is not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::identity::testing::{self, AUDIENCE, ISSUER, binding, claims, issuer};

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
fn an_alias_speaks_for_the_agents_of_its_issuer_and_reads_its_own_claim() {
    let alias = IssuerAlias { issuer: ISSUER.into(), subject_claim: Some("appid".into()) };
    let main = "https://main.example";
    let trusted = TrustedIssuer { issuer: main.into(), aliases: vec![alias], ..issuer() };
    let bound = AgentBinding { issuer: main.into(), ..binding("a1", "robot") };
    let trust = Trust::new("acme", vec![trusted], vec![bound]);
    let rules = trust.issuer(ISSUER).unwrap().rules(AUDIENCE);
    let read = |more| testing::claims_by(&rules, "somebody", more);
    let caller = caller(&trust, &read(json!({"appid": "robot"})).unwrap(), None).unwrap();
    assert_eq!((caller.issuer(), caller.subject()), (main, "robot"));
    assert_eq!(read(json!({})).unwrap_err().label(), "missing_subject", "`sub` is not read instead");
    assert_eq!(read(json!({"iss": main, "appid": "robot"})).unwrap().subject(), "somebody");
    assert_eq!(read(json!({"iss": "https://third.example"})).unwrap_err().label(), "issuer");
}

#[test]
fn an_issuer_comes_before_whoever_has_its_identifier_for_an_alias() {
    let alias = IssuerAlias { issuer: ISSUER.into(), subject_claim: None };
    let posing = TrustedIssuer { issuer: "https://a.example".into(), aliases: vec![alias], ..issuer() };
    let trust = Trust::new("acme", vec![posing, issuer()], vec![binding("a1", "robot")]);
    assert_eq!(trust.issuer(ISSUER).unwrap().issuer, ISSUER);
    assert!(caller(&trust, &claims("robot"), None).is_ok());
}

#[test]
fn an_agent_acts_with_tokens_of_its_kind_only() {
    let (person, application) = (json!({"email": "alice@acme.example"}), json!({"client_id": "robot"}));
    let label = |kind, more: &serde_json::Value| {
        let agent = AgentBinding { kind, ..binding("a1", "robot") };
        let trust = Trust::new("acme", vec![issuer()], vec![agent]);
        let claims = testing::claims_with("robot", more.clone());
        caller(&trust, &claims, None).map_or_else(TrustFault::label, |_| "a caller")
    };
    let (interactive, unattended) = (Some(AgentKind::Interactive), Some(AgentKind::Unattended));
    assert_eq!(label(unattended, &person), "user_token");
    assert_eq!(label(unattended, &application), "a caller");
    assert_eq!(label(interactive, &application), "application_token");
    assert_eq!(label(interactive, &person), "a caller");
    for kind in [interactive, unattended, None] {
        assert_eq!(label(kind, &json!({})), "a caller", "it does not say what it carries");
    }
    assert_eq!((label(None, &person), label(None, &application)), ("a caller", "a caller"));
}

#[test]
fn a_caller_names_the_person_and_the_client_for_the_record() {
    let trust = Trust::new("acme", vec![issuer()], vec![binding("a1", "robot")]);
    let claims = testing::claims_with("robot", json!({"upn": "alice@acme.example", "azp": "desk"}));
    let caller = caller(&trust, &claims, None).unwrap();
    assert_eq!((caller.person(), caller.client_id()), (Some("alice@acme.example"), Some("desk")));
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
fn a_subject_speaks_again_for_the_one_agent_that_is_left() {
    let (one, two) = (Arc::new(binding("a1", "robot")), Arc::new(binding("a2", "robot")));
    let mut bindings = Bindings::default();
    let bound = |bindings: &Bindings| bindings.of(ISSUER, "robot").map(|agent| agent.agent_id.clone());
    bindings.bind(one.clone());
    bindings.bind(two.clone());
    assert_eq!(bound(&bindings), None);
    let before = bindings.clone();
    bindings.unbind(&one);
    assert_eq!((bound(&bindings).as_deref(), bound(&before)), (Some("a2"), None));
    let renamed = AgentBinding { name: "another".into(), ..binding("a2", "robot") };
    bindings.bind(Arc::new(renamed));
    assert_eq!(bindings.of(ISSUER, "robot").map(|agent| agent.name.as_str()), Some("another"));
    bindings.unbind(&two);
    bindings.unbind(&two);
    assert_eq!((bound(&bindings), bindings.issuers().count()), (None, 0));
}
