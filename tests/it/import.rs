//! `sidegate import alga` from a real database of AlgaPSA's commercial edition.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::{Actor, Admin, AgentSpec, Filter};
use sidegate::identity::trust::TrustedIssuer;
use tempfile::TempDir;

use crate::directory::{TRIAGE, TRIAGE_USER, seed_own_server};
use crate::support::alga::{Alga, Edition, TENANT, USER};
use crate::support::process::{Ended, Process};

const PROVIDER: &str = "50000000-0000-4000-8000-000000000001";

/// A configuration file in `place` whose PSA is `alga`.
fn configured(place: &TempDir, alga: &Alga) -> PathBuf {
    let file = place.path().join("sidegate.toml");
    let store = place.path().join("store.db").display().to_string();
    let text = format!(
        "[server]\npublic_url = \"https://mcp.example\"\n[store]\nurl = \"sqlite://{store}\"\n\
         [psa]\nurl = \"http://127.0.0.1:9\"\ntenant = \"{TENANT}\"\ncatalog_user = \"{USER}\"\ndatabase_url = \"{}\"\n",
        alga.config.database_url.expose()
    );
    std::fs::write(&file, text).unwrap();
    file
}

async fn admin(file: &Path) -> Admin {
    crate::support::install_crypto();
    let config = config::load(Some(file), std::iter::empty()).unwrap();
    app::admin(&config, Clock::System, None).await.unwrap()
}

async fn import(file: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["import", "alga", "--config"]).arg(file).args(arguments);
    Process::run(&mut command).await
}

/// What the command says as JSON.
async fn told(file: &Path, arguments: &[&str]) -> Value {
    let ended = import(file, &[arguments, &["--json"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_taken_and_writes_nothing() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    let place = tempfile::tempdir().unwrap();
    let file = configured(&place, &alga);
    let plain = import(&file, &["--dry-run"]).await;
    assert!(plain.out.contains("1 of 2 providers and 1 of 3 agents would be taken over"), "{plain:?}");
    let said = told(&file, &["--dry-run"]).await;
    assert_eq!((&said["dry_run"], said["agents"].as_array().unwrap().len()), (&true.into(), 3));
    let admin = admin(&file).await;
    assert!(admin.store.all_agents(&admin.tenant).await.unwrap().is_empty());
    assert!(admin.issuers().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_taken_keeps_its_ids_and_users_and_what_is_not_is_told_with_the_reason() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    let place = tempfile::tempdir().unwrap();
    let file = configured(&place, &alga);
    let said = told(&file, &[]).await;
    let why = |kind: &str, index: usize| said[kind][index]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why("providers", 0).contains("no audience"), "{said}");
    assert!(why("agents", 1).contains("bound to no identity"), "{said}");
    assert!(why("agents", 2).contains("https://accounts.google.com is not taken"), "{said}");

    let admin = admin(&file).await;
    let [provider] = &admin.issuers().await.unwrap()[..] else { panic!("{said}") };
    assert_eq!((provider.id.as_str(), provider.issuer.as_str()), (PROVIDER, "https://idp.example"));
    assert_eq!(provider.audiences, ["api://mcp"]);
    let row = admin.agent(TRIAGE).await.unwrap();
    assert_eq!((row.name.as_str(), row.subject.as_str()), ("Triage", "app-1"));
    assert_eq!((row.psa_user.as_deref(), row.provisioned), (Some(TRIAGE_USER), true));
    assert_eq!(
        (row.roles.as_slice(), row.created_by.as_deref()),
        (&["Technician".to_owned()][..], Some(USER))
    );
    let events = admin.events(&Filter::default(), None, 0, 10).await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.facts.body.contains("agent.import")).collect();
    assert_eq!((events.len(), actions.iter().filter(|found| **found).count()), (2, 1), "{events:?}");

    let again = told(&file, &[]).await;
    assert_eq!(again["agents"][0]["why"], "it is here already");
    assert_eq!(again["providers"][1]["why"], "it is trusted here already");
    assert_eq!(admin.store.all_agents(&admin.tenant).await.unwrap(), [row]);
}

#[tokio::test]
async fn the_user_of_an_agent_that_was_taken_over_goes_with_it() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    let place = tempfile::tempdir().unwrap();
    let file = configured(&place, &alga);
    let admin = admin(&file).await;
    let actor = Actor::command_line();
    admin.import(&actor, false).await.unwrap();
    admin.set_agent_roles(&actor, TRIAGE, &["Finance".to_owned()]).await.unwrap();
    let held = admin.agent_roles(TRIAGE).await.unwrap();
    assert_eq!(held.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["Finance"]);
    admin.delete_agent(&actor, TRIAGE).await.unwrap();
    assert_eq!(alga.directory().user(TRIAGE_USER).await, Ok(None));
    let again = admin.import(&actor, false).await.unwrap();
    assert_eq!(again.agents[0].why.as_deref(), Some("it was here and was removed"));
}

#[tokio::test]
async fn an_edition_without_an_mcp_server_has_nothing_to_take_over() {
    let alga = Alga::new(Edition::Open).await;
    let place = tempfile::tempdir().unwrap();
    let ended = import(&configured(&place, &alga), &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("no MCP server of its own"), "{ended:?}");
}

#[tokio::test]
async fn an_agent_whose_identity_an_administrator_had_switched_off_here_is_left_and_the_rest_is_taken() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    let place = tempfile::tempdir().unwrap();
    let file = configured(&place, &alga);
    let admin = admin(&file).await;
    let spec = |name: &str| AgentSpec {
        name: name.to_owned(),
        issuer: "https://idp.example".to_owned(),
        subject: "app-1".to_owned(),
        ..AgentSpec::default()
    };
    let issuer = TrustedIssuer { issuer: "https://idp.example".to_owned(), ..TrustedIssuer::default() };
    admin.apply_config(std::slice::from_ref(&issuer), &[spec("Before")]).await.unwrap();
    admin.disable_agent(&Actor::command_line(), "Before").await.unwrap();
    // The configuration file names it no longer; that it was switched off is not forgotten.
    admin.apply_config(&[issuer], &[]).await.unwrap();
    let import = admin.import(&Actor::command_line(), false).await.unwrap();
    let triage = &import.agents[0];
    assert!(!triage.taken && triage.why.as_ref().unwrap().contains("Before"), "{triage:?}");
    assert!(admin.store.agents(&admin.tenant).await.unwrap().is_empty());
}
