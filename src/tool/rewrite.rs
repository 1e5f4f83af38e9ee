//! From a catalogue entry and an agent's arguments to the one request that may be sent.
//!
//! Nothing gets into the request that the entry does not declare. Knows neither the agent nor the
//! credential: those come later and from elsewhere.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use super::outcome::{Asked, ToolResult, Turn, Wish};

use super::catalog::{Entry, Param, Place};
use super::effect::{Effect, destroys};
use super::headers;
use super::path::{Segment, check_value, encode, segments};
use super::rest::{RestRequest, Verb};
use super::schema::{Complaint, required};
use super::text::{did_you_mean, excerpt, listed, quoted};
use super::value;

/// The longest request target, in bytes.
const LONGEST_TARGET: usize = 8_192;
/// The most names of one group that are complained about: an answer must not grow with what it refuses.
const MOST_NAMES: usize = 50;

/// What an agent said about a call, not yet judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallArgs {
    pub method: Option<String>,
    pub path: Map<String, Value>,
    pub query: Map<String, Value>,
    pub headers: Map<String, Value>,
    pub body: Option<Value>,
    /// What is wanted of the answer; nothing of it is sent.
    pub answer: Wish,
    /// What was understood differently from how it was said, a sentence each, without values.
    pub notes: Vec<String>,
    /// What could not be understood: nothing is bound then.
    pub complaints: Vec<Complaint>,
}

/// A request bound to its entry: judged as a whole, sent as it was judged.
#[derive(Clone, Debug)]
pub struct Bound {
    entry: Arc<Entry>,
    request: RestRequest,
    effect: Effect,
}

impl Bound {
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// What will be sent, but for the credential.
    pub fn request(&self) -> &RestRequest {
        &self.request
    }

    /// SHA-256 over method, target, headers and body, each with its length.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.request)
    }

    /// The entry's effect, or a graver one where a path value makes it so.
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

/// Binds `args` to `entry`. Deterministic: the same arguments give the same request and digest.
///
/// # Errors
/// Every complaint at once: what was not understood, then method, path, query, headers and body. A body is held
/// against its schema, unless the operator says that the registry is wrong about this entry; formats (a UUID, a date)
/// are the PSA's to judge.
pub fn bind(entry: &Arc<Entry>, args: &CallArgs) -> Result<Bound, Vec<Complaint>> {
    let mut complaints = args.complaints.clone();
    method(entry, args, &mut complaints);
    let (path, effect) = path(entry, args, &mut complaints);
    let query = query(entry, args, &mut complaints);
    let headers = headers_of(entry, args, &mut complaints);
    let body = body(entry, args, &mut complaints);
    let target = if query.is_empty() { path } else { format!("{path}?{query}") };
    if target.len() > LONGEST_TARGET {
        complaints.push(Complaint::new(
            "",
            format!("path and query together are longer than {LONGEST_TARGET} bytes"),
        ));
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let request = RestRequest { verb: entry.verb, target, headers, body };
    Ok(Bound { effect: entry.effect.max(effect), entry: entry.clone(), request })
}

fn method(entry: &Entry, args: &CallArgs, complaints: &mut Vec<Complaint>) {
    if let Some(asked) = &args.method
        && Verb::parse(asked.trim()) != Some(entry.verb)
    {
        let message = format!(
            "{} is not the method of this endpoint: it is always {}; leave `method` out",
            quoted(asked),
            entry.verb
        );
        complaints.push(Complaint::new("method", message));
    }
}

/// The encoded path, and the effect that its values add to the entry's own.
fn path(entry: &Entry, args: &CallArgs, complaints: &mut Vec<Complaint>) -> (String, Effect) {
    unknown("path", &args.path, entry, Place::Path, complaints);
    let template = match segments(&entry.path) {
        Ok(template) => template,
        Err(reason) => {
            complaints.push(Complaint::new(
                "",
                format!("the endpoint {} cannot be called: {reason}", quoted(&entry.id)),
            ));
            return (String::new(), entry.effect);
        }
    };
    let mut path = String::with_capacity(entry.path.len() + 40);
    let mut grave = false;
    for segment in &template {
        path.push('/');
        grave = false;
        match segment {
            Segment::Fixed(fixed) => path.push_str(fixed),
            Segment::Variable(name) => match path_value(entry, args, name) {
                Ok((text, word)) => {
                    path.push_str(&encode(&text));
                    grave = destroys(&word);
                }
                Err(message) => complaints.push(Complaint::new(format!("path.{name}"), message)),
            },
        }
    }
    // `POST /things/{id}` with `delete` for the id may reach an act that no registry tells of.
    let destroys = grave && entry.verb != Verb::Get;
    (path, if destroys { Effect::Destroy } else { entry.effect })
}

/// The value as it is written, and the plainest word that a server may take it for.
fn path_value(entry: &Entry, args: &CallArgs, name: &str) -> Result<(String, String), String> {
    let value = args.path.get(name).filter(|value| !value.is_null()).ok_or("is required")?;
    let text = value::scalar(value).ok_or("must be a string, a number or a boolean")?;
    let param = entry.params_in(Place::Path).find(|param| param.name == name);
    let word = check_value(&text, &param.map(Param::reserved).unwrap_or_default())?;
    param.map_or(Ok(()), |param| value::fits(&param.schema, &text))?;
    Ok((text, word))
}

/// The encoded query in the order of declaration, whatever the order of the arguments.
fn query(entry: &Entry, args: &CallArgs, complaints: &mut Vec<Complaint>) -> String {
    unknown("query", &args.query, entry, Place::Query, complaints);
    let mut pairs = Vec::new();
    for param in entry.params_in(Place::Query) {
        let said = args.query.get(&param.name).filter(|said| !said.is_null()).or(param.sent.as_ref());
        match value::query(said.unwrap_or(&Value::Null), &param.schema) {
            Ok(Some(text)) => pairs.push(format!("{}={}", encode(&param.name), encode(&text))),
            Ok(None) if param.required => {
                complaints.push(Complaint::new(format!("query.{}", param.name), "is required"))
            }
            Ok(None) => {}
            Err(message) => complaints.push(Complaint::new(format!("query.{}", param.name), message)),
        }
    }
    pairs.join("&")
}

/// Declared headers only, by lower-case name and sorted.
fn headers_of(entry: &Entry, args: &CallArgs, complaints: &mut Vec<Complaint>) -> Vec<(String, String)> {
    let declared: Vec<&Param> =
        entry.params_in(Place::Header).filter(|param| !headers::never(&param.name)).collect();
    let mut given: Vec<(String, &Value)> = Vec::new();
    let most = complaints.len() + MOST_NAMES;
    for (name, value) in &args.headers {
        if complaints.len() >= most {
            break;
        }
        let lower = name.to_ascii_lowercase();
        let field = || format!("headers.{}", excerpt(name, 80));
        if headers::never(name) {
            complaints.push(Complaint::new(
                field(),
                format!("{} can never be set by a caller; leave it out", quoted(name)),
            ));
        } else if !declared.iter().any(|param| param.name.eq_ignore_ascii_case(name)) {
            let known: Vec<&str> = declared.iter().map(|param| param.name.as_str()).collect();
            complaints.push(Complaint::new(field(), undeclared(name, "header", &known)));
        } else if given.iter().any(|(known, _)| *known == lower) {
            complaints
                .push(Complaint::new(field(), format!("{} is given twice; send it once", quoted(name))));
        } else {
            given.push((lower, value));
        }
    }
    let mut out = Vec::new();
    for param in declared {
        let name = param.name.to_ascii_lowercase();
        let value = given.iter().find(|(known, _)| *known == name).map_or(&Value::Null, |(_, value)| *value);
        match value::header(value, &param.schema) {
            Ok(Some(text)) => out.push((name, text)),
            Ok(None) if param.required => {
                complaints.push(Complaint::new(format!("headers.{name}"), "is required"))
            }
            Ok(None) => {}
            Err(message) => complaints.push(Complaint::new(format!("headers.{name}"), message)),
        }
    }
    out.sort();
    out
}

fn body(entry: &Entry, args: &CallArgs, complaints: &mut Vec<Complaint>) -> Option<Vec<u8>> {
    let schema = entry.body_schema.as_ref().and_then(Value::as_object);
    let required = || schema.map(required).unwrap_or_default();
    match &args.body {
        Some(_) if !entry.takes_body() => {
            let message = format!("{} {} takes no body; leave `body` out", entry.verb, entry.path);
            complaints.push(Complaint::new("body", message));
            None
        }
        Some(body) if misfits(entry, body, complaints) => None,
        // Cannot fail: a JSON value has string keys and finite numbers only.
        Some(body) => serde_json::to_vec(body)
            .map_err(|error| {
                complaints.push(Complaint::new("body", format!("cannot be written as JSON: {error}")))
            })
            .ok(),
        None if matches!(entry.verb, Verb::Post | Verb::Put | Verb::Patch) && !required().is_empty() => {
            let message = format!("is required, with at least {}", listed(required(), 20));
            complaints.push(Complaint::new("body", message));
            None
        }
        None => None,
    }
}

/// Everything that the schema has against a body; true if there is anything.
fn misfits(entry: &Entry, body: &Value, complaints: &mut Vec<Complaint>) -> bool {
    let checked = entry.body_checker().map_or(Ok(()), |checker| checker.check(body));
    let found = checked.err().unwrap_or_default();
    let any = !found.is_empty();
    complaints.extend(found.into_iter().map(|complaint| complaint.below("body")));
    any
}

/// A complaint for each name that the entry does not declare in this place.
fn unknown(
    group: &str,
    given: &Map<String, Value>,
    entry: &Entry,
    place: Place,
    complaints: &mut Vec<Complaint>,
) {
    let declared: Vec<&str> = entry.params_in(place).map(|param| param.name.as_str()).collect();
    for name in given.keys().filter(|name| !declared.contains(&name.as_str())).take(MOST_NAMES) {
        let field = format!("{group}.{}", excerpt(name, 80));
        complaints.push(Complaint::new(
            field,
            undeclared(name, &format!("{} parameter", place.as_str()), &declared),
        ));
    }
}

fn undeclared(name: &str, kind: &str, declared: &[&str]) -> String {
    let near = did_you_mean(name, declared.iter().copied());
    let declared = listed(declared.iter().copied(), 30);
    format!("{} is not a {kind} of this endpoint{near} (declared: {declared})", quoted(name))
}

fn digest(request: &RestRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(request.verb.as_str().as_bytes());
    add(request.target.as_bytes());
    add(&(request.headers.len() as u64).to_be_bytes());
    for (name, value) in &request.headers {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    // No body and an empty body are two things.
    match &request.body {
        Some(body) => {
            add(b"body");
            add(body);
        }
        None => add(b"none"),
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::catalog::{Catalog, CatalogRules};
    use super::*;

    fn entry(raw: Value) -> Arc<Entry> {
        let bytes = json!({"data": {"entries": [raw]}}).to_string();
        Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap().entries()[0].clone()
    }

    fn ticket(method: &str) -> Arc<Entry> {
        entry(json!({"id": "t", "method": method, "path": "/api/v1/tickets/{id}/notes/{n}",
            "parameters": [
                {"name": "q", "in": "query"}, {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                {"name": "X-Idempotency-Key", "in": "header"}, {"name": "if-match", "in": "header"},
            ],
            "requestBodySchema": {"type": "object", "required": ["title", "client_id"]}}))
    }

    fn args(value: Value) -> CallArgs {
        let group = |name: &str| value.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        CallArgs {
            method: value.get("method").and_then(Value::as_str).map(str::to_owned),
            path: group("path"),
            query: group("query"),
            headers: group("headers"),
            body: value.get("body").cloned(),
            ..CallArgs::default()
        }
    }

    fn complaints(entry: &Arc<Entry>, value: Value) -> Vec<String> {
        bind(entry, &args(value)).err().unwrap_or_default().iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn a_request_is_built_from_what_is_declared_and_encoded_strictly() {
        let bound = bind(
            &ticket("put"),
            &args(json!({
                "path": {"id": "TIC 1?#", "n": 7},
                "query": {"limit": "25", "q": "a&b=c+d/ü"},
                "headers": {"If-Match": 3, "x-idempotency-key": "k"},
                "body": {"title": "x", "client_id": 1},
            })),
        )
        .unwrap();
        let request = bound.request();
        assert_eq!(request.verb, Verb::Put);
        assert_eq!(request.target, "/api/v1/tickets/TIC%201%3F%23/notes/7?q=a%26b%3Dc%2Bd%2F%C3%BC&limit=25");
        assert_eq!(
            request.headers,
            [("if-match", "3"), ("x-idempotency-key", "k")].map(|(a, b)| (a.into(), b.into()))
        );
        assert_eq!(request.body.as_deref(), Some(br#"{"client_id":1,"title":"x"}"#.as_slice()));
        assert_eq!((bound.effect(), bound.entry().id.as_str()), (Effect::Write, "t"));
    }

    #[test]
    fn a_method_that_is_the_entrys_is_accepted_and_another_is_refused_with_both_named() {
        let good = json!({"method": "Get", "path": {"id": 1, "n": true}});
        assert!(bind(&ticket("get"), &args(good)).is_ok());
        let said = complaints(&ticket("get"), json!({"method": "delete", "path": {"id": 1, "n": 2}}));
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("method: `delete`") && said[0].contains("GET"), "{}", said[0]);
    }

    #[test]
    fn every_complaint_comes_at_once() {
        let said = complaints(
            &ticket("get"),
            json!({"method": "PUT", "path": {"id": "..", "N": 1}, "query": {"limt": 1, "limit": "x"},
                "headers": {"cookie": "a=b", "x-idempotency-kee": "k"}, "body": {}}),
        );
        let fields: Vec<&str> = said.iter().filter_map(|said| said.split(':').next()).collect();
        assert_eq!(
            fields,
            [
                "method",
                "path.N",
                "path.id",
                "path.n",
                "query.limt",
                "query.limit",
                "headers.cookie",
                "headers.x-idempotency-kee",
                "body"
            ]
        );
        assert!(said[4].contains("did you mean `limit`?"), "{}", said[4]);
        assert!(said[7].contains("did you mean `x-idempotency-key`?"), "{}", said[7]);
    }

    #[test]
    fn a_body_is_any_json_where_one_is_taken() {
        let any = entry(json!({"id": "a", "method": "post", "path": "/api/v1/a", "requestBodySchema": {}}));
        for body in [json!({"a": 1}), json!([1]), json!("text"), json!(7), json!(false)] {
            let bound = bind(&any, &args(json!({ "body": body }))).unwrap();
            assert_eq!(bound.request().body, Some(body.to_string().into_bytes()));
        }
        let missing = complaints(&ticket("post"), json!({"path": {"id": 1, "n": 2}}));
        assert_eq!(missing, ["body: is required, with at least `title` and `client_id`"]);
        let free = entry(json!({"id": "p", "method": "post", "path": "/api/v1/p"}));
        assert_eq!(bind(&free, &CallArgs::default()).unwrap().request().body, None);
    }

    #[test]
    fn a_body_is_taken_only_where_one_is_declared() {
        for method in ["post", "put", "patch", "delete"] {
            let mut raw = json!({"id": "d", "method": method, "path": "/api/v1/d"});
            let none = [format!("body: {} /api/v1/d takes no body; leave `body` out", method.to_uppercase())];
            let given = json!({"body": {"ids": [1]}});
            assert_eq!(complaints(&entry(raw.clone()), given.clone()), none);
            assert_eq!(complaints(&entry(raw.clone()), json!({})).len(), 0);
            raw["requestBodySchema"] = json!(false);
            assert_eq!(complaints(&entry(raw.clone()), given.clone()), none);
            raw["requestBodySchema"] = json!({});
            assert!(bind(&entry(raw), &args(given)).is_ok());
        }
    }

    #[test]
    fn a_key_that_a_closed_body_does_not_declare_is_named_with_the_nearest_one() {
        let with = |schema: Value| {
            entry(json!({"id": "c", "method": "post", "path": "/api/v1/c", "requestBodySchema": schema}))
        };
        let closed = json!({"type": "object", "additionalProperties": false, "required": ["title"],
            "properties": {"title": {"type": "string"}, "client_id": {}}});
        let body = json!({"body": {"titel": "x", "client_id": 1}});
        assert_eq!(
            complaints(&with(closed.clone()), body.clone()),
            [
                "body.titel: `titel` is not declared here; did you mean `title`? (declared: `client_id` and `title`)",
                "body.title: is required"
            ]
        );
        let nothing = with(json!({"additionalProperties": false}));
        assert_eq!(complaints(&nothing, body.clone()), ["body: is not allowed here"]);
        let mut open = closed;
        open["additionalProperties"] = json!({});
        open["required"] = json!([]);
        assert!(complaints(&with(open), body).is_empty());
    }

    #[test]
    fn a_body_is_held_against_its_schema_unless_the_operator_says_otherwise() {
        let raw = json!({"id": "p-t", "method": "post", "path": "/api/v1/t", "requestBodySchema": {"type": "object",
            "required": ["a"], "properties": {"a": {"type": "string", "format": "uuid"}, "b": {"enum": ["x", "y"]}, "c": {"$ref": "#/components/schemas/C"}}}});
        let body = json!({"body": {"b": "z", "c": [], "d": 1}});
        assert_eq!(
            complaints(&entry(raw.clone()), body.clone()),
            ["body.a: is required", "body.b: must be one of `x` and `y`"]
        );
        assert!(complaints(&entry(raw.clone()), json!({"body": {"a": "no uuid"}})).is_empty());
        for unchecked in ["p_t", "post /api/v1/t"] {
            let rules = CatalogRules { unchecked: vec![unchecked.into()], ..CatalogRules::default() };
            let bytes = json!([raw]).to_string();
            let catalog = Catalog::parse(bytes.as_bytes(), &rules).unwrap();
            assert!(complaints(&catalog.entries()[0], body.clone()).is_empty(), "{unchecked}");
        }
    }

    #[test]
    fn required_query_and_header_parameters_are_asked_for() {
        let strict = entry(json!({"id": "s", "method": "get", "path": "/api/v1/s", "parameters": [
            {"name": "kind", "in": "query", "required": true, "schema": {"enum": ["a", "b"]}},
            {"name": "x-kind", "in": "header", "required": true},
        ]}));
        assert_eq!(
            complaints(&strict, json!({})),
            ["query.kind: is required", "headers.x-kind: is required"]
        );
        let null = complaints(&strict, json!({"query": {"kind": null}, "headers": {"x-kind": null}}));
        assert_eq!(null.len(), 2);
        let wrong = complaints(&strict, json!({"query": {"kind": "c"}, "headers": {"X-Kind": "k"}}));
        assert_eq!(wrong, ["query.kind: must be one of `a` and `b`"]);
    }

    #[test]
    fn the_digest_is_the_same_for_the_same_request_and_differs_in_every_part() {
        let digest = |method: &str, value: Value| bind(&ticket(method), &args(value)).unwrap().digest();
        let base = || json!({"path": {"id": 1, "n": 2}, "query": {"q": "a"}, "headers": {"if-match": "x"}, "body": {"title": "t", "client_id": 1}});
        let with = |key: &str, value: Value| {
            let mut changed = base();
            changed[key] = value;
            changed
        };
        let first = digest("put", base());
        assert_eq!(first, digest("put", with("path", json!({"n": "2", "id": "1"}))));
        let others = [
            digest("patch", base()),
            digest("put", with("path", json!({"id": 1, "n": 3}))),
            digest("put", with("query", json!({}))),
            digest("put", with("headers", json!({"if-match": "y"}))),
            digest("put", with("headers", json!({"x-idempotency-key": "x"}))),
            digest("put", with("body", json!({"title": "t", "client_id": 2}))),
            digest("put", with("body", json!({"title": "t", "client_id": "1"}))),
        ];
        let distinct: std::collections::BTreeSet<_> = others.iter().chain([&first]).collect();
        assert_eq!(distinct.len(), others.len() + 1);
    }

    #[test]
    fn a_path_value_that_names_an_act_of_destruction_raises_the_effect() {
        let open = entry(json!({"id": "o", "method": "post", "path": "/api/v1/things/{id}"}));
        assert_eq!(bind(&open, &args(json!({"path": {"id": "7"}}))).unwrap().effect(), Effect::Write);
        for act in ["bulk_delete", "%64elete", "%2564elete", " Archive ", "void;now"] {
            let bound = bind(&open, &args(json!({"path": {"id": act}}))).unwrap();
            assert_eq!(bound.effect(), Effect::Destroy, "{act:?}");
        }
        let read = entry(json!({"id": "r", "method": "get", "path": "/api/v1/things/{id}"}));
        assert_eq!(bind(&read, &args(json!({"path": {"id": "archive"}}))).unwrap().effect(), Effect::Read);
    }

    #[test]
    fn a_refusal_does_not_grow_with_what_it_refuses() {
        let plain = entry(json!({"id": "p", "method": "get", "path": "/api/v1/p"}));
        let many: Map<String, Value> = (0..5_000).map(|n| (format!("x{n}"), json!("v"))).collect();
        for group in ["path", "query", "headers"] {
            assert_eq!(complaints(&plain, json!({ group: many })).len(), MOST_NAMES, "{group}");
        }
    }

    #[test]
    fn an_endless_request_is_refused() {
        let many: Vec<Value> = (0..4).map(|n| json!({"name": format!("q{n}"), "in": "query"})).collect();
        let wide = entry(json!({"id": "w", "method": "get", "path": "/api/v1/w", "parameters": many}));
        let long = "x".repeat(4_000);
        let said = complaints(&wide, json!({"query": {"q0": long, "q1": long, "q2": long}}));
        assert_eq!(said, ["path and query together are longer than 8192 bytes"]);
    }
}
