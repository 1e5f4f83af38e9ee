//! The PSA's registry as a checked, immutable, indexed catalogue of what may be called.
//!
//! Trusts nothing in the bytes: an entry that cannot be called safely is left out with a reason.
//! Does not know where the bytes come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

pub use super::entry::{Entry, Param, Place};
pub use super::rules::CatalogRules;

use super::about::About;
use super::data_search;
use super::effect::Effect;
use super::entry::read;
use super::overlay::Repairs;
use super::path::{Meeting, segments};
use super::reserve::reserve;
use super::rules::Pattern;
use super::search::Index;
use super::text::excerpt;
use crate::units::{Span, hex};

/// More entries than this are not a registry but an attack or a mistake.
const MOST_ENTRIES: usize = 20_000;

/// Why a registry as a whole cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogError {
    #[error("the registry is not JSON: {0}")]
    NotJson(String),
    #[error("the registry has no list of entries; it must be {{\"data\":{{\"entries\":[...]}}}}")]
    Envelope,
    #[error("the registry has {0} entries; at most {MOST_ENTRIES} are read")]
    TooMany(usize),
    #[error("the denied pattern `{rule}` cannot be read: {reason}")]
    Rule { rule: String, reason: String },
}

/// An entry that is not in the catalogue, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The id as far as it could be read, cleaned and cut.
    pub id: String,
    pub reason: String,
}

/// The catalogue. Cheap to share, never changes; a new registry makes a new one.
#[derive(Debug)]
pub struct Catalog {
    entries: Vec<Arc<Entry>>,
    /// How many of them, the first ones, are the registry's.
    registered: usize,
    by_id: HashMap<String, usize>,
    hash: String,
    edition: Option<String>,
    skipped: Vec<Skipped>,
    excluded: Vec<Skipped>,
    unrepaired: Vec<String>,
    data_search: Option<Arc<Entry>>,
    index: Index,
}

impl Catalog {
    /// Reads a registry, `{"data":{"edition"?,"entries":[...]}}`, the same without `data`, or the bare list of entries,
    /// under the operator's rules.
    ///
    /// # Errors
    /// Where the envelope or a denied pattern cannot be read. A bad single entry is no error; see
    /// [`Catalog::skipped`].
    pub fn parse(bytes: &[u8], rules: &CatalogRules) -> Result<Catalog, CatalogError> {
        Self::with(bytes, rules, &[])
    }

    /// The same with what can be asked of Sidegate itself, after the registry's entries.
    ///
    /// # Errors
    /// As [`Catalog::parse`].
    pub fn with(bytes: &[u8], rules: &CatalogRules, own: &[About]) -> Result<Catalog, CatalogError> {
        let envelope: Value =
            serde_json::from_slice(bytes).map_err(|error| CatalogError::NotJson(error.to_string()))?;
        let data = envelope.get("data").unwrap_or(&envelope);
        let raw = data.as_array().or_else(|| data.get("entries").and_then(Value::as_array));
        let raw = raw.ok_or(CatalogError::Envelope)?;
        if raw.len() > MOST_ENTRIES {
            return Err(CatalogError::TooMany(raw.len()));
        }
        let mut sorting = Sorting::new(rules, own)?;
        for raw in raw {
            sorting.take(raw);
        }
        let edition = data.get("edition").and_then(Value::as_str).map(|edition| excerpt(edition, 40));
        Ok(sorting.finish(digest(bytes), edition, own))
    }

    /// The catalogue before there is one: nothing can be found in it or called.
    pub fn empty() -> Catalog {
        Catalog {
            entries: Vec::new(),
            registered: 0,
            by_id: HashMap::new(),
            hash: digest(b""),
            edition: None,
            skipped: Vec::new(),
            excluded: Vec::new(),
            unrepaired: Vec::new(),
            data_search: None,
            index: Index::default(),
        }
    }

    /// The entry of exactly this id, `-` and `_` being the same.
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.by_id.get(&normal(id)).and_then(|position| self.entries.get(*position))
    }

    /// All entries: the registry's in its order, then those of Sidegate's own.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// The registry's alone.
    pub fn registered(&self) -> &[Arc<Entry>] {
        self.entries.get(..self.registered).unwrap_or_default()
    }

    /// SHA-256 of the registry's bytes, in lower-case hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The PSA's edition, where the registry names one.
    pub fn edition(&self) -> Option<&str> {
        self.edition.as_deref()
    }

    /// Entries that cannot be used as the registry writes them.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Sound entries that the rules keep out: outside the prefixes, or denied.
    pub fn excluded(&self) -> &[Skipped] {
        &self.excluded
    }

    /// The repairs whose entries the registry does not have.
    pub fn unrepaired(&self) -> &[String] {
        &self.unrepaired
    }

    /// The PSA's search over its records: the registry's entry, or the built-in one where the
    /// registry has none. None where the rules keep it out.
    pub fn data_search(&self) -> Option<&Arc<Entry>> {
        self.data_search.as_ref()
    }

    /// The search's index over the entries, made anew: for measuring what that takes.
    pub fn reindexed(&self) -> impl Sized + use<> {
        Index::new(&self.entries, &super::search::Vocabulary::built_in())
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }
}

/// `-` and `_` are the same in an id; nothing else is.
pub(super) fn normal(id: &str) -> String {
    id.replace('-', "_")
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The work of [`Catalog::parse`]: each raw entry ends up in one of three places.
struct Sorting<'a> {
    rules: &'a CatalogRules,
    denied: Vec<Pattern<'a>>,
    effects: BTreeMap<String, Effect>,
    timeouts: BTreeMap<String, Span>,
    repairs: Repairs<'a>,
    entries: Vec<Entry>,
    /// Every path of the registry, kept out or not: all of them are endpoints of the PSA.
    paths: BTreeSet<String>,
    ids: HashMap<String, usize>,
    skipped: Vec<Skipped>,
    excluded: Vec<Skipped>,
}

impl<'a> Sorting<'a> {
    fn new(rules: &'a CatalogRules, own: &[About]) -> Result<Self, CatalogError> {
        Ok(Self {
            rules,
            denied: rules.patterns().map_err(|(rule, reason)| CatalogError::Rule { rule, reason })?,
            effects: rules.effects.iter().map(|(id, effect)| (normal(id), *effect)).collect(),
            timeouts: rules.timeouts.iter().map(|(id, timeout)| (normal(id), *timeout)).collect(),
            repairs: rules.repairs.repairs(),
            entries: Vec::new(),
            paths: BTreeSet::new(),
            // Taken beforehand: no registry answers in Sidegate's name.
            ids: own.iter().map(|about| (normal(about.id()), usize::MAX)).collect(),
            skipped: Vec::new(),
            excluded: Vec::new(),
        })
    }

    fn take(&mut self, raw: &Value) {
        let repair = self.repairs.of(raw);
        let repaired = repair.as_ref().map(|repair| repair.applied(raw));
        let mut entry = match read(repaired.as_ref().unwrap_or(raw)) {
            Ok(entry) => entry,
            Err(reason) => {
                let id = excerpt(raw.get("id").and_then(Value::as_str).unwrap_or_default(), 100);
                return self.skipped.push(Skipped { id, reason });
            }
        };
        if let Some(repair) = repair {
            repair.defaults(&mut entry.params);
            // It is handed on under the registry's own hash.
            entry.source = raw.to_string().into_boxed_str();
        }
        self.paths.insert(entry.path.clone());
        let id = normal(&entry.id);
        if self.ids.contains_key(&id) {
            let reason = "an entry before it has the same id (`-` and `_` are the same)".to_owned();
            return self.skipped.push(Skipped { id: entry.id, reason });
        }
        if let Some(reason) = self.kept_out(&entry) {
            // The id stays taken: a second entry must not slip in under the name of a denied one.
            self.ids.insert(id, usize::MAX);
            return self.excluded.push(Skipped { id: entry.id, reason });
        }
        self.overrule(&mut entry);
        self.ids.insert(id, self.entries.len());
        self.entries.push(entry);
    }

    /// Gives the entry the operator's effect and time, where there are any.
    fn overrule(&self, entry: &mut Entry) {
        let id = normal(&entry.id);
        if let Some(effect) = self.effects.get(&id) {
            entry.effect = *effect;
        }
        entry.timeout = self.timeouts.get(&id).map(|timeout| timeout.0);
        entry.unchecked = self.rules.unchecks(entry);
    }

    /// The built-in entry under the same rules as those of the registry.
    fn built_in_search(&self) -> Option<Arc<Entry>> {
        let mut entry = data_search::built_in();
        self.overrule(&mut entry);
        self.kept_out(&entry).is_none().then(|| Arc::new(entry))
    }

    fn kept_out(&self, entry: &Entry) -> Option<String> {
        if !self.rules.lets_in(&entry.path) {
            return Some("it is outside the allowed prefixes".into());
        }
        let template = match segments(&entry.path) {
            Ok(template) => template,
            Err(reason) => return Some(reason),
        };
        let rule =
            self.denied.iter().find(|pattern| pattern.meets(entry.verb, &template) == Meeting::Always)?;
        Some(format!("it is denied by `{}`", rule.text))
    }

    fn finish(mut self, hash: String, edition: Option<String>, own: &[About]) -> Catalog {
        reserve(&mut self.entries, &self.paths, &self.denied);
        let built_in = self.built_in_search();
        let registered = self.entries.len();
        for about in own {
            self.ids.insert(normal(about.id()), self.entries.len());
            self.entries.push(about.entry());
        }
        let unrepaired = self.repairs.unused();
        let entries: Vec<Arc<Entry>> = self.entries.into_iter().map(Arc::new).collect();
        let is_search =
            |entry: &&Arc<Entry>| entry.verb == data_search::VERB && entry.path == data_search::PATH;
        // Both are judged by method and path: where the rules keep one out, they keep the other out.
        let data_search = entries.iter().find(is_search).cloned().or(built_in);
        self.ids.retain(|_, position| *position < entries.len());
        let index = Index::new(&entries, &self.rules.vocabulary);
        Catalog {
            by_id: self.ids,
            hash,
            edition,
            skipped: self.skipped,
            excluded: self.excluded,
            unrepaired,
            registered,
            data_search,
            index,
            entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(entries: Value, rules: &CatalogRules) -> Catalog {
        Catalog::parse(json!({"data": {"edition": "ce", "entries": entries}}).to_string().as_bytes(), rules)
            .unwrap()
    }

    fn entry(id: &str, method: &str, path: &str) -> Value {
        json!({"id": id, "method": method, "path": path})
    }

    fn ids(catalog: &Catalog) -> Vec<&str> {
        catalog.entries().iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn a_bad_envelope_is_an_error() {
        let rules = CatalogRules::default();
        for bad in [
            "",
            "nope",
            "{}",
            r#"{"data":{}}"#,
            r#"{"data":{"entries":{}}}"#,
            r#"{"data":null,"entries":[]}"#,
        ] {
            assert!(Catalog::parse(bad.as_bytes(), &rules).is_err(), "{bad}");
        }
        let many = json!({"data": {"entries": vec![0; MOST_ENTRIES + 1]}}).to_string();
        assert_eq!(
            Catalog::parse(many.as_bytes(), &rules).unwrap_err(),
            CatalogError::TooMany(MOST_ENTRIES + 1)
        );
    }

    #[test]
    fn the_entries_are_found_in_each_envelope_that_is_known() {
        let entries = json!([entry("a", "get", "/api/v1/a")]);
        for envelope in [json!({"data": {"entries": entries}}), json!({"entries": entries}), entries.clone()]
        {
            let catalog = Catalog::parse(envelope.to_string().as_bytes(), &CatalogRules::default()).unwrap();
            assert_eq!(ids(&catalog), ["a"], "{envelope}");
        }
    }

    #[test]
    fn a_denied_pattern_that_cannot_be_read_is_an_error_and_denies_not_just_nothing() {
        let rules = CatalogRules { denied: vec!["/api/v1/x".into()], ..CatalogRules::default() };
        let refused = Catalog::parse(br#"{"data":{"entries":[]}}"#, &rules).unwrap_err();
        assert!(matches!(refused, CatalogError::Rule { .. }), "{refused}");
    }

    #[test]
    fn a_bad_entry_is_skipped_with_a_reason_and_the_others_stay() {
        let catalog = parsed(
            json!([
                entry("get-_a", "get", "/api/v1/a"),
                entry("get__a", "get", "/api/v1/b"),
                {"id": "broken\u{1b}[31m", "method": "get", "path": "/api/v1/c"},
                7,
                entry("dots", "get", "/api/v1/../secret"),
                entry("post-_a", "post", "/api/v1/a"),
            ]),
            &CatalogRules::default(),
        );
        assert_eq!(ids(&catalog), ["get-_a", "post-_a"]);
        let skipped: Vec<&str> = catalog.skipped().iter().map(|skipped| skipped.id.as_str()).collect();
        assert_eq!(skipped, ["get__a", "broken", "", "dots"]);
        assert!(catalog.skipped().iter().all(|skipped| !skipped.reason.is_empty()));
        assert_eq!(catalog.edition(), Some("ce"));
    }

    #[test]
    fn an_id_is_found_exactly_after_dashes_and_underscores_are_made_equal() {
        let catalog = parsed(json!([entry("get-_api_v1_a", "get", "/api/v1/a")]), &CatalogRules::default());
        assert!(catalog.get("get-_api_v1_a").is_some());
        assert!(catalog.get("get__api-v1_a").is_some());
        assert!(catalog.get("GET-_api_v1_a").is_none());
        assert!(catalog.get("get-_api_v1").is_none());
    }

    #[test]
    fn what_is_outside_the_prefixes_or_denied_is_not_in_the_catalogue() {
        let catalog = parsed(
            json!([
                entry("in", "get", "/api/v1/tickets"),
                entry("wf", "post", "/api/workflow-definitions"),
                entry("wfx", "post", "/api/workflow-definitionsX"),
                entry("validate", "post", "/api/workflow-definitions/validate"),
                entry("publish", "post", "/api/workflow-definitions/{id}/{version}/publish"),
                entry("run", "post", "/api/workflow-definitions/{id}/run"),
                entry("runs", "post", "/api/workflow-runs/{id}/replay"),
                entry("mcp", "get", "/api/v1/mcp/agents"),
                entry("mcp2", "post", "/api/mcp"),
                entry("chat", "post", "/api/chat/stream"),
            ]),
            &CatalogRules::default(),
        );
        assert_eq!(ids(&catalog), ["in", "wf", "validate"]);
        assert!(catalog.skipped().is_empty());
        assert_eq!(catalog.excluded().len(), 7);
        assert!(catalog.get("publish").is_none());
    }

    #[test]
    fn the_psas_own_mcp_surface_stays_out_whatever_the_rules_say() {
        let rules = CatalogRules { prefixes: vec!["/".into()], denied: vec![], ..CatalogRules::default() };
        let catalog = parsed(
            json!([
                entry("a", "get", "/api/v1/mcp/agents"),
                entry("b", "post", "/api/mcp"),
                entry("c", "get", "/API/V1/MCP"),
                entry("any", "get", "/api/v1/{thing}/agents"),
            ]),
            &rules,
        );
        assert_eq!(ids(&catalog), ["any"]);
        assert_eq!(catalog.get("any").unwrap().params[0].reserved(), ["mcp"]);
    }

    #[test]
    fn a_denied_id_cannot_be_taken_by_a_later_entry() {
        let catalog = parsed(
            json!([entry("x", "get", "/api/v1/mcp/agents"), entry("x", "get", "/api/v1/tickets")]),
            &CatalogRules::default(),
        );
        assert!(catalog.get("x").is_none() && catalog.entries().is_empty());
    }

    #[test]
    fn a_variable_cannot_be_filled_with_the_word_of_another_endpoint() {
        let catalog = parsed(
            json!([
                entry("one", "get", "/api/v1/tickets/{id}"),
                entry("stats", "get", "/api/v1/tickets/stats"),
                entry("bulk", "delete", "/api/v1/tickets/bulk"),
                entry("notes", "get", "/api/v1/tickets/{id}/notes"),
                entry("draft", "put", "/api/workflow-definitions/{id}/{version}"),
            ]),
            &CatalogRules::default(),
        );
        assert_eq!(catalog.get("one").unwrap().params[0].reserved(), ["bulk", "stats"]);
        assert!(catalog.get("notes").unwrap().params[0].reserved().is_empty());
        assert!(catalog.get("draft").unwrap().params[1].reserved().contains(&"publish"));
    }

    #[test]
    fn the_operators_effect_wins() {
        let rules = CatalogRules {
            effects: [
                ("post-_api_v1_x".to_owned(), Effect::Read),
                ("get__api_v1_y".to_owned(), Effect::Destroy),
            ]
            .into(),
            ..CatalogRules::default()
        };
        let catalog = parsed(
            json!([
                entry("post-_api_v1_x", "post", "/api/v1/x"),
                entry("get-_api_v1_y", "get", "/api/v1/y"),
                entry("put", "put", "/api/v1/z"),
            ]),
            &rules,
        );
        let effects: Vec<Effect> = catalog.entries().iter().map(|entry| entry.effect).collect();
        assert_eq!(effects, [Effect::Read, Effect::Destroy, Effect::Write]);
    }

    #[test]
    fn a_catalogue_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Catalog>();
        shared::<super::super::table::ToolTable>();
    }

    #[test]
    fn the_hash_is_of_the_bytes() {
        assert_eq!(
            Catalog::empty().hash(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(Catalog::empty().entries().is_empty() && Catalog::empty().get("x").is_none());
    }
}
