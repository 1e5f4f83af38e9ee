//! Weaknesses that were verified in AlgaPSA's own endpoint, by their number in the list of them: each a test that it is
//! not here. Those of tokens and providers stand in `providers_weaknesses` and `idp`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::{Actor, Admin, AdminError, AgentSpec, ChainId, Filter, PsaUserLeft, warnings};
use sidegate::identity::preset::{ProviderChange, ProviderSpec};
use sidegate::record::{Advance, Chain, Facts};

use crate::support::issuer::Issuer;
use crate::support::replica::command;
use crate::support::world::{World, until};

async fn admin(world: &World, tenant: Option<&str>) -> Admin {
    let config = config::load(Some(&world.config_file), std::iter::empty()).unwrap();
    app::admin(&config, Clock::System, tenant).await.unwrap()
}

fn me() -> Actor {
    Actor::command_line()
}

fn bound(issuer: &str, name: &str, subject: &str) -> AgentSpec {
    AgentSpec {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        ..AgentSpec::default()
    }
}

/// The keys of a PSA user that work.
async fn keys_of(world: &World, user: &str) -> usize {
    let keys = world.control("GET", "/__keys", json!(null)).await;
    let all = keys["data"].as_array().unwrap().iter();
    all.filter(|key| key["user_id"] == user && key["active"] == true).count()
}

#[tokio::test]
async fn weakness_13_what_calls_nothing_has_no_key_many_calls_share_one_and_it_ends_with_the_agent() {
    let world = World::start().await;
    let user = world.psa.technician().to_owned();
    for method in ["tools/list", "server/discover"] {
        assert_eq!(world.ask("technician", method, json!({})).await.status, 200);
    }
    assert_eq!(world.post(Some(&world.token("technician")), "{", &[]).await.status, 400);
    assert_eq!(keys_of(&world, &user).await, 0);
    for _ in 0..10 {
        let answer =
            world.call("technician", "call_api_endpoint", json!({"entryId": "get-_api_v1_boards"})).await;
        assert!(!answer.is_error(), "{answer:?}");
    }
    assert_eq!(keys_of(&world, &user).await, 1);
    admin(&world, None).await.disable_agent(&me(), "technician").await.unwrap();
    until(|| async { (keys_of(&world, &user).await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn weakness_18_another_tenants_agent_is_neither_named_nor_in_the_way() {
    let world = World::start().await;
    let issuer = Issuer::start().await;
    command(&world.config_file, &["tenant", "add", "acme"]).await;
    let spec = ProviderSpec { issuer: Some(issuer.url.clone()), ..ProviderSpec::default() };
    for tenant in [Some("acme"), None] {
        let admin = admin(&world, tenant).await;
        admin.add_provider(&me(), &spec, true).await.unwrap();
        let name = tenant.unwrap_or("main");
        admin.add_agent(&me(), &bound(&issuer.url, &format!("robot of {name}"), "robot")).await.unwrap();
        let again = admin.add_agent(&me(), &bound(&issuer.url, "second", "robot")).await.unwrap_err();
        assert!(matches!(again, AdminError::Conflict(_)), "{again}");
        let told = again.to_string();
        let own = format!("robot of {name}");
        assert!(told.contains(&own) && told.matches("robot of").count() == 1, "{told}");
        let report = admin.dry_run(&issuer.url, "robot").await.unwrap();
        assert_eq!(report.agent.unwrap().1, own);
    }
}

#[tokio::test]
async fn weakness_19_a_binding_is_one_agents_whether_it_is_on_or_off_and_what_stands_against_it_is_said() {
    let world = World::start().await;
    let (admin, issuer) = (admin(&world, None).await, world.issuer.issuer.clone());
    admin.add_agent(&me(), &bound(&issuer, "first", "robot")).await.unwrap();
    admin.disable_agent(&me(), "first").await.unwrap();
    let refused = admin.add_agent(&me(), &bound(&issuer, "second", "robot")).await.unwrap_err();
    assert!(matches!(&refused, AdminError::Conflict(said) if said.contains("`first`")), "{refused}");
    let report = admin.dry_run(&issuer, "robot").await.unwrap();
    assert_eq!((report.free, report.agent_active), (false, Some(false)));
    admin.delete_agent(&me(), "first").await.unwrap();
    admin.add_agent(&me(), &bound(&issuer, "second", "robot")).await.unwrap();
    let gone = admin.enable_agent(&me(), "first").await.unwrap_err();
    assert!(matches!(gone, AdminError::NotFound(_)), "a deleted one does not come back beside it: {gone}");
}

#[tokio::test]
async fn weakness_20_the_metadata_names_the_issuers_of_this_tenant_as_they_come_and_go_and_of_no_other() {
    let world = World::start().await;
    let (ours, theirs) = (Issuer::start().await, Issuer::start().await);
    command(&world.config_file, &["tenant", "add", "acme"]).await;
    let trust =
        |issuer: &Issuer| ProviderSpec { issuer: Some(issuer.url.clone()), ..ProviderSpec::default() };
    admin(&world, Some("acme")).await.add_provider(&me(), &trust(&theirs), true).await.unwrap();
    let main = admin(&world, None).await;
    let row = main.add_provider(&me(), &trust(&ours), true).await.unwrap().0;
    let url = format!("{}/.well-known/oauth-protected-resource/api/mcp", world.base);
    let named = || async {
        let servers = world.get(&url).await.body["authorization_servers"].clone();
        let servers: BTreeSet<String> = serde_json::from_value(servers).unwrap();
        servers
    };
    let both = BTreeSet::from([world.issuer.issuer.clone(), ours.url.clone()]);
    until(|| async { (named().await == both).then_some(()) }).await;
    let off = ProviderChange { active: Some(false), ..ProviderChange::default() };
    main.change_provider(&me(), &row.id, &off).await.unwrap();
    let one = BTreeSet::from([world.issuer.issuer.clone()]);
    until(|| async { (named().await == one).then_some(()) }).await;
}

#[tokio::test]
async fn weakness_24_an_agent_may_act_as_a_service_user_that_is_there_and_takes_no_further_seat() {
    let world = World::start().await;
    let admin = admin(&world, None).await;
    let user = world.psa.administrator().to_owned();
    let spec =
        AgentSpec { psa_user: Some(user.clone()), ..bound(&world.issuer.issuer, "mapped", "demo-stranger") };
    let row = admin.add_agent(&me(), &spec).await.unwrap();
    assert_eq!((row.psa_user.as_deref(), row.provisioned), (Some(user.as_str()), false));
    let roles = admin.set_agent_roles(&me(), "mapped", &["Technician".to_owned()]).await.unwrap_err();
    assert!(matches!(roles, AdminError::Refused(_)), "the PSA's own user keeps its roles: {roles}");
    assert_eq!(admin.delete_agent(&me(), "mapped").await.unwrap().psa_user, PsaUserLeft::Kept);
    let left = admin.directory.as_ref().unwrap().user(&user).await.unwrap().unwrap();
    assert!(left.active);
    let nobody = AgentSpec { psa_user: Some(uuid::Uuid::new_v4().to_string()), ..spec };
    let refused = admin.add_agent(&me(), &nobody).await.unwrap_err();
    assert!(matches!(&refused, AdminError::Invalid(said) if said[0].0 == "psa_user"), "{refused}");
}

#[tokio::test]
async fn weakness_25_an_agent_needs_a_trusted_issuer_and_real_roles_which_change_later_and_providers_go() {
    let world = World::start().await;
    let (admin, issuer) = (admin(&world, None).await, world.issuer.issuer.clone());
    let stranger = admin.add_agent(&me(), &bound("https://nobody.example", "a", "b")).await.unwrap_err();
    assert!(stranger.to_string().contains("not trusted"), "{stranger}");
    let roles = admin.roles().await.unwrap();
    let (first, second) = (roles[0].name.clone(), roles[1].name.clone());
    let with = |role: &str| AgentSpec {
        provision: true,
        roles: vec![role.to_owned()],
        ..bound(&issuer, "made", "demo-stranger")
    };
    let unknown = admin.add_agent(&me(), &with("No such role")).await.unwrap_err();
    assert!(unknown.to_string().contains("No such role"), "{unknown}");
    let row = admin.add_agent(&me(), &with(&first)).await.unwrap();
    assert_eq!(warnings(&row).len(), usize::from(first == "Admin"));
    let changed = admin.set_agent_roles(&me(), &row.id, std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(changed.roles, std::slice::from_ref(&second));
    let there: Vec<_> = admin.agent_roles(&row.id).await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(there, [second]);
    let nobody = admin.disable_agent(&me(), "nobody").await.unwrap_err();
    assert!(matches!(nobody, AdminError::NotFound(_)), "{nobody}");
    let theirs = Issuer::start().await;
    let spec = ProviderSpec { issuer: Some(theirs.url.clone()), ..ProviderSpec::default() };
    let provider = admin.add_provider(&me(), &spec, true).await.unwrap().0;
    admin.add_agent(&me(), &bound(&theirs.url, "theirs", "robot")).await.unwrap();
    let token = theirs.token("robot", &world.mcp_url, json!({}));
    let (body, headers) = crate::support::world::modern("tools/list", json!({}));
    let ask = || async { world.post(Some(&token), body.to_string(), &headers).await.status };
    until(|| async { (ask().await == 200).then_some(()) }).await;
    admin.remove_provider(&me(), &provider.id).await.unwrap();
    until(|| async { (ask().await == 401).then_some(()) }).await;
}

#[tokio::test]
async fn weakness_30_pages_of_the_record_lose_and_repeat_nothing_that_happened_in_one_moment() {
    let world = World::start().await;
    let admin = admin(&world, None).await;
    let facts = |number: usize| Facts {
        tenant: "demo".to_owned(),
        at: 1_000 + (number / 40) as i64,
        kind: "call".into(),
        agent_id: Some("a".to_owned()),
        request_id: Some(format!("event-{number:03}")),
        body: json!({"number": number}).to_string(),
        ..Facts::default()
    };
    let mut chain = Chain::begin(ChainId(1));
    let mut append = async |facts: Vec<Facts>| {
        let from = chain.head().map(|head| head.seq);
        let records: Vec<_> = facts.into_iter().map(|facts| Arc::new(chain.append(facts))).collect();
        let advance = Advance { from, to: chain.head().unwrap(), bytes: 0, last: false };
        admin.store.append_records("p", &records, &[("demo".to_owned(), advance)]).await.unwrap();
    };
    append((0..100).map(facts).collect()).await;
    let filter = Filter { agent: Some("a".to_owned()), ..Filter::default() };
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = admin.events(&filter, after, 0, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.facts.at, last.chain, last.seq));
        seen.extend(page.into_iter().map(|record| record.facts.request_id.unwrap()));
        // What happens meanwhile stands before the first page.
        append(vec![Facts { at: 5_000 + seen.len() as i64, ..facts(900 + seen.len()) }]).await;
    }
    let expected: Vec<_> = (0..100).rev().map(|number| format!("event-{number:03}")).collect();
    assert_eq!(seen, expected);
}
