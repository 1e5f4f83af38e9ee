//! What each replica has let through, so that limits hold over all of them. What a key counts is decided above.

use sqlx::Row;

use super::sql::Statement;
use super::{Store, StoreError};
use crate::clock::Millis;

/// What one replica counts under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Whose calls, and in which span of time.
    pub key: String,
    /// How many began.
    pub calls: i64,
    /// How many are not over.
    pub in_flight: i64,
}

/// Rows of one statement.
const BATCH: usize = 500;

impl Store {
    /// Writes what `replica` counts, over what it counted before under the same keys.
    pub async fn put_usage(&self, replica: &str, rows: &[UsageRow]) -> Result<(), StoreError> {
        let now = self.clock.now();
        for batch in rows.chunks(BATCH) {
            let mut statement =
                Statement::new("INSERT INTO usage (replica, key, calls, in_flight, at) VALUES ");
            statement
                .rows(batch.iter().map(|row| {
                    let key = row.key.as_str();
                    [replica.into(), key.into(), row.calls.into(), row.in_flight.into(), now.into()]
                }))
                .push(
                    " ON CONFLICT (replica, key) DO UPDATE SET
                       calls = excluded.calls, in_flight = excluded.in_flight, at = excluded.at",
                    [],
                );
            statement.query().execute(&self.pool).await?;
        }
        Ok(())
    }

    /// What the other replicas wrote at `since` or later, with the name of each.
    pub async fn usage_of_others(
        &self,
        replica: &str,
        since: Millis,
    ) -> Result<Vec<(String, UsageRow)>, StoreError> {
        let rows = sqlx::query(
            "SELECT replica, key, calls, in_flight FROM usage WHERE replica <> $1 AND at >= $2
             ORDER BY replica, key",
        )
        .bind(replica)
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let usage = UsageRow {
                    key: row.try_get("key")?,
                    calls: row.try_get("calls")?,
                    in_flight: row.try_get("in_flight")?,
                };
                Ok((row.try_get("replica")?, usage))
            })
            .collect()
    }

    /// Forgets what was written before `before`; returns how many rows that were.
    pub async fn prune_usage(&self, before: Millis) -> Result<u64, StoreError> {
        let pruned = sqlx::query("DELETE FROM usage WHERE at < $1").bind(before).execute(&self.pool).await?;
        Ok(pruned.rows_affected())
    }
}
