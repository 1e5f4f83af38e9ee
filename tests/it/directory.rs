//! The PSA's users and roles, its administrators, and what its own MCP server knows of agents.

use serde_json::json;
use sidegate::clock::Clock;
use sidegate::psa::{self, Activity, Directory, KeyError, PsaConfig, Removal};
use sidegate::secret::Secret;

use crate::keys_contract::World;
use crate::keys_contract_demo::Demo;
use crate::keys_static;
use crate::support::alga::{AGENT, Alga, CLIENT_USER, Edition, FOREIGN_USER, OTHER_TENANT, TENANT, USER};

const NOBODY: &str = "00000000-0000-4000-8000-0000000000ff";

async fn names_of(directory: &dyn Directory, user: &str) -> Vec<String> {
    directory.roles_of(user).await.unwrap().into_iter().map(|role| role.name).collect()
}

/// What every directory promises about the users that were made for agents, and about `person`, who was not.
pub async fn people_contract(world: impl World, roles: [&str; 2], person: &str) {
    let directory = world.door().directory.unwrap();
    let [first, second] = roles.map(ToOwned::to_owned);
    let agent = world.agent(1);
    let user =
        directory.provision(&agent.agent_id, "Triage bot", std::slice::from_ref(&first)).await.unwrap();

    let shown = directory.user(&user).await.unwrap().unwrap();
    assert!(shown.internal && shown.active && shown.ours, "{shown:?}");
    assert!(shown.username.starts_with("mcp-agent-") && shown.email.unwrap().contains(&agent.agent_id));
    assert_eq!(names_of(directory.as_ref(), &user).await, std::slice::from_ref(&first));

    let there = directory.roles().await.unwrap();
    let id = &there.iter().find(|role| role.name == second).unwrap().role_id;
    directory.set_roles(&user, std::slice::from_ref(id)).await.unwrap();
    assert_eq!(names_of(directory.as_ref(), &user).await, std::slice::from_ref(&second));
    let refused = directory.set_roles(&user, &[first.clone(), "Emperor".to_owned()]).await.unwrap_err();
    assert!(matches!(&refused, KeyError::Refused(why) if why.contains("Emperor")), "{refused:?}");
    assert_eq!(names_of(directory.as_ref(), &user).await, [second]);
    directory.set_roles(&user, &[]).await.unwrap();
    assert_eq!(names_of(directory.as_ref(), &user).await, Vec::<String>::new());

    directory.deactivate(&user).await.unwrap();
    assert!(!directory.user(&user).await.unwrap().unwrap().active);
    directory.reactivate(&user).await.unwrap();
    assert!(directory.user(&user).await.unwrap().unwrap().active);

    nobody_elses_user_is_changed(directory.as_ref(), person, &first).await;
    for stranger in [NOBODY, "not a uuid"] {
        assert_eq!(directory.user(stranger).await, Ok(None));
        assert_eq!(directory.roles_of(stranger).await, Ok(Vec::new()));
        assert!(matches!(directory.remove(stranger).await, Err(KeyError::NoUser(_))));
        assert!(matches!(directory.reactivate(stranger).await, Err(KeyError::NoUser(_))));
        assert!(matches!(directory.set_roles(stranger, &[]).await, Err(KeyError::NoUser(_))));
    }

    assert_eq!(directory.remove(&user).await, Ok(Removal::Removed));
    assert_eq!(directory.user(&user).await, Ok(None));
    assert!(matches!(directory.remove(&user).await, Err(KeyError::NoUser(_))));
}

async fn nobody_elses_user_is_changed(directory: &dyn Directory, person: &str, role: &str) {
    let before = (directory.user(person).await.unwrap().unwrap(), names_of(directory, person).await);
    assert!(!before.0.ours, "{before:?}");
    for refused in [
        directory.set_roles(person, &[role.to_owned()]).await.unwrap_err(),
        directory.deactivate(person).await.unwrap_err(),
        directory.reactivate(person).await.unwrap_err(),
        directory.remove(person).await.unwrap_err(),
    ] {
        assert!(
            matches!(&refused, KeyError::Refused(why) if why.contains(&before.0.username)),
            "{refused:?}"
        );
    }
    let after = (directory.user(person).await.unwrap().unwrap(), names_of(directory, person).await);
    assert_eq!(before, after);
}

#[tokio::test]
async fn both_editions_databases_keep_the_contract_about_people() {
    for edition in [Edition::Commercial, Edition::Open] {
        people_contract(Alga::new(edition).await, ["Technician", "Finance"], USER).await;
    }
}

#[tokio::test]
async fn the_demo_psa_keeps_the_contract_about_people() {
    let demo = Demo::new().await;
    let person = demo.psa.catalog_user.clone();
    people_contract(demo, ["Technician", "Dispatcher"], &person).await;
}

#[tokio::test]
async fn a_user_that_wrote_something_is_switched_off_and_the_table_is_named() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let directory = alga.directory();
    let user = directory.provision(AGENT, "Bot", &["Technician".to_owned()]).await.unwrap();
    let sql = format!("INSERT INTO comments (tenant, user_id, note) VALUES ('{TENANT}', '{user}', 'Done')");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut alga.database).await.unwrap();

    let Removal::Deactivated { why } = directory.remove(&user).await.unwrap() else { panic!("removed") };
    assert!(why.contains("`comments`"), "{why}");
    assert!(!directory.user(&user).await.unwrap().unwrap().active);
    // All or nothing: what failed half-way has taken no role.
    assert_eq!(names_of(directory.as_ref(), &user).await, ["Technician"]);
    assert_eq!(alga.count("comments").await, 1);
}

#[tokio::test]
async fn a_user_that_the_psas_own_mcp_server_made_is_ours_too() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    let directory = alga.directory();
    let user = directory.user(TRIAGE_USER).await.unwrap().unwrap();
    assert!(user.ours, "{user:?}");
    directory.set_roles(TRIAGE_USER, &["Finance".to_owned()]).await.unwrap();
    assert_eq!(names_of(directory.as_ref(), TRIAGE_USER).await, ["Finance"]);
    assert_eq!(directory.remove(TRIAGE_USER).await, Ok(Removal::Removed));
}

#[tokio::test]
async fn a_customers_user_is_never_ours_whatever_its_address_is() {
    let mut alga = Alga::new(Edition::Commercial).await;
    alga.run("UPDATE users SET email = 'mcp-agent-x@agents.alga.local' WHERE username = 'client'").await;
    let directory = alga.directory();
    assert!(!directory.user(CLIENT_USER).await.unwrap().unwrap().ours);
    let refused = directory.set_roles(CLIENT_USER, &["Technician".to_owned()]).await.unwrap_err();
    assert!(matches!(refused, KeyError::Refused(_)), "{refused:?}");
    assert!(matches!(directory.remove(CLIENT_USER).await, Err(KeyError::Refused(_))));
}

#[tokio::test]
async fn another_tenants_users_are_not_there() {
    let alga = Alga::new(Edition::Commercial).await;
    let directory = alga.directory();
    assert_eq!(directory.user(FOREIGN_USER).await, Ok(None));
    let further = alga.config.for_tenant(Some(OTHER_TENANT), Some(FOREIGN_USER), Some("other"));
    let other = psa::open(&further, Clock::System).await.unwrap().directory.unwrap();
    assert_eq!(other.user(USER).await, Ok(None));
    assert_eq!(other.user(FOREIGN_USER).await.unwrap().unwrap().username, "foreign");
    let names: Vec<_> = other.roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["Foreign Role"]);
}

#[tokio::test]
async fn a_door_without_a_directory_names_the_setting() {
    let keys = tempfile::tempdir().unwrap();
    let door = psa::open(&keys_static::config(&keys, "http://127.0.0.1:9"), Clock::System).await.unwrap();
    assert!(door.directory.is_none());
    let said = KeyError::no_directory();
    assert!(matches!(&said, KeyError::Unsupported(why) if why.contains("psa.database_url")), "{said}");
    let demo = Demo::new().await.door.directory.unwrap();
    assert!(matches!(demo.note(&[]).await, Err(KeyError::Unsupported(_))));
}

#[tokio::test]
async fn a_table_of_ours_in_a_schema_named_like_the_login_does_not_hide_the_psas() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    alga.run(
        "CREATE SCHEMA sidegate; CREATE TABLE sidegate.tenants (id text); CREATE TABLE sidegate.agents (id text)",
    )
    .await;
    let door = psa::open(&alga.config, Clock::System).await.unwrap();
    door.keys.mint(&alga.agent(1), std::time::Duration::from_secs(60), alga.now()).await.unwrap();
    assert_eq!(door.directory.unwrap().takeover().await.unwrap().unwrap().agents.len(), 3);
}

/// A key with this text of `user`, a row of `api_keys` with `more` set.
pub async fn key_of(alga: &mut Alga, text: &str, user: &str, more: &str) -> Secret {
    let key = Secret::new(text);
    let hash = crate::support::alga::sha256(&key);
    let sql = format!(
        "INSERT INTO api_keys (api_key, user_id, tenant) VALUES ('{hash}', '{user}', '{TENANT}'); \
         UPDATE api_keys SET {more} WHERE api_key = '{hash}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut alga.database).await.unwrap();
    key
}

pub const MAKE_ADMIN: &str = "
    INSERT INTO roles (tenant, role_name, msp, client) VALUES
        ('10000000-0000-4000-8000-000000000001', 'ADMIN', true, false),
        ('10000000-0000-4000-8000-000000000001', 'Admin', false, true);
    INSERT INTO user_roles (tenant, user_id, role_id) SELECT tenant, '20000000-0000-4000-8000-000000000001', role_id
        FROM roles WHERE role_name = 'ADMIN';
";

#[tokio::test]
async fn an_administrators_key_is_known_by_its_owners_role() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let key = key_of(&mut alga, "plain", USER, "purpose = 'general'").await;
    let directory = alga.directory();
    assert_eq!(directory.administrator(&key).await, Ok(None));
    alga.run(MAKE_ADMIN).await;
    let admin = directory.administrator(&key).await.unwrap().unwrap();
    assert_eq!((admin.user_id.as_str(), admin.username.as_str()), (USER, "bot"));
    assert_eq!(directory.administrator(&Secret::new("another")).await, Ok(None));
}

#[tokio::test]
async fn a_key_that_the_psa_would_refuse_administers_nothing() {
    let mut alga = Alga::new(Edition::Commercial).await;
    alga.run(MAKE_ADMIN).await;
    let directory = alga.directory();
    for (number, (more, good)) in [
        ("active = true", true),
        ("active = false", false),
        ("expires_at = now() + interval '1 hour'", true),
        ("expires_at = now() - interval '1 second'", false),
        ("usage_limit = 2, usage_count = 1", true),
        ("usage_limit = 2, usage_count = 2", false),
        ("tenant = '10000000-0000-4000-8000-000000000002'", false),
        ("user_id = NULL", false),
        // Nobody holds these: they stand for agents and errands.
        ("purpose = 'mcp_sidecar'", false),
        ("purpose = 'mcp_agent'", false),
        ("purpose = 'mcp_user'", false),
        ("purpose = 'ai_session'", false),
        ("purpose = 'mobile_session'", true),
    ]
    .into_iter()
    .enumerate()
    {
        let key = key_of(&mut alga, &format!("key {number}"), USER, more).await;
        assert_eq!(directory.administrator(&key).await.unwrap().is_some(), good, "{more}");
    }
}

#[tokio::test]
async fn an_owner_that_is_off_no_internal_user_an_agent_or_of_a_suspended_tenant_administers_nothing() {
    let mut alga = Alga::new(Edition::Commercial).await;
    alga.run(MAKE_ADMIN).await;
    let directory = alga.directory();
    let key = key_of(&mut alga, "key", USER, "active = true").await;
    assert!(directory.administrator(&key).await.unwrap().is_some());
    for (change, back) in [
        ("UPDATE users SET is_inactive = true", "UPDATE users SET is_inactive = false"),
        ("UPDATE users SET is_inactive = NULL", "UPDATE users SET is_inactive = false"),
        ("UPDATE users SET user_type = 'client'", "UPDATE users SET user_type = 'internal'"),
        (
            "UPDATE users SET email = 'mcp-agent-1@agents.alga.local' WHERE username = 'bot'",
            "UPDATE users SET email = 'b@x' WHERE username = 'bot'",
        ),
        (
            "UPDATE tenants SET suspended_at = now(), suspended_reason = 'tenant_cancelled'",
            "UPDATE tenants SET suspended_at = NULL, suspended_reason = NULL",
        ),
        ("UPDATE roles SET msp = false WHERE role_name = 'ADMIN'", "UPDATE roles SET msp = true"),
    ] {
        alga.run(change).await;
        assert_eq!(directory.administrator(&key).await, Ok(None), "{change}");
        alga.run(back).await;
        assert!(directory.administrator(&key).await.unwrap().is_some(), "{back}");
    }
}

#[tokio::test]
async fn the_demo_psas_administrator_is_known_by_a_key_too() {
    let demo = Demo::new().await;
    let key = Secret::new("vera's");
    let hash = crate::support::alga::sha256(&key);
    for (user, purpose, good) in [
        (demo.psa.administrator(), "general", true),
        (demo.psa.administrator(), "mcp_sidecar", false),
        (demo.psa.technician(), "general", false),
    ] {
        let row = json!({ "user_id": user, "key_hash": hash, "purpose": purpose }).to_string();
        let (status, made) = demo.control("POST", "/__keys", &row).await;
        assert_eq!(status, 201, "{made}");
        let found = demo.door.directory.as_ref().unwrap().administrator(&key).await.unwrap();
        assert_eq!(found.is_some(), good, "{user} {purpose}");
        demo.control("DELETE", &format!("/__keys/{}", made["api_key_id"].as_str().unwrap()), "").await;
    }
}

#[tokio::test]
async fn a_microsoft_connection_is_one_to_a_real_directory_and_the_default_comes_first() {
    let mut alga = Alga::new(Edition::Open).await;
    let directory = alga.directory();
    let found = async || directory.microsoft_connection().await.unwrap().map(|found| found.entra_tenant_id);
    assert_eq!(found().await, None);
    alga.run(
        "INSERT INTO microsoft_profiles (tenant, display_name, tenant_id, is_default, is_archived) VALUES
         ('10000000-0000-4000-8000-000000000001', 'A', 'common', true, false),
         ('10000000-0000-4000-8000-000000000001', 'B', 'organizations', false, false),
         ('10000000-0000-4000-8000-000000000001', 'C', 'contoso.example', false, false),
         ('10000000-0000-4000-8000-000000000001', 'D', '11111111-1111-4111-8111-111111111111', true, true),
         ('10000000-0000-4000-8000-000000000002', 'E', '22222222-2222-4222-8222-222222222222', true, false)",
    )
    .await;
    assert_eq!(found().await, None);
    alga.run(
        "INSERT INTO microsoft_profiles (tenant, display_name, tenant_id) VALUES
         ('10000000-0000-4000-8000-000000000001', 'Y', 'ABCDEF01-3333-4333-8333-333333333333'),
         ('10000000-0000-4000-8000-000000000001', 'Z', '44444444-4444-4444-8444-444444444444')",
    )
    .await;
    assert_eq!(found().await.as_deref(), Some("abcdef01-3333-4333-8333-333333333333"));
    alga.run("UPDATE microsoft_profiles SET is_default = true WHERE display_name = 'Z'").await;
    assert_eq!(found().await.as_deref(), Some("44444444-4444-4444-8444-444444444444"));
    alga.run("DROP TABLE microsoft_profiles").await;
    assert_eq!(found().await, None);
}

pub const TRIAGE: &str = "40000000-0000-4000-8000-000000000001";
pub const TRIAGE_USER: &str = "40000000-0000-4000-8000-000000000011";
pub const UNBOUND: &str = "40000000-0000-4000-8000-000000000002";
pub const GHOST: &str = "40000000-0000-4000-8000-000000000003";

/// What an AlgaPSA with an MCP server of its own has: two providers and three agents, one of another tenant beside.
pub async fn seed_own_server(alga: &mut Alga) {
    alga.run(
        "INSERT INTO users (tenant, user_id, username, hashed_password, email) VALUES
         ('10000000-0000-4000-8000-000000000001', '40000000-0000-4000-8000-000000000011', 'mcp-agent-40000000', '!',
          'mcp-agent-40000000-0000-4000-8000-000000000001@agents.alga.local');
         INSERT INTO user_roles (tenant, user_id, role_id) SELECT tenant, '40000000-0000-4000-8000-000000000011', role_id
            FROM roles WHERE role_name = 'Technician';
         INSERT INTO agent_idp_providers (id, tenant, issuer, jwks_uri, audience, subject_claim, kind, entra_tenant_id, active) VALUES
         ('50000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'https://idp.example', 'https://idp.example/jwks',
          'api://mcp', 'azp', 'custom', NULL, true),
         ('50000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001', 'https://accounts.google.com',
          'https://www.googleapis.com/oauth2/v3/certs', NULL, 'sub', 'google', NULL, true),
         ('50000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000002', 'https://foreign.example', 'https://foreign.example/jwks',
          'x', 'sub', 'custom', NULL, true);
         INSERT INTO agents (agent_id, tenant, name, description, idp_issuer, idp_subject, active, created_by, metadata, created_at) VALUES
         ('40000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'Triage', 'Sorts tickets', 'https://idp.example', 'app-1', true,
          '20000000-0000-4000-8000-000000000001', '{\"backing_user_id\":\"40000000-0000-4000-8000-000000000011\"}', '2026-06-10T12:00:00Z'),
         ('40000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000001', 'Unbound', NULL, NULL, NULL, true, NULL, NULL, '2026-06-11'),
         ('40000000-0000-4000-8000-000000000003', '10000000-0000-4000-8000-000000000001', 'Ghost', NULL, 'https://accounts.google.com', '1234', false, NULL,
          '{\"backing_user_id\":\"40000000-0000-4000-8000-000000000099\"}', '2026-06-12'),
         ('40000000-0000-4000-8000-000000000004', '10000000-0000-4000-8000-000000000002', 'Foreign', NULL, 'https://foreign.example', 'f', true, NULL, NULL, now());
         INSERT INTO agent_roles (agent_id, role_id, tenant) SELECT a::uuid, role_id, tenant::text FROM roles,
            unnest(ARRAY['40000000-0000-4000-8000-000000000001', '40000000-0000-4000-8000-000000000003']) AS a
            WHERE role_name = 'Finance';",
    )
    .await;
}

#[tokio::test]
async fn what_the_psas_own_mcp_server_knows_is_read_with_backing_users_and_their_roles_of_today() {
    let mut alga = Alga::new(Edition::Commercial).await;
    seed_own_server(&mut alga).await;
    // Written by hand, an upper-case UUID is the same tenant.
    let config = PsaConfig { tenant: TENANT.to_uppercase(), ..alga.config.clone() };
    let door = psa::open(&config, Clock::System).await.unwrap();
    let found = door.directory.unwrap().takeover().await.unwrap().unwrap();
    let issuers: Vec<_> =
        found.providers.iter().map(|p| (p.issuer.as_str(), p.audience.as_deref())).collect();
    assert_eq!(issuers, [("https://accounts.google.com", None), ("https://idp.example", Some("api://mcp"))]);
    assert_eq!(found.providers[1].subject_claim, "azp");

    let [triage, unbound, ghost] = &found.agents[..] else { panic!("{:?}", found.agents) };
    assert_eq!((triage.id.as_str(), triage.name.as_str(), triage.active), (TRIAGE, "Triage", true));
    assert_eq!(
        (triage.issuer.as_deref(), triage.subject.as_deref()),
        (Some("https://idp.example"), Some("app-1"))
    );
    assert_eq!((triage.created_by.as_deref(), triage.created_at), (Some(USER), 1_781_092_800_000));
    assert_eq!(triage.user.as_ref().unwrap().user_id, TRIAGE_USER);
    let names = |agent: &psa::TakeoverAgent| agent.roles.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(triage), ["Technician"]);
    assert_eq!((unbound.id.as_str(), unbound.issuer.as_deref(), &unbound.user), (UNBOUND, None, &None));
    assert_eq!((ghost.id.as_str(), ghost.active, &ghost.user), (GHOST, false, &None));
    assert_eq!(names(ghost), ["Finance"]);
}

#[tokio::test]
async fn the_open_edition_has_nothing_to_take_over_and_no_record_of_calls() {
    let alga = Alga::new(Edition::Open).await;
    assert_eq!(alga.directory().takeover().await, Ok(None));
    let said = alga.directory().note(&[activity(1, AGENT)]).await.unwrap_err();
    assert!(matches!(&said, KeyError::Unsupported(why) if why.contains("psa.activity")), "{said:?}");
}

/// The `number`th call of `agent`.
pub fn activity(number: u8, agent: &str) -> Activity {
    Activity {
        id: format!("60000000-0000-4000-8000-0000000000{number:02}"),
        agent_id: agent.to_owned(),
        tool: "call_api_endpoint".to_owned(),
        arguments: json!({ "entryId": "get-tickets", "note": "a\u{0}b" }),
        ok: true,
        status: Some(200),
        decision: "allow",
        summary: Some("y".repeat(3_000)),
        at: 1_781_092_800_123,
    }
}

#[tokio::test]
async fn what_agents_did_is_written_once_in_the_shape_of_the_psas_own_rows() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let directory = alga.directory();
    let refused = Activity { ok: false, status: None, decision: "deny", summary: None, ..activity(2, AGENT) };
    let nowhere = activity(3, "triage");
    directory.note(&[activity(1, AGENT), refused, nowhere]).await.unwrap();
    directory.note(&[activity(1, AGENT)]).await.unwrap();
    directory.note(&[]).await.unwrap();
    let rows = alga.text("SELECT json_agg(a ORDER BY id)::text FROM mcp_agent_audit a").await.unwrap();
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2, "{rows}");
    let first = &rows[0];
    assert_eq!((&first["tenant"], &first["agent_id"]), (&TENANT.into(), &AGENT.into()));
    assert_eq!((&first["tool"], &first["ok"]), (&"call_api_endpoint".into(), &true.into()));
    assert_eq!(first["arguments"], json!({ "entryId": "get-tickets", "note": "ab" }));
    assert_eq!((&first["status_code"], &first["decision"]), (&200.into(), &"allow".into()));
    assert_eq!(first["result_summary"].as_str().unwrap().len(), 2_000);
    let at = alga
        .text("SELECT (extract(epoch FROM created_at) * 1000)::bigint::text FROM mcp_agent_audit LIMIT 1");
    assert_eq!(at.await.unwrap(), "1781092800123");
    assert_eq!((&rows[1]["ok"], &rows[1]["decision"]), (&false.into(), &"deny".into()));
    assert!(rows[1]["status_code"].is_null() && rows[1]["result_summary"].is_null());
}
