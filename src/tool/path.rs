//! Path templates: their segments, what may fill a variable, and which templates can meet.
//!
//! Knows no entries and no rules; everything here is about one path or two.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but RFC 3986 unreserved characters are encoded, in path segments and in queries alike.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest value of a path variable, in bytes.
const LONGEST_VALUE: usize = 512;

/// How often a value is decoded to find what it hides. One that is still encoded after this is refused.
const ROUNDS: usize = 3;

/// One segment of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Fixed(&'a str),
    /// `{name}`, without the braces.
    Variable(&'a str),
}

/// `text` with everything but unreserved characters percent-encoded.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// The segments of `template`; the error says what is wrong with it.
pub(super) fn segments(template: &str) -> Result<Vec<Segment<'_>>, String> {
    let rest = template.strip_prefix('/').ok_or("the path does not start with `/`")?;
    if template.len() > 2048 {
        return Err("the path is longer than 2048 bytes".into());
    }
    let mut seen = Vec::new();
    for part in rest.split('/') {
        let segment = segment(part)?;
        if let Segment::Variable(_) = segment
            && seen.contains(&segment)
        {
            return Err(format!("the path has the variable {part} twice"));
        }
        seen.push(segment);
    }
    Ok(seen)
}

fn segment(part: &str) -> Result<Segment<'_>, String> {
    if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        return match !name.is_empty() && name.bytes().all(plain) {
            true => Ok(Segment::Variable(name)),
            false => Err("a path variable has no plain name".into()),
        };
    }
    match part {
        "" => Err("the path has an empty segment".into()),
        "." | ".." => Err("the path has a dot segment".into()),
        _ if part.contains(['{', '}']) => Err("a path variable is not a whole segment".into()),
        // No `%`: an encoded segment could hide a dot or a slash from every check that follows.
        _ if part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b)) => {
            Ok(Segment::Fixed(part))
        }
        _ if part.contains(['?', '#']) => Err("the path holds a query or a fragment".into()),
        _ => Err("the path has a character that a path segment may not have".into()),
    }
}

/// Whether `text` may become one path segment, and the plainest word that a server may take it for. The error is
/// a sentence about the value that does not repeat it.
///
/// Upstream servers, and proxies before them, decode once or more: a value is therefore judged as
/// written and after each round of decoding.
pub(super) fn check_value(text: &str, reserved: &[&str]) -> Result<String, String> {
    if text.len() > LONGEST_VALUE {
        return Err(format!("is longer than {LONGEST_VALUE} bytes; send the record's own id"));
    }
    let mut current = text.to_owned();
    for _ in 0..=ROUNDS {
        plain_value(&current, reserved)?;
        let decoded = percent_decode_str(&current)
            .decode_utf8()
            .map_err(|_| "is percent-encoded and not UTF-8 when decoded; send the plain value".to_owned())?
            .into_owned();
        if decoded == current {
            return Ok(word(&current).to_owned());
        }
        current = decoded;
    }
    Err("is percent-encoded too many times; send the plain value".into())
}

/// What is left of a segment for servers that know path parameters (`..;x` is a dot segment to them) and trim.
fn word(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

fn plain_value(text: &str, reserved: &[&str]) -> Result<(), String> {
    let word = word(text);
    match word {
        "" => return Err("is empty; send the record's own id".into()),
        "." | ".." => return Err("is a dot segment; send the record's own id".into()),
        _ => {}
    }
    if text.contains(['/', '\\']) {
        return Err("contains a slash; one value fills exactly one path segment".into());
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character; send the plain value".into());
    }
    match reserved.iter().find(|other| other.eq_ignore_ascii_case(word)) {
        Some(other) => Err(format!("must not be `{other}`: that is the path of another endpoint")),
        None => Ok(()),
    }
}

/// One segment of a shape that templates are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Word(&'a str),
    Any,
}

/// How a template and a shape meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting<'a> {
    Never,
    Always,
    /// Only where this variable of the template is filled with this word.
    Filled {
        variable: &'a str,
        word: &'a str,
    },
}

/// Compares a template with a shape; with `rest`, the shape goes on with anything.
pub(super) fn meet<'a>(template: &[Segment<'a>], shape: &[Piece<'a>], rest: bool) -> Meeting<'a> {
    if template.len() < shape.len() || (template.len() > shape.len() && !rest) {
        return Meeting::Never;
    }
    let mut meeting = Meeting::Always;
    for pair in template.iter().zip(shape) {
        match pair {
            (Segment::Fixed(fixed), Piece::Word(word)) if !fixed.eq_ignore_ascii_case(word) => {
                return Meeting::Never;
            }
            (Segment::Variable(variable), Piece::Word(word)) => meeting = Meeting::Filled { variable, word },
            (Segment::Fixed(_), Piece::Word(_)) | (_, Piece::Any) => {}
        }
    }
    meeting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_fixed_segments_and_whole_variables() {
        assert_eq!(
            segments("/api/v1/tickets/{id}").unwrap(),
            [Segment::Fixed("api"), Segment::Fixed("v1"), Segment::Fixed("tickets"), Segment::Variable("id")]
        );
        for bad in [
            "",
            "api/v1",
            "/",
            "/api//x",
            "/api/x/",
            "/api/../x",
            "/api/./x",
            "/api/x?y",
            "/api/x#y",
            "/api/%2e%2e/x",
            "/api/x y",
            "/api/x\\y",
            "/api/{}",
            "/api/{a b}",
            "/api/{a}.pdf",
            "/api/{a",
            "/api/{a}/{a}",
            "/api/\u{0}",
            "//host/x",
        ] {
            assert!(segments(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_shape_meets_a_template_always_or_with_a_word_or_never() {
        let template = segments("/a/{x}/c").unwrap();
        let word = Piece::Word;
        assert_eq!(meet(&template, &[word("a"), Piece::Any, word("C")], false), Meeting::Always);
        assert_eq!(meet(&template, &[word("a")], true), Meeting::Always);
        assert_eq!(meet(&template, &[word("a")], false), Meeting::Never);
        assert_eq!(meet(&template, &[word("b")], true), Meeting::Never);
        assert_eq!(
            meet(&template, &[word("a"), word("b")], true),
            Meeting::Filled { variable: "x", word: "b" }
        );
        assert_eq!(meet(&template, &[word("a"), word("b"), word("d")], false), Meeting::Never);
    }

    #[test]
    fn only_unreserved_characters_stay_as_they_are() {
        assert_eq!(encode("aZ09-._~"), "aZ09-._~");
        assert_eq!(encode("a b?#&=+%ü"), "a%20b%3F%23%26%3D%2B%25%C3%BC");
    }

    #[test]
    fn a_value_is_judged_after_every_round_of_decoding() {
        for good in ["x", "TIC-123", "a.b", "...", "100%", "a b", "名前", "a?b#c", "x%20y", "50%25"] {
            assert!(check_value(good, &[]).is_ok(), "{good:?}");
        }
        for bad in
            ["", " ", ".", "..", "%2e%2e", "%252e%252e", "%25252e.", "a%2fb", "%c0%af", "..;x", "%2525252541"]
        {
            assert!(check_value(bad, &[]).is_err(), "{bad:?}");
        }
        for hidden in ["p%75blish", "Publish;v=1", " publish ", "publish%2520"] {
            assert!(
                check_value(hidden, &["publish"]).unwrap_err().contains("another endpoint"),
                "{hidden:?}"
            );
        }
        assert_eq!(check_value("%2564elete;x", &[]).as_deref(), Ok("delete"));
        assert!(check_value(&"x".repeat(513), &[]).is_err());
    }
}
