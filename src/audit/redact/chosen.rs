//! What a configuration chose to hide or to hash, beside what is built in: names and shapes. Pure.

use std::collections::HashMap;
use std::ops::Range;

use parking_lot::RwLock;
#[cfg(feature = "server")]
use regex::{Regex, RegexBuilder};

use super::config::{RedactionConfig, Results};
use super::{Treatment, names, shapes};

/// The most that a shape may take, compiled, in bytes.
#[cfg(feature = "server")]
const SIZE: usize = 1 << 20;

/// The most names that are remembered, and the longest of them, in bytes.
const REMEMBERED: usize = 4096;
const MEMORABLE: usize = 64;

/// A configuration in the form in which it is applied.
pub(super) struct Chosen {
    names: Names,
    /// What was found out about names: a PSA has some hundreds of them, which come again and again.
    seen: RwLock<HashMap<Box<str>, Name>>,
    #[cfg(feature = "server")]
    shapes: Vec<Regex>,
    /// The most of a result that is shown, in bytes; `None`: nothing of it.
    pub excerpt: Option<usize>,
}

/// What there is to know about a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// It announces a secret.
    pub secret: bool,
    /// What was chosen for it.
    pub chosen: Option<Treatment>,
    /// It can be shown itself.
    pub plain: bool,
}

impl Name {
    /// What it asks for the value under it.
    pub fn treatment(self) -> Option<Treatment> {
        if self.secret { Some(Treatment::Hide) } else { self.chosen }
    }
}

/// Names of fields, without case and separators.
#[derive(Default)]
pub(super) struct Names {
    whole: HashMap<String, Treatment>,
    open: Vec<Open>,
}

/// A part of a name that may go on at one or both ends.
struct Open {
    part: String,
    before: bool,
    after: bool,
    treatment: Treatment,
}

impl Chosen {
    /// What of it has problems is left out: see [`RedactionConfig::problems`].
    pub fn new(config: &RedactionConfig) -> Self {
        Self {
            names: Names::new(&config.hide, &config.hash),
            seen: RwLock::default(),
            #[cfg(feature = "server")]
            shapes: config.shapes.iter().filter_map(|shape| compile(shape).ok()).collect(),
            excerpt: (config.results == Results::Excerpt).then_some(config.excerpt.0),
        }
    }

    /// What there is to know about `name`.
    pub fn name(&self, name: &str) -> Name {
        let seen = self.seen.read().get(name).copied();
        seen.unwrap_or_else(|| self.look(name))
    }

    fn look(&self, name: &str) -> Name {
        let (secret, chosen) = (names::is_secret(name), self.names.treatment(name));
        let inside = |inner: &str| match names::is_secret(inner) {
            true => Some(Treatment::Hide),
            false => self.names.treatment(inner),
        };
        let plain = shapes::secrets(name, inside).is_empty() && self.shaped(name).is_empty();
        let found = Name { secret, chosen, plain };
        // Whoever invents names makes no more room for them.
        if name.len() <= MEMORABLE && self.seen.read().len() < REMEMBERED {
            self.seen.write().insert(name.into(), found);
        }
        found
    }

    /// The stretches of `text` that have a chosen shape, in no order.
    #[cfg(feature = "server")]
    pub fn shaped(&self, text: &str) -> Vec<Range<usize>> {
        let matches = self.shapes.iter().flat_map(|shape| shape.find_iter(text));
        matches.map(|found| found.range()).filter(|range| !range.is_empty()).collect()
    }

    /// The connector has none.
    #[cfg(not(feature = "server"))]
    pub fn shaped(&self, _: &str) -> Vec<Range<usize>> {
        Vec::new()
    }
}

/// In bounded memory; the crate's matching takes time in proportion to the text's length.
#[cfg(feature = "server")]
pub(super) fn compile(shape: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(shape).size_limit(SIZE).dfa_size_limit(SIZE).build()
}

impl Names {
    fn new(hide: &[String], hash: &[String]) -> Self {
        let mut all = Self::default();
        // Last, so that what is to be both is hidden.
        for (names, treatment) in [(hash, Treatment::Hash), (hide, Treatment::Hide)] {
            for name in names.iter().filter(|name| Self::wrong(name).is_none()) {
                let (before, after) = (name.starts_with('*'), name.ends_with('*'));
                let part = names::bare(name);
                if before || after {
                    all.open.push(Open { part, before, after, treatment });
                } else {
                    all.whole.insert(part, treatment);
                }
            }
        }
        all
    }

    /// Why `name` cannot be chosen, if it cannot.
    pub fn wrong(name: &str) -> Option<&'static str> {
        let inner = name.strip_prefix('*').unwrap_or(name);
        let inner = inner.strip_suffix('*').unwrap_or(inner);
        if inner.contains('*') {
            Some("may have * at its start and end only")
        } else if names::bare(inner).is_empty() {
            Some("names no field; write one such as phone_number, or *phone*")
        } else {
            None
        }
    }

    /// What becomes of the value under `name`; of `filter[contact.email]` it may also be `email` that was chosen.
    pub fn treatment(&self, name: &str) -> Option<Treatment> {
        if self.whole.is_empty() && self.open.is_empty() {
            return None;
        }
        let whole = self.of(&names::bare(name));
        let last =
            name.trim_end_matches(']').rsplit(['.', '[']).next().filter(|last| last.len() < name.len());
        whole.max(last.and_then(|last| self.of(&names::bare(last))))
    }

    fn of(&self, name: &str) -> Option<Treatment> {
        let open = self.open.iter().filter(|open| match (open.before, open.after) {
            (true, true) => name.contains(&open.part),
            (true, false) => name.ends_with(&open.part),
            _ => name.starts_with(&open.part),
        });
        open.map(|open| open.treatment).chain(self.whole.get(name).copied()).max()
    }
}
