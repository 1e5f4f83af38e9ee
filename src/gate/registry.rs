//! The PSA's registry as one agent may use it: what it may not call is not in it.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Desk, Outgoing, Visitor};
use crate::policy::{self, Policies};
use crate::tool::catalog::{Catalog, Entry};
use crate::tool::effect::Effect;
use crate::units::hex;

/// Where the PSA serves its registry, and this serves it to agents.
pub const REGISTRY: &str = "/api/v1/meta/mcp-registry";

impl Desk {
    /// The registry in the PSA's own envelope, cut to what the visitor may call, or word that it has not changed since
    /// the answer that `known` (an If-None-Match header, RFC 9110 section 13.1.2) names.
    pub(super) fn registry(&self, visitor: &Visitor, known: Option<&str>) -> Outgoing {
        let loaded = self.parts.catalogue.current();
        let may = |effect| may(&visitor.policies, visitor, effect);
        let effects = [Effect::Read, Effect::Write, Effect::Destroy].map(may);
        let etag = etag(loaded.catalog.hash(), effects);
        let listed = known.into_iter().flat_map(|known| known.split(',')).map(str::trim);
        let unchanged =
            listed.map(|tag| tag.strip_prefix("W/").unwrap_or(tag)).any(|tag| tag == "*" || tag == etag);
        let body = (!unchanged).then(|| {
            let entries = loaded.catalog.registered().iter().filter(|entry| effects[place(entry.effect)]);
            envelope(&loaded.catalog, entries).into_bytes()
        });
        Outgoing::Document { etag, body }
    }
}

fn place(effect: Effect) -> usize {
    match effect {
        Effect::Read => 0,
        Effect::Write => 1,
        Effect::Destroy => 2,
    }
}

fn may(policies: &Policies, visitor: &Visitor, effect: Effect) -> bool {
    effect <= policies.most(visitor.agent_id()) && policy::scoped(&visitor.caller, effect).is_ok()
}

/// The same for the same entries: of this catalogue, those of these effects.
fn etag(hash: &str, effects: [bool; 3]) -> String {
    let digest = Sha256::digest(format!("{hash} {effects:?}").as_bytes());
    format!("\"{}\"", hex(&digest[..16]))
}

fn envelope<'a>(catalog: &Catalog, entries: impl Iterator<Item = &'a Arc<Entry>>) -> String {
    let mut list = String::new();
    let mut count = 0;
    for entry in entries {
        if count > 0 {
            list.push(',');
        }
        list.push_str(&entry.source);
        count += 1;
    }
    let edition = serde_json::Value::from(catalog.edition().unwrap_or("ce"));
    let mut text = String::with_capacity(list.len() + 128);
    let _ = write!(
        text,
        r#"{{"data":{{"edition":{edition},"count":{count},"entries":[{list}]}},"meta":{{"message":"MCP API registry retrieved successfully"}}}}"#
    );
    text
}
