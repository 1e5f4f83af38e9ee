//! Lists of the demo PSA: filters, words, order, pages, as AlgaPSA's list parameters have them.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome, issue, wrong_type};
use super::engine::view;
use super::resources::{Filter, Match, Resource};
use super::router::Call;
use super::world::{Row, text};

/// Answers a page of `resource`, only rows whose column equals the value in `within`.
pub(super) fn list(call: &mut Call<'_>, resource: &Resource, within: Option<(&str, &str)>) -> Outcome {
    let page = positive(call, "page", 1, i64::MAX)?;
    let limit = positive(call, "limit", 25, 100)?;
    let sort = call.query.get("sort").map_or("created_at", String::as_str);
    let order = call.query.get("order").map_or("desc", String::as_str);
    if !["asc", "desc"].contains(&order) {
        let message = "Invalid enum value. Expected 'asc' | 'desc'";
        return Err(Answer::invalid_query(issue("invalid_enum_value", "order", message)));
    }
    let column = if sort == "created_at" && resource.table == "tickets" { "entered_at" } else { sort };

    let mut rows: Vec<Row> = call
        .world
        .rows(resource.table)
        .iter()
        .filter(|row| within.is_none_or(|(column, value)| text(row, column) == value))
        .map(|row| view(call.world, resource, row))
        .collect();
    if rows.first().is_some_and(|row| !row.contains_key(column)) {
        let message = "The server is misconfigured for this operation. Please contact support.";
        return Err(Answer::error(500, "INTERNAL_CONFIGURATION", message));
    }

    let mut filters = Map::new();
    let common = COMMON.iter().filter(|common| resource.filters.iter().all(|own| own.0 != common.0));
    for filter in resource.filters.iter().chain(common) {
        let Some(value) = call.query.get(filter.0) else { continue };
        let wanted = check_filter(filter, value)?;
        rows.retain(|row| selects(filter, row, value));
        filters.insert(filter.0.to_owned(), wanted);
    }
    if let Some(words) = call.query.get("search").filter(|words| !words.is_empty()) {
        let words = words.to_lowercase();
        rows.retain(|row| {
            resource.searched.iter().any(|column| text(row, column).to_lowercase().contains(&words))
        });
        filters.insert("search".to_owned(), words.into());
    }

    rows.sort_by(|left, right| compare(left.get(column), right.get(column)));
    if order == "desc" {
        rows.reverse();
    }
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let pages = total / limit + i64::from(total % limit > 0);
    let skipped = usize::try_from((page - 1).saturating_mul(limit)).unwrap_or(usize::MAX);
    let taken = usize::try_from(limit).unwrap_or(0);
    let rows: Vec<Row> = rows.into_iter().skip(skipped).take(taken).collect();
    let rows = match call.query.get("fields").filter(|_| resource.table == "tickets") {
        Some(fields) => super::tickets::only(rows, fields)?,
        None => rows,
    };
    Ok(Answer::json(
        200,
        json!({
            "data": rows,
            "pagination": {
                "page": page, "limit": limit, "total": total, "totalPages": pages,
                "hasNext": page < pages, "hasPrev": page > 1,
            },
            "meta": {"sort": sort, "order": order, "filters": filters},
        }),
    ))
}

/// Filters that every list knows.
const COMMON: &[Filter] = &[
    ("created_from", "created_at", Match::From),
    ("created_to", "created_at", Match::To),
    ("updated_from", "updated_at", Match::From),
    ("updated_to", "updated_at", Match::To),
];

/// Whether some list parameter is understood for `resource`.
#[cfg(test)]
pub(super) fn understands(resource: &Resource, name: &str) -> bool {
    ["page", "limit", "sort", "order", "search"].contains(&name)
        || (name == "fields" && resource.table == "tickets")
        || resource.filters.iter().chain(COMMON).any(|filter| filter.0 == name)
}

fn positive(call: &Call<'_>, name: &str, default: i64, most: i64) -> Result<i64, Answer> {
    let Some(written) = call.query.get(name) else { return Ok(default) };
    let number: i64 =
        written.trim().parse().map_err(|_| Answer::invalid_query(wrong_type(name, "number", "nan")))?;
    if number < 1 {
        let message = "Number must be greater than or equal to 1";
        return Err(Answer::invalid_query(issue("too_small", name, message)));
    }
    if number > most {
        let message = format!("Number must be less than or equal to {most}");
        return Err(Answer::invalid_query(issue("too_big", name, &message)));
    }
    Ok(number)
}

/// The filter's value as `meta.filters` echoes it.
fn check_filter(filter: &Filter, value: &str) -> Result<Value, Answer> {
    let bad = |message: &str| Err(Answer::invalid_query(issue("invalid_string", filter.0, message)));
    match filter.2 {
        Match::Flag | Match::Not | Match::Present => match value {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => bad("Expected 'true' or 'false'"),
        },
        Match::Uuid if Uuid::try_parse(value).is_err() => bad("Invalid uuid"),
        Match::From | Match::To if instant(value).is_none() => bad("Invalid datetime"),
        Match::AtLeast | Match::AtMost => match value.parse::<f64>() {
            Ok(number) => Ok(json!(number)),
            Err(_) => Err(Answer::invalid_query(wrong_type(filter.0, "number", "nan"))),
        },
        Match::Exact | Match::Uuid | Match::Contains | Match::AnyOf | Match::From | Match::To => {
            Ok(value.into())
        }
    }
}

fn selects((_, column, how): &Filter, row: &Row, wanted: &str) -> bool {
    let held = row.get(*column).unwrap_or(&Value::Null);
    let number = |keep: fn(f64, f64) -> bool| {
        held.as_f64().zip(wanted.parse().ok()).is_some_and(|(held, wanted)| keep(held, wanted))
    };
    let time = |keep: fn(i64, i64) -> bool| {
        held.as_str().and_then(instant).zip(instant(wanted)).is_some_and(|(held, wanted)| keep(held, wanted))
    };
    match how {
        Match::Exact => held.as_str() == Some(wanted),
        Match::Uuid => held.as_str().is_some_and(|held| held.eq_ignore_ascii_case(wanted)),
        Match::Contains => {
            held.as_str().is_some_and(|held| held.to_lowercase().contains(&wanted.to_lowercase()))
        }
        Match::Flag => held.as_bool().unwrap_or(false) == (wanted == "true"),
        Match::Not => held.as_bool().unwrap_or(false) != (wanted == "true"),
        Match::Present => held.is_null() != (wanted == "true"),
        Match::AnyOf => wanted.split(',').any(|one| match held {
            Value::Array(all) => all.iter().any(|held| held.as_str() == Some(one.trim())),
            other => other.as_str() == Some(one.trim()),
        }),
        Match::From => time(|held, wanted| held >= wanted),
        Match::To => time(|held, wanted| held <= wanted),
        Match::AtLeast => number(|held, wanted| held >= wanted),
        Match::AtMost => number(|held, wanted| held <= wanted),
    }
}

/// An ISO 8601 time or date, in milliseconds since the epoch.
pub(super) fn instant(written: &str) -> Option<i64> {
    use time::format_description::well_known::{Iso8601, Rfc3339};
    let time = time::OffsetDateTime::parse(written, &Rfc3339).ok().or_else(|| {
        time::Date::parse(written, &Iso8601::DATE).ok().map(|date| date.midnight().assume_utc())
    })?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

fn compare(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => {
            left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Some(Value::String(left)), Some(Value::String(right))) => {
            left.to_lowercase().cmp(&right.to_lowercase())
        }
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => left.cmp(right),
        (Some(Value::Null) | None, Some(Value::Null) | None) => Ordering::Equal,
        (Some(Value::Null) | None, Some(_)) => Ordering::Less,
        (Some(_), Some(_) | None) => Ordering::Greater,
    }
}

/// The resource served at `path`.
#[cfg(test)]
pub(super) fn served_at(path: &str) -> Option<&'static Resource> {
    super::resources::all().find(|resource| resource.path == path && resource.verbs.contains('l'))
}
