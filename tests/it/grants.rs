//! The guide's grants on the PSA's database are enough for what each is for, and for no more.

use sidegate::clock::Clock;
use sidegate::psa::{self, KeyError, Removal};
use sidegate::secret::Secret;
use sqlx::AssertSqlSafe;

use crate::directory::{activity, people_contract, seed_own_server};
use crate::keys_contract::{directory_contract, keys_contract};
use crate::support::alga::{AGENT, Alga, Edition, USER, config};

/// The blocks of SQL of the guide, in its order.
const KEYS: usize = 0;
const USERS: usize = 1;
const ADMINISTRATORS: usize = 2;
const MICROSOFT: usize = 3;
const TAKEOVER: usize = 4;
const ACTIVITY: usize = 5;

/// A database where Sidegate's login is `login`, made by these blocks of the guide.
async fn least_privileged(edition: Edition, login: &str, blocks: &[usize]) -> Alga {
    let guide = include_str!("../../deploy/operations.md");
    let mut alga = Alga::new(edition).await;
    let found: Vec<_> = guide.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(found.len(), 6);
    for block in blocks {
        let block = found[*block].replace("sidegate", login);
        sqlx::raw_sql(AssertSqlSafe(block)).execute(&mut alga.database).await.unwrap();
    }
    let url = alga.config.database_url.expose().replace("//sidegate@", &format!("//{login}@"));
    alga.config = config(&url);
    alga.door = psa::open(&alga.config, Clock::System).await.unwrap();
    alga
}

fn is_denied<T: std::fmt::Debug>(answer: Result<T, KeyError>) -> bool {
    match answer {
        Err(KeyError::Refused(why)) => why.contains("permission denied"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_grants_are_enough_for_keys_and_for_nothing_else() {
    keys_contract(least_privileged(Edition::Commercial, "least_1", &[KEYS]).await).await;
    keys_contract(least_privileged(Edition::Open, "least_2", &[KEYS]).await).await;
    let alga = least_privileged(Edition::Commercial, "least_3", &[KEYS]).await;
    let directory = alga.directory();
    assert!(is_denied(directory.provision(AGENT, "Bot", &["Technician".to_owned()]).await));
    assert!(is_denied(directory.deactivate(USER).await));
    assert!(is_denied(directory.administrator(&Secret::new("k")).await));
    assert!(is_denied(directory.microsoft_connection().await));
    assert!(is_denied(directory.takeover().await));
    assert!(is_denied(directory.note(&[activity(1, AGENT)]).await));
}

#[tokio::test]
async fn no_grant_shows_a_password_or_the_reference_to_a_secret() {
    let blocks = [KEYS, USERS, ADMINISTRATORS, MICROSOFT, TAKEOVER, ACTIVITY];
    let mut alga = least_privileged(Edition::Commercial, "least_4", &blocks).await;
    for (table, column) in [("users", "hashed_password"), ("microsoft_profiles", "client_secret_ref")] {
        let sql = format!("SELECT has_column_privilege('least_4', '{table}', '{column}', 'SELECT')::text");
        assert_eq!(alga.text(&sql).await.unwrap(), "false", "{table}.{column}");
    }
}

#[tokio::test]
async fn the_further_grants_are_enough_to_make_change_and_remove_users() {
    for (edition, login) in [(Edition::Commercial, "least_5"), (Edition::Open, "least_6")] {
        let alga = least_privileged(edition, login, &[KEYS, USERS]).await;
        directory_contract(alga, ["Technician", "Finance"]).await;
    }
    let alga = least_privileged(Edition::Commercial, "least_7", &[KEYS, USERS]).await;
    people_contract(alga, ["Technician", "Finance"], USER).await;
}

#[tokio::test]
async fn without_the_grant_to_delete_users_they_are_switched_off() {
    let mut alga = least_privileged(Edition::Commercial, "least_8", &[KEYS, USERS]).await;
    alga.run("REVOKE DELETE ON users FROM least_8").await;
    let directory = alga.directory();
    let user = directory.provision(AGENT, "Bot", &["Technician".to_owned()]).await.unwrap();
    let Removal::Deactivated { why } = directory.remove(&user).await.unwrap() else { panic!("removed") };
    assert!(why.contains("may not delete"), "{why}");
    let left = directory.user(&user).await.unwrap().unwrap();
    assert!(!left.active);
    assert_eq!(directory.roles_of(&user).await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_further_grant_is_enough_for_what_it_is_for() {
    let blocks = [KEYS, USERS, ADMINISTRATORS, MICROSOFT, TAKEOVER, ACTIVITY];
    let mut alga = least_privileged(Edition::Commercial, "least_9", &blocks).await;
    seed_own_server(&mut alga).await;
    let directory = alga.directory();
    assert_eq!(directory.administrator(&Secret::new("unknown")).await, Ok(None));
    assert_eq!(directory.microsoft_connection().await, Ok(None));
    assert_eq!(directory.takeover().await.unwrap().unwrap().agents.len(), 3);
    directory.note(&[activity(1, AGENT)]).await.unwrap();
    assert_eq!(alga.count("mcp_agent_audit").await, 1);
}
