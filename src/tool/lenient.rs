//! What a value was certainly meant to be, where its schema does not take it as it is written: `"45"` for 45, one
//! value for a list of one, an object that was written down as a string.
//!
//! Knows one value and its schema. Never chooses between two readings.

use serde_json::{Map, Number, Value};

/// How deep a schema is followed.
const DEEPEST: usize = 24;

/// Reads values by the schema that they are for.
pub(super) struct Reading<'a> {
    /// Where local references lead.
    whole: &'a Value,
    /// Null for what is optional and cannot be null means that it is left out: true of what creates, but where
    /// something is changed it may mean "clear it".
    null_is_nothing: bool,
    /// What was read differently, as sentences that repeat no value.
    pub notes: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(whole: &'a Value, null_is_nothing: bool) -> Self {
        Self { whole, null_is_nothing, notes: Vec::new() }
    }

    /// `value` as `schema` takes it; unchanged where there is no such reading, or more than one. `at` is the dotted
    /// path of the field.
    pub(super) fn fit(&mut self, schema: &'a Value, value: Value, at: &str) -> Value {
        self.fit_within(schema, value, at, DEEPEST)
    }

    fn fit_within(&mut self, schema: &'a Value, value: Value, at: &str, depth: usize) -> Value {
        let kinds = self.kinds(schema, depth);
        let takes = |kind: &str| kinds.contains(&kind);
        if depth == 0 || kinds.is_empty() {
            return value;
        }
        match value {
            Value::Object(members) if takes("object") => {
                Value::Object(self.members(schema, members, at, depth))
            }
            Value::Array(items) if takes("array") => {
                let items = items.into_iter().enumerate();
                let schema = self.items(schema, depth);
                items
                    .map(|(index, item)| match schema {
                        Some(schema) => self.fit_within(schema, item, &format!("{at}.{index}"), depth - 1),
                        None => item,
                    })
                    .collect()
            }
            Value::String(text) if takes("string") => match self.option(schema, &text, depth) {
                Some(option) => self.read(option, at, "in the case that is declared"),
                None => Value::String(text),
            },
            Value::String(text) => match self.spelled(&kinds, &text) {
                Some((value @ (Value::Array(_) | Value::Object(_)), form)) => {
                    let value = self.read(value, at, form);
                    self.fit_within(schema, value, at, depth - 1)
                }
                Some((value, form)) => self.read(value, at, form),
                None => self.alone(schema, &kinds, Value::String(text), at, depth),
            },
            Value::Number(number) if takes("integer") || takes("number") => {
                match whole(&number).filter(|_| !takes("number")) {
                    Some(whole) => self.read(whole, at, "as a whole number"),
                    None => Value::Number(number),
                }
            }
            Value::Bool(_) if takes("boolean") => value,
            Value::Null if takes("null") => value,
            Value::Number(_) | Value::Bool(_) if takes("string") => {
                let text = value.to_string();
                self.read(Value::String(text), at, "as a string")
            }
            value => self.alone(schema, &kinds, value, at, depth),
        }
    }

    fn read(&mut self, value: Value, at: &str, form: &str) -> Value {
        self.notes.push(format!("{at}: read {form}"));
        value
    }

    /// One value where only a list is taken.
    fn alone(&mut self, schema: &'a Value, kinds: &[&str], value: Value, at: &str, depth: usize) -> Value {
        if value.is_null() || kinds.iter().any(|kind| !matches!(*kind, "array" | "null")) {
            return value;
        }
        let item = match self.items(schema, depth) {
            Some(items) => self.fit_within(items, value, at, depth - 1),
            None => value,
        };
        self.read(Value::Array(vec![item]), at, "as a list of one")
    }

    fn members(
        &mut self,
        schema: &'a Value,
        members: Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Map<String, Value> {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        let mut read = Map::new();
        for (name, value) in members {
            let Some(own) = self.property(schema, &name, depth) else {
                read.insert(name, value);
                continue;
            };
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            let kinds = self.kinds(own, depth);
            let nothing = value.is_null() && !kinds.is_empty() && !kinds.contains(&"null");
            if nothing && self.null_is_nothing && !is_required(&name) {
                self.notes.push(format!("{at}: null, left out"));
                continue;
            }
            let value = self.fit_within(own, value, &at, depth - 1);
            read.insert(name, value);
        }
        read
    }

    /// The option that differs from `text` in case alone.
    fn option(&self, schema: &'a Value, text: &str, depth: usize) -> Option<Value> {
        let options = self.local(schema, depth)?.get("enum")?.as_array()?;
        let named = |option: &Value| option.as_str().is_some_and(|option| option == text);
        let mut alike = options.iter().filter(|option| {
            option.as_str().is_some_and(|option| option.to_lowercase() == text.trim().to_lowercase())
        });
        let first = alike.next().filter(|_| !options.iter().any(named))?;
        alike.next().is_none().then(|| first.clone())
    }

    /// What a text that is none spells, where it spells one thing.
    fn spelled(&self, kinds: &[&str], text: &str) -> Option<(Value, &'static str)> {
        let takes = |kind: &str| kinds.contains(&kind);
        let text = text.trim();
        if takes("boolean") && (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
            return Some((text.eq_ignore_ascii_case("true").into(), "as true or false"));
        }
        let value: Value = serde_json::from_str(text).ok()?;
        match &value {
            // More digits than are kept would be another number.
            Value::Number(number) if takes("number") || takes("integer") => {
                let exact = number.to_string() == text && (takes("number") || !number.is_f64());
                exact.then_some((value, "as a number"))
            }
            Value::Array(_) if takes("array") => Some((value, "as the JSON that it holds")),
            Value::Object(_) if takes("object") => Some((value, "as the JSON that it holds")),
            _ => None,
        }
    }

    /// The schema itself, or where its local reference leads.
    fn local(&self, schema: &'a Value, depth: usize) -> Option<&'a Map<String, Value>> {
        let mut keywords = schema.as_object()?;
        for _ in 0..depth {
            let Some(target) = keywords.get("$ref").and_then(Value::as_str) else { return Some(keywords) };
            keywords = self.whole.pointer(target.strip_prefix('#')?)?.as_object()?;
        }
        None
    }

    /// The kinds of value that a schema takes; none where it does not say.
    fn kinds(&self, schema: &'a Value, depth: usize) -> Vec<&'a str> {
        let Some(keywords) = self.local(schema, depth) else { return Vec::new() };
        match keywords.get("type") {
            Some(Value::String(kind)) => return vec![kind],
            Some(Value::Array(kinds)) => return kinds.iter().filter_map(Value::as_str).collect(),
            _ => {}
        }
        let forms = ["anyOf", "oneOf"].iter().find_map(|keyword| keywords.get(*keyword)?.as_array());
        if let (Some(forms), true) = (forms, depth > 0) {
            let each: Vec<Vec<&str>> = forms.iter().map(|form| self.kinds(form, depth - 1)).collect();
            return if each.iter().any(Vec::is_empty) { Vec::new() } else { each.concat() };
        }
        let all = keywords.get("allOf").and_then(Value::as_array).filter(|_| depth > 0);
        let all = all.into_iter().flatten().map(|form| self.kinds(form, depth - 1));
        all.into_iter().find(|kinds| !kinds.is_empty()).unwrap_or_default()
    }

    /// The only one of the alternatives that takes `kind`, or the schema itself.
    fn form(&self, schema: &'a Value, kind: &str, depth: usize) -> Option<&'a Map<String, Value>> {
        let keywords = self.local(schema, depth)?;
        let forms = ["anyOf", "oneOf"].iter().find_map(|keyword| keywords.get(*keyword)?.as_array());
        let Some(forms) = forms.filter(|_| !keywords.contains_key("type") && depth > 0) else {
            return Some(keywords);
        };
        let mut taking = forms.iter().filter(|form| self.kinds(form, depth - 1).contains(&kind));
        let first = taking.next()?;
        taking.next().is_none().then(|| self.local(first, depth - 1)).flatten()
    }

    fn items(&self, schema: &'a Value, depth: usize) -> Option<&'a Value> {
        self.form(schema, "array", depth)?.get("items")
    }

    fn property(&self, schema: &'a Value, name: &str, depth: usize) -> Option<&'a Value> {
        let keywords = self.form(schema, "object", depth)?;
        let own = keywords.get("properties").and_then(|properties| properties.get(name));
        own.or_else(|| {
            let all = keywords.get("allOf").and_then(Value::as_array).filter(|_| depth > 0)?;
            all.iter().find_map(|form| self.property(form, name, depth - 1))
        })
    }
}

/// A whole number that was written with a fraction of nothing.
fn whole(number: &Number) -> Option<Value> {
    let number = number.as_f64().filter(|_| number.is_f64())?;
    let small = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    small.then_some(Value::from(number as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(schema: Value, value: Value) -> Value {
        Reading::new(&schema, true).fit(&schema, value, "x")
    }

    #[test]
    fn a_value_is_read_as_the_one_kind_that_is_taken() {
        for (schema, given, taken) in [
            (json!({"type": "integer"}), json!("45"), json!(45)),
            (json!({"type": "integer"}), json!(45.0), json!(45)),
            (json!({"type": "number"}), json!(" 4.5 "), json!(4.5)),
            (json!({"type": "boolean"}), json!("True"), json!(true)),
            (json!({"type": "string"}), json!(7), json!("7")),
            (json!({"type": "string"}), json!(false), json!("false")),
            (json!({"type": ["string", "null"]}), json!(7), json!("7")),
            (json!({"enum": ["Asc", "desc"], "type": "string"}), json!("ASC"), json!("Asc")),
            (json!({"type": "array", "items": {"type": "string"}}), json!("a"), json!(["a"])),
            (json!({"type": "array", "items": {"type": "string"}}), json!(7), json!(["7"])),
            (json!({"type": "array", "items": {"type": "integer"}}), json!("[\"1\",2]"), json!([1, 2])),
            (json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), json!("3"), json!(3)),
            (
                json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
                json!("{\"a\":\"1\"}"),
                json!({"a": 1}),
            ),
            (
                json!({"allOf": [{"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}}], "$defs": {"n": {"type": "integer"}}}),
                json!({"a": "1"}),
                json!({"a": 1}),
            ),
        ] {
            assert_eq!(read(schema.clone(), given.clone()), taken, "{schema} {given}");
        }
    }

    #[test]
    fn what_has_two_readings_or_none_stays_as_it_is() {
        for (schema, given) in [
            (json!({}), json!("45")),
            (json!({"type": ["string", "integer"]}), json!("45")),
            (json!({"type": "integer"}), json!("4 5")),
            (json!({"type": "integer"}), json!("4.5")),
            (json!({"type": "integer"}), json!("0x10")),
            (json!({"type": "integer"}), json!("123456789012345678901234567890")),
            (json!({"type": "integer"}), json!(4.5)),
            (json!({"type": "boolean"}), json!("yes")),
            (json!({"type": "boolean"}), json!(1)),
            (json!({"type": "string"}), json!(["a"])),
            (json!({"type": "string"}), json!(null)),
            (json!({"type": ["array", "object"]}), json!("a")),
            (json!({"type": "string", "enum": ["A", "a", "B"]}), json!("a")),
            (json!({"type": "string", "enum": ["aB", "Ab"]}), json!("AB")),
            (json!({"anyOf": [{"type": "integer"}, {}]}), json!("3")),
            (json!({"$ref": "#"}), json!("3")),
            (json!({"$ref": "#/nowhere"}), json!("3")),
        ] {
            assert_eq!(read(schema.clone(), given.clone()), given, "{schema}");
        }
    }

    #[test]
    fn null_is_left_out_only_where_it_can_mean_nothing_else() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": ["string", "null"]}, "d": {}}});
        let given = json!({"a": null, "b": null, "c": null, "d": null, "e": null});
        assert_eq!(read(schema.clone(), given.clone()), json!({"a": null, "c": null, "d": null, "e": null}));
        assert_eq!(Reading::new(&schema, false).fit(&schema, given.clone(), "x"), given);
    }

    #[test]
    fn what_was_read_differently_is_told_by_field_without_the_value() {
        let schema =
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}});
        let mut reading = Reading::new(&schema, true);
        reading.fit(&schema, json!({"a": ["41", 42]}), "body");
        assert_eq!(reading.notes, ["body.a.0: read as a number"]);
    }
}
