//! What creating or changing a row implies beyond its own fields: numbers, defaults, sums.

use serde_json::{Value, json};

use super::answer::{Answer, issue};
use super::listing;
use super::router::Call;
use super::world::{Row, stamp, text};

pub(super) fn nothing(_: &mut Call<'_>, _: &mut Row, _: bool) -> Result<(), Answer> {
    Ok(())
}

/// `_links` of rows that carry them.
pub(super) fn links(call: &mut Call<'_>, row: &mut Row, _: bool) -> Result<(), Answer> {
    let (kind, id) =
        if row.contains_key("asset_id") { ("assets", "asset_id") } else { ("invoices", "invoice_id") };
    let href = format!("/api/v1/{kind}/{}", text(row, id));
    row.insert("_links".to_owned(), json!({"self": {"href": href, "method": "GET"}}));
    row.insert("updated_at".to_owned(), call.stamp().into());
    Ok(())
}

pub(super) fn new_client(_: &mut Call<'_>, row: &mut Row, new: bool) -> Result<(), Answer> {
    if new {
        let defaults = [
            ("is_inactive", json!(false)),
            ("is_tax_exempt", json!(false)),
            ("client_type", json!("company")),
            ("credit_balance", json!(0)),
            ("default_currency_code", json!("USD")),
            ("logoUrl", Value::Null),
        ];
        fill(row, defaults);
    }
    Ok(())
}

pub(super) fn new_contact(_: &mut Call<'_>, row: &mut Row, _: bool) -> Result<(), Answer> {
    let phone =
        row.get("phone_numbers").and_then(|all| all.get(0)).and_then(|one| one.get("phone_number")).cloned();
    row.insert("default_phone_number".to_owned(), phone.unwrap_or(Value::Null));
    fill(
        row,
        [
            ("is_inactive", json!(false)),
            ("phone_numbers", json!([])),
            ("additional_email_addresses", json!([])),
        ],
    );
    Ok(())
}

pub(super) fn new_project(call: &mut Call<'_>, row: &mut Row, new: bool) -> Result<(), Answer> {
    if new {
        row.insert("project_number".to_owned(), format!("PRJ{:04}", call.world.number()).into());
    }
    fill(row, [("is_inactive", json!(false)), ("status", json!("planning")), ("wbs_code", json!("1"))]);
    Ok(())
}

pub(super) fn new_status(_: &mut Call<'_>, row: &mut Row, _: bool) -> Result<(), Answer> {
    fill(row, [("is_closed", json!(false)), ("order_number", json!(100))]);
    Ok(())
}

/// Writes defaults where the row holds nothing.
fn fill<const N: usize>(row: &mut Row, defaults: [(&str, Value); N]) {
    for (name, value) in defaults {
        if row.get(name).is_none_or(Value::is_null) {
            row.insert(name.to_owned(), value);
        }
    }
}

pub(super) fn time_entry(call: &mut Call<'_>, row: &mut Row, new: bool) -> Result<(), Answer> {
    let (start, end) = (listing::instant(text(row, "start_time")), listing::instant(text(row, "end_time")));
    let (Some(start), Some(end)) = (start, end) else { return Err(Answer::internal()) };
    if end <= start {
        return Err(Answer::invalid_body(vec![issue(
            "custom",
            "end_time",
            "End time must be after start time",
        )]));
    }
    if new {
        row.insert("user_id".to_owned(), call.user.clone().into());
        row.insert("approval_status".to_owned(), "DRAFT".into());
    }
    fill(row, [("is_billable", json!(true))]);
    let minutes = (end - start) / 60_000;
    let billable = if row.get("is_billable") == Some(&Value::Bool(true)) { minutes } else { 0 };
    row.insert("start_time".to_owned(), stamp(start).into());
    row.insert("end_time".to_owned(), stamp(end).into());
    row.insert("work_date".to_owned(), stamp(start).chars().take(10).collect::<String>().into());
    row.insert("billable_duration".to_owned(), billable.into());
    #[allow(clippy::cast_precision_loss)]
    row.insert("duration_hours".to_owned(), format!("{:.2}", minutes as f64 / 60.0).into());
    Ok(())
}
