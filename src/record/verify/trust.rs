//! Who may vouch, and what a signed record of the record itself says about where it stands.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::line::{Seen, heads, signer};
use super::report::{Kind, Wrong};
use crate::record::{ChainId, Digest, Head, PublicKey};

/// The keys that may sign: those that were pinned, or else the first one that signed.
pub(super) struct Trust {
    pinned: bool,
    keys: Vec<PublicKey>,
    /// Those that did.
    pub signers: Vec<PublicKey>,
}

/// What a signed record vouches for beside its place.
pub(super) struct Vouched {
    pub heads: Vec<Head>,
    /// Nothing may follow it.
    pub last: bool,
}

impl Trust {
    pub fn new(pins: Vec<PublicKey>) -> Self {
        Self { pinned: !pins.is_empty(), keys: pins, signers: Vec::new() }
    }

    pub fn pinned(&self) -> bool {
        self.pinned
    }

    /// Takes the signature of a line.
    pub fn check(&mut self, fields: &Map<String, Value>) -> Result<(), Wrong> {
        let key = signer(fields)
            .ok_or_else(|| Wrong::new(Kind::Edit, "its signature does not hold for what it says"))?;
        if self.keys.is_empty() {
            self.keys.push(key);
        }
        if !self.keys.contains(&key) {
            let whose = if self.pinned { "none of the pinned ones" } else { "not the first signer's" };
            let what = format!(
                "it is signed with the key {key}, which is {whose}; if that is an earlier key of yours, pin it too"
            );
            return Err(Wrong::new(Kind::Signature, what));
        }
        if !self.signers.contains(&key) {
            self.signers.push(key);
        }
        Ok(())
    }

    /// Takes a start or a checkpoint that stands behind the link `before`.
    pub fn vouch(
        &mut self,
        seen: &Seen<'_>,
        own: &Map<String, Value>,
        before: Digest,
    ) -> Result<Vouched, Wrong> {
        self.check(own)?;
        let text = |name: &str| own.get(name).and_then(Value::as_str);
        let wrong = |kind, what: &str| Err(Wrong::new(kind, what));
        if text("chain_id").and_then(|id| id.parse::<ChainId>().ok()) != Some(seen.chain) {
            return wrong(Kind::Insertion, "it was signed for another chain");
        }
        if text("record") == Some("start") {
            if seen.seq != 0 {
                return wrong(Kind::Insertion, "a chain starts once, at its first record");
            }
        } else {
            match own.get("seq").and_then(Value::as_i64) {
                Some(seq) if seq > seen.seq => {
                    return wrong(Kind::Removal, "when it was signed, more records stood before it");
                }
                Some(seq) if seq < seen.seq => {
                    return wrong(Kind::Insertion, "when it was signed, fewer records stood before it");
                }
                _ => {}
            }
            if text("link").and_then(|link| link.parse::<Digest>().ok()) != Some(before) {
                return wrong(Kind::Edit, "what stands before it is not what it vouches for");
            }
        }
        let heads =
            heads(own).ok_or_else(|| Wrong::new(Kind::Edit, "the heads that it names cannot be read"))?;
        Ok(Vouched { heads, last: own.get("last").and_then(Value::as_bool) == Some(true) })
    }
}

/// The link that a checkpoint says stood before it.
pub(super) fn stated_link(own: &Map<String, Value>) -> Option<Digest> {
    own.get("link")?.as_str()?.parse().ok()
}

/// What others said of where a chain stands, to be compared when it comes there: of each chain the furthest, which covers
/// all before it.
#[derive(Default)]
pub(super) struct Claims(HashMap<ChainId, Claim>);

pub(super) struct Claim {
    pub head: Head,
    /// The record that says so.
    pub by: String,
}

impl Claims {
    pub fn add(&mut self, head: Head, by: String) {
        if self.0.get(&head.chain).is_none_or(|known| known.head.seq < head.seq) {
            self.0.insert(head.chain, Claim { head, by });
        }
    }

    /// Compares a record that is there.
    pub fn meet(&mut self, at: Head) -> Result<(), Wrong> {
        match self.0.get(&at.chain) {
            Some(claim) if claim.head.seq == at.seq => {
                if claim.head.link != at.link {
                    return Err(contradicted(&claim.by, at));
                }
                self.0.remove(&at.chain);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Claim> {
        self.0.values()
    }
}

pub(super) fn contradicted(by: &str, at: Head) -> Wrong {
    let what = format!(
        "up to {}-{} the chain is not the one that {by} vouches for: it was changed and linked anew",
        at.chain, at.seq
    );
    Wrong { chain: Some((at.chain, at.seq)), sure: true, ..Wrong::new(Kind::Edit, what) }
}
