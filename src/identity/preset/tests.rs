//! What presets make of little, what they refuse, and what a hosted installation trusts.

use serde_json::{Value, json};

use super::*;
use crate::identity::testing::{NOW, Signer};
use crate::identity::token;

const DIRECTORY: &str = "8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab";
const V2: &str = "https://login.microsoftonline.com/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/v2.0";
const V1: &str = "https://sts.windows.net/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/";
const APPLICATION: &str = "77c0ffee-0000-4000-8000-00000000000a";

fn microsoft() -> ProviderSpec {
    ProviderSpec {
        kind: Preset::Microsoft,
        entra_tenant_id: Some(DIRECTORY.to_owned()),
        ..ProviderSpec::default()
    }
}

fn custom(issuer: &str) -> ProviderSpec {
    ProviderSpec { issuer: Some(issuer.to_owned()), ..ProviderSpec::default() }
}

fn applications(google: Option<&str>, microsoft: Option<&str>) -> Hosted {
    Hosted { google_client_id: google.map(str::to_owned), microsoft_client_id: microsoft.map(str::to_owned) }
}

fn wrong(spec: &ProviderSpec) -> Vec<String> {
    spec.trusted().err().unwrap_or_default().into_iter().map(|(field, _)| field).collect()
}

fn alias(trusted: &TrustedIssuer) -> (&str, Option<&str>) {
    let alias = &trusted.aliases[0];
    (&alias.issuer, alias.subject_claim.as_deref())
}

#[test]
fn google_needs_nothing() {
    let trusted = ProviderSpec { kind: Preset::Google, ..ProviderSpec::default() }.trusted().unwrap();
    let expected = TrustedIssuer { issuer: GOOGLE.to_owned(), ..TrustedIssuer::default() };
    assert_eq!(trusted, expected);
    assert_eq!(trusted.rules("https://gate/api/mcp").audiences, ["https://gate/api/mcp"], "never none");
}

#[test]
fn microsoft_needs_a_directory_and_reads_both_versions_of_its_tokens() {
    let trusted = microsoft().trusted().unwrap();
    assert_eq!((trusted.issuer.as_str(), trusted.subject_claim.as_str()), (V2, "azp"));
    assert_eq!(alias(&trusted), (V1, Some("appid")));
    let shouted = ProviderSpec { entra_tenant_id: Some(DIRECTORY.to_uppercase()), ..microsoft() };
    assert_eq!(shouted.trusted().unwrap(), trusted, "tokens bear it in small letters");
    for (claim, expected, in_version_1) in
        [("oid", "oid", None), ("sub", "sub", None), ("appid", "azp", Some("appid"))]
    {
        let trusted =
            ProviderSpec { subject_claim: Some(claim.to_owned()), ..microsoft() }.trusted().unwrap();
        assert_eq!((trusted.subject_claim.as_str(), alias(&trusted)), (expected, (V1, in_version_1)));
    }
}

#[test]
fn an_application_of_entra_is_an_audience_in_both_of_its_forms() {
    let api = format!("api://{APPLICATION}");
    for given in [vec![APPLICATION], vec![&*api], vec![APPLICATION, &api]] {
        let audiences: Vec<_> = given.iter().map(|text| (*text).to_owned()).collect();
        let mut found = ProviderSpec { audiences, ..microsoft() }.trusted().unwrap().audiences;
        found.sort();
        assert_eq!(found, [APPLICATION, &api], "{given:?}");
    }
    for given in ["api://sidegate", "https://gate.example", "api://acme.example/77c0ffee"] {
        let spec = ProviderSpec { audiences: vec![given.to_owned()], ..microsoft() };
        assert_eq!(spec.trusted().unwrap().audiences, [given]);
        let elsewhere =
            ProviderSpec { audiences: vec![APPLICATION.to_owned()], ..custom("https://a.example") };
        assert_eq!(elsewhere.trusted().unwrap().audiences, [APPLICATION], "of no other provider");
    }
}

#[test]
fn an_issuer_of_every_directory_is_refused_with_the_reason() {
    for name in ["common", "organizations", "consumers", "Common", " common "] {
        let spec = ProviderSpec { entra_tenant_id: Some(name.to_owned()), ..microsoft() };
        let complaints = spec.trusted().unwrap_err();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert_eq!(complaints[0].0, "entra_tenant_id");
        assert!(complaints[0].1.contains("every directory there is"), "{}", complaints[0].1);
    }
    for issuer in [
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.us/common/v2.0",
        "https://sts.windows.net/common/",
    ] {
        assert_eq!(wrong(&custom(issuer)), ["issuer"], "{issuer}");
    }
    assert!(custom("https://sso.example/common").trusted().is_ok(), "a path of somebody else's");
    for name in [None, Some(""), Some("acme.onmicrosoft.com"), Some("8f1c2d3e4a5b4c6d8e7f0123456789ab")] {
        let spec = ProviderSpec { entra_tenant_id: name.map(str::to_owned), ..microsoft() };
        assert_eq!(wrong(&spec), ["entra_tenant_id"], "{name:?}");
    }
}

#[test]
fn for_any_other_provider_the_issuer_alone_suffices() {
    let trusted = custom("https://sso.example/realms/acme").trusted().unwrap();
    assert_eq!((trusted.jwks_uri, trusted.subject_claim.as_str()), (None, "sub"));
    assert_eq!(wrong(&ProviderSpec::default()), ["issuer"]);
}

#[test]
fn every_complaint_comes_at_once_with_its_field() {
    let spec = ProviderSpec {
        kind: Preset::Google,
        entra_tenant_id: Some(DIRECTORY.to_owned()),
        issuer: Some("https://sso.example".to_owned()),
        jwks_uri: Some("nowhere".to_owned()),
        audiences: vec![" ".to_owned()],
        subject_claim: Some(String::new()),
        leeway: 1000,
        ..ProviderSpec::default()
    };
    let all = ["entra_tenant_id", "issuer", "jwks_uri", "subject_claim", "audiences", "leeway"];
    assert_eq!(wrong(&spec), all);
    let twice = vec![IssuerAlias { issuer: "https://a.example".to_owned(), subject_claim: None }];
    assert_eq!(wrong(&ProviderSpec { aliases: twice, ..custom("https://a.example") }), ["aliases[0].issuer"]);
}

#[test]
fn a_description_is_found_again_in_what_it_made_and_changes_field_by_field() {
    let audiences = vec![APPLICATION.to_owned()];
    for spec in [ProviderSpec { audiences, ..microsoft() }, custom("https://a.example")] {
        let trusted = spec.trusted().unwrap();
        let again = ProviderSpec::of(&trusted);
        assert_eq!((again.kind, &again.entra_tenant_id), (spec.kind, &spec.entra_tenant_id));
        assert_eq!(again.trusted().unwrap(), trusted);
        assert_eq!(ProviderChange::default().on(again.clone()), again);
        let change = ProviderChange {
            subject_claim: Some("oid".to_owned()),
            max_age: Some(Some(60)),
            ..ProviderChange::default()
        };
        let changed = change.on(again).trusted().unwrap();
        assert_eq!((changed.subject_claim.as_str(), changed.max_age), ("oid", Some(60)));
        assert_eq!(changed.audiences, trusted.audiences);
    }
}

#[test]
fn a_hosted_application_trusts_tokens_made_out_to_itself_alone() {
    let bound = [V2, "https://sso.example", V2, "https://login.microsoftonline.com/common/v2.0", V1];
    let trusted = hosted(&applications(Some("google-client"), Some(APPLICATION)), bound);
    let named: Vec<_> = trusted.iter().map(|issuer| issuer.issuer.as_str()).collect();
    assert_eq!(named, [GOOGLE, V2]);
    for issuer in &trusted {
        assert_eq!(issuer.problems(), []);
        assert_eq!(issuer.subject_claim, "sub");
        assert!(!issuer.rules("https://gate/api/mcp").audiences.contains(&"https://gate/api/mcp".to_owned()));
    }
    assert_eq!(trusted[0].rules("https://gate/api/mcp").audiences, ["google-client"]);
}

#[test]
fn a_persons_id_token_for_the_hosted_application_lets_its_agent_in_and_one_for_another_does_not() {
    let fixtures: Vec<Value> = serde_json::from_str(include_str!("../testing/tokens.json")).unwrap();
    let signer = Signer::new("k");
    for (start, google, microsoft) in [
        ("Google, a person", Some("1234-abc.apps.googleusercontent.com"), None),
        ("Entra's ID token", None, Some("77c0ffee-0000-4000-8000-00000000000b")),
    ] {
        let found = fixtures.iter().find(|fixture| fixture["name"].as_str().unwrap().starts_with(start));
        let mut claims = found.unwrap()["claims"].clone();
        claims["exp"] = (NOW + 300).into();
        let bound = claims["iss"].as_str().unwrap().to_owned();
        let read = |client: Option<&str>, claims: &Value| {
            let applications = applications(google.and(client), microsoft.and(client));
            let trusted = hosted(&applications, [bound.as_str()]).remove(0);
            let token = signer.token(&json!({"alg": "EdDSA", "kid": "k"}), claims);
            let rules = trusted.rules("https://gate.example/api/mcp");
            token::verify(token::peek(&token).unwrap(), &[signer.key()], &rules, NOW)
                .map(|claims| claims.subject().to_owned())
                .map_err(|fault| fault.label())
        };
        let client = google.or(microsoft);
        assert_eq!(read(client, &claims).as_deref(), Ok(claims["sub"].as_str().unwrap()), "{start}");
        assert_eq!(read(Some("another"), &claims), Err("audience"), "{start}");
        claims["aud"] = "https://gate.example/api/mcp".into();
        assert_eq!(read(client, &claims), Err("audience"), "{start}: the id is the only audience");
    }
}

#[test]
fn without_the_id_of_an_application_nothing_is_trusted_beforehand() {
    for id in [None, Some(""), Some("  ")] {
        assert_eq!(hosted(&applications(id, id), [V2]), []);
    }
    let nameless =
        TrustedIssuer { issuer: GOOGLE.to_owned(), own_audiences_only: true, ..TrustedIssuer::default() };
    assert_eq!(nameless.problems().len(), 1, "an issuer without any audience is no issuer");
    assert_eq!(nameless.rules("https://gate/api/mcp").audiences, Vec::<String>::new());
}

#[test]
fn two_issuers_with_one_identifier_are_noticed_through_their_aliases_too() {
    let entra = microsoft().trusted().unwrap();
    let old = custom(V1).trusted().unwrap();
    assert_eq!(entra.shared_identifier(&old), Some(V1));
    assert_eq!(old.shared_identifier(&custom("https://a.example").trusted().unwrap()), None);
}
