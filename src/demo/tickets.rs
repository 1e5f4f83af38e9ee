//! What tickets do beyond the engine: status, assignment, comments, figures, chosen fields.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, escaped, issue, wrong_type};
use super::resources::{self, Resource};
use super::router::{Call, Hand};
use super::world::{Row, new_id, text};
use super::{engine, fields, listing};

pub(super) fn routes() -> Vec<Hand> {
    const READ: Option<(&str, &str)> = Some(("read", "ticket"));
    const UPDATE: Option<(&str, &str)> = Some(("update", "ticket"));
    vec![
        (Method::GET, "/api/v1/tickets/search", READ, search),
        (Method::GET, "/api/v1/tickets/stats", READ, stats),
        (Method::PUT, "/api/v1/tickets/{id}/status", UPDATE, set_status),
        (Method::PUT, "/api/v1/tickets/{id}/assignment", UPDATE, assign),
        (Method::GET, "/api/v1/tickets/{id}/comments", READ, comments),
        (Method::POST, "/api/v1/tickets/{id}/comments", UPDATE, comment),
        (Method::PUT, "/api/v1/tickets/{id}/comments/{commentId}", UPDATE, change_comment),
        (Method::GET, "/api/v1/tickets/{id}/time-entries", Some(("read", "time_entry")), time_entries),
        (Method::GET, "/api/v1/tickets/{id}/documents", READ, documents),
    ]
}

fn tickets() -> Result<&'static Resource, Answer> {
    resources::of("tickets").ok_or_else(Answer::internal)
}

/// Numbers a new ticket, checks its status against its board, keeps `closed_at` true.
pub(super) fn finish(call: &mut Call<'_>, row: &mut Row, new: bool) -> Result<(), Answer> {
    let status =
        call.world.find("statuses", "status_id", text(row, "status_id")).cloned().unwrap_or_default();
    if text(&status, "board_id") != text(row, "board_id") {
        let message = "Status does not belong to the selected board";
        return Err(Answer::invalid_body(vec![issue("custom", "status_id", message)]));
    }
    let now = Value::from(call.stamp());
    let user = Value::from(call.user.clone());
    if new {
        row.remove("created_at");
        row.insert("ticket_number".into(), format!("TIC{}", call.world.number()).into());
        row.insert("entered_by".into(), user.clone());
        row.insert("entered_at".into(), now.clone());
        row.insert("ticket_origin".into(), "api".into());
        for column in
            ["updated_by", "closed_by", "closed_at", "assigned_team_id", "master_ticket_id", "response_state"]
        {
            row.insert(column.into(), Value::Null);
        }
    } else {
        row.insert("updated_by".into(), user.clone());
    }
    if status.get("is_closed") == Some(&Value::Bool(true)) {
        if row.get("closed_at").is_none_or(Value::is_null) {
            row.insert("closed_at".into(), now);
            row.insert("closed_by".into(), user);
        }
    } else {
        row.insert("closed_at".into(), Value::Null);
        row.insert("closed_by".into(), Value::Null);
    }
    Ok(())
}

/// Adds what only the single view of a ticket shows.
pub(super) fn detail(call: &Call<'_>, seen: &mut Row) {
    let client = call.world.find("clients", "client_id", text(seen, "client_id"));
    let contact = call.world.find("contacts", "contact_name_id", text(seen, "contact_name_id"));
    let of =
        |row: Option<&Row>, column: &str| row.and_then(|row| row.get(column)).cloned().unwrap_or(Value::Null);
    let more = [
        ("client_email", of(client, "billing_email")),
        ("client_phone", of(client, "phone_no")),
        ("contact_email", of(contact, "email")),
        ("contact_phone", of(contact, "default_phone_number")),
        ("description_html", format!("<p>{}</p>", escaped(text(seen, "description"))).into()),
        ("location_name", Value::Null),
        ("contact_avatar_url", Value::Null),
        ("client_logo_url", Value::Null),
        ("documents", json!([])),
    ];
    seen.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
}

const CHOOSABLE: [&str; 15] = [
    "ticket_id",
    "ticket_number",
    "title",
    "status_id",
    "status_name",
    "status_is_closed",
    "priority_name",
    "assigned_to_name",
    "client_name",
    "contact_name",
    "updated_at",
    "entered_at",
    "closed_at",
    "tags",
    "mobile_list",
];
const ALWAYS: [&str; 7] =
    ["ticket_id", "status_id", "entered_by", "assigned_to", "client_id", "board_id", "assigned_team_id"];

/// `rows` cut down to the `fields` asked for and those that always stay.
pub(super) fn only(rows: Vec<Row>, fields: &str) -> Result<Vec<Row>, Answer> {
    let wanted: Vec<&str> = fields.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let unknown: Vec<&str> = wanted.iter().copied().filter(|name| !CHOOSABLE.contains(name)).collect();
    if !unknown.is_empty() {
        let message = format!("Unknown fields requested: {}", unknown.join(", "));
        return Err(Answer::error(400, "VALIDATION_ERROR", &message));
    }
    let whole = wanted.contains(&"mobile_list");
    let keep =
        |name: &str| wanted.contains(&name) || ALWAYS.contains(&name) || (whole && CHOOSABLE.contains(&name));
    Ok(rows.into_iter().map(|row| row.into_iter().filter(|(name, _)| keep(name)).collect()).collect())
}

fn search(call: &mut Call<'_>) -> Outcome {
    match call.query.remove("query") {
        Some(query) => {
            call.query.insert("search".into(), query);
            listing::list(call, tickets()?, None)
        }
        None => Err(Answer::invalid_query(wrong_type("query", "string", "undefined"))),
    }
}

fn stats(call: &mut Call<'_>) -> Outcome {
    let resource = tickets()?;
    let rows: Vec<Row> =
        call.world.rows("tickets").iter().map(|row| engine::view(call.world, resource, row)).collect();
    let closed = |row: &&Row| row.get("status_is_closed") == Some(&Value::Bool(true));
    let by = |column: &str| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for row in &rows {
            let name = row.get(column).and_then(Value::as_str).unwrap_or("None");
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        counts
    };
    let overdue = |row: &&Row| {
        listing::instant(text(row, "due_date")).is_some_and(|due| due < call.now) && !closed(row)
    };
    let done = rows.iter().filter(closed).count();
    Ok(Answer::data(json!({
        "total_tickets": rows.len(), "open_tickets": rows.len() - done, "closed_tickets": done,
        "overdue_tickets": rows.iter().filter(overdue).count(),
        "unassigned_tickets": rows.iter().filter(|row| row.get("assigned_to").is_none_or(Value::is_null)).count(),
        "tickets_by_status": by("status_name"), "tickets_by_priority": by("priority_name"),
        "tickets_by_category": by("category_name"), "tickets_by_board": by("board_name"),
    })))
}

fn set_status(call: &mut Call<'_>) -> Outcome {
    let body = call.object();
    if !body.contains_key("status_id") {
        return Err(Answer::invalid_body(vec![wrong_type("status_id", "string", "undefined")]));
    }
    let wanted: Row = body.into_iter().filter(|(name, _)| name == "status_id").collect();
    let given = fields::checked(call.world, tickets()?, &wanted, false)?;
    engine::change(call, tickets()?, given)
}

fn assign(call: &mut Call<'_>) -> Outcome {
    let body = call.object();
    let given = match body.get("assigned_to") {
        None => return Err(Answer::invalid_body(vec![wrong_type("assigned_to", "string", "undefined")])),
        Some(Value::Null) => Row::from_iter([("assigned_to".to_owned(), Value::Null)]),
        Some(user) => {
            let wanted = Row::from_iter([("assigned_to".to_owned(), user.clone())]);
            fields::checked(call.world, tickets()?, &wanted, false)?
        }
    };
    engine::change(call, tickets()?, given)
}

/// A page of comments; without the list envelope's pagination, as AlgaPSA answers.
fn comments(call: &mut Call<'_>) -> Outcome {
    let ticket = engine::named(call, tickets()?)?;
    let number = |name: &str, default: usize, most: usize| match call.query.get(name) {
        None => Ok(default),
        Some(written) => written
            .parse::<usize>()
            .ok()
            .filter(|number| *number <= most && (name == "offset" || *number > 0))
            .ok_or_else(|| Answer::invalid_query(wrong_type(name, "number", "nan"))),
    };
    let (limit, offset) = (number("limit", 50, 200)?, number("offset", 0, usize::MAX)?);
    let short = call.query.get("content_format").is_some_and(|format| format == "markdown");
    let mut rows: Vec<&Row> = call
        .world
        .rows("comments")
        .iter()
        .filter(|row| text(row, "ticket_id") == text(&ticket, "ticket_id"))
        .collect();
    rows.sort_by(|left, right| text(left, "created_at").cmp(text(right, "created_at")));
    if call.query.get("order").is_some_and(|order| order == "desc") {
        rows.reverse();
    }
    let heavy = ["note", "comment_text", "comment_html", "reactions", "tenant", "user_id"];
    let shown = rows.into_iter().skip(offset).take(limit).map(|row| {
        let mut row = row.clone();
        if short {
            heavy.iter().for_each(|name| drop(row.remove(*name)));
        }
        Value::Object(row)
    });
    Ok(Answer::data(shown.collect::<Vec<_>>()))
}

/// A comment as it is stored, by `user`.
pub(super) fn comment_row(
    call_tenant: &str,
    ticket: &str,
    user: (&str, &str),
    words: &str,
    internal: bool,
    at: &str,
) -> Row {
    let value = json!({
        "comment_id": new_id(), "tenant": call_tenant, "ticket_id": ticket, "user_id": user.0, "contact_id": null,
        "note": words, "comment_text": words, "markdown_content": words,
        "comment_html": format!("<p>{}</p>", escaped(words)), "reactions": [], "is_internal": internal, "is_resolution": false,
        "thread_id": new_id(), "parent_comment_id": null, "created_at": at, "updated_at": null, "deleted_at": null,
        "created_by": user.0, "created_by_name": user.1, "author_type": "internal", "author_contact_id": null,
        "author_contact_name": null,
    });
    match value {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

/// The text of a comment in `body`, between 1 and 5000 characters.
fn words(body: &Row) -> Result<String, Answer> {
    let complaint = match body.get("comment_text") {
        None => wrong_type("comment_text", "string", "undefined"),
        Some(Value::String(words)) if words.trim().is_empty() => {
            issue("too_small", "comment_text", "Comment text is required")
        }
        Some(Value::String(words)) if words.chars().count() > 5_000 => {
            issue("too_big", "comment_text", "String must contain at most 5000 character(s)")
        }
        Some(Value::String(words)) => return Ok(words.clone()),
        Some(_) => wrong_type("comment_text", "string", "object"),
    };
    Err(Answer::invalid_body(vec![complaint]))
}

fn comment(call: &mut Call<'_>) -> Outcome {
    let body = call.object_or_500()?;
    let ticket = engine::named(call, tickets()?)?;
    let words = words(&body)?;
    let flag = |name: &str| body.get(name) == Some(&Value::Bool(true));
    let author = call.world.find("users", "user_id", &call.user).map(|row| text(row, "full_name").to_owned());
    let author = (call.user.as_str(), author.as_deref().unwrap_or_default());
    let at = call.stamp();
    let tenant = call.world.tenant.clone();
    let mut row = comment_row(&tenant, text(&ticket, "ticket_id"), author, &words, flag("is_internal"), &at);
    row.insert("is_resolution".into(), flag("is_resolution").into());
    call.world.insert("comments", row.clone());
    Ok(Answer::created(row))
}

fn change_comment(call: &mut Call<'_>) -> Outcome {
    let body = call.object_or_500()?;
    let id = call.uuid("commentId", "comment")?;
    let words = words(&body)?;
    let at = call.stamp();
    let row =
        call.world.find_mut("comments", "comment_id", &id).ok_or_else(|| Answer::not_found("comment"))?;
    for column in ["note", "comment_text", "markdown_content"] {
        row.insert(column.into(), words.clone().into());
    }
    row.insert("comment_html".into(), format!("<p>{}</p>", escaped(&words)).into());
    row.insert("updated_at".into(), at.into());
    Ok(Answer::data(row.clone()))
}

fn time_entries(call: &mut Call<'_>) -> Outcome {
    let ticket = engine::named(call, tickets()?)?;
    let entries = resources::of("time_entries").ok_or_else(Answer::internal)?;
    listing::list(call, entries, Some(("work_item_id", text(&ticket, "ticket_id"))))
}

fn documents(call: &mut Call<'_>) -> Outcome {
    let ticket = engine::named(call, tickets()?)?;
    let rows = call
        .world
        .rows("documents")
        .iter()
        .filter(|row| text(row, "ticket_id") == text(&ticket, "ticket_id"));
    Ok(Answer::data(rows.cloned().map(Value::Object).collect::<Vec<_>>()))
}
