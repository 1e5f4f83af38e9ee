//! How text becomes search terms: splitting, folding, stop words, synonyms and intents.
//!
//! Knows no entries: the same folding serves the catalogue and the query.

/// What the query's words ask to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    List,
    Detail,
    Create,
    Update,
    Delete,
}

const STOP: &[&str] = &[
    "a", "all", "an", "and", "any", "api", "are", "at", "be", "by", "can", "do", "does", "for", "from",
    "have", "how", "i", "in", "is", "it", "me", "my", "of", "on", "or", "our", "please", "still", "that",
    "the", "their", "this", "to", "us", "v1", "was", "were", "what", "when", "where", "which", "who", "with",
    "you",
];

/// Words that say what to do. The first one in a query is the strongest.
const INTENTS: &[(Intent, &[&str])] = &[
    (Intent::Create, &["create", "add", "new", "make", "log", "record", "raise", "submit", "register"]),
    (
        Intent::Update,
        &[
            "update", "edit", "change", "set", "mark", "assign", "move", "rename", "modify", "reassign",
            "close",
        ],
    ),
    (Intent::Delete, &["delete", "remove", "erase", "drop"]),
    (Intent::List, &["list", "find", "search", "show", "recent", "latest", "browse", "count", "many"]),
    (Intent::Detail, &["get", "detail", "details", "single", "view", "read", "fetch", "one"]),
];

/// What people say for what REST paths say, both folded.
const SYNONYMS: &[(&str, &str)] = &[
    ("account", "client"),
    ("agreement", "contract"),
    ("appointment", "schedule"),
    ("bill", "invoice"),
    ("case", "ticket"),
    ("company", "client"),
    ("computer", "asset"),
    ("customer", "client"),
    ("deal", "opportunity"),
    ("device", "asset"),
    ("engineer", "user"),
    ("incident", "ticket"),
    ("issue", "ticket"),
    ("job", "project"),
    ("laptop", "asset"),
    ("machine", "asset"),
    ("note", "comment"),
    ("person", "contact"),
    ("reply", "comment"),
    ("server", "asset"),
    ("tech", "user"),
    ("technician", "user"),
    ("timesheet", "sheet"),
];

/// The words of `text` in order: lower-case, split at everything but letters and digits and where
/// lower case turns to upper (`workflowId`), folded to the singular, without stop words.
pub(super) fn terms(text: &str) -> Vec<String> {
    raw_words(text)
        .into_iter()
        .filter(|word| !STOP.contains(&word.as_str()))
        .map(|word| fold(&word))
        .collect()
}

/// The words of `text` as they stand, lower-case.
fn raw_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in text.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty() && word.len() <= 64);
    words
}

/// The singular of an English plural, near enough so that both sides of a comparison meet.
pub(super) fn fold(word: &str) -> String {
    let cut = |n: usize| word.get(..word.len() - n).unwrap_or(word);
    match word {
        _ if word.len() > 4 && word.ends_with("ies") => format!("{}y", cut(3)),
        _ if word.len() > 4
            && ["sses", "shes", "ches", "xes", "tuses"].iter().any(|end| word.ends_with(end)) =>
        {
            cut(2).to_owned()
        }
        _ if word.len() > 3
            && word.ends_with('s')
            && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) =>
        {
            cut(1).to_owned()
        }
        _ => word.to_owned(),
    }
}

/// What a synonym stands for.
pub(super) fn synonym(term: &str) -> Option<&'static str> {
    SYNONYMS.iter().find(|(said, _)| *said == term).map(|(_, meant)| *meant)
}

/// True for a (folded) word that names an act rather than a thing.
pub(super) fn is_act(term: &str) -> bool {
    INTENTS.iter().any(|(_, acts)| acts.iter().any(|act| *act == term || fold(act) == term))
}

/// What the query asks for: the first act among its words. `open a ticket` creates one, while
/// `open tickets` are a kind of tickets.
pub(super) fn intent(query: &str) -> Option<Intent> {
    let words = raw_words(query);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["open", "a" | "an" | "new", ..] = words.as_slice() {
        return Some(Intent::Create);
    }
    if words.windows(2).any(|pair| pair == ["by", "id"]) {
        return Some(Intent::Detail);
    }
    let of = |word: &&str| INTENTS.iter().find(|(_, acts)| acts.contains(word)).map(|(intent, _)| *intent);
    words.iter().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_fold_to_singulars_and_lookalikes_stay() {
        for (word, folded) in [
            ("tickets", "ticket"),
            ("companies", "company"),
            ("statuses", "status"),
            ("boxes", "box"),
            ("status", "status"),
            ("address", "address"),
            ("addresses", "address"),
            ("analysis", "analysis"),
            ("invoices", "invoice"),
            ("sms", "sms"),
        ] {
            assert_eq!(fold(word), folded, "{word}");
        }
    }

    #[test]
    fn text_is_split_at_punctuation_and_inside_camel_case() {
        assert_eq!(
            terms("/api/v1/time-entries/{workItemId}"),
            ["time", "entry", "work", "item", "id"].map(String::from)
        );
        assert_eq!(terms("the API of a"), Vec::<String>::new());
    }

    #[test]
    fn the_first_act_in_the_query_is_its_intent() {
        for (query, asked) in [
            ("list open tickets", Some(Intent::List)),
            ("create a ticket", Some(Intent::Create)),
            ("open a ticket", Some(Intent::Create)),
            ("open tickets", None),
            ("get ticket by id", Some(Intent::Detail)),
            ("change the status and delete nothing", Some(Intent::Update)),
            ("remove a tag", Some(Intent::Delete)),
            ("tickets", None),
            ("", None),
        ] {
            assert_eq!(intent(query), asked, "{query}");
        }
    }
}
