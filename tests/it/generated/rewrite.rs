//! From generated catalogues and generated arguments to requests: nothing gets out that the entry does not declare.

mod oracle;

use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use sidegate::tool::catalog::{Catalog, CatalogRules, Entry};
use sidegate::tool::rewrite::{CallArgs, bind};
use sidegate::tool::table::{Plan, ToolTable, standard_rows};

use self::oracle::Oracle;
use super::inputs::{members, plain, scalar, text, value};
use super::{Verdict, check};

static TOOLS: LazyLock<ToolTable> = LazyLock::new(|| ToolTable::new(standard_rows()).unwrap());

const PREFIXES: &[&str] = &[
    "/api/v1/tickets/",
    "/api/v1/tickets/",
    "/api/v1/tickets/",
    "/api/v1/",
    "/api/v1/",
    "/api/v1/",
    "/api/workflow-definitions/",
    "/api/workflow-definitions/",
    "/api/workflow/registry/",
    "/api/v1/mcp/",
    "/api/mcp/",
    "/api/workflow-runs/",
    "/other/",
    "",
];
const SEGMENTS: &[&str] = &[
    "{id}",
    "{id}",
    "{id}",
    "{version}",
    "{n}",
    "tickets",
    "stats",
    "search",
    "delete",
    "publish",
    "run",
    "runs",
    "x;y=z",
];
/// What no path may have.
const WRONG: &[&str] = &["%2e", "..", "", "{a b}", "{id}.pdf", "a?b"];
const NAMES: &[&str] = &[
    "limit",
    "q",
    "fields",
    "id",
    "a&b",
    "a=b#",
    "x y",
    "X-Trace",
    "x-trace",
    "if-match",
    "x-api-key",
    "Authorization",
    "cookie",
    "X_Tenant_Id",
    "host",
    "content-length",
    "transfer-encoding",
    "x-forwarded-for",
    "x-http-method-override",
    "__proto__",
    "range",
    "bad name",
    "é",
];

/// A whole case: a registry, and what an agent asks of it.
#[derive(Clone, Debug)]
struct Case {
    entries: Vec<Value>,
    asked: Asked,
}

#[derive(Clone, Debug)]
struct Asked {
    /// Which entry of the catalogue, unless it is called by another id.
    entry: prop::sample::Index,
    other_id: Option<String>,
    method: Option<String>,
    /// What the declared parameters are given, in turn; which of them is a bit each.
    values: Vec<Value>,
    given: u32,
    more: [Map<String, Value>; 4],
    body: Option<Value>,
}

fn schema() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({"type": "string"}),
        json!({"type": "string"}),
        json!({"type": "string"}),
        json!({"type": "string"}),
        json!({"type": "integer"}),
        json!({"type": "boolean"}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"enum": ["asc", "x", "7"]}),
        json!({"anyOf": [{"type": "integer"}, {"const": "x"}]}),
        json!({"x-reserved": "stats"}),
        json!("string"),
    ])
}

fn parameter() -> impl Strategy<Value = Value> {
    let name = prop_oneof![6 => select(NAMES).prop_map(str::to_owned), 1 => text()];
    let place = select(vec!["path", "query", "query", "query", "header", "header", "cookie"]);
    (name, place, prop::bool::weighted(0.1), schema())
        .prop_map(|(name, place, required, schema)| json!({"name": name, "in": place, "required": required, "schema": schema}))
}

fn body_schema() -> impl Strategy<Value = Value> {
    let properties = json!({"title": {}, "id": {"type": "string"}});
    select(vec![
        Value::Null,
        json!({}),
        json!(true),
        json!(false),
        json!({"type": "object", "properties": properties}),
        json!({"type": "object", "properties": properties, "additionalProperties": false}),
        json!({"type": "object", "properties": properties, "additionalProperties": false, "required": ["title"]}),
        json!({"additionalProperties": false, "allOf": [{"properties": {"x": {}}}]}),
    ])
}

fn entry() -> impl Strategy<Value = Value> {
    let id = select(vec!["a", "b", "b-c", "b_c", "d", "e", "f", "g.h"]);
    let method = select(vec!["get", "get", "GET", "post", "post", "put", "patch", "delete", "head", "trace"]);
    let segment = prop_oneof![12 => select(SEGMENTS), 1 => select(WRONG)];
    let path = (select(PREFIXES), vec(segment, 1..4))
        .prop_map(|(prefix, rest)| format!("{prefix}{}", rest.join("/")));
    (id, method, path, vec(parameter(), 0..4), body_schema()).prop_map(
        |(id, method, path, parameters, body)| {
            let mut entry = json!({"id": id, "method": method, "path": path, "parameters": parameters});
            if !body.is_null() {
                entry["requestBodySchema"] = body;
            }
            entry
        },
    )
}

fn asked() -> impl Strategy<Value = Asked> {
    let given = prop_oneof![10 => plain().prop_map(Value::String), 5 => scalar(), 1 => value()];
    let method = prop_oneof![select(vec!["get", " POST ", "delete", "HEAD"]).prop_map(str::to_owned), text()];
    let body = prop_oneof![3 => value(), 2 => select(vec![json!({"title": "x"}), json!({"title": 1, "tenant": 2}), json!({"id": {"x": []}})])];
    (
        any::<prop::sample::Index>(),
        option::weighted(0.05, text()),
        option::weighted(0.05, method),
        vec(given, 3),
        any::<u32>(),
        [members(), members(), members(), members()],
        option::weighted(0.35, body),
    )
        .prop_map(|(entry, other_id, method, values, given, more, body)| Asked {
            entry,
            other_id,
            method,
            values,
            given,
            more,
            body,
        })
}

fn case() -> impl Strategy<Value = Case> {
    (vec(entry(), 1..6), asked()).prop_map(|(entries, asked)| Case { entries, asked })
}

impl Asked {
    /// The groups of a call of `entry`: every path parameter, and the others whose bit is set.
    fn groups(&self, entry: &Entry) -> [Map<String, Value>; 3] {
        let [path, query, headers, _] = self.more.clone();
        let mut groups = [path, query, headers];
        for (at, param) in entry.params.iter().enumerate() {
            let place =
                ["path", "query", "header"].iter().position(|place| *place == param.place.as_str()).unwrap();
            if place == 0 || param.required || self.given >> (at % 32) & 1 == 1 {
                groups[place].insert(param.name.clone(), self.values[at % self.values.len()].clone());
            }
        }
        groups
    }

    /// The same as arguments of the tool.
    fn arguments(&self, entry: &Entry) -> Value {
        let [path, query, headers] = self.groups(entry);
        let mut arguments = Value::Object(self.more[3].clone());
        arguments["entryId"] = self.other_id.clone().unwrap_or_else(|| entry.id.clone()).into();
        for (name, group) in [("path", path), ("query", query), ("headers", headers)] {
            if !group.is_empty() {
                arguments[name] = group.into();
            }
        }
        if let Some(method) = &self.method {
            arguments["method"] = method.as_str().into();
        }
        if let Some(body) = &self.body {
            arguments["body"] = body.clone();
        }
        arguments
    }

    /// The same past the tool's own schema, which is not what keeps a request in bounds.
    fn straight(&self, entry: &Entry) -> CallArgs {
        let [path, query, headers] = self.groups(entry);
        CallArgs {
            method: self.method.clone(),
            path,
            query,
            headers,
            body: self.body.clone(),
            ..CallArgs::default()
        }
    }
}

/// The generated registry as a catalogue, and the entry that is asked for, if there is any.
fn chosen(case: &Case) -> Option<(Catalog, Arc<Entry>)> {
    let registry = json!({"data": {"entries": case.entries}}).to_string();
    let catalog = Catalog::parse(registry.as_bytes(), &CatalogRules::default()).ok()?;
    let entry = catalog.entries().get(case.asked.entry.index(catalog.entries().len().max(1)))?.clone();
    Some((catalog, entry))
}

#[test]
fn what_a_tool_call_becomes_is_what_its_entry_declares_or_nothing() {
    check("tool calls", &case(), |case| {
        let Some((catalog, entry)) = chosen(&case) else { return Ok(Verdict::Refused) };
        let tool = TOOLS.get("call_api_endpoint").unwrap();
        let Ok(Plan::Call { entry, args }) = tool.plan(&catalog, &case.asked.arguments(&entry)) else {
            return Ok(Verdict::Refused);
        };
        let Ok(bound) = bind(&entry, &args) else { return Ok(Verdict::Refused) };
        Oracle { registry: &case.entries }.allows(&bound, &args)?;
        Ok(Verdict::Accepted)
    });
}

#[test]
fn what_is_bound_straight_is_what_its_entry_declares_or_nothing() {
    check("bound calls", &case(), |case| {
        let Some((_, entry)) = chosen(&case) else { return Ok(Verdict::Refused) };
        let args = case.asked.straight(&entry);
        match bind(&entry, &args) {
            Err(complaints) => {
                prop_assert!(!complaints.is_empty() && complaints.len() <= 200);
                for complaint in complaints {
                    let text = complaint.to_string();
                    prop_assert!(!text.chars().any(char::is_control), "{text:?}");
                }
                Ok(Verdict::Refused)
            }
            Ok(bound) => {
                Oracle { registry: &case.entries }.allows(&bound, &args)?;
                prop_assert_eq!(bind(&entry, &args).unwrap().digest(), bound.digest());
                Ok(Verdict::Accepted)
            }
        }
    });
}
