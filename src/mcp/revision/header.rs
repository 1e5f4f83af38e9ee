//! The values of the protocol headers: trimmed, checked for legibility, and taken out of their Base64 wrapping.
//!
//! Knows no body and no status.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Era, Headers, REVISIONS};
use crate::mcp::fault::{ECHO, Fault, clip};

impl<'a> Headers<'a> {
    /// Without the optional white space of RFC 9110 section 5.6.3 around the values.
    pub(super) fn trimmed(&self) -> Headers<'a> {
        let trim = |value: Option<&'a str>| value.map(|value| value.trim_matches([' ', '\t']));
        Headers {
            protocol_version: trim(self.protocol_version),
            method: trim(self.method),
            name: trim(self.name),
            ..*self
        }
    }

    /// The era of the revision that the version header names, if it names one that is served.
    pub(super) fn era(&self) -> Option<Era> {
        let name = self.protocol_version?;
        REVISIONS.iter().find(|revision| revision.name == name).map(|revision| revision.era)
    }
}

/// Refuses what RFC 9110 section 5.5 does not allow in a field value that is to be read: anything but visible ASCII,
/// space and tab.
pub(super) fn legible(field: &str, value: &str) -> Result<(), Fault> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Ok(());
    }
    Err(Fault::HeaderMismatch(format!(
        "{field} has characters that a header must not have; wrap it in Base64"
    )))
}

/// `=?base64?...?=` as the text it stands for; any other value as it is. The markers are case-sensitive.
pub(super) fn unwrapped<'a>(field: &str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let text = STANDARD.decode(inner).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or_else(|| {
        Fault::HeaderMismatch(format!("{field} is wrapped as Base64 but does not decode to UTF-8"))
    })
}

/// A mirrored header against the body's value.
pub(super) fn same(field: &str, header: &str, body: &str) -> Result<(), Fault> {
    if header == body {
        return Ok(());
    }
    let (header, body) = (clip(header, ECHO), clip(body, ECHO));
    Err(Fault::HeaderMismatch(format!("{field} is {header:?} but the body says {body:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_value_is_no_part_of_it() {
        let headers =
            Headers { protocol_version: Some(" \tx\t "), method: Some("a b"), ..Headers::default() }
                .trimmed();
        assert_eq!((headers.protocol_version, headers.method, headers.name), (Some("x"), Some("a b"), None));
    }

    #[test]
    fn base64_is_unwrapped_only_between_the_exact_markers() {
        assert_eq!(unwrapped("n", "=?base64?SGVsbG8sIOS4lueVjA==?=").unwrap(), "Hello, 世界");
        assert_eq!(unwrapped("n", "=?base64??=").unwrap(), "");
        for literal in ["plain", "=?BASE64?eA==?=", "=?base64?eA==", "=?base64?="] {
            assert_eq!(unwrapped("n", literal).unwrap(), literal);
        }
    }

    #[test]
    fn base64_that_does_not_decode_is_refused() {
        for broken in ["=?base64?%%?=", "=?base64?eA?=", "=?base64?/w==?="] {
            assert!(matches!(unwrapped("n", broken), Err(Fault::HeaderMismatch(_))), "{broken}");
        }
    }

    #[test]
    fn control_and_non_ascii_characters_are_illegible() {
        assert!(legible("n", "a b\tc~").is_ok());
        for value in ["ü", "a\u{7f}", "a\u{1}"] {
            assert!(legible("n", value).is_err(), "{value:?}");
        }
    }
}
