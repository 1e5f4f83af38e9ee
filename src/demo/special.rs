//! Everything else that is not a plain resource: nested lists, figures, exports, files, roles, metadata.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, wrong_type};
use super::resources::{self, Resource};
use super::roles::ROLES;
use super::router::{Call, Hand};
use super::world::{Row, new_id, text};
use super::{engine, fields, listing, search};

/// The endpoint descriptions, with the ids that AlgaPSA's generator would give them.
pub(super) const REGISTRY: &str = include_str!("registry.json");

/// The route whose answer takes as long as it is asked to; the server waits, not the handler.
pub(super) const SLOW: &str = "/api/v1/reports/slow";

pub(super) fn routes() -> Vec<Hand> {
    let read = |resource: &'static str| Some(("read", resource));
    let update = |resource: &'static str| Some(("update", resource));
    vec![
        (Method::GET, "/api/v1/search", None, search::run),
        (Method::GET, "/api/v1/meta/mcp-registry", None, registry),
        (Method::GET, "/api/v1/meta/health", None, |_| Ok(Answer::data(json!({"status": "healthy"})))),
        (Method::GET, SLOW, read("report"), slow),
        (Method::GET, "/api/v1/clients/stats", read("client"), |call| {
            figures(call, "clients", "client_type")
        }),
        (Method::GET, "/api/v1/clients/{id}/contacts", read("contact"), |call| {
            nested(call, "clients", "contacts", "client_id")
        }),
        (Method::GET, "/api/v1/clients/{id}/locations", read("client"), |call| {
            part(call, "clients", "client_locations", "client_id")
        }),
        (Method::GET, "/api/v1/contacts/search", read("contact"), |call| found(call, "contacts")),
        (Method::GET, "/api/v1/contacts/stats", read("contact"), |call| figures(call, "contacts", "role")),
        (Method::GET, "/api/v1/contacts/export", read("contact"), |call| {
            csv(call, "contacts", &["full_name", "email", "role", "client_name", "default_phone_number"])
        }),
        (Method::GET, "/api/v1/assets/search", read("asset"), |call| found(call, "assets")),
        (Method::GET, "/api/v1/assets/stats", read("asset"), |call| figures(call, "assets", "asset_type")),
        (Method::GET, "/api/v1/assets/export", read("asset"), |call| {
            csv(
                call,
                "assets",
                &["asset_tag", "name", "asset_type", "status", "client_name", "serial_number"],
            )
        }),
        (Method::GET, "/api/v1/assets/{id}/software", read("asset"), |call| {
            part(call, "assets", "asset_software", "asset_id")
        }),
        (Method::GET, "/api/v1/projects/stats", read("project"), |call| figures(call, "projects", "status")),
        (Method::GET, "/api/v1/projects/{id}/phases", read("project"), |call| {
            part(call, "projects", "project_phases", "project_id")
        }),
        (Method::GET, "/api/v1/projects/{id}/tasks", read("project_task"), |call| {
            part(call, "projects", "project_tasks", "project_id")
        }),
        (
            Method::POST,
            "/api/v1/projects/{id}/phases/{phaseId}/tasks",
            Some(("create", "project_task")),
            new_task,
        ),
        (Method::GET, "/api/v1/time-entries/stats", read("time_entry"), |call| {
            figures(call, "time_entries", "approval_status")
        }),
        (Method::GET, "/api/v1/time-entries/export", read("time_entry"), |call| {
            csv(
                call,
                "time_entries",
                &["work_date", "user_name", "service_name", "duration_hours", "is_billable", "notes"],
            )
        }),
        (Method::POST, "/api/v1/time-entries/approve", update("time_entry"), approve),
        (Method::GET, "/api/v1/invoices/{id}/items", read("invoice"), |call| {
            part(call, "invoices", "invoice_items", "invoice_id")
        }),
        (Method::GET, "/api/v1/invoices/{id}/pdf", read("invoice"), pdf),
        (Method::POST, "/api/v1/invoices/{id}/finalize", update("invoice"), |call| {
            invoice_status(call, "pending")
        }),
        (Method::POST, "/api/v1/invoices/{id}/send", update("invoice"), |call| invoice_status(call, "sent")),
        (Method::GET, "/api/v1/users/{id}/roles", read("user"), user_roles),
        (Method::GET, "/api/v1/roles", read("role"), |_| Ok(Answer::data(role_rows()))),
        (Method::GET, "/api/v1/roles/{id}/permissions", read("role"), role_permissions),
        (Method::GET, "/api/v1/teams/{id}/members", read("team"), |call| {
            part(call, "teams", "team_members", "team_id")
        }),
    ]
}

/// The roles as rows: `{role_id, role_name, description}`, by name.
pub(super) fn role_rows() -> Value {
    let row = |role: &super::roles::Role| json!({"role_id": role.id(), "role_name": role.name, "description": role.description});
    ROLES.iter().map(row).collect()
}

fn resource(table: &str) -> Result<&'static Resource, Answer> {
    resources::of(table).ok_or_else(Answer::internal)
}

fn registry(_: &mut Call<'_>) -> Outcome {
    let entries: Value = serde_json::from_str(REGISTRY).map_err(|_| Answer::internal())?;
    let count = entries.as_array().map_or(0, Vec::len);
    let meta = json!({"message": "MCP API registry retrieved successfully"});
    Ok(Answer::json(
        200,
        json!({"data": {"edition": "ce", "count": count, "entries": entries}, "meta": meta}),
    ))
}

fn slow(call: &mut Call<'_>) -> Outcome {
    let waited: u64 = call.query.get("ms").and_then(|ms| ms.parse().ok()).unwrap_or(0);
    Ok(Answer::data(json!({"report": "slow", "waited_ms": waited.min(30_000), "rows": []})))
}

/// A filtered list of one table's rows that belong to the row in the path.
fn nested(call: &mut Call<'_>, parent: &str, child: &str, column: &str) -> Outcome {
    let row = engine::named(call, resource(parent)?)?;
    let id = text(&row, resource(parent)?.id).to_owned();
    listing::list(call, resource(child)?, Some((column, &id)))
}

/// The rows of a table that is not a resource of its own, as `{"data": […]}`.
fn part(call: &mut Call<'_>, parent: &str, table: &str, column: &str) -> Outcome {
    let row = engine::named(call, resource(parent)?)?;
    let id = text(&row, resource(parent)?.id);
    let rows = call.world.rows(table).iter().filter(|row| text(row, column) == id);
    let shown = rows.map(|row| match resources::of(table) {
        Some(resource) => Value::Object(engine::view(call.world, resource, row)),
        None => Value::Object(row.clone()),
    });
    Ok(Answer::data(shown.collect::<Vec<_>>()))
}

fn found(call: &mut Call<'_>, table: &str) -> Outcome {
    match call.query.remove("query") {
        Some(query) => {
            call.query.insert("search".to_owned(), query);
            listing::list(call, resource(table)?, None)
        }
        None => Err(Answer::invalid_query(wrong_type("query", "string", "undefined"))),
    }
}

/// How many rows there are, and how many for each value of `column`.
fn figures(call: &mut Call<'_>, table: &str, column: &str) -> Outcome {
    let rows = call.world.rows(table);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.get(column).and_then(Value::as_str).unwrap_or("none")).or_default() += 1;
    }
    let minutes: i64 = rows.iter().filter_map(|row| row.get("billable_duration")?.as_i64()).sum();
    let mut data = json!({"total": rows.len(), "active": rows.iter().filter(|row| row.get("is_inactive") != Some(&Value::Bool(true))).count()});
    data[format!("by_{column}")] = json!(counts);
    if table == "time_entries" {
        data["billable_minutes"] = minutes.into();
    }
    Ok(Answer::data(data))
}

fn csv(call: &mut Call<'_>, table: &str, columns: &[&str]) -> Outcome {
    let resource = resource(table)?;
    let mut lines = vec![columns.join(",")];
    for row in call.world.rows(table) {
        let row = engine::view(call.world, resource, row);
        let cells = columns.iter().map(|column| match row.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(cell)) => format!("\"{}\"", cell.replace('"', "\"\"")),
            Some(other) => other.to_string(),
        });
        lines.push(cells.collect::<Vec<_>>().join(","));
    }
    lines.push(String::new());
    Ok(Answer::file("text/csv; charset=utf-8", &format!("{table}.csv"), lines.join("\r\n").into_bytes()))
}

/// A one-page PDF; the bytes after the header are not text, so that nobody can take it for one.
fn pdf(call: &mut Call<'_>) -> Outcome {
    let invoice = engine::named(call, resource("invoices")?)?;
    let number = text(&invoice, "invoice_number");
    let mut bytes = b"%PDF-1.4\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let drawing = format!("BT /F1 18 Tf 72 720 Td (Invoice {number}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{drawing}\nendstream", drawing.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (at, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", bytes.len()));
        bytes.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).into_bytes());
    }
    let end = bytes.len();
    let trailer =
        format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{end}\n%%EOF\n", objects.len() + 1);
    bytes.extend((table + &trailer).into_bytes());
    Ok(Answer::file("application/pdf", &format!("{number}.pdf"), bytes))
}

fn invoice_status(call: &mut Call<'_>, status: &str) -> Outcome {
    let mut given = Row::from_iter([("status".to_owned(), status.into())]);
    if status == "pending" {
        given.insert("finalized_at".to_owned(), call.stamp().into());
    }
    engine::change(call, resource("invoices")?, given)
}

fn approve(call: &mut Call<'_>) -> Outcome {
    let body = call.object();
    let Some(ids) = body.get("entry_ids").and_then(Value::as_array) else {
        return Err(Answer::invalid_body(vec![wrong_type("entry_ids", "array", "undefined")]));
    };
    let mut approved = 0;
    for id in ids.iter().filter_map(Value::as_str) {
        if let Some(row) = call.world.find_mut("time_entries", "entry_id", id) {
            row.insert("approval_status".to_owned(), "APPROVED".into());
            approved += 1;
        }
    }
    Ok(Answer::data(json!({"approved": approved})))
}

fn new_task(call: &mut Call<'_>) -> Outcome {
    let project = engine::named(call, resource("projects")?)?;
    let phase = call.uuid("phaseId", "project phase")?;
    if call.world.find("project_phases", "phase_id", &phase).is_none() {
        return Err(Answer::not_found("project phase"));
    }
    let tasks = resource("project_tasks")?;
    let mut row = fields::checked(call.world, tasks, &call.object(), true)?;
    let fixed = [
        ("task_id", new_id()),
        ("tenant", call.world.tenant.clone()),
        ("project_id", text(&project, "project_id").to_owned()),
        ("phase_id", phase),
        ("created_at", call.stamp()),
        ("updated_at", call.stamp()),
    ];
    row.extend(fixed.map(|(name, value)| (name.to_owned(), value.into())));
    row.entry("status").or_insert_with(|| "To do".into());
    call.world.insert("project_tasks", row.clone());
    Ok(Answer::created(engine::view(call.world, tasks, &row)))
}

fn user_roles(call: &mut Call<'_>) -> Outcome {
    let user = engine::named(call, resource("users")?)?;
    let held = call.world.grants.get(text(&user, "user_id")).cloned().unwrap_or_default();
    let rows = role_rows();
    let rows = rows.as_array().into_iter().flatten();
    let named = rows.filter(|row| row["role_name"].as_str().is_some_and(|name| held.contains(&name)));
    Ok(Answer::data(named.cloned().collect::<Vec<_>>()))
}

fn role_permissions(call: &mut Call<'_>) -> Outcome {
    let id = call.uuid("id", "role")?;
    let role = ROLES.iter().find(|role| role.id() == id);
    let role = role.ok_or_else(|| Answer::not_found("role"))?;
    let shown = role.permissions().map(|(resource, action)| json!({"resource": resource, "action": action}));
    Ok(Answer::data(shown.collect::<Vec<_>>()))
}
