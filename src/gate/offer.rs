//! What an agent is offered of the catalogue: what policy may let it call, and whether its token reaches that far.

use super::Visitor;
use crate::policy;
use crate::tool::about::About;
use crate::tool::catalog::{Catalog, Entry};
use crate::tool::rewrite::ToolResult;
use crate::tool::search::{self, Found};
use crate::tool::table::{Detail, Offer};

/// What the visitor is offered for `query`: nothing that its agent may never call.
pub(super) fn found(
    catalog: &Catalog,
    visitor: &Visitor,
    query: &str,
    limit: usize,
    detail: Detail,
) -> ToolResult {
    let caller = &visitor.caller;
    let most = visitor.policies.most(caller.agent_id());
    let named = About::named(query);
    let offered = |entry: &Entry| entry.effect <= most && (entry.about.is_none() || named);
    let mut found = search::search_among(catalog, query, limit, &offered);
    if let Some(entry) = About::asked(query).and_then(|about| catalog.get(about.id())) {
        let score = found.first().map_or(1.0, |best| best.score + 1.0);
        found.retain(|found| found.entry.id != entry.id);
        found.insert(0, Found { entry, score });
        found.truncate(limit);
    }
    let denied = |entry: &Entry| entry.about.is_none() && entry.effect > most;
    let beyond = || search::search_among(catalog, query, 1, &denied).first().map(|found| found.entry.effect);
    let withheld = if found.is_empty() { beyond() } else { None };
    let hindrance = |entry: &Entry| {
        let lacking = policy::scoped(caller, entry.effect).err()?;
        Some(format!(
            "the token lacks scopes; a call of effect {} needs {}",
            lacking.effect,
            lacking.scopes.join(" ")
        ))
    };
    Offer { query, found: &found, detail, hindrance: &hindrance, withheld }.result()
}
