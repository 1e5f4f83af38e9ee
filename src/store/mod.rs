//! Sidegate's own tables: tenants, issuers, agents, tokens of administrators, and what replicas share.
//!
//! The only room with SQL of ours. It judges nothing: what a row means is
//! decided above.

mod agents;
mod apply;
mod catalogs;
mod chains;
mod change;
mod config;
mod copy;
mod edits;
mod finding;
mod issuers;
mod lists;
mod migrate;
mod open;
mod record;
mod settings;
mod signals;
mod sql;
mod tenants;
mod tokens;
mod usage;

use std::sync::Arc;

use sqlx::AnyPool;
use tokio::sync::watch;

pub use agents::{AgentRow, NewAgent};
pub use catalogs::CatalogRow;
pub use chains::ChainRow;
pub use config::StoreConfig;
pub use issuers::IssuerRow;
pub use lists::AgentFilter;
pub use record::Appended;
pub use signals::SignalRow;
pub use tenants::TenantRow;
pub use tokens::AdminTokenRow;
pub use usage::UsageRow;

use crate::clock::Clock;
use change::Changes;

/// Who keeps a row: the configuration file (re-applied at each start) or an administrator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManagedBy {
    /// Upserted from the configuration file at each start; elsewhere it may only be switched off.
    Config,
    /// Added by command or over the administrators' API.
    #[default]
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
        /// As configured, without its password.
        url: String,
        /// The driver's words.
        cause: String,
    },
    /// The tables are of an earlier version, and this process may not change them.
    #[error("the tables at {url} are behind ({missing} is not applied); run `sidegate store migrate`")]
    Behind {
        /// As configured, without its password.
        url: String,
        /// The first migration that is missing.
        missing: String,
    },
    /// What was asked for goes against what is there.
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

impl StoreError {
    /// True where the database could not be reached or is being restarted (SQLSTATE classes 08, 53 and 57): asked
    /// again within moments, it may answer.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)) => true,
            Self::Query(sqlx::Error::Database(said)) => said.code().is_some_and(|code| {
                ["08", "53", "57"].iter().any(|class| code.len() == 5 && code.starts_with(class))
            }),
            _ => false,
        }
    }
}

/// A handle to the tables; clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    /// One connection for the record, whose commits are durable; opened when it is first needed.
    ledger: AnyPool,
    shared: bool,
    changes: Arc<Changes>,
    clock: Clock,
}

impl Store {
    /// True where processes on other machines may have the same tables.
    pub fn shared(&self) -> bool {
        self.shared
    }

    /// Ticks after each of this process's own changes, and on PostgreSQL after everybody's. A tick may be lost with a
    /// connection, and on SQLite other processes are not heard: [`Store::versions`] tells for certain.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Closes all connections; SQLite's write-ahead log is folded into the database.
    pub async fn close(&self) {
        self.changes.stop();
        self.ledger.close().await;
        self.pool.close().await;
    }
}
