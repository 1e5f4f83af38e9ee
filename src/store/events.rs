//! The record as rows, so that it can be asked by agent, by time and by what happened. What an event says is
//! decided above; the body is text here.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::sql::Statement;
use super::{Store, StoreError};
use crate::clock::Millis;

/// One event of the record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventRow {
    /// A UUID.
    pub id: String,
    /// Whose record.
    pub tenant_id: String,
    /// The agent that it is about, where it is about one.
    pub agent_id: Option<String>,
    /// When it happened.
    pub at: Millis,
    /// `call`, `refusal` or `change`.
    pub kind: String,
    /// The MCP tool.
    pub tool: Option<String>,
    /// The entry of the PSA's registry.
    pub entry_id: Option<String>,
    /// What the policy said.
    pub decision: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The PSA's HTTP status.
    pub status: Option<i64>,
    /// The id that the caller was told.
    pub request_id: Option<String>,
    /// The whole event as JSON.
    pub body: String,
}

/// Which events are asked for; what is none is not asked about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// See [`EventRow::agent_id`].
    pub agent: Option<String>,
    /// See [`EventRow::kind`].
    pub kind: Option<String>,
    /// See [`EventRow::tool`].
    pub tool: Option<String>,
    /// Only those with a tool, whichever.
    pub of_tools: bool,
    /// See [`EventRow::entry_id`].
    pub entry: Option<String>,
    /// See [`EventRow::decision`].
    pub decision: Option<String>,
    /// See [`EventRow::outcome`].
    pub outcome: Option<String>,
    /// At this time or later.
    pub since: Option<Millis>,
    /// Before this time.
    pub until: Option<Millis>,
    /// See [`EventRow::request_id`].
    pub request_id: Option<String>,
}

/// Rows of one statement: SQLite takes 32,766 parameters.
const BATCH: usize = 500;
/// Rows that one statement forgets.
const PRUNED: i64 = 2_000;

impl Store {
    /// Writes events; those that are there already stay as they are.
    pub async fn put_events(&self, rows: &[EventRow]) -> Result<(), StoreError> {
        for batch in rows.chunks(BATCH) {
            let mut statement = Statement::new(
                "INSERT INTO events (id, tenant_id, agent_id, at, kind, tool, entry_id, decision, outcome, status,
                   request_id, body) VALUES ",
            );
            statement
                .rows(batch.iter().cloned().map(|row| {
                    [
                        row.id.into(),
                        row.tenant_id.into(),
                        row.agent_id.into(),
                        row.at.into(),
                        row.kind.into(),
                        row.tool.into(),
                        row.entry_id.into(),
                        row.decision.into(),
                        row.outcome.into(),
                        row.status.into(),
                        row.request_id.into(),
                        row.body.into(),
                    ]
                }))
                .push(" ON CONFLICT (id) DO NOTHING", []);
            statement.query().execute(&self.pool).await?;
        }
        Ok(())
    }

    /// A tenant's events that `filter` lets through, the newest first: those after the one that happened at this time
    /// and has this id, of them without the first `offset`, and at most `limit`.
    pub async fn events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        after: Option<(Millis, String)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut statement = Statement::new(
            "SELECT id, tenant_id, agent_id, at, kind, tool, entry_id, decision, outcome, status, request_id, body
             FROM events",
        );
        filter.apply(&mut statement, tenant);
        if let Some((at, id)) = after {
            statement.push(" AND (at, id) < (?, ?)", [at.into(), id.into()]);
        }
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        statement
            .push(" ORDER BY at DESC, id DESC LIMIT ? OFFSET ?", [i64::from(limit).into(), offset.into()]);
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// How many events of a tenant `filter` lets through.
    pub async fn count_events(&self, tenant: &str, filter: &EventFilter) -> Result<u64, StoreError> {
        let mut statement = Statement::new("SELECT COUNT(*) AS events FROM events");
        filter.apply(&mut statement, tenant);
        let count: i64 = statement.query().fetch_one(&self.pool).await?.try_get("events")?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Forgets what happened before `before`, of all tenants; returns how many events that were.
    pub async fn prune_events(&self, before: Millis) -> Result<u64, StoreError> {
        let mut pruned = 0;
        loop {
            // A few at a time: a year's record at once would hold up whoever writes.
            let batch = sqlx::query(
                "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < $1 ORDER BY at LIMIT $2)",
            )
            .bind(before)
            .bind(PRUNED)
            .execute(&self.pool)
            .await?
            .rows_affected();
            if batch == 0 {
                return Ok(pruned);
            }
            pruned += batch;
        }
    }
}

impl EventFilter {
    fn apply(&self, statement: &mut Statement, tenant: &str) {
        statement.push(" WHERE tenant_id = ?", [tenant.into()]);
        for (condition, value) in [
            (" AND agent_id = ?", &self.agent),
            (" AND kind = ?", &self.kind),
            (" AND tool = ?", &self.tool),
            (" AND entry_id = ?", &self.entry),
            (" AND decision = ?", &self.decision),
            (" AND outcome = ?", &self.outcome),
            (" AND request_id = ?", &self.request_id),
        ] {
            if let Some(value) = value {
                statement.push(condition, [value.as_str().into()]);
            }
        }
        if self.of_tools {
            statement.push(" AND tool IS NOT NULL", []);
        }
        for (condition, at) in [(" AND at >= ?", self.since), (" AND at < ?", self.until)] {
            if let Some(at) = at {
                statement.push(condition, [at.into()]);
            }
        }
    }
}

fn read(row: &AnyRow) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        id: row.try_get("id")?,
        tenant_id: row.try_get("tenant_id")?,
        agent_id: row.try_get("agent_id")?,
        at: row.try_get("at")?,
        kind: row.try_get("kind")?,
        tool: row.try_get("tool")?,
        entry_id: row.try_get("entry_id")?,
        decision: row.try_get("decision")?,
        outcome: row.try_get("outcome")?,
        status: row.try_get("status")?,
        request_id: row.try_get("request_id")?,
        body: row.try_get("body")?,
    })
}
