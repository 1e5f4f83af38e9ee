//! Tokens that are bound to a key of their holder: a TLS client certificate is taken as proof,
//! everything else is refused by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::Actor;
use sidegate::gate::admin::Admin;
use sidegate::gate::{
    Authenticator, Bearer, Defaults, Endpoint, Head, Kind, MAX_STALENESS, Method, Outgoing, Pulse, Refusal,
    Roster, Wire,
};
use sidegate::identity::metadata::Resource;
use sidegate::identity::preset::{Hosted, ProviderSpec};
use sidegate::identity::trust::TrustedIssuer;
use sidegate::idp::{self, IdpConfig};
use sidegate::metrics::Metrics;
use sidegate::secret::Secret;
use sidegate::store::{IssuerRow, NewAgent, Store, StoreConfig};
use sidegate::tool::effect::Effect;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::support::http::modern;
use crate::support::issuer::Issuer;
use crate::support::plan::{Plan, Trusted};
use crate::support::wire::{Tls, answer};
use crate::support::world::World;

/// The agents of `acme`, followed by nobody.
async fn roster(store: &Store) -> Arc<Roster> {
    let pulse = Pulse::open(store.clone()).await.unwrap();
    let defaults = Defaults { max_effect: Effect::Read, hosted: Hosted::default() };
    Roster::open(pulse, store.clone(), "acme", defaults).await.unwrap()
}

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
        let store = Store::open(&StoreConfig::at(url), Clock::System).await.unwrap();
        store.ensure_tenant("acme", "Acme").await.unwrap();
        store.put_issuer("acme", &row(&issuer, require_bound_tokens)).await.unwrap();
        store.add_agent("acme", &worker(&issuer)).await.unwrap();
        let roster = roster(&store).await;
        let metrics = Arc::new(Metrics::new());
        let networks = vec!["127.0.0.0/8".parse().unwrap()];
        let config = IdpConfig { allow_private_networks: networks, ..IdpConfig::default() };
        let idp = idp::open(&config, Default::default(), metrics.clone(), Clock::System).unwrap();
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

fn trusted(issuer: &Issuer, require_bound_tokens: bool) -> TrustedIssuer {
    TrustedIssuer { issuer: issuer.url.clone(), require_bound_tokens, ..TrustedIssuer::default() }
}

fn row(issuer: &Issuer, require_bound_tokens: bool) -> IssuerRow {
    let trusted = trusted(issuer, require_bound_tokens);
    IssuerRow {
        issuer: trusted.issuer,
        jwks_uri: trusted.jwks_uri,
        audiences: trusted.audiences,
        subject_claim: trusted.subject_claim,
        max_age: trusted.max_age,
        leeway: trusted.leeway,
        required_scopes: trusted.required_scopes,
        require_bound_tokens,
        ..IssuerRow::default()
    }
}

/// The agent that the issuer's subject `worker` is.
fn worker(issuer: &Issuer) -> NewAgent {
    NewAgent {
        name: "worker".to_owned(),
        issuer: issuer.url.clone(),
        subject: "worker".to_owned(),
        ..NewAgent::default()
    }
}

fn bound_to(byte: u8) -> Value {
    json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([byte; 32])}})
}

fn wire() -> Wire {
    Wire { gone: CancellationToken::new(), hold: Arc::new(()) }
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
    tokio::time::sleep(MAX_STALENESS).await;
    assert_eq!(door.judge(&plain, None).await, "unbound_token");
    assert_eq!(door.judge(&plain, Some(7)).await, "unbound_token");
    assert_eq!(door.judge(&bound, Some(7)).await, "admitted");
    assert_eq!(door.judge(&bound, None).await, "certificate_missing");
}

/// A whole Sidegate that trusts `issuer` and nobody else.
async fn world(issuer: &Issuer) -> World {
    let agents = vec![("worker", "worker".to_owned(), "technician")];
    let trusted = Some(Trusted { issuer: &issuer.url, agents });
    World::of(Plan { trusted, ..Plan::default() }).await
}

#[tokio::test]
async fn over_a_connection_without_a_certificate_a_bound_token_is_told_what_is_wrong() {
    let issuer = Issuer::start().await;
    let world = world(&issuer).await;
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
    let world = world(&issuer).await;
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

/// A running Sidegate, and an issuer and its agent that an administrator added to it.
struct Site {
    issuer: Issuer,
    world: World,
    admin: Admin,
}

impl Site {
    async fn new() -> Self {
        let (issuer, world) = (Issuer::start().await, World::start().await);
        let config = config::load(Some(&world.config_file), std::iter::empty()).unwrap();
        let admin = app::admin(&config, Clock::System, None).await.unwrap();
        admin
            .add_provider(&Actor::command_line(), &ProviderSpec::of(&trusted(&issuer, false)), true)
            .await
            .unwrap();
        admin.store.add_agent("demo", &worker(&issuer)).await.unwrap();
        tokio::time::sleep(MAX_STALENESS).await;
        Self { issuer, world, admin }
    }

    fn token(&self, more: Value) -> String {
        self.issuer.token("worker", &self.world.mcp_url, more)
    }

    /// The head of a request with `token` on a connection whose certificate has a digest of all `byte`s.
    fn head(&self, token: &str, byte: Option<u8>) -> Box<Head> {
        let (_, headers) = modern("tools/list", json!({}));
        let header =
            |name: &str| headers.iter().find(|(have, _)| *have == name).map(|(_, value)| value.clone());
        Box::new(Head {
            request_id: self.world.gate.name(),
            scheme: "http",
            host: self.world.base.strip_prefix("http://").map(str::to_owned),
            prefix: String::new(),
            origin: None,
            bearer: Bearer::Token(Secret::new(token)),
            endpoint: Endpoint { kind: Kind::Streamable, resource: 0 },
            method: Method::Post,
            accept: None,
            in_pieces: true,
            session: None,
            stream: None,
            last_event: None,
            known: None,
            content_type: Some("application/json".to_owned()),
            content_encoding: None,
            protocol_version: header("mcp-protocol-version"),
            mcp_method: header("mcp-method"),
            mcp_name: None,
            client_address: None,
            traceparent: None,
            tracestate: None,
            user_agent: None,
            client_certificate: byte.map(|byte| [byte; 32]),
        })
    }
}

#[tokio::test]
async fn each_request_is_let_in_by_the_certificate_of_its_own_connection() {
    let site = Site::new().await;
    let gate = &site.world.gate;
    let token = site.token(bound_to(7));
    for _ in 0..2 {
        let admission = gate.admit(site.head(&token, Some(7))).await.unwrap();
        let (body, _) = modern("tools/list", json!({}));
        let answer = gate.answer(admission, body.to_string().as_bytes(), wire()).await;
        assert!(matches!(answer, Outgoing::Answer { status: 200, .. }), "{answer:?}");
        for (byte, told) in [(None, "has shown none"), (Some(8), "does not match")] {
            let refused = gate.admit(site.head(&token, byte)).await.err();
            let Some(Refusal::Unauthorized { challenge, code, message }) = refused else {
                panic!("let in, or refused otherwise: {refused:?}");
            };
            assert!(code == Some("invalid_token") && message.contains(told), "{message}");
            assert!(challenge.starts_with("Bearer ") && !challenge.contains("BwcH"), "{challenge}");
        }
    }
}

#[tokio::test]
async fn a_token_that_must_be_bound_by_the_time_its_body_has_arrived_is_refused_then() {
    let site = Site::new().await;
    let gate = &site.world.gate;
    let (plain, bound) = (site.token(json!({})), site.token(bound_to(7)));
    let let_in = gate.admit(site.head(&plain, None)).await.unwrap();
    let with_proof = gate.admit(site.head(&bound, Some(7))).await.unwrap();
    site.admin
        .add_provider(&Actor::command_line(), &ProviderSpec::of(&trusted(&site.issuer, true)), true)
        .await
        .unwrap();
    tokio::time::sleep(MAX_STALENESS).await;
    let (body, _) = modern("tools/list", json!({}));
    let body = body.to_string();
    let refused = gate.answer(let_in, body.as_bytes(), wire()).await;
    assert!(matches!(refused, Outgoing::Refused(Refusal::Unauthorized { .. })), "{refused:?}");
    let answered = gate.answer(with_proof, body.as_bytes(), wire()).await;
    assert!(matches!(answered, Outgoing::Answer { status: 200, .. }), "{answered:?}");
}

/// An authority of clients, with a certificate and a key of its making in files.
fn certified(folder: &Path) -> [PathBuf; 3] {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "The clients'");
    let ca = params.self_signed(&key).unwrap().pem();
    let authority = rcgen::Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["worker".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    [("ca.pem", ca), ("own.crt", own.pem()), ("own.key", key.serialize_pem())].map(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    })
}

#[tokio::test]
async fn over_tls_a_token_is_taken_from_the_client_whose_certificate_it_is_bound_to_and_from_no_other() {
    let issuer = Issuer::start().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ca, certificate, key] = certified(folders[0].path());
    let [other_ca, other_certificate, other_key] = certified(folders[1].path());
    // Both authorities are accepted: which of the clients it is, only the binding tells.
    let both = [&ca, &other_ca].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    std::fs::write(&ca, both).unwrap();
    let server = format!("client_certificates = \"optional\"\nclient_ca_file = \"{}\"", ca.display());
    let agents = vec![("worker", "worker".to_owned(), "technician")];
    let trusted = Some(Trusted { issuer: &issuer.url, agents });
    let lines = "require_bound_tokens = true";
    let world =
        World::of(Plan { tls: true, server: &server, issuer: lines, trusted, ..Plan::default() }).await;
    let authority = world.base.trim_start_matches("https://").to_owned();
    let port = authority.rsplit_once(':').unwrap().1.parse().unwrap();
    let digest = Sha256::digest(CertificateDer::from_pem_file(&certificate).unwrap());
    let bound = json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(digest)}});
    let bound = issuer.token("worker", &world.mcp_url, bound);
    let plain = issuer.token("worker", &world.mcp_url, json!({}));
    let (body, headers) = modern("tools/list", json!({}));
    let own = Some((certificate.as_path(), key.as_path()));
    let other = Some((other_certificate.as_path(), other_key.as_path()));
    for (shown, token, expected) in [
        (own, &bound, 200),
        (None, &bound, 401),
        (other, &bound, 401),
        (own, &bound, 200),
        (own, &plain, 401),
        (None, &plain, 401),
    ] {
        let mut stream = Tls::trusting(&world.ca_file(), shown, "http/1.1").connect(port).await.unwrap();
        let mut text = format!(
            "POST /api/mcp HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n",
            body.to_string().len()
        );
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.unwrap();
        let (status, said) = answer(&mut stream).await.unwrap();
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&said));
    }
    for (reason, count) in
        [("certificate_missing", 1.0), ("certificate_mismatch", 1.0), ("unbound_token", 2.0)]
    {
        let line = format!("sidegate_auth_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(world.metric(&line).await, count, "{reason}");
    }
}

#[tokio::test]
async fn a_bound_token_is_explained() {
    let site = Site::new().await;
    site.admin
        .add_provider(&Actor::command_line(), &ProviderSpec::of(&trusted(&site.issuer, true)), true)
        .await
        .unwrap();
    let resource = Resource::new(&site.world.base, "/api/mcp");
    let explain = async |claims: Value| {
        let told = site.admin.explain(&site.token(claims), &resource).await.unwrap();
        let step = told.steps.iter().find(|step| step.check == "confirmation");
        (told.accepted, told.reason, step.map(|step| step.passed))
    };
    assert_eq!(explain(bound_to(7)).await, (true, None, Some(true)));
    assert_eq!(explain(json!({})).await, (false, Some("unbound_token"), Some(false)));
    assert_eq!(explain(json!({"cnf": {"jkt": "a"}})).await, (false, Some("confirmation"), None));
}
