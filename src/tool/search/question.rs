//! What a query asks for: the things it names, which of them is meant, and what is to be done with it.
//!
//! Knows the words of the index, and no single entry.

use super::index::{Index, Term};
use super::spelling::Meant;
use super::vocabulary::{Act, LONGEST_PHRASE};
use super::words::{Word, is_stop, stem, words};

/// The part of a query that is read, in characters, and in words.
const LONGEST_QUERY: usize = 1_000;
const MOST_WORDS: usize = 40;

/// What is to be done, as the query says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing is said: people mean to look.
    Nothing,
    /// A question, which no change answers.
    Look,
    Act(Act),
}

/// One word or phrase of the query with everything it may mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Terms that are looked for together, and how far they count.
    pub(super) meanings: Vec<(Vec<Term>, f32)>,
    /// What it counts in the whole.
    pub(super) mass: f32,
    /// It names what is asked for, rather than what that belongs to.
    pub(super) head: bool,
    /// It names a plain act and nothing else.
    pub(super) act: bool,
}

/// A query, understood.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) groups: Vec<Group>,
    pub(super) asked: Asked,
    /// The head is one that is named by its number.
    pub(super) single: bool,
    /// What unknown words count against an answer.
    pub(super) unknown: f32,
}

/// Words after which another thing is named than the one that is asked for.
const LINKS: &[&str] = &[
    "of",
    "on",
    "for",
    "in",
    "at",
    "to",
    "from",
    "with",
    "against",
    "by",
    "across",
    "under",
    "into",
    "onto",
    "as",
    "about",
    "within",
    "inside",
    "that",
    "which",
    "who",
    "whose",
    "called",
    "named",
    "linked",
    "attached",
    "over",
    "than",
    "using",
    "via",
    "through",
    "because",
    "when",
    "whenever",
    "if",
    "where",
    "assigned",
    "has",
    "have",
    "is",
    "are",
    "was",
    "were",
    "belonging",
    "made",
    "logged",
];
/// Words after which a word that may be a verb is one.
const BEFORE_VERBS: &[&str] = &[
    "please", "to", "and", "then", "i", "we", "you", "can", "could", "must", "should", "lets", "let", "not",
    "will", "would", "me", "us", "want", "need", "just", "now", "also",
];
/// Words that a thing follows: before them stands a verb.
const DETERMINERS: &[&str] = &[
    "a", "an", "the", "this", "that", "these", "those", "my", "our", "your", "his", "her", "their", "all",
    "new", "another", "some", "any", "every", "each", "it", "them", "me", "us", "one", "two", "several",
    "time",
];
const QUESTIONS: &[&str] = &[
    "who", "what", "which", "when", "where", "why", "how", "whose", "is", "are", "was", "were", "did",
    "does", "has", "have", "do", "am",
];

struct Token {
    word: Word,
    stem: String,
    /// 1, or less where the spelling was corrected.
    sure: f32,
    known: bool,
}

impl Question {
    pub(super) fn read(index: &Index, query: &str) -> Question {
        let query: String = query.chars().take(LONGEST_QUERY).collect();
        let mut written = words(&query);
        written.truncate(MOST_WORDS);
        let tokens = tokens(index, written);
        let mut reading = Reading {
            index,
            tokens: &tokens,
            groups: Vec::new(),
            acts: Vec::new(),
            unknown: 0.0,
            named_by_number: false,
            parts: 0,
            head_part: None,
        };
        let mut at = 0;
        while at < tokens.len() {
            at += reading.take(at);
        }
        reading.finish()
    }
}

/// Corrects the spelling where a word is known neither to the catalogue nor to the vocabulary.
fn tokens(index: &Index, written: Vec<Word>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::with_capacity(written.len());
    let shouted = written.iter().skip(1).all(|word| word.capital);
    for mut word in written {
        word.capital &= !shouted;
        let stem_of = stem(&word.text);
        let known = is_stop(&word.text) || is_known(index, &stem_of) || index.spelling.knows(&word.text);
        // `check list` where there are checklists.
        if let Some(last) = tokens.last_mut()
            && !is_stop(&last.word.text)
            && !is_stop(&word.text)
        {
            let joined = format!("{}{}", last.word.text, word.text);
            if index.spelling.knows(&joined)
                && index.term(&stem(&joined)).is_some_and(|term| index.is_strong(term))
            {
                *last = Token {
                    stem: stem(&joined),
                    word: Word { text: joined, ..last.word.clone() },
                    sure: 1.0,
                    known: true,
                };
                continue;
            }
        }
        if known || word.capital {
            tokens.push(Token { word, stem: stem_of, sure: 1.0, known });
            continue;
        }
        let sure = index.weights.corrected;
        match index.spelling.meant(&word.text) {
            Some(Meant::One(meant)) => {
                tokens.push(Token {
                    stem: stem(meant),
                    word: Word { text: meant.to_owned(), ..word },
                    sure,
                    known: true,
                });
            }
            Some(Meant::Two(first, second)) => {
                for (part, text) in [first, second].into_iter().enumerate() {
                    let word = Word { text: text.to_owned(), first: word.first && part == 0, capital: false };
                    tokens.push(Token { stem: stem(text), word, sure: 1.0, known: true });
                }
            }
            None => {
                // Small print knows words that are no names of anything.
                tokens.push(Token { known: index.term(&stem_of).is_some(), word, stem: stem_of, sure: 1.0 });
            }
        }
    }
    tokens
}

fn is_known(index: &Index, stem: &str) -> bool {
    index.senses.contains_key(stem) || index.term(stem).is_some_and(|term| index.is_strong(term))
}

struct Reading<'a> {
    index: &'a Index,
    tokens: &'a [Token],
    groups: Vec<(Group, usize)>,
    /// What the query says is to be done: how clearly, and what.
    acts: Vec<(f32, Asked)>,
    unknown: f32,
    named_by_number: bool,
    /// How many links came before.
    parts: usize,
    head_part: Option<usize>,
}

impl Reading<'_> {
    /// Takes the longest phrase that begins at `at`, and gives the number of its words.
    fn take(&mut self, at: usize) -> usize {
        let Some(token) = self.tokens.get(at) else { return 1 };
        for length in (2..=LONGEST_PHRASE).rev() {
            let Some(tokens) = self.tokens.get(at..at + length) else { continue };
            let phrase: Vec<&str> = tokens.iter().map(|token| token.stem.as_str()).collect();
            if self.index.senses.contains_key(phrase.join(" ").as_str()) {
                self.group(at, length);
                return length;
            }
        }
        let text = token.word.text.as_str();
        if at == 0 && QUESTIONS.contains(&text) {
            self.acts.push((0.4, Asked::Look));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.named_by_number |= at > 0 && self.parts <= 1;
            return 1;
        }
        if LINKS.contains(&text) && !self.groups.is_empty() {
            self.parts += 1;
        }
        if self.index.senses.contains_key(token.stem.as_str()) || !is_stop(text) {
            self.group(at, 1);
        }
        1
    }

    fn group(&mut self, at: usize, length: usize) {
        let (Some(tokens), weights) = (self.tokens.get(at..at + length), &self.index.weights) else { return };
        let stems: Vec<&str> = tokens.iter().map(|token| token.stem.as_str()).collect();
        let phrase = stems.join(" ");
        let sense = self.index.senses.get(phrase.as_str());
        let sure = tokens.iter().map(|token| token.sure).fold(1.0, f32::min);
        let itself: Option<Vec<Term>> =
            stems.iter().filter(|stem| !is_stop(stem)).map(|stem| self.index.term(stem)).collect();
        let itself = itself.filter(|terms| !terms.is_empty());
        let is_thing =
            itself.as_ref().is_some_and(|terms| terms.iter().all(|term| self.index.things.contains(term)));
        let is_deed =
            itself.as_ref().is_some_and(|terms| terms.iter().all(|term| self.index.deeds.contains(term)));
        let names_things = sense.is_some_and(|sense| {
            sense.others.iter().any(|(terms, _)| terms.iter().all(|term| self.index.things.contains(term)))
        });
        let act = sense.and_then(|sense| sense.act);
        let verb = self.is_verb(at, length);
        let as_verb = act.is_some() && (verb || !(is_thing || (names_things && is_noun_like(self, at))));
        if let (Some(act), true) = (act, as_verb) {
            let place = if verb { 1.0 } else { 0.7 };
            self.acts.push((place - 0.01 * self.acts.len() as f32, Asked::Act(act)));
        } else if (is_deed || act == Some(Act::Do)) && verb {
            self.acts.push((0.9, Asked::Act(Act::Do)));
        }
        let mut meanings: Vec<(Vec<Term>, f32)> = Vec::new();
        if let Some(terms) = itself {
            meanings.push((terms, sure));
        }
        if let Some(sense) = sense {
            meanings.extend(sense.others.iter().map(|(terms, weight)| (terms.clone(), weight * sure)));
        }
        let plain_act = as_verb && !is_thing && !is_deed && !names_things;
        let mut mass =
            meanings.iter().map(|(terms, weight)| weight * self.telling(terms)).fold(0.0, f32::max);
        if plain_act {
            mass *= weights.act_word;
            meanings.iter_mut().for_each(|(_, weight)| *weight *= weights.act_word);
        }
        if meanings.is_empty() {
            if act.is_none() {
                let name = tokens.iter().any(|token| {
                    token.word.capital || token.word.text.bytes().any(|byte| byte.is_ascii_digit())
                });
                self.unknown += if name { weights.unknown_name } else { weights.unknown };
            }
            return;
        }
        if !tokens.iter().all(|token| token.known) && sense.is_none() {
            self.unknown += weights.unknown_name;
        }
        let thing = !plain_act && (is_thing || names_things);
        if thing && self.head_part.is_none() && !as_verb {
            self.head_part = Some(self.parts);
        }
        self.groups.push((Group { meanings, mass, head: thing && !as_verb, act: plain_act }, self.parts));
    }

    fn telling(&self, terms: &[Term]) -> f32 {
        let sum: f32 = terms.iter().map(|term| self.index.telling(*term)).sum();
        sum / (terms.len().max(1) as f32).sqrt()
    }

    /// A word is in a verb's place where a clause begins, or after a word that a verb follows.
    fn is_verb(&self, at: usize, length: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let begins = self.tokens.get(at).is_some_and(|token| token.word.first)
            || before.is_none_or(|before| BEFORE_VERBS.contains(&before.word.text.as_str()));
        if !begins {
            return false;
        }
        let Some(token) = self.tokens.get(at) else { return false };
        let is_thing = self.index.term(&token.stem).is_some_and(|term| self.index.things.contains(&term));
        // `schedule a visit` is an act, `schedule conflicts` is a thing.
        !is_thing
            || self.tokens.get(at + length).is_some_and(|next| {
                DETERMINERS.contains(&next.word.text.as_str())
                    || next.word.capital
                    || next.word.text.bytes().all(|byte| byte.is_ascii_digit())
            })
    }

    fn finish(self) -> Question {
        let mut asked = (0.0, Asked::Nothing);
        for (clear, act) in self.acts {
            if clear > asked.0 {
                asked = (clear, act);
            }
        }
        let head_part = self.head_part.unwrap_or(0);
        let groups: Vec<(Group, usize)> = self.groups;
        // Within its part, the last thing is meant: the comments, in `ticket comments`.
        let last = groups.iter().rposition(|(group, part)| group.head && *part == head_part);
        let groups = groups.into_iter().enumerate().map(|(at, (mut group, _))| {
            group.head = Some(at) == last;
            group
        });
        Question {
            groups: groups.collect(),
            asked: asked.1,
            single: self.named_by_number,
            unknown: self.unknown,
        }
    }
}

/// A word between a determiner or adjective and the end of its part is read as a noun.
fn is_noun_like(reading: &Reading<'_>, at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| reading.tokens.get(before));
    before.is_some_and(|before| !BEFORE_VERBS.contains(&before.word.text.as_str()))
}
