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
    let ranked = search::search(catalog, query, usize::MAX).into_iter();
    let ranked: Vec<Found<'_>> = ranked.filter(|found| found.entry.about.is_none() || named).collect();
    let best = ranked.first().map(|found| found.entry.effect);
    let withheld = best.filter(|effect| *effect > most);
    let mut found: Vec<_> =
        ranked.into_iter().filter(|found| found.entry.effect <= most).take(limit).collect();
    if let Some(entry) = About::asked(query).and_then(|about| catalog.get(about.id())) {
        let score = found.first().map_or(1.0, |best| best.score + 1.0);
        found.retain(|found| found.entry.id != entry.id);
        found.insert(0, Found { entry, score });
        found.truncate(limit);
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::tool::catalog::CatalogRules;
    use crate::tool::effect::Effect;

    fn asked(most: Effect, query: &str) -> Value {
        let entry = |id: &str, method: &str, name: &str| json!({"id": id, "method": method, "path": format!("/api/v1/{id}"), "summary": name});
        let entries = json!([
            entry("drop", "delete", "Delete widget permissions"),
            entry("drop_all", "delete", "Delete all widget permissions"),
            entry("alter", "put", "Update widget permissions"),
            entry("show", "get", "Show gadgets and widgets"),
        ]);
        let catalog =
            Catalog::with(entries.to_string().as_bytes(), &CatalogRules::default(), &About::ALL).unwrap();
        let mut visitor = Visitor::local("t");
        Arc::make_mut(&mut visitor.policies).default_max = most;
        serde_json::from_str(&found(&catalog, &visitor, query, 1, Detail::Short).text).unwrap()
    }

    #[test]
    fn what_an_agent_may_never_call_makes_room_for_what_it_may() {
        for (most, id) in [(Effect::Destroy, "drop"), (Effect::Write, "alter"), (Effect::Read, "show")] {
            assert_eq!(asked(most, "delete widget permissions")["results"][0]["entryId"], id, "{most}");
        }
    }

    #[test]
    fn where_the_best_is_withheld_the_agent_is_told_of_it() {
        for (query, count, effect) in
            [("update permissions", 0, "`write`"), ("delete widgets", 1, "`destroy`")]
        {
            let told = asked(Effect::Read, query);
            assert_eq!(told["count"], count);
            assert!(told["hint"].as_str().unwrap().contains(effect), "{told}");
        }
        assert!(asked(Effect::Read, "xylophones")["hint"].as_str().unwrap().contains("No endpoint"));
    }

    #[test]
    fn an_agents_own_entries_are_in_nobodys_way() {
        assert_eq!(asked(Effect::Write, "permissions")["results"][0]["entryId"], "alter");
        assert_eq!(
            asked(Effect::Write, "what are my permissions")["results"][0]["entryId"],
            "sidegate_permissions"
        );
        assert_eq!(
            asked(Effect::Read, "sidegate permissions")["results"][0]["entryId"],
            "sidegate_permissions"
        );
    }
}
