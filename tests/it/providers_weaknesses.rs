//! Weaknesses that were verified in AlgaPSA's own endpoint, by their number in the list of them: each a test that it is
//! not here. What concerns how keys are fetched stands in `idp`.

use serde_json::{Value, json};
use sidegate::gate::admin::AdminError;
use sidegate::identity::preset::{Preset, ProviderSpec};

use crate::support::directory::{Directory, plain};

const GOOGLE: &str = "https://accounts.google.com";
const CUSTOM: &str = "https://sso.acme.example/realms/acme";

/// The name of a metric's line for refusals of this reason.
fn refusals(reason: &str) -> String {
    format!("sidegate_auth_refusals_total{{reason=\"{reason}\"}}")
}

impl Directory {
    /// A provider of another product, without any audience of its own.
    async fn trusts_custom(&self) -> String {
        let issuer = Some(CUSTOM.to_owned());
        self.trust(&ProviderSpec { issuer, ..self.provider(Preset::Custom) }).await
    }

    /// Refused as every bad token must be, for this reason.
    async fn refused(&self, token: &str, reason: &str) -> String {
        let before = self.world.metric(&refusals(reason)).await;
        let answer = self.ask(token).await;
        assert_eq!(answer.status, 401, "{reason}: {answer:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer resource_metadata=\"http"), "{challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert_eq!(self.world.metric(&refusals(reason)).await, before + 1.0, "{reason}: {answer:?}");
        answer.body.to_string()
    }
}

#[tokio::test]
async fn weakness_1_without_an_audience_of_its_own_a_provider_is_trusted_for_this_endpoint_only() {
    let directory = Directory::start().await;
    let entra = Some("8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab".to_owned());
    for spec in [
        directory.provider(Preset::Google),
        ProviderSpec {
            entra_tenant_id: entra,
            subject_claim: Some("sub".to_owned()),
            ..directory.provider(Preset::Microsoft)
        },
        ProviderSpec { issuer: Some(CUSTOM.to_owned()), ..directory.provider(Preset::Custom) },
    ] {
        let issuer = directory.trust(&spec).await;
        directory.bind(&issuer, "112233", None).await;
        let token =
            |aud: Value| directory.token(&plain(), &json!({"iss": issuer, "sub": "112233", "aud": aud}));
        directory.answered(&token(json!("RESOURCE")), 200).await;
        for other in [json!("1234-abc.apps.googleusercontent.com"), json!(["a", "b"]), json!([]), json!("")] {
            directory.refused(&token(other), "audience").await;
        }
        directory.refused(&token(Value::Null), "missing_audience").await;
    }
}

#[tokio::test]
async fn weakness_9_a_bad_token_is_answered_401_with_a_challenge_and_tells_nothing_of_bindings() {
    let directory = Directory::start().await;
    let issuer = directory.trusts_custom().await;
    directory.bind(&issuer, "triage", None).await;
    let claims = |more: Value| {
        let mut claims = json!({"iss": issuer, "sub": "triage", "aud": "RESOURCE"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let token = |more: Value| directory.token(&plain(), &claims(more));
    directory.answered(&token(json!({})), 200).await;
    let expired = directory.refused(&token(json!({"exp": 1_700_000_000})), "expired").await;
    let unbound = directory.refused(&token(json!({"sub": "somebody"})), "not_bound").await;
    let untrusted =
        directory.refused(&token(json!({"iss": "https://other.example"})), "unknown_issuer").await;
    for told in [&expired, &unbound, &untrusted] {
        for secret in ["triage", "somebody", "agent of", &issuer] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    // Whether another tenant knows the subject makes no difference.
    directory.admin.store.ensure_tenant("other", "Other").await.unwrap();
    let elsewhere = sidegate::store::NewAgent {
        name: "elsewhere".to_owned(),
        issuer: issuer.clone(),
        subject: "squatted".to_owned(),
        active: true,
        ..sidegate::store::NewAgent::default()
    };
    directory.admin.store.add_agent("other", &elsewhere).await.unwrap();
    assert_eq!(directory.refused(&token(json!({"sub": "squatted"})), "not_bound").await, unbound);
}

#[tokio::test]
async fn weakness_10_an_access_token_of_rfc_9068_is_its_issuers_whoever_that_is() {
    let directory = Directory::start().await;
    let issuer = directory.trusts_custom().await;
    directory.bind(&issuer, "triage", None).await;
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT", "JWT"] {
        let header = json!({"alg": "EdDSA", "kid": "k", "typ": typ});
        let claims = json!({"iss": issuer, "sub": "triage", "aud": "RESOURCE", "client_id": "triage"});
        directory.answered(&directory.token(&header, &claims), 200).await;
    }
}

#[tokio::test]
async fn weakness_11_a_missing_subject_claim_is_not_replaced_by_another() {
    let directory = Directory::start().await;
    let spec = ProviderSpec {
        issuer: Some(CUSTOM.to_owned()),
        subject_claim: Some("azp".to_owned()),
        ..directory.provider(Preset::Custom)
    };
    let issuer = directory.trust(&spec).await;
    directory.bind(&issuer, "triage", None).await;
    let token = |claims: Value| directory.token(&plain(), &claims);
    let claims = json!({"iss": issuer, "sub": "triage", "aud": "RESOURCE"});
    let mut named = claims.clone();
    named["azp"] = "triage".into();
    directory.answered(&token(named), 200).await;
    for (azp, reason) in
        [(Value::Null, "missing_subject"), (json!(""), "missing_subject"), (json!(7), "claim_type")]
    {
        let mut claims = claims.clone();
        claims["azp"] = azp;
        directory.refused(&token(claims), reason).await;
    }
}

#[tokio::test]
async fn weakness_12_a_token_ends_is_signed_with_a_known_algorithm_and_no_older_than_is_allowed() {
    let directory = Directory::start().await;
    let spec = ProviderSpec {
        issuer: Some(CUSTOM.to_owned()),
        max_age: Some(3600),
        ..directory.provider(Preset::Custom)
    };
    let issuer = directory.trust(&spec).await;
    directory.bind(&issuer, "triage", None).await;
    let token = |header: Value, more: Value| {
        let mut claims = json!({"iss": issuer, "sub": "triage", "aud": "RESOURCE"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        directory.token(&header, &claims)
    };
    directory.answered(&token(plain(), json!({})), 200).await;
    directory.refused(&token(plain(), json!({"exp": null})), "missing_expiry").await;
    directory.refused(&token(plain(), json!({"iat": null})), "missing_issued_at").await;
    directory.refused(&token(plain(), json!({"iat": 1_700_000_000})), "too_old").await;
    for alg in ["none", "HS256", "eddsa"] {
        let header = json!({"alg": alg, "kid": "k", "typ": "JWT"});
        directory.refused(&token(header, json!({})), "algorithm").await;
    }
}

#[tokio::test]
async fn weakness_16_no_provider_makes_the_server_ask_an_address_within_the_network() {
    let directory = Directory::start().await;
    for (jwks_uri, word) in [
        ("http://169.254.169.254/latest/meta-data/", "never reached"),
        ("https://[fe80::1]/keys", "never reached"),
        ("https://10.0.0.1/keys", "allow_private_networks"),
        ("https://192.168.1.1/keys", "allow_private_networks"),
        ("http://198.51.100.7/keys", "http"),
        ("file:///etc/passwd", "http"),
        ("https://user:secret@sso.example/keys", "password"),
    ] {
        for kind in [Preset::Custom, Preset::Google] {
            let spec = ProviderSpec {
                kind,
                issuer: (kind == Preset::Custom).then(|| CUSTOM.to_owned()),
                jwks_uri: Some(jwks_uri.to_owned()),
                ..ProviderSpec::default()
            };
            // Where nothing is fetched now, it is judged all the same.
            for probe in [false, true] {
                let refused = directory.admin.add_provider(&directory.actor, &spec, probe).await;
                let refused = refused.map(|(row, _)| row.issuer).unwrap_err();
                assert!(matches!(refused, AdminError::Invalid(_) | AdminError::Refused(_)), "{refused:?}");
                let told = refused.to_string();
                assert!(told.contains(word) && !told.contains("secret"), "{jwks_uri}: {told}");
            }
        }
    }
    let trusted = directory.admin.issuers().await.unwrap();
    assert!(trusted.iter().all(|row| row.issuer != CUSTOM && row.issuer != GOOGLE), "nothing was stored");
}
