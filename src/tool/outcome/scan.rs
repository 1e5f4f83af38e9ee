//! The parts of compact JSON as they are written: numbers keep their digits, members their order.
//!
//! Reads only what [`super::json::tidy`] has passed.

use std::borrow::Cow;

use memchr::memchr2;

/// The members of an object, each with its name (still escaped, without quotation marks) and its value.
pub(super) fn members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let inner = json.strip_prefix('{').and_then(|json| json.strip_suffix('}')).unwrap_or_default();
    parts(inner).filter_map(|member| {
        let name = member.get(..value_end(member))?;
        let value = member.get(name.len() + 1..)?;
        Some((name.get(1..name.len().checked_sub(1)?)?, value))
    })
}

/// The items of a list.
pub(super) fn items(json: &str) -> impl Iterator<Item = &str> {
    parts(json.strip_prefix('[').and_then(|json| json.strip_suffix(']')).unwrap_or_default())
}

/// The value of the member of this name, which has nothing to escape.
pub(super) fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    members(json).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// A text as it is meant. None for what is no text.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        true => serde_json::from_str(json).ok().map(Cow::Owned),
        false => Some(Cow::Borrowed(inner)),
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What is between the commas.
fn parts(inner: &str) -> impl Iterator<Item = &str> {
    let mut rest = inner;
    std::iter::from_fn(move || {
        let mut end = 0;
        // A member is a name, a colon and a value.
        loop {
            end += value_end(rest.get(end..)?);
            match rest.as_bytes().get(end) {
                Some(b':') => end += 1,
                _ => break,
            }
        }
        let part = rest.get(..end).filter(|part| !part.is_empty())?;
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(part)
    })
}

/// Where the value that `json` begins with is over.
fn value_end(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b',' | b':' if depth == 0 => return at,
            _ => at += 1,
        }
        if depth == 0 && matches!(byte, b'"' | b'}' | b']') {
            return at;
        }
    }
    at
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_items_are_as_they_are_written() {
        let json = r#"{"b":1.50,"a\"":"x,:]}\\","":{"c":[1,{"d":2}]},"e":[],"f":null}"#;
        let all: Vec<_> = members(json).collect();
        let wanted = [
            ("b", "1.50"),
            ("a\\\"", "\"x,:]}\\\\\""),
            ("", r#"{"c":[1,{"d":2}]}"#),
            ("e", "[]"),
            ("f", "null"),
        ];
        assert_eq!(all, wanted);
        assert_eq!(
            items(r#"[1,[2,3],{"a":4},"5,6",true]"#).collect::<Vec<_>>(),
            ["1", "[2,3]", r#"{"a":4}"#, "\"5,6\"", "true"]
        );
        assert_eq!(member(r#"{"a":1,"b":{"a":2}}"#, "b"), Some(r#"{"a":2}"#));
        for none in ["{}", "[]", "7", "null", "\"[1]\""] {
            assert_eq!((members(none).count(), items(none).count()), (0, 0), "{none}");
        }
    }

    #[test]
    fn a_text_is_read_and_written() {
        for text_of in ["", "plain", "a\"b\\\n\u{1f600}"] {
            assert_eq!(text(&quoted(text_of)).unwrap(), text_of);
        }
        assert_eq!(text("7"), None);
    }
}
