//! What an entry is about and does, by its method and path: `POST /x/{id}/approve` is an act on an x,
//! `GET /x/{id}/y` lists the y of an x.
//!
//! Knows no query.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::catalog::Entry;
use super::super::path::{Segment, segments};
use super::super::rest::Verb;
use super::index::{Index, Term, members as members_of, path_words};
use super::question::LINKS;
use super::vocabulary::{Act, Vocabulary};
use super::words::{is_stop, stem, stems, words};

/// One entry's shape.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) act: Act,
    /// It is about one thing that is named by an id at the path's end or before the act.
    pub(super) single: bool,
    /// What it is about: the words of the path's last thing.
    pub(super) head: Vec<Term>,
    /// What its name says that it is about, where that stands in the path too.
    pub(super) named_head: Option<Term>,
    /// All words of the path, and those of them that say what is done.
    pub(super) path: Vec<Term>,
    pub(super) deeds: Vec<Term>,
    /// What a change of it may set.
    pub(super) members: Vec<Term>,
    /// All words that say what it is, each with its share; the shares sum up to one.
    pub(super) says: Vec<(Term, f32)>,
    pub(super) lesser: bool,
}

/// The shapes of all entries, and what their paths are made of.
#[derive(Debug)]
pub(super) struct Shapes {
    pub(super) each: Vec<Shape>,
    pub(super) things: HashSet<Term>,
    pub(super) deeds: HashSet<Term>,
    /// How much more often a word of a path names a thing than an act.
    balance: HashMap<Term, i32>,
}

impl Shapes {
    pub(super) fn of(entries: &[Arc<Entry>], index: &Index, vocabulary: &Vocabulary) -> Shapes {
        // A path that can be read is a thing's, and so is a segment that is followed by an id.
        let readable: HashSet<&str> =
            entries.iter().filter(|entry| entry.verb == Verb::Get).map(|entry| entry.path.as_str()).collect();
        let mut shapes = Shapes {
            each: Vec::with_capacity(entries.len()),
            things: HashSet::new(),
            deeds: HashSet::new(),
            balance: HashMap::new(),
        };
        for entry in entries {
            shapes.add(entry, index, vocabulary, &readable);
        }
        // `add-entry` adds an entry, which is a thing elsewhere.
        shapes.things =
            shapes.balance.iter().filter(|(_, balance)| **balance > 0).map(|(term, _)| *term).collect();
        shapes.deeds =
            shapes.balance.iter().filter(|(_, balance)| **balance <= 0).map(|(term, _)| *term).collect();
        let deeds = &shapes.deeds;
        shapes.each.iter_mut().for_each(|shape| shape.deeds.retain(|term| deeds.contains(term)));
        shapes
    }

    fn add(&mut self, entry: &Entry, index: &Index, vocabulary: &Vocabulary, readable: &HashSet<&str>) {
        let template = segments(&entry.path).unwrap_or_default();
        let last = template.iter().rev().find_map(|segment| match segment {
            Segment::Fixed(word) => Some(*word),
            Segment::Variable(_) => None,
        });
        let ends_in_id = matches!(template.last(), Some(Segment::Variable(_)));
        // What a word does in all paths: `search` searches, while `cancel` is an act of its own.
        let act_of = |text: &str| -> Option<Act> {
            let first = words(text).into_iter().find(|word| word.text != "bulk")?;
            let sense = vocabulary.senses.get(&stem(&first.text)).filter(|sense| sense.implied.is_empty())?;
            sense.act.filter(|act| *act == Act::Count || !first.text.ends_with('s'))
        };
        let (last_act, named_act) = (last.and_then(act_of), act_of(&entry.display_name));
        let many =
            last.is_some_and(|last| last.ends_with('s') && !last.ends_with("ss") && !last.ends_with("us"));
        let readable = readable.contains(entry.path.as_str());
        let act = act(entry.verb, ends_in_id, many, readable, last_act, named_act);
        let fixed: Vec<Vec<Term>> = template
            .iter()
            .filter_map(|segment| match segment {
                Segment::Fixed(word) => Some(path_words(word)),
                Segment::Variable(_) => None,
            })
            .map(|word| stems(&word).filter_map(|stem| index.term(&stem)).collect::<Vec<_>>())
            .filter(|terms| !terms.is_empty())
            .collect();
        let says_act = |text: &str| {
            stems(text).any(|stem| vocabulary.senses.get(&stem).is_some_and(|sense| sense.act.is_some()))
        };
        let deed = !ends_in_id
            && (act == Act::Do || last_act == Some(act) || (!readable && last.is_some_and(says_act)));
        let (head, deeds) = match fixed.split_last() {
            Some((deed_words, rest)) if deed && !rest.is_empty() => (rest.last(), deed_words.as_slice()),
            Some((last, _)) => (Some(last), &[][..]),
            None => (None, &[][..]),
        };
        let has_act = |term: &Term| vocabulary_act(vocabulary, index, *term).is_some();
        let deeds: Vec<Term> = deeds.iter().copied().filter(|term| act == Act::Do || has_act(term)).collect();
        let head = head.cloned().unwrap_or_default();
        let of_path: Vec<Term> = fixed.iter().flatten().copied().collect();
        let named_head = named_head(&entry.display_name, named_act.is_some(), index)
            .filter(|term| of_path.contains(term) && !deeds.contains(term));
        deeds.iter().for_each(|term| *self.balance.entry(*term).or_default() -= 1);
        for term in fixed.iter().flatten().filter(|term| !deeds.contains(term)) {
            *self.balance.entry(*term).or_default() += 1;
        }
        let mut says: Vec<(Term, f32)> = Vec::new();
        let mut say = |term: Term, share: f32| {
            if !says.iter().any(|(known, _)| *known == term) {
                says.push((term, share * index.telling(term)));
            }
        };
        fixed.iter().flatten().for_each(|term| say(*term, 1.0));
        for (at, word) in
            words(&entry.display_name).into_iter().enumerate().filter(|(_, word)| !is_stop(&word.text))
        {
            let stem = stem(&word.text);
            let plain_act = at == 0 && named_act.is_some();
            if let (false, Some(term)) = (plain_act, index.term(&stem)) {
                say(term, 0.5);
            }
        }
        let sum: f32 = says.iter().map(|(_, share)| share).sum();
        says.iter_mut().for_each(|(_, share)| *share /= sum.max(f32::MIN_POSITIVE));
        let opening =
            entry.description.as_deref().and_then(|text| text.split(". ").next()).unwrap_or_default();
        let text: Vec<String> = [&entry.display_name, &entry.summary, opening]
            .iter()
            .flat_map(|text| words(text))
            .map(|word| stem(&word.text))
            .collect();
        let text = format!(" {} ", text.join(" "));
        let lesser = vocabulary.lesser.iter().any(|phrase| text.contains(&format!(" {phrase} ")));
        self.each.push(Shape {
            act,
            single: template.iter().any(|segment| matches!(segment, Segment::Variable(_))),
            head,
            named_head,
            path: of_path,
            members: members(entry, index),
            deeds,
            says,
            lesser,
        });
    }
}

fn act(
    verb: Verb,
    ends_in_id: bool,
    many: bool,
    readable: bool,
    last: Option<Act>,
    named: Option<Act>,
) -> Act {
    match verb {
        Verb::Get if ends_in_id => Act::Read,
        Verb::Get => match (last, named) {
            (Some(last @ (Act::Search | Act::Count | Act::Export)), _) => last,
            (_, Some(named @ (Act::Search | Act::Count | Act::Export))) => named,
            (_, Some(Act::Read)) if !many => Act::Read,
            _ => Act::List,
        },
        Verb::Post => match (last, named) {
            (Some(Act::Search), _) => Act::Search,
            (_, Some(named @ (Act::Create | Act::Update | Act::Delete))) => named,
            _ if readable && !ends_in_id => Act::Create,
            _ => Act::Do,
        },
        Verb::Put | Verb::Patch => Act::Update,
        Verb::Delete => Act::Delete,
    }
}

/// The last word of the first thing that a name names: the category, in `Update ticket category by id`.
fn named_head(name: &str, begins_with_act: bool, index: &Index) -> Option<Term> {
    let words = words(name);
    let words = words
        .iter()
        .skip(usize::from(begins_with_act))
        .take_while(|word| !LINKS.contains(&word.text.as_str()));
    words.filter(|word| !is_stop(&word.text)).last().and_then(|word| index.term(&stem(&word.text)))
}

fn vocabulary_act(vocabulary: &Vocabulary, index: &Index, term: Term) -> Option<Act> {
    let stem = index.stem(term)?;
    vocabulary.senses.get(stem).and_then(|sense| sense.act)
}

/// The words of the body's members, for what changes something.
fn members(entry: &Entry, index: &Index) -> Vec<Term> {
    let names = match entry.verb {
        Verb::Put | Verb::Patch | Verb::Post => {
            entry.body_schema.as_ref().map(members_of).unwrap_or_default()
        }
        Verb::Get | Verb::Delete => String::new(),
    };
    let mut terms: Vec<Term> = stems(&names).filter_map(|stem| index.term(&stem)).collect();
    terms.sort_unstable();
    terms.dedup();
    terms
}
