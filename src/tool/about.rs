//! What can be asked of Sidegate itself: entries of its own beside the registry's, so that an agent learns who it is and
//! what it may do with the tools that it has already.
//!
//! Knows what can be asked and not the answers: those are the gate's.

use super::entry::Entry;

/// One question. Answered by Sidegate, without the PSA and without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Whose agent, and by which token.
    Whoami,
    /// What the agent may do: effects, scopes, limits.
    Permissions,
    /// Whether gate and PSA are well.
    Health,
}

/// How people ask, in words as [`words`] leaves them.
const ASKED: &[(&str, About)] = &[
    ("who am i", About::Whoami),
    ("whoami", About::Whoami),
    ("who are you", About::Whoami),
    ("which agent", About::Whoami),
    ("my identity", About::Whoami),
    ("my roles", About::Whoami),
    ("roles do i have", About::Whoami),
    ("whose agent", About::Whoami),
    ("what may i", About::Permissions),
    ("what can i do", About::Permissions),
    ("what am i allowed", About::Permissions),
    ("am i allowed", About::Permissions),
    ("may i write", About::Permissions),
    ("my permissions", About::Permissions),
    ("permissions do i have", About::Permissions),
    ("calls left", About::Permissions),
    ("calls do i have", About::Permissions),
    ("my limits", About::Permissions),
    ("my scopes", About::Permissions),
    ("my rate limit", About::Permissions),
    ("is the psa up", About::Health),
    ("is the psa down", About::Health),
    ("is the psa healthy", About::Health),
    ("is the psa reachable", About::Health),
    ("is the psa running", About::Health),
    ("is the psa available", About::Health),
    ("is the psa online", About::Health),
    ("psa status", About::Health),
    ("gate status", About::Health),
    ("health of the psa", About::Health),
    ("health of the gate", About::Health),
    ("is the gate up", About::Health),
    ("is the gate healthy", About::Health),
    ("is sidegate", About::Health),
    ("gate health", About::Health),
    ("psa health", About::Health),
];

impl About {
    /// All of them, in the order of their entries.
    pub const ALL: [Self; 3] = [Self::Whoami, Self::Permissions, Self::Health];

    /// The question that `query` asks in so many words: they are too common to tell entries apart by.
    pub fn asked(query: &str) -> Option<Self> {
        let query = format!(" {} ", words(query));
        ASKED.iter().find(|(phrase, _)| query.contains(&format!(" {phrase} "))).map(|(_, about)| *about)
    }

    /// Whether `query` speaks of Sidegate by name. Any other that asks nothing of [`About::asked`] is about the PSA, which
    /// has permissions and agents of its own.
    pub fn named(query: &str) -> bool {
        words(query).split(' ').any(|word| word == "sidegate")
    }

    /// The id of its entry.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Whoami => "sidegate_whoami",
            Self::Permissions => "sidegate_permissions",
            Self::Health => "sidegate_health",
        }
    }

    /// The entry under which it is found and called. Its path is none of the PSA's.
    pub(super) fn entry(self) -> Entry {
        let (path, name, summary) = match self {
            Self::Whoami => (
                "/sidegate/whoami",
                "Who am I (Sidegate)",
                "Who am I: whose agent this is, its tenant, identity and token",
            ),
            Self::Permissions => (
                "/sidegate/permissions",
                "My permissions (Sidegate)",
                "What may I do: the largest effect, scopes, rate limits, and how many endpoints are offered",
            ),
            Self::Health => (
                "/sidegate/health",
                "Gate health (Sidegate)",
                "Is the gate healthy and the PSA reachable: age of the catalogue, state of the record",
            ),
        };
        Entry { about: Some(self), ..Entry::unlisted(self.id(), path, name, summary, "Sidegate") }
    }
}

/// Lower-case words with one space between.
fn words(text: &str) -> String {
    let lower: String = text.chars().take(200).flat_map(char::to_lowercase).collect();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::effect::Effect;
    use super::super::rest::Verb;
    use super::*;

    #[test]
    fn a_question_about_oneself_is_understood_in_the_words_that_people_use() {
        for (query, about) in [
            ("Who am I?", Some(About::Whoami)),
            ("whoami", Some(About::Whoami)),
            ("what may I do here", Some(About::Permissions)),
            ("show my permissions", Some(About::Permissions)),
            ("is the PSA up?", Some(About::Health)),
            ("is the gate healthy", Some(About::Health)),
            ("who is assigned to ticket 7", None),
            ("what can the client do", None),
            ("permissions of a role", None),
            ("", None),
        ] {
            assert_eq!(About::asked(query), about, "{query}");
        }
    }

    #[test]
    fn its_entries_read_have_ids_of_their_own_and_take_nothing() {
        for about in About::ALL {
            let entry = about.entry();
            assert_eq!((entry.effect, entry.verb, entry.about), (Effect::Read, Verb::Get, Some(about)));
            assert!(entry.params.is_empty() && !entry.takes_body() && entry.id == about.id());
        }
    }
}
