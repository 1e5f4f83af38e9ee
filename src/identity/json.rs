//! JSON for signed documents: an object whose member names are unique at every depth.
//!
//! RFC 7519 section 4 lets a parser keep the last of two equal names; two parsers that
//! disagree about it are how a token says one thing to the issuer and another to us.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not JSON, not UTF-8, too deep, or not an object.
    Json,
    /// A member name occurs twice in one object.
    Duplicate,
}

/// `bytes` as one JSON object with nothing after it.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Broken> {
    let duplicate = Cell::new(false);
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = Unique(&duplicate).deserialize(&mut source).and_then(|value| source.end().map(|()| value));
    match value {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Broken::Json),
        Err(_) if duplicate.get() => Err(Broken::Duplicate),
        Err(_) => Err(Broken::Json),
    }
}

/// Builds a [`Value`] and raises its flag at the first name that occurs twice.
#[derive(Clone, Copy)]
struct Unique<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number without a value"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if object.insert(name, value).is_some() {
                self.0.set(true);
                return Err(A::Error::custom("a member name occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_reads_as_serde_json_reads_it() {
        let text = br#"{"a":[1,-2,2.5,"x",null,true],"b":{"c":{}}}"#;
        assert_eq!(Value::Object(object(text).unwrap()), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn a_name_that_occurs_twice_is_a_duplicate_at_any_depth_and_however_it_is_escaped() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(Broken::Duplicate), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_object_is_no_document() {
        let deep = "[".repeat(500);
        for text in ["", "[]", "null", "{} {}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "\u{feff}{}", &deep] {
            assert_eq!(object(text.as_bytes()), Err(Broken::Json), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Broken::Json));
    }
}
