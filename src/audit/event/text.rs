//! Texts that others chose, bounded and cleaned. Pure.

use std::borrow::Cow;

use crate::audit::redact::Rules;

/// At most `limit` characters of `text`, without control characters; `…` says that more were there.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    let plain = |byte: u8| matches!(byte, b' '..=b'~');
    if text.len() <= limit && (text.bytes().all(plain) || !text.chars().any(char::is_control)) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(limit * 4));
    let mut left = limit;
    for char in text.chars().filter(|char| !char.is_control()) {
        if left == 0 {
            shown.pop();
            shown.push('…');
            break;
        }
        shown.push(char);
        left -= 1;
    }
    shown
}

/// [`bounded`], and without secrets: a client may put anything where its name belongs.
pub(super) fn clean(rules: &Rules, text: &str, limit: usize) -> String {
    // Cut first, so that a name of a megabyte costs no more than a long one; the margin keeps a secret
    // at the edge whole enough to be seen.
    let head = match text.char_indices().nth(limit * 8) {
        Some((at, _)) => Cow::Owned(bounded(text.get(..at).unwrap_or_default(), limit * 8)),
        None => Cow::Borrowed(text),
    };
    bounded(&rules.text(&head), limit)
}
