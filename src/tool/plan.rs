//! From a tool and its arguments to what is to be done: answered here, or one call of one entry.
//!
//! Decides nothing about permission and sends nothing. A named tool comes this way like the others.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::arguments;
use super::catalog::{Catalog, Entry};
use super::data_search;
use super::offer::Detail;
use super::rewrite::{CallArgs, ToolResult, Turn, Wish};
use super::schema::Complaint;
use super::table::{ArgPlace, Binding, Tool};
use super::text::{nearest, quoted};

/// What a call comes to before anything is decided or sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    SearchRegistry { query: String, limit: usize, detail: Detail },
    Call { entry: Arc<Entry>, args: CallArgs },
}

impl Tool {
    /// Checks the arguments and says what is to be done.
    ///
    /// # Errors
    /// A ready error result: arguments that are not valid, an entry that does not exist.
    pub fn plan(&self, catalog: &Catalog, args: &Value) -> Result<Plan, ToolResult> {
        if let Some(own) = &self.own
            && let Some(planned) = own.plan(&self.row.binding, catalog, args)
        {
            return planned;
        }
        let read =
            || self.read(args).map_err(|complaints| ToolResult::complaints(&self.row.name, &complaints));
        match &self.row.binding {
            Binding::SearchRegistry => {
                let args = read()?;
                let limit =
                    args.get("limit").and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
                let query = args.get("query").and_then(Value::as_str);
                Ok(Plan::SearchRegistry {
                    query: query.unwrap_or_default().to_owned(),
                    limit: limit.unwrap_or(5).clamp(1, 25),
                    detail: args
                        .get("detail")
                        .and_then(Value::as_str)
                        .and_then(Detail::parse)
                        .unwrap_or_default(),
                })
            }
            Binding::SearchData => {
                let args = read()?;
                let entry = catalog.data_search().ok_or_else(|| kept_out(&self.row.name))?.clone();
                let query = args.as_object().cloned().unwrap_or_default();
                let answer = Wish { turn: Turn::Flat, ..Wish::default() };
                Ok(Plan::Call { entry, args: CallArgs { query, answer, ..CallArgs::default() } })
            }
            Binding::CallEndpoint => called(&self.row.name, catalog, args),
            Binding::Entry { entry_id, places } => {
                let args = read()?;
                let entry =
                    catalog.get(entry_id).ok_or_else(|| missing_entry(&self.row.name, entry_id))?.clone();
                Ok(Plan::Call { entry, args: placed(places, &args) })
            }
        }
    }
}

/// A call of the entry that the arguments name.
fn called(tool: &str, catalog: &Catalog, args: &Value) -> Result<Plan, ToolResult> {
    let wrong = |field: &str, message: &str| ToolResult::complaints(tool, &[Complaint::new(field, message)]);
    let args = args.as_object().ok_or_else(|| wrong("", "the arguments must be an object"))?;
    let id = arguments::entry_id(args).map_err(|message| wrong("entryId", message))?;
    let entry = catalog.get(id).ok_or_else(|| unknown_entry(catalog, id))?.clone();
    let args = arguments::understood(&entry, args);
    Ok(Plan::Call { entry, args })
}

/// Puts each argument of a named tool where its row says.
fn placed(places: &[(String, ArgPlace)], args: &Value) -> CallArgs {
    // Its arguments have names of their own: what to say for the next page is not known.
    let answer = Wish { turn: Turn::Unknown, ..Wish::default() };
    let mut call = CallArgs { answer, ..CallArgs::default() };
    let mut keys: Option<Map<String, Value>> = None;
    for (argument, place) in places {
        let Some(value) = args.get(argument) else { continue };
        let insert = |group: &mut Map<String, Value>, name: &String| {
            group.insert(name.clone(), value.clone());
        };
        match place {
            ArgPlace::Path(name) => insert(&mut call.path, name),
            ArgPlace::Query(name) => insert(&mut call.query, name),
            ArgPlace::Header(name) => insert(&mut call.headers, name),
            ArgPlace::Body(name) => insert(keys.get_or_insert_default(), name),
            ArgPlace::WholeBody => call.body = Some(value.clone()),
        }
    }
    if let Some(keys) = keys {
        call.body = Some(Value::Object(keys));
    }
    call
}

pub(super) fn unknown_entry(catalog: &Catalog, id: &str) -> ToolResult {
    let near = nearest(id, catalog.entries().iter().map(|entry| entry.id.as_str()));
    let near = near.map(|near| format!(" The nearest id is `{near}`.")).unwrap_or_default();
    ToolResult::error(format!(
        "entryId: there is no endpoint {}.{near} Use search_api_registry to find the right entryId, and copy it exactly.",
        quoted(id)
    ))
}

fn kept_out(tool: &str) -> ToolResult {
    ToolResult::error(format!(
        "{tool} cannot be used: the operator keeps {} {} out of the catalogue. Nothing was sent. Use search_api_registry to find another way, such as a list with filters.",
        data_search::VERB,
        data_search::PATH
    ))
}

fn missing_entry(tool: &str, id: &str) -> ToolResult {
    ToolResult::error(format!(
        "{tool} cannot be used: it is bound to the endpoint {}, which this PSA's catalogue does not have. Tell the administrator, or use search_api_registry to find another way.",
        quoted(id)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::catalog::CatalogRules;
    use super::super::effect::Effect;
    use super::super::rest::Verb;
    use super::super::rewrite::bind;
    use super::super::rows::standard_rows;
    use super::super::table::ToolTable;
    use super::super::table::tests::{full_row, named, standard};
    use super::*;
    use serde_json::json;

    fn catalog() -> Catalog {
        let bytes = json!({"data": {"entries": [
            {"id": "get-_api_v1_tickets", "method": "get", "path": "/api/v1/tickets", "displayName": "List tickets"},
            {"id": "put-_api_v1_tickets_id", "method": "put", "path": "/api/v1/tickets/{id}",
                "parameters": [{"name": "notify", "in": "query"}, {"name": "x-idempotency-key", "in": "header"}],
                "requestBodySchema": {"type": "object", "required": ["title"]}},
        ]}});
        Catalog::parse(bytes.to_string().as_bytes(), &CatalogRules::default()).unwrap()
    }

    fn plan(tool: &str, args: Value) -> Result<Plan, ToolResult> {
        standard().get(tool).unwrap().plan(&catalog(), &args)
    }

    #[test]
    fn arguments_that_a_tool_does_not_declare_are_errors_that_name_them() {
        for (tool, args, named) in [
            (
                "search_api_registry",
                json!({"query": "x", "limt": 3}),
                "limt: `limt` is not declared here; did you mean `limit`?",
            ),
            ("search_api_registry", json!({}), "query: is required"),
            ("search_api_registry", json!({"query": "x", "limit": 26}), "limit: must be at most 25"),
            ("search_api_registry", json!([]), "must be an object"),
            ("search_api_registry", json!({"query": "x", "detail": "all"}), "detail: must be one of"),
            ("search_business_data", json!({"query": ""}), "query: must not be empty"),
            ("search_business_data", json!({"query": "x".repeat(201)}), "query: must have at most 200"),
            ("search_business_data", json!({"query": "x", "sort": "newest"}), "sort: must be one of"),
            ("search_business_data", json!({"query": "x", "types": ["ticket,user"]}), "types.0"),
            ("call_api_endpoint", json!([]), "the arguments must be an object"),
            ("call_api_endpoint", json!({"id": "x"}), "entryId: is required"),
            ("call_api_endpoint", json!({"entryId": null, "id": "x"}), "entryId: is required"),
            ("call_api_endpoint", json!({"entryId": 7}), "entryId: must be a string"),
            ("call_api_endpoint", json!({"entryId": ""}), "entryId: must not be empty"),
            (
                "call_api_endpoint",
                json!({"entryId": "x".repeat(201)}),
                "entryId: must have at most 200 characters",
            ),
        ] {
            let refused = plan(tool, args.clone()).unwrap_err();
            assert!(refused.is_error && refused.text.contains(named), "{tool} {args}: {}", refused.text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_call_is_said_when_it_is_bound_all_at_once() {
        let args = json!({"entryId": "put-_api_v1_tickets_id", "headers": "a: b", "datum": {}, "path": {"id": ["1"]},
            "query": {"notify": {}}, "body": 7});
        let Plan::Call { entry, args } = plan("call_api_endpoint", args).unwrap() else { panic!() };
        let complaints = bind(&entry, &args).unwrap_err();
        let fields: Vec<&str> = complaints.iter().map(|complaint| complaint.field.as_str()).collect();
        assert_eq!(fields, ["headers", "datum", "path.id", "query.notify", "body"]);
    }

    #[test]
    fn arguments_of_a_search_are_read_in_the_forms_that_models_write() {
        let planned = plan("search_api_registry", json!({"query": "tickets", "limit": "7"})).unwrap();
        assert_eq!(
            planned,
            Plan::SearchRegistry { query: "tickets".into(), limit: 7, detail: Detail::default() }
        );
        let args = json!({"query": "x", "types": "ticket", "limit": "3", "sort": "Recent", "cursor": null});
        let Plan::Call { entry, args } = plan("search_business_data", args).unwrap() else { panic!() };
        let target = "/api/v1/search?query=x&types=ticket&limit=3&sort=recent";
        assert_eq!(bind(&entry, &args).unwrap().request().target, target);
    }

    #[test]
    fn a_registry_search_has_a_limit_of_five_unless_asked_otherwise() {
        let planned = plan("search_api_registry", json!({"query": "tickets"})).unwrap();
        let query = || "tickets".to_owned();
        assert_eq!(planned, Plan::SearchRegistry { query: query(), limit: 5, detail: Detail::Short });
        let asked = json!({"query": "tickets", "limit": 25, "detail": "full"});
        let planned = plan("search_api_registry", asked).unwrap();
        assert_eq!(planned, Plan::SearchRegistry { query: query(), limit: 25, detail: Detail::Full });
    }

    #[test]
    fn a_data_search_becomes_a_call_of_the_psas_search() {
        let args =
            json!({"query": "mail server", "types": ["ticket", "asset"], "limit": 10, "sort": "recent"});
        let Plan::Call { entry, args } = plan("search_business_data", args).unwrap() else { panic!() };
        let bound = bind(&entry, &args).unwrap();
        let target = "/api/v1/search?query=mail%20server&types=ticket%2Casset&limit=10&sort=recent";
        assert_eq!(bound.request().target, target);
        assert_eq!((bound.effect(), bound.request().verb), (Effect::Read, Verb::Get));
    }

    fn search_under(entries: Value, rules: &CatalogRules) -> Result<Plan, ToolResult> {
        let bytes = json!({"data": {"entries": entries}}).to_string();
        let catalog = Catalog::parse(bytes.as_bytes(), rules).unwrap();
        standard().get("search_business_data").unwrap().plan(&catalog, &json!({"query": "x"}))
    }

    #[test]
    fn a_data_search_that_the_operator_keeps_out_is_refused_whether_the_registry_has_it_or_not() {
        let listed = json!([{"id": "find", "method": "get", "path": "/api/v1/search"}]);
        let denied = |pattern: &str| CatalogRules { denied: vec![pattern.into()], ..CatalogRules::default() };
        let elsewhere = CatalogRules { prefixes: vec!["/api/v2/".into()], ..CatalogRules::default() };
        for rules in [denied("GET /api/v1/search"), denied("* /api/v1/**"), elsewhere] {
            for entries in [json!([]), listed.clone()] {
                let refused = search_under(entries, &rules).unwrap_err();
                assert!(
                    refused.is_error && refused.text.contains("the operator keeps GET /api/v1/search out")
                );
            }
        }
        assert!(search_under(json!([]), &denied("POST /api/v1/search")).is_ok());
    }

    #[test]
    fn a_data_search_is_the_registrys_entry_and_has_the_operators_effect() {
        let rules = |id: &str| CatalogRules {
            effects: [(id.to_owned(), Effect::Destroy)].into(),
            ..CatalogRules::default()
        };
        let listed = json!([{"id": "find", "method": "get", "path": "/api/v1/search",
            "parameters": [{"name": "query", "in": "query"}]}]);
        for (entries, id) in [(listed, "find"), (json!([]), "get__api_v1_search")] {
            let Plan::Call { entry, args } = search_under(entries, &rules(id)).unwrap() else { panic!() };
            assert_eq!(entry.id.replace('-', "_"), id);
            assert_eq!(bind(&entry, &args).unwrap().effect(), Effect::Destroy);
        }
    }

    #[test]
    fn a_call_is_taken_apart_into_its_groups() {
        let args = json!({"entryId": "put__api_v1_tickets_id", "method": "PUT", "path": {"id": 7}, "query": {"notify": true},
            "headers": {"x-idempotency-key": "k"}, "body": {"title": "t"}});
        let Plan::Call { entry, args } = plan("call_api_endpoint", args).unwrap() else { panic!() };
        assert_eq!(entry.id, "put-_api_v1_tickets_id");
        assert_eq!(args.method.as_deref(), Some("PUT"));
        assert_eq!(bind(&entry, &args).unwrap().request().target, "/api/v1/tickets/7?notify=true");
        let null = json!({"entryId": "get-_api_v1_tickets", "body": null});
        let Plan::Call { args, .. } = plan("call_api_endpoint", null).unwrap() else { panic!() };
        assert_eq!(args, CallArgs::default());
    }

    #[test]
    fn an_unknown_entry_is_named_with_the_nearest_id_and_the_way_to_find_it() {
        let refused = plan("call_api_endpoint", json!({"entryId": "get-_api_v1_tickts"})).unwrap_err();
        assert!(refused.is_error);
        for part in ["entryId", "`get-_api_v1_tickts`", "`get-_api_v1_tickets`", "search_api_registry"] {
            assert!(refused.text.contains(part), "{}", refused.text);
        }
    }

    #[test]
    fn a_fourth_tool_is_one_more_row() {
        let mut rows = standard_rows();
        rows.push(full_row());
        let table = ToolTable::new(rows).unwrap();
        assert_eq!(table.listing()[3]["name"], "ticket_update");
        let args = json!({"ticket": "7", "title": "New", "notify": false, "once": "k"});
        let planned = table.get("ticket_update").unwrap().plan(&catalog(), &args).unwrap();
        let Plan::Call { entry, args } = planned else { panic!() };
        let request = bind(&entry, &args).unwrap().request().clone();
        assert_eq!((request.verb, request.target.as_str()), (Verb::Put, "/api/v1/tickets/7?notify=false"));
        assert_eq!(request.body.as_deref(), Some(br#"{"title":"New"}"#.as_slice()));
        assert_eq!(request.headers, [("x-idempotency-key".to_owned(), "k".to_owned())]);
        let refused =
            table.get("ticket_update").unwrap().plan(&catalog(), &json!({"tickt": "7"})).unwrap_err();
        assert!(
            refused.text.contains("did you mean `ticket`?") && refused.text.contains("ticket: is required")
        );
    }

    #[test]
    fn a_named_tool_may_take_the_whole_body_as_one_argument() {
        let row = named(
            vec![("ticket", ArgPlace::Path("id".into())), ("changes", ArgPlace::WholeBody)],
            json!({"ticket": {}, "changes": {"type": "object"}}),
        );
        let table = ToolTable::new(vec![row]).unwrap();
        let planned = table
            .get("ticket_update")
            .unwrap()
            .plan(&catalog(), &json!({"ticket": 1, "changes": {"title": "x"}}));
        let Plan::Call { args, .. } = planned.unwrap() else { panic!() };
        assert_eq!(args.body, Some(json!({"title": "x"})));
    }

    #[test]
    fn a_named_tool_without_its_entry_says_so() {
        let table = ToolTable::new(vec![full_row()]).unwrap();
        let refused =
            table.get("ticket_update").unwrap().plan(&Catalog::empty(), &json!({"ticket": "7"})).unwrap_err();
        assert!(refused.is_error && refused.text.contains("put-_api_v1_tickets_id"), "{}", refused.text);
    }
}
