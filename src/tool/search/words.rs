//! How text becomes words, and words become stems: the same for entries, vocabulary and queries.
//!
//! Knows neither entries nor what a word means.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that name nothing. Question words and what splits a sentence are read before these are dropped.
static STOP: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "a about across after afternoon again against ago all already also am an and another any anyone anything \
     are as at away back be because been before being between both bunch but by can certain could currently \
     day did do does don done dont down during each either else evening ever every everything few for forgot \
     friday from get gets getting given go going got had has have haven he help her here him his hour how i \
     id if in inside into is it its just last latest let lets like ll many me mine minute minutes monday \
     month more morning most much multiple my myself need needs next night no not now of off on once one ones \
     only onto or other our out over own per please pm previous quarter really recent recently right s same \
     saturday several she should since so some something soon specific still such sunday than that the their \
     them then there these they thing things this those through thursday to today tomorrow too tuesday under \
     until up upcoming us using v1 v2 v3 ve very via want was we wednesday week well were what when whenever \
     where whether which while who whom whose why will with within without would year yesterday yet you your"
        .split_ascii_whitespace()
        .collect()
});

/// Words that end in a suffix and mean something else than what is before it.
const WHOLE: &[&str] = &[
    "setting",
    "meeting",
    "building",
    "training",
    "marketing",
    "listing",
    "news",
    "during",
    "evening",
    "morning",
    "string",
    "status",
    "bonus",
    "menu",
    "department",
    "portal",
    "user",
    "feed",
    "need",
    "seed",
    "total",
    "state",
    "importance",
    "statement",
    "location",
    "general",
    "annual",
];

/// True for a word (lower-case) that names nothing.
pub(super) fn is_stop(word: &str) -> bool {
    STOP.contains(word)
}

/// The longest word that is looked at, in bytes; what is longer is no word.
const LONGEST: usize = 48;

/// One word of a text as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Lower-case letters and digits.
    pub(super) text: String,
    /// It begins with a capital and the text does not begin with it.
    pub(super) capital: bool,
    /// It begins the text or follows a sentence mark or a comma.
    pub(super) first: bool,
}

/// The words of `text` in order, split at everything but letters and digits and where lower case turns to
/// upper (`workflowId`). An apostrophe and what follows it is dropped: `week's` is `week`.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut before, mut open, mut first, mut tail) = (' ', false, true, false);
    for c in text.chars() {
        if tail && c.is_alphanumeric() {
            continue;
        }
        tail = matches!(c, '\'' | '\u{2019}') && before.is_alphanumeric();
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            open = false;
        }
        if c.is_alphanumeric() {
            if !open {
                let capital = c.is_uppercase() && !words.is_empty() && !before.is_lowercase();
                words.push(Word { text: String::new(), capital, first });
                (open, first) = (true, false);
            }
            if let Some(word) = words.last_mut() {
                word.text.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
            }
        } else if matches!(c, ',' | '.' | ';' | ':' | '?' | '!' | '\n') {
            first = true;
        }
        before = c;
    }
    words.retain(|word| !word.text.is_empty() && word.text.len() <= LONGEST);
    words
}

/// The stems of all words of `text` that name something.
pub(super) fn stems(text: &str) -> impl Iterator<Item = String> {
    words(text).into_iter().filter(|word| !is_stop(&word.text)).map(|word| stem(&word.text))
}

/// The stem of a word, near enough that the forms of one word meet: plural, `-ing`, `-ed`, `-ation`, `-ment`,
/// `-al`. A stem need not be a word.
pub(super) fn stem(word: &str) -> String {
    if !word.is_ascii() || word.len() < 3 || word.bytes().any(|b| b.is_ascii_digit()) {
        return word.to_owned();
    }
    let singular = singular(word);
    if WHOLE.contains(&singular.as_str()) {
        return singular;
    }
    let base = derived(&singular);
    match base.strip_suffix('e') {
        Some(rest) if rest.len() >= 3 => rest.to_owned(),
        _ => match base.strip_suffix('y') {
            Some(rest) if rest.len() >= 2 => format!("{rest}i"),
            _ => base,
        },
    }
}

fn singular(word: &str) -> String {
    let cut = |n: usize| word[..word.len() - n].to_owned();
    let ends = |ends: &[&str]| ends.iter().any(|end| word.ends_with(end));
    match word.len() {
        5.. if ends(&["ies"]) => cut(3) + "y",
        5.. if ends(&["sses", "shes", "ches", "xes", "tuses"]) => cut(2),
        4.. if ends(&["s"]) && !ends(&["ss", "us", "is"]) => cut(1),
        _ => word.to_owned(),
    }
}

/// `word` without the suffix that makes another part of speech of it.
fn derived(word: &str) -> String {
    let rest = |suffix: &str, least: usize| word.strip_suffix(suffix).filter(|rest| rest.len() >= least);
    let verbal = |rest: &&str| rest.bytes().any(|b| b"aeiouy".contains(&b)) && !rest.ends_with('e');
    if let Some(rest) =
        rest("ation", 4).or_else(|| rest("ating", 4)).or_else(|| rest("ated", 4)).or_else(|| rest("ate", 4))
    {
        return rest.to_owned();
    }
    if let Some(rest) = rest("ing", 3).filter(verbal).or_else(|| rest("ed", 3).filter(verbal)) {
        return single(rest);
    }
    if let Some(rest) = rest("ion", 4).filter(|rest| rest.ends_with(['s', 't'])) {
        return rest.to_owned();
    }
    let others = [("ment", 4), ("ance", 5), ("ence", 5), ("al", 5)];
    let other = others.iter().find_map(|(suffix, least)| rest(suffix, *least));
    other.unwrap_or(word).to_owned()
}

/// `stopp` is `stop`; `bill` and `miss` stay.
fn single(stem: &str) -> String {
    let bytes = stem.as_bytes();
    match bytes {
        [.., a, b] if a == b && b"bdgmnprt".contains(b) => stem[..stem.len() - 1].to_owned(),
        _ => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_one_word_have_one_stem() {
        for forms in [
            &["ticket", "tickets"][..],
            &["company", "companies"],
            &["status", "statuses"],
            &["address", "addresses"],
            &["invoice", "invoices", "invoiced", "invoicing"],
            &["approve", "approval", "approved", "approving", "approves"],
            &["assign", "assignment", "assigned"],
            &["activate", "activation", "activated"],
            &["schedule", "scheduled", "scheduling"],
            &["install", "installed", "installation"],
            &["entry", "entries", "entrie"],
            &["stop", "stopped", "stopping"],
        ] {
            assert!(forms.iter().all(|form| stem(form) == stem(forms[0])), "{forms:?}");
        }
    }

    #[test]
    fn different_words_stay_apart() {
        for (a, b) in [
            ("setting", "set"),
            ("status", "stat"),
            ("user", "use"),
            ("bill", "bil"),
            ("analysis", "analyst"),
        ] {
            assert_ne!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn text_is_split_at_punctuation_and_inside_camel_case() {
        let texts = |text: &str| words(text).into_iter().map(|word| word.text).collect::<Vec<_>>();
        assert_eq!(texts("/time-entries/{workItemId}"), ["time", "entries", "work", "item", "id"]);
        assert_eq!(texts("last week's \u{1f980} Größe"), ["last", "week", "größe"]);
        assert_eq!(stems("the of a").count(), 0);
        let capitals: Vec<bool> = words("Ask Bob").iter().map(|word| word.capital).collect();
        assert_eq!(capitals, [false, true]);
    }
}
