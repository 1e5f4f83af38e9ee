//! Less of an answer: chosen members, texts without markup, rows or texts that fit under the cap.
//!
//! Works on JSON as it is written: what stays is not changed.

use super::scan::{items, members, quoted, text};

/// Texts are not cut shorter than this, in bytes of JSON.
const SHORTEST: usize = 200;
/// What a cut text has more than its part of the text, about.
const MARK: usize = 48;
/// How many items of each list are tried to be kept where cutting texts is not enough.
const ITEMS: [usize; 7] = [50, 20, 10, 5, 2, 1, 0];

/// The members of `json` (of each item, where it is a list) that `wanted` names; `seen` gets which of them there are.
/// A name is a member's, or a dotted path of members. None for what has no members.
pub(super) fn kept(json: &str, wanted: &[(usize, &str)], seen: &mut [bool]) -> Option<String> {
    if json.starts_with('[') {
        let items: Vec<String> = items(json).filter_map(|item| kept(item, wanted, seen)).collect();
        return Some(format!("[{}]", items.join(",")));
    }
    if !json.starts_with('{') {
        return None;
    }
    let mut out = Vec::new();
    for (name, value) in members(json) {
        let written = format!("\"{name}\"");
        let Some(plain) = text(&written) else { continue };
        let mut below: Vec<(usize, &str)> = Vec::new();
        let mut whole = false;
        for (at, path) in wanted {
            match path.strip_prefix(&*plain) {
                Some("") => {
                    whole = true;
                    seen.get_mut(*at).into_iter().for_each(|seen| *seen = true);
                }
                Some(rest) => below.extend(rest.strip_prefix('.').map(|rest| (*at, rest))),
                None => {}
            }
        }
        if whole {
            out.push(format!("{written}:{value}"));
        } else if let (false, Some(value)) = (below.is_empty(), kept(value, &below, seen)) {
            out.push(format!("{written}:{value}"));
        }
    }
    Some(format!("{{{}}}", out.join(",")))
}

/// A copy in which `change` has its way with every text. It gets the dotted path and the text as it is written.
pub(super) fn with_texts(json: &str, change: &mut dyn FnMut(&str, &str) -> Option<String>) -> String {
    let mut copy =
        Copy { out: String::with_capacity(json.len()), at: String::new(), most: usize::MAX, change };
    copy.value(json);
    copy.out
}

struct Copy<'a> {
    out: String,
    at: String,
    /// Of each list, at most as many items.
    most: usize,
    change: &'a mut dyn FnMut(&str, &str) -> Option<String>,
}

impl Copy<'_> {
    fn value(&mut self, json: &str) {
        match json.as_bytes().first() {
            Some(b'{') => {
                self.out.push('{');
                for (index, (name, value)) in members(json).enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    self.out.push_str(&format!("{comma}\"{name}\":"));
                    self.below(name, value);
                }
                self.out.push('}');
            }
            Some(b'[') => {
                self.out.push('[');
                for (index, item) in items(json).take(self.most).enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.below(&index.to_string(), item);
                }
                self.out.push(']');
            }
            Some(b'"') => match (self.change)(&self.at, json) {
                Some(changed) => self.out.push_str(&changed),
                None => self.out.push_str(json),
            },
            _ => self.out.push_str(json),
        }
    }

    fn below(&mut self, name: &str, value: &str) {
        let before = self.at.len();
        if before > 0 {
            self.at.push('.');
        }
        self.at.push_str(name);
        self.value(value);
        self.at.truncate(before);
    }
}

/// What became of something too large.
pub(super) struct Shrunk {
    pub json: String,
    /// The dotted paths of texts that were cut; their markers say how long they are.
    pub texts: Vec<String>,
    /// Where lists were cut: how many items each has left at most.
    pub items: Option<usize>,
}

/// `json` in at most `room` bytes: its longest texts are cut, and where that is not enough its lists. None where even
/// that is too much.
pub(super) fn shrunk(json: &str, room: usize) -> Option<Shrunk> {
    let mut lengths = Vec::new();
    with_texts(json, &mut |_, text| {
        lengths.push(text.len());
        None
    });
    let excess = json.len().saturating_sub(room);
    let gain =
        |longest: usize| lengths.iter().map(|length| length.saturating_sub(longest + MARK)).sum::<usize>();
    let (mut low, mut high) = (SHORTEST, lengths.iter().copied().max().unwrap_or(SHORTEST).max(SHORTEST));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match gain(middle) >= excess {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    std::iter::once(usize::MAX).chain(ITEMS).find_map(|most| {
        let mut texts = Vec::new();
        let mut change = |at: &str, written: &str| {
            let cut = (written.len() > low + MARK).then(|| cut(written, low)).flatten()?;
            texts.push(at.to_owned());
            Some(cut)
        };
        let mut copy = Copy { out: String::new(), at: String::new(), most, change: &mut change };
        copy.value(json);
        let json = copy.out;
        let items = Some(most).filter(|most| *most < usize::MAX);
        (json.len() <= room).then_some(Shrunk { json, texts, items })
    })
}

/// The beginning of a text, in about `longest` bytes of JSON, with a mark that says how long it is.
fn cut(written: &str, longest: usize) -> Option<String> {
    let text = text(written)?;
    let characters = text.chars().count();
    let mut end = text.floor_char_boundary(longest);
    loop {
        let shown = quoted(text.get(..end)?);
        if shown.len() <= longest + 2 || end == 0 {
            let open = shown.strip_suffix('"')?;
            return Some(format!("{open} [cut, {characters} characters in all]\""));
        }
        // Escapes make it longer than it is.
        end = text.floor_char_boundary(end.saturating_sub((shown.len() - longest).div_ceil(6).max(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(json: &str, names: &[&str]) -> (String, Vec<bool>) {
        let wanted: Vec<(usize, &str)> = names.iter().copied().enumerate().collect();
        let mut seen = vec![false; names.len()];
        let kept = kept(json, &wanted, &mut seen);
        (kept.unwrap(), seen)
    }

    #[test]
    fn chosen_members_keep_their_order_and_their_digits() {
        let json = r#"{"b":1.50,"a":"x","c":{"d":[{"e":1e2,"f":2},{"f":3}],"g":4},"a.b":5,"n":{"m":null}}"#;
        assert_eq!(chosen(json, &["a", "b"]).0, r#"{"b":1.50,"a":"x"}"#);
        assert_eq!(
            chosen(json, &["c.d.e", "a.b", "no"]),
            (r#"{"c":{"d":[{"e":1e2},{}]},"a.b":5}"#.to_owned(), vec![true, true, false])
        );
        assert_eq!(chosen(json, &["c", "c.g", "n.m.x"]).1, [true, false, false]);
        assert_eq!(chosen(r#"[{"a":1,"b":2},{"b":3}]"#, &["a"]).0, r#"[{"a":1},{}]"#);
        assert_eq!(chosen(r#"{"\u00e4":1}"#, &["ä"]).0, r#"{"\u00e4":1}"#);
    }

    #[test]
    fn the_longest_texts_are_cut_first_and_say_how_long_they_are() {
        let json = format!(r#"{{"id":"7","note":"{}","short":"{}"}}"#, "x\\n".repeat(5_000), "y".repeat(300));
        let shrunk = shrunk(&json, 4_000).unwrap();
        assert!(shrunk.json.len() <= 4_000 && shrunk.json.len() > 3_700, "{}", shrunk.json.len());
        assert_eq!(shrunk.texts, ["note"]);
        assert!(shrunk.json.contains(" [cut, 10000 characters in all]\""));
        assert!(shrunk.json.contains(&"y".repeat(300)) && shrunk.items.is_none());
        assert!(serde_json::from_str::<serde_json::Value>(&shrunk.json).is_ok());
    }

    #[test]
    fn lists_are_cut_where_texts_are_not_enough() {
        let rows: Vec<String> = (0..1_000).map(|n| format!(r#"{{"id":{n},"name":"row {n}"}}"#)).collect();
        let json = format!(r#"{{"name":"all","rows":[{}]}}"#, rows.join(","));
        let small = shrunk(&json, 1_000).unwrap();
        assert_eq!(small.items, Some(20));
        assert!(shrunk(&format!("[{}]", "1,".repeat(10) + "1"), 1).is_none());
    }
}
