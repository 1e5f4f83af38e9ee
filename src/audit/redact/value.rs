//! JSON without what is not to be shown.

use serde_json::{Map, Number, Value};

use super::{REDACTED, Rules, Treatment, shapes};
use crate::record::canonical;

/// Levels of nesting that are shown; what lies deeper is left out.
pub(super) const MAX_DEPTH: usize = 64;

/// What stands for the rest.
pub(super) const TOO_DEEP: &str = "[too deep]";

/// Fields that name what a neighbouring `value` is: `{"name": "password", "value": ".."}`.
pub(super) const LABELS: [&str; 7] = ["name", "key", "field", "label", "header", "property", "id"];

impl Rules {
    /// A copy of `value` without what is not to be shown.
    ///
    /// Hidden are the values of fields whose name announces a secret or was chosen (numbers, objects and arrays too; a
    /// null is shown, and a boolean unless its name was chosen), texts and parts of texts with the shape of one, field
    /// names with the shape of one, and what lies deeper than 64 levels. Of what is hashed, arrays and objects keep
    /// their form. A text that is JSON is treated as that.
    pub fn value(&self, value: &Value) -> Value {
        self.walk(value, 0)
    }

    fn walk(&self, value: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::from(TOO_DEEP);
        }
        match value {
            Value::Array(items) => items.iter().map(|item| self.walk(item, depth + 1)).collect(),
            Value::Object(fields) => Value::Object(self.fields(fields, None, depth)),
            Value::String(text) => self.json_in(text, depth).unwrap_or_else(|| self.text(text).into()),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.leaf(value, None),
        }
    }

    /// A text that is JSON, as far as something in it is not to be shown.
    fn json_in(&self, text: &str, depth: usize) -> Option<Value> {
        if !may_be_json(text) {
            return None;
        }
        let inner = serde_json::from_str(text).ok()?;
        let shown = self.walk(&inner, depth + 1);
        (shown != inner).then(|| Value::String(shown.to_string()))
    }

    fn fields(
        &self,
        fields: &Map<String, Value>,
        all: Option<Treatment>,
        depth: usize,
    ) -> Map<String, Value> {
        let named = || LABELS.iter().filter_map(|label| self.treatment(fields.get(*label)?.as_str()?)).max();
        let is_named = fields.contains_key("value") || fields.contains_key("values");
        let label = is_named.then(named).flatten();
        let mut shown = Map::new();
        for (name, value) in fields {
            let labelled = label.filter(|_| is_labelled(name));
            let treatment = all.max(labelled).max(self.field(name, value));
            let value = match treatment {
                Some(treatment) => self.under(value, treatment, depth + 1),
                None => self.walk(value, depth + 1),
            };
            let mut name = self.name(name).into_owned();
            // Two hidden names must not become one field, or one of the values would go missing.
            if shown.contains_key(&name) {
                name = format!("{name}#{}", shown.len());
            }
            shown.insert(name, value);
        }
        shown
    }

    /// What its name asks for a field's value.
    pub(super) fn field(&self, name: &str, value: &Value) -> Option<Treatment> {
        match value {
            // It can hold no secret, whatever it is called.
            Value::Bool(_) => self.chosen.name(name).chosen,
            Value::Number(_) if is_amount(name) => self.chosen.name(name).chosen,
            _ => self.treatment(name),
        }
    }

    fn under(&self, value: &Value, treatment: Treatment, depth: usize) -> Value {
        match (value, treatment) {
            _ if depth > MAX_DEPTH => Value::from(TOO_DEEP),
            (Value::Array(items), Treatment::Hash) => {
                items.iter().map(|item| self.under(item, treatment, depth + 1)).collect()
            }
            (Value::Object(fields), Treatment::Hash) => {
                Value::Object(self.fields(fields, Some(treatment), depth))
            }
            (Value::Array(_) | Value::Object(_), Treatment::Hide) => Value::from(REDACTED),
            _ => self.leaf(value, Some(treatment)),
        }
    }

    /// A value without parts. Equal numbers are hashed to the same, and to the same as their text.
    pub(super) fn leaf(&self, value: &Value, treatment: Option<Treatment>) -> Value {
        match (value, treatment) {
            (Value::Null, _) => Value::Null,
            (Value::String(text), Some(treatment)) => self.treated(text, treatment).into(),
            (Value::String(text), None) => self.text(text).into(),
            (Value::Number(number), None) if is_card_number(number) => Value::from(REDACTED),
            (_, None) => value.clone(),
            (Value::Number(number), Some(treatment)) => {
                let text = match number.as_f64().filter(|_| number.is_f64()) {
                    Some(float) => canonical(&float).unwrap_or_default(),
                    None => number.to_string(),
                };
                self.treated(&text, treatment).into()
            }
            (_, Some(treatment)) => self.treated(&value.to_string(), treatment).into(),
        }
    }
}

/// Where a text is worth being read as JSON: it may be more than one word of it.
pub(super) fn may_be_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[', '"'])
}

/// Where the value is that another field names.
pub(super) fn is_labelled(name: &str) -> bool {
    matches!(name, "value" | "values")
}

/// `max_tokens: 100` counts tokens and holds none.
fn is_amount(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("tokens")
}

fn is_card_number(number: &Number) -> bool {
    number
        .as_u64()
        .is_some_and(|number| number >= 1_000_000_000_000 && shapes::is_card(number.to_string().as_bytes()))
}
