//! The development issuer over its own socket.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::Url;

use super::issuer::{DemoClient, DemoIssuer};
use super::tests_psa::{Reply, http};
use crate::clock::Clock;
use crate::secret::Secret;

const RESOURCE: &str = "https://127.0.0.1:8443/api/mcp";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0123";
const CALLBACK: &str = "http://127.0.0.1:7777/callback";

async fn issuer() -> (DemoIssuer, Clock) {
    let clock = Clock::manual(1_790_000_000_000);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = |id: &str| DemoClient {
        client_id: id.to_owned(),
        client_secret: Secret::new(format!("{id}-s:cret+")),
    };
    let clients = vec![client("triage-bot"), client("reader-bot")];
    let issuer =
        DemoIssuer::start(listener, clock.clone(), clients, Duration::from_secs(43_200)).await.unwrap();
    issuer.allow_resource(RESOURCE);
    (issuer, clock)
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

async fn token(issuer: &DemoIssuer, pairs: &[(&str, &str)]) -> Reply {
    http(&issuer.issuer, "POST", "/token", &[FORM], &form(pairs)).await
}

/// The claims, verified against the published keys.
async fn verified(issuer: &DemoIssuer, token: &str) -> Result<Value, String> {
    let header = decode_header(token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::ES256, Some("at+jwt")));
    let keys: JwkSet =
        serde_json::from_value(http(&issuer.issuer, "GET", "/jwks", &[], "").await.json()).unwrap();
    let key = keys.find(&header.kid.unwrap()).ok_or("unpublished key")?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[RESOURCE]);
    rules.set_issuer(&[&issuer.issuer]);
    // The issuer's clock stands still in these tests.
    rules.validate_exp = false;
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    decode::<Value>(token, &key, &rules).map(|token| token.claims).map_err(|error| error.to_string())
}

#[tokio::test]
async fn client_credentials_give_a_token_that_verifies_against_the_published_keys() {
    let (issuer, clock) = issuer().await;
    let basic = BASE64_STANDARD.encode("triage-bot:triage-bot-s%3Acret%2B");
    let headers = [FORM, ("authorization", &*format!("Basic {basic}"))];
    let body = form(&[("grant_type", "client_credentials"), ("resource", RESOURCE)]);
    let by_header = http(&issuer.issuer, "POST", "/token", &headers, &body).await;
    let by_body = token(
        &issuer,
        &[
            ("grant_type", "client_credentials"),
            ("resource", RESOURCE),
            ("scope", "mcp"),
            ("client_id", "triage-bot"),
            ("client_secret", "triage-bot-s:cret+"),
        ],
    )
    .await;
    for answer in [&by_header, &by_body] {
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-store")),
            "{}",
            answer.text()
        );
        let body = answer.json();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(43_200)));
        let claims = verified(&issuer, body["access_token"].as_str().unwrap()).await.unwrap();
        assert_eq!(
            (&claims["sub"], &claims["client_id"], &claims["aud"]),
            (&json!("triage-bot"), &json!("triage-bot"), &json!(RESOURCE))
        );
        assert_eq!(claims["exp"].as_i64().unwrap(), clock.now_seconds() + 43_200);
        assert!(claims["jti"].is_string());
    }
    assert_eq!(by_body.json()["scope"], "mcp");
}

#[tokio::test]
async fn token_errors_are_those_of_the_rfcs() {
    let (issuer, _) = issuer().await;
    let id = ("client_id", "triage-bot");
    let secret = ("client_secret", "triage-bot-s:cret+");
    let grant = ("grant_type", "client_credentials");
    for (pairs, status, error) in [
        (vec![id, secret, ("resource", RESOURCE)], 400, "invalid_request"),
        (vec![("grant_type", "password"), id, secret], 400, "unsupported_grant_type"),
        (vec![grant, id, secret], 400, "invalid_target"),
        (vec![grant, id, secret, ("resource", "https://elsewhere.example/")], 400, "invalid_target"),
        (vec![grant, id, secret, ("resource", RESOURCE), ("resource", RESOURCE)], 400, "invalid_target"),
        (vec![grant, grant, id, secret], 400, "invalid_request"),
        (vec![grant, id, ("client_secret", "wrong"), ("resource", RESOURCE)], 401, "invalid_client"),
        (vec![grant, id, ("resource", RESOURCE)], 401, "invalid_client"),
        (vec![grant, ("client_id", "nobody"), secret, ("resource", RESOURCE)], 401, "invalid_client"),
    ] {
        let answer = token(&issuer, &pairs).await;
        assert_eq!((answer.status, answer.json()["error"].clone()), (status, json!(error)), "{pairs:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{pairs:?}");
    }
    let text =
        http(&issuer.issuer, "POST", "/token", &[("content-type", "text/plain")], "grant_type=x").await;
    assert_eq!(text.json()["error"], "invalid_request");
}

#[tokio::test]
async fn discovery_names_what_is_served_and_may_be_read_by_any_page() {
    let (issuer, _) = issuer().await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let answer = http(&issuer.issuer, "GET", path, &[("origin", "http://page.example")], "").await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let metadata = answer.json();
        assert_eq!(metadata["issuer"], issuer.issuer.as_str());
        assert_eq!(metadata["jwks_uri"], format!("{}/jwks", issuer.issuer));
        assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    }
    assert_eq!(http(&issuer.issuer, "OPTIONS", "/token", &[], "").await.status, 204);
}

#[tokio::test]
async fn an_old_key_stays_published_until_the_second_rotation() {
    let (issuer, _) = issuer().await;
    let old = issuer.token_for("reader-bot", RESOURCE).unwrap();
    issuer.rotate();
    assert!(verified(&issuer, old.expose()).await.is_ok());
    assert!(verified(&issuer, issuer.token_for("reader-bot", RESOURCE).unwrap().expose()).await.is_ok());
    issuer.rotate();
    assert_eq!(verified(&issuer, old.expose()).await, Err("unpublished key".to_owned()));
    assert!(issuer.token_for("nobody", RESOURCE).is_err() && issuer.token_for("reader-bot", "x").is_err());
}

/// A registered public client's authorization request.
async fn request(issuer: &DemoIssuer, more: &[(&str, &str)]) -> (String, String) {
    let body = json!({"redirect_uris": ["http://127.0.0.1/callback"], "client_name": "Desk"}).to_string();
    let registered =
        http(&issuer.issuer, "POST", "/register", &[("content-type", "application/json")], &body).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    let client = registered.json()["client_id"].as_str().unwrap().to_owned();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", CALLBACK),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
        ("state", "s t"),
    ];
    pairs.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    pairs.extend(more);
    (client.clone(), form(&pairs))
}

/// The parameters that the browser brings back to the client.
fn brought_back(answer: &Reply) -> Vec<(String, String)> {
    assert_eq!(answer.status, 302, "{}", answer.text());
    let url = Url::parse(answer.header("location").unwrap()).unwrap();
    assert!(url.as_str().starts_with(CALLBACK));
    url.query_pairs().into_owned().collect()
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    pairs.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value)
}

#[tokio::test]
async fn a_public_client_gets_a_token_through_the_page_and_its_code_works_once() {
    let (issuer, clock) = issuer().await;
    let (client, query) = request(&issuer, &[]).await;
    let page = http(&issuer.issuer, "GET", &format!("/authorize?{query}"), &[], "").await;
    assert!(page.status == 200 && page.text().contains("value=\"reader-bot\""), "{}", page.text());
    let clicked =
        http(&issuer.issuer, "POST", "/authorize", &[FORM], &format!("{query}&identity=reader-bot")).await;
    let back = brought_back(&clicked);
    assert_eq!((value(&back, "state"), value(&back, "iss")), ("s t", issuer.issuer.as_str()));
    let code = value(&back, "code").to_owned();
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("client_id", &client),
        ("code_verifier", VERIFIER),
        ("resource", RESOURCE),
    ];
    let first = token(&issuer, &exchange).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let claims = verified(&issuer, first.json()["access_token"].as_str().unwrap()).await.unwrap();
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("reader-bot"), &json!(client)));
    assert_eq!(token(&issuer, &exchange).await.json()["error"], "invalid_grant");

    for (name, wrong) in [
        ("code_verifier", "another-verifier-of-forty-three-characters-000"),
        ("redirect_uri", "http://127.0.0.1:1/callback"),
        ("late", ""),
    ] {
        let (client, query) = request(&issuer, &[("prompt", "none"), ("login_hint", "triage-bot")]).await;
        let back = brought_back(&http(&issuer.issuer, "GET", &format!("/authorize?{query}"), &[], "").await);
        let mut exchange = vec![
            ("grant_type", "authorization_code"),
            ("code", value(&back, "code")),
            ("redirect_uri", CALLBACK),
            ("client_id", &client),
            ("code_verifier", VERIFIER),
        ];
        exchange.retain(|(held, _)| *held != name);
        exchange.push((name, wrong));
        if name == "late" {
            clock.advance(60_000);
        }
        assert_eq!(token(&issuer, &exchange).await.json()["error"], "invalid_grant", "{name}");
    }
}

#[tokio::test]
async fn a_bad_authorization_request_goes_back_as_an_error_or_stays_here() {
    let (issuer, _) = issuer().await;
    for (more, error) in [
        (vec![("response_type", "token")], "unsupported_response_type"),
        (vec![("code_challenge_method", "plain")], "invalid_request"),
        (vec![("resource", "https://elsewhere.example/")], "invalid_target"),
        (vec![("prompt", "none")], "login_required"),
        (vec![("prompt", "none"), ("login_hint", "nobody")], "login_required"),
    ] {
        let (_, query) = request(&issuer, &more).await;
        let back = brought_back(&http(&issuer.issuer, "GET", &format!("/authorize?{query}"), &[], "").await);
        assert_eq!(value(&back, "error"), error, "{more:?}");
        assert_eq!(value(&back, "iss"), issuer.issuer);
    }
    for uri in [
        "https://evil.example/callback",
        "http://127.0.0.1:7777/other",
        "http://127.0.0.1.evil.example/callback",
    ] {
        let (_, query) = request(&issuer, &[("redirect_uri", uri)]).await;
        let answer = http(&issuer.issuer, "GET", &format!("/authorize?{query}"), &[], "").await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{uri}");
    }
    let body = json!({"redirect_uris": ["https://evil.example/callback"]}).to_string();
    let refused = http(&issuer.issuer, "POST", "/register", &[], &body).await;
    assert_eq!(refused.json()["error"], "invalid_redirect_uri");
}
