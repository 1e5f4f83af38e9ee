//! The door to identity providers against a small issuer on loopback. Time is a clock that the test moves.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sidegate::clock::Clock;
use sidegate::identity::token::peek;
use sidegate::identity::trust::TrustedIssuer;
use sidegate::idp::{self, Idp, IdpConfig, IdpError, KeySet};
use sidegate::metrics::Metrics;
use sidegate::outbound::Transport;
use sidegate::units::Span;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// What the issuer's addresses answer.
#[derive(Clone)]
enum Answer {
    Json(Value),
    Status(u16),
    Redirect(String),
    Body(Vec<u8>),
}

/// An issuer whose answers the test changes while it runs.
struct Issuer {
    url: String,
    openid: Mutex<Answer>,
    oauth: Mutex<Answer>,
    jwks: Mutex<Answer>,
    fetches: AtomicUsize,
    /// One permit lets one fetch of the keys through; closed means all pass.
    gate: Semaphore,
}

impl Issuer {
    /// An issuer that answers at once.
    async fn start() -> Arc<Self> {
        let issuer = Self::start_gated().await;
        issuer.gate.close();
        issuer
    }

    /// An issuer whose key set waits for a permit at each fetch.
    async fn start_gated() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
        let issuer = Arc::new(Self {
            openid: Mutex::new(Answer::Json(metadata)),
            oauth: Mutex::new(Answer::Status(404)),
            jwks: Mutex::new(Answer::Json(keys(&["k1"]))),
            fetches: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            url,
        });
        let router = Router::new()
            .route("/.well-known/{document}", get(metadata_document))
            .route("/jwks", get(key_set))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }

    fn publishes(&self, ids: &[&str]) {
        *self.jwks.lock() = Answer::Json(keys(ids));
    }

    fn breaks(&self) {
        *self.jwks.lock() = Answer::Status(503);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn trusted(&self) -> TrustedIssuer {
        TrustedIssuer { issuer: self.url.clone(), leeway: 30, ..TrustedIssuer::default() }
    }
}

async fn metadata_document(State(issuer): State<Arc<Issuer>>, Path(document): Path<String>) -> Response {
    let answer = match document.as_str() {
        "openid-configuration" => issuer.openid.lock().clone(),
        _ => issuer.oauth.lock().clone(),
    };
    answer.into_response()
}

async fn key_set(State(issuer): State<Arc<Issuer>>) -> Response {
    issuer.fetches.fetch_add(1, Ordering::SeqCst);
    if let Ok(permit) = issuer.gate.acquire().await {
        permit.forget();
    }
    let answer = issuer.jwks.lock().clone();
    answer.into_response()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(value) => axum::Json(value).into_response(),
            Self::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Self::Redirect(to) => Redirect::temporary(&to).into_response(),
            Self::Body(bytes) => bytes.into_response(),
        }
    }
}

fn keys(ids: &[&str]) -> Value {
    let keys: Vec<Value> = ids
        .iter()
        .map(|id| {
            let pair = Ed25519KeyPair::generate().unwrap();
            json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(pair.public_key())})
        })
        .collect();
    json!({ "keys": keys })
}

/// The door with a clock and metrics of its own; loopback is allowed.
struct World {
    door: Arc<dyn Idp>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

fn config() -> IdpConfig {
    IdpConfig {
        allow_private_networks: vec!["127.0.0.0/8".parse().unwrap()],
        timeout: Span::seconds(20),
        ..IdpConfig::default()
    }
}

fn world(config: IdpConfig) -> World {
    let clock = Clock::manual(1_800_000_000_000);
    let metrics = Arc::new(Metrics::new());
    World {
        door: idp::open(&config, BTreeMap::new(), metrics.clone(), clock.clone()).unwrap(),
        clock,
        metrics,
    }
}

impl World {
    async fn keys(&self, issuer: &Issuer, key_id: &str) -> Result<Arc<KeySet>, IdpError> {
        self.door.keys(&issuer.trusted(), Some(key_id)).await
    }

    /// True where the door has a key of that id.
    async fn knows(&self, issuer: &Issuer, key_id: &str) -> bool {
        let set = self.keys(issuer, key_id).await.unwrap();
        has(&set, key_id)
    }

    fn refreshes(&self, outcome: &str) -> u64 {
        self.metrics.jwks_refreshes.with_label_values(&[outcome]).get()
    }
}

fn has(set: &KeySet, key_id: &str) -> bool {
    !set.candidates(&peek(&token_of(key_id)).unwrap()).is_empty()
}

fn token_of(key_id: &str) -> String {
    let [header, payload] = [json!({"alg": "EdDSA", "kid": key_id}), json!({"iss": "x"})]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{payload}.AAAA")
}

#[tokio::test]
async fn fifty_callers_at_once_cause_one_fetch() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    let asking = (0..50).map(|_| world.knows(&issuer, "k1"));
    assert!(futures_util::future::join_all(asking).await.into_iter().all(|known| known));
    assert_eq!((issuer.fetches(), world.refreshes("ok")), (1, 1));
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_take_the_fetch_along() {
    let issuer = Issuer::start_gated().await;
    let world = world(config());
    let trusted = issuer.trusted();
    let leaving = tokio::spawn({
        let (door, trusted) = (world.door.clone(), trusted.clone());
        async move { door.keys(&trusted, Some("k1")).await }
    });
    while issuer.fetches() == 0 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    issuer.gate.add_permits(1);
    assert!(world.knows(&issuer, "k1").await);
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn fresh_keys_are_not_fetched_again_and_old_ones_are() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    assert!(world.knows(&issuer, "k1").await);
    world.clock.advance(10 * MINUTE - 1);
    assert!(world.knows(&issuer, "k1").await);
    assert_eq!(issuer.fetches(), 1);
    world.clock.advance(1);
    assert!(world.knows(&issuer, "k1").await);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_rotated_key_is_found_at_once_and_a_flood_of_unknown_ids_is_not_followed() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    assert!(world.knows(&issuer, "k1").await);
    issuer.publishes(&["k1", "k2"]);
    assert!(world.knows(&issuer, "k2").await);
    assert_eq!(issuer.fetches(), 2);
    for number in 0..200 {
        assert!(!world.knows(&issuer, &format!("made-up-{number}")).await);
    }
    assert_eq!(issuer.fetches(), 2);
    world.clock.advance(30 * SECOND);
    let asking = (0..50).map(|_| world.knows(&issuer, "made-up"));
    assert!(futures_util::future::join_all(asking).await.into_iter().all(|known| !known));
    assert_eq!(issuer.fetches(), 3);
}

#[tokio::test]
async fn all_who_wait_for_a_rotated_key_get_it() {
    let issuer = Issuer::start_gated().await;
    let world = world(config());
    issuer.gate.add_permits(1);
    assert!(world.knows(&issuer, "k1").await);
    issuer.publishes(&["k2"]);
    let asking = futures_util::future::join_all((0..20).map(|_| world.knows(&issuer, "k2")));
    issuer.gate.add_permits(1);
    assert!(asking.await.into_iter().all(|known| known));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_vanished_is_refused_from_the_refresh_on_that_lacks_it() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    assert!(world.knows(&issuer, "k1").await);
    issuer.publishes(&["k2"]);
    assert!(world.knows(&issuer, "k1").await, "nobody has asked the issuer yet");
    assert!(world.knows(&issuer, "k2").await);
    assert!(!world.knows(&issuer, "k1").await);
}

#[tokio::test]
async fn the_last_good_keys_outlive_an_outage_for_a_day_and_no_longer() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    assert!(world.knows(&issuer, "k1").await);
    issuer.breaks();
    for _ in 0..23 {
        world.clock.advance(60 * MINUTE);
        assert!(world.knows(&issuer, "k1").await);
    }
    world.clock.advance(60 * MINUTE);
    let gone = world.keys(&issuer, "k1").await;
    assert!(matches!(gone, Err(IdpError::Status { status: 503, .. })), "{gone:?}");
    issuer.publishes(&["k1"]);
    world.clock.advance(30 * SECOND);
    assert!(world.knows(&issuer, "k1").await);
}

#[tokio::test]
async fn in_an_outage_nobody_with_a_known_key_waits_for_the_issuer() {
    let issuer = Issuer::start_gated().await;
    let world = world(config());
    issuer.gate.add_permits(2);
    assert!(world.knows(&issuer, "k1").await);
    issuer.breaks();
    world.clock.advance(10 * MINUTE);
    assert!(world.knows(&issuer, "k1").await, "the first to find it out waits once");
    world.clock.advance(30 * SECOND);
    assert!(world.knows(&issuer, "k1").await);
    // The gate is shut: an answer that had waited for the third fetch would have seen it fail.
    assert_eq!((world.refreshes("ok"), world.refreshes("error")), (1, 1));
}

#[tokio::test]
async fn a_failed_first_fetch_is_not_repeated_within_the_interval() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    issuer.breaks();
    for _ in 0..20 {
        assert!(world.keys(&issuer, "k1").await.is_err());
    }
    assert_eq!((issuer.fetches(), world.refreshes("error")), (1, 1));
    issuer.publishes(&["k1"]);
    world.clock.advance(30 * SECOND);
    assert!(world.knows(&issuer, "k1").await);
}

#[tokio::test]
async fn an_emptied_set_ends_every_key() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    assert!(world.knows(&issuer, "k1").await);
    issuer.publishes(&[]);
    world.clock.advance(10 * MINUTE);
    assert!(!world.knows(&issuer, "k1").await);
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_no_more_than_the_timeout() {
    let issuer = Issuer::start_gated().await;
    let world = world(IdpConfig { timeout: Span::millis(150), ..config() });
    let late = world.keys(&issuer, "k1").await;
    assert!(matches!(late, Err(IdpError::Deadline | IdpError::Unavailable { .. })), "{late:?}");
}

#[tokio::test]
async fn metadata_is_also_found_where_rfc_8414_puts_it() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    let metadata = issuer.openid.lock().clone();
    *issuer.oauth.lock() = metadata;
    for page in [Answer::Status(404), Answer::Body(b"<html>welcome</html>".to_vec())] {
        *issuer.openid.lock() = page;
        let found = world.door.probe(&issuer.trusted()).await.unwrap();
        assert_eq!((found.jwks_uri, found.keys), (format!("{}/jwks", issuer.url), 1));
        assert_eq!(found.algorithms, ["EdDSA"]);
    }
}

#[tokio::test]
async fn a_configured_jwks_uri_needs_no_discovery() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    *issuer.openid.lock() = Answer::Status(404);
    let trusted = TrustedIssuer { jwks_uri: Some(format!("{}/jwks", issuer.url)), ..issuer.trusted() };
    assert!(world.door.keys(&trusted, Some("k1")).await.is_ok());
}

#[tokio::test]
async fn another_configured_jwks_uri_is_another_set() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    assert!(world.knows(&issuer, "k1").await);
    let moved = TrustedIssuer { jwks_uri: Some(format!("{}/nowhere", issuer.url)), ..issuer.trusted() };
    assert!(world.door.keys(&moved, Some("k1")).await.is_err());
}

#[tokio::test]
async fn whoever_else_trusts_an_issuer_by_keys_of_his_own_gets_those_and_nobody_elses() {
    let (issuer, squatter, world) = (Issuer::start().await, Issuer::start().await, world(config()));
    *squatter.jwks.lock() = Answer::Json(keys(&["forged"]));
    let posing = TrustedIssuer { jwks_uri: Some(format!("{}/jwks", squatter.url)), ..issuer.trusted() };
    // In both orders, and again from the cache.
    for _ in 0..2 {
        assert!(has(&world.door.keys(&posing, Some("forged")).await.unwrap(), "forged"));
        let honest = world.door.keys(&issuer.trusted(), Some("k1")).await.unwrap();
        assert!(has(&honest, "k1") && !has(&honest, "forged"));
    }
    assert_eq!((issuer.fetches(), squatter.fetches()), (1, 1));
}

#[tokio::test]
async fn weakness_17_discovery_is_asked_again_and_keys_that_are_withdrawn_verify_nothing() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    let moved = Issuer::start().await;
    *moved.jwks.lock() = Answer::Json(keys(&["k2"]));
    assert!(world.knows(&issuer, "k1").await);
    // The issuer moves its keys and withdraws the old one.
    *issuer.openid.lock() =
        Answer::Json(json!({"issuer": issuer.url, "jwks_uri": format!("{}/jwks", moved.url)}));
    world.clock.advance(Span::seconds(601).as_millis());
    assert!(world.knows(&issuer, "k2").await);
    assert!(!world.knows(&issuer, "k1").await);
}

#[tokio::test]
async fn weakness_17_the_keys_of_no_more_than_a_thousand_sources_are_kept() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    let ask = async |number: usize| {
        let jwks_uri = Some(format!("{}/jwks?{number}", issuer.url));
        let trusted = TrustedIssuer { jwks_uri, ..issuer.trusted() };
        world.door.keys(&trusted, Some("k1")).await.unwrap();
    };
    for number in 0..1_200 {
        ask(number).await;
    }
    ask(1_199).await;
    assert_eq!(issuer.fetches(), 1_200, "the latest is kept");
    ask(0).await;
    assert_eq!(issuer.fetches(), 1_201, "the oldest had to go");
}

#[tokio::test]
async fn metadata_that_speaks_for_another_issuer_is_refused() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    for said in [format!("{}/", issuer.url), issuer.url.to_uppercase(), "https://idp.example".to_owned()] {
        *issuer.openid.lock() =
            Answer::Json(json!({"issuer": said, "jwks_uri": format!("{}/jwks", issuer.url)}));
        let refused = world.door.probe(&issuer.trusted()).await;
        assert!(matches!(refused, Err(IdpError::OtherIssuer { .. })), "{refused:?}");
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed_at_either_step() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    let right_place = Answer::Redirect(format!("{}/jwks", issuer.url));
    *issuer.jwks.lock() = right_place.clone();
    let refused = world.door.probe(&issuer.trusted()).await;
    assert!(matches!(refused, Err(IdpError::Status { status: 307, .. })), "{refused:?}");
    assert_eq!(issuer.fetches(), 1);
    *issuer.openid.lock() = right_place;
    assert!(world.door.probe(&issuer.trusted()).await.is_err());
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_key_set_that_is_too_large_or_none_at_all_is_refused() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    let many: Vec<String> = (0..65).map(|number| format!("k{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for answer in [
        Answer::Body(vec![b' '; 256 * 1024 + 1]),
        Answer::Body(b"no keys here".to_vec()),
        Answer::Json(json!({"keys": []})),
        Answer::Json(json!({"keys": [{"kty": "oct", "k": "AAAA"}]})),
        Answer::Json(keys(&many)),
    ] {
        *issuer.jwks.lock() = answer;
        assert!(world.door.probe(&issuer.trusted()).await.is_err());
    }
}

#[tokio::test]
async fn loopback_is_out_of_reach_where_no_private_network_is_allowed() {
    let (issuer, world) =
        (Issuer::start().await, world(IdpConfig { allow_private_networks: vec![], ..config() }));
    let by_name = issuer.url.replace("127.0.0.1", "localhost");
    for url in [issuer.url.clone(), by_name] {
        let trusted = TrustedIssuer { issuer: url, ..issuer.trusted() };
        for refused in
            [world.door.keys(&trusted, None).await.map(|_| ()), world.door.probe(&trusted).await.map(|_| ())]
        {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("allow_private_networks"), "{text}");
        }
    }
}

#[tokio::test]
async fn an_issuer_cannot_point_its_keys_at_an_address_that_is_out_of_reach() {
    let (issuer, world) = (Issuer::start().await, world(config()));
    for target in
        ["http://169.254.169.254/keys", "https://10.0.0.1/keys", "http://1.1.1.1/keys", "file:///etc/passwd"]
    {
        *issuer.openid.lock() = Answer::Json(json!({"issuer": issuer.url, "jwks_uri": target}));
        let refused = world.door.probe(&issuer.trusted()).await.unwrap_err();
        let named = matches!(refused, IdpError::Unavailable { .. } | IdpError::Address(_));
        assert!(named && refused.to_string().contains(target), "{refused}");
    }
}

/// A key set behind TLS, under the name `idp.internal`, and the PEM of its certificate.
fn behind_tls() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["idp.internal".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let body = keys(&["k1"]).to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                let _ = stream.write_all((head + &body).as_bytes());
            }
        }
    });
    (url, made.cert.pem())
}

#[tokio::test]
async fn an_issuer_is_reached_the_way_that_is_its_own_and_the_guard_still_judges_it() {
    let (url, pem) = behind_tls();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), pem).unwrap();
    let named = Transport { server_name: Some("idp.internal".to_owned()), ..Transport::default() };
    let own = Transport { ca_file: Some(ca.path().to_owned()), ..named.clone() };
    let for_all = IdpConfig { ca_file: own.ca_file.clone(), ..config() };
    let trusted = TrustedIssuer {
        issuer: url.clone(),
        jwks_uri: Some(format!("{url}/jwks")),
        leeway: 30,
        ..TrustedIssuer::default()
    };
    let door = |config: &IdpConfig, at: &str, way: &Transport| {
        let source = idp::source(&TrustedIssuer { issuer: at.to_owned(), ..trusted.clone() });
        let ways = BTreeMap::from([(source, way.clone())]);
        idp::open(config, ways, Arc::new(Metrics::new()), Clock::System).unwrap()
    };
    let reached = |door: Arc<dyn Idp>| {
        let trusted = trusted.clone();
        async move { door.probe(&trusted).await }
    };
    let good = door(&config(), &url, &own);
    assert_eq!(good.reload(), Ok(()));
    assert_eq!(reached(good.clone()).await.unwrap().keys, 1);
    assert_eq!(reached(door(&for_all, &url, &named)).await.unwrap().keys, 1, "idp.ca_file is the default");
    assert!(reached(door(&config(), &url, &named)).await.is_err(), "nobody vouches for it");
    assert!(reached(door(&config(), "https://other.example", &own)).await.is_err(), "another's way");
    // The same `iss` with its keys elsewhere is another tenant's, say: it gets none of the file's trust.
    let elsewhere = TrustedIssuer { jwks_uri: Some(format!("{url}/other")), ..trusted.clone() };
    assert!(good.keys(&elsewhere, None).await.is_err(), "a way is to one source of keys");
    let strict = IdpConfig { allow_private_networks: vec![], ..config() };
    let socket = Transport { unix_socket: Some("/tmp/idp.sock".into()), ..own };
    assert!(reached(door(&strict, &url, &socket)).await.is_err(), "no way round the guard");
    std::fs::write(ca.path(), "not a certificate").unwrap();
    assert!(matches!(good.reload(), Err(IdpError::Setup(_))));
    assert_eq!(reached(good).await.unwrap().keys, 1, "what was in use stays");
}
