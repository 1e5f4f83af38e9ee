//! `sidegate idp`: providers trusted by preset, changed and removed beside a running server, and the guides.

use std::process::Command;

use serde_json::Value;

use crate::support::process::{Ended, Process};
use crate::support::world::World;

const ENTRA: &str = "https://login.microsoftonline.com/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/v2.0";
const DIRECTORY: &str = "8F1C2D3E-4A5B-4C6D-8E7F-0123456789AB";

async fn idp(world: Option<&World>, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.current_dir(folder.path()).env_clear().arg("idp").args(arguments);
    if let Some(world) = world {
        command.arg("--config").arg(&world.config_file);
    }
    Process::run(&mut command).await
}

async fn well(world: &World, arguments: &[&str]) -> String {
    let ended = idp(Some(world), arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.out
}

#[tokio::test]
async fn a_provider_is_trusted_by_preset_changed_and_removed() {
    let world = World::start().await;
    let microsoft = ["add", "--preset", "microsoft", "--entra-tenant-id", DIRECTORY, "--skip-probe"];
    let added = well(&world, &microsoft).await;
    assert!(added.contains(ENTRA), "{added}");
    well(&world, &["add", "--preset", "google", "--skip-probe"]).await;
    let line = |listed: &str| listed.lines().find(|line| line.starts_with(ENTRA)).map(str::to_owned);
    let listed = well(&world, &["list"]).await;
    assert!(listed.contains("https://accounts.google.com\ttrusted\tsubject claim sub"), "{listed}");
    assert!(line(&listed).unwrap().contains("\ttrusted\tsubject claim azp\t"), "{listed}");

    let id = "77c0ffee-0000-4000-8000-00000000000a";
    let set =
        ["set", ENTRA, "--audience", id, "--subject-claim", "oid", "--max-age", "600", "--active", "false"];
    let changed = well(&world, &set).await;
    for part in ["\toff\t", "subject claim oid", &format!("audiences {id} api://{id}")] {
        assert!(changed.contains(part), "{part} in {changed}");
    }
    let changed = well(&world, &["set", ENTRA, "--no-audience", "--active", "true"]).await;
    assert!(changed.contains("\ttrusted\tsubject claim oid") && !changed.contains("audiences"), "{changed}");
    well(&world, &["remove", ENTRA]).await;
    assert_eq!(line(&well(&world, &["list"]).await), None);
}

#[tokio::test]
async fn what_cannot_be_trusted_is_refused_with_field_and_remedy() {
    let world = World::start().await;
    well(&world, &["add", "--preset", "microsoft", "--entra-tenant-id", DIRECTORY, "--skip-probe"]).await;
    let file_kept = world.issuer.issuer.clone();
    for (arguments, word) in [
        (&["add", "--preset", "microsoft", "--entra-tenant-id", "common"][..], "every directory there is"),
        (&["add", "--preset", "microsoft"], "entra_tenant_id: is missing"),
        (&["add", "--preset", "google", "--entra-tenant-id", DIRECTORY], "entra_tenant_id: belongs to"),
        (&["add", "https://login.microsoftonline.com/organizations/v2.0"], "issuer: `organizations`"),
        (&["add"], "required"),
        (&["set", "https://nobody.example"], "no identity provider"),
        (&["remove", &file_kept], "configuration file"),
        (
            &["add", "https://sts.windows.net/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/", "--skip-probe"],
            "already",
        ),
    ] {
        let ended = idp(Some(&world), arguments).await;
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        assert!(ended.err.contains(word), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_guide_needs_no_configuration_and_names_the_endpoint_where_there_is_one() {
    let world = World::start().await;
    for (provider, claim) in
        [("entra", "azp"), ("google", "sub"), ("keycloak", "sub"), ("auth0", "sub"), ("okta", "sub")]
    {
        let plain = idp(None, &["explain", provider]).await;
        assert_eq!(plain.code, Some(0), "{plain:?}");
        assert!(plain.out.contains(&format!("unattended agents: the claim {claim}")), "{}", plain.out);
        assert!(!plain.out.contains("RESOURCE"), "{}", plain.out);
        let told = well(&world, &["explain", provider, "--json"]).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["provider"], &told["ways"][0]["kind"]), (&provider.into(), &"unattended".into()));
    }
    assert!(well(&world, &["explain", "auth0"]).await.contains(&world.mcp_url));
    assert_ne!(idp(None, &["explain", "myspace"]).await.code, Some(0));
}
