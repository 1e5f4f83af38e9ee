//! The record's rows: appended many at a time, read in chain order or found by what they say. What a record means is
//! decided above; the body is text here.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};

use super::sql::Statement;
use super::{Store, StoreError};
use crate::clock::Millis;
use crate::record::{Advance, ChainId, Digest, Facts, Filter, Head, Record};

/// Rows of one statement, the most first: each size is prepared once. SQLite takes 32,766 parameters.
const SIZES: [usize; 5] = [512, 128, 32, 8, 1];

const COLUMNS: &str = "chain, seq, tenant_id, at, kind, agent_id, tool, entry_id, decision, outcome, status, request_id, \
     digest, link, body";

/// How far from its id's time a request may have begun, in milliseconds.
const NEAR: Millis = 60_000;

/// How many columns a row has.
const WIDTH: usize = 15;

/// What came of appending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    Done,
    /// These chains are not where they should be, or somebody else's by now; nothing was written.
    Lost(Vec<ChainId>),
}

impl Store {
    /// Writes records and moves their chains' ends, all or nothing; returns when it is durable. `owner` is the process
    /// that writes the chains; each end comes with the tenant whose it is.
    pub async fn append_records(
        &self,
        owner: &str,
        records: &[Arc<Record>],
        advances: &[(String, Advance)],
    ) -> Result<Appended, StoreError> {
        let now = self.clock.now();
        let mut transaction = self.ledger.begin().await?;
        let mut lost = Vec::new();
        for (tenant, moved) in advances {
            if !advance(&mut transaction, owner, tenant, moved, now).await? {
                lost.push(moved.to.chain);
            }
        }
        if !lost.is_empty() {
            transaction.rollback().await?;
            return Ok(Appended::Lost(lost));
        }
        let mut rest = records;
        for (size, text) in SIZES.iter().zip(statements(self.shared)) {
            while let Some((rows, others)) = rest.split_at_checked(*size) {
                insertion(text, rows).execute(&mut *transaction).await?;
                rest = others;
            }
        }
        transaction.commit().await?;
        Ok(Appended::Done)
    }

    /// A chain's records from number `from` on, at most `limit`, in their order.
    pub async fn records(&self, chain: ChainId, from: i64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let text =
            format!("SELECT {COLUMNS} FROM record WHERE chain = $1 AND seq >= $2 ORDER BY seq LIMIT $3");
        let query = sqlx::query(AssertSqlSafe(text)).bind(chain.0).bind(from).bind(i64::from(limit));
        query.fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// A tenant's records that `filter` lets through, the newest first: those after the one at this time and place, of
    /// them without the first `offset`, and at most `limit`. What the record says of itself is left out, unless asked
    /// for by its kind.
    pub async fn find_records(
        &self,
        tenant: &str,
        filter: &Filter,
        after: Option<(Millis, ChainId, i64)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM record"));
        apply(filter, &mut statement, tenant);
        if let Some((at, chain, seq)) = after {
            statement.push(" AND (at, chain, seq) < (?, ?, ?)", [at.into(), chain.0.into(), seq.into()]);
        }
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        statement.push(
            " ORDER BY at DESC, chain DESC, seq DESC LIMIT ? OFFSET ?",
            [i64::from(limit).into(), offset.into()],
        );
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// How many records [`Store::find_records`] would find.
    pub async fn count_records(&self, tenant: &str, filter: &Filter) -> Result<u64, StoreError> {
        let mut statement = Statement::new("SELECT COUNT(*) AS records FROM record");
        apply(filter, &mut statement, tenant);
        let count: i64 = statement.query().fetch_one(&self.pool).await?.try_get("records")?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Intents of a chain that have no outcome, in their order, from number `from` on.
    pub async fn open_intents(
        &self,
        chain: ChainId,
        from: i64,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        // An intent and its outcome began at the same moment, and so the index by time finds it.
        let text = format!(
            "SELECT {COLUMNS} FROM record i WHERE i.chain = $1 AND i.seq >= $2 AND i.kind = 'intent'
             AND NOT EXISTS (SELECT 1 FROM record o WHERE o.tenant_id = i.tenant_id AND o.at = i.at
               AND o.request_id = i.request_id AND o.kind <> 'intent')
             ORDER BY i.seq LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(text)).bind(chain.0).bind(from).bind(i64::from(limit));
        query.fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

/// False where the chain is not where it should be, or not the owner's.
async fn advance(
    connection: &mut AnyConnection,
    owner: &str,
    tenant: &str,
    advance: &Advance,
    now: Millis,
) -> Result<bool, StoreError> {
    let Head { chain, seq, link } = advance.to;
    let query = match advance.from {
        None => sqlx::query(
            "INSERT INTO chains (id, tenant_id, owner, first_seq, seq, link, bytes, opened_at, touched_at, ended, settled)
             VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $7, $8, FALSE) ON CONFLICT (id) DO NOTHING",
        )
        .bind(chain.0)
        .bind(tenant.to_owned())
        .bind(owner.to_owned())
        .bind(seq)
        .bind(link.0.to_vec())
        .bind(advance.bytes)
        .bind(now)
        .bind(advance.last),
        Some(from) => sqlx::query(
            "UPDATE chains SET seq = $1, link = $2, bytes = bytes + $3, touched_at = $4, ended = $5
             WHERE id = $6 AND owner = $7 AND seq = $8",
        )
        .bind(seq)
        .bind(link.0.to_vec())
        .bind(advance.bytes)
        .bind(now)
        .bind(advance.last)
        .bind(chain.0)
        .bind(owner.to_owned())
        .bind(from),
    };
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

/// One text for each of [`SIZES`]. PostgreSQL's parameters have numbers; SQLite looks each of them up among all where
/// they have, which is 50 times the cost of the row itself. Nor does SQLite need to be able to undo a statement alone:
/// whatever fails undoes the transaction, and so it copies no pages.
fn statements(numbered: bool) -> &'static [String] {
    static NUMBERED: OnceLock<Vec<String>> = OnceLock::new();
    static PLAIN: OnceLock<Vec<String>> = OnceLock::new();
    let texts = if numbered { &NUMBERED } else { &PLAIN };
    texts.get_or_init(|| {
        let insert = if numbered { "INSERT" } else { "INSERT OR FAIL" };
        let place = |place: usize| if numbered { format!("${place}") } else { "?".to_owned() };
        let row = |first: usize| {
            let places: Vec<_> = (first..first + WIDTH).map(place).collect();
            format!("({})", places.join(", "))
        };
        let text = |size: &usize| {
            let rows: Vec<_> = (0..*size).map(|index| row(index * WIDTH + 1)).collect();
            format!("{insert} INTO record ({COLUMNS}) VALUES {}", rows.join(", "))
        };
        SIZES.iter().map(text).collect()
    })
}

fn insertion(text: &'static str, rows: &[Arc<Record>]) -> Query<'static, Any, AnyArguments> {
    let owned = |text: &Option<Cow<'static, str>>| text.as_deref().map(str::to_owned);
    rows.iter().fold(sqlx::query(text), |query, record| {
        let Record { facts, chain, seq, digest, link } = &**record;
        query
            .bind(chain.0)
            .bind(*seq)
            .bind(facts.tenant.clone())
            .bind(facts.at)
            .bind(facts.kind.to_string())
            .bind(facts.agent_id.clone())
            .bind(facts.tool.clone())
            .bind(facts.entry_id.clone())
            .bind(owned(&facts.decision))
            .bind(owned(&facts.outcome))
            .bind(facts.status)
            .bind(facts.request_id.clone())
            .bind(digest.0.to_vec())
            .bind(link.0.to_vec())
            .bind(facts.body.clone())
    })
}

/// The conditions that [`Filter::matches`] judges.
fn apply(filter: &Filter, statement: &mut Statement, tenant: &str) {
    statement.push(" WHERE tenant_id = ?", [tenant.into()]);
    for (condition, value) in [
        (" AND agent_id = ?", &filter.agent),
        (" AND kind = ?", &filter.kind),
        (" AND tool = ?", &filter.tool),
        (" AND entry_id = ?", &filter.entry),
        (" AND decision = ?", &filter.decision),
        (" AND outcome = ?", &filter.outcome),
        (" AND request_id = ?", &filter.request_id),
    ] {
        if let Some(value) = value {
            statement.push(condition, [value.as_str().into()]);
        }
    }
    if filter.kind.is_none() {
        statement.push(" AND kind NOT IN ('start', 'checkpoint')", []);
    }
    if filter.of_tools {
        statement.push(" AND tool IS NOT NULL AND kind IN ('call', 'refusal')", []);
    }
    if let Some(made) = filter.request_id.as_deref().and_then(made_at) {
        statement.push(" AND at BETWEEN ? AND ?", [(made - NEAR).into(), (made + NEAR).into()]);
    }
    for (condition, at) in [(" AND at >= ?", filter.since), (" AND at < ?", filter.until)] {
        if let Some(at) = at {
            statement.push(condition, [at.into()]);
        }
    }
}

/// When a request id was made, if it is a UUID v7 as ours are: what it names began then, and is found by that.
fn made_at(request_id: &str) -> Option<Millis> {
    let (seconds, nanos) = uuid::Uuid::parse_str(request_id).ok()?.get_timestamp()?.to_unix();
    i64::try_from(seconds * 1_000 + u64::from(nanos) / 1_000_000).ok()
}

fn read(row: &AnyRow) -> Result<Record, StoreError> {
    let column = |name: &str| row.try_get::<Option<String>, _>(name);
    let facts = Facts {
        tenant: row.try_get("tenant_id")?,
        at: row.try_get("at")?,
        kind: Cow::Owned(row.try_get("kind")?),
        agent_id: column("agent_id")?,
        tool: column("tool")?,
        entry_id: column("entry_id")?,
        decision: column("decision")?.map(Cow::Owned),
        outcome: column("outcome")?.map(Cow::Owned),
        status: row.try_get("status")?,
        request_id: column("request_id")?,
        body: row.try_get("body")?,
    };
    Ok(Record {
        facts,
        chain: ChainId(row.try_get("chain")?),
        seq: row.try_get("seq")?,
        digest: digest(row, "digest")?,
        link: digest(row, "link")?,
    })
}

/// A column of 32 bytes. One of any other length was tampered with: what it says is wrong, and so is zero.
pub(super) fn digest(row: &AnyRow, column: &str) -> Result<Digest, StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Ok(Digest(bytes.try_into().unwrap_or_default()))
}
