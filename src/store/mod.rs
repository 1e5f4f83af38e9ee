//! Sidegate's own tables: tenants, issuers, agents and the last catalogue.
//!
//! The only room with SQL of ours. It judges nothing: what a row means is
//! decided above.

mod agents;
mod apply;
mod catalogs;
mod issuers;

use std::borrow::Cow;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

pub use agents::{AgentRow, NewAgent};
pub use catalogs::CatalogRow;
pub use issuers::IssuerRow;

use crate::clock::Clock;

/// The `[store]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Where the tables are: `sqlite://` and a path.
    pub url: String,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: "sqlite:///var/lib/sidegate/sidegate.db".to_owned() }
    }
}

impl StoreConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        if self.url.starts_with("sqlite:") && SqliteConnectOptions::from_str(&self.url).is_ok() {
            return Vec::new();
        }
        let message = "write sqlite:// and the path of the database file, such as sqlite:///var/lib/sidegate/sidegate.db";
        vec![("url".to_owned(), message.to_owned())]
    }

    /// The database's file; none where `url` cannot be read or means memory.
    pub fn file(&self) -> Option<PathBuf> {
        let options = SqliteConnectOptions::from_str(&self.url).ok()?;
        let file = options.get_filename();
        (!file.as_os_str().is_empty() && !self.url.contains(":memory:")).then(|| file.to_owned())
    }
}

/// Who keeps a row: the configuration file (re-applied at each start) or an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedBy {
    /// Upserted from the configuration file at each start; elsewhere it may only be switched off.
    Config,
    /// Added over the command line.
    Admin,
}

impl ManagedBy {
    /// As the column holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Self {
        if text == "config" { Self::Config } else { Self::Admin }
    }
}

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("store.url: cannot open {url}: {cause}")]
    Open {
        /// As configured.
        url: String,
        /// The driver's words.
        cause: String,
    },
    /// A name or binding is taken within the tenant.
    #[error("{0}")]
    Conflict(String),
    /// There is no such row.
    #[error("{0}")]
    NotFound(String),
    /// The database did not answer in time.
    #[error("the store did not answer in time")]
    Deadline,
    /// A query failed.
    #[error("the store failed: {0}")]
    Query(#[from] sqlx::Error),
}

/// A handle to the tables; clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: SqlitePool,
    // `PRAGMA data_version` tells of writes by other connections only, so it is asked
    // on a connection that never writes.
    watch: Arc<Mutex<SqliteConnection>>,
    clock: Clock,
}

impl Store {
    /// Opens the database at `config.url`, creating the file, and brings its tables up to date.
    pub async fn open(config: &StoreConfig, clock: Clock) -> Result<Self, StoreError> {
        let refused = |cause: String| StoreError::Open { url: config.url.clone(), cause };
        let options = SqliteConnectOptions::from_str(&config.url)
            .map_err(|error| refused(error.to_string()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        if let Some(folder) = options.get_filename().parent()
            && !folder.as_os_str().is_empty()
            && !folder.is_dir()
        {
            return Err(refused(format!("the folder {} does not exist", folder.display())));
        }
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.clone())
            .await
            .map_err(|error| refused(error.to_string()))?;
        migrator(&MIGRATIONS).run(&pool).await.map_err(|error| refused(error.to_string()))?;
        let watch = options.connect().await.map_err(|error| refused(error.to_string()))?;
        Ok(Self { pool, watch: Arc::new(Mutex::new(watch)), clock })
    }

    /// A number that differs after any committed change by any process.
    pub async fn version(&self) -> Result<i64, StoreError> {
        let mut connection = self.watch.lock().await;
        Ok(sqlx::query("PRAGMA data_version").fetch_one(&mut *connection).await?.get(0))
    }

    /// Makes sure that the tenant is there.
    pub async fn ensure_tenant(&self, id: &str, name: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE tenants.name <> excluded.name",
        )
        .bind(id)
        .bind(name)
        .bind(self.clock.now())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Closes all connections, the write-ahead log being folded into the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What brings a database up to date, in order. A file that was released is never changed.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "identity", include_str!("migrations/0001_identity.sql")),
    (2, "scopes", include_str!("migrations/0002_scopes.sql")),
    (3, "call_timeout", include_str!("migrations/0003_call_timeout.sql")),
];

fn migrator(files: &'static [(i64, &str, &str)]) -> Migrator {
    Migrator::with_migrations(
        files
            .iter()
            .map(|&(version, name, sql)| {
                Migration::new(
                    version,
                    Cow::Borrowed(name),
                    MigrationType::Simple,
                    sqlx::SqlSafeStr::into_sql_str(sql),
                    false,
                )
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever was trusted before goes on being trusted as it was.
    #[tokio::test]
    async fn a_database_of_the_first_version_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/sidegate.db", folder.path().display());
        let options = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true);
        let old = SqlitePool::connect_with(options).await.unwrap();
        migrator(&MIGRATIONS[..1]).run(&old).await.unwrap();
        sqlx::query("INSERT INTO tenants (id, name, created_at) VALUES ('acme', 'Acme', 1)")
            .execute(&old)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO issuers (tenant_id, issuer, audiences, subject_claim, leeway, managed_by, active,
               created_at, updated_at)
             VALUES ('acme', 'https://login.example', '[\"api://one\"]', 'sub', 60, 'admin', TRUE, 1, 1)",
        )
        .execute(&old)
        .await
        .unwrap();
        old.close().await;
        for _ in 0..2 {
            let store = Store::open(&StoreConfig { url: url.clone() }, Clock::manual(2)).await.unwrap();
            let rows = store.issuers("acme").await.unwrap();
            assert_eq!(rows.len(), 1);
            assert_eq!((rows[0].issuer.as_str(), rows[0].active), ("https://login.example", true));
            assert_eq!(rows[0].required_scopes, Default::default());
            assert!(!rows[0].require_bound_tokens);
            store.close().await;
        }
    }
}
