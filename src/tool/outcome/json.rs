//! JSON from a stranger as every reader accepts it. On the path of each call, so it is checked and
//! copied at most once, never built up and written again.

use std::borrow::Cow;

use memchr::memchr2;
use serde_json::value::RawValue;

/// The deepest nesting that is handed on: with what is put around it, it stays below the 128 levels
/// at which common parsers give up.
pub(super) const DEEPEST: usize = 100;

/// Why there is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NotJson,
    TooDeep,
}

/// `bytes` as compact JSON (RFC 8259). Where readers disagree it takes the side that none refuses:
/// half a surrogate pair becomes U+FFFD, and a number beyond a double's range becomes a string.
pub(super) fn tidy(bytes: &[u8]) -> Result<Cow<'_, str>, Flaw> {
    let checked: &RawValue = serde_json::from_slice(bytes).map_err(|_| Flaw::NotJson)?;
    let json = checked.get();
    let mut out = Copied { from: json.as_bytes(), next: 0, to: Vec::new() };
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = out.from.get(at) {
        match byte {
            b'"' => at = out.string(at),
            b'-' | b'0'..=b'9' => at = out.number(at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.replace(at, at + 1, b"");
                at += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > DEEPEST {
                    return Err(Flaw::TooDeep);
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    Ok(match out.whole() {
        Some(changed) => String::from_utf8(changed).map_or(Cow::Borrowed(json), Cow::Owned),
        None => Cow::Borrowed(json),
    })
}

/// A copy that is begun at the first difference.
struct Copied<'a> {
    from: &'a [u8],
    /// Up to where `from` is accounted for in `to`.
    next: usize,
    to: Vec<u8>,
}

impl Copied<'_> {
    /// Puts `instead` in the place of `from[start..end]`.
    fn replace(&mut self, start: usize, end: usize, instead: &[u8]) {
        if self.next == 0 {
            self.to.reserve(self.from.len());
        }
        self.to.extend_from_slice(self.from.get(self.next..start).unwrap_or_default());
        self.to.extend_from_slice(instead);
        self.next = end;
    }

    /// The copy, where anything differs.
    fn whole(mut self) -> Option<Vec<u8>> {
        let end = self.from.len();
        (self.next > 0).then(|| {
            self.replace(end, end, b"");
            self.to
        })
    }

    /// Passes the string that begins at `start`; returns where it is over.
    fn string(&mut self, start: usize) -> usize {
        let mut at = start + 1;
        while let Some(found) = self.from.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found;
            if self.from.get(at) == Some(&b'"') {
                return at + 1;
            }
            match (self.unit(at), self.unit(at + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
                (Some(0xd800..=0xdfff), _) => {
                    self.replace(at, at + 6, b"\\ufffd");
                    at += 6;
                }
                _ => at += 2,
            }
        }
        self.from.len()
    }

    /// The UTF-16 unit that is escaped at `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.from.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// Passes the number that begins at `start`; returns where it is over.
    fn number(&mut self, start: usize) -> usize {
        let rest = self.from.get(start..).unwrap_or_default();
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let text = rest.get(..rest.iter().take_while(|byte| part(byte)).count()).unwrap_or_default();
        let end = start + text.len().max(1);
        let text = std::str::from_utf8(text).unwrap_or_default();
        // A double takes any 300 digits.
        let long = text.len() > 300 || text.contains(['e', 'E']);
        if long && text.parse::<f64>().is_ok_and(f64::is_infinite) {
            self.replace(start, end, format!("\"{text}\"").as_bytes());
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_between_tokens_and_stays_within_strings() {
        for (given, wanted) in [
            ("{ \"a b\" : [ 1 ,\n2 ] }", "{\"a b\":[1,2]}"),
            ("[\"\\\" x\", \" \\\\\" ]", "[\"\\\" x\",\" \\\\\"]"),
            ("{\"a\":1}", "{\"a\":1}"),
            (" 7", "7"),
            ("\" ä\"\r\n", "\" ä\""),
            ("[-1.5e3, true ]", "[-1.5e3,true]"),
        ] {
            assert_eq!(tidy(given.as_bytes()).unwrap(), wanted);
        }
        assert!(matches!(tidy(b"{\"a\":[1,\"x\"]}"), Ok(Cow::Borrowed(_))), "nothing to copy");
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        for (given, wanted) in [
            (r#""\ud83d\ude00 \uD83D\uDE00""#, r#""\ud83d\ude00 \uD83D\uDE00""#),
            (r#"["\ud83d","\ude00x", "\ud83d\ud83d\ude00"]"#, r#"["\ufffd","\ufffdx","\ufffd\ud83d\ude00"]"#),
            (r#""\\ud83d\u0000""#, r#""\\ud83d\u0000""#),
        ] {
            let tidied = tidy(given.as_bytes()).unwrap();
            assert_eq!(tidied, wanted);
            assert!(serde_json::from_str::<serde_json::Value>(&tidied).is_ok(), "{tidied}");
        }
    }

    #[test]
    fn a_number_beyond_a_doubles_range_becomes_a_string() {
        let digits = "9".repeat(400);
        let given = format!("[1e999,-1E400,1e-999,12345678901234567890123,1.5e300,{digits}]");
        let wanted = format!("[\"1e999\",\"-1E400\",1e-999,12345678901234567890123,1.5e300,\"{digits}\"]");
        assert_eq!(tidy(given.as_bytes()).unwrap(), wanted);
    }

    #[test]
    fn what_is_nested_too_deep_or_is_no_json_is_refused() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(tidy(nested(DEEPEST).as_bytes()).is_ok());
        assert_eq!(tidy(nested(DEEPEST + 1).as_bytes()), Err(Flaw::TooDeep));
        assert_eq!(tidy(nested(500_000).as_bytes()), Err(Flaw::TooDeep));
        let deep = "{\"a\":".repeat(500_000);
        for bad in ["", "{\"a\":", "NaN", "[1,]", "\"\n\"", "{} {}", "\"\\x\"", &deep, "\u{feff}{}"] {
            assert_eq!(tidy(bad.as_bytes()), Err(Flaw::NotJson));
        }
        assert_eq!(tidy(b"\"\xff\""), Err(Flaw::NotJson));
        assert_eq!(tidy(b"\"\0\""), Err(Flaw::NotJson));
    }
}
