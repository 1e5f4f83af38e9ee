//! A second real identity provider, Canaille: a person signs in on its pages and calls; what it gives programs that come
//! on their own account is no JWT and is refused.

use serde_json::{Value, json};
use sidegate::identity::kind::AgentKind;
use sidegate::identity::preset::{Preset, ProviderSpec};

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
