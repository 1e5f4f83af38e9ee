//! The vocabulary of the trade, read from TOML: which words mean the same, and which say what to do.
//!
//! Knows no catalogue. What is built in stands in `config/vocabulary.toml`; an administrator's own file adds to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use toml::Spanned;

use super::super::text::line_at;
use super::words::{stem, words};

/// What a call does to the things it is about, as a query asks for it and as an entry does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Act {
    List,
    Read,
    Search,
    Count,
    Export,
    Create,
    /// An act of its own, such as `approve`.
    Do,
    Update,
    Delete,
}

/// How far a word of the same meaning counts, and one that is only near, in hundredths.
const SAME: u8 = 80;
const NEAR: u8 = 50;
/// The longest phrase, in words.
pub(super) const LONGEST_PHRASE: usize = 5;

/// A phrase: the stems of its words, each followed by a space but the last.
pub(super) type Phrase = String;

/// What a word or phrase means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sense {
    pub(super) act: Option<Act>,
    /// Other phrases that are meant, and how far each counts.
    pub(super) others: BTreeMap<Phrase, u8>,
    /// What a verb says beside its act: `close` is about a status.
    pub(super) implied: Vec<Phrase>,
}

/// The words of the trade and what they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    pub(super) senses: HashMap<Phrase, Sense>,
    /// Single words as they are written, for the spelling.
    pub(super) spellings: Vec<String>,
    /// Phrases that set an entry back: `deprecated`.
    pub(super) lesser: Vec<Phrase>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    without: Vec<Spanned<String>>,
    acts: BTreeMap<Act, Vec<Spanned<String>>>,
    same: BTreeMap<String, Vec<Spanned<String>>>,
    near: BTreeMap<String, Vec<Spanned<String>>>,
    verbs: BTreeMap<String, Spanned<String>>,
    lesser: Vec<Spanned<String>>,
}

const BUILT_IN: &str = include_str!("../../../config/vocabulary.toml");

impl Vocabulary {
    /// The built-in vocabulary, which is read once.
    pub fn built_in() -> Arc<Vocabulary> {
        static READ: OnceLock<Arc<Vocabulary>> = OnceLock::new();
        let read = || {
            let mut vocabulary = Vocabulary::default();
            // Nothing is wrong with what is built in: a test says so.
            let _ = vocabulary.add(BUILT_IN);
            Arc::new(vocabulary)
        };
        READ.get_or_init(read).clone()
    }

    /// The built-in vocabulary with an administrator's file (TOML) on top.
    ///
    /// # Errors
    /// Everything that is wrong with the file, each with its line.
    pub fn extended(toml: &str) -> Result<Vocabulary, Vec<String>> {
        let mut vocabulary = Vocabulary::built_in().as_ref().clone();
        vocabulary.add(toml)?;
        Ok(vocabulary)
    }

    fn add(&mut self, text: &str) -> Result<(), Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            vec![format!("line {line}: {}", error.message().trim())]
        })?;
        let (mut wrong, mut wrong_keys) = (Vec::new(), Vec::new());
        let mut read = |written: &Spanned<String>| {
            phrase(written.get_ref()).map_err(|reason| {
                wrong.push(format!(
                    "line {}: `{}` {reason}",
                    line_at(text, written.span().start),
                    written.get_ref().escape_debug()
                ));
            })
        };
        for word in &file.without {
            if let Ok(phrase) = read(word) {
                self.forget(&phrase);
            }
        }
        for (act, written) in &file.acts {
            for word in written {
                if let Ok(phrase) = read(word) {
                    self.spell(word.get_ref());
                    self.senses.entry(phrase).or_default().act = Some(*act);
                }
            }
        }
        for (groups, weight) in [(&file.same, SAME), (&file.near, NEAR)] {
            for (key, written) in groups {
                let mut members: Vec<Phrase> = phrase(key).into_iter().collect();
                if members.is_empty() {
                    let line = written.first().map_or(1, |word| line_at(text, word.span().start));
                    wrong_keys.push(format!("line {line}: the word before `=` must be one to five words"));
                }
                members.extend(written.iter().filter_map(|word| read(word).ok()));
                std::iter::once(key)
                    .chain(written.iter().map(Spanned::get_ref))
                    .for_each(|word| self.spell(word));
                self.relate(&members, weight, weight == SAME);
            }
        }
        wrong.extend(wrong_keys);
        for (key, written) in &file.verbs {
            let (act, rest) = match written.get_ref().split_once(' ') {
                Some((act, rest)) => (act, Some(rest)),
                None => (written.get_ref().as_str(), None),
            };
            let Some(act) = act_named(act) else {
                wrong.push(format!("line {}: `{act}` is no act; acts are list, read, search, count, export, create, do, update and delete", line_at(text, written.span().start)));
                continue;
            };
            let Ok(key_phrase) = phrase(key) else {
                wrong
                    .push(format!("line {}: `{key}` has no word in it", line_at(text, written.span().start)));
                continue;
            };
            self.spell(key);
            let sense = self.senses.entry(key_phrase).or_default();
            sense.act = Some(act);
            for word in rest.into_iter().flat_map(|rest| rest.split(',')) {
                if let Ok(phrase) = phrase(word) {
                    sense.implied.push(phrase);
                }
            }
        }
        self.lesser.extend(file.lesser.iter().filter_map(|word| phrase(word.get_ref()).ok()));
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// All of a group find each other; without `all`, the others are only near the first.
    fn relate(&mut self, members: &[Phrase], weight: u8, all: bool) {
        for (at, member) in members.iter().enumerate() {
            for (other_at, other) in members.iter().enumerate() {
                if other == member
                    || !(all || at == 0 || other_at == 0)
                    || (other_at > 0 && other.contains(' '))
                {
                    continue;
                }
                let known =
                    self.senses.entry(member.clone()).or_default().others.entry(other.clone()).or_default();
                *known = (*known).max(weight);
            }
        }
    }

    fn forget(&mut self, phrase: &str) {
        self.senses.remove(phrase);
        for sense in self.senses.values_mut() {
            sense.others.remove(phrase);
            sense.implied.retain(|implied| implied != phrase);
        }
    }

    fn spell(&mut self, written: &str) {
        self.spellings.extend(words(written).into_iter().map(|word| word.text));
    }
}

/// The stems of the words of `written`, as a phrase.
fn phrase(written: &str) -> Result<Phrase, &'static str> {
    let stems: Vec<String> = words(written).iter().map(|word| stem(&word.text)).collect();
    match stems.len() {
        0 => Err("has no word in it"),
        1..=LONGEST_PHRASE => Ok(stems.join(" ")),
        _ => Err("has more than five words"),
    }
}

fn act_named(name: &str) -> Option<Act> {
    let name: StrDeserializer<'_, toml::de::Error> = name.into_deserializer();
    Act::deserialize(name).ok()
}
