//! Which stretches of a text look like a secret, whatever they are called. Pure.
//!
//! One pass, linear in the text's length: callers choose the text, so nothing here may look twice at
//! an unbounded stretch.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Treatment;
use super::iban::iban;

/// Key prefixes of well-known issuers and the fewest characters that must follow.
const PREFIXES: [(&[u8], usize); 31] = [
    // Ours: an administrator's token.
    (b"sga_", 16),
    (b"sk-", 16),
    (b"sk_live_", 8),
    (b"sk_test_", 8),
    (b"rk_live_", 8),
    (b"rk_test_", 8),
    (b"whsec_", 16),
    (b"ghp_", 16),
    (b"gho_", 16),
    (b"ghu_", 16),
    (b"ghs_", 16),
    (b"ghr_", 16),
    (b"github_pat_", 16),
    (b"glpat-", 16),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 30),
    (b"ya29.", 16),
    (b"xoxa-", 10),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxr-", 10),
    (b"xoxs-", 10),
    (b"xapp-", 10),
    (b"SG.", 16),
    (b"npm_", 30),
    (b"pypi-", 30),
    (b"hf_", 30),
    (b"shpat_", 16),
    (b"dop_v1_", 30),
    (b"AGE-SECRET-KEY-", 16),
];

/// Bytes that end the value of `name=value` where it is not quoted.
const VALUE_ENDS: &[u8] = b"&;,)}]{[<>\"'\\";

/// The stretches of `text` not to be shown, in order and apart from each other, on character boundaries. `of_name` says
/// what a name in the text asks for the value behind it.
pub(super) fn secrets(
    text: &str,
    of_name: impl Fn(&str) -> Option<Treatment>,
) -> Vec<(Range<usize>, Treatment)> {
    let bytes = text.as_bytes();
    let hidden = |range| (range, Treatment::Hide);
    let mut found = Vec::new();
    let mut no_jwt_before = 0;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let hit = if !rest[0].is_ascii_alphanumeric() {
            match rest[0] {
                b'-' if rest.starts_with(b"-----BEGIN") => pem(bytes, at).map(hidden),
                b':' if rest.starts_with(b"://") => userinfo(bytes, at + 3).map(hidden),
                _ => None,
            }
        } else {
            let end = run(bytes, at, |byte| byte.is_ascii_alphanumeric());
            let hit = jwt(bytes, at..end, &mut no_jwt_before)
                .or_else(|| scheme(bytes, at..end))
                .or_else(|| prefixed(bytes, at))
                .or_else(|| hex(bytes, at..end))
                .or_else(|| card(bytes, at..end))
                .or_else(|| iban(bytes, at))
                .map(hidden)
                .or_else(|| assigned(text, at, &of_name));
            if hit.is_none() {
                at = end;
                continue;
            }
            hit
        };
        at = match hit {
            Some(stretch) => {
                let next = stretch.0.end;
                found.push(stretch);
                next
            }
            None => at + 1,
        };
    }
    found
}

/// True for 13 to 19 digits that pass the Luhn check and do not start with 0 or 1, which no payment
/// card does and every time in milliseconds would.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let first = digits.first().copied().unwrap_or(b'0');
    (13..=19).contains(&digits.len()) && (b'2'..=b'9').contains(&first) && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (u32::from(digit - b'0'), place % 2) {
            (value, 0) => value,
            (value, _) if value > 4 => value * 2 - 9,
            (value, _) => value * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Where the stretch of bytes that are `wanted` ends, from `at` on.
fn run(bytes: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .position(|byte| !wanted(*byte))
        .map_or(bytes.len(), |len| at + len)
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// A JWS or JWE in compact form: base64url parts with dots between, the first a JSON object's.
fn jwt(bytes: &[u8], word: Range<usize>, none_before: &mut usize) -> Option<Range<usize>> {
    let start = word.start + bytes[word].windows(3).position(|three| three == b"eyJ")?;
    if start < *none_before {
        return None;
    }
    let header = run(bytes, start, in_name);
    *none_before = header;
    if header - start < 8 || bytes.get(header) != Some(&b'.') {
        return None;
    }
    let payload = run(bytes, header + 1, in_name);
    let mut end = payload;
    while bytes.get(end) == Some(&b'.') {
        end = run(bytes, end + 1, in_name);
    }
    let unsigned = bytes[header + 1..payload].starts_with(b"eyJ");
    (end > payload || unsigned).then_some(start..end)
}

/// What follows `Bearer` or `Basic`.
fn scheme(bytes: &[u8], word: Range<usize>) -> Option<Range<usize>> {
    let end = word.end;
    let bearer = bytes[word.clone()].eq_ignore_ascii_case(b"bearer");
    if !bearer && !bytes[word].eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let start = run(bytes, end, |byte| matches!(byte, b' ' | b'\t'));
    let stop = run(bytes, start, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    let value = &bytes[start..stop];
    let credential = if bearer {
        value.len() > 2
    } else {
        let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
        let decoded = STANDARD_NO_PAD.decode(&value[..value.len() - padding]);
        decoded.is_ok_and(|pair| pair.contains(&b':'))
    };
    (start > end && credential).then_some(start..stop)
}

fn prefixed(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = &bytes[at..];
    // Asked of every word of every text: most begin otherwise.
    let mut alike = PREFIXES.iter().filter(|(prefix, _)| prefix.first() == rest.first());
    let (prefix, fewest) = alike.find(|(prefix, _)| rest.starts_with(prefix))?;
    let mut end = run(bytes, at + prefix.len(), |byte| in_name(byte) || byte == b'.');
    while end > at && bytes[end - 1] == b'.' {
        end -= 1;
    }
    (end >= at + prefix.len() + fewest).then_some(at..end)
}

/// 64 or more hexadecimal digits in a row.
fn hex(bytes: &[u8], word: Range<usize>) -> Option<Range<usize>> {
    let mut at = word.start;
    while word.end - at >= 64 {
        let end = run(bytes, at, |byte| byte.is_ascii_hexdigit());
        if end - at >= 64 {
            return Some(at..end);
        }
        at = (end + 1).min(word.end);
    }
    None
}

/// A card number that stands alone, in one piece or in groups of 3 to 6 with a space or dash between.
fn card(bytes: &[u8], word: Range<usize>) -> Option<Range<usize>> {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    if !bytes[word.clone()].iter().all(u8::is_ascii_digit) || part_of_a_name(bytes, word.start) {
        return None;
    }
    let mut digits = Vec::with_capacity(19);
    let mut group = word.clone();
    let mut found = None;
    loop {
        if digits.len() + group.len() > 19 {
            break;
        }
        digits.extend_from_slice(&bytes[group.clone()]);
        let fraction = bytes.get(group.end) == Some(&b'.') && digit(group.end + 1);
        if is_card(&digits) && !fraction {
            found = Some(word.start..group.end);
        }
        let separated = matches!(bytes.get(group.end), Some(b' ' | b'-')) && digit(group.end + 1);
        if !separated || !(3..=6).contains(&group.len()) {
            break;
        }
        let next = group.end + 1;
        let end = run(bytes, next, |byte| byte.is_ascii_digit());
        if bytes.get(end).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
            break;
        }
        group = next..end;
    }
    found
}

/// True where digits at `at` continue an identifier, a UUID or a decimal fraction.
fn part_of_a_name(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[at.saturating_sub(20)..at];
    let name = before.iter().rev().take_while(|byte| in_name(**byte));
    name.into_iter().any(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        || matches!(before, [.., digit, b'.'] if digit.is_ascii_digit())
}

/// A private key in PEM, to its end line or, where that was cut off, to the end of the text.
fn pem(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    const KIND: &[u8] = b"PRIVATE KEY";
    const END: &[u8] = b"-----END";
    let head = &bytes[at..bytes.len().min(at + 80)];
    head.windows(KIND.len()).position(|kind| kind == KIND)?;
    let body = at + 10;
    let end = bytes[body..].windows(END.len()).position(|end| end == END).map_or(bytes.len(), |offset| {
        let label =
            run(bytes, body + offset + END.len(), |byte| byte.is_ascii_alphanumeric() || byte == b' ');
        run(bytes, label, |byte| byte == b'-')
    });
    Some(at..end)
}

/// The password of `scheme://user:password@host`.
fn userinfo(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let limit = bytes.len().min(at + 1024);
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'<>".contains(byte);
    let authority = &bytes[at..limit];
    let authority = &authority[..authority.iter().position(ends).unwrap_or(authority.len())];
    let host = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority[..host].iter().position(|byte| *byte == b':')?;
    (colon + 1 < host).then_some(at + colon + 1..at + host)
}

/// The value of `name=value`, `name: value` or `"name":"value"` where the name asks for something.
fn assigned(
    text: &str,
    at: usize,
    of_name: impl Fn(&str) -> Option<Treatment>,
) -> Option<(Range<usize>, Treatment)> {
    let bytes = text.as_bytes();
    if at > 0 && matches!(bytes[at - 1], b'_' | b'-') {
        return None;
    }
    let name_end = end_of_name(text, at);
    let name = text.get(at..name_end).filter(|name| name.len() <= 64)?;
    let blank = |from: usize| {
        let end = run(bytes, from, |byte| matches!(byte, b' ' | b'\t'));
        end.min(from + 8)
    };
    let quote = |from: usize| {
        let from = from + usize::from(bytes.get(from) == Some(&b'\\'));
        from + usize::from(matches!(bytes.get(from), Some(b'"' | b'\'')))
    };
    let sign = blank(quote(name_end));
    let after = match (bytes.get(sign), bytes.get(sign + 1)) {
        (Some(b'='), Some(b'>')) => sign + 2,
        (Some(b':'), Some(b':')) | (Some(b'='), Some(b'=')) => return None,
        (Some(b'=' | b':'), _) => sign + 1,
        _ => return None,
    };
    let open = blank(after);
    let start = quote(open);
    let lower = name.to_ascii_lowercase();
    let end = match bytes.get(start.wrapping_sub(1)) {
        Some(mark @ (b'"' | b'\'')) if start > open => closing(bytes, start, *mark, start - open == 2),
        _ if ["authorization", "cookie", "passphrase"].iter().any(|long| lower.contains(long)) => {
            run(bytes, start, |byte| !matches!(byte, b'\n' | b'\r' | b'"' | b'['))
        }
        _ => run(bytes, start, |byte| !byte.is_ascii_whitespace() && !VALUE_ENDS.contains(&byte)),
    };
    // In groups, of which a space would leave all but the first.
    let digits = run(bytes, start, |byte| byte.is_ascii_digit());
    let grouped = iban(bytes, start).or_else(|| card(bytes, start..digits));
    let end = grouped.map_or(end, |whole| end.max(whole.end));
    let value = text.get(start..end)?;
    let says_nothing = value.is_empty()
        || value == super::REDACTED
        || ["true", "false", "null", "none"].iter().any(|word| value.eq_ignore_ascii_case(word));
    let treatment = of_name(name).filter(|_| !says_nothing)?;
    Some((start..end, treatment))
}

/// Where the name that begins at `at` ends. Letters of other scripts count (`contraseña`), but not
/// after another of them: each such name is looked at once, however it is interspersed with ASCII.
fn end_of_name(text: &str, at: usize) -> usize {
    let inside = text
        .get(..at)
        .and_then(|before| before.chars().next_back())
        .is_some_and(|before| !before.is_ascii() && before.is_alphanumeric());
    if inside {
        return run(text.as_bytes(), at, in_name);
    }
    let rest = text.get(at..).unwrap_or_default();
    let ends = |letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '-');
    rest.find(ends).map_or(text.len(), |length| at + length)
}

/// Where the value that was opened with `mark` before `start` ends; the end of the text if it is open.
fn closing(bytes: &[u8], start: usize, mark: u8, escaped: bool) -> usize {
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if escaped && bytes.get(at + 1) == Some(&mark) => return at,
            b'\\' => at += 2,
            _ if *byte == mark => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}
