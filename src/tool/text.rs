//! Making text fit to be shown: cleaned of control characters, cut to size, near misses named.
//!
//! Knows nothing of what the text is about.

/// `text` without control characters; terminal escape sequences (ECMA-48) go as a whole.
/// Line feeds and tabs stay, bidirectional overrides go.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{1b}' => match chars.next_if(|next| matches!(next, '[' | ']' | 'P' | '_' | '^' | 'X')) {
                Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
                // Operating-system commands and their kin end with BEL or ESC \.
                Some(_) => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                None => {}
            },
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// The first `limit` characters of the cleaned text, with a mark where something was cut.
pub(super) fn excerpt(text: &str, limit: usize) -> String {
    let text = clean(text);
    let text = text.trim();
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{} [cut]", &text[..end]),
        None => text.to_owned(),
    }
}

/// A name from a registry, in backticks: cleaned and on one line.
pub(super) fn named(name: &str) -> String {
    format!("`{}`", clean(&name.replace(['\n', '\t'], " ")))
}

/// A name that came from outside, quoted for a message: cleaned, in backticks, at most 80 characters.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", excerpt(&name.replace(['\n', '\t'], " "), 80))
}

/// The line of `text` in which its byte `at` is, from 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The candidate that `name` was probably meant to be, if one is near enough.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs length times length for each candidate, and the name is the caller's.
    if name.is_empty() || name.len() > 200 {
        return None;
    }
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean ...?`, or nothing.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|near| format!("; did you mean {}?", named(near))).unwrap_or_default()
}

/// `a, b and c`, each in backticks; at most `limit` of them.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>, limit: usize) -> String {
    let names: Vec<String> = names.into_iter().map(named).collect();
    match (names.len() > limit, names.split_last()) {
        (true, _) => format!("{} and {} more", names[..limit].join(", "), names.len() - limit),
        (false, Some((last, rest))) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        (false, Some((last, _))) => last.clone(),
        (false, None) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_control_characters_do_not_survive() {
        let dirty =
            "a\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}b\u{1b}Pq\u{1b}\\c\u{0}\u{9b}\u{202e}\u{7f}\r\nd\te";
        assert_eq!(clean(dirty), "aredbc\nd\te");
        assert_eq!(clean("\u{1b}[never ends"), "ever ends");
        assert_eq!(clean("\u{1b}]0;never ends"), "");
    }

    #[test]
    fn an_excerpt_is_cut_at_a_character_and_says_so() {
        assert_eq!(excerpt("äöüß", 2), "äö [cut]");
        assert_eq!(excerpt("  short ", 10), "short");
    }

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("limt", ["limit", "page", "title"]), Some("limit"));
        assert_eq!(nearest("zebra", ["limit", "page"]), None);
        assert_eq!(nearest(&"l".repeat(300), ["limit"]), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(listed(["a", "b", "c"], 5), "`a`, `b` and `c`");
        assert_eq!(listed(["a"], 5), "`a`");
        assert_eq!(listed(["a", "b", "c"], 2), "`a`, `b` and 1 more");
        assert_eq!(listed([], 2), "none");
        assert_eq!(listed(["a\0b\n\u{202e}c"], 2), "`ab c`");
    }
}
