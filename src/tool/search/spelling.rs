//! The word that a word is a slip of: letters missing, extra, wrong or swapped, and words run together or apart.
//!
//! Knows words as they are written, not what they mean.

use std::collections::HashSet;

/// The known words, made to be compared with quickly.
#[derive(Debug, Default)]
pub(super) struct Spelling {
    known: HashSet<Box<str>>,
    /// By length in bytes: the word, and a bit for each letter in it.
    by_length: Vec<Vec<(Box<str>, u32)>>,
}

/// What a word that is not known may have been meant to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meant<'a> {
    One(&'a str),
    /// Two words that were run together.
    Two(&'a str, &'a str),
}

impl Spelling {
    pub(super) fn new(words: impl IntoIterator<Item = String>) -> Spelling {
        let mut spelling = Spelling::default();
        let mut sorted: Vec<String> = words.into_iter().filter(|word| word.len() >= 3).collect();
        sorted.sort_unstable();
        sorted.dedup();
        for word in sorted {
            let length = word.len();
            if spelling.by_length.len() <= length {
                spelling.by_length.resize_with(length + 1, Vec::new);
            }
            let letters = letters(&word);
            let word: Box<str> = word.into();
            if let Some(row) = spelling.by_length.get_mut(length) {
                row.push((word.clone(), letters));
            }
            spelling.known.insert(word);
        }
        spelling
    }

    pub(super) fn knows(&self, word: &str) -> bool {
        self.known.contains(word)
    }

    /// The nearest known word, if one is near enough for its length.
    pub(super) fn meant(&self, word: &str) -> Option<Meant<'_>> {
        let length = word.len();
        if length < 4 || word.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if let Some((first, second)) = self.apart(word) {
            return Some(Meant::Two(first, second));
        }
        let most = if length < 9 { 1 } else { 2 };
        let own = letters(word);
        let rows = self.by_length.iter().take(length + most + 1).skip(length.saturating_sub(most).max(3));
        let mut best: Option<(usize, u8, &str)> = None;
        for (known, letters) in rows.flatten() {
            // Each edit changes at most two of the letters that occur.
            if (own ^ letters).count_ones() as usize > 2 * most {
                continue;
            }
            let distance = strsim::osa_distance(known, word);
            if distance > most || (distance == 2 && known.as_bytes().first() != word.as_bytes().first()) {
                continue;
            }
            // Of equally near words: first the one whose letters are only swapped or one is missing, then the one
            // that begins and ends the same.
            let mut oddness = if own == *letters {
                0
            } else if known.len() > length {
                1
            } else {
                3
            };
            oddness += 4 * u8::from(known.as_bytes().first() != word.as_bytes().first());
            oddness += u8::from(known.as_bytes().last() != word.as_bytes().last());
            if best.is_none_or(|(nearest, least, _)| (distance, oddness) < (nearest, least)) {
                best = Some((distance, oddness, known));
            }
        }
        best.map(|(_, _, known)| Meant::One(known))
    }

    fn apart(&self, word: &str) -> Option<(&str, &str)> {
        (3..word.len().saturating_sub(2)).find_map(|at| {
            let (first, second) = word.split_at_checked(at)?;
            Some((self.known.get(first)?.as_ref(), self.known.get(second)?.as_ref()))
        })
    }
}

fn letters(word: &str) -> u32 {
    word.bytes().fold(0, |letters, byte| match byte {
        b'a'..=b'z' => letters | 1 << (byte - b'a'),
        _ => letters | 1 << 31,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(word: &str) -> String {
        let known =
            ["status", "stats", "ticket", "create", "rate", "maintenance", "time", "sheet", "contacts"];
        match Spelling::new(known.map(String::from)).meant(word) {
            Some(Meant::One(word)) => word.to_owned(),
            Some(Meant::Two(first, second)) => format!("{first} {second}"),
            None => String::new(),
        }
    }

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        for (slip, word) in [
            ("tikcet", "ticket"),
            ("staus", "status"),
            ("crate", "create"),
            ("maintainance", "maintenance"),
            ("contcats", "contacts"),
            ("timesheet", "time sheet"),
            ("zebra", ""),
            ("tck", ""),
            ("größe", ""),
        ] {
            assert_eq!(meant(slip), word, "{slip}");
        }
    }
}
