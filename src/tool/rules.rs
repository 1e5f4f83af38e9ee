//! Which entries of a registry may be in the catalogue at all, and which effect the operator gives them.
//!
//! Knows paths and methods only, no agents: what is denied here does not exist for anybody.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::entry::Entry;
use super::overlay::Overlay;
use super::path::{Meeting, Piece, Segment, meet};
use super::rest::Verb;
use super::search::Vocabulary;
use crate::units::Span;

/// The operator's rules for the catalogue. The default is made for AlgaPSA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogRules {
    /// Path prefixes that are let in. They match on a segment boundary: `/api/x` and `/api/x/` let
    /// `/api/x/y` in, `/api/x` also itself, none of them `/api/xy`. No prefix, no entry.
    pub prefixes: Vec<String>,
    /// `METHOD /path` patterns that are kept out: the method may be `*`, a segment may be `*` (or
    /// `{name}`) for any one segment, and one `**` stands for any segments, also for none: at the
    /// end for any number, before others for up to eight.
    pub denied: Vec<String>,
    /// The effect of single entries by id; wins over what method and path say.
    pub effects: BTreeMap<String, Effect>,
    /// Entries whose bodies are sent as they are, by id or `METHOD /path`: where the registry is wrong about them.
    pub unchecked: Vec<String>,
    /// The longest that a call of single entries may take, by id; `server.call_timeout` holds beside it.
    pub timeouts: BTreeMap<String, Span>,
    /// A file of repairs over the built-in ones of the PSA's kind.
    pub overlay_file: Option<PathBuf>,
    /// The repairs: both together, put here by whoever reads the file.
    #[serde(skip)]
    pub repairs: Arc<Overlay>,
    /// What the search understands; its own file is `search.vocabulary`.
    #[serde(skip)]
    pub vocabulary: Arc<Vocabulary>,
    /// Every entry is let in: for looking at a registry, never for calling.
    #[serde(skip)]
    pub everything: bool,
}

/// Kept out whatever the operator writes: the PSA's own MCP server and its agents' administration.
const ALWAYS_DENIED: &[&str] = &["* /api/mcp/**", "* /api/v1/mcp/**"];

/// Acts that start or steer a workflow, or make one live. Drafting stays possible.
const WORKFLOW_ACTS: &[&str] = &[
    "publish",
    "unpublish",
    "activate",
    "run",
    "execute",
    "start",
    "cancel",
    "replay",
    "resume",
    "retry",
    "requeue",
];

impl Default for CatalogRules {
    fn default() -> Self {
        let mut denied: Vec<String> =
            WORKFLOW_ACTS.iter().map(|act| format!("* /api/workflow-definitions/**/{act}")).collect();
        denied.extend(
            [
                "POST /api/workflow-definitions/**/runs",
                "POST /api/workflow-definitions/*/runs/**",
                "POST /api/workflow-runs/**",
                "POST /api/workflow/events/**",
            ]
            .map(String::from),
        );
        let prefixes = ["/api/v1/", "/api/workflow-definitions", "/api/workflow/registry/"].map(String::from);
        Self {
            prefixes: prefixes.into(),
            denied,
            effects: BTreeMap::new(),
            unchecked: Vec::new(),
            timeouts: BTreeMap::new(),
            overlay_file: None,
            repairs: Arc::default(),
            vocabulary: Vocabulary::built_in(),
            everything: false,
        }
    }
}

impl CatalogRules {
    /// No rules at all: for looking at a registry, never for calling.
    pub fn everything(vocabulary: Arc<Vocabulary>) -> Self {
        Self {
            prefixes: vec!["/".to_owned()],
            denied: Vec::new(),
            vocabulary,
            everything: true,
            ..Self::default()
        }
    }

    /// Everything that is wrong with the rules, as key and message: for the check of a configuration.
    pub fn problems(&self) -> Vec<(String, String)> {
        let prefixes = self.prefixes.iter().enumerate().filter(|(_, prefix)| !prefix.starts_with('/')).map(
            |(index, prefix)| (format!("prefixes[{index}]"), format!("`{prefix}` does not start with `/`")),
        );
        let denied = self.denied.iter().enumerate().filter_map(|(index, rule)| {
            Pattern::all(rule).err().map(|reason| (format!("denied[{index}]"), format!("`{rule}`: {reason}")))
        });
        let timeouts = self
            .timeouts
            .iter()
            .filter(|(_, timeout)| timeout.0.is_zero())
            .map(|(id, _)| (format!("timeouts.{id}"), "must be more than nothing".to_owned()));
        let unreadable = |named: &String| {
            named
                .trim()
                .split_once(char::is_whitespace)
                .is_some_and(|(method, path)| Verb::parse(method).is_none() || !path.trim().starts_with('/'))
        };
        let unchecked =
            self.unchecked.iter().enumerate().filter(|(_, named)| unreadable(named)).map(|(index, named)| {
                (format!("unchecked[{index}]"), format!("`{named}`: write an entry's id, or `METHOD /path`"))
            });
        prefixes.chain(denied).chain(timeouts).chain(unchecked).collect()
    }

    /// Whether the operator names this entry as one whose bodies are not checked.
    pub(super) fn unchecks(&self, entry: &Entry) -> bool {
        self.unchecked.iter().any(|named| match named.trim().split_once(char::is_whitespace) {
            Some((method, path)) => Verb::parse(method) == Some(entry.verb) && path.trim() == entry.path,
            // `-` and `_` are the same in an id.
            None => named.replace('-', "_") == entry.id.replace('-', "_"),
        })
    }

    /// True where `path` lies under an allowed prefix.
    pub(super) fn lets_in(&self, path: &str) -> bool {
        self.prefixes.iter().filter(|prefix| prefix.starts_with('/')).any(|prefix| {
            path.strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.starts_with('/') || prefix.ends_with('/') || rest.is_empty())
        })
    }

    /// The denied patterns, the fixed ones first.
    pub(super) fn patterns(&self) -> Result<Vec<Pattern<'_>>, (String, String)> {
        let own = self.denied.iter().map(String::as_str);
        let mut patterns = Vec::new();
        let always = ALWAYS_DENIED.iter().copied().filter(|_| !self.everything);
        for rule in always.chain(own) {
            patterns.extend(Pattern::all(rule).map_err(|reason| (rule.to_owned(), reason))?);
        }
        Ok(patterns)
    }
}

/// How many segments a `**` that is not at the end stands for at most.
const LONGEST_GAP: usize = 8;

/// A denied pattern, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Pattern<'a> {
    pub(super) text: &'a str,
    verb: Option<Verb>,
    pieces: Vec<Piece<'a>>,
    rest: bool,
}

impl<'a> Pattern<'a> {
    /// The patterns that `text` stands for: one, or one for each length of a `**` within.
    fn all(text: &'a str) -> Result<Vec<Self>, String> {
        let pattern = Self::parse(text)?;
        let Some(gap) = pattern.pieces.iter().position(|piece| *piece == Piece::Word("**")) else {
            return Ok(vec![pattern]);
        };
        let lengths = 0..=LONGEST_GAP;
        Ok(lengths
            .map(|length| {
                let mut pieces = pattern.pieces.clone();
                pieces.splice(gap..=gap, std::iter::repeat_n(Piece::Any, length));
                Self { pieces, ..pattern.clone() }
            })
            .collect())
    }

    fn parse(text: &'a str) -> Result<Self, String> {
        const FORM: &str = "write it as `METHOD /path/with/*/wildcards/**`";
        let (method, path) = text.trim().split_once(char::is_whitespace).ok_or(FORM)?;
        let verb = match method {
            "*" => None,
            method => Some(
                Verb::parse(method)
                    .ok_or_else(|| format!("`{method}` is neither a method that entries have nor `*`"))?,
            ),
        };
        let path = path.trim().strip_prefix('/').ok_or(FORM)?;
        let (path, rest) = match path.strip_suffix("**") {
            Some("") => ("", true),
            Some(before) => (before.strip_suffix('/').ok_or("`**` must be a whole segment")?, true),
            None => (path, false),
        };
        let mut pieces = Vec::new();
        for part in path.split('/').filter(|_| !(rest && path.is_empty())) {
            pieces.push(match part {
                "" => return Err("it has an empty segment".into()),
                "*" => Piece::Any,
                _ if part.starts_with('{') && part.ends_with('}') => Piece::Any,
                "**" if !rest && !pieces.contains(&Piece::Word("**")) => Piece::Word("**"),
                _ if part.contains(['*', '{', '}']) => {
                    return Err("`*` stands for a whole segment, and one `**` for any segments".into());
                }
                word => Piece::Word(word),
            });
        }
        Ok(Self { text, verb, pieces, rest })
    }

    /// How this pattern meets an entry's method and template.
    pub(super) fn meets(&self, verb: Verb, template: &[Segment<'a>]) -> Meeting<'a> {
        match self.verb.is_none_or(|own| own == verb) {
            true => meet(template, &self.pieces, self.rest),
            false => Meeting::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::segments;
    use super::*;

    #[test]
    fn a_prefix_matches_on_a_segment_boundary_only() {
        let rules = CatalogRules::default();
        for inside in [
            "/api/v1/tickets",
            "/api/workflow-definitions",
            "/api/workflow-definitions/{id}",
            "/api/workflow/registry/nodes",
        ] {
            assert!(rules.lets_in(inside), "{inside}");
        }
        for outside in [
            "/api/v1",
            "/api/v10/tickets",
            "/api/workflow-definitionsX",
            "/api/workflow/registry",
            "/api/chat/stream",
            "/API/V1/tickets",
            "/",
        ] {
            assert!(!rules.lets_in(outside), "{outside}");
        }
        let open = CatalogRules { prefixes: vec!["".into(), "api".into()], ..CatalogRules::default() };
        assert!(!open.lets_in("/api/v1/tickets"), "a prefix that is no path lets nothing in");
    }

    #[test]
    fn a_pattern_has_wildcards_for_method_segment_and_rest() {
        let meets = |pattern: &'static str, verb, path: &'static str| {
            Pattern::parse(pattern).unwrap().meets(verb, &segments(path).unwrap())
        };
        assert_eq!(meets("post /a/*/publish", Verb::Post, "/a/{id}/publish"), Meeting::Always);
        assert_eq!(meets("POST /a/{x}/publish", Verb::Post, "/a/fixed/publish"), Meeting::Always);
        assert_eq!(meets("POST /a/*/publish", Verb::Put, "/a/{id}/publish"), Meeting::Never);
        assert_eq!(meets("* /a/**", Verb::Delete, "/a"), Meeting::Always);
        assert_eq!(meets("* /a/**", Verb::Delete, "/a/b/c"), Meeting::Always);
        assert_eq!(meets("* /**", Verb::Delete, "/a/b/c"), Meeting::Always);
        assert_eq!(meets("* /a/*", Verb::Get, "/a/b/c"), Meeting::Never);
        let gap = Pattern::all("* /a/**/run").unwrap();
        for path in ["/a/run", "/a/{id}/run", "/a/{id}/{version}/run"] {
            let path = segments(path).unwrap();
            assert!(gap.iter().any(|pattern| pattern.meets(Verb::Post, &path) == Meeting::Always));
        }
        let path = segments("/a/{id}/runs").unwrap();
        assert!(gap.iter().all(|pattern| pattern.meets(Verb::Post, &path) == Meeting::Never));
        assert_eq!(
            meets("POST /a/*/publish", Verb::Post, "/a/{id}/{act}"),
            Meeting::Filled { variable: "act", word: "publish" }
        );
    }

    #[test]
    fn every_wrong_rule_is_reported_with_its_place() {
        let denied =
            ["/a", "FETCH /a", "GET a", "GET /a*b", "GET /a/**/b/**", "GET /a//b", "GET /a**", "GET /fine"];
        let rules = CatalogRules {
            prefixes: vec!["api".into()],
            denied: denied.map(String::from).into(),
            unchecked: vec!["get-_a".into(), "GET /a".into(), "FETCH /a".into(), "GET a".into()],
            ..CatalogRules::default()
        };
        let problems = rules.problems();
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "prefixes[0]",
                "denied[0]",
                "denied[1]",
                "denied[2]",
                "denied[3]",
                "denied[4]",
                "denied[5]",
                "denied[6]",
                "unchecked[2]",
                "unchecked[3]"
            ]
        );
        assert!(CatalogRules::default().problems().is_empty());
    }

    #[test]
    fn rules_are_read_with_defaults_and_without_unknown_keys() {
        let rules: CatalogRules = serde_json::from_str(r#"{"effects":{"a":"destroy"}}"#).unwrap();
        assert_eq!(rules.effects["a"], Effect::Destroy);
        assert_eq!(rules.prefixes, CatalogRules::default().prefixes);
        assert!(serde_json::from_str::<CatalogRules>(r#"{"prefix":[]}"#).is_err());
    }
}
