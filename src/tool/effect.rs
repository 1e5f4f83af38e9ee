//! What a call does to the PSA's data, judged by its method and the shape of its path.
//!
//! Knows no agent and no policy: it classifies, it does not decide.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rest::Verb;

/// How far a call reaches. Ordered: what may destroy may also write and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Read,
    Write,
    Destroy,
}

impl Effect {
    /// The effect of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Destroy].into_iter().find(|effect| effect.as_str() == name)
    }

    /// `read`, `write` or `destroy`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destroy => "destroy",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A POST that ends in one of these asks and changes nothing. `export`, `calculate` and `test` are
/// left out: they may leave batches, totals or deliveries behind.
const ASKING: &[&str] = &["search", "validate", "simulate", "preview"];

/// A POST, PUT or PATCH whose last fixed segment is one of these takes something away.
const DESTROYING: &[&str] =
    &["bulk-delete", "delete", "remove", "archive", "purge", "void", "cancel", "uninstall", "wipe"];

/// True where a path segment is the name of an act that destroys; `_` counts as `-`, case does not count.
pub(super) fn destroys(segment: &str) -> bool {
    let segment = segment.replace('_', "-");
    DESTROYING.iter().any(|word| word.eq_ignore_ascii_case(&segment))
}

/// The effect of `verb` on a path template such as `/api/v1/tickets/{id}`.
pub fn classify(verb: Verb, template: &str) -> Effect {
    let fixed = |segment: &&str| !segment.is_empty() && !segment.starts_with('{');
    match verb {
        Verb::Get => Effect::Read,
        Verb::Delete => Effect::Destroy,
        Verb::Post | Verb::Put | Verb::Patch => {
            // A variable behind the word is still an act on many, so that the last *fixed* segment counts.
            if template.split('/').rfind(fixed).is_some_and(destroys) {
                return Effect::Destroy;
            }
            // To be called a read, nothing may follow: `/search/{id}` could be a saved search.
            let last = template.rsplit('/').next().unwrap_or_default();
            match verb == Verb::Post && ASKING.iter().any(|word| word.eq_ignore_ascii_case(last)) {
                true => Effect::Read,
                false => Effect::Write,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_decides_unless_the_path_says_otherwise() {
        for (verb, path, effect) in [
            (Verb::Get, "/api/v1/tickets", Effect::Read),
            (Verb::Get, "/api/v1/tickets/delete", Effect::Read),
            (Verb::Post, "/api/v1/tickets", Effect::Write),
            (Verb::Put, "/api/v1/tickets/{id}", Effect::Write),
            (Verb::Patch, "/api/v1/tickets/{id}", Effect::Write),
            (Verb::Delete, "/api/v1/tickets/{id}", Effect::Destroy),
            (Verb::Delete, "/api/v1/tickets/search", Effect::Destroy),
            (Verb::Post, "/api/v1/tickets/search", Effect::Read),
            (Verb::Post, "/api/v1/invoices/preview", Effect::Read),
            (Verb::Post, "/api/workflow-definitions/simulate", Effect::Read),
            (Verb::Post, "/api/workflow-definitions/validate", Effect::Read),
            (Verb::Put, "/api/v1/tickets/search", Effect::Write),
            (Verb::Post, "/api/v1/search/{id}", Effect::Write),
            (Verb::Post, "/api/v1/webhooks/test", Effect::Write),
            (Verb::Post, "/api/v1/x/export", Effect::Write),
            (Verb::Post, "/api/v1/invoices/bulk/delete", Effect::Destroy),
            (Verb::Post, "/api/v1/x/bulk_delete", Effect::Destroy),
            (Verb::Put, "/api/v1/x/{id}/archive", Effect::Destroy),
            (Verb::Post, "/api/v1/x/delete/{id}", Effect::Destroy),
            (Verb::Post, "/api/v1/syncs/{id}/Cancel", Effect::Destroy),
            (Verb::Patch, "/api/v1/x/{id}/void", Effect::Destroy),
        ] {
            assert_eq!(classify(verb, path), effect, "{verb} {path}");
        }
    }

    #[test]
    fn effects_are_ordered_and_written_in_lower_case() {
        assert!(Effect::Read < Effect::Write && Effect::Write < Effect::Destroy);
        assert_eq!(serde_json::to_string(&Effect::Destroy).unwrap(), "\"destroy\"");
        assert_eq!(serde_json::from_str::<Effect>("\"read\"").unwrap(), Effect::Read);
    }
}
