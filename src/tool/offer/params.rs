//! The parameters of an entry as a model needs them: required ones first, with types and allowed values.
//!
//! Knows nothing of bodies.

use serde_json::{Map, Value, json};

use super::schema::{line, of_parameter};
use crate::tool::entry::{Param, Place, RESERVED};

/// What parameters may take in short, in bytes.
const SHORT: usize = 1_200;

/// All of them, each with its whole schema.
pub(super) fn whole(params: &[Param]) -> Vec<Value> {
    required_first(params).map(|param| shown(param, param.description.clone(), own_schema(param))).collect()
}

/// In short: descriptions of one line, and where there are too many parameters, none for optional ones; then those that
/// are plain text are only named. The names are the second.
pub(super) fn short(params: &[Param]) -> (Vec<Value>, Vec<&str>) {
    let (list, _) = list(params, 80, false);
    if bytes(&list) <= SHORT {
        return (list, Vec::new());
    }
    let (list, _) = self::list(params, 0, false);
    if bytes(&list) <= SHORT {
        return (list, Vec::new());
    }
    self::list(params, 0, true)
}

fn bytes(list: &[Value]) -> usize {
    list.iter().map(|param| param.to_string().len() + 1).sum()
}

/// `room` is for the description of an optional one.
fn list(params: &[Param], room: usize, folded: bool) -> (Vec<Value>, Vec<&str>) {
    let (plain, told): (Vec<&Param>, Vec<&Param>) =
        required_first(params).partition(|param| folded && is_plain(param));
    let told = told.into_iter().map(|param| {
        let room = if param.required { 100 } else { room };
        let description = param.description.as_deref().or_else(|| param.schema.get("description")?.as_str());
        shown(param, description.and_then(|text| line(text, room)), of_parameter(&param.schema))
    });
    (told.collect(), plain.into_iter().map(|param| param.name.as_str()).collect())
}

fn required_first(params: &[Param]) -> impl Iterator<Item = &Param> {
    params.iter().filter(|param| param.required).chain(params.iter().filter(|param| !param.required))
}

/// A name that says it all: an optional text in the query.
fn is_plain(param: &Param) -> bool {
    let text = param.schema.get("type").is_none_or(|kind| kind == "string");
    let limited =
        ["enum", "const", "default", "anyOf", "oneOf"].iter().any(|key| param.schema.get(key).is_some());
    param.place == Place::Query && !param.required && text && !limited
}

fn shown(param: &Param, description: Option<String>, schema: Value) -> Value {
    let mut shown = json!({"name": param.name, "in": param.place.as_str(), "schema": schema});
    if let Some(shown) = shown.as_object_mut() {
        if param.required {
            shown.insert("required".into(), true.into());
        }
        shown.extend(description.map(|text| ("description".to_owned(), text.into())));
    }
    shown
}

/// The registry's schema without what is ours and what the parameter says itself.
fn own_schema(param: &Param) -> Value {
    let schema = super::schema::whole(&param.schema);
    let members = schema.as_object().cloned().unwrap_or_default();
    let told =
        |key: &str, value: &Value| key == "description" && value.as_str() == param.description.as_deref();
    members
        .into_iter()
        .filter(|(key, value)| key != RESERVED && !told(key, value))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: &str, place: Place, required: bool, schema: Value) -> Param {
        let description = Some(format!("What {name} is. And more of it."));
        Param { name: name.into(), place, required, description, schema, sent: None }
    }

    #[test]
    fn required_ones_come_first_and_few_are_told_with_a_line_each() {
        let params = [
            param(
                "q",
                Place::Query,
                false,
                json!({"type": "string", "description": "twice", RESERVED: ["x"]}),
            ),
            param("id", Place::Path, true, json!({"type": "string", "format": "uuid"})),
        ];
        let (told, named) = short(&params);
        assert!(named.is_empty());
        assert_eq!(
            told[0],
            json!({"name": "id", "in": "path", "required": true, "description": "What id is. And more of it", "schema": {"type": "string", "format": "uuid"}})
        );
        assert_eq!(
            told[1],
            json!({"name": "q", "in": "query", "description": "What q is. And more of it", "schema": {"type": "string"}})
        );
        let all = whole(&params);
        assert_eq!((all.len(), &all[0]["name"]), (2, &json!("id")));
        assert_eq!(all[1]["description"], "What q is. And more of it.");
        assert_eq!(all[1]["schema"], json!({"type": "string", "description": "twice"}));
    }

    #[test]
    fn of_many_those_that_are_plain_text_are_only_named() {
        let mut params = vec![
            param("is_open", Place::Query, false, json!({"type": "boolean"})),
            param("order", Place::Query, false, json!({"type": "string", "enum": ["asc", "desc"]})),
            param("key", Place::Query, true, json!({"type": "string"})),
        ];
        params.extend((0..30).map(|index| {
            param(
                &format!("filter_{index}"),
                Place::Query,
                false,
                json!({"type": "string", "format": "uuid"}),
            )
        }));
        let (told, named) = short(&params);
        let names: Vec<&str> = told.iter().filter_map(|param| param["name"].as_str()).collect();
        assert_eq!(names, ["key", "is_open", "order"]);
        assert_eq!((named.len(), named[0]), (30, "filter_0"));
        assert_eq!(
            told[2],
            json!({"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}})
        );
    }
}
