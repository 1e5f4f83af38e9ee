//! The beginning of a long text without what is not to be shown: read as far as it is shown, whatever its length.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::value::{LABELS, MAX_DEPTH, TOO_DEEP, is_labelled, may_be_json};
use super::{REDACTED, Rules, Treatment};

/// What is read beyond the end, so that a secret there is whole enough to be seen.
const MARGIN: usize = 4 << 10;

impl Rules {
    /// The beginning of `text`, which may be JSON, without what is not to be shown: at most `limit` bytes, and `…` where
    /// more was there.
    pub(super) fn excerpt(&self, text: &str, limit: usize) -> String {
        if may_be_json(text) {
            let mut out = Out { text: String::new(), limit, full: false };
            let part = Part { rules: self, out: &mut out, treatment: None, depth: 0 };
            let mut reader = serde_json::Deserializer::from_str(text);
            let read = part.deserialize(&mut reader).and_then(|()| reader.end());
            if read.is_ok() || out.full {
                return cut(out.text, limit);
            }
        }
        let shown = self.text(head(text, limit + MARGIN)).into_owned();
        cut(shown, limit)
    }
}

/// What has been written.
struct Out {
    text: String,
    limit: usize,
    full: bool,
}

impl Out {
    /// Fails where nothing more will be shown.
    fn push<E: Error>(&mut self, text: &str) -> Result<(), E> {
        self.text.push_str(text);
        self.full = self.text.len() > self.limit;
        if self.full { Err(E::custom("enough")) } else { Ok(()) }
    }

    fn left(&self) -> usize {
        self.limit.saturating_sub(self.text.len())
    }
}

/// A part of the JSON, to be written under what the names around it ask.
struct Part<'a> {
    rules: &'a Rules,
    out: &'a mut Out,
    treatment: Option<Treatment>,
    depth: usize,
}

impl Part<'_> {
    fn leaf<E: Error>(self, value: Value) -> Result<(), E> {
        self.out.push(&self.rules.leaf(&value, self.treatment).to_string())
    }

    /// What stands for an array or an object that is not shown.
    fn closed(&self) -> Option<&'static str> {
        match self.treatment {
            _ if self.depth > MAX_DEPTH => Some(TOO_DEEP),
            Some(Treatment::Hide) => Some(REDACTED),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.leaf(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.leaf(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.leaf(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.leaf(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.leaf(Value::from(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let shown = match self.treatment {
            // What is hashed, is hashed whole.
            Some(treatment) => self.rules.treated(text, treatment).into_owned(),
            None => self.rules.excerpt(text, self.out.left() + MARGIN),
        };
        self.out.push(&Value::from(shown).to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let Some(instead) = self.closed() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return self.out.push(&Value::from(instead).to_string());
        }
        self.out.push("[")?;
        let mut first = true;
        loop {
            let at = self.out.text.len();
            if !first {
                self.out.push(",")?;
            }
            let Self { rules, treatment, depth, .. } = self;
            let item = Part { rules, out: &mut *self.out, treatment, depth: depth + 1 };
            if items.next_element_seed(item)?.is_none() {
                self.out.text.truncate(at);
                return self.out.push("]");
            }
            first = false;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        if let Some(instead) = self.closed() {
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return self.out.push(&Value::from(instead).to_string());
        }
        // One that stands before the field that says what it is.
        let mut held: Vec<(String, Value)> = Vec::new();
        let mut label = None;
        let mut first = true;
        self.out.push("{")?;
        while let Some(name) = fields.next_key::<String>()? {
            if is_labelled(&name) {
                held.push((name, fields.next_value()?));
            } else if LABELS.contains(&name.as_str()) {
                let value: Value = fields.next_value()?;
                label = label.max(value.as_str().and_then(|label| self.rules.treatment(label)));
                self.field(&name, None, &mut first)?.deserialize(value).map_err(A::Error::custom)?;
            } else {
                fields.next_value_seed(self.field(&name, None, &mut first)?)?;
            }
        }
        for (name, value) in held {
            self.field(&name, label, &mut first)?.deserialize(value).map_err(A::Error::custom)?;
        }
        self.out.push("}")
    }
}

impl Part<'_> {
    /// Writes a field's name; its value comes next.
    fn field<E: Error>(
        &mut self,
        name: &str,
        label: Option<Treatment>,
        first: &mut bool,
    ) -> Result<Part<'_>, E> {
        let comma = if std::mem::replace(first, false) { "" } else { "," };
        self.out.push(&format!("{comma}{}:", Value::from(&*self.rules.name(name))))?;
        let treatment = self.treatment.max(label).max(self.rules.treatment(name));
        Ok(Part { rules: self.rules, out: self.out, treatment, depth: self.depth + 1 })
    }
}

/// At most `limit` bytes of `text`, whole characters.
fn head(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

fn cut(mut text: String, limit: usize) -> String {
    const MORE: &str = "…";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(MORE.len())));
        text.push_str(MORE);
    }
    text
}
