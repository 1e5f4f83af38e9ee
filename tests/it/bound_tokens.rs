//! Tokens that are bound to a key of their holder: a TLS client certificate is taken as proof,
//! everything else is refused by name.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::{Authenticator, Bearer, Roster};
use sidegate::identity::metadata::Resource;
use sidegate::idp::{self, IdpConfig};
use sidegate::metrics::Metrics;
use sidegate::secret::Secret;
use sidegate::store::{IssuerRow, ManagedBy, NewAgent, Store, StoreConfig};
use sidegate::tool::effect::Effect;
use tempfile::TempDir;

use crate::support::http::modern;
use crate::support::issuer::Issuer;
use crate::support::plan::{Plan, Trusted};
use crate::support::world::World;

const RESOURCE: &str = "https://gate.example/api/mcp";

/// The first step of every request, with one issuer and its agent `worker`.
struct Door {
    issuer: Issuer,
    authenticator: Authenticator,
    metrics: Arc<Metrics>,
    store: Store,
    _folder: TempDir,
}

impl Door {
    async fn open(require_bound_tokens: bool) -> Self {
        let issuer = Issuer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/sidegate.db", folder.path().display());
        let store = Store::open(&StoreConfig { url }, Clock::System).await.unwrap();
        store.ensure_tenant("acme", "Acme").await.unwrap();
        store.put_issuer("acme", &row(&issuer, require_bound_tokens)).await.unwrap();
        let agent = NewAgent {
            name: "worker".to_owned(),
            issuer: issuer.url.clone(),
            subject: "worker".to_owned(),
            max_effect: None,
            psa_user: None,
            active: true,
        };
        store.add_agent("acme", &agent).await.unwrap();
        let roster = Roster::open(store.clone(), "acme", Effect::Read).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let networks = vec!["127.0.0.0/8".parse().unwrap()];
        let config = IdpConfig { allow_private_networks: networks, ..IdpConfig::default() };
        let idp = idp::open(&config, metrics.clone(), Clock::System).unwrap();
        let authenticator = Authenticator::new(idp, roster, Clock::System, metrics.clone());
        Self { issuer, authenticator, metrics, store, _folder: folder }
    }

    /// What becomes of `token` on a connection whose certificate has a digest of all `byte`s.
    async fn judge(&self, token: &str, byte: Option<u8>) -> &'static str {
        let bearer = Bearer::Token(Secret::new(token));
        let resource = Resource::new("https://gate.example", "/api/mcp");
        let judged = self.authenticator.authenticate(&bearer, byte.map(|byte| [byte; 32]), &resource).await;
        judged.map_or_else(|turned| turned.fault.label(), |_| "admitted")
    }

    fn token(&self, more: Value) -> String {
        self.issuer.token("worker", RESOURCE, more)
    }

    fn hits(&self) -> u64 {
        self.metrics.token_cache.with_label_values(&["hit"]).get()
    }
}

fn row(issuer: &Issuer, require_bound_tokens: bool) -> IssuerRow {
    IssuerRow {
        issuer: issuer.url.clone(),
        jwks_uri: None,
        audiences: Vec::new(),
        subject_claim: "sub".to_owned(),
        max_age: None,
        leeway: 60,
        required_scopes: Default::default(),
        require_bound_tokens,
        managed_by: ManagedBy::Admin,
        active: true,
    }
}

fn bound_to(byte: u8) -> Value {
    json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([byte; 32])}})
}

#[tokio::test]
async fn a_bound_token_that_was_verified_before_is_refused_on_every_other_connection() {
    let door = Door::open(false).await;
    let token = door.token(bound_to(7));
    assert_eq!(door.judge(&token, None).await, "certificate_missing");
    assert_eq!(door.judge(&token, Some(7)).await, "admitted");
    assert_eq!(door.judge(&token, None).await, "certificate_missing");
    assert_eq!(door.judge(&token, Some(8)).await, "certificate_mismatch");
    assert_eq!(door.judge(&token, Some(7)).await, "admitted");
    assert_eq!(door.hits(), 4, "all but the first came from the cache");
}

#[tokio::test]
async fn an_issuer_that_requires_bound_tokens_has_its_others_refused_from_the_moment_it_does() {
    let door = Door::open(false).await;
    let (plain, bound) = (door.token(json!({})), door.token(bound_to(7)));
    assert_eq!(door.judge(&plain, Some(7)).await, "admitted");
    assert_eq!(door.judge(&bound, Some(7)).await, "admitted");
    door.store.put_issuer("acme", &row(&door.issuer, true)).await.unwrap();
    tokio::time::sleep(sidegate::gate::MAX_STALENESS).await;
    assert_eq!(door.judge(&plain, None).await, "unbound_token");
    assert_eq!(door.judge(&plain, Some(7)).await, "unbound_token");
    assert_eq!(door.judge(&bound, Some(7)).await, "admitted");
    assert_eq!(door.judge(&bound, None).await, "certificate_missing");
}

/// A whole Sidegate that trusts `issuer` under these lines of its configuration.
async fn world(issuer: &Issuer, lines: &str) -> World {
    let agents = vec![("worker", "worker".to_owned(), "technician")];
    let trusted = Some(Trusted { issuer: &issuer.url, agents });
    World::of(Plan { issuer: lines, trusted, ..Plan::default() }).await
}

#[tokio::test]
async fn over_a_connection_without_a_certificate_a_bound_token_is_told_what_is_wrong() {
    let issuer = Issuer::start().await;
    let world = world(&issuer, "").await;
    let (body, headers) = modern("tools/list", json!({}));
    for (claims, reason, told) in [
        (
            bound_to(7),
            "certificate_missing",
            "the token is bound to a TLS client certificate (`cnf`) and this connection has shown none; connect with it",
        ),
        (
            json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}),
            "confirmation",
            "the token's `cnf` has `jkt`: it asks for DPoP (RFC 9449), which is not supported; \
             supported is `x5t#S256` alone, a TLS client certificate (RFC 8705)",
        ),
    ] {
        let token = issuer.token("worker", &world.mcp_url, claims);
        // Twice: the second time it may be remembered.
        for _ in 0..2 {
            let answer = world.post(Some(&token), body.to_string(), &headers).await;
            assert_eq!(answer.status, 401);
            let expected = format!(
                "Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/api/mcp\", \
                 error=\"invalid_token\", error_description=\"{told}\"",
                world.base
            );
            assert_eq!(answer.header("www-authenticate"), expected);
        }
        let line = format!("sidegate_auth_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(world.metric(&line).await, 2.0);
    }
    let records = world.records(4).await;
    assert!(
        records.iter().all(|record| record["subject"] == "worker" && record["agent"].is_null()),
        "{records:#?}"
    );
}

#[tokio::test]
async fn dpop_is_refused_by_name_whether_as_a_scheme_or_as_a_proof_beside_a_bearer() {
    let issuer = Issuer::start().await;
    let world = world(&issuer, "").await;
    let token = issuer.token("worker", &world.mcp_url, json!({}));
    let (body, mut headers) = modern("tools/list", json!({}));
    assert_eq!(world.post(Some(&token), body.to_string(), &headers).await.status, 200);
    let proof = ("dpop", "eyJ0eXAiOiJkcG9wK2p3dCJ9.e30.AAAA".to_owned());
    let schemes = [
        (None, vec![("authorization", format!("DPoP {token}"))]),
        (None, vec![("authorization", format!("dpop {token}")), proof.clone()]),
        (Some(token.as_str()), vec![proof.clone()]),
        (Some(token.as_str()), vec![("dpop", String::new())]),
    ];
    for (bearer, more) in schemes {
        headers.truncate(2);
        headers.extend(more);
        let answer = world.post(bearer, body.to_string(), &headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer resource_metadata="), "{challenge}");
        let told = "error=\"invalid_token\", error_description=\"DPoP is not supported; send the token as \
                    `Authorization: Bearer` without a DPoP header, bound to a TLS client certificate (RFC 8705) \
                    if to anything\"";
        assert!(challenge.ends_with(told), "{challenge}");
    }
    assert_eq!(world.metric("sidegate_auth_refusals_total{reason=\"dpop\"}").await, 4.0);
    let records = world.records(5).await;
    assert!(
        records[1..].iter().all(|record| record["subject"].is_null()),
        "nothing was verified: {records:#?}"
    );
}

#[tokio::test]
async fn a_bound_token_is_explained() {
    let issuer = Issuer::start().await;
    let world = world(&issuer, "require_bound_tokens = true").await;
    let config = config::load(Some(&world.config_file), std::iter::empty()).unwrap();
    let admin = app::admin(&config, Clock::System).await.unwrap();
    let explain = async |claims: Value| {
        let token = issuer.token("worker", &world.mcp_url, claims);
        let told = admin.explain(&token, &app::resource(&config)).await.unwrap();
        let step = told.steps.iter().find(|step| step.check == "confirmation");
        (told.accepted, told.reason, step.map(|step| step.passed))
    };
    assert_eq!(explain(bound_to(7)).await, (true, None, Some(true)));
    assert_eq!(explain(json!({})).await, (false, Some("unbound_token"), Some(false)));
    assert_eq!(explain(json!({"cnf": {"jkt": "a"}})).await, (false, Some("confirmation"), None));
}
