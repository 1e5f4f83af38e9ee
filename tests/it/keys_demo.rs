//! The demo source of keys: what it says over the demo PSA's control side, and
//! what it makes of the answers.

use std::time::Duration;

use serde_json::{Value, json};
use sidegate::clock::Clock;
use sidegate::psa::{self, KeyError, PsaConfig, PsaDoor};
use sidegate::secret::Secret;

use crate::support::alga::{AGENT, USER, principal, sha256};
use crate::support::scripted::{Server, Then, answer, headers};

async fn door(url: &str) -> PsaDoor {
    let config = PsaConfig {
        url: url.to_owned(),
        keys: "demo".to_owned(),
        demo_secret: Secret::new("control"),
        catalog_user: Some(USER.to_owned()),
        ..PsaConfig::default()
    };
    psa::open(&config, Clock::System).await.unwrap()
}

async fn mint(script: Then) -> (Result<psa::Credential, KeyError>, Vec<String>) {
    let server = Server::new(vec![script]).await;
    let bot = principal(AGENT, "Bot", Some(USER));
    let minted = door(&server.url).await.keys.mint(&bot, Duration::from_secs(300), 1_768_000_000_123).await;
    (minted, server.seen())
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

#[tokio::test]
async fn a_mint_sends_the_hash_and_never_the_key() {
    let (minted, seen) = mint(answer("201 Created", "", "{\"api_key_id\":\"k-1\"}")).await;
    let key = minted.unwrap();
    assert_eq!((key.key_id(), key.expires_at()), ("k-1", Some(1_768_000_300_123)));
    assert!(seen[0].starts_with("POST /__keys HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(headers(&seen[0]).contains(&"x-demo-control: control".to_owned()), "{}", seen[0]);
    assert!(!seen[0].contains(key.key().expose()));
    let expected = json!({
        "user_id": USER, "key_hash": sha256(key.key()), "description": "sidegate: Bot", "agent_id": AGENT,
        "purpose": "mcp_sidecar", "expires_at": "2026-01-09T23:11:40.123Z",
    });
    assert_eq!(body(&seen[0]), expected);
}

#[tokio::test]
async fn each_refusal_of_a_mint_has_its_own_error() {
    let refusal = |error: &str| answer("403 Forbidden", "", &json!({ "error": error }).to_string());
    assert_eq!(mint(refusal("suspended")).await.0.unwrap_err(), KeyError::Suspended);
    for error in ["no_user", "inactive_user"] {
        assert!(matches!(mint(refusal(error)).await.0, Err(KeyError::NoUser(_))), "{error}");
    }
    let refused = mint(refusal("bad control secret")).await.0.unwrap_err();
    assert!(matches!(&refused, KeyError::Refused(why) if why.contains("bad control secret")), "{refused:?}");
    for broken in [answer("503 Service Unavailable", "", ""), Then::HangUp] {
        assert!(matches!(mint(broken).await.0, Err(KeyError::Unavailable(_))));
    }
    let (odd, _) = mint(answer("201 Created", "", "{}")).await;
    assert!(matches!(odd, Err(KeyError::Refused(_))), "{odd:?}");
}

#[tokio::test]
async fn keys_are_revoked_one_by_one_by_agent_and_by_sweeping() {
    let removed = answer("200 OK", "", "{\"removed\":2}");
    let gone = answer("404 Not Found", "", "{\"error\":\"no such key\"}");
    let server = Server::new(vec![gone, removed.clone(), removed]).await;
    let keys = door(&server.url).await.keys;
    assert_eq!(keys.revoke("k/1").await, Ok(()));
    assert_eq!(keys.revoke_agent("a&b").await, Ok(2));
    assert_eq!(keys.sweep(1_768_000_000_123).await, Ok(2));
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|request| request.lines().next().unwrap()).collect();
    let expected = [
        "DELETE /__keys/k%2F1 HTTP/1.1",
        "DELETE /__keys?agent_id=a%26b HTTP/1.1",
        "POST /__keys/sweep HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body(&seen[2]), json!({ "now": 1_768_000_000_123_i64 }));
}

#[tokio::test]
async fn users_are_provisioned_by_role_names() {
    let shown = json!({
        "user_id": "u-1", "username": "bot", "email": "b@x", "name": null, "internal": true, "active": true, "ours": true,
    });
    let server = Server::new(vec![
        answer("200 OK", "", r#"{"data":[{"role_id":"r-1","role_name":"Technician","description":null}]}"#),
        answer("201 Created", "", "{\"user_id\":\"u-1\"}"),
        answer("400 Bad Request", "", "{\"error\":\"unknown roles: Emperor\"}"),
        answer("200 OK", "", &json!({ "data": shown }).to_string()),
        Then::Answer("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        answer("404 Not Found", "", "{}"),
    ])
    .await;
    let directory = door(&server.url).await.directory.unwrap();
    let roles = directory.roles().await.unwrap();
    assert_eq!((roles[0].role_id.as_str(), roles[0].name.as_str()), ("r-1", "Technician"));
    let user = directory.provision(AGENT, "Bot", &["Technician".to_owned()]).await;
    assert_eq!(user, Ok("u-1".to_owned()));
    let refused = directory.provision(AGENT, "Bot", &["Emperor".to_owned()]).await.unwrap_err();
    assert!(refused.to_string().contains("unknown roles: Emperor"), "{refused}");
    directory.deactivate("u-1").await.unwrap();
    assert!(matches!(directory.deactivate("u-2").await, Err(KeyError::NoUser(_))));
    let seen = server.seen();
    assert_eq!(body(&seen[1]), json!({ "agent_id": AGENT, "name": "Bot", "roles": ["Technician"] }));
    assert!(seen[4].starts_with("POST /__users/u-1/deactivate HTTP/1.1\r\n"), "{}", seen[4]);
}
