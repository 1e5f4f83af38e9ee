//! Sidegate's own tables: one contract, on a file of SQLite and on a real PostgreSQL.

mod identity;
mod lists;
mod record;
mod replicas;
mod writers;

use sidegate::clock::Clock;
use sidegate::identity::scopes::RequiredScopes;
use sidegate::store::{IssuerRow, ManagedBy, NewAgent, Store, StoreConfig};
use tempfile::TempDir;

use crate::support::postgres;

const TENANT: &str = "acme";
const ISSUER: &str = "https://login.example";

/// Has each test run on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Place::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Place::postgres().await).await;
            })+
        }
    };
}
use on_both;

/// An empty database of a test's own.
pub struct Place {
    pub config: StoreConfig,
    /// Of every store that is opened here.
    pub clock: Clock,
    _folder: Option<TempDir>,
}

impl Place {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::at(format!("sqlite://{}/sidegate.db", folder.path().display()));
        Self { config, clock: Clock::manual(1_000), _folder: Some(folder) }
    }

    pub async fn postgres() -> Self {
        crate::support::install_crypto();
        let database = postgres::database("SELECT 1").await;
        Self { config: StoreConfig::at(database.url), clock: Clock::manual(1_000), _folder: None }
    }

    /// What one more process would have.
    pub async fn open(&self) -> Store {
        Store::open(&self.config, self.clock.clone()).await.unwrap()
    }

    /// The same with the tenant.
    pub async fn store(&self) -> Store {
        let store = self.open().await;
        store.ensure_tenant(TENANT, "Acme").await.unwrap();
        store
    }
}

fn agent(name: &str, subject: &str) -> NewAgent {
    NewAgent {
        name: name.to_owned(),
        issuer: ISSUER.to_owned(),
        subject: subject.to_owned(),
        ..NewAgent::default()
    }
}

fn issuer(managed_by: ManagedBy) -> IssuerRow {
    IssuerRow {
        issuer: ISSUER.to_owned(),
        audiences: vec!["api://one".to_owned()],
        subject_claim: "azp".to_owned(),
        max_age: Some(600),
        required_scopes: RequiredScopes { read: vec!["psa.read".to_owned()], ..RequiredScopes::default() },
        require_bound_tokens: true,
        managed_by,
        ..IssuerRow::default()
    }
}
