//! From a query in words to ranked entries: BM25 over weighted fields, then what the query's verb asks for.
//!
//! Deterministic and pure. Knows no agent: everybody finds the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::catalog::{Catalog, Entry};
use super::path::{Segment, segments};
use super::rest::Verb;
use super::words::{Intent, fold, intent, is_act, synonym, terms};

/// An entry that matches, best first. The score orders results of one query and means nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub entry: &'a Arc<Entry>,
    pub score: f64,
}

/// More words than this add nothing but cost.
const MOST_TERMS: usize = 24;
/// The part of a query that is read, in characters.
const LONGEST_QUERY: usize = 1_000;
/// BM25: saturation of repeated words, and how much a long entry is held back.
const K1: f64 = 1.2;
const B: f64 = 0.5;

/// The words of all entries, made once for each catalogue.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// For each word: the entries that have it, and its weight there after length and saturation.
    postings: HashMap<String, Vec<(usize, f64)>>,
    traits: Vec<Traits>,
}

/// What an entry is, for the query's verb to choose by.
#[derive(Debug)]
struct Traits {
    verb: Verb,
    ends_in_variable: bool,
    variables: usize,
    /// The fixed words of the path, folded: what the endpoint is about.
    subject: Vec<String>,
}

impl Index {
    pub(super) fn new(entries: &[Arc<Entry>]) -> Index {
        let documents: Vec<BTreeMap<String, f64>> = entries.iter().map(|entry| weights(entry)).collect();
        let lengths: Vec<f64> = documents.iter().map(|document| document.values().sum()).collect();
        let average = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
        let mut postings: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
        for (position, (document, length)) in documents.into_iter().zip(&lengths).enumerate() {
            let norm = 1.0 - B + B * length / average.max(f64::MIN_POSITIVE);
            for (term, weight) in document {
                let weight = weight / norm;
                postings.entry(term).or_default().push((position, weight * (K1 + 1.0) / (weight + K1)));
            }
        }
        Index { postings, traits: entries.iter().map(|entry| traits(entry)).collect() }
    }

    /// How telling a word is: one that every entry has says nothing.
    fn telling(&self, postings: &[(usize, f64)]) -> f64 {
        let (all, having) = (self.traits.len() as f64, postings.len() as f64);
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
    }

    /// The word of the index that `term` is a slip of: one letter wrong, missing, extra or swapped.
    fn slip_of(&self, term: &str) -> Option<&str> {
        if term.chars().count() < 5 {
            return None;
        }
        let near = |word: &&String| {
            word.len().abs_diff(term.len()) <= 2 && strsim::damerau_levenshtein(word, term) == 1
        };
        let words = self.postings.iter().filter(|(word, _)| near(word));
        words
            .max_by_key(|(word, having)| (having.len(), std::cmp::Reverse(*word)))
            .map(|(word, _)| word.as_str())
    }
}

fn traits(entry: &Entry) -> Traits {
    let template = segments(&entry.path).unwrap_or_default();
    let mut subject: Vec<String> = template
        .iter()
        .filter_map(|segment| match segment {
            Segment::Fixed(word) => Some(terms(word)),
            Segment::Variable(_) => None,
        })
        .flatten()
        .collect();
    subject.dedup();
    Traits {
        verb: entry.verb,
        ends_in_variable: matches!(template.last(), Some(Segment::Variable(_))),
        variables: template.iter().filter(|segment| matches!(segment, Segment::Variable(_))).count(),
        subject,
    }
}

/// The words of one entry, weighted by where they stand.
fn weights(entry: &Entry) -> BTreeMap<String, f64> {
    let mut weights: BTreeMap<String, f64> = BTreeMap::new();
    let mut add = |text: &str, weight: f64| {
        for term in terms(text) {
            *weights.entry(term).or_default() += weight;
        }
    };
    add(&entry.display_name, 3.0);
    add(&entry.path, 3.0);
    add(&entry.summary, 2.0);
    add(&entry.id, 0.5);
    entry.tags.iter().for_each(|tag| add(tag, 1.0));
    entry.description.iter().for_each(|description| add(description, 0.5));
    entry.params.iter().for_each(|param| add(&param.name, 0.3));
    weights
}

/// How well an endpoint's kind fits what is asked for.
fn fit(asked: Option<Intent>, of: &Traits) -> f64 {
    let get = of.verb == Verb::Get;
    match asked {
        // Without a verb people mean to look; one thing among many needs its id first.
        None if get && !of.ends_in_variable => 1.1,
        None if get => 1.0,
        None => 0.9,
        Some(Intent::List) if get && !of.ends_in_variable => 1.6 - 0.2 * of.variables.min(2) as f64,
        Some(Intent::List) if get => 0.9,
        Some(Intent::List) if of.verb == Verb::Post => 0.5,
        Some(Intent::List) => 0.4,
        Some(Intent::Detail) if get && of.ends_in_variable => 1.5,
        Some(Intent::Detail) if get => 1.2,
        Some(Intent::Detail) => 0.5,
        Some(Intent::Create) if of.verb == Verb::Post && !of.ends_in_variable => 1.6,
        Some(Intent::Create) if of.verb == Verb::Post => 1.2,
        Some(Intent::Create) => 0.5,
        Some(Intent::Update) if matches!(of.verb, Verb::Put | Verb::Patch) => 1.6,
        Some(Intent::Update) if of.verb == Verb::Post => 1.0,
        Some(Intent::Update) => 0.5,
        Some(Intent::Delete) if of.verb == Verb::Delete => 1.8,
        Some(Intent::Delete) if get => 0.4,
        Some(Intent::Delete) => 0.8,
    }
}

/// The best `limit` entries for `query`, best first; the same query always gives the same answer.
///
/// Entries that share no word with the query but the act ("list", "create") are not found: an empty
/// answer says that the catalogue has nothing of the kind. An id is found by itself.
pub fn search<'a>(catalog: &'a Catalog, query: &str, limit: usize) -> Vec<Found<'a>> {
    search_among(catalog, query, limit, &|_| true)
}

/// The same among the entries that `offered` lets through.
pub fn search_among<'a>(
    catalog: &'a Catalog,
    query: &str,
    limit: usize,
    offered: &dyn Fn(&Entry) -> bool,
) -> Vec<Found<'a>> {
    let query: String = query.chars().take(LONGEST_QUERY).collect();
    let index = catalog.index();
    let asked = intent(&query);
    let mut wanted: Vec<String> = terms(&query);
    wanted.dedup();
    wanted.truncate(MOST_TERMS);
    let only_acts = wanted.iter().all(|term| is_act(term));
    let mut scores: BTreeMap<usize, (f64, bool)> = BTreeMap::new();
    let mut add = |term: &str, share: f64, is_thing: bool| {
        let Some(postings) = index.postings.get(term) else { return false };
        let telling = index.telling(postings);
        for (position, weight) in postings {
            let (score, about) = scores.entry(*position).or_default();
            *score += share * telling * weight;
            *about |= is_thing;
        }
        true
    };
    let mut named: Vec<String> = Vec::new();
    for term in &wanted {
        let act = is_act(term);
        let known = add(term, if act { 0.35 } else { 1.0 }, !act || only_acts);
        named.push(term.clone());
        if let Some(meant) = synonym(term) {
            add(meant, 0.8, true);
            named.push(meant.to_owned());
        } else if !known && let Some(meant) = index.slip_of(term) {
            add(meant, 0.7, true);
            named.push(meant.to_owned());
        }
    }
    let mut found: Vec<(usize, f64)> = scores
        .into_iter()
        .filter(|(_, (score, about))| *about && *score > 0.0)
        .filter_map(|(position, (score, _))| {
            let of = index.traits.get(position)?;
            Some((position, score * fit(asked, of) * (0.4 + 0.6 * covered(&of.subject, &named))))
        })
        .collect();
    if let Some(entry) = catalog.get(query.trim())
        && let Some(position) = catalog.entries().iter().position(|other| other.id == entry.id)
    {
        found.retain(|(other, _)| *other != position);
        found.push((position, 1_000.0));
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found
        .into_iter()
        .filter_map(|(position, score)| {
            let entry = catalog.entries().get(position)?;
            Some(Found { entry, score: (score * 1_000.0).round() / 1_000.0 })
        })
        .filter(|found| offered(found.entry))
        .take(limit)
        .collect()
}

/// The share of what the endpoint is about that the query names: `tickets` is about tickets, while
/// `tickets/{id}/materials` is about something else too.
fn covered(subject: &[String], named: &[String]) -> f64 {
    let hits = subject
        .iter()
        .filter(|word| named.iter().any(|named| named == *word || fold(named) == **word))
        .count();
    match subject.len() {
        0 => 0.0,
        all => hits as f64 / all as f64,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::catalog::CatalogRules;
    use super::*;

    fn catalog() -> Catalog {
        let entry = |method: &str, path: &str, name: &str, tags: &[&str]| -> Value {
            let id = format!("{method}-{}", path.replace('/', "_").replace(['{', '}', '-'], ""));
            json!({"id": id, "method": method, "path": path, "displayName": name, "summary": name, "tags": tags})
        };
        let entries = json!([
            entry("get", "/api/v1/tickets/{id}/comments", "List ticket comments", &["Tickets"]),
            entry("get", "/api/v1/tickets/search", "Search tickets", &["Tickets"]),
            entry("get", "/api/v1/tickets/stats", "Ticket statistics", &["Tickets"]),
            entry("get", "/api/v1/tickets/{id}", "Get ticket", &["Tickets"]),
            entry("get", "/api/v1/tickets", "List tickets", &["Tickets"]),
            entry("post", "/api/v1/tickets/from-asset", "Create ticket from asset", &["Tickets"]),
            entry("post", "/api/v1/tickets", "Create ticket", &["Tickets"]),
            entry("put", "/api/v1/tickets/{id}", "Update ticket", &["Tickets"]),
            entry("delete", "/api/v1/tickets/{id}", "Delete ticket", &["Tickets"]),
            entry("get", "/api/v1/clients", "List clients", &["Clients"]),
            entry("post", "/api/v1/clients", "Create client", &["Clients"]),
            entry("get", "/api/v1/time-entries", "List time entries", &["Time"]),
            entry("post", "/api/v1/time-entries", "Create time entry", &["Time"]),
            entry("get", "/api/v1/statuses", "List statuses", &["Lookups"]),
        ]);
        let bytes = json!({"data": {"entries": entries}}).to_string();
        Catalog::parse(bytes.as_bytes(), &CatalogRules::default()).unwrap()
    }

    fn first(query: &str) -> String {
        let catalog = catalog();
        let found = search(&catalog, query, 5);
        found.first().map(|found| format!("{} {}", found.entry.verb, found.entry.path)).unwrap_or_default()
    }

    #[test]
    fn what_is_asked_for_comes_first() {
        for (query, best) in [
            ("list open tickets", "GET /api/v1/tickets"),
            ("tickets", "GET /api/v1/tickets"),
            ("create a ticket", "POST /api/v1/tickets"),
            ("open a new ticket", "POST /api/v1/tickets"),
            ("get a ticket by id", "GET /api/v1/tickets/{id}"),
            ("update ticket", "PUT /api/v1/tickets/{id}"),
            ("delete a ticket", "DELETE /api/v1/tickets/{id}"),
            ("search tickets", "GET /api/v1/tickets/search"),
            ("ticket comments", "GET /api/v1/tickets/{id}/comments"),
            ("customers", "GET /api/v1/clients"),
            ("add a company", "POST /api/v1/clients"),
            ("log time entry", "POST /api/v1/time-entries"),
            ("status", "GET /api/v1/statuses"),
            ("list tikcets", "GET /api/v1/tickets"),
            ("get-_api_v1_tickets_stats", "GET /api/v1/tickets/stats"),
        ] {
            assert_eq!(first(query), best, "{query}");
        }
    }

    #[test]
    fn what_the_catalogue_does_not_have_is_not_found() {
        for query in
            ["", "   ", "the of and", "weather in Lisbon", "list xylophones", "create", "\u{0}", "🦀"]
        {
            let catalog = catalog();
            let found = search(&catalog, query, 5);
            let acts = query == "create";
            assert_eq!(found.is_empty(), !acts, "{query:?}: {found:?}");
        }
        assert!(search(&Catalog::empty(), "tickets", 5).is_empty());
    }

    #[test]
    fn an_answer_is_ordered_limited_and_always_the_same() {
        let catalog = catalog();
        let ask = || -> Vec<(String, f64)> {
            search(&catalog, "list ticket", 3)
                .iter()
                .map(|found| (found.entry.id.clone(), found.score))
                .collect()
        };
        assert_eq!(ask().len(), 3);
        assert!(ask().windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert!((0..5).all(|_| ask() == ask()));
        assert!(search(&catalog, "tickets", 0).is_empty());
    }

    #[test]
    fn a_very_long_query_is_read_in_part() {
        let query = format!("list tickets {}", "word ".repeat(100_000));
        assert!(!search(&catalog(), &query, 5).is_empty());
    }
}
