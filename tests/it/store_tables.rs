//! `sidegate store`: tables brought up to date, copied, and served by a role that may do little.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sidegate::clock::Clock;
use sidegate::record::{Advance, Chain, ChainId, Facts};
use sidegate::store::{AdminTokenRow, IssuerRow, NewAgent, Store, StoreConfig, StoreError, UsageRow};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;

use crate::support::postgres;
use crate::support::process::{Ended, Process};

const GUIDE: &str = include_str!("../../deploy/store.md");

/// A folder with a configuration whose store is at `url`.
struct Place {
    folder: TempDir,
    config: StoreConfig,
}

impl Place {
    fn at(url: impl Fn(&Path) -> String) -> Self {
        crate::support::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::at(url(folder.path()));
        let text = format!(
            "[store]\nurl_file = {:?}\n[psa]\nurl = \"https://psa.example.com\"\n\
             tenant = \"6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11\"\ndatabase_url = \"postgres://sidegate@db/psa\"\n\
             catalog_key = \"k\"\n",
            folder.path().join("url")
        );
        std::fs::write(folder.path().join("url"), format!("{}\n", config.url.expose())).unwrap();
        std::fs::write(folder.path().join("sidegate.toml"), text).unwrap();
        Self { folder, config }
    }

    fn sqlite() -> Self {
        Self::at(|folder| format!("sqlite://{}/sidegate.db", folder.display()))
    }

    async fn postgres() -> Self {
        let database = postgres::database("SELECT 1").await;
        Self::at(|_| database.url.clone())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.current_dir(self.folder.path()).env_clear().arg("store").args(arguments);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        Process::run(&mut self.command(arguments)).await
    }

    async fn open(&self) -> Store {
        Store::open(&self.config, Clock::manual(1_000)).await.unwrap()
    }
}

#[tokio::test]
async fn status_tells_what_is_missing_until_it_is_migrated_on_either_database() {
    for place in [Place::sqlite(), Place::postgres().await] {
        let before = place.run(&["status"]).await;
        assert_eq!(before.code, Some(1), "{before:?}");
        assert!(before.out.contains("0001_identity\tmissing"), "{before:?}");
        assert!(before.err.contains("sidegate store migrate"), "{before:?}");
        let migrated = place.run(&["migrate"]).await;
        assert!(
            migrated.code == Some(0) && migrated.out.starts_with("applied 0001_identity, "),
            "{migrated:?}"
        );
        let again = place.run(&["migrate"]).await;
        assert!(again.code == Some(0) && again.out.contains("up to date"), "{again:?}");
        let after = place.run(&["status", "--json"]).await;
        assert_eq!(after.code, Some(0), "{after:?}");
        for line in after.out.lines() {
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["applied"], true);
        }
    }
}

#[tokio::test]
async fn processes_that_migrate_at_once_do_not_disturb_each_other() {
    for place in [Place::sqlite(), Place::postgres().await] {
        let mut started: Vec<_> = (0..3).map(|_| Process::start(&mut place.command(&["migrate"]))).collect();
        for process in &mut started {
            process.say("");
            let ended = process.ended().await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        place.open().await.close().await;
    }
}

/// Something in every table.
async fn fill(store: &Store) {
    store.ensure_tenant("acme", "Acme").await.unwrap();
    let issuer = IssuerRow { issuer: "https://login.example".to_owned(), ..IssuerRow::default() };
    store.put_issuer("acme", &issuer).await.unwrap();
    for number in 0..20 {
        let (name, issuer) = (format!("b\u{f6}t {number}"), issuer.issuer.clone());
        let agent = NewAgent { subject: name.clone(), name, issuer, ..NewAgent::default() };
        store.add_agent("acme", &agent).await.unwrap();
    }
    store.switch_agent("acme", "b\u{f6}t 3", false).await.unwrap();
    store.delete_agent("acme", "b\u{f6}t 4").await.unwrap();
    store.put_catalog("acme", "h", &[0, 1, 255], 5).await.unwrap();
    let token = AdminTokenRow {
        id: "t1".to_owned(),
        tenant_id: None,
        name: "script".to_owned(),
        hash: "h1".to_owned(),
        created_at: 1,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    store.add_admin_token(&token).await.unwrap();
    store.signal("kind", "payload").await.unwrap();
    store.put_usage("r1", &[UsageRow { key: "k".to_owned(), calls: 1, in_flight: 0 }]).await.unwrap();
    store.setting("name", "value").await.unwrap();
    let mut chain = Chain::begin(ChainId(1));
    let facts = |number| Facts {
        tenant: "acme".to_owned(),
        at: number,
        kind: "call".into(),
        body: "{}".to_owned(),
        ..Facts::default()
    };
    let records: Vec<_> = (0..1_300).map(|number| Arc::new(chain.append(facts(number)))).collect();
    let advance = Advance { from: None, to: chain.head().unwrap(), bytes: 2_600, last: false };
    store.append_records("p", &records, &[("acme".to_owned(), advance)]).await.unwrap();
    store.put_delivered("file", &[(ChainId(1), 7)]).await.unwrap();
}

/// All that can be read of the store through its public door.
async fn all(store: &Store) -> String {
    let events = (store.chains(None).await.unwrap(), store.records(ChainId(1), 0, 9_999).await.unwrap());
    let rows = (
        store.tenants().await.unwrap(),
        store.issuers("acme").await.unwrap(),
        store.agents_since("acme", -1).await.unwrap().0,
        store.all_agents("acme").await.unwrap(),
        store.catalog("acme").await.unwrap(),
        store.admin_tokens().await.unwrap(),
        store.signals(0).await.unwrap(),
        store.usage_of_others("", 0).await.unwrap(),
        events,
    );
    format!("{rows:?} {}", store.setting("name", "").await.unwrap())
}

#[tokio::test]
async fn a_copy_has_every_row_and_goes_into_an_empty_database_only() {
    let (from, to) = (Place::sqlite(), Place::postgres().await);
    let file = to.folder.path().join("url");
    let file = file.to_str().unwrap();
    let early = from.run(&["copy", "--to-file", file]).await;
    assert!(early.code == Some(1) && early.err.contains("store.url: the tables are behind"), "{early:?}");
    let source = from.open().await;
    fill(&source).await;
    let copied = from.run(&["copy", "--to-file", file]).await;
    assert_eq!((copied.code, copied.err.as_str()), (Some(0), ""), "{copied:?}");
    assert!(copied.out.contains("agents\t20\n") && copied.out.contains("record\t1300\n"), "{copied:?}");
    let (target, deleted) = (to.open().await, source.agents_since("acme", -1).await.unwrap().1);
    assert_eq!(all(&target).await, all(&source).await);
    let mut there = target.agents_since("acme", -1).await.unwrap().1;
    let mut here = deleted;
    there.sort_by(|one, other| one.id.cmp(&other.id));
    here.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(there, here, "what was deleted is there too");
    let twice = from.run(&["copy", "--to-file", file]).await;
    assert!(twice.code == Some(1) && twice.err.contains("rows in `tenants` already"), "{twice:?}");
    // And back, by the same words.
    let back = Place::sqlite();
    Store::copy(&target, &back.open().await, &mut |_, _, _| {}).await.unwrap();
    assert_eq!(all(&back.open().await).await, all(&source).await);
}

#[tokio::test]
async fn a_copy_knows_every_table_and_every_column() {
    let (from, to) = (Place::sqlite(), Place::postgres().await);
    fill(&from.open().await).await;
    Store::copy(&from.open().await, &to.open().await, &mut |_, _, _| {}).await.unwrap();
    let mut database = PgConnection::connect(to.config.url.expose()).await.unwrap();
    let columns = "SELECT table_name::text AS t, column_name::text AS c FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'";
    let columns = sqlx::query(columns).fetch_all(&mut database).await.unwrap();
    assert!(columns.len() > 80);
    for row in columns {
        let (table, column): (String, String) = (row.get("t"), row.get("c"));
        let code = include_str!("../../src/store/copy.rs");
        let at = code.find(&format!("\"{table}\",")).unwrap_or_else(|| panic!("{table} is not copied"));
        let listed = code[at..].split_once("]").unwrap().0;
        assert!(listed.contains(&format!("(\"{column}\", ")), "{table}.{column} is not copied");
    }
}

/// The guide's SQL, block by block.
fn sql() -> Vec<&'static str> {
    GUIDE.split("```sql\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

#[tokio::test]
async fn the_roles_of_the_guide_can_do_what_they_must_and_no_more() {
    let place = Place::postgres().await;
    let [roles, grants] = sql().try_into().unwrap();
    let url = place.config.url.expose().to_owned();
    let mut administrator = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(roles).execute(&mut administrator).await.unwrap();
    let as_role = |role: &str| Place::at(|_| url.replacen("sidegate@", &format!("{role}@"), 1));
    let (owner, server) = (as_role("sidegate_owner"), as_role("sidegate_server"));
    let refused = Store::open(&server.config, Clock::manual(1_000)).await.err().unwrap().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
    let migrated = owner.run(&["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let mut as_owner = PgConnection::connect(owner.config.url.expose()).await.unwrap();
    sqlx::raw_sql(grants).execute(&mut as_owner).await.unwrap();

    let store = server.open().await;
    fill(&store).await;
    let mut changes = store.changes();
    tokio::time::timeout(std::time::Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
    store.apply_config("acme", &[], &[]).await.unwrap();
    store.remove_issuer("acme", "https://login.example").await.unwrap();
    store.revoke_admin_token("t1").await.unwrap();
    store.touch_admin_token("t1").await.unwrap();
    store.forget_records(ChainId(1), 5).await.unwrap();
    store.prune_signals(5).await.unwrap();
    store.prune_usage(5).await.unwrap();
    assert!(store.status().await.unwrap().iter().all(|(_, _, applied)| *applied));

    let mut as_server = PgConnection::connect(server.config.url.expose()).await.unwrap();
    for more in [
        "CREATE TABLE other (id TEXT)",
        "CREATE TABLE public.other (id TEXT)",
        "DROP TABLE record",
        "ALTER TABLE agents ADD COLUMN more TEXT",
        "UPDATE record SET body = ''",
        "DELETE FROM agents",
        "DELETE FROM tenants",
        "UPDATE settings SET value = ''",
        "DELETE FROM _sqlx_migrations",
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(more)).execute(&mut as_server).await;
        let code =
            refused.err().and_then(|error| error.into_database_error()?.code().map(|code| code.to_string()));
        assert_eq!(code.as_deref(), Some("42501"), "{more}");
    }
}

#[tokio::test]
async fn a_server_that_may_not_migrate_says_what_to_run() {
    for place in [Place::sqlite(), Place::postgres().await] {
        let config = StoreConfig { migrate: false, ..place.config.clone() };
        let refused = Store::open(&config, Clock::manual(1_000)).await.err().unwrap();
        assert!(
            matches!(&refused, StoreError::Behind { missing, .. } if missing == "0001_identity"),
            "{refused}"
        );
        place.run(&["migrate"]).await;
        Store::open(&config, Clock::manual(1_000)).await.unwrap();
    }
}
