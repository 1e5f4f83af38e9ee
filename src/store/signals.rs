//! What one replica calls out to the others: short-lived rows that each reads once. What they mean is decided above.

use sqlx::Row;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::clock::Millis;

/// One thing called out.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalRow {
    /// A UUID of version 7.
    pub id: String,
    /// What sort of thing.
    pub kind: String,
    /// Whatever goes with it.
    pub payload: String,
    /// When, by the clock of the replica that called.
    pub at: Millis,
}

impl Store {
    /// Calls something out to the other replicas.
    pub async fn signal(&self, kind: &str, payload: &str) -> Result<(), StoreError> {
        let mut change = self.transaction().await?;
        sqlx::query("INSERT INTO signals (id, kind, payload, at) VALUES ($1, $2, $3, $4)")
            .bind(Uuid::now_v7().to_string())
            .bind(kind)
            .bind(payload)
            .bind(self.clock.now())
            .execute(change.connection())
            .await?;
        change.commit().await
    }

    /// What was called out at `since` or later, the oldest first. Clocks differ and a row may be seen late: whoever
    /// follows asks a while back and leaves out the ids that it has had.
    pub async fn signals(&self, since: Millis) -> Result<Vec<SignalRow>, StoreError> {
        let rows = sqlx::query("SELECT id, kind, payload, at FROM signals WHERE at >= $1 ORDER BY at, id")
            .bind(since)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(SignalRow {
                    id: row.try_get("id")?,
                    kind: row.try_get("kind")?,
                    payload: row.try_get("payload")?,
                    at: row.try_get("at")?,
                })
            })
            .collect()
    }

    /// Forgets what was called out before `before`; returns how much that was.
    pub async fn prune_signals(&self, before: Millis) -> Result<u64, StoreError> {
        let pruned =
            sqlx::query("DELETE FROM signals WHERE at < $1").bind(before).execute(&self.pool).await?;
        Ok(pruned.rows_affected())
    }
}
