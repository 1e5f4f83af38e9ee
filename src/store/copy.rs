//! Every row of every table from one database into another, as it is.

use futures_util::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::sql::{Statement, Value, flag};
use super::{Store, StoreError};

/// How a column is read and written.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Flag,
    Bytes,
}

use Kind::{Bytes, Flag, Number, Text};

/// A table and its columns; in an order in which no row refers to one that is not there yet.
const TABLES: &[(&str, &[(&str, Kind)])] = &[
    (
        "tenants",
        &[
            ("id", Text),
            ("name", Text),
            ("created_at", Number),
            ("slug", Text),
            ("host", Text),
            ("psa_tenant", Text),
            ("catalog_user", Text),
            ("mcp", Flag),
            ("console", Flag),
            ("active", Flag),
            ("managed_by", Text),
            ("version", Number),
        ],
    ),
    (
        "issuers",
        &[
            ("tenant_id", Text),
            ("issuer", Text),
            ("jwks_uri", Text),
            ("audiences", Text),
            ("subject_claim", Text),
            ("max_age", Number),
            ("leeway", Number),
            ("managed_by", Text),
            ("active", Flag),
            ("created_at", Number),
            ("updated_at", Number),
            ("required_scopes", Text),
            ("require_bound_tokens", Flag),
            ("id", Text),
            ("kind", Text),
            ("entra_tenant", Text),
            ("aliases", Text),
            ("changed", Number),
        ],
    ),
    (
        "agents",
        &[
            ("id", Text),
            ("tenant_id", Text),
            ("name", Text),
            ("issuer", Text),
            ("subject", Text),
            ("max_effect", Text),
            ("psa_user", Text),
            ("managed_by", Text),
            ("active", Flag),
            ("disabled_at", Number),
            ("retired_at", Number),
            ("created_at", Number),
            ("updated_at", Number),
            ("call_timeout", Number),
            ("description", Text),
            ("kind", Text),
            ("roles", Text),
            ("provisioned", Flag),
            ("created_by", Text),
            ("deleted_at", Number),
            ("keys_void_before", Number),
            ("changed", Number),
        ],
    ),
    ("catalogs", &[("tenant_id", Text), ("hash", Text), ("body", Bytes), ("fetched_at", Number)]),
    (
        "admin_tokens",
        &[
            ("id", Text),
            ("tenant_id", Text),
            ("name", Text),
            ("hash", Text),
            ("created_at", Number),
            ("expires_at", Number),
            ("revoked_at", Number),
            ("last_used_at", Number),
        ],
    ),
    ("signals", &[("id", Text), ("kind", Text), ("payload", Text), ("at", Number)]),
    ("usage", &[("replica", Text), ("key", Text), ("calls", Number), ("in_flight", Number), ("at", Number)]),
    (
        "chains",
        &[
            ("id", Number),
            ("tenant_id", Text),
            ("owner", Text),
            ("first_seq", Number),
            ("seq", Number),
            ("link", Bytes),
            ("bytes", Number),
            ("opened_at", Number),
            ("touched_at", Number),
            ("ended", Flag),
            ("settled", Flag),
        ],
    ),
    (
        "record",
        &[
            ("chain", Number),
            ("seq", Number),
            ("tenant_id", Text),
            ("at", Number),
            ("kind", Text),
            ("agent_id", Text),
            ("tool", Text),
            ("entry_id", Text),
            ("decision", Text),
            ("outcome", Text),
            ("status", Number),
            ("request_id", Text),
            ("digest", Bytes),
            ("link", Bytes),
            ("body", Text),
        ],
    ),
    ("deliveries", &[("sink", Text), ("chain", Number), ("seq", Number)]),
    ("settings", &[("name", Text), ("value", Text)]),
];

/// Rows of one statement.
const BATCH: usize = 500;

impl Store {
    /// Copies every row from `from` into `to`, whose tables must be up to date and empty, all of them or none, and
    /// counts both at the end. `progress` is told the table, how many of its rows are done, and how many there are.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where `to` has rows already, or has not as many at the end.
    pub async fn copy(
        from: &Self,
        to: &Self,
        progress: &mut (dyn FnMut(&'static str, u64, u64) + Send),
    ) -> Result<(), StoreError> {
        // What is written meanwhile is not seen: the copy is of one moment.
        let begin = if from.shared { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" };
        let mut source = from.pool.begin_with(begin).await?;
        let mut target = to.pool.begin().await?;
        for &(table, _) in TABLES {
            if count(&mut target, table).await? > 0 {
                return Err(StoreError::Conflict(format!(
                    "the target has rows in `{table}` already; copy into an empty database"
                )));
            }
        }
        for &(table, columns) in TABLES {
            let total = count(&mut source, table).await?;
            progress(table, 0, total);
            let mut done = 0;
            let mut rows =
                sqlx::query(AssertSqlSafe(selection(table, columns))).fetch(&mut *source).try_chunks(BATCH);
            while let Some(batch) = rows.try_next().await.map_err(|error| error.1)? {
                insertion(table, columns, &batch)?.query().execute(&mut *target).await?;
                done += batch.len() as u64;
                progress(table, done, total);
            }
            drop(rows);
            let arrived = count(&mut target, table).await?;
            if (done, arrived) != (total, total) {
                return Err(StoreError::Conflict(format!(
                    "`{table}` has {total} rows, of which {arrived} arrived; nothing was copied"
                )));
            }
        }
        target.commit().await?;
        Ok(())
    }
}

async fn count(connection: &mut AnyConnection, table: &'static str) -> Result<u64, StoreError> {
    let row = sqlx::query(AssertSqlSafe(format!("SELECT COUNT(*) AS counted FROM {table}")));
    let counted: i64 = row.fetch_one(connection).await?.try_get("counted")?;
    Ok(u64::try_from(counted).unwrap_or_default())
}

fn selection(table: &str, columns: &[(&str, Kind)]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|(name, kind)| match kind {
            Flag => format!("CAST({name} AS INTEGER) AS {name}"),
            Text | Number | Bytes => (*name).to_owned(),
        })
        .collect();
    format!("SELECT {} FROM {table}", columns.join(", "))
}

fn insertion(table: &str, columns: &[(&str, Kind)], rows: &[AnyRow]) -> Result<Statement, StoreError> {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let mut statement = Statement::new(&format!("INSERT INTO {table} ({}) VALUES ", names.join(", ")));
    for (index, row) in rows.iter().enumerate() {
        let values = columns.iter().map(|&(name, kind)| value(row, name, kind));
        statement.row(index == 0, values.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(statement)
}

fn value(row: &AnyRow, name: &str, kind: Kind) -> Result<Value, StoreError> {
    Ok(match kind {
        Text => row.try_get::<Option<String>, _>(name)?.into(),
        Number => row.try_get::<Option<i64>, _>(name)?.into(),
        Flag => Value::Flag(flag(row, name)?),
        Bytes => Value::Bytes(row.try_get(name)?),
    })
}
