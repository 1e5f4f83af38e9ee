//! Scopes: what an issuer's tokens must hold, and what they do hold (RFC 6749 section 3.3).
//!
//! Knows three lists by name and nothing of what a call does; which list a call needs is judged
//! in `policy`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault::TokenFault;

/// Never asked of a client: it buys a refresh token, not a right here (MCP, authorization).
const OFFLINE_ACCESS: &str = "offline_access";

/// The most characters of one list as a header shows it.
const MAX_LIST: usize = 1024;

/// The scopes that an issuer's tokens need, by what a call does. All of a list are needed; an empty
/// one asks for nothing of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequiredScopes {
    /// For whatever reads, searches included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// For whatever changes something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    /// For whatever removes something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destroy: Vec<String>,
}

impl RequiredScopes {
    /// The lists with their names, from the lightest to the gravest.
    pub fn lists(&self) -> [(&'static str, &[String]); 3] {
        [("read", &self.read), ("write", &self.write), ("destroy", &self.destroy)]
    }

    /// What is wrong, as (list, message).
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (list, scopes) in self.lists() {
            if scopes.iter().any(|scope| !is_scope(scope)) {
                let message =
                    "each must be one scope: printable ASCII without spaces, quotes and backslashes";
                found.push((list, message.to_owned()));
            } else if scopes.iter().any(|scope| scope == OFFLINE_ACCESS) {
                let message = "offline_access is between a client and its issuer; leave it out";
                found.push((list, message.to_owned()));
            } else if scopes.join(" ").len() > MAX_LIST {
                found.push((list, format!("must be at most {MAX_LIST} characters together")));
            }
        }
        found
    }
}

/// A scope-token (RFC 6749 section 3.3).
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// Every scope that one of `issuers` asks for, sorted, for the metadata (RFC 9728 section 2).
pub(super) fn supported<'a>(issuers: impl Iterator<Item = &'a RequiredScopes>) -> Vec<String> {
    let mut all: Vec<_> = issuers
        .flat_map(RequiredScopes::lists)
        .flat_map(|(_, scopes)| scopes)
        .filter(|scope| *scope != OFFLINE_ACCESS)
        .cloned()
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The scopes for reading that a caller without a token is told to ask for: those that all
/// `issuers` agree on in any order, none where they differ.
pub(super) fn agreed<'a>(mut issuers: impl Iterator<Item = &'a RequiredScopes>) -> Vec<String> {
    let Some(first) = issuers.next() else { return Vec::new() };
    let covers = |one: &[String], other: &[String]| other.iter().all(|scope| one.contains(scope));
    if issuers.all(|other| covers(&first.read, &other.read) && covers(&other.read, &first.read)) {
        first.read.clone()
    } else {
        Vec::new()
    }
}

/// All that a token was granted, as one list without repetitions: `scope` (RFC 9068), `scp`
/// (Entra ID, Okta) and the strings of `roles` (RFC 9068 section 2.2.3.1, Entra ID).
pub(super) fn granted(payload: &Map<String, Value>) -> Result<Vec<String>, TokenFault> {
    let mut granted: Vec<String> = Vec::new();
    let mut add = |scope: &str| {
        if !scope.is_empty() && !granted.iter().any(|have| have == scope) {
            granted.push(scope.to_owned());
        }
    };
    for claim in ["scope", "scp"] {
        for text in super::claims::list(payload, claim)?.unwrap_or_default() {
            text.split(' ').for_each(&mut add);
        }
    }
    // A role may be a phrase, which grants nothing by its words; issuers also put objects here.
    let roles = payload.get("roles").and_then(Value::as_array);
    roles.into_iter().flatten().filter_map(Value::as_str).for_each(add);
    Ok(granted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn required(read: &[&str], write: &[&str], destroy: &[&str]) -> RequiredScopes {
        let [read, write, destroy] =
            [read, write, destroy].map(|list| list.iter().map(|scope| (*scope).to_owned()).collect());
        RequiredScopes { read, write, destroy }
    }

    #[test]
    fn what_is_granted_is_the_union_of_scope_scp_and_roles() {
        for (payload, expected) in [
            (json!({}), &[][..]),
            (json!({"scope": "a b"}), &["a", "b"]),
            (json!({"scope": ["a", "b c"]}), &["a", "b", "c"]),
            (json!({"scp": "a b"}), &["a", "b"]),
            (json!({"scp": ["a", "b"]}), &["a", "b"]),
            (json!({"roles": ["a", "b"]}), &["a", "b"]),
            (json!({"scope": " a  b ", "scp": ["b", "c"], "roles": ["d", "a"]}), &["a", "b", "c", "d"]),
            (json!({"roles": ["reads a", {"value": "b"}, 7, null, ""]}), &["reads a"]),
            (json!({"roles": "a"}), &[]),
            (json!({"roles": {"a": true}}), &[]),
            (json!({"scope": "a\tb"}), &["a\tb"]),
        ] {
            assert_eq!(granted(payload.as_object().unwrap()).unwrap(), expected, "{payload}");
        }
        for payload in
            [json!({"scope": {}}), json!({"scope": [7]}), json!({"scp": 7}), json!({"scope": null})]
        {
            let fault = granted(payload.as_object().unwrap()).unwrap_err();
            assert_eq!(fault.label(), "claim_type", "{payload}");
        }
    }

    #[test]
    fn a_list_holds_scopes_that_can_stand_in_a_challenge_and_never_offline_access() {
        assert_eq!(required(&["psa.read", "api://x/Read!#[]~"], &[], &["a", "b"]).problems(), []);
        let long = "x".repeat(MAX_LIST);
        for (bad, word) in [
            ("", "one scope"),
            ("a b", "one scope"),
            ("a\"b", "one scope"),
            ("a\\b", "one scope"),
            ("a\tb", "one scope"),
            ("\u{e9}", "one scope"),
            ("offline_access", "leave it out"),
            (&long, "1024"),
        ] {
            let problems = required(&[], &["fine", bad], &[]).problems();
            assert_eq!(problems.len(), 1, "{bad}");
            assert!(problems[0].0 == "write" && problems[0].1.contains(word), "{bad}: {problems:?}");
        }
    }

    #[test]
    fn the_metadata_names_every_scope_once_sorted_and_never_offline_access() {
        let issuers = [required(&["c", "a"], &["b"], &[]), required(&["a"], &[], &["d", OFFLINE_ACCESS])];
        assert_eq!(supported(issuers.iter()), ["a", "b", "c", "d"]);
        assert!(supported([RequiredScopes::default()].iter()).is_empty());
    }

    #[test]
    fn a_challenge_names_the_scopes_for_reading_only_where_all_issuers_agree_on_them() {
        let one = required(&["a", "b"], &["w"], &[]);
        assert_eq!(agreed([&one].into_iter()), ["a", "b"]);
        assert_eq!(agreed([&one, &required(&["b", "a"], &[], &[])].into_iter()), ["a", "b"]);
        for other in
            [required(&["a"], &["w"], &[]), required(&["a", "b", "c"], &[], &[]), required(&[], &[], &[])]
        {
            assert!(agreed([&one, &other].into_iter()).is_empty());
            assert!(agreed([&other, &one].into_iter()).is_empty());
        }
        assert!(agreed([].into_iter()).is_empty());
    }
}
