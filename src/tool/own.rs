//! Calls of a person who works under a key of their own, read as AlgaPSA's own connector reads them: what is left out,
//! null, out of range or in another group is understood, and what an endpoint declares is the PSA's to judge.
//!
//! Forgives form only. Method, path and headers are bound as strictly as everybody's.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::catalog::{Catalog, Entry, Param, Place};
use super::data_search;
use super::entry::RESERVED;
use super::headers::never;
use super::offer::Detail;
use super::path::segments;
use super::plan::{self, Plan};
use super::rest::Verb;
use super::rewrite::{CallArgs, ToolResult};
use super::table::Binding;
use super::value::scalar;

/// What a person can do about a key that the PSA does not accept, or whose user may not do something.
const KEY_HINT: &str = "The PSA did not let this key do that. ALGA_API_TOKEN may be wrong, expired or switched off, or its \
     user may lack the permission. Check it in the PSA and set ALGA_API_TOKEN anew in the MCP client's configuration.";

/// Arguments of `call_api_endpoint` that are no parameter's name.
const GROUPS: [&str; 10] =
    ["entryId", "method", "path", "pathParams", "query", "headers", "parameters", "body", "data", "payload"];

/// The most records that the PSA's search gives at once; it refuses to be asked for more.
const MOST_RECORDS: u64 = 100;

/// How such calls are read and answered.
#[derive(Debug)]
pub struct Own {
    search: Arc<Entry>,
}

impl Own {
    /// `search_path` is where the PSA's search over its records is.
    ///
    /// # Errors
    /// What is wrong with `search_path`.
    pub fn new(search_path: &str) -> Result<Self, String> {
        match segments(search_path) {
            Ok(_) => Ok(Self { search: Arc::new(data_search::at(search_path)) }),
            Err(reason) => Err(reason),
        }
    }

    /// What is to be done; None for a tool that is read as it stands.
    pub(super) fn plan(
        &self,
        binding: &Binding,
        catalog: &Catalog,
        args: &Value,
    ) -> Option<Result<Plan, ToolResult>> {
        let none = Map::new();
        let args = args.as_object().unwrap_or(&none);
        match binding {
            Binding::SearchRegistry => {
                Some(words(args).map(|query| {
                    Plan::SearchRegistry {
                        query: query.chars().take(500).collect(),
                        limit: usize::try_from(clamped(args.get("limit"), 1, 25).unwrap_or(5)).unwrap_or(5),
                        // AlgaPSA's connector tells all.
                        detail: args
                            .get("detail")
                            .and_then(Value::as_str)
                            .and_then(Detail::parse)
                            .unwrap_or(Detail::Full),
                    }
                }))
            }
            Binding::SearchData => Some(words(args).map(|query| self.search(query, args))),
            Binding::CallEndpoint => Some(call(catalog, args)),
            Binding::Entry { .. } => None,
        }
    }

    /// What the PSA's refusal of a key is answered with.
    pub(super) fn hint(&self) -> &'static str {
        KEY_HINT
    }

    fn search(&self, words: &str, args: &Map<String, Value>) -> Plan {
        let mut query = Map::new();
        query.insert("query".into(), words.into());
        for name in ["types", "cursor", "sort"] {
            if let Some(text) = args.get(name).and_then(text).filter(|text| !text.is_empty()) {
                query.insert(name.into(), text.into());
            }
        }
        if let Some(limit) = clamped(args.get("limit"), 1, MOST_RECORDS) {
            query.insert("limit".into(), limit.into());
        }
        Plan::Call { entry: self.search.clone(), args: CallArgs { query, ..CallArgs::default() } }
    }
}

/// The words that are searched for.
fn words(args: &Map<String, Value>) -> Result<&str, ToolResult> {
    let query = args.get("query").and_then(Value::as_str).map(str::trim).filter(|query| !query.is_empty());
    query.ok_or_else(|| ToolResult::error("query: is required; say in a few words what to look for"))
}

fn call(catalog: &Catalog, args: &Map<String, Value>) -> Result<Plan, ToolResult> {
    let id = args.get("entryId").and_then(Value::as_str).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| {
        ToolResult::error("entryId: is required; find it with search_api_registry and copy it exactly")
    })?;
    let entry = catalog.get(id).ok_or_else(|| plan::unknown_entry(catalog, id))?;
    let args = gathered(entry, args);
    Ok(Plan::Call { entry: Arc::new(widened(entry, &args)), args })
}

/// Each argument in the group that its parameter belongs to.
fn gathered(entry: &Entry, args: &Map<String, Value>) -> CallArgs {
    let none = Map::new();
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    let generic = args.get("parameters").and_then(Value::as_object).unwrap_or(&none);
    let first =
        |names: &[&str]| names.iter().find_map(|name| args.get(*name).filter(|value| !value.is_null()));
    let group =
        |names: &[&str], generic_name| object(first(names).or(generic.get(generic_name))).unwrap_or_default();
    let mut call = CallArgs {
        method: args
            .get("method")
            .and_then(Value::as_str)
            .filter(|method| !method.is_empty())
            .map(str::to_owned),
        path: group(&["path", "pathParams"], "path"),
        query: group(&["query"], "query"),
        headers: group(&["headers"], "headers"),
        body: first(&["body", "data", "payload"])
            .or(generic.get("body"))
            .filter(|body| !body.is_null())
            .cloned(),
        ..CallArgs::default()
    };
    let declared = |place| entry.params_in(place).map(|param| param.name.as_str());
    for (place, group) in
        [(Place::Path, &mut call.path), (Place::Query, &mut call.query), (Place::Header, &mut call.headers)]
    {
        // What a path has no variable for cannot be meant; elsewhere the PSA passes over what it does not know.
        if place == Place::Path {
            group.retain(|name, _| declared(place).any(|known| known == name));
        }
        group.retain(|name, value| !(value.is_null() || place == Place::Header && never(name)));
        for name in declared(place) {
            let known = group.keys().any(|given| match place {
                Place::Header => given.eq_ignore_ascii_case(name),
                Place::Path | Place::Query => given == name,
            });
            let loose = || args.get(name).filter(|_| !GROUPS.contains(&name));
            let found = generic.get(name).filter(|value| !value.is_null()).or_else(loose);
            if let (false, Some(value)) = (known, found.filter(|value| !value.is_null())) {
                group.insert(name.to_owned(), value.clone());
            }
        }
    }
    for value in call.query.values_mut().filter(|value| value.is_array()) {
        if let Some(joined) = text(value) {
            *value = joined.into();
        }
    }
    call.body = match (entry.verb, call.body.take()) {
        (Verb::Get, _) => None,
        (Verb::Delete, body) => body.filter(|_| entry.takes_body()),
        // A body that was written down twice.
        (_, Some(Value::String(written))) => {
            Some(serde_json::from_str(&written).unwrap_or(Value::String(written)))
        }
        (_, body) => body,
    };
    call
}

/// The entry as it is for one call: it declares what it is given, and leaves the judgement of it to the PSA.
fn widened(entry: &Entry, args: &CallArgs) -> Entry {
    let mut entry = entry.clone();
    for param in &mut entry.params {
        let reserved = param.schema.get(RESERVED).cloned();
        param.required = param.place == Place::Path;
        param.schema = reserved.map_or_else(|| json!({}), |words| json!({ RESERVED: words }));
    }
    for (place, group) in [(Place::Query, &args.query), (Place::Header, &args.headers)] {
        for name in group.keys() {
            let known = entry.params.iter().any(|param| {
                param.place == place
                    && match place {
                        Place::Header => param.name.eq_ignore_ascii_case(name),
                        Place::Path | Place::Query => param.name == *name,
                    }
            });
            if !known {
                let (name, description) = (name.clone(), None);
                entry.params.push(Param {
                    name,
                    place,
                    required: false,
                    description,
                    schema: json!({}),
                    sent: None,
                });
            }
        }
    }
    if args.body.is_some() || entry.takes_body() {
        entry.body_schema = Some(Value::Bool(true));
    }
    entry
}

/// A whole number within bounds; None for what is none.
fn clamped(value: Option<&Value>, least: u64, most: u64) -> Option<u64> {
    let number = match value? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => {
            let text = text.trim();
            let end = text.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-')));
            text.get(..end.map_or(text.len(), |(at, _)| at))?.parse::<f64>().ok()?
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    // A cast of a float saturates, and a NaN is 0.
    Some((number.floor() as u64).clamp(least, most))
}

/// A scalar, or a list of them with commas between.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => {
            items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        value => scalar(value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::CatalogRules;
    use super::super::rewrite::bind;
    use super::*;

    fn catalog() -> Catalog {
        let bytes = json!([
            {"id": "get-_api_v1_tickets_id", "method": "get", "path": "/api/v1/tickets/{id}", "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
                {"name": "fields", "in": "query", "required": true, "schema": {"enum": ["a"]}},
                {"name": "X-Trace", "in": "header"}]},
            {"id": "get-_api_v1_tickets_stats", "method": "get", "path": "/api/v1/tickets/stats"},
            {"id": "put-_api_v1_tickets_id", "method": "put", "path": "/api/v1/tickets/{id}",
                "requestBodySchema": {"type": "object", "properties": {"title": {}}, "additionalProperties": false, "required": ["title"]}},
            {"id": "delete-_api_v1_tickets_id", "method": "delete", "path": "/api/v1/tickets/{id}"}]);
        Catalog::parse(bytes.to_string().as_bytes(), &CatalogRules::default()).unwrap()
    }

    fn plan(binding: Binding, args: Value) -> Result<Plan, ToolResult> {
        Own::new("/api/v1/find").unwrap().plan(&binding, &catalog(), &args).unwrap()
    }

    /// Method and target, headers, body.
    fn sent(args: Value) -> (String, Vec<(String, String)>, Option<String>) {
        let Plan::Call { entry, args } = plan(Binding::CallEndpoint, args).unwrap() else {
            panic!("no call")
        };
        let bound = bind(&entry, &args).unwrap_or_else(|complaints| panic!("{complaints:?}"));
        let request = bound.request().clone();
        let body = request.body.map(|body| String::from_utf8(body).unwrap());
        (format!("{} {}", request.verb, request.target), request.headers, body)
    }

    #[test]
    fn a_parameter_is_found_wherever_it_was_put() {
        for args in [
            json!({"path": {"id": 7}, "query": {"fields": "b"}}),
            json!({"pathParams": {"id": "7"}, "path": null, "parameters": {"fields": "b"}}),
            json!({"parameters": {"path": {"id": 7}, "query": {"fields": "b"}}}),
            json!({"id": 7, "fields": "b", "method": "GET", "body": null, "headers": null}),
            json!({"id": 7, "fields": "b", "method": null, "body": {"ignored": true}}),
        ] {
            let mut args = args;
            args["entryId"] = "get__api-v1_tickets_id".into();
            assert_eq!(sent(args.clone()).0, "GET /api/v1/tickets/7?fields=b", "{args}");
        }
    }

    #[test]
    fn what_is_not_declared_is_the_psas_to_judge() {
        let call = |more: Value| {
            let mut args = json!({"entryId": "get-_api_v1_tickets_id", "id": "x"});
            args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sent(args)
        };
        assert_eq!(call(json!({})).0, "GET /api/v1/tickets/x");
        assert_eq!(
            call(json!({"query": {"new": ["a,b", 1], "none": null}})).0,
            "GET /api/v1/tickets/x?new=a%2Cb%2C1"
        );
        let headers = json!({"headers": {"x-trace": "t", "X-New": "n", "Content-Type": "text/plain", "X-Api-Key": "k"}});
        let (_, headers, _) = call(headers);
        assert_eq!(headers, [("x-new".to_owned(), "n".to_owned()), ("x-trace".to_owned(), "t".to_owned())]);
    }

    #[test]
    fn a_body_is_taken_under_each_of_its_names_and_left_out_where_none_goes() {
        let put = |name: &str, body: Value| {
            sent(json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": "7"}, name: body})).2
        };
        for name in ["body", "data", "payload"] {
            assert_eq!(put(name, json!({"colour": "red"})).as_deref(), Some(r#"{"colour":"red"}"#), "{name}");
        }
        assert_eq!(put("parameters", json!({"body": {"a": 1}})).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(put("body", json!("{\"a\": 1}")).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(put("body", Value::Null), None);
        let delete = sent(json!({"entryId": "delete-_api_v1_tickets_id", "id": "7", "body": {}}));
        assert_eq!(delete, ("DELETE /api/v1/tickets/7".to_owned(), vec![], None));
    }

    #[test]
    fn neither_the_method_nor_the_path_is_the_callers() {
        for args in [
            json!({"entryId": "get-_api_v1_tickets_id", "id": "7", "method": "DELETE"}),
            json!({"entryId": "get-_api_v1_tickets_id", "id": "stats"}),
            json!({"entryId": "get-_api_v1_tickets_id", "id": ".."}),
            json!({"entryId": "get-_api_v1_tickets_id"}),
        ] {
            let Ok(Plan::Call { entry, args: bound }) = plan(Binding::CallEndpoint, args.clone()) else {
                panic!("{args}")
            };
            assert!(bind(&entry, &bound).is_err(), "{args}");
        }
    }

    #[test]
    fn a_limit_out_of_range_is_brought_into_it() {
        for (given, taken) in [
            (json!(null), 5),
            (json!(0), 1),
            (json!(-3), 1),
            (json!(1000), 25),
            (json!(7.9), 7),
            (json!("12"), 12),
            (json!("9 of them"), 9),
            (json!("many"), 5),
            (json!([]), 5),
        ] {
            let planned = plan(Binding::SearchRegistry, json!({"query": " tickets ", "limit": given}));
            let expected =
                Plan::SearchRegistry { query: "tickets".into(), limit: taken, detail: Detail::Full };
            assert_eq!(planned.unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn a_search_over_records_goes_where_it_was_said_to_be() {
        let args = json!({"query": "printer", "types": ["ticket", "asset"], "limit": 999, "cursor": null, "sort": "", "more": 1});
        let Plan::Call { entry, args } = plan(Binding::SearchData, args).unwrap() else { panic!("no call") };
        let bound = bind(&entry, &args).unwrap();
        assert_eq!(bound.request().target, "/api/v1/find?query=printer&types=ticket%2Casset&limit=100");
        assert!(Own::new("find").is_err());
    }

    #[test]
    fn what_cannot_be_guessed_is_asked_for() {
        for args in [json!(null), json!({}), json!({"query": "  "}), json!({"query": 7})] {
            for binding in [Binding::SearchRegistry, Binding::SearchData] {
                assert!(plan(binding, args.clone()).unwrap_err().text.starts_with("query: "), "{args}");
            }
        }
        for args in
            [json!(null), json!({"entryId": ""}), json!({"entryId": 7}), json!({"entryId": "nothing"})]
        {
            assert!(
                plan(Binding::CallEndpoint, args.clone()).unwrap_err().text.starts_with("entryId: "),
                "{args}"
            );
        }
    }
}
