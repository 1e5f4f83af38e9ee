//! Tenants beside each other: each under its own address, and none can tell of another.

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::app;
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::gate::admin::{Actor, Admin, AgentSpec};
use sidegate::identity::preset::ProviderSpec;

use crate::support::http::{Answer, message, modern};
use crate::support::issuer::Issuer;
use crate::support::plan::Plan;
use crate::support::replica::command;
use crate::support::world::{World, until};

/// A world with the further tenants `acme`, by path, and `globex`, by host.
struct Houses {
    world: World,
    acme: Issuer,
}

impl Houses {
    async fn open() -> Self {
        let world = World::of(Plan::default()).await;
        let acme = Issuer::start().await;
        command(&world.config_file, &["tenant", "add", "acme", "--name", "Acme"]).await;
        command(&world.config_file, &["tenant", "add", "globex", "--host", "globex.test:81"]).await;
        let houses = Self { world, acme };
        let admin = houses.admin("acme").await;
        let spec = ProviderSpec { issuer: Some(houses.acme.url.clone()), ..ProviderSpec::default() };
        admin.add_provider(&Actor::command_line(), &spec, true).await.unwrap();
        let user = houses.world.psa.reader().to_owned();
        houses.bind("acme", &houses.acme.url, "robot", &user).await;
        until(|| async { (houses.ask("acme", "robot", "tools/list").await.status == 200).then_some(()) })
            .await;
        houses
    }

    async fn admin(&self, tenant: &str) -> Admin {
        let config = config::load(Some(&self.world.config_file), std::iter::empty()).unwrap();
        app::admin(&config, Clock::System, Some(tenant)).await.unwrap()
    }

    async fn bind(&self, tenant: &str, issuer: &str, subject: &str, user: &str) {
        let spec = AgentSpec {
            name: subject.to_owned(),
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            psa_user: Some(user.to_owned()),
            ..AgentSpec::default()
        };
        self.admin(tenant).await.add_agent(&Actor::command_line(), &spec).await.unwrap();
    }

    fn url(&self, tenant: &str) -> String {
        format!("{}/t/{tenant}/api/mcp", self.world.base)
    }

    /// Asks the tenant below its path with a token of acme's issuer for that resource.
    async fn ask(&self, tenant: &str, subject: &str, method: &str) -> Answer {
        let url = self.url(tenant);
        self.show(&url, &self.acme.token(subject, &url, json!({})), method, json!({})).await
    }

    async fn show(&self, url: &str, token: &str, method: &str, params: Value) -> Answer {
        let (body, headers) = modern(method, params);
        self.world.send(message(url, Some(token), body.to_string(), &headers)).await
    }

    async fn call(&self, url: &str, token: &str) -> Answer {
        let arguments = json!({"entryId": "get-_api_v1_boards"});
        self.show(url, token, "tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}))
            .await
    }
}

#[tokio::test]
async fn a_tenant_has_an_address_metadata_agents_keys_and_a_record_of_its_own() {
    let houses = Houses::open().await;
    let (world, url) = (&houses.world, houses.url("acme"));
    let token = houses.acme.token("robot", &url, json!({}));
    let answer = houses.call(&url, &token).await;
    assert!(!answer.is_error() && answer.status == 200, "{answer:?}");
    let metadata =
        world.get(&format!("{}/.well-known/oauth-protected-resource/t/acme/api/mcp", world.base)).await;
    assert_eq!(metadata.body["resource"], url);
    assert_eq!(metadata.body["authorization_servers"], json!([houses.acme.url]));
    let main = world.get(&format!("{}/.well-known/oauth-protected-resource", world.base)).await;
    assert_eq!(main.body["authorization_servers"], json!([world.issuer.issuer]), "only its own");
    let keys = world.control("GET", "/__keys", json!(null)).await;
    let of_reader =
        keys["data"].as_array().unwrap().iter().filter(|key| key["user_id"] == world.psa.reader());
    assert_eq!(of_reader.count(), 1);
    let called = |record: &&Value| record["tool"] == "call_api_endpoint";
    let records = world.records_when(|records| records.iter().any(|record| called(&record))).await;
    let record = records.iter().find(called).unwrap();
    assert_eq!((&record["tenant"], &record["agent"]), (&json!("acme"), &json!("robot")));
    let events = houses.admin("demo").await.events(&Default::default(), None, 0, 100).await.unwrap();
    assert!(events.iter().all(|event| event.facts.tenant == "demo"), "{events:?}");
}

#[tokio::test]
async fn a_token_for_one_tenant_is_refused_by_another_and_no_answer_tells_of_it() {
    let houses = Houses::open().await;
    let world = &houses.world;
    let (main, acme) = (&world.mcp_url, houses.url("acme"));
    // An issuer of acme's, known to the main tenant or to nobody: the same words.
    let known = houses.call(main, &houses.acme.token("robot", main, json!({}))).await;
    let stranger = Issuer::start().await;
    let unknown = houses.call(main, &stranger.token("robot", main, json!({}))).await;
    assert_eq!((known.status, &known.body), (401, &unknown.body));
    let without = |answer: &Answer| answer.header("www-authenticate").to_owned();
    assert_eq!(without(&known), without(&unknown));
    // Made for the one resource and shown at the other.
    assert_eq!(houses.call(main, &houses.acme.token("robot", &acme, json!({}))).await.status, 401);
    assert_eq!(houses.call(&acme, &houses.acme.token("robot", main, json!({}))).await.status, 401);
    assert_eq!(houses.call(&acme, &world.token("technician")).await.status, 401);
    // What the main tenant's agent is called, a further one may call its own.
    houses.bind("acme", &houses.acme.url, "technician", world.psa.technician()).await;
}

#[tokio::test]
async fn the_same_identity_may_be_bound_in_two_tenants_and_the_resource_tells_them_apart() {
    let houses = Houses::open().await;
    let (world, spec) = (&houses.world, ProviderSpec::default());
    let spec = ProviderSpec { issuer: Some(houses.acme.url.clone()), ..spec };
    let admin = houses.admin("demo").await;
    admin.add_provider(&Actor::command_line(), &spec, true).await.unwrap();
    houses.bind("demo", &houses.acme.url, "robot", world.psa.technician()).await;
    let (main, acme) = (world.mcp_url.clone(), houses.url("acme"));
    until(|| async {
        (houses.call(&main, &houses.acme.token("robot", &main, json!({}))).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(houses.call(&acme, &houses.acme.token("robot", &acme, json!({}))).await.status, 200);
    for tenant in ["acme", "demo"] {
        let called = |record: &Value| record["tenant"] == tenant && record["tool"] == "call_api_endpoint";
        world
            .records_when(|records| records.iter().any(|record| called(record) && record["outcome"] == "ok"))
            .await;
    }
}

#[tokio::test]
async fn a_tenants_host_is_its_own_and_its_switch_ends_what_is_open() {
    let houses = Houses::open().await;
    let world = &houses.world;
    let at_host = |path: &str| {
        let request = http::Request::get(format!("{}{path}", world.base)).header("host", "globex.test:81");
        request.body(Bytes::new()).unwrap()
    };
    let metadata = world.send(at_host("/.well-known/oauth-protected-resource")).await;
    assert_eq!(metadata.body["resource"], "https://globex.test:81/api/mcp");
    assert_eq!(metadata.body["authorization_servers"], json!([]));
    assert_eq!(world.send(at_host("/t/acme/api/mcp")).await.status, 404, "not on somebody else's host");
    for path in ["/t/nobody/api/mcp", "/t/globex/api/mcp", "/t/acme/api/mcp/x"] {
        assert_eq!(world.get(&format!("{}{path}", world.base)).await.status, 404, "{path}");
    }
    command(&world.config_file, &["tenant", "set", "acme", "--mcp", "false"]).await;
    until(|| async { (houses.ask("acme", "robot", "tools/list").await.status == 404).then_some(()) }).await;
    let metadata = format!("{}/.well-known/oauth-protected-resource/t/acme/api/mcp", world.base);
    assert_eq!(world.get(&metadata).await.status, 404);
    command(&world.config_file, &["tenant", "set", "acme", "--mcp", "true"]).await;
    until(|| async { (houses.ask("acme", "robot", "tools/list").await.status == 200).then_some(()) }).await;
    command(&world.config_file, &["tenant", "set", "demo", "--mcp", "false"]).await;
    until(|| async { (world.ask("technician", "tools/list", json!({})).await.status == 404).then_some(()) })
        .await;
    command(&world.config_file, &["tenant", "set", "acme", "--active", "false"]).await;
    until(|| async { (houses.ask("acme", "robot", "tools/list").await.status == 404).then_some(()) }).await;
}
