//! The PSA's search over its records, as it is declared where the registry does not tell of it.
//!
//! Knows no rules: whether it may be called is for the catalogue to say.

use serde_json::{Value, json};

use super::entry::{Entry, Param, Place};
use super::rest::Verb;

pub(super) const VERB: Verb = Verb::Get;
pub(super) const PATH: &str = "/api/v1/search";

/// The declared default of `GET /api/v1/search`.
pub(super) fn built_in() -> Entry {
    at(PATH)
}

/// The same at another path.
pub(super) fn at(path: &str) -> Entry {
    let param = |name: &str, required: bool, schema: Value| Param {
        name: name.to_owned(),
        place: Place::Query,
        required,
        description: None,
        schema,
        sent: None,
    };
    let (name, summary) = ("Search business data", "Full-text search over the PSA's records");
    Entry {
        params: vec![
            param("query", true, json!({"type": "string"})),
            param("types", false, json!({"type": "array", "items": {"type": "string"}})),
            param("limit", false, json!({"type": "integer"})),
            param("cursor", false, json!({"type": "string"})),
            param("sort", false, json!({"type": "string", "enum": ["relevance", "recent"]})),
        ],
        ..Entry::unlisted("get-_api_v1_search", path, name, summary, "Search")
    }
}
