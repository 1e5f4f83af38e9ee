//! What a query asks for: the things it names, which of them is meant, and what is to be done with it.
//!
//! Knows the words of the index, and no single entry.

use super::index::{Bound, Index, Term};
use super::tokens::{Token, tokens};
use super::vocabulary::{Act, LONGEST_PHRASE};
use super::words::{is_stop, words};

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
    /// It names an act: one of all endpoints (`create`), and no thing.
    pub(super) act: bool,
    /// It stands where a verb stands, and may name an act of single endpoints (`approve`).
    pub(super) deed: bool,
}

/// A query, understood.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) groups: Vec<Group>,
    pub(super) asked: Asked,
    /// What is asked for is named by its number.
    pub(super) single: bool,
    /// What unknown words count against an answer.
    pub(super) unknown: f32,
}

/// Words after which another thing is named than the one that is asked for.
pub(super) const LINKS: &[&str] = &[
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
    "please", "to", "and", "then", "can", "could", "must", "should", "lets", "let", "will", "would", "want",
    "need", "just", "now", "also",
];
/// As these do, where no thing was named before: not in `the services we sell`.
const SUBJECTS: &[&str] = &["i", "we", "you", "me", "us", "not"];
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
            asked: (0.0, Asked::Nothing),
            unknown: 0.0,
            numbered: None,
            part: 0,
            strangers: false,
            familiar: false,
            after_thing: false,
        };
        let mut at = 0;
        while at < tokens.len() {
            at += reading.take(at);
        }
        reading.finish()
    }
}

struct Reading<'a> {
    index: &'a Index,
    tokens: &'a [Token],
    /// Each group with the number of links before it.
    groups: Vec<(Group, usize)>,
    /// How clearly something is asked for, and what.
    asked: (f32, Asked),
    unknown: f32,
    /// The group that a number follows.
    numbered: Option<usize>,
    part: usize,
    /// Before the first link stands a word that nobody knows, or a thing that is known.
    strangers: bool,
    familiar: bool,
    /// The word before named a thing.
    after_thing: bool,
}

impl<'a> Reading<'a> {
    /// Takes the longest phrase that begins at `at`, and gives the number of its words.
    fn take(&mut self, at: usize) -> usize {
        let Some(token) = self.tokens.get(at) else { return 1 };
        for length in (2..=LONGEST_PHRASE).rev() {
            let Some(tokens) = self.tokens.get(at..at + length) else { continue };
            let phrase: Vec<&str> = tokens.iter().map(|token| token.stem.as_str()).collect();
            // `comments on a ticket` are no command.
            let text = token.word.text.as_str();
            let plural = text.len() > 4 && text.ends_with('s') && !text.ends_with("ss");
            let sense = self.index.senses.get(phrase.join(" ").as_str());
            if let Some(sense) = sense.filter(|sense| !(plural && sense.act.is_some_and(changes))) {
                self.group(at, length, Some(sense));
                return length;
            }
        }
        let text = token.word.text.as_str();
        if !text.bytes().all(|byte| byte.is_ascii_digit()) && !matches!(text, "number" | "no" | "id" | "nr") {
            self.after_thing = false;
        }
        if at == 0 && QUESTIONS.contains(&text) {
            self.ask(0.4, Asked::Look);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // `ticket 4711`, not `45 minutes`.
            if self.after_thing && self.part <= 1 {
                self.numbered = self.groups.len().checked_sub(1);
            }
            return 1;
        }
        if LINKS.contains(&text) && !self.groups.is_empty() {
            self.part += 1;
        }
        let sense = self.index.senses.get(token.stem.as_str());
        if sense.is_some() || !is_stop(text) {
            self.group(at, 1, sense);
        }
        1
    }

    fn ask(&mut self, clear: f32, asked: Asked) {
        if clear > self.asked.0 {
            self.asked = (clear, asked);
        }
    }

    fn group(&mut self, at: usize, length: usize, sense: Option<&'a Bound>) {
        let Some(tokens) = self.tokens.get(at..at + length) else { return };
        let index = self.index;
        let weights = &index.weights;
        let are = |terms: &[Term], among: &std::collections::HashSet<Term>| {
            terms.iter().all(|term| among.contains(term))
        };
        let stems = tokens.iter().filter(|token| length == 1 || !is_stop(&token.word.text));
        let itself: Option<Vec<Term>> = stems.map(|token| index.term(&token.stem)).collect();
        let itself = itself.filter(|terms| !terms.is_empty());
        let is_thing = itself.as_ref().is_some_and(|terms| are(terms, &index.things));
        let others = sense.map_or(&[][..], |sense| &sense.others);
        let means_thing = others.iter().any(|(terms, weight)| *weight > 0.6 && are(terms, &index.things));
        let act = sense.and_then(|sense| sense.act);
        let implies = sense.is_some_and(|sense| !sense.implied.is_empty());
        let made =
            sense.filter(|sense| sense.act == Some(Act::Create)).map_or(&[][..], |sense| &sense.implied);
        let makes = made.iter().any(|terms| are(terms, &index.things));
        // `bill` makes a bill.
        let makes_itself =
            made.iter().any(|made| others.iter().any(|(terms, weight)| *weight > 0.6 && terms == made));
        let ends = |ends: &[&str]| {
            tokens.first().is_some_and(|token| ends.iter().any(|end| token.word.text.ends_with(end)))
        };
        // `closed tickets` are a kind of tickets, `role assignments` are things.
        let participle = at > 0 && length == 1 && ends(&["ed"]);
        let changes = act.is_some_and(changes);
        let nominal = (implies || changes) && ends(&["s", "ment", "tion", "al", "ance"]);
        let may_be_thing = (is_thing && (implies || act.is_none())) || makes_itself;
        let verb = !participle && !nominal && self.is_verb(at, length, may_be_thing);
        // `ticket statistics` asks for a count without a verb.
        let counts = act == Some(Act::Count);
        let as_verb = verb || counts || !(is_thing || means_thing || participle || nominal);
        let mut meanings: Vec<(Vec<Term>, f32)> = Vec::with_capacity(1 + others.len());
        let sure = tokens.iter().map(|token| token.sure).fold(1.0, f32::min);
        meanings.extend(itself.map(|terms| (terms, sure)));
        meanings.extend(others.iter().map(|(terms, weight)| (terms.clone(), weight * sure)));
        let deed = as_verb && !is_thing && meanings.iter().any(|(terms, _)| are(terms, &index.deeds));
        let makes = makes && verb;
        if as_verb
            && let Some(sense) = sense
            && let Some(act) = sense.act
        {
            if verb || length > 1 || !implies || self.groups.is_empty() {
                // A question asks for no change: `what did we quote them`.
                let clear = if changes && self.asked.1 == Asked::Look { 0.3 } else { clarity(act, verb) };
                self.ask(clear, Asked::Act(act));
            }
            let weight = if makes || length > 1 { weights.made } else { weights.implied };
            meanings.extend(sense.implied.iter().map(|terms| (terms.clone(), weight * sure)));
        } else if deed && verb {
            self.ask(0.9, Asked::Act(Act::Do));
        }
        let plain_act =
            act.is_some_and(|act| act != Act::Do) && as_verb && !makes && (!is_thing || verb) && !implies;
        if meanings.is_empty() {
            if act.is_none() {
                self.unknown += self.weight_unknown(tokens);
                self.strangers |= self.part == 0 && !tokens.iter().any(is_name);
            }
            return;
        }
        let mut mass = self.mass(&meanings);
        if plain_act {
            mass *= weights.act_word;
        } else if as_verb && !makes && (deed || act.is_some()) {
            mass *= weights.verb_word;
        } else if participle && act.is_some() {
            mass *= weights.participle;
        }
        let weak = meanings.iter().all(|(terms, _)| !terms.iter().all(|term| index.is_strong(*term)));
        if weak {
            self.unknown += self.weight_unknown(tokens) * 0.5;
            mass *= weights.small_print;
        }
        self.familiar |= self.part == 0 && !weak && !plain_act && !verb;
        let thing =
            !plain_act && !weak && (is_thing || means_thing || makes) && (!as_verb || makes || act.is_none());
        self.after_thing = thing && !makes;
        self.groups.push((
            Group { meanings, mass, head: thing, act: plain_act, deed: deed && verb && !plain_act },
            if makes { usize::MAX } else { self.part },
        ));
    }

    /// How telling the whole of a word's meanings is: what is frequent under another name is not rare.
    fn mass(&self, meanings: &[(Vec<Term>, f32)]) -> f32 {
        let most = meanings.iter().map(|(_, weight)| *weight).fold(0.0, f32::max);
        let main = meanings.iter().filter(|(_, weight)| *weight >= 0.75 * most);
        most * main.map(|(terms, _)| self.telling(terms)).fold(f32::INFINITY, f32::min)
    }

    fn weight_unknown(&self, tokens: &[Token]) -> f32 {
        let weights = &self.index.weights;
        if tokens.iter().any(is_name) { weights.unknown_name } else { weights.unknown }
    }

    fn telling(&self, terms: &[Term]) -> f32 {
        let sum: f32 = terms.iter().map(|term| self.index.telling(*term)).sum();
        sum / (terms.len().max(1) as f32).sqrt()
    }

    /// A word is in a verb's place where a clause begins, or after a word that a verb follows. One that may
    /// be a thing as well is a verb before a determiner: `schedule a visit`, not `schedule conflicts`.
    fn is_verb(&self, at: usize, length: usize, may_be_thing: bool) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let begins = self.tokens.get(at).is_some_and(|token| token.word.first)
            || before.is_none_or(|before| {
                let text = before.word.text.as_str();
                BEFORE_VERBS.contains(&text)
                    || (SUBJECTS.contains(&text) && !self.groups.iter().any(|(group, _)| group.head))
            });
        begins
            && (!may_be_thing
                || self.tokens.get(at + length).is_some_and(|next| {
                    DETERMINERS.contains(&next.word.text.as_str())
                        || next.word.capital
                        || next.word.text.bytes().all(|byte| byte.is_ascii_digit())
                }))
    }

    fn finish(mut self) -> Question {
        let mut groups = std::mem::take(&mut self.groups);
        // What a verb makes is what is asked for; else the last thing of the first part that names one: the comments, in
        // `ticket comments` and in `comments of a ticket`.
        let made = groups.iter().any(|(group, part)| group.head && *part == usize::MAX);
        let first = groups.iter().find(|(group, _)| group.head).map(|(_, part)| *part);
        let chosen = if made { Some(usize::MAX) } else { first };
        let last = groups.iter().rposition(|(group, part)| group.head && Some(*part) == chosen);
        for (at, (group, _)) in groups.iter_mut().enumerate() {
            group.head = Some(at) == last;
        }
        // What has a number is there already: `make ticket 88 urgent`.
        if self.asked.1 == Asked::Act(Act::Create) && self.numbered.is_some() && self.numbered == last {
            self.asked.1 = Asked::Act(Act::Update);
        }
        let groups = groups.into_iter().map(|(group, _)| group).collect();
        // What is asked for has a name that nobody knows: `order a pizza for the team` is not about teams.
        let stranger = if self.strangers && !self.familiar { self.index.weights.stranger } else { 0.0 };
        Question {
            groups,
            asked: self.asked.1,
            single: self.numbered.is_some(),
            unknown: self.unknown + stranger,
        }
    }
}

/// A word that names one thing: with a capital, or with a digit in it.
fn is_name(token: &Token) -> bool {
    token.word.capital || token.word.text.bytes().any(|byte| byte.is_ascii_digit())
}

/// How clearly a word asks for `act`: `show me the details` asks for details.
fn clarity(act: Act, verb: bool) -> f32 {
    match (act, verb) {
        (Act::List, true) => 0.8,
        (_, true) => 1.0,
        (Act::Read | Act::Count | Act::Export, false) => 0.85,
        (_, false) => 0.6,
    }
}

/// Whether `act` changes something.
fn changes(act: Act) -> bool {
    matches!(act, Act::Create | Act::Update | Act::Delete | Act::Do)
}
