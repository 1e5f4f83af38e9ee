//! What a token must have been granted, and how a caller is told what it lacks.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::Actor;
use sidegate::gate::admin::Admin;
use sidegate::identity::preset::ProviderSpec;
use sidegate::identity::scopes::RequiredScopes;
use sidegate::identity::trust::TrustedIssuer;

use crate::support::http::{Answer, modern};
use crate::support::issuer::Issuer;
use crate::support::plan::{Plan, Trusted};
use crate::support::world::{World, until};

const ALL: &str = r#"required_scopes = { read = ["psa.read"], write = ["psa.write", "psa.audit"], destroy = ["psa.admin"] }"#;

/// A Sidegate that trusts one issuer under these lines of its configuration.
struct Site {
    issuer: Issuer,
    world: World,
}

impl Site {
    async fn with(lines: &str) -> Self {
        let issuer = Issuer::start().await;
        let agents = vec![("worker", "worker".to_owned(), "technician")];
        let trusted = Some(Trusted { issuer: &issuer.url, agents });
        let world = World::of(Plan { issuer: lines, trusted, ..Plan::default() }).await;
        Self { issuer, world }
    }

    fn token(&self, more: Value) -> String {
        self.issuer.token("worker", &self.world.mcp_url, more)
    }

    async fn ask(&self, claims: Value, method: &str, params: Value) -> Answer {
        let (body, headers) = modern(method, params);
        self.world.post(Some(&self.token(claims)), body.to_string(), &headers).await
    }

    async fn call(&self, claims: Value, tool: &str, arguments: Value) -> Answer {
        self.ask(claims, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    async fn entry(&self, claims: Value, arguments: Value) -> Answer {
        self.call(claims, "call_api_endpoint", arguments).await
    }

    fn metadata(&self) -> String {
        format!("{}/.well-known/oauth-protected-resource/api/mcp", self.world.base)
    }

    async fn admin(&self) -> Admin {
        let config = config::load(Some(&PathBuf::from(&self.world.config_file)), std::iter::empty()).unwrap();
        app::admin(&config, Clock::System, None).await.unwrap()
    }
}

fn boards() -> Value {
    json!({"entryId": "get-_api_v1_boards"})
}

fn rename(ticket: &str) -> Value {
    json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": "renamed"}})
}

fn remove(ticket: &str) -> Value {
    json!({"entryId": "delete-_api_v1_tickets_id", "path": {"id": ticket}})
}

#[tokio::test]
async fn a_call_without_its_scopes_is_answered_403_with_all_of_them_in_one_challenge_and_is_not_made() {
    let site = Site::with(ALL).await;
    let answer = site.entry(json!({"scope": "psa.read psa.audit"}), rename("7")).await;
    assert_eq!(answer.status, 403);
    let told = "a call of effect write needs a token with all of these scopes: psa.write psa.audit; nothing was sent";
    let metadata = site.metadata();
    assert_eq!(
        answer.header("www-authenticate"),
        format!(
            "Bearer error=\"insufficient_scope\", scope=\"psa.write psa.audit\", \
             resource_metadata=\"{metadata}\", error_description=\"{told}\""
        )
    );
    assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 1);
    assert_eq!(answer.body, json!({"error": "insufficient_scope", "error_description": told}));
    assert!(site.world.reached().await.is_empty());

    let records = site.world.records(1).await;
    let expected = json!({
        "record": "event", "agent": "worker", "subject": "worker", "tool": "call_api_endpoint",
        "entry_id": "put-_api_v1_tickets_id", "effect": "write", "decision": "deny",
        "rule": "required_scopes", "reason": "insufficient_scope", "outcome": "denied",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&records[0][name], value, "{name}: {:#}", records[0]);
    }
    let world = &site.world;
    assert_eq!(world.metric("sidegate_auth_refusals_total{reason=\"insufficient_scope\"}").await, 1.0);
    assert_eq!(world.metric("sidegate_requests_total{outcome=\"denied\"}").await, 1.0);
}

#[tokio::test]
async fn the_scopes_of_a_graver_effect_do_for_the_lighter_ones() {
    let site = Site::with(ALL).await;
    let holding = |scope: &str| json!({ "scope": scope });
    let listed = site
        .entry(holding("psa.admin"), json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 1}}))
        .await;
    let ticket = listed.body["result"]["structuredContent"]["data"]["data"][0]["ticket_id"].as_str();
    let ticket = ticket.unwrap_or_else(|| panic!("no ticket: {listed:?}"));
    for (scope, statuses) in [
        ("other", [403, 403, 403]),
        ("psa.read", [200, 403, 403]),
        ("psa.write", [403, 403, 403]),
        ("psa.write psa.audit", [200, 200, 403]),
        ("psa.admin", [200, 200, 200]),
    ] {
        for (arguments, status) in [boards(), rename(ticket), remove(ticket)].into_iter().zip(statuses) {
            let answer = site.entry(holding(scope), arguments).await;
            assert_eq!(answer.status, status, "{scope}: {answer:?}");
            let made = answer.body["result"]["structuredContent"]["status"].as_u64();
            assert_eq!(made.is_some(), status == 200, "{scope}: the PSA's own judgement comes after ours");
        }
    }
}

#[tokio::test]
async fn scopes_are_found_wherever_an_issuer_writes_them() {
    let site = Site::with(ALL).await;
    for (claims, status) in [
        (json!({}), 403),
        (json!({"scope": "psa.write psa.audit"}), 200),
        (json!({"scp": "psa.write psa.audit"}), 200),
        (json!({"scp": ["psa.write", "psa.audit"]}), 200),
        (json!({"roles": ["psa.write", "psa.audit"]}), 200),
        (json!({"scp": "psa.write", "roles": ["psa.audit"]}), 200),
        (json!({"roles": ["psa.write psa.audit"]}), 403),
        (json!({"scope": "PSA.WRITE psa.audit"}), 403),
    ] {
        assert_eq!(site.entry(claims.clone(), boards()).await.status, status, "{claims}");
    }
}

#[tokio::test]
async fn searches_need_the_scopes_for_reading_and_so_do_complaints_about_arguments() {
    let site = Site::with(ALL).await;
    for (tool, arguments) in [
        ("search_api_registry", json!({"query": "tickets"})),
        ("search_business_data", json!({"query": "printer"})),
        ("search_api_registry", json!({"nothing": 1})),
        ("call_api_endpoint", json!({"entryId": "get-_api_v1_nowhere"})),
        ("call_api_endpoint", json!({"entryId": "put-_api_v1_tickets_id"})),
    ] {
        let refused = site.call(json!({}), tool, arguments.clone()).await;
        assert_eq!(refused.status, 403, "{tool} {arguments}");
        assert!(refused.header("www-authenticate").contains("scope=\"psa.read\","), "{refused:?}");
        assert_eq!(site.call(json!({"scope": "psa.read"}), tool, arguments.clone()).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_no_call_needs_no_scope() {
    let site = Site::with(ALL).await;
    for method in ["tools/list", "server/discover"] {
        assert_eq!(site.ask(json!({}), method, json!({})).await.status, 200, "{method}");
    }
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    for (method, params) in [("initialize", hello), ("ping", json!({}))] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = site.world.post(Some(&site.token(json!({}))), body.to_string(), &[]).await;
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn nobody_is_sent_for_scopes_that_would_not_help() {
    let world = World::of(Plan { issuer: ALL, ..Plan::default() }).await;
    world.admit_stranger("bot", world.psa.technician()).await;
    let denied = world.call("stranger", "call_api_endpoint", rename("7")).await;
    assert!(denied.status == 200 && denied.text().contains("rule max_effect"), "{denied:?}");
    assert_eq!(world.call("stranger", "call_api_endpoint", boards()).await.status, 403);
}

#[tokio::test]
async fn without_required_scopes_nothing_is_asked_for_and_nothing_published() {
    let site = Site::with("").await;
    assert_eq!(site.entry(json!({}), boards()).await.status, 200);
    let document = site.world.get(&site.metadata()).await;
    assert_eq!(document.body.get("scopes_supported"), None);
    let refused = site.world.get(&site.world.mcp_url).await;
    assert_eq!(
        refused.header("www-authenticate"),
        format!("Bearer resource_metadata=\"{}\"", site.metadata())
    );
}

#[tokio::test]
async fn metadata_and_challenges_name_the_scopes_and_follow_the_store() {
    let site = Site::with(ALL).await;
    let world = &site.world;
    let root = format!("{}/.well-known/oauth-protected-resource", world.base);
    for url in [&root, &site.metadata()] {
        let document = world.get(url).await;
        let expected = json!(["psa.admin", "psa.audit", "psa.read", "psa.write"]);
        assert_eq!(document.body["scopes_supported"], expected);
    }
    let challenge = async || world.get(&world.mcp_url).await.header("www-authenticate").to_owned();
    let bare = format!("Bearer resource_metadata=\"{}\"", site.metadata());
    assert_eq!(challenge().await, format!("{bare}, scope=\"psa.read\""));
    let expired = site.token(json!({"exp": 1}));
    let request = http::Request::get(&world.mcp_url).header("authorization", format!("Bearer {expired}"));
    let refused = world.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(
        refused.header("www-authenticate"),
        format!(
            "{bare}, scope=\"psa.read\", error=\"invalid_token\", error_description=\"the token has expired\""
        )
    );

    // An issuer with other scopes: no set of scopes is everybody's any more.
    let other = TrustedIssuer {
        issuer: "https://login.example".to_owned(),
        required_scopes: RequiredScopes { read: vec!["other.read".to_owned()], ..RequiredScopes::default() },
        ..TrustedIssuer::default()
    };
    let admin = site.admin().await;
    admin.add_provider(&Actor::command_line(), &ProviderSpec::of(&other), false).await.unwrap();
    until(async || (challenge().await == bare).then_some(())).await;
    let document = world.get(&root).await;
    let expected = json!(["other.read", "psa.admin", "psa.audit", "psa.read", "psa.write"]);
    assert_eq!(document.body["scopes_supported"], expected);
    assert_eq!(
        admin.issuers().await.unwrap().last().map(|row| &row.required_scopes),
        Some(&other.required_scopes)
    );

    let offline = RequiredScopes { write: vec!["offline_access".to_owned()], ..RequiredScopes::default() };
    let refused = admin
        .add_provider(
            &Actor::command_line(),
            &ProviderSpec::of(&TrustedIssuer { required_scopes: offline, ..other }),
            false,
        )
        .await;
    let told = refused.unwrap_err().to_string();
    assert!(told.starts_with("required_scopes.write: offline_access"), "{told}");
}

#[tokio::test]
async fn a_token_is_explained_with_the_calls_that_its_scopes_are_not_enough_for() {
    let site = Site::with(ALL).await;
    let admin = site.admin().await;
    let config = config::load(Some(&site.world.config_file), std::iter::empty()).unwrap();
    let explain = async |claims: Value| {
        let told = admin.explain(&site.token(claims), &app::main_resource(&config)).await.unwrap();
        let last = told.steps.last().unwrap();
        (told.accepted, last.check, last.passed, last.detail.clone())
    };
    let need = "calls of effect write need psa.write psa.audit, calls of effect destroy need psa.admin";
    assert_eq!(
        explain(json!({"scope": "psa.read"})).await,
        (true, "scopes", false, format!("psa.read; {need}"))
    );
    assert_eq!(
        explain(json!({"roles": ["psa.admin"]})).await,
        (true, "scopes", true, "psa.admin; enough for every call".to_owned())
    );
}

#[tokio::test]
async fn a_refused_token_with_a_good_signature_is_on_record_with_its_issuer_and_subject() {
    let site = Site::with("").await;
    let world = &site.world;
    let forged = {
        let token = site.token(json!({}));
        let (signed, _) = token.rsplit_once('.').unwrap();
        let other = site.token(json!({"jti": "t-2"}));
        format!("{signed}.{}", other.rsplit_once('.').unwrap().1)
    };
    let named = json!([site.issuer.url, "worker", "t-1"]);
    let url = &site.issuer.url;
    for (token, reason, expected) in [
        (site.token(json!({"exp": 1})), "expired", named.clone()),
        (site.token(json!({"aud": "https://other.example"})), "audience", named.clone()),
        (site.token(json!({"cnf": {"jkt": "abc"}})), "confirmation", named.clone()),
        (site.token(json!({"sub": null})), "missing_subject", json!([url, null, "t-1"])),
        (site.token(json!({"sub": 7, "jti": 7})), "claim_type", json!([url, null, null])),
        (forged, "signature", json!([null, null, null])),
    ] {
        let before = world.records(0).await.len();
        let (body, headers) = modern("tools/list", json!({}));
        assert_eq!(world.post(Some(&token), body.to_string(), &headers).await.status, 401, "{reason}");
        let records = world.records(before + 1).await;
        let last = &records[before];
        assert_eq!(last["reason"], reason, "{last:#}");
        assert_eq!(json!([last["issuer"], last["subject"], last["token_id"]]), expected, "{reason}");
        assert_eq!(last["agent"], Value::Null, "{reason}");
    }
}
