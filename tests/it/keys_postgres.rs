//! Keys in AlgaPSA's own tables: the rows, who gets none, and whose keys are left alone.

use std::time::Duration;

use sidegate::clock::Clock;
use sidegate::psa::{self, CatalogCredential, KeyError, Principal};
use sidegate::secret::Secret;

use crate::keys_contract::World;
use crate::support::alga::{
    AGENT, Alga, CLIENT_USER, Edition, FOREIGN_USER, INACTIVE_USER, OTHER_TENANT, TENANT, UNDECIDED_USER,
    USER, config, principal, sha256,
};
use crate::support::postgres;

const TTL: Duration = Duration::from_secs(300);

async fn mint(alga: &Alga, who: &Principal) -> Result<psa::Credential, KeyError> {
    alga.door.keys.mint(who, TTL, alga.now()).await
}

fn bot() -> Principal {
    principal(AGENT, "Triage bot", Some(USER))
}

#[tokio::test]
async fn a_minted_row_has_the_psas_shape_and_holds_the_hash_only() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let (now, keys) = (alga.now(), alga.door.keys.clone());
    let key = keys.mint(&bot(), TTL, now).await.unwrap();
    let row = alga.text("SELECT (to_jsonb(k))::text FROM api_keys k").await.unwrap();
    assert!(!row.contains(key.key().expose()), "the key itself is in the row");
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    assert_eq!(key.key().expose().len(), 64);
    assert_eq!(row["api_key_id"], key.key_id());
    assert_eq!(row["api_key"], sha256(key.key()));
    assert_eq!((&row["tenant"], &row["user_id"]), (&TENANT.into(), &USER.into()));
    assert_eq!((&row["agent_id"], &row["purpose"]), (&AGENT.into(), &"mcp_sidecar".into()));
    assert_eq!(row["description"], "sidegate: Triage bot");
    assert_eq!((&row["active"], row["usage_limit"].is_null()), (&true.into(), true));
    assert_eq!(row["metadata"]["sidegate_agent_id"], AGENT);
    assert_eq!(row["metadata"]["instance"].as_str().unwrap().len(), 36);
    let expires =
        alga.text("SELECT (extract(epoch FROM expires_at) * 1000)::bigint::text FROM api_keys").await;
    assert_eq!(expires.unwrap().parse(), Ok(now + 300_000));
}

#[tokio::test]
async fn an_agent_id_that_is_no_uuid_stays_out_of_the_column() {
    let mut alga = Alga::new(Edition::Commercial).await;
    mint(&alga, &principal("triage", "Bot", Some(USER))).await.unwrap();
    let row =
        "SELECT coalesce(agent_id::text, 'none') || ' ' || (metadata->>'sidegate_agent_id') FROM api_keys";
    assert_eq!(alga.text(row).await.unwrap(), "none triage");
}

#[tokio::test]
async fn a_tenant_that_is_missing_or_cannot_be_seen_fails_closed() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let nowhere = psa::PsaConfig { tenant: AGENT.to_owned(), ..alga.config.clone() };
    let door = psa::open(&nowhere, Clock::System).await.unwrap();
    let refused = door.keys.mint(&bot(), TTL, alga.now()).await.unwrap_err();
    assert!(matches!(&refused, KeyError::Refused(why) if why.contains("psa.tenant")), "{refused:?}");

    alga.run("ALTER TABLE tenants DROP COLUMN suspended_at CASCADE").await;
    let refused = mint(&alga, &bot()).await.unwrap_err();
    assert!(matches!(&refused, KeyError::Refused(why) if why.contains("suspended_at")), "{refused:?}");
    assert_eq!(alga.count("api_keys").await, 0);
}

#[tokio::test]
async fn only_an_active_internal_user_of_the_tenant_gets_a_key() {
    let mut alga = Alga::new(Edition::Commercial).await;
    for user in [INACTIVE_USER, CLIENT_USER, UNDECIDED_USER, FOREIGN_USER, "not a uuid"] {
        let refused = mint(&alga, &principal(AGENT, "Bot", Some(user))).await.unwrap_err();
        assert!(matches!(refused, KeyError::NoUser(_)), "{user}: {refused:?}");
    }
    assert_eq!(alga.count("api_keys").await, 0);
}

#[tokio::test]
async fn keys_of_other_purposes_and_tenants_are_never_touched() {
    let mut alga = Alga::new(Edition::Commercial).await;
    alga.run(
        "INSERT INTO api_keys (api_key, user_id, tenant, purpose, active, expires_at, metadata) VALUES
         ('a', '20000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'general', true, now() - interval '1 h', NULL),
         ('b', '20000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', 'mcp_agent', false, now() - interval '1 h',
          '{\"sidegate_agent_id\":\"30000000-0000-4000-8000-000000000001\"}'),
         ('c', '20000000-0000-4000-8000-000000000005', '10000000-0000-4000-8000-000000000002', 'mcp_sidecar', true, now() - interval '1 h',
          '{\"sidegate_agent_id\":\"30000000-0000-4000-8000-000000000001\"}')",
    )
    .await;
    let keys = alga.door.keys.clone();
    assert_eq!(keys.sweep(alga.now()).await, Ok(0));
    assert_eq!(keys.revoke_agent(AGENT).await, Ok(0));
    let general = alga.text("SELECT api_key_id::text FROM api_keys WHERE api_key = 'a'").await.unwrap();
    keys.revoke(&general).await.unwrap();
    assert_eq!(alga.count("api_keys").await, 3);
    assert_eq!(alga.count(&format!("api_keys WHERE tenant = '{OTHER_TENANT}'")).await, 1);
}

#[tokio::test]
async fn a_key_that_an_administrator_switched_off_is_swept() {
    let mut alga = Alga::new(Edition::Commercial).await;
    mint(&alga, &bot()).await.unwrap();
    let live = mint(&alga, &bot()).await.unwrap();
    alga.run("UPDATE api_keys SET active = false WHERE api_key_id = (SELECT api_key_id FROM api_keys ORDER BY created_at LIMIT 1)").await;
    assert_eq!(alga.door.keys.sweep(alga.now()).await, Ok(1));
    assert!(alga.accepts(live.key()).await);
}

#[tokio::test]
async fn a_database_that_is_down_is_told_as_unavailable_and_the_start_does_not_need_it() {
    let nowhere = tempfile::tempdir().unwrap();
    let config = config(&postgres::url_of_nobody(nowhere.path()));
    let door = psa::open(&config, Clock::System).await.unwrap();
    let refused = door.keys.mint(&bot(), TTL, 0).await.unwrap_err();
    assert!(matches!(refused, KeyError::Unavailable(_)), "{refused:?}");
    let refused = door.directory.unwrap().roles().await.unwrap_err();
    assert!(matches!(refused, KeyError::Unavailable(_)), "{refused:?}");
}

#[tokio::test]
async fn tables_in_a_schema_of_their_own_are_found() {
    let mut alga = Alga::new(Edition::Commercial).await;
    alga.run("CREATE SCHEMA \"the PSA\"").await;
    for table in ["tenants", "users", "roles", "user_roles", "api_keys"] {
        let sql = format!("ALTER TABLE {table} SET SCHEMA \"the PSA\"");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut alga.database).await.unwrap();
    }
    let config = psa::PsaConfig { database_schema: Some("the PSA".to_owned()), ..alga.config.clone() };
    let door = psa::open(&config, Clock::System).await.unwrap();
    let key = door.keys.mint(&bot(), TTL, alga.now()).await.unwrap();
    let sql = format!("\"the PSA\".api_keys WHERE api_key_id = '{}' AND agent_id IS NOT NULL", key.key_id());
    assert_eq!(alga.count(&sql).await, 1);
}

#[tokio::test]
async fn a_provisioned_user_cannot_log_in_and_has_exactly_the_roles_asked_for() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let directory = alga.door.directory.clone().unwrap();
    let names: Vec<_> = directory.roles().await.unwrap().into_iter().map(|role| role.name).collect();
    assert_eq!(names, ["Finance", "Technician"]);

    let both = ["Technician".to_owned(), "Finance".to_owned()];
    let user = directory.provision(AGENT, "Triage bot", &both).await.unwrap();
    let roles = "SELECT string_agg(role_name, ' ' ORDER BY role_name) FROM user_roles JOIN roles USING (tenant, role_id)";
    assert_eq!(alga.text(roles).await.unwrap(), "Finance Technician");
    let again = directory.provision(AGENT, "Triage bot", &both[..1]).await.unwrap();
    assert_eq!((again, alga.text(roles).await.unwrap()), (user.clone(), "Technician".to_owned()));

    let row =
        alga.text(&format!("SELECT to_jsonb(u)::text FROM users u WHERE user_id = '{user}'")).await.unwrap();
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    assert_eq!(row["username"], "mcp-agent-30000000");
    assert_eq!(row["email"], format!("mcp-agent-{AGENT}@agents.sidegate.invalid"));
    assert_eq!((&row["user_type"], &row["is_inactive"]), (&"internal".into(), &false.into()));
    assert!(row["hashed_password"].as_str().unwrap().starts_with("!mcp-agent-no-login!"), "{row}");
}

#[tokio::test]
async fn two_who_provision_the_same_agent_at_once_make_one_user() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let before = alga.count("users").await;
    let directory = alga.door.directory.clone().unwrap();
    let roles = ["Technician".to_owned()];
    let one = || directory.provision(AGENT, "Bot", &roles);
    let (a, b) = tokio::join!(one(), one());
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!((alga.count("users").await, alga.count("user_roles").await), (before + 1, 1));
}

#[tokio::test]
async fn a_user_name_or_address_that_another_user_has_is_named_and_nothing_is_written() {
    for (column, unique, value) in [
        ("username", "lower(username)", "MCP-agent-30000000".to_owned()),
        ("email", "email", format!("mcp-agent-{AGENT}@agents.sidegate.invalid")),
    ] {
        let mut alga = Alga::new(Edition::Commercial).await;
        for sql in [
            format!("CREATE UNIQUE INDEX ON users (tenant, {unique})"),
            format!("UPDATE users SET {column} = '{value}' WHERE user_id = '{CLIENT_USER}'"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut alga.database).await.unwrap();
        }
        let before = alga.count("users").await;
        let directory = alga.door.directory.clone().unwrap();
        let refused = directory.provision(AGENT, "Bot", &["Technician".to_owned()]).await.unwrap_err();
        let KeyError::Refused(why) = refused else { panic!("{refused:?}") };
        assert!(why.contains(CLIENT_USER) && why.contains(&value.to_lowercase()), "{why}");
        assert_eq!((alga.count("users").await, alga.count("user_roles").await), (before, 0));
    }
}

#[tokio::test]
async fn an_unknown_role_leaves_nothing_behind() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let before = alga.count("users").await;
    let directory = alga.door.directory.clone().unwrap();
    for name in ["Portal User", "Foreign Role"] {
        let refused = directory.provision(AGENT, "Bot", &[name.to_owned()]).await.unwrap_err();
        assert!(refused.to_string().contains("Finance, Technician"), "{refused}");
    }
    assert_eq!((alga.count("users").await, alga.count("user_roles").await), (before, 0));
}

#[tokio::test]
async fn a_user_that_was_switched_off_stays_off_and_a_persons_user_is_left_alone() {
    let mut alga = Alga::new(Edition::Commercial).await;
    let directory = alga.door.directory.clone().unwrap();
    let user = directory.provision(AGENT, "Bot", &[]).await.unwrap();
    directory.deactivate(&user).await.unwrap();
    assert_eq!(directory.provision(AGENT, "Bot", &[]).await.unwrap(), user);
    let sql = format!("SELECT is_inactive::text FROM users WHERE user_id = '{user}'");
    assert_eq!(alga.text(&sql).await.unwrap(), "true");

    assert!(matches!(directory.deactivate(USER).await, Err(KeyError::Refused(_))));
    assert_eq!(alga.count(&format!("users WHERE user_id = '{USER}' AND is_inactive")).await, 0);
}

#[tokio::test]
async fn without_a_catalog_key_one_is_minted_for_the_service_user() {
    let alga = Alga::new(Edition::Commercial).await;
    let CatalogCredential::Minted(who) = &alga.door.catalog_credential else { panic!("a fixed key") };
    assert_eq!(who.psa_user.as_deref(), Some(USER));
    mint(&alga, who).await.unwrap();
    let config = psa::PsaConfig { catalog_key: Secret::new("k"), ..alga.config.clone() };
    let door = psa::open(&config, Clock::System).await.unwrap();
    assert!(matches!(door.catalog_credential, CatalogCredential::Fixed(_)));
}
