//! The administrator's verbs beside a whole Sidegate, as another process would use them.

use std::time::Instant;

use serde_json::json;
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::{Actor, Admin, AgentSpec};
use sidegate::identity::preset::ProviderSpec;
use sidegate::identity::trust::TrustedIssuer;

use crate::support::world::World;

async fn admin(world: &World) -> Admin {
    let config = config::load(Some(&world.config_file), std::iter::empty()).unwrap();
    app::admin(&config, Clock::System, None).await.unwrap()
}

fn provisioned(world: &World, role: &str) -> AgentSpec {
    AgentSpec {
        name: "bot".to_owned(),
        issuer: world.issuer.issuer.clone(),
        subject: "demo-stranger".to_owned(),
        provision: true,
        roles: vec![role.to_owned()],
        ..AgentSpec::default()
    }
}

fn unprobed(issuer: &str) -> TrustedIssuer {
    TrustedIssuer { issuer: issuer.to_owned(), ..TrustedIssuer::default() }
}

#[tokio::test]
async fn an_agent_whose_user_cannot_be_made_is_not_there_and_a_second_try_works() {
    let world = World::start().await;
    let admin = admin(&world).await;
    let before = admin.agents().await.unwrap();
    let refused = admin.add_agent(&Actor::command_line(), &provisioned(&world, "Nope")).await.unwrap_err();
    assert!(refused.to_string().contains("Nope"), "{refused}");
    assert_eq!(admin.agents().await.unwrap(), before);
    let role = admin.directory.as_ref().unwrap().roles().await.unwrap().remove(0).name;
    let row = admin.add_agent(&Actor::command_line(), &provisioned(&world, &role)).await.unwrap();
    assert!(row.is_on() && row.psa_user.is_some(), "{row:?}");
    let twice = admin.add_agent(&Actor::command_line(), &provisioned(&world, &role)).await.unwrap_err();
    assert!(twice.to_string().contains("already bound to agent `bot`"), "{twice}");
}

#[tokio::test]
async fn an_issuer_that_is_not_probed_is_judged_all_the_same() {
    let world = World::start().await;
    let admin = admin(&world).await;
    let before = admin.issuers().await.unwrap();
    let good = unprobed("https://login.example");
    for (trusted, word) in [
        (unprobed("http://169.254.169.254"), "never reached"),
        (unprobed("https://10.0.0.1"), "allow_private_networks"),
        (unprobed("garbage"), "issuer: must be an absolute"),
        (TrustedIssuer { jwks_uri: Some("https://[fe80::1]/".to_owned()), ..good.clone() }, "never reached"),
        (TrustedIssuer { leeway: -5, ..good.clone() }, "leeway: "),
        (TrustedIssuer { subject_claim: String::new(), ..good.clone() }, "subject_claim: "),
        (TrustedIssuer { max_age: Some(-1), ..good.clone() }, "max_age: "),
    ] {
        let refused = admin
            .add_provider(&Actor::command_line(), &ProviderSpec::of(&trusted), false)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains(word), "{refused}");
        let refused = admin.apply_config(&[trusted], &[]).await.unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
    }
    assert_eq!(admin.issuers().await.unwrap(), before);
    admin.add_provider(&Actor::command_line(), &ProviderSpec::of(&good), false).await.unwrap();
    assert_eq!(admin.issuers().await.unwrap().len(), before.len() + 1);
}

#[tokio::test]
async fn once_an_agent_is_said_to_be_off_its_next_call_is_refused() {
    let world = World::start().await;
    let admin = admin(&world).await;
    let call = || world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"}));
    assert!(!call().await.is_error());
    let asked = Instant::now();
    admin.disable_agent(&Actor::command_line(), "technician").await.unwrap();
    assert!(
        asked.elapsed() >= sidegate::gate::admin::MAX_STALENESS,
        "an older look at the store may be used"
    );
    assert_eq!(call().await.status, 403);
    let keys = world.control("GET", "/__keys", json!(null)).await;
    let left = keys["data"].as_array().unwrap().iter();
    let left: Vec<_> =
        left.filter(|key| key["user_id"] == world.psa.technician() && key["active"] == true).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_second_start_with_renamed_and_swapped_agents_serves_them() {
    let mut world = World::start().await;
    world.stop().await;
    let text = std::fs::read_to_string(&world.config_file).unwrap();
    let swapped = text
        .replace("name = \"technician\"", "name = \"the other\"")
        .replace("name = \"reader\"", "name = \"technician\"")
        .replace("name = \"the other\"", "name = \"reader\"");
    assert_ne!(swapped, text);
    std::fs::write(&world.config_file, swapped).unwrap();
    let world = world.again().await;
    let rows = admin(&world).await.agents().await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.subject.as_str())).collect();
    assert_eq!(told, [("reader", "demo-technician"), ("technician", "demo-reader")]);
    let call = world.call("reader", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
    assert!(!call.is_error(), "{call:?}");
}
