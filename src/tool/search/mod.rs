//! From a query in words to ranked entries: what people say is matched with what endpoints are about and do.
//!
//! Deterministic and pure. Knows no agent: everybody finds the same.

mod index;
mod question;
mod ranking;
mod shape;
mod spelling;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;
mod weights;
mod words;

use std::sync::Arc;

use super::catalog::{Catalog, Entry};

pub(super) use index::Index;
pub use vocabulary::Vocabulary;

/// An entry that matches, best first. The score orders results of one query and means nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub entry: &'a Arc<Entry>,
    pub score: f64,
}

/// The best `limit` entries for `query`, best first; the same query always gives the same answer.
///
/// Empty where nothing fits: too little of what the query names occurs in the catalogue. An id is
/// found by itself.
pub fn search<'a>(catalog: &'a Catalog, query: &str, limit: usize) -> Vec<Found<'a>> {
    let index = catalog.index();
    let named = catalog.get(query.trim());
    let exact = named.map(|entry| Found { entry, score: 1_000.0 });
    let ranked = ranking::rank(index, &question::Question::read(index, query));
    let found = ranked.into_iter().filter_map(|standing| {
        let entry = catalog.entries().get(standing.position as usize)?;
        let score = (f64::from(standing.score) * 1_000.0).round() / 1_000.0;
        named.is_none_or(|named| named.id != entry.id).then_some(Found { entry, score })
    });
    exact.into_iter().chain(found).take(limit).collect()
}
