//! Opens the database that the URL means. The only place that tells SQLite from PostgreSQL by name.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Executor};

use super::change::Changes;
use super::config::Place;
use super::{Store, StoreConfig, StoreError};
use crate::clock::Clock;

/// To get a connection, a new one included.
const CONNECT: Duration = Duration::from_secs(5);

/// A reader never waits for a writer, and a writer waits for another. The page size is that of a file yet to be made: the
/// record is most of it, and larger pages take fewer system calls.
const SQLITE: &str = "PRAGMA page_size = 8192; PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
     PRAGMA foreign_keys = ON";

/// What is on record is on the disk. Fewer, larger moves from the write-ahead log into the file cost less, and a large
/// commit's pages stay in memory (8 MiB) until it is made.
const SQLITE_LEDGER: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -8192";

/// A replica that is gone must not hold a tenant's row.
const POSTGRES: &str = "SET application_name = 'sidegate'; SET statement_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '15s'";

/// For what may take long: migrating, copying.
const POSTGRES_PATIENT: &str = "SET application_name = 'sidegate'";

impl Store {
    /// Opens the database at `config.url`, creating SQLite's file, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`]; [`StoreError::Behind`] where the tables are behind and `config.migrate` is false.
    pub async fn open(config: &StoreConfig, clock: Clock) -> Result<Self, StoreError> {
        let store = Self::connect(config, clock, false).await?;
        store.bring_up_to_date(config).await?;
        Ok(store)
    }

    /// The database without a look at its tables, and with time for long work.
    pub async fn patient(config: &StoreConfig, clock: Clock) -> Result<Self, StoreError> {
        Self::connect(config, clock, true).await
    }

    async fn connect(config: &StoreConfig, clock: Clock, patient: bool) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let place = config.place().map_err(|cause| refused(config, cause))?;
        let (url, setup, ledger, shared, connections) = match &place {
            Place::Sqlite(_) => (sqlite_url(config)?, SQLITE, SQLITE_LEDGER, false, 4),
            Place::Postgres(url) if patient => (url.to_string(), POSTGRES_PATIENT, POSTGRES, true, 2),
            Place::Postgres(url) => (url.to_string(), POSTGRES, POSTGRES, true, 8),
        };
        let options = AnyConnectOptions::from_str(&url)
            .map_err(|error| refused(config, error.to_string()))?
            .disable_statement_logging();
        let ledger = options_of(1, ledger).connect_lazy_with(options.clone());
        let pool = options_of(connections, setup).connect_with(options).await;
        let pool = pool.map_err(|error| refused(config, error.to_string()))?;
        let changes = Arc::new(Changes::new(shared.then_some(url)));
        Ok(Self { pool, ledger, shared, changes, clock })
    }
}

fn options_of(connections: u32, setup: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(CONNECT).after_connect(
        move |connection: &mut AnyConnection, _| {
            Box::pin(async move { connection.execute(setup).await.map(drop) })
        },
    )
}

/// The file's whole path as a URL, created where it is missing.
fn sqlite_url(config: &StoreConfig) -> Result<String, StoreError> {
    let failed = |cause: String| refused(config, cause);
    let options =
        SqliteConnectOptions::from_str(config.url.expose()).map_err(|error| failed(error.to_string()))?;
    let file = std::path::absolute(options.get_filename()).map_err(|error| failed(error.to_string()))?;
    if let Some(folder) = file.parent()
        && !folder.is_dir()
    {
        return Err(failed(format!("the folder {} does not exist", folder.display())));
    }
    Ok(options.filename(file).create_if_missing(true).to_url_lossy().to_string())
}

pub(super) fn refused(config: &StoreConfig, cause: impl Into<String>) -> StoreError {
    StoreError::Open { url: config.shown(), cause: cause.into() }
}
