//! What is known of a catalogue's entries, made once: where each word occurs, and what each entry is about and does.
//!
//! Knows no query.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::super::catalog::Entry;
use super::shape::{Shape, Shapes};
use super::spelling::Spelling;
use super::vocabulary::{Act, Vocabulary};
use super::weights::Weights;
use super::words::{is_stop, stem, words};

/// A word's number in the index.
pub(super) type Term = u32;

/// A sense, as far as the catalogue has words for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound {
    pub(super) act: Option<Act>,
    /// The terms of each other phrase that is meant, and how far it counts.
    pub(super) others: Vec<(Vec<Term>, f32)>,
    pub(super) implied: Vec<Vec<Term>>,
}

/// The words of all entries, made once for each catalogue.
#[derive(Debug, Default)]
pub(in crate::tool) struct Index {
    terms: HashMap<Box<str>, Term>,
    stems: Vec<Box<str>>,
    /// For each term: the entries that have it, and how strongly (0 to 1).
    postings: Vec<Box<[(u32, f32)]>>,
    /// For each term: how telling it is.
    pub(super) telling: Vec<f32>,
    /// For each term: whether an entry has it where it says what it is, not only in its small print.
    pub(super) strong: Vec<bool>,
    pub(super) shapes: Vec<Shape>,
    /// Terms that name things in paths, and such as name acts in them.
    pub(super) things: HashSet<Term>,
    pub(super) deeds: HashSet<Term>,
    pub(super) senses: HashMap<Box<str>, Bound>,
    pub(super) spelling: Spelling,
    pub(super) weights: Weights,
}

/// Small print is read up to this many words.
const SMALL_PRINT: usize = 120;
/// Names of body members and values of parameters are read up to this many.
const MEMBERS: usize = 60;

impl Index {
    /// Reads all entries.
    pub(in crate::tool) fn new(entries: &[Arc<Entry>], vocabulary: &Vocabulary) -> Index {
        Index::weighted(entries, vocabulary, Weights::default())
    }

    pub(super) fn weighted(entries: &[Arc<Entry>], vocabulary: &Vocabulary, weights: Weights) -> Index {
        let mut index = Index { weights, ..Index::default() };
        let mut seen = Seen { spellings: vocabulary.spellings.iter().cloned().collect(), ..Seen::default() };
        let mut postings: Vec<Vec<(u32, f32)>> = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            for (term, weight) in index.read(entry, &mut seen) {
                postings.resize_with(index.terms.len().max(postings.len()), Vec::new);
                if let Some(list) = postings.get_mut(term as usize) {
                    list.push((position as u32, weight / (weight + index.weights.saturation)));
                }
            }
        }
        postings.resize_with(index.terms.len(), Vec::new);
        let all = entries.len() as f32;
        index.telling = postings.iter().map(|list| (1.0 + all / (list.len() as f32 + 0.5)).ln()).collect();
        // How telling a word is, is about where it says what an entry is.
        let most = (1.0 + all / 0.5).ln().max(1.0);
        index.telling.iter_mut().for_each(|telling| {
            *telling = index.weights.evenness + (1.0 - index.weights.evenness) * *telling / most
        });
        index.postings = postings.into_iter().map(Vec::into_boxed_slice).collect();
        index.bind(vocabulary);
        let shapes = Shapes::of(entries, &index, vocabulary);
        (index.shapes, index.things, index.deeds) = (shapes.each, shapes.things, shapes.deeds);
        index.spelling = Spelling::new(seen.spellings);
        index
    }

    pub(super) fn term(&self, stem: &str) -> Option<Term> {
        self.terms.get(stem).copied()
    }

    pub(super) fn stem(&self, term: Term) -> Option<&str> {
        self.stems.get(term as usize).map(AsRef::as_ref)
    }

    pub(super) fn telling(&self, term: Term) -> f32 {
        self.telling.get(term as usize).copied().unwrap_or_default()
    }

    pub(super) fn postings(&self, term: Term) -> &[(u32, f32)] {
        self.postings.get(term as usize).map_or(&[], |list| list)
    }

    pub(super) fn is_strong(&self, term: Term) -> bool {
        self.strong.get(term as usize).copied().unwrap_or_default()
    }

    /// The terms of a phrase, where all of them occur where entries say what they are.
    pub(super) fn phrase(&self, phrase: &str) -> Option<Vec<Term>> {
        phrase
            .split(' ')
            .filter(|stem| !is_stop(stem))
            .map(|stem| self.term(stem).filter(|term| self.is_strong(*term)))
            .collect::<Option<Vec<Term>>>()
            .filter(|terms| !terms.is_empty())
    }

    fn bind(&mut self, vocabulary: &Vocabulary) {
        let mut senses = HashMap::with_capacity(vocabulary.senses.len());
        for (phrase, sense) in &vocabulary.senses {
            let others = sense.others.iter();
            let others = others
                .filter_map(|(other, weight)| Some((self.phrase(other)?, f32::from(*weight) / 100.0)))
                .collect();
            let implied = sense.implied.iter().filter_map(|implied| self.phrase(implied)).collect();
            senses.insert(phrase.as_str().into(), Bound { act: sense.act, others, implied });
        }
        self.senses = senses;
    }

    /// The words of one entry, weighted by where they stand.
    fn read(&mut self, entry: &Entry, seen: &mut Seen) -> BTreeMap<Term, f32> {
        let fields = self.weights.fields;
        let mut found: BTreeMap<Term, f32> = BTreeMap::new();
        self.field(&mut found, seen, &path_words(&entry.path), fields.path, true);
        self.field(&mut found, seen, &entry.display_name, fields.name, true);
        if entry.summary != entry.display_name {
            self.field(&mut found, seen, &entry.summary, fields.summary, true);
        }
        for tag in &entry.tags {
            self.field(&mut found, seen, tag, fields.tag, true);
        }
        if let Some(description) = &entry.description {
            let first = description.split(". ").next().unwrap_or_default();
            self.field(&mut found, seen, first, fields.opening, false);
            self.field(&mut found, seen, description, fields.description, false);
        }
        for param in &entry.params {
            self.field(&mut found, seen, &param.name, fields.param, false);
        }
        let members = entry.body_schema.as_ref().map(members).unwrap_or_default();
        self.field(&mut found, seen, &members, fields.member, false);
        found
    }

    /// A word counts once in a field.
    fn field(
        &mut self,
        found: &mut BTreeMap<Term, f32>,
        seen: &mut Seen,
        text: &str,
        weight: f32,
        strong: bool,
    ) {
        let mut here: Vec<Term> = Vec::new();
        for word in words(text).into_iter().take(SMALL_PRINT) {
            let term = match seen.terms.get(word.text.as_str()) {
                Some(term) => *term,
                None => {
                    let term = (!is_stop(&word.text)).then(|| self.number(&stem(&word.text)));
                    seen.terms.insert(word.text.clone(), term);
                    term
                }
            };
            let Some(term) = term else { continue };
            if strong && let Some(known) = self.strong.get_mut(term as usize) {
                *known = true;
                seen.spellings.insert(word.text);
            }
            if !here.contains(&term) {
                here.push(term);
                *found.entry(term).or_default() += weight;
            }
        }
    }

    fn number(&mut self, stem: &str) -> Term {
        if let Some(term) = self.terms.get(stem) {
            return *term;
        }
        let next = self.terms.len() as Term;
        self.terms.insert(stem.into(), next);
        self.stems.push(stem.into());
        self.strong.push(false);
        next
    }
}

/// What is remembered while entries are read.
#[derive(Default)]
struct Seen {
    /// For each word as it is written: its term, unless it names nothing.
    terms: HashMap<String, Option<Term>>,
    /// Words of the places where entries say what they are.
    spellings: HashSet<String>,
}

/// The fixed words of a path that say something: neither `api` nor a version.
pub(super) fn path_words(path: &str) -> String {
    let says = |segment: &&str| {
        let version = segment
            .strip_prefix('v')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        !segment.is_empty() && *segment != "api" && !version && !segment.starts_with('{')
    };
    path.split('/').filter(says).collect::<Vec<_>>().join(" ")
}

/// The names of a schema's members and the values that they may have, one level deep.
pub(super) fn members(schema: &Value) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut names: Vec<&str> = Vec::new();
    for (name, member) in properties.into_iter().flatten().take(MEMBERS) {
        names.push(name);
        let values = member.get("enum").and_then(Value::as_array);
        names.extend(values.into_iter().flatten().filter_map(Value::as_str).take(MEMBERS));
    }
    names.join(" ")
}
