//! The administrators' interface with the PSA's own API keys, as scripts of today have them: a real PostgreSQL
//! with the PSA's tables behind it.

use serde_json::json;

use crate::directory::{MAKE_ADMIN, key_of};
use crate::support::admin::{Api, problem, refused};
use crate::support::alga::{Alga, Edition, INACTIVE_USER, OTHER_TENANT, TENANT, USER};
use crate::support::plan::Plan;
use crate::support::world::World;
use crate::whole_postgres::rest_side;

async fn world(alga: &Alga) -> World {
    World::of(Plan { psa: Some(&rest_side(alga).await), ..Plan::default() }).await
}

#[tokio::test]
async fn a_key_administers_where_its_owner_has_the_role_admin_and_no_longer() {
    crate::support::install_crypto();
    let mut alga = Alga::new(Edition::Commercial).await;
    let world = world(&alga).await;
    let key = key_of(&mut alga, "plain", USER, "purpose = 'general'").await;
    let off = key_of(&mut alga, "off", INACTIVE_USER, "purpose = 'general'").await;
    let api = Api::saying(&world, &[("x-api-key", key.expose())]);
    refused(&api.get("/agents").await, 401, "Unauthorized");
    alga.run(MAKE_ADMIN).await;
    assert_eq!(api.get("/agents").await.status, 200);
    let bearer = format!("Bearer {}", key.expose());
    assert_eq!(Api::saying(&world, &[("authorization", &bearer)]).get("/agents").await.status, 200);
    for other in [off.expose(), "another", "sga_plain"] {
        refused(&Api::saying(&world, &[("x-api-key", other)]).get("/agents").await, 401, "Unauthorized");
    }
    // The tenant is called by the PSA's id, as its scripts call it, or by ours.
    for (tenant, status) in [(TENANT, 200), ("demo", 200), (OTHER_TENANT, 401), ("nobody", 401)] {
        let answer =
            Api::saying(&world, &[("x-api-key", key.expose()), ("x-tenant-id", tenant)]).get("/agents").await;
        assert_eq!(answer.status, status, "{tenant}: {answer:?}");
    }
    problem(&api.get("/tenants").await, 403, "every tenant");
    problem(&api.post("/admin-tokens", json!({"name": "x"})).await, 403, "every tenant");
    alga.run("UPDATE api_keys SET active = false").await;
    refused(&api.get("/agents").await, 401, "Unauthorized");
}

#[tokio::test]
async fn an_agent_has_its_user_and_roles_written_in_the_psa_and_leaves_a_user_that_is_held_on_to() {
    crate::support::install_crypto();
    let mut alga = Alga::new(Edition::Commercial).await;
    alga.run(MAKE_ADMIN).await;
    let world = world(&alga).await;
    let key = key_of(&mut alga, "plain", USER, "purpose = 'general'").await;
    let api = Api::saying(&world, &[("x-api-key", key.expose())]);
    let roles = api.data("/roles").await;
    let names: Vec<_> =
        roles.as_array().unwrap().iter().map(|role| role["role_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ADMIN", "Finance", "Technician"], "the MSP's, of this tenant");
    let technician = roles.as_array().unwrap().iter().find(|role| role["role_name"] == "Technician").unwrap();
    let add = |name: &str| {
        json!({
            "name": name, "idpIssuer": world.issuer.issuer, "idpSubject": format!("subject of {name}"),
            "roleIds": [technician["role_id"]],
        })
    };
    let added = api.post("/agents", add("bot")).await;
    assert_eq!(added.status, 201, "{added:?}");
    let agent = &added.body["data"];
    assert_eq!(agent["created_by"], USER, "who owns the key");
    let user = agent["metadata"]["backing_user_id"].as_str().unwrap();
    let has = "SELECT string_agg(role_name, ',') FROM user_roles JOIN roles USING (tenant, role_id) WHERE user_id = ";
    assert_eq!(alga.text(&format!("{has}'{user}'")).await.as_deref(), Some("Technician"));
    let set = api.send("PUT", "/agents/bot/roles", json!({"roles": ["Finance"]})).await;
    assert_eq!(set.status, 200, "{set:?}");
    assert_eq!(alga.text(&format!("{has}'{user}'")).await.as_deref(), Some("Finance"));

    let change =
        api.data(&format!("/events?kind=change&agent={}", agent["agent_id"].as_str().unwrap())).await;
    let record = &change[0]["record"]["change"];
    assert_eq!(
        (&record["action"], &record["actor"], &record["actor_kind"]),
        (&json!("agent.roles"), &json!("bot"), &json!("psa_user"))
    );

    let gone = api.delete("/agents/bot").await.body;
    assert_eq!(gone["data"]["psa_user"], json!({"outcome": "removed", "why": null}), "{gone:#}");
    assert_eq!(
        alga.text(&format!("SELECT count(*)::text FROM users WHERE user_id = '{user}'")).await.as_deref(),
        Some("0")
    );

    let second = api.post("/agents", add("writer")).await.body;
    let user = second["data"]["metadata"]["backing_user_id"].as_str().unwrap().to_owned();
    let sql = format!(
        "INSERT INTO comments (tenant, comment_id, user_id) VALUES ('{TENANT}', gen_random_uuid(), '{user}')"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut alga.database).await.unwrap();
    let kept = api.delete("/agents/writer").await.body;
    let left = &kept["data"]["psa_user"];
    assert_eq!(left["outcome"], "deactivated", "{kept:#}");
    assert!(left["why"].as_str().unwrap().contains("comments"), "{kept:#}");
    let off = format!("SELECT is_inactive::text FROM users WHERE user_id = '{user}'");
    assert_eq!(alga.text(&off).await.as_deref(), Some("true"));
}

#[tokio::test]
async fn without_the_psas_database_a_key_is_answered_with_the_setting_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "k").unwrap();
    let world = World::start().await;
    let psa = format!(
        "url = \"{}\"\nkeys = \"static\"\ncatalog_key = \"k\"\ntenant = \"{TENANT}\"\n\
         static_keys = {{ technician = {:?} }}",
        world.psa.url,
        folder.path().join("key")
    );
    let beside = world.beside(folder.path());
    let (before, after) = beside.split_once("[psa]").unwrap();
    let (_, after) = after.split_once("[idp]").unwrap();
    let text = format!("{before}[psa]\n{psa}\n[idp]{after}");
    let file = folder.path().join("sidegate.toml");
    std::fs::write(&file, text).unwrap();
    let config =
        sidegate::config::load(Some(&file), std::iter::empty()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let sockets = sidegate::app::Sockets::bind(&config).unwrap();
    let rows = sidegate::tool::table::standard_rows();
    let app = sidegate::app::App::build(config, sockets, sidegate::clock::Clock::System, rows).await.unwrap();
    let url = format!("http://{}/api/v1/mcp", app.admin_addresses()[0]);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));
    for path in ["/agents", "/roles", "/events"] {
        let request = http::Request::get(format!("{url}{path}")).header("x-api-key", "a-key-of-the-psa");
        let answer = world.send(request.body(bytes::Bytes::new()).unwrap()).await;
        problem(&answer, 501, "psa.database_url");
        assert_eq!(answer.body["setting"], "psa.database_url");
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
