//! Serves any row of the resource table: get, create, update, delete. Lists are next door.

use serde_json::Value;

use super::answer::{Answer, Outcome};
use super::fields::checked;
use super::resources::{self, Resource, Style};
use super::router::Call;
use super::world::{Row, World, new_id, text};

/// `row` with the names it refers to.
pub(super) fn view(world: &World, resource: &Resource, row: &Row) -> Row {
    let mut seen = row.clone();
    for (output, key, table, column) in resource.joins {
        let id = resources::of(table).map_or("", |other| other.id);
        let joined = world.find(table, id, text(row, key)).and_then(|other| other.get(*column)).cloned();
        seen.insert((*output).to_owned(), joined.unwrap_or(Value::Null));
    }
    seen
}

/// The row that the path names, or why there is none.
pub(super) fn named(call: &Call<'_>, resource: &Resource) -> Result<Row, Answer> {
    let id = call.uuid("id", resource.noun)?;
    let missing = || match resource.style {
        Style::Plain => Answer::not_found(resource.noun),
        Style::Success => Answer::error(404, "ERROR", "Asset not found"),
    };
    call.world.find(resource.table, resource.id, &id).cloned().ok_or_else(missing)
}

pub(super) fn get(call: &mut Call<'_>, resource: &Resource) -> Outcome {
    let row = named(call, resource)?;
    let mut seen = view(call.world, resource, &row);
    if resource.table == "tickets" {
        super::tickets::detail(call, &mut seen);
    }
    Ok(Answer::data(seen))
}

pub(super) fn create(call: &mut Call<'_>, resource: &'static Resource) -> Outcome {
    let body = match resource.style {
        Style::Plain => call.object(),
        Style::Success => call.object_or_500()?,
    };
    let repeated = call.idempotency.clone().map(|key| (call.user.clone(), call.path.clone(), key));
    if let Some(earlier) = repeated.as_ref().and_then(|key| call.world.repeated.get(key)) {
        return Ok(Answer::created(earlier.clone()));
    }
    let given = checked(call.world, resource, &body, true)?;
    let mut row = Row::new();
    row.insert(resource.id.to_owned(), new_id().into());
    row.insert("tenant".to_owned(), call.world.tenant.clone().into());
    for field in resource.fields {
        row.insert(field.name.to_owned(), given.get(field.name).cloned().unwrap_or(Value::Null));
    }
    row.insert("created_at".to_owned(), call.stamp().into());
    row.insert("updated_at".to_owned(), call.stamp().into());
    (resource.finish)(call, &mut row, true)?;
    call.world.insert(resource.table, row.clone());
    // AlgaPSA answers a new ticket without the joined names; the others carry them.
    let shown = if resource.table == "tickets" { row } else { view(call.world, resource, &row) };
    if let Some(key) = repeated {
        call.world.repeated.insert(key, shown.clone().into());
    }
    Ok(Answer::created(shown))
}

pub(super) fn update(call: &mut Call<'_>, resource: &'static Resource) -> Outcome {
    let body = call.object();
    let given = checked(call.world, resource, &body, false)?;
    change(call, resource, given)
}

/// Writes `given` over the named row.
pub(super) fn change(call: &mut Call<'_>, resource: &'static Resource, given: Row) -> Outcome {
    let mut row = named(call, resource)?;
    row.extend(given);
    row.insert("updated_at".to_owned(), call.stamp().into());
    (resource.finish)(call, &mut row, false)?;
    let id = text(&row, resource.id).to_owned();
    if let Some(held) = call.world.find_mut(resource.table, resource.id, &id) {
        *held = row.clone();
    }
    let shown = if resource.table == "tickets" { row } else { view(call.world, resource, &row) };
    Ok(Answer::data(shown))
}

pub(super) fn delete(call: &mut Call<'_>, resource: &Resource) -> Outcome {
    let id = text(&named(call, resource)?, resource.id).to_owned();
    if let Some(rows) = call.world.tables.get_mut(resource.table) {
        rows.retain(|row| text(row, resource.id) != id);
    }
    Ok(Answer::empty(204))
}
