//! `GET /api/v1/search`: full text over the demo PSA's rows, only of types the caller may read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, escaped, issue, wrong_type};
use super::router::Call;
use super::world::{Row, text};

/// The types of AlgaPSA's search, and the permission's resource that each needs.
const TYPES: [(&str, &str); 31] = [
    ("client", "client"),
    ("contact", "contact"),
    ("user", "user"),
    ("ticket", "ticket"),
    ("ticket_comment", "ticket"),
    ("board", "ticket"),
    ("category", "ticket"),
    ("tag", "ticket"),
    ("project", "project"),
    ("project_phase", "project"),
    ("project_task", "project"),
    ("project_task_comment", "project"),
    ("asset", "asset"),
    ("sales_order", "sales_order"),
    ("purchase_order", "purchase_order"),
    ("stock_unit", "inventory"),
    ("invoice", "invoice"),
    ("invoice_item", "invoice"),
    ("invoice_annotation", "invoice"),
    ("contract", "contract"),
    ("client_contract", "contract"),
    ("document", "document"),
    ("kb_article", "kb"),
    ("service_catalog", "service_catalog"),
    ("service_request_submission", "service_request"),
    ("service_request_definition", "admin"),
    ("workflow_task", "workflow_task"),
    ("interaction", "interaction"),
    ("schedule_entry", "schedule"),
    ("time_entry", "time"),
    ("status", "ticket"),
];

/// Where a type's rows are: type, table, id, title, other text, the page.
type Place = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const PLACES: [Place; 12] = [
    ("client", "clients", "client_id", "client_name", &["url", "notes"], "/msp/clients/"),
    ("contact", "contacts", "contact_name_id", "full_name", &["email", "role"], "/msp/contacts/"),
    ("user", "users", "user_id", "full_name", &["email"], "/msp/users/"),
    ("ticket", "tickets", "ticket_id", "title", &["ticket_number", "description"], "/msp/tickets/"),
    ("ticket_comment", "comments", "comment_id", "comment_text", &[], "/msp/tickets/"),
    ("board", "boards", "board_id", "board_name", &["description"], "/msp/settings/boards/"),
    (
        "project",
        "projects",
        "project_id",
        "project_name",
        &["project_number", "description"],
        "/msp/projects/",
    ),
    ("project_task", "project_tasks", "task_id", "task_name", &["description"], "/msp/projects/tasks/"),
    ("asset", "assets", "asset_id", "name", &["asset_tag", "serial_number", "location"], "/msp/assets/"),
    ("invoice", "invoices", "invoice_id", "invoice_number", &["status"], "/msp/invoices/"),
    ("document", "documents", "document_id", "document_name", &["content"], "/msp/documents?doc="),
    ("interaction", "interactions", "interaction_id", "title", &["notes"], "/msp/interactions/"),
];

struct Hit {
    kind: &'static str,
    id: String,
    parent: Option<String>,
    title: String,
    snippet: String,
    url: String,
    score: f64,
    updated: String,
}

pub(super) fn run(call: &mut Call<'_>) -> Outcome {
    let query = call.query.get("query").map(|query| query.trim().to_owned());
    let query = match query {
        None => return Err(Answer::invalid_query(wrong_type("query", "string", "undefined"))),
        Some(query) if query.is_empty() => {
            return Err(Answer::invalid_query(issue(
                "too_small",
                "query",
                "String must contain at least 1 character(s)",
            )));
        }
        Some(query) if query.chars().count() > 200 => {
            return Err(Answer::invalid_query(issue(
                "too_big",
                "query",
                "String must contain at most 200 character(s)",
            )));
        }
        Some(query) => query,
    };
    let limit = match call.query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => 30,
        Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
        Some(_) => {
            return Err(Answer::invalid_query(issue("custom", "limit", "Expected a number from 1 to 100")));
        }
    };
    let sort = call.query.get("sort").map_or("relevance", String::as_str);
    if !["relevance", "recent"].contains(&sort) {
        return Err(Answer::invalid_query(issue(
            "invalid_enum_value",
            "sort",
            "Expected 'relevance' | 'recent'",
        )));
    }
    let wanted: Option<Vec<&str>> = call
        .query
        .get("types")
        .filter(|types| !types.is_empty())
        .map(|types| types.split(',').map(str::trim).collect());
    if wanted.iter().flatten().any(|one| TYPES.iter().all(|(name, _)| name != one)) {
        return Err(Answer::invalid_query(issue("invalid_enum_value", "types", "Unknown search type")));
    }

    let mut hits = Vec::new();
    for place in &PLACES {
        let needed = TYPES.iter().find(|(name, _)| *name == place.0).map_or("", |(_, needed)| needed);
        let asked = wanted.as_ref().is_none_or(|wanted| wanted.contains(&place.0));
        if asked && call.world.may(&call.user, "read", needed) {
            hits.extend(call.world.rows(place.1).iter().filter_map(|row| hit(place, row, &query)));
        }
    }
    let mut groups: BTreeMap<&str, usize> = TYPES.iter().map(|(name, _)| (*name, 0)).collect();
    hits.iter().for_each(|hit| *groups.entry(hit.kind).or_default() += 1);
    hits.sort_by(|left, right| {
        let by_score = right.score.total_cmp(&left.score);
        let by_time = right.updated.cmp(&left.updated);
        let first = if sort == "recent" { by_time.then(by_score) } else { by_score.then(by_time) };
        first.then_with(|| left.id.cmp(&right.id))
    });
    let total = hits.len();
    let start = match call.query.get("cursor") {
        None => 0,
        Some(cursor) => after(cursor, &hits).ok_or_else(Answer::internal)?,
    };
    let page: Vec<&Hit> = hits.iter().skip(start).take(limit).collect();
    let mut data = json!({"results": page.iter().map(|hit| hit.show()).collect::<Vec<_>>(), "groups": groups, "totalCount": total});
    if let Some(last) = page.last().filter(|_| start + page.len() < total) {
        let cursor = json!({"score": last.score, "updatedAt": last.updated, "objectId": last.id}).to_string();
        data["nextCursor"] = BASE64_URL_SAFE_NO_PAD.encode(cursor).into();
    }
    Ok(Answer::data(data))
}

/// The position behind the hit that `cursor` names; `None` where it is not a cursor.
fn after(cursor: &str, hits: &[Hit]) -> Option<usize> {
    let cursor: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let id = cursor.get("objectId")?.as_str()?;
    Some(hits.iter().position(|hit| hit.id == id).map_or(hits.len(), |at| at + 1))
}

impl Hit {
    fn show(&self) -> Value {
        let mut shown = json!({
            "type": self.kind, "id": self.id, "title": self.title, "snippet": self.snippet, "url": self.url,
            "score": self.score, "updatedAt": self.updated,
        });
        if let Some(parent) = &self.parent {
            shown["parentId"] = parent.clone().into();
        }
        shown
    }
}

fn hit(place: &Place, row: &Row, query: &str) -> Option<Hit> {
    let (kind, _, id, title, others, page) = place;
    let body = others.iter().map(|column| text(row, column)).collect::<Vec<_>>().join(" ");
    let terms = query.split(" OR ").find_map(|part| {
        let terms = terms(part);
        let all = format!("{} {body}", text(row, title)).to_lowercase();
        (!terms.is_empty() && terms.iter().all(|term| begins_a_word(&all, term))).then_some(terms)
    })?;
    let heading = text(row, title).to_lowercase();
    let in_title = terms.iter().filter(|term| begins_a_word(&heading, term)).count();
    let exact = others.iter().any(|column| text(row, column).eq_ignore_ascii_case(query));
    #[allow(clippy::cast_precision_loss)]
    let score = 1.0 + in_title as f64 / terms.len() as f64 + if exact { 2.0 } else { 0.0 };
    let own = text(row, id).to_owned();
    let in_body = terms.iter().any(|term| begins_a_word(&body.to_lowercase(), term));
    let excerpt = if in_body { &body } else { text(row, title) };
    let parent = (*kind == "ticket_comment").then(|| text(row, "ticket_id").to_owned());
    let updated = ["updated_at", "entered_at", "created_at"].iter().map(|column| text(row, column));
    Some(Hit {
        url: format!("{page}{}", parent.as_ref().unwrap_or(&own)),
        kind,
        id: own,
        title: text(row, title).chars().take(120).collect(),
        snippet: marked(excerpt, &terms),
        score,
        updated: updated.into_iter().find(|time| !time.is_empty()).unwrap_or_default().to_owned(),
        parent,
    })
}

/// Words and quoted phrases of one alternative, in lower case.
fn terms(part: &str) -> Vec<String> {
    let mut terms = Vec::new();
    for (at, piece) in part.split('"').enumerate() {
        if at % 2 == 1 {
            terms.push(piece.trim().to_lowercase());
        } else {
            terms.extend(piece.split_whitespace().map(str::to_lowercase));
        }
    }
    terms.retain(|term| !term.is_empty());
    terms
}

fn begins_a_word(all: &str, term: &str) -> bool {
    all.match_indices(term).any(|(at, _)| {
        all.get(..at)
            .and_then(|before| before.chars().next_back())
            .is_none_or(|before| !before.is_alphanumeric())
    })
}

/// `words` escaped for HTML, whole words that begin with a term marked.
fn marked(words: &str, terms: &[String]) -> String {
    let marked = words.split_whitespace().take(40).map(|word| {
        let bare = word.to_lowercase();
        let bare = bare.trim_start_matches(|letter: char| !letter.is_alphanumeric());
        if terms.iter().any(|term| bare.starts_with(term)) {
            format!("<mark>{}</mark>", escaped(word))
        } else {
            escaped(word)
        }
    });
    marked.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_escaped_outside_its_marks() {
        assert_eq!(marked("<b> printer", &["print".to_owned()]), "&lt;b&gt; <mark>printer</mark>");
    }

    #[test]
    fn quoted_words_stay_together() {
        assert_eq!(terms("vpn \"head office\""), ["vpn", "head office"]);
    }
}
