//! Two more real identity providers: Canaille, where a person signs in on its pages and calls, and whose tokens for
//! programs are no JWT and refused; Better Auth, whose machines get JWT access tokens by client credentials.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::identity::kind::AgentKind;
use sidegate::identity::preset::{Preset, ProviderSpec};
use url::form_urlencoded::Serializer;

use crate::support::clients;
use crate::support::directory::Directory;
use crate::support::process::Process;

/// A running Canaille; it ends with this value.
struct Canaille {
    _process: Process,
    ready: Value,
}

impl Canaille {
    /// Starts one whose tokens are for `resource`.
    async fn start(resource: &str) -> Self {
        let config = json!({"resource": resource, "redirect_uri": "http://127.0.0.1/callback"});
        let mut process = Process::start(clients::command("canaille/serve.py").arg(config.to_string()));
        let line = process.first_line().await;
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line}"));
        Self { _process: process, ready }
    }

    /// The access tokens of a person who signed in, and of a client by its own credentials.
    async fn tokens(&self) -> (String, String) {
        let got = clients::run("canaille/sign_in.py", &self.ready).await;
        let token =
            |whose: &str| got[whose]["access_token"].as_str().unwrap_or_else(|| panic!("{got}")).to_owned();
        (token("person"), token("machine"))
    }
}

#[tokio::test]
async fn a_person_signs_in_with_canaille_and_the_record_names_the_person() {
    let directory = Directory::start().await;
    let canaille = Canaille::start(&directory.world.mcp_url).await;
    let issuer = canaille.ready["issuer"].as_str().unwrap().to_owned();
    let spec = ProviderSpec { kind: Preset::Custom, issuer: Some(issuer.clone()), ..ProviderSpec::default() };
    let (row, found) = directory.admin.add_provider(&directory.actor, &spec, true).await.unwrap();
    assert_eq!((row.issuer.as_str(), row.jwks_uri), (issuer.as_str(), None));
    let found = found.unwrap();
    assert!(found.jwks_uri.starts_with(&issuer) && found.keys > 0, "{found:?}");

    let (person, machine) = canaille.tokens().await;
    let login = canaille.ready["person"]["login"].as_str().unwrap();
    directory.bind(&issuer, login, Some(AgentKind::Interactive)).await;
    directory.answered(&person, 200).await;
    let wanted = |record: &&Value| record["subject"] == login && record["outcome"] == "ok";
    let records = directory.world.records_when(|records| records.iter().any(|record| wanted(&record))).await;
    let record = records.iter().find(wanted).unwrap();
    assert_eq!(record["person"], canaille.ready["person"]["email"], "{record:#}");
    assert_eq!(record["issuer"], issuer.as_str());

    // The same person's token is not an unattended agent's, and a client's own is opaque.
    directory.bind(&issuer, login, Some(AgentKind::Unattended)).await;
    let refused = directory.answered(&person, 401).await;
    assert!(refused.body.to_string().contains("carries a user"), "{refused:?}");
    let refused = directory.answered(&machine, 401).await;
    assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""), "{refused:?}");
}

#[tokio::test]
async fn a_token_of_canaille_for_another_resource_is_refused() {
    let directory = Directory::start().await;
    let canaille = Canaille::start("https://elsewhere.example/api/mcp").await;
    let issuer = canaille.ready["issuer"].as_str().unwrap().to_owned();
    let spec = ProviderSpec { kind: Preset::Custom, issuer: Some(issuer.clone()), ..ProviderSpec::default() };
    directory.trust(&spec).await;
    directory.bind(&issuer, "alice", None).await;
    let (person, _) = canaille.tokens().await;
    let refused = directory.answered(&person, 401).await;
    assert!(refused.body.to_string().contains("`aud`"), "{refused:?}");
}

#[tokio::test]
async fn a_machine_of_better_auth_is_an_unattended_agent_and_no_interactive_one() {
    let directory = Directory::start().await;
    let config = json!({"resource": directory.world.mcp_url});
    let mut process = Process::start(clients::command("better_auth/serve.mjs").arg(config.to_string()));
    let line = process.first_line().await;
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line}"));
    let told = |name: &str| ready[name].as_str().unwrap_or_else(|| panic!("{ready}"));

    let issuer = Some(told("issuer").to_owned());
    let spec = ProviderSpec { kind: Preset::Custom, issuer, ..ProviderSpec::default() };
    let (row, found) = directory.admin.add_provider(&directory.actor, &spec, true).await.unwrap();
    assert_eq!(found.unwrap().algorithms, ["EdDSA"]);
    let client = told("client_id");
    directory.bind(&row.issuer, client, Some(AgentKind::Unattended)).await;
    let form = Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("resource", &directory.world.mcp_url)
        .finish();
    let basic = STANDARD.encode(format!("{client}:{}", told("client_secret")));
    let request = http::Request::post(told("token_endpoint"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {basic}"))
        .body(Bytes::from(form))
        .unwrap();
    let answer = directory.world.send(request).await;
    let token = answer.body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}"));
    directory.answered(token, 200).await;
    let wanted = |record: &&Value| record["subject"] == client && record["outcome"] == "ok";
    let records = directory.world.records_when(|records| records.iter().any(|record| wanted(&record))).await;
    let record = records.iter().find(wanted).unwrap();
    assert_eq!((&record["oauth_client"], record.get("person")), (&json!(client), None), "{record:#}");
    directory.bind(&row.issuer, client, Some(AgentKind::Interactive)).await;
    let refused = directory.answered(token, 401).await;
    assert!(refused.body.to_string().contains("an application's own"), "{refused:?}");
}
