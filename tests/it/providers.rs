//! Tokens in the shape of each provider's, through the whole gate: which claim names the agent, whose tokens an agent
//! of a kind acts with, and what the record says of them.

use serde_json::Value;
use sidegate::identity::kind::AgentKind;
use sidegate::identity::preset::{Preset, ProviderSpec};

use crate::support::directory::{Directory, plain};
use crate::support::plan::Plan;
use crate::support::world::World;

const HOSTED: &str = "https://login.microsoftonline.com/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/v2.0";

fn fixtures() -> Vec<Value> {
    serde_json::from_str(include_str!("../../src/identity/testing/tokens.json")).unwrap()
}

fn text<'a>(fixture: &'a Value, pointer: &str) -> &'a str {
    fixture.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} of {fixture}"))
}

/// The provider as its administrator would describe it.
fn described(directory: &Directory, fixture: &Value) -> ProviderSpec {
    let issuer = text(fixture, "/claims/iss");
    let entra = fixture["claims"]["tid"].as_str();
    let kind = if entra.is_some() { Preset::Microsoft } else { Preset::recognise(issuer).0 };
    let audience = fixture["claims"]["aud"].as_str().filter(|audience| *audience != "RESOURCE");
    ProviderSpec {
        entra_tenant_id: entra.map(str::to_owned),
        issuer: (kind == Preset::Custom).then(|| issuer.to_owned()),
        audiences: audience.map(str::to_owned).into_iter().collect(),
        subject_claim: Some(text(fixture, "/subject_claim").to_owned()),
        ..directory.provider(kind)
    }
}

#[tokio::test]
async fn every_providers_token_names_its_agent_and_is_of_one_kind() {
    let directory = Directory::start().await;
    for fixture in fixtures() {
        let name = text(&fixture, "/name");
        let issuer = directory.trust(&described(&directory, &fixture)).await;
        let subject = text(&fixture, "/subject");
        let header = if fixture["header"].is_object() { fixture["header"].clone() } else { plain() };
        let token = directory.token(&header, &fixture["claims"]);
        directory.bind(&issuer, subject, None).await;
        directory.answered(&token, 200).await;
        for kind in AgentKind::ALL {
            directory.bind(&issuer, subject, Some(kind)).await;
            let fault = match (kind, text(&fixture, "/carries")) {
                (AgentKind::Unattended, "person") => Some(("user_token", "carries a user")),
                (AgentKind::Interactive, "application") => {
                    Some(("application_token", "an application's own"))
                }
                _ => None,
            };
            let answer = directory.answered(&token, if fault.is_some() { 401 } else { 200 }).await;
            let Some((reason, told)) = fault else { continue };
            assert!(
                answer.header("www-authenticate").contains("error=\"invalid_token\""),
                "{name}: {answer:?}"
            );
            assert!(answer.body.to_string().contains(told), "{name}: {answer:?}");
            let metric = format!("sidegate_auth_refusals_total{{reason=\"{reason}\"}}");
            assert!(directory.world.metric(&metric).await >= 1.0, "{name}");
        }
        directory.bind(&issuer, subject, None).await;
        directory.answered(&token, 200).await;
        directory.admin.remove_provider(&directory.actor, &issuer).await.unwrap();
    }
}

#[tokio::test]
async fn the_record_names_the_person_and_the_client_of_calls_and_of_refusals() {
    let directory = Directory::start().await;
    let all = fixtures();
    let fixture = all.iter().find(|fixture| fixture["name"] == "Keycloak, a person").unwrap();
    let issuer = directory.trust(&described(&directory, fixture)).await;
    let token = directory.token(&plain(), &fixture["claims"]);
    directory.bind(&issuer, text(fixture, "/subject"), Some(AgentKind::Interactive)).await;
    directory.answered(&token, 200).await;
    directory.bind(&issuer, text(fixture, "/subject"), Some(AgentKind::Unattended)).await;
    directory.answered(&token, 401).await;
    let told = |records: &[Value], reason: Option<&str>| {
        let of_it =
            |record: &&Value| record["subject"] == fixture["subject"] && record["reason"].as_str() == reason;
        records.iter().find(of_it).map(|record| (record["person"].clone(), record["oauth_client"].clone()))
    };
    let both = (Value::from("alice"), Value::from("desk"));
    let records = directory.world.records_when(|records| told(records, Some("user_token")).is_some()).await;
    assert_eq!(told(&records, None), Some(both.clone()), "of the call");
    assert_eq!(told(&records, Some("user_token")), Some(both), "of the refusal");
}

#[tokio::test]
async fn a_token_is_explained_with_whom_it_carries() {
    let directory = Directory::start().await;
    let all = fixtures();
    let fixture = all.iter().find(|fixture| fixture["name"] == "Entra version 1, an application").unwrap();
    let issuer = directory.trust(&described(&directory, fixture)).await;
    directory.bind(&issuer, text(fixture, "/subject"), Some(AgentKind::Interactive)).await;
    let token = directory.token(&plain(), &fixture["claims"]);
    let resource = sidegate::identity::Resource::new(&directory.world.base, "/api/mcp");
    let told = directory.admin.explain(&token, &resource).await.unwrap();
    assert_eq!((told.accepted, told.reason), (false, Some("application_token")), "{told:?}");
    let step =
        |check: &str| told.steps.iter().find(|step| step.check == check).map(|step| step.detail.as_str());
    let subject = text(fixture, "/subject");
    assert_eq!(step("subject"), Some(&*format!("claim `appid` is {subject}")), "of version 1");
    assert_eq!(step("carries"), Some(&*format!("an application, obtained by client {subject}")));
}

#[tokio::test]
async fn a_hosted_application_makes_its_providers_trusted_for_the_directories_that_agents_are_bound_to() {
    let agent =
        format!("[[agents]]\nname = \"hosted\"\nissuer = \"{HOSTED}\"\nsubject = \"pairwise-of-alice_h7\"\n");
    let idp = "google_client_id = \"g\"\nmicrosoft_client_id = \"77c0ffee-0000-4000-8000-00000000000b\"";
    let world = World::of(Plan { idp, more: &agent, ..Plan::default() }).await;
    let document = world.get(&format!("{}/.well-known/oauth-protected-resource", world.base)).await;
    let named = document.body["authorization_servers"].as_array().unwrap();
    for issuer in ["https://accounts.google.com", HOSTED, &world.issuer.issuer] {
        assert!(named.contains(&Value::from(issuer)), "{named:?}");
    }
    assert_eq!(named.len(), 3);
}
