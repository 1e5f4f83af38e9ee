//! One catalogue entry, and how it is read from one raw registry entry.
//!
//! Knows nothing of the other entries, nor of what the operator lets in.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::about::About;
use super::effect::{Effect, classify};
use super::headers;
use super::path::{Segment, segments};
use super::rest::Verb;
use super::schema::Checker;

/// Where a parameter goes in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    /// `path`, `query` or `header`, as registries and search results write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// A declared parameter. Header names are lower-case.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub name: String,
    pub place: Place,
    pub required: bool,
    pub description: Option<String>,
    /// Always an object; what the registry gave, with [`RESERVED`] added where it applies.
    pub schema: Value,
    /// The value that is sent where the agent says none.
    pub sent: Option<Value>,
}

/// Keyword in a path parameter's schema: words that would turn the path into another endpoint's.
pub(super) const RESERVED: &str = "x-reserved";

impl Param {
    /// The values this path parameter must not have because other endpoints live there.
    pub(super) fn reserved(&self) -> Vec<&str> {
        let words = self.schema.get(RESERVED).and_then(Value::as_array);
        words.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// One endpoint that may be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As the registry writes it. Lookups take `-` and `_` as the same.
    pub id: String,
    pub verb: Verb,
    /// A template: fixed segments and whole-segment variables, `/api/v1/tickets/{id}`.
    pub path: String,
    pub display_name: String,
    pub summary: String,
    pub description: Option<String>,
    pub tags: Vec<String>,
    /// The PSA's own hint. It enforces nothing.
    pub approval_required: bool,
    /// Path parameters in template order, then the others in registry order. Never a forbidden header.
    pub params: Vec<Param>,
    pub body_schema: Option<Value>,
    pub response_schema: Option<Value>,
    pub examples: Vec<Value>,
    pub playbooks: Vec<String>,
    pub effect: Effect,
    /// The longest that a call of it may take, where the operator says so.
    pub timeout: Option<Duration>,
    /// Whether the operator has its bodies sent unchecked, because the registry is wrong about them.
    pub unchecked: bool,
    /// What it asks of Sidegate itself, where it is none of the PSA's.
    pub about: Option<About>,
    /// The registry's own JSON of it, not repaired.
    pub source: Box<str>,
    /// The body's schema, compiled when a body is first checked.
    pub(super) compiled: Compiled,
}

/// What is compiled at first use. A copy compiles its own: it may be changed before.
#[derive(Debug, Default)]
pub(super) struct Compiled(OnceLock<Option<Checker>>);

impl Clone for Compiled {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Entry {
    /// One that no registry tells of: a read without parameters. It is not handed on with the registry's own.
    pub(super) fn unlisted(id: &str, path: &str, name: &str, summary: &str, tag: &str) -> Self {
        Self {
            id: id.into(),
            verb: Verb::Get,
            path: path.into(),
            display_name: name.into(),
            summary: summary.into(),
            description: None,
            tags: vec![tag.into()],
            approval_required: false,
            params: Vec::new(),
            body_schema: None,
            response_schema: None,
            examples: Vec::new(),
            playbooks: Vec::new(),
            effect: Effect::Read,
            timeout: None,
            unchecked: false,
            about: None,
            source: Box::default(),
            compiled: Compiled::default(),
        }
    }

    /// The parameters of one place.
    pub fn params_in(&self, place: Place) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(move |param| param.place == place)
    }

    /// Whether a request of this entry can carry a body: where the registry declares one (the schema
    /// `false` declares none), and with GET never.
    pub fn takes_body(&self) -> bool {
        match self.verb {
            Verb::Post | Verb::Put | Verb::Patch | Verb::Delete => {
                !matches!(self.body_schema, None | Some(Value::Bool(false)))
            }
            Verb::Get => false,
        }
    }

    /// What checks a body; None where nothing is known of it, or the operator says that it is not to be checked.
    pub(super) fn body_checker(&self) -> Option<&Checker> {
        let schema = self.body_schema.as_ref().filter(|_| !self.unchecked)?;
        // A schema that cannot be used says nothing.
        self.compiled.0.get_or_init(|| Checker::new(schema).ok()).as_ref()
    }

    /// The names that the body declares at its top level.
    pub(super) fn body_names(&self) -> impl Iterator<Item = &str> {
        let schema = self.body_schema.as_ref().filter(|_| self.takes_body());
        let all = schema.and_then(|schema| schema.get("allOf")).and_then(Value::as_array);
        let declaring = schema.into_iter().chain(all.into_iter().flatten());
        let named = declaring.filter_map(|schema| schema.get("properties")?.as_object());
        named.flatten().map(|(name, _)| name.as_str())
    }
}

/// Reads one raw entry; the error is the reason why it cannot be used.
pub(super) fn read(raw: &Value) -> Result<Entry, String> {
    let source = raw.to_string().into_boxed_str();
    let raw = raw.as_object().ok_or("it is not an object")?;
    let id = words(raw, "id").ok_or("it has no id")?;
    if id.len() > 200 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
        return Err(
            "its id is longer than 200 bytes or has other characters than letters, digits and - _ . :".into(),
        );
    }
    let method = words(raw, "method").ok_or("it has no method")?;
    let verb = Verb::parse(&method).ok_or("its method is none of get, post, put, patch, delete")?;
    let path = words(raw, "path").ok_or("it has no path")?;
    let template = segments(&path)?;
    let params = params(raw.get("parameters"), &template);
    let summary = words(raw, "summary").unwrap_or_default();
    let name =
        words(raw, "displayName").or_else(|| Some(summary.clone()).filter(|summary| !summary.is_empty()));
    Ok(Entry {
        display_name: name.unwrap_or_else(|| id.clone()),
        summary,
        description: words(raw, "description"),
        tags: texts(raw.get("tags")),
        approval_required: raw.get("approvalRequired").and_then(Value::as_bool).unwrap_or(false),
        params,
        body_schema: schema(raw.get("requestBodySchema")),
        response_schema: schema(raw.get("responseBodySchema")),
        examples: raw.get("examples").and_then(Value::as_array).cloned().unwrap_or_default(),
        playbooks: texts(raw.get("playbooks")),
        effect: classify(verb, &path),
        timeout: None,
        about: None,
        unchecked: false,
        compiled: Compiled::default(),
        source,
        id,
        verb,
        path,
    })
}

/// Path parameters follow the template, whatever is declared: one that is missing is a required
/// text, one too many is dropped. Cookies, nameless and repeated parameters are dropped as well.
fn params(raw: Option<&Value>, template: &[Segment<'_>]) -> Vec<Param> {
    let mut declared: Vec<Param> = Vec::new();
    for param in
        raw.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).filter_map(param)
    {
        if !declared.iter().any(|known| known.place == param.place && known.name == param.name) {
            declared.push(param);
        }
    }
    let mut params = Vec::with_capacity(declared.len());
    for segment in template {
        if let Segment::Variable(name) = segment {
            let known = declared.iter().position(|param| param.place == Place::Path && param.name == *name);
            params.push(match known {
                Some(index) => Param { required: true, ..declared.remove(index) },
                None => Param {
                    name: (*name).to_owned(),
                    place: Place::Path,
                    required: true,
                    description: None,
                    schema: json!({"type": "string"}),
                    sent: None,
                },
            });
        }
    }
    params.extend(declared.into_iter().filter(|param| param.place != Place::Path));
    params
}

fn param(raw: &Map<String, Value>) -> Option<Param> {
    let name = words(raw, "name")?;
    let place = match raw.get("in").and_then(Value::as_str)? {
        "path" => Place::Path,
        "query" => Place::Query,
        "header" => Place::Header,
        _ => return None,
    };
    let name = match place {
        Place::Header if headers::never(&name) => return None,
        Place::Header => name.to_ascii_lowercase(),
        Place::Path | Place::Query => name,
    };
    let mut schema =
        raw.get("schema").filter(|schema| schema.is_object()).cloned().unwrap_or_else(|| json!({}));
    if let Some(schema) = schema.as_object_mut() {
        schema.remove(RESERVED);
    }
    Some(Param {
        name,
        place,
        required: raw.get("required").and_then(Value::as_bool).unwrap_or(false),
        description: words(raw, "description"),
        schema,
        sent: None,
    })
}

fn words(raw: &Map<String, Value>, key: &str) -> Option<String> {
    raw.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn texts(raw: Option<&Value>) -> Vec<String> {
    raw.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn schema(raw: Option<&Value>) -> Option<Value> {
    raw.filter(|schema| schema.is_object() || schema.is_boolean()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(raw: Value) -> Result<Entry, String> {
        read(&raw)
    }

    #[test]
    fn an_entry_without_id_method_or_path_is_refused() {
        for (raw, reason) in [
            (json!("x"), "not an object"),
            (json!({"method": "get", "path": "/a"}), "no id"),
            (json!({"id": " ", "method": "get", "path": "/a"}), "no id"),
            (json!({"id": "a b", "method": "get", "path": "/a"}), "other characters"),
            (json!({"id": "a", "path": "/a"}), "no method"),
            (json!({"id": "a", "method": "head", "path": "/a"}), "none of"),
            (json!({"id": "a", "method": "get"}), "no path"),
            (json!({"id": "a", "method": "get", "path": "a"}), "does not start"),
            (json!({"id": "a", "method": "get", "path": "/a/../b"}), "dot segment"),
            (json!({"id": "a", "method": "get", "path": "/a?b=c"}), "query"),
            (json!({"id": "a", "method": "get", "path": "/a#b"}), "fragment"),
        ] {
            let refused = reading(raw.clone()).unwrap_err();
            assert!(refused.contains(reason), "{raw}: {refused}");
        }
    }

    #[test]
    fn path_parameters_follow_the_template_whatever_is_declared() {
        let entry = reading(json!({"id": "a", "method": "get", "path": "/a/{x}/{y}", "parameters": [
            {"name": "q", "in": "query"},
            {"name": "z", "in": "path", "required": true},
            {"name": "y", "in": "path", "required": false, "schema": {"type": "integer"}},
        ]}))
        .unwrap();
        let seen: Vec<_> = entry.params.iter().map(|param| (param.name.as_str(), param.required)).collect();
        assert_eq!(seen, [("x", true), ("y", true), ("q", false)]);
        assert_eq!(entry.params[0].schema, json!({"type": "string"}));
        assert_eq!(entry.params[1].schema, json!({"type": "integer"}));
    }

    #[test]
    fn forbidden_headers_cookies_and_repeated_parameters_are_dropped() {
        let entry = reading(json!({"id": "a", "method": "get", "path": "/a", "parameters": [
            {"name": "Authorization", "in": "header"}, {"name": "X-Forwarded-Host", "in": "header"},
            {"name": "session", "in": "cookie"}, {"in": "query"}, {"name": "lost"},
            {"name": "X-Idempotency-Key", "in": "header"}, {"name": "x-idempotency-key", "in": "header"},
            {"name": "q", "in": "query", "schema": true}, {"name": "q", "in": "query", "required": true},
        ]}))
        .unwrap();
        let seen: Vec<_> = entry.params.iter().map(|param| (param.name.as_str(), param.place)).collect();
        assert_eq!(seen, [("x-idempotency-key", Place::Header), ("q", Place::Query)]);
        assert_eq!(entry.params[1].schema, json!({}));
        assert!(!entry.params[1].required);
    }

    #[test]
    fn what_is_optional_has_a_default() {
        let entry = reading(json!({"id": "a", "method": "DELETE", "path": "/a"})).unwrap();
        assert_eq!((entry.display_name.as_str(), entry.effect), ("a", Effect::Destroy));
        assert!(!entry.approval_required && entry.tags.is_empty() && entry.body_schema.is_none());
        assert!(!entry.takes_body());
    }
}
