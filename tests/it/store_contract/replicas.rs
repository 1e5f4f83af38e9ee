//! Replicas on one PostgreSQL: told of each other's changes, and through a restart of the database.

use std::time::Duration;

use sidegate::clock::Clock;
use sidegate::store::{Store, StoreConfig};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Place, TENANT, agent};
use crate::support::postgres::Own;
use crate::support::wait::until;

/// Loaded machines are slow; a notification that is lost never comes.
const SOON: Duration = Duration::from_secs(5);

async fn told(changes: &mut watch::Receiver<u64>) -> bool {
    timeout(SOON, changes.changed()).await.is_ok()
}

/// A receiver whose listener is known to listen.
async fn listening(store: &Store) -> watch::Receiver<u64> {
    let mut changes = store.changes();
    assert!(told(&mut changes).await, "it ticks when it begins to listen");
    changes
}

#[tokio::test]
async fn a_replica_is_told_of_anothers_change_at_once_and_of_nothing_else() {
    let place = Place::postgres().await;
    let (store, other) = (place.store().await, place.open().await);
    assert!(store.shared());
    let mut changes = listening(&other).await;
    store.agents(TENANT).await.unwrap();
    store.put_usage("r1", &[]).await.unwrap();
    store.may_add(TENANT, &agent("one", "a")).await.unwrap();
    assert!(timeout(Duration::from_millis(300), changes.changed()).await.is_err(), "nothing changed");
    store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    assert!(told(&mut changes).await);
    assert_eq!(other.agents(TENANT).await.unwrap().len(), 1);
    changes.borrow_and_update();
    store.signal("session_ended", "s1").await.unwrap();
    assert!(told(&mut changes).await);
}

#[tokio::test]
async fn on_sqlite_a_process_is_told_of_its_own_changes() {
    let place = Place::sqlite();
    let store = place.store().await;
    assert!(!store.shared());
    let mut changes = store.changes();
    store.add_agent(TENANT, &agent("one", "a")).await.unwrap();
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    store.add_agent(TENANT, &agent("one", "a")).await.unwrap_err();
    assert!(!changes.has_changed().unwrap(), "a refusal is no change");
}

#[tokio::test]
async fn a_replica_goes_on_after_the_database_was_restarted() {
    crate::support::install_crypto();
    let server = Own::start();
    let config = StoreConfig::at(server.url());
    let store = Store::open(&config, Clock::System).await.unwrap();
    store.ensure_tenant(TENANT, "Acme").await.unwrap();
    let other = Store::open(&config, Clock::System).await.unwrap();
    let mut changes = listening(&other).await;
    for round in 0..2 {
        changes.borrow_and_update();
        server.restart();
        assert!(timeout(SOON * 4, changes.changed()).await.is_ok(), "whatever was missed is made up for");
        until(|| async { store.versions().await.ok() }).await;
        changes.borrow_and_update();
        store.add_agent(TENANT, &agent(&format!("a{round}"), &format!("s{round}"))).await.unwrap();
        assert!(told(&mut changes).await, "it listens again");
        assert_eq!(other.agents(TENANT).await.unwrap().len(), round + 1);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://sidegate:hunter2@localhost/own?host={}", folder.path().display());
    let error = Store::open(&StoreConfig::at(url), Clock::System).await.err().unwrap().to_string();
    assert!(error.contains("store.url: cannot open postgres://sidegate@localhost/own"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}
