//! Which words no path variable may be filled with, because they would make the path another endpoint's.
//!
//! Knows paths and the operator's patterns; what an entry does is not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::entry::{Entry, Place, RESERVED};
use super::path::{Meeting, Segment, segments};
use super::rules::Pattern;

/// Keeps path variables from being filled with a word that makes the path another endpoint's:
/// `/tickets/{id}` with `stats`, or a denied act. Servers prefer the fixed path, so that such a value
/// can never have meant the variable.
pub(super) fn reserve(entries: &mut [Entry], paths: &BTreeSet<String>, patterns: &[Pattern<'_>]) {
    let mut tree = Branch::default();
    for path in paths {
        tree.grow(path, &segments(path).unwrap_or_default());
    }
    for entry in entries {
        let path = entry.path.clone();
        let template = segments(&path).unwrap_or_default();
        if !template.iter().any(|segment| matches!(segment, Segment::Variable(_))) {
            continue;
        }
        let mut reserved: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut keep = |variable, word| {
            reserved.entry(variable).or_default().insert(word);
        };
        tree.meet(&template, None, &mut keep);
        for pattern in patterns {
            if let Meeting::Filled { variable, word } = pattern.meets(entry.verb, &template) {
                keep(variable, word);
            }
        }
        for param in entry.params.iter_mut().filter(|param| param.place == Place::Path) {
            if let (Some(words), Some(schema)) =
                (reserved.get(param.name.as_str()), param.schema.as_object_mut())
            {
                schema.insert(RESERVED.into(), words.iter().copied().collect());
            }
        }
    }
}

/// All paths of a registry, segment by segment: what a template can meet is found without comparing it with each.
#[derive(Default)]
struct Branch<'a> {
    /// The paths that are over here.
    ends: Vec<&'a str>,
    variable: Option<Box<Branch<'a>>>,
    /// By the word in lower case.
    words: HashMap<String, Branch<'a>>,
}

impl<'a> Branch<'a> {
    fn grow(&mut self, path: &'a str, left: &[Segment<'a>]) {
        let Some((first, rest)) = left.split_first() else { return self.ends.push(path) };
        let next = match first {
            Segment::Variable(_) => self.variable.get_or_insert_default(),
            Segment::Fixed(word) => self.words.entry(word.to_ascii_lowercase()).or_default(),
        };
        next.grow(path, rest);
    }

    /// Tells of each path that is the template with a word in place of a variable, the last where there are more: `left`
    /// is what is left of the template, `filled` the variable and how many segments come after it.
    fn meet(
        &self,
        left: &[Segment<'a>],
        filled: Option<(&'a str, usize)>,
        found: &mut impl FnMut(&'a str, &'a str),
    ) {
        let Some((first, rest)) = left.split_first() else {
            let Some((variable, after)) = filled else { return };
            let words = self.ends.iter().filter_map(|path| path.rsplit('/').nth(after));
            return words.for_each(|word| found(variable, word));
        };
        if let Some(next) = &self.variable {
            next.meet(rest, filled, found);
        }
        match first {
            Segment::Fixed(word) => {
                if let Some(next) = self.words.get(&word.to_ascii_lowercase()) {
                    next.meet(rest, filled, found);
                }
            }
            Segment::Variable(variable) => {
                for next in self.words.values() {
                    next.meet(rest, Some((variable, rest.len())), found);
                }
            }
        }
    }
}
