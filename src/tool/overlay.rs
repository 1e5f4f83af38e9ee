//! Repairs of a registry that contradicts its own handlers: rows in TOML that change what single entries declare.
//!
//! Changes words, parameters and bodies, never method, path or effect. Reads no file.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::entry::{Param, Place};
use super::path::{Segment, segments};
use super::rest::Verb;
use super::text::{line_at, named, quoted};

/// Rows of repairs, one an entry at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    rows: Vec<Row>,
}

/// What is repaired of one entry. What is left out stays as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// An id, or `METHOD /path`.
    entry: String,
    display_name: Option<String>,
    summary: Option<String>,
    description: Option<String>,
    /// Names of query and header parameters that are none.
    #[serde(default)]
    remove_parameters: Vec<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
    body: Option<Body>,
    examples: Option<Vec<Value>>,
}

/// A parameter that is added, or changed where there is one of its name and place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    name: String,
    #[serde(rename = "in")]
    place: String,
    required: Option<bool>,
    description: Option<String>,
    schema: Option<Map<String, Value>>,
    /// The value that is sent where the agent says none; query parameters only.
    send: Option<Value>,
}

/// What is repaired of a body schema.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The schema as a whole, instead of the registry's.
    schema: Option<Map<String, Value>>,
    /// The names that a body must have, instead of the registry's.
    required: Option<Vec<String>>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    properties: Map<String, Value>,
}

impl Overlay {
    /// Reads `[[entries]]` rows.
    ///
    /// # Errors
    /// Everything that is wrong, each named with its row.
    pub fn read(text: &str) -> Result<Self, Vec<String>> {
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            vec![format!("line {line}: {}", error.message())]
        })?;
        let mut wrong = Vec::new();
        let raw = match table.remove("entries") {
            Some(toml::Value::Array(raw)) => raw,
            Some(_) => {
                wrong.push("entries: is a list of rows; write [[entries]] for each".to_owned());
                Vec::new()
            }
            None => Vec::new(),
        };
        wrong.extend(table.keys().map(|key| format!("{key}: is not known; rows are [[entries]]")));
        let (mut rows, mut seen) = (Vec::new(), HashMap::new());
        for (index, raw) in raw.into_iter().enumerate() {
            let entry = raw.get("entry").and_then(toml::Value::as_str).map(quoted);
            let at =
                format!("entries[{index}]{}", entry.map(|entry| format!(" ({entry})")).unwrap_or_default());
            let row: Row = match raw.try_into() {
                Ok(row) => row,
                Err(error) => {
                    wrong.push(format!("{at}: {}", toml::de::Error::message(&error)));
                    continue;
                }
            };
            wrong.extend(row.problems().into_iter().map(|problem| format!("{at}.{problem}")));
            match row.key() {
                Err(reason) => wrong.push(format!("{at}.entry: {reason}")),
                Ok(key) => {
                    if let Some(first) = seen.insert(key, index) {
                        wrong.push(format!(
                            "{at}.entry: is the entry of entries[{first}] too; write one row for each"
                        ));
                    }
                }
            }
            rows.push(row);
        }
        if wrong.is_empty() { Ok(Self { rows }) } else { Err(wrong) }
    }

    /// These rows over those of `below`: an entry that has a row here has none there.
    #[must_use]
    pub fn over(mut self, below: Self) -> Self {
        let own: Vec<String> = self.rows.iter().filter_map(|row| row.key().ok()).collect();
        let kept = below.rows.into_iter().filter(|row| row.key().is_ok_and(|key| !own.contains(&key)));
        self.rows.extend(kept);
        self
    }

    /// The rows by what they are found under, for [`Repairs::of`].
    pub(super) fn repairs(&self) -> Repairs<'_> {
        let keyed = self.rows.iter().filter_map(|row| Some((row.key().ok()?, row)));
        Repairs { rows: keyed.map(|(key, row)| (key, (row, false))).collect() }
    }
}

/// An overlay in use: which rows have found their entry.
pub(super) struct Repairs<'a> {
    rows: HashMap<String, (&'a Row, bool)>,
}

/// What is to be done to one entry.
pub(super) struct Repair<'a> {
    rows: Vec<&'a Row>,
}

impl<'a> Repairs<'a> {
    /// What is to be repaired of a raw entry: by its id, and by its method and path.
    pub(super) fn of(&mut self, raw: &Value) -> Option<Repair<'a>> {
        if self.rows.is_empty() {
            return None;
        }
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default();
        let place = Verb::parse(text("method").trim()).map(|verb| shape(verb, text("path").trim()));
        let keys = place.into_iter().chain([super::catalog::normal(text("id").trim())]);
        let mut rows = Vec::new();
        for key in keys {
            if let Some((row, used)) = self.rows.get_mut(&key) {
                *used = true;
                rows.push(*row);
            }
        }
        (!rows.is_empty()).then_some(Repair { rows })
    }

    /// The entries of rows that found none, as they are written.
    pub(super) fn unused(&self) -> Vec<String> {
        let mut unused: Vec<String> =
            self.rows.values().filter(|(_, used)| !used).map(|(row, _)| row.entry.clone()).collect();
        unused.sort();
        unused
    }
}

impl Repair<'_> {
    /// The raw entry as it should be.
    pub(super) fn applied(&self, raw: &Value) -> Value {
        let mut raw = raw.clone();
        if let Some(raw) = raw.as_object_mut() {
            self.rows.iter().for_each(|row| row.apply(raw));
        }
        raw
    }

    /// Gives the parameters the values that are sent where an agent says none.
    pub(super) fn defaults(&self, params: &mut [Param]) {
        let sent = self
            .rows
            .iter()
            .flat_map(|row| &row.parameters)
            .filter_map(|given| Some((given, given.send.as_ref()?)));
        for (given, value) in sent {
            let here = |param: &&mut Param| param.place == Place::Query && param.name == given.name;
            if let Some(param) = params.iter_mut().find(here) {
                param.sent = Some(value.clone());
            }
        }
    }
}

/// Method and path with nameless variables: their names are not the same everywhere.
fn shape(verb: Verb, path: &str) -> String {
    let shape = match segments(path) {
        Ok(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Fixed(word) => format!("/{word}"),
                Segment::Variable(_) => "/{}".to_owned(),
            })
            .collect(),
        Err(_) => path.to_owned(),
    };
    format!("{verb} {shape}")
}

impl Row {
    /// What the entry is found under: no id has a space.
    fn key(&self) -> Result<String, String> {
        let entry = self.entry.trim();
        match entry.split_once(char::is_whitespace) {
            None if entry.is_empty() => Err("is empty; write an id or `METHOD /path`".into()),
            None if entry.contains('/') => Err("is a path without a method; write `METHOD /path`".into()),
            None => Ok(super::catalog::normal(entry)),
            Some((method, path)) => {
                let verb = Verb::parse(method)
                    .ok_or_else(|| format!("{} is no method that entries have", quoted(method)))?;
                segments(path.trim())?;
                Ok(shape(verb, path.trim()))
            }
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for parameter in &self.parameters {
            let at = format!("parameters {}", named(&parameter.name));
            if !matches!(parameter.place.as_str(), "path" | "query" | "header") {
                wrong.push(format!("{at}: in is one of path, query and header"));
            }
            if parameter.send.is_some() && parameter.place != "query" {
                wrong.push(format!("{at}: send is for query parameters only"));
            }
            if parameter.send.as_ref().is_some_and(|send| send.is_object() || send.is_null()) {
                wrong.push(format!("{at}: send is a text, a number, a boolean or a list of these"));
            }
        }
        let properties = self.body.iter().flat_map(|body| &body.properties);
        for (name, _) in properties.filter(|(_, schema)| !schema.is_object() && !schema.is_boolean()) {
            wrong.push(format!("body.properties.{name}: is a JSON Schema, such as {{ type = \"string\" }}"));
        }
        wrong
    }

    fn apply(&self, raw: &mut Map<String, Value>) {
        let texts = [
            ("displayName", &self.display_name),
            ("summary", &self.summary),
            ("description", &self.description),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                raw.insert(key.into(), text.as_str().into());
            }
        }
        if let Some(examples) = &self.examples {
            raw.insert("examples".into(), examples.clone().into());
        }
        if !self.parameters.is_empty() || !self.remove_parameters.is_empty() {
            let mut list = raw.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
            list.retain(|known| {
                let name = known.get("name").and_then(Value::as_str).unwrap_or_default();
                known.get("in") == Some(&json!("path"))
                    || !self.remove_parameters.iter().any(|gone| gone == name)
            });
            self.parameters.iter().for_each(|parameter| parameter.apply(&mut list));
            raw.insert("parameters".into(), list.into());
        }
        if let Some(body) = &self.body {
            body.apply(raw);
        }
    }
}

impl Parameter {
    fn apply(&self, list: &mut Vec<Value>) {
        let same = |known: &Value| {
            known.get("name").and_then(Value::as_str) == Some(&self.name)
                && known.get("in").and_then(Value::as_str) == Some(&self.place)
        };
        let position = list.iter().position(same).unwrap_or_else(|| {
            list.push(json!({"name": self.name, "in": self.place, "required": false}));
            list.len() - 1
        });
        let Some(known) = list.get_mut(position).and_then(Value::as_object_mut) else { return };
        if let Some(required) = self.required {
            known.insert("required".into(), required.into());
        }
        if let Some(description) = &self.description {
            known.insert("description".into(), description.as_str().into());
        }
        if let Some(schema) = &self.schema {
            known.insert("schema".into(), schema.clone().into());
        }
        if let Some(send) = &self.send {
            let schema = known.entry("schema").or_insert_with(|| json!({}));
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("default".into(), send.clone());
            }
        }
    }
}

impl Body {
    fn apply(&self, raw: &mut Map<String, Value>) {
        let known = raw.get("requestBodySchema").and_then(Value::as_object).cloned();
        let mut schema = self.schema.clone().or(known).unwrap_or_default();
        schema.entry("type").or_insert_with(|| "object".into());
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.retain(|name, _| !self.remove.contains(name));
            properties.extend(self.properties.clone());
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required
                .retain(|name| name.as_str().is_none_or(|name| !self.remove.iter().any(|gone| gone == name)));
        }
        if let Some(required) = &self.required {
            schema.insert("required".into(), required.clone().into());
        }
        raw.insert("requestBodySchema".into(), schema.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{Catalog, CatalogRules};
    use super::*;

    fn overlay(text: &str) -> Overlay {
        Overlay::read(text).unwrap()
    }

    fn repaired(entries: Value, overlay: Overlay) -> Catalog {
        let rules = CatalogRules { repairs: overlay.into(), ..CatalogRules::default() };
        Catalog::parse(json!({"data": {"entries": entries}}).to_string().as_bytes(), &rules).unwrap()
    }

    #[test]
    fn parameters_are_added_changed_and_removed_and_may_be_sent_unasked() {
        let rows = overlay(
            r#"[[entries]]
            entry = "GET /api/v1/x/{key}"
            remove_parameters = ["term", "id"]
            parameters = [
                { name = "search", in = "query", description = "Words.", schema = { type = "string" } },
                { name = "limit", in = "query", schema = { type = "integer" } },
                { name = "format", in = "query", schema = { type = "string", enum = ["full", "short"] }, send = "short" },
            ]"#,
        );
        let entry = json!([{"id": "x", "method": "get", "path": "/api/v1/x/{id}", "parameters": [
            {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}},
            {"name": "term", "in": "query"},
            {"name": "limit", "in": "query", "description": "How many.", "schema": {"type": "string"}}]}]);
        let catalog = repaired(entry, rows);
        let entry = &catalog.entries()[0];
        let names: Vec<&str> = entry.params.iter().map(|param| param.name.as_str()).collect();
        assert_eq!(names, ["id", "limit", "search", "format"]);
        assert_eq!(entry.params[1].schema, json!({"type": "integer"}));
        assert_eq!(entry.params[1].description.as_deref(), Some("How many."));
        let sent: Vec<_> = entry.params.iter().map(|param| param.sent.clone()).collect();
        assert_eq!(sent, [None, None, None, Some(json!("short"))]);
        assert_eq!(entry.params[3].schema["default"], "short");
        assert!(entry.source.contains("\"term\"") && !entry.source.contains("\"search\""));
    }

    #[test]
    fn a_body_is_repaired_member_by_member() {
        let rows = overlay(
            "[[entries]]\nentry = \"post_x\"\nsummary = \"Logs.\"\n[entries.body]\nrequired = [\"start\"]\nremove = [\"begin\"]\n\
             [entries.body.properties]\nstart = { type = \"string\" }\n",
        );
        let entry = json!([{"id": "post-x", "method": "post", "path": "/api/v1/x", "requestBodySchema":
            {"type": "object", "required": ["begin"], "properties": {"begin": {}, "notes": {"type": "string"}}}},
            {"id": "y", "method": "post", "path": "/api/v1/y"}]);
        let catalog = repaired(entry, rows);
        let expected = json!({"type": "object", "required": ["start"],
            "properties": {"notes": {"type": "string"}, "start": {"type": "string"}}});
        assert_eq!(catalog.entries()[0].body_schema, Some(expected));
        assert_eq!(catalog.entries()[0].summary, "Logs.");
        assert!(catalog.entries()[1].body_schema.is_none() && catalog.unrepaired().is_empty());
    }

    #[test]
    fn a_row_without_its_entry_is_listed() {
        let rows = overlay("[[entries]]\nentry = \"GET /api/v1/gone/{id}\"\n[[entries]]\nentry = \"x\"\n");
        let catalog = repaired(json!([{"id": "x", "method": "get", "path": "/api/v1/x"}]), rows);
        assert_eq!(catalog.unrepaired(), ["GET /api/v1/gone/{id}"]);
    }

    #[test]
    fn the_operators_row_stands_instead_of_the_built_in_one() {
        let below = overlay(
            "[[entries]]\nentry = \"GET /api/v1/x/{id}\"\nsummary = \"below\"\n[[entries]]\nentry = \"y\"\nsummary = \"kept\"\n",
        );
        let rows = overlay("[[entries]]\nentry = \"GET /api/v1/x/{key}\"\n").over(below);
        let entries = json!([{"id": "x", "method": "get", "path": "/api/v1/x/{id}", "summary": "own"},
            {"id": "y", "method": "get", "path": "/api/v1/y"}]);
        let catalog = repaired(entries, rows);
        assert_eq!((&catalog.entries()[0].summary[..], &catalog.entries()[1].summary[..]), ("own", "kept"));
    }

    #[test]
    fn everything_that_is_wrong_is_named_with_its_row() {
        let wrong = Overlay::read(
            r#"more = 1
            [[entries]]
            entry = "/api/v1/x"
            [[entries]]
            entry = "FETCH /api/v1/x"
            [[entries]]
            summary = "lost"
            [[entries]]
            entry = "GET /api/v1/x"
            sumary = "x"
            [[entries]]
            entry = "POST /api/v1/x"
            parameters = [{ name = "a", in = "cookie" }, { name = "b", in = "header", send = "x" }]
            body = { properties = { c = 7 } }
            [[entries]]
            entry = "POST  /api/v1/x""#,
        )
        .unwrap_err();
        for part in [
            "more: is not known",
            "entries[0] (`/api/v1/x`).entry: is a path without a method",
            "entries[1] (`FETCH /api/v1/x`).entry: `FETCH` is no method",
            "entries[2]: missing field `entry`",
            "entries[3] (`GET /api/v1/x`): unknown field `sumary`",
            "entries[4] (`POST /api/v1/x`).parameters `a`: in is one of",
            "entries[4] (`POST /api/v1/x`).parameters `b`: send is for query",
            "entries[4] (`POST /api/v1/x`).body.properties.c: is a JSON Schema",
            "entries[5] (`POST  /api/v1/x`).entry: is the entry of entries[4] too",
        ] {
            assert!(wrong.iter().any(|problem| problem.starts_with(part)), "{part}: {wrong:#?}");
        }
        assert_eq!(wrong.len(), 9);
        assert!(Overlay::read("a = 1\nb =\n").unwrap_err()[0].starts_with("line 2: "));
    }
}
