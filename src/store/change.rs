//! Changes: how one is made so that a tenant's writers go one after the other, and how it is told to those who follow.

use std::sync::OnceLock;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Any, AnyConnection, Row, Transaction};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Store, StoreError};
use crate::secret::Secret;

/// What PostgreSQL calls out after each change.
pub(super) const NOTIFY: &str = "NOTIFY sidegate";
const CHANNEL: &str = "sidegate";

/// Before a lost listener is replaced.
const PAUSE: Duration = Duration::from_millis(500);

/// A transaction that has begun by raising a tenant's version.
///
/// That write comes first on purpose: on PostgreSQL the row's lock puts a tenant's writers in order, so that no row
/// appears under a version that somebody has already read; on SQLite a transaction that begins with a read cannot
/// wait for another's write.
pub(super) struct Change<'a> {
    store: &'a Store,
    transaction: Transaction<'static, Any>,
    /// The version that changed rows carry.
    pub(super) version: i64,
}

impl Store {
    /// Begins to change a tenant.
    pub(super) async fn change(&self, tenant: &str) -> Result<Change<'_>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let raised = sqlx::query("UPDATE tenants SET version = version + 1 WHERE id = $1 RETURNING version")
            .bind(tenant)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(raised) = raised else {
            return Err(StoreError::NotFound(format!(
                "there is no tenant `{tenant}`; `sidegate tenant list` shows all"
            )));
        };
        Ok(Change { store: self, transaction, version: raised.try_get("version")? })
    }

    /// Begins to change what belongs to no tenant.
    pub(super) async fn transaction(&self) -> Result<Change<'_>, StoreError> {
        Ok(Change { store: self, transaction: self.pool.begin().await?, version: 0 })
    }
}

impl Change<'_> {
    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.store.shared {
            sqlx::query(NOTIFY).execute(&mut *self.transaction).await?;
        }
        self.transaction.commit().await?;
        self.store.changes.tick();
        Ok(())
    }

    /// Nothing has changed.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }
}

/// Who is told.
pub(super) struct Changes {
    ticks: watch::Sender<u64>,
    /// PostgreSQL, which calls out the changes of all.
    url: Option<Secret>,
    listener: OnceLock<AbortOnDropHandle<()>>,
}

impl Changes {
    pub(super) fn new(url: Option<String>) -> Self {
        Self { ticks: watch::Sender::new(0), url: url.map(Secret::new), listener: OnceLock::new() }
    }

    pub(super) fn tick(&self) {
        tick(&self.ticks);
    }

    /// The first to ask has the listener started: a command that ends at once needs none.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        if let Some(url) = &self.url {
            let start = || AbortOnDropHandle::new(tokio::spawn(listen(url.clone(), self.ticks.clone())));
            self.listener.get_or_init(start);
        }
        self.ticks.subscribe()
    }

    pub(super) fn stop(&self) {
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}

fn tick(ticks: &watch::Sender<u64>) {
    ticks.send_modify(|count| *count = count.wrapping_add(1));
}

/// Listens for as long as the task lives. Whatever was called out while nobody listened is made up for by one tick.
async fn listen(url: Secret, ticks: watch::Sender<u64>) {
    loop {
        if let Err(error) = listen_once(&url, &ticks).await {
            tracing::debug!(%error, "the store's notifications are not heard; its versions are asked for all the same");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen_once(url: &Secret, ticks: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url.expose()).await?;
    listener.listen(CHANNEL).await?;
    tick(ticks);
    while listener.try_recv().await?.is_some() {
        tick(ticks);
    }
    Ok(())
}
