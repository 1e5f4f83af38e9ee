//! Arguments against a JSON Schema (2020-12): every complaint at once, each with its field.
//!
//! Never fetches anything: a reference that does not resolve inside the schema means "any".

use std::fmt;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use super::text::{did_you_mean, excerpt, listed, quoted};

/// One thing that is wrong with an argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// Dotted path, such as `path.id` or `query.limit`; empty for the whole.
    pub field: String,
    /// What is wrong and what to do; never repeats a value that was sent.
    pub message: String,
}

impl Complaint {
    /// The same about what stands below `group`.
    pub(super) fn below(mut self, group: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => group.to_owned(),
            field => format!("{group}.{field}"),
        };
        self
    }

    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        // A field is one line, even where a stranger named it.
        let field = field.into().replace(char::is_control, " ");
        Self { field, message: message.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

/// The names that a schema (of an object) requires.
pub(super) fn required(schema: &Map<String, Value>) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Deeper than this, a schema means "any".
const DEEPEST: usize = 48;
/// No answer lists more complaints than this.
const MOST_COMPLAINTS: usize = 50;

/// A compiled schema.
#[derive(Debug)]
pub struct Checker {
    schema: Value,
    validator: Validator,
}

impl Checker {
    /// Compiles `schema`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the schema itself.
    pub fn new(schema: &Value) -> Result<Checker, String> {
        let mut schema = sanitized(schema, DEEPEST);
        let whole = schema.clone();
        drop_dangling(&mut schema, &whole);
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            // Linear in the text: a pattern from outside must not be able to backtrack.
            .with_pattern_options(PatternOptions::regex())
            .build(&schema)
            .map_err(|error| format!("not a usable JSON Schema: {}", excerpt(&error.to_string(), 300)))?;
        Ok(Checker { schema, validator })
    }

    /// The schema as it is applied: what leads out of it or nowhere is gone.
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Checks `args`.
    ///
    /// # Errors
    /// Every complaint, sorted by field; at most 50.
    pub fn check(&self, args: &Value) -> Result<(), Vec<Complaint>> {
        let mut complaints: Vec<Complaint> = self
            .validator
            .iter_errors(args)
            .take(MOST_COMPLAINTS)
            .flat_map(|error| self.complaints(&error))
            .take(MOST_COMPLAINTS)
            .collect();
        complaints.sort();
        complaints.dedup();
        if complaints.is_empty() { Ok(()) } else { Err(complaints) }
    }

    fn complaints(&self, error: &ValidationError<'_>) -> Vec<Complaint> {
        let at = dotted(error.instance_path().as_str());
        let below = |name: &str| match at.as_str() {
            "" => excerpt(name, 80),
            at => format!("{at}.{}", excerpt(name, 80)),
        };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let declared = self.declared_beside(error.schema_path().as_str());
                let declared: Vec<&str> = declared.iter().map(String::as_str).collect();
                let known = listed(declared.iter().copied(), 12);
                let message = |name: &str| {
                    let near = did_you_mean(name, declared.iter().copied());
                    format!("{} is not declared here{near} (declared: {known})", quoted(name))
                };
                unexpected.iter().map(|name| Complaint::new(below(name), message(name))).collect()
            }
            ValidationErrorKind::Required { property } => {
                vec![Complaint::new(below(property.as_str().unwrap_or_default()), "is required")]
            }
            _ => vec![Complaint::new(at, message(error))],
        }
    }

    /// The property names declared by the schema object whose keyword is at this JSON pointer.
    fn declared_beside(&self, keyword: &str) -> Vec<String> {
        let parent = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
        let properties = self.schema.pointer(parent).and_then(|schema| schema.get("properties"));
        properties.and_then(Value::as_object).map(|names| names.keys().cloned().collect()).unwrap_or_default()
    }
}

/// What is wrong, in words that do not repeat the value.
fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
            format!("must be {}", article(&kind.to_string()))
        }
        ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
            let kinds: Vec<String> = kinds.iter().map(|kind| article(&kind.to_string())).collect();
            format!("must be {}", kinds.join(" or "))
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
            format!("must be one of {}", listed(options.iter().map(String::as_str), 40))
        }
        ValidationErrorKind::Constant { expected_value } => format!("must be `{}`", plain(expected_value)),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".into(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} items"),
        ValidationErrorKind::UniqueItems => "must not have the same item twice".into(),
        ValidationErrorKind::FalseSchema => "is not allowed here".into(),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let mut ways: Vec<String> = context.iter().flatten().map(message).collect();
            ways.dedup();
            ways.truncate(6);
            format!("fits none of the allowed forms: {}", excerpt(&ways.join("; "), 400))
        }
        _ => excerpt(&error.masked_with("the value").to_string(), 300),
    }
}

fn article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "array" | "integer" | "object" => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A JSON pointer as a dotted path.
fn dotted(pointer: &str) -> String {
    let part = |part: &str| excerpt(&part.replace("~1", "/").replace("~0", "~"), 80);
    pointer.trim_start_matches('/').split('/').map(part).collect::<Vec<_>>().join(".")
}

/// Keywords that name other documents or move the base of references, and bulk without meaning here.
const DROPPED: &[&str] = &[
    "$schema",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "default",
    "example",
    "examples",
];

/// Keywords whose value maps names to schemas: the names are no keywords.
const NAMED: &[&str] = &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Keywords whose value is data, not a schema.
const DATA: &[&str] = &["enum", "const", "required", "type", "dependentRequired"];

/// A copy that refers to nothing outside itself and is at most `depth` deep.
fn sanitized(schema: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Bool(true);
    }
    match schema {
        Value::Object(keywords) => {
            let mut kept = Map::new();
            for (keyword, value) in keywords {
                let value = match (keyword.as_str(), value) {
                    (keyword, _) if DROPPED.contains(&keyword) => continue,
                    ("$ref", Value::String(target)) if !target.starts_with("#/") && target != "#" => continue,
                    ("$ref", Value::String(_)) => value.clone(),
                    ("$ref", _) => continue,
                    (keyword, value) if DATA.contains(&keyword) => value.clone(),
                    (keyword, Value::Object(named)) if NAMED.contains(&keyword) => Value::Object(
                        named
                            .iter()
                            .map(|(name, schema)| (name.clone(), sanitized(schema, depth - 1)))
                            .collect(),
                    ),
                    (_, value) => sanitized(value, depth - 1),
                };
                kept.insert(keyword.clone(), value);
            }
            if keywords.get("nullable") == Some(&Value::Bool(true)) {
                take_null(&mut kept);
            }
            Value::Object(kept)
        }
        Value::Array(schemas) => schemas.iter().map(|schema| sanitized(schema, depth - 1)).collect(),
        other => other.clone(),
    }
}

/// `nullable` as OpenAPI 3.0 has it, in the words of JSON Schema.
fn take_null(keywords: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = keywords.get("type").cloned() {
        keywords.insert("type".into(), Value::Array(vec![kind, "null".into()]));
        if let Some(Value::Array(options)) = keywords.get_mut("enum")
            && !options.contains(&Value::Null)
        {
            options.push(Value::Null);
        }
    }
}

/// Takes out every `$ref` that points at nothing, or at something that is no schema.
fn drop_dangling(schema: &mut Value, whole: &Value) {
    match schema {
        Value::Object(keywords) => {
            let dangling = keywords.get("$ref").and_then(Value::as_str).is_some_and(|target| {
                let found = whole.pointer(target.trim_start_matches('#'));
                !found.is_some_and(|found| found.is_object() || found.is_boolean())
            });
            if dangling {
                keywords.remove("$ref");
            }
            for (keyword, value) in keywords {
                match value {
                    Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                        named.values_mut().for_each(|schema| drop_dangling(schema, whole));
                    }
                    value if !DATA.contains(&keyword.as_str()) => drop_dangling(value, whole),
                    _ => {}
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| drop_dangling(schema, whole)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(schema: Value, args: Value) -> Vec<String> {
        let complaints = Checker::new(&schema).unwrap().check(&args).err().unwrap_or_default();
        complaints.iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn every_complaint_comes_at_once_with_its_dotted_field() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["query", "id"],
            "properties": {
                "query": {"type": "object", "additionalProperties": false, "properties": {"limit": {"type": "integer", "maximum": 100}}},
                "id": {"type": "string", "minLength": 1},
                "kinds": {"type": "array", "items": {"enum": ["a", "b"]}},
            },
        });
        assert_eq!(
            said(schema, json!({"query": {"limit": 101, "limt": 1}, "kinds": ["a", "c"], "extra": 1})),
            [
                "extra: `extra` is not declared here (declared: `id`, `kinds` and `query`)",
                "id: is required",
                "kinds.1: must be one of `a` and `b`",
                "query.limit: must be at most 100",
                "query.limt: `limt` is not declared here; did you mean `limit`? (declared: `limit`)",
            ]
        );
    }

    #[test]
    fn a_complaint_names_types_and_never_repeats_the_value() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string"}, "b": {"type": ["string", "number"]}, "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "d": {"const": 7}, "e": {"pattern": "^x+$"}, "f": false,
        }});
        let said = said(
            schema,
            json!({"a": {"k": "hunter2"}, "b": ["hunter2"], "c": ["hunter2"], "d": "hunter2", "e": "hunter2", "f": "hunter2"}),
        );
        assert_eq!(said.len(), 6);
        assert!(said.iter().all(|said| !said.contains("hunter2")), "{said:?}");
        assert_eq!(said[0], "a: must be a string");
        assert!(said[1].starts_with("b: must be a") && said[1].contains(" or "), "{}", said[1]);
    }

    #[test]
    fn a_reference_to_the_network_or_to_nothing_means_any() {
        let schema = json!({
            "$schema": "https://example.invalid/meta", "$id": "https://example.invalid/x",
            "type": "object", "properties": {
                "net": {"$ref": "https://example.invalid/schema.json"},
                "gone": {"$ref": "#/components/schemas/Gone"},
                "file": {"$ref": "file:///etc/passwd"},
                "sibling": {"$ref": "#/nowhere", "type": "string"},
                "known": {"$ref": "#/$defs/text"},
                "$ref": {"type": "integer"},
                "type": {"$ref": "#/components/schemas/Gone"},
            },
            "$defs": {"text": {"type": "string"}},
        });
        let args =
            json!({"net": 1, "gone": [], "file": {}, "sibling": "s", "known": "k", "$ref": 1, "type": 1});
        assert!(Checker::new(&schema).unwrap().check(&args).is_ok());
        assert_eq!(
            said(schema, json!({"sibling": 1, "known": 2, "$ref": "x"})),
            ["$ref: must be an integer", "known: must be a string", "sibling: must be a string"]
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_is_followed_as_far_as_the_value_goes() {
        let schema =
            json!({"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}});
        assert_eq!(
            said(schema, json!({"child": {"child": {"n": "x"}}})),
            ["child.child.n: must be an integer"]
        );
    }

    #[test]
    fn a_reference_that_only_goes_round_ends() {
        for round in [
            json!({"$ref": "#"}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"allOf": [{"$ref": "#"}]}),
        ] {
            if let Ok(checker) = Checker::new(&round) {
                assert!(checker.check(&json!({"a": 1})).is_ok(), "{round}");
            }
        }
    }

    #[test]
    fn a_very_deep_schema_means_any_below_its_bound() {
        let mut schema = json!({"type": "integer"});
        for _ in 0..100 {
            schema = json!({"properties": {"a": schema}});
        }
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!({"a": deep});
        }
        assert!(Checker::new(&schema).unwrap().check(&deep).is_ok());
    }

    #[test]
    fn what_is_nullable_in_the_older_way_may_be_null() {
        let schema = json!({"properties": {"a": {"type": "string", "nullable": true, "enum": ["x"]}, "b": {"type": "integer"},
            "nullable": {"type": "boolean"}}});
        assert!(Checker::new(&schema).unwrap().check(&json!({"a": null, "nullable": true})).is_ok());
        let wrong = json!({"a": 1, "b": null, "nullable": null});
        assert_eq!(said(schema, wrong).len(), 4);
    }

    #[test]
    fn a_broken_schema_is_refused_with_a_sentence() {
        for broken in [json!({"type": "nonsense"}), json!({"properties": 7}), json!({"pattern": "("})] {
            assert!(Checker::new(&broken).unwrap_err().starts_with("not a usable JSON Schema"), "{broken}");
        }
    }

    #[test]
    fn a_hostile_property_name_is_cleaned_and_cut_in_the_complaint() {
        let name = format!("\u{1b}[31m{}", "x".repeat(5_000));
        let said = said(json!({"additionalProperties": false}), json!({ name: 1 }));
        assert!(said[0].len() < 400 && !said[0].contains('\u{1b}'), "{}", said[0]);
    }
}
