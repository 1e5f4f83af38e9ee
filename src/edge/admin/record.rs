//! What is on record: of one agent in the PSA's contract, and of everything with filters and a cursor.

use std::sync::Arc;

use axum::Json;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::body::Asked;
use super::problem::{ContractErrors, Problem, Problems};
use super::who::Who;
use super::wire::{self, Page, after, page, said, time as written};
use crate::clock::Millis;
use crate::gate::admin::{ChainId, Filter, Record};

/// What the PSA's clients know.
pub fn contract() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// What is new.
pub fn new() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// One call of an agent.
#[derive(Debug, Serialize, ToSchema)]
struct AuditRow {
    id: String,
    /// The id of the tenant.
    tenant: String,
    agent_id: Option<String>,
    /// The MCP tool.
    tool: Option<String>,
    /// Its arguments, without secrets.
    arguments: Value,
    ok: bool,
    /// The PSA's HTTP status.
    status_code: Option<i64>,
    /// `allow`, `deny` or `error`.
    decision: &'static str,
    /// How it ended, in words.
    result_summary: Option<String>,
    created_at: String,
    /// The entry of the PSA's registry.
    entry_id: Option<String>,
    /// The id that the caller was told.
    request_id: Option<String>,
}

fn audited(record: Record) -> AuditRow {
    let id = record.id();
    let row = record.facts;
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let decision = row.verdict();
    let word = |key: &str| body[key].as_str().map(str::to_owned);
    AuditRow {
        id,
        tenant: row.tenant,
        agent_id: row.agent_id,
        tool: row.tool,
        arguments: body.get("arguments").cloned().unwrap_or_default(),
        ok: decision == "allow",
        status_code: row.status,
        decision,
        result_summary: word("reason").or(row.outcome.map(Into::into)),
        created_at: written(row.at),
        entry_id: row.entry_id,
        request_id: row.request_id,
    }
}

/// One page of an agent's calls.
#[derive(Serialize, ToSchema)]
struct AuditPage {
    data: Vec<AuditRow>,
    /// Of all pages.
    total: u64,
    page: u64,
    #[serde(rename = "pageSize")]
    page_size: u32,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
struct AuditQuery {
    /// The agent's id.
    #[param(required)]
    agent_id: Option<String>,
    /// Which page, from 1.
    #[param(value_type = Option<u32>, default = 1)]
    page: Option<String>,
    /// Rows of a page, 1 to 200.
    #[param(value_type = Option<u32>, default = 25)]
    page_size: Option<String>,
    /// The same as `pageSize`, as the first release of the PSA's MCP server calls it.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
}

/// Rows of a page where nobody says how many, as in the PSA.
const PAGE_SIZE: u32 = 25;

/// The calls of one agent, the newest first.
#[utoipa::path(get, path = "/audit", tag = "contract", operation_id = "listAudit", params(AuditQuery), responses((status = 200, description = "What was asked for, as it is now.", body = AuditPage), ContractErrors))]
async fn audit(who: Who, Asked(asked): Asked<AuditQuery>) -> Result<Json<AuditPage>, Problem> {
    let agent = said(asked.agent_id);
    let agent = agent.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "\"agentId\" is required."))?;
    // As in the PSA, what is no number counts as left out, and what is too much as the most.
    let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<u32>().ok());
    let page = u64::from(number(asked.page).unwrap_or(1).max(1));
    let size = number(asked.page_size).or(number(asked.limit)).unwrap_or(PAGE_SIZE).clamp(1, wire::MOST);
    let filter = Filter { agent: Some(agent), of_tools: true, ..Filter::default() };
    let offset = (page - 1).saturating_mul(u64::from(size));
    let counted = who.admin.count_events(&filter).await?;
    let rows = who.admin.events(&filter, None, offset, size).await?;
    // What came in between is shown, and so it counts.
    let total = if rows.is_empty() { counted } else { counted.max(offset + rows.len() as u64) };
    Ok(Json(AuditPage { data: rows.into_iter().map(audited).collect(), total, page, page_size: size }))
}

/// One event of the record.
#[derive(Debug, Serialize, ToSchema)]
struct Event {
    id: String,
    at: String,
    /// `call`, `refusal`, `change`, `other`, `intent` or `lost`; `start` and `checkpoint` where they are asked for.
    kind: String,
    agent_id: Option<String>,
    tool: Option<String>,
    entry_id: Option<String>,
    decision: Option<String>,
    outcome: Option<String>,
    /// The PSA's HTTP status.
    status: Option<i64>,
    request_id: Option<String>,
    /// The whole record, without secrets; of a change with what was before and what is after.
    record: Value,
}

impl From<Record> for Event {
    fn from(record: Record) -> Self {
        let id = record.id();
        let row = record.facts;
        Self {
            id,
            at: written(row.at),
            kind: row.kind.into(),
            agent_id: row.agent_id,
            tool: row.tool,
            entry_id: row.entry_id,
            decision: row.decision.map(Into::into),
            outcome: row.outcome.map(Into::into),
            status: row.status,
            request_id: row.request_id,
            record: serde_json::from_str(&row.body).unwrap_or_default(),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// Rows of a page, 1 to 200; without it 50.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which records are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only of the agent with this id.
    agent: Option<String>,
    /// Only `call`, `refusal`, `change`, `other`, `intent`, `lost`, `start` or `checkpoint`.
    kind: Option<String>,
    /// Only of this MCP tool.
    tool: Option<String>,
    /// Only of this entry of the PSA's registry.
    entry: Option<String>,
    /// Only `allow`, `deny` or `refuse`.
    decision: Option<String>,
    /// Only with this outcome, such as `ok` or `denied`.
    outcome: Option<String>,
    /// Only at this time or later; RFC 3339.
    since: Option<String>,
    /// Only before this time; RFC 3339.
    until: Option<String>,
    /// Only with the id that the caller was told.
    request_id: Option<String>,
}

impl Wanted {
    pub(super) fn filter(self) -> Result<Filter, Problem> {
        Ok(Filter {
            since: moment("since", self.since.as_deref())?,
            until: moment("until", self.until.as_deref())?,
            agent: self.agent,
            kind: self.kind,
            tool: self.tool,
            of_tools: false,
            entry: self.entry,
            decision: self.decision,
            outcome: self.outcome,
            request_id: self.request_id,
        })
    }
}

/// What agents did and administrators changed in this tenant, the newest first.
#[utoipa::path(get, path = "/events", tag = "record", operation_id = "listEvents", params(Paging, Wanted), responses((status = 200, description = "What was asked for, as it is now.", body = Page<Event>), Problems))]
async fn events(
    who: Who,
    Asked(asked): Asked<Paging>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<Page<Event>>, Problem> {
    let limit = wire::limit(asked.limit)?;
    let filter = wanted.filter()?;
    let place =
        after(asked.cursor.as_deref())?.map(|(at, id)| place(&id).map(|(chain, seq)| (at, chain, seq)));
    let rows = who.admin.events(&filter, place.transpose()?, 0, limit + 1).await?;
    Ok(Json(page(rows, limit, |row| (row.facts.at, row.id()), Event::from)))
}

/// The place that [`Record::id`] tells.
fn place(id: &str) -> Result<(ChainId, i64), Problem> {
    let read = || {
        let (chain, seq) = id.split_once('-')?;
        Some((chain.parse().ok()?, seq.parse().ok()?))
    };
    read().ok_or_else(|| Problem::field("cursor", "is not one that this server gave"))
}

fn moment(field: &str, text: Option<&str>) -> Result<Option<Millis>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        Problem::field(field, "is no time; write such as 2027-01-31T08:00:00Z, and a + as %2B")
    })?;
    Ok(Some(i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Chain, Facts};

    #[test]
    fn a_row_of_the_contract_has_the_arguments_and_says_how_it_ended() {
        let shown = audited(Chain::begin(ChainId(1)).append(Facts {
            outcome: Some("denied".into()),
            body: "{\"arguments\":{\"entryId\":\"x\"},\"reason\":\"said so\"}".to_owned(),
            ..Facts::default()
        }));
        assert_eq!((shown.decision, shown.ok), ("deny", false));
        assert_eq!(shown.arguments, serde_json::json!({"entryId": "x"}));
        assert_eq!(shown.result_summary.as_deref(), Some("said so"));
    }

    #[test]
    fn a_time_is_rfc_3339_in_any_zone() {
        let read = |text| moment("since", Some(text)).ok().flatten();
        assert_eq!(read("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(read("1970-01-01T01:00:00.5+01:00"), Some(500));
        for wrong in ["", "yesterday", "2027-01-31", "2027-01-31T08:00:00"] {
            assert!(read(wrong).is_none() && moment("since", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
