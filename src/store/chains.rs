//! The record's chains: who writes each, how far it is, how far sinks have got in it, and what is kept of it.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::record::digest;
use super::sql::{Statement, flag};
use super::{Store, StoreError};
use crate::clock::Millis;
use crate::record::{ChainId, Head};

/// One chain of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    pub tenant_id: String,
    /// The process that writes it, or settles what another left open.
    pub owner: String,
    /// Its first record that is still there.
    pub first_seq: i64,
    /// Its last record.
    pub head: Head,
    /// What its records take, about.
    pub bytes: i64,
    pub opened_at: Millis,
    /// When its owner was last known to live.
    pub touched_at: Millis,
    /// Nothing follows its last record.
    pub ended: bool,
    /// Nobody needs to look after it any more.
    pub settled: bool,
}

const COLUMNS: &str = "id, tenant_id, owner, first_seq, seq, link, bytes, opened_at, touched_at, CAST(ended AS INTEGER) \
     AS ended, CAST(settled AS INTEGER) AS settled";

/// Rows that one statement forgets.
const PRUNED: i64 = 2_000;

impl Store {
    /// All chains, or one tenant's, in the order in which they began.
    pub async fn chains(&self, tenant: Option<&str>) -> Result<Vec<ChainRow>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM chains"));
        if let Some(tenant) = tenant {
            statement.push(" WHERE tenant_id = ?", [tenant.into()]);
        }
        statement.push(" ORDER BY opened_at, id", []);
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// One chain, where there is one.
    pub async fn chain(&self, id: ChainId) -> Result<Option<ChainRow>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM chains"));
        statement.push(" WHERE id = ?", [id.0.into()]);
        statement.query().fetch_optional(&self.pool).await?.as_ref().map(read).transpose()
    }

    /// Where a tenant's chains stand that went on since `since`, the one that went on last first.
    pub async fn heads(&self, tenant: &str, since: Millis, limit: u32) -> Result<Vec<Head>, StoreError> {
        let mut statement = Statement::new("SELECT id, seq, link FROM chains");
        statement.push(
            " WHERE tenant_id = ? AND touched_at >= ? ORDER BY touched_at DESC, id LIMIT ?",
            [tenant.into(), since.into(), i64::from(limit).into()],
        );
        statement.query().fetch_all(&self.pool).await?.iter().map(head).collect()
    }

    /// Says that `owner` lives; returns how many chains it has that are not settled.
    pub async fn touch_chains(&self, owner: &str) -> Result<u64, StoreError> {
        let query =
            sqlx::query("UPDATE chains SET touched_at = $1 WHERE owner = $2 AND NOT settled AND NOT ended");
        Ok(query.bind(self.clock.now()).bind(owner).execute(&self.pool).await?.rows_affected())
    }

    /// Chains that nobody looks after: not settled, not of `owner`, and ended, or of a process that was not heard of
    /// since `before`.
    pub async fn orphans(&self, owner: &str, before: Millis) -> Result<Vec<ChainRow>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM chains"));
        statement.push(
            " WHERE NOT settled AND owner <> ? AND (ended OR touched_at < ?) ORDER BY opened_at, id LIMIT 100",
            [owner.into(), before.into()],
        );
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The chains that `owner` looks after and that are not settled.
    pub async fn owned_chains(&self, owner: &str) -> Result<Vec<ChainRow>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM chains"));
        statement.push(" WHERE NOT settled AND owner = ? ORDER BY opened_at, id", [owner.into()]);
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// Makes `owner` the one who looks after a chain, to which nothing is added any more; false where it is somebody else's meanwhile, or went on.
    pub async fn adopt_chain(&self, chain: &ChainRow, owner: &str) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE chains SET owner = $1, touched_at = $2, ended = TRUE WHERE id = $3 AND owner = $4 AND touched_at = $5 AND NOT settled",
        );
        let query = query.bind(owner).bind(self.clock.now()).bind(chain.head.chain.0).bind(&*chain.owner);
        Ok(query.bind(chain.touched_at).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Nobody needs to look after a chain any more.
    pub async fn settle_chain(&self, chain: ChainId) -> Result<(), StoreError> {
        sqlx::query("UPDATE chains SET settled = TRUE WHERE id = $1")
            .bind(chain.0)
            .execute(&self.pool)
            .await?;
        sqlx::query("DELETE FROM deliveries WHERE chain = $1").bind(chain.0).execute(&self.pool).await?;
        Ok(())
    }

    /// How far a sink has got in a chain; -1 where it has not begun.
    pub async fn delivered(&self, sink: &str, chain: ChainId) -> Result<i64, StoreError> {
        let query = sqlx::query("SELECT seq FROM deliveries WHERE sink = $1 AND chain = $2");
        let row = query.bind(sink).bind(chain.0).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.try_get("seq")).transpose()?.unwrap_or(-1))
    }

    /// Notes how far a sink has got.
    pub async fn put_delivered(&self, sink: &str, places: &[(ChainId, i64)]) -> Result<(), StoreError> {
        for batch in places.chunks(500) {
            let mut statement = Statement::new("INSERT INTO deliveries (sink, chain, seq) VALUES ");
            statement
                .rows(batch.iter().map(|(chain, seq)| [sink.into(), chain.0.into(), (*seq).into()]))
                .push(" ON CONFLICT (sink, chain) DO UPDATE SET seq = excluded.seq", []);
            statement.query().execute(&self.pool).await?;
        }
        Ok(())
    }

    /// The number of a chain's last checkpoint that was made before `before`; none where there is none.
    pub async fn checkpoint_before(&self, chain: ChainId, before: Millis) -> Result<Option<i64>, StoreError> {
        let query = sqlx::query(
            "SELECT seq FROM record WHERE chain = $1 AND kind = 'checkpoint' AND at < $2 ORDER BY seq DESC LIMIT 1",
        );
        let row = query.bind(chain.0).bind(before).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.try_get("seq")).transpose()?)
    }

    /// The number of a chain's first checkpoint after number `after`; none where there is none.
    pub async fn checkpoint_after(&self, chain: ChainId, after: i64) -> Result<Option<i64>, StoreError> {
        let query = sqlx::query(
            "SELECT seq FROM record WHERE chain = $1 AND kind = 'checkpoint' AND seq > $2 ORDER BY seq LIMIT 1",
        );
        let row = query.bind(chain.0).bind(after).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.try_get("seq")).transpose()?)
    }

    /// The first and the last of a chain's records in `numbers`, both included, that began at `since` or later and before
    /// `until`; none where there are none.
    pub async fn between(
        &self,
        chain: ChainId,
        since: Millis,
        until: Millis,
        numbers: (i64, i64),
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let query = sqlx::query(
            "SELECT MIN(seq) AS first, MAX(seq) AS last FROM record
             WHERE chain = $1 AND at >= $2 AND at < $3 AND seq >= $4 AND seq <= $5",
        );
        let query = query.bind(chain.0).bind(since).bind(until).bind(numbers.0).bind(numbers.1);
        let row = query.fetch_one(&self.pool).await?;
        let first: Option<i64> = row.try_get("first")?;
        Ok(first.zip(row.try_get("last")?))
    }

    /// When the oldest record of a chain began; none where it has no records.
    pub async fn oldest_record(&self, chain: ChainId) -> Result<Option<Millis>, StoreError> {
        let query = sqlx::query("SELECT at FROM record WHERE chain = $1 ORDER BY seq LIMIT 1");
        let row = query.bind(chain.0).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.try_get("at")).transpose()?)
    }

    /// Forgets a chain's records before number `until`; returns how many there were, and
    /// what they took.
    pub async fn forget_records(&self, chain: ChainId, until: i64) -> Result<(u64, i64), StoreError> {
        let mut forgotten = (0, 0);
        loop {
            // A few at a time: a year's record at once would hold up whoever writes.
            // What begins by reading could not go on to write on SQLite, where another wrote meanwhile.
            let begin = if self.shared { "BEGIN" } else { "BEGIN IMMEDIATE" };
            let mut transaction = self.pool.begin_with(begin).await?;
            let batch = sqlx::query(
                "SELECT MAX(seq) AS last, SUM(LENGTH(body)) AS bytes, COUNT(*) AS rows FROM
                   (SELECT seq, body FROM record WHERE chain = $1 AND seq < $2 ORDER BY seq LIMIT $3) AS oldest",
            );
            let row = batch.bind(chain.0).bind(until).bind(PRUNED).fetch_one(&mut *transaction).await?;
            let rows: i64 = row.try_get("rows")?;
            if rows == 0 {
                return Ok(forgotten);
            }
            let (last, bytes): (i64, i64) = (row.try_get("last")?, row.try_get("bytes")?);
            sqlx::query("DELETE FROM record WHERE chain = $1 AND seq <= $2")
                .bind(chain.0)
                .bind(last)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("UPDATE chains SET first_seq = $1, bytes = bytes - $2 WHERE id = $3")
                .bind(last + 1)
                .bind(bytes)
                .bind(chain.0)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            forgotten.0 += rows.unsigned_abs();
            forgotten.1 += bytes;
        }
    }
}

fn head(row: &AnyRow) -> Result<Head, StoreError> {
    Ok(Head { chain: ChainId(row.try_get("id")?), seq: row.try_get("seq")?, link: digest(row, "link")? })
}

fn read(row: &AnyRow) -> Result<ChainRow, StoreError> {
    Ok(ChainRow {
        tenant_id: row.try_get("tenant_id")?,
        owner: row.try_get("owner")?,
        first_seq: row.try_get("first_seq")?,
        head: head(row)?,
        bytes: row.try_get("bytes")?,
        opened_at: row.try_get("opened_at")?,
        touched_at: row.try_get("touched_at")?,
        ended: flag(row, "ended")?,
        settled: flag(row, "settled")?,
    })
}
