//! What the record says of itself, signed: how a chain began, and where it and the others stood.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{Chain, ChainId, Facts, Head, Signer, canonical};
use crate::clock::{Millis, rfc3339};

/// The first record of a chain.
pub struct Start<'a> {
    pub tenant: &'a str,
    pub at: Millis,
    /// A UUID of the process that writes it.
    pub process: &'a str,
    /// Where the tenant's other chains stood.
    pub heads: &'a [Head],
}

/// A record that vouches for the chain up to itself.
pub struct Checkpoint<'a> {
    pub tenant: &'a str,
    pub at: Millis,
    /// Where the tenant's other chains stood, as far as they went on lately.
    pub heads: &'a [Head],
    /// Nothing follows it: the process ended in order.
    pub last: bool,
}

impl Start<'_> {
    /// Its text, as the first record of `chain`.
    pub fn facts(&self, chain: ChainId, signer: &Signer) -> Facts {
        let body = json!({
            "chain_id": chain.to_string(),
            "heads": heads(self.heads),
            "process": self.process,
            "record": "start",
            "tenant": self.tenant,
            "time": rfc3339(self.at),
            "version": env!("CARGO_PKG_VERSION"),
        });
        facts(self.tenant, self.at, "start", signed(body, signer))
    }
}

impl Checkpoint<'_> {
    /// Its text, as the next record of `chain`.
    pub fn facts(&self, chain: &Chain, signer: &Signer) -> Facts {
        let body = json!({
            "chain_id": chain.id().to_string(),
            "heads": heads(self.heads),
            "last": self.last,
            "link": chain.link().to_string(),
            "record": "checkpoint",
            "seq": chain.next(),
            "tenant": self.tenant,
            "time": rfc3339(self.at),
        });
        facts(self.tenant, self.at, "checkpoint", signed(body, signer))
    }
}

fn heads(heads: &[Head]) -> Value {
    let shown = |head: &Head| json!({"chain": head.chain.to_string(), "link": head.link.to_string(), "seq": head.seq});
    heads.iter().map(shown).collect()
}

fn facts(tenant: &str, at: Millis, kind: &'static str, body: String) -> Facts {
    Facts { tenant: tenant.to_owned(), at, kind: Cow::Borrowed(kind), body, ..Facts::default() }
}

/// `body`, an object, with its signer's `key` and the `signature` of the canonical text of all but the signature itself.
pub(super) fn signed(body: Value, signer: &Signer) -> String {
    let mut fields = match body {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.insert("key".to_owned(), signer.public().to_string().into());
    let text = canonical(&fields).unwrap_or_default();
    fields.insert("signature".to_owned(), signer.sign(&text).into());
    canonical(&fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Digest, PublicKey};
    use crate::secret::Secret;

    #[test]
    fn both_are_signed_and_in_canonical_form() {
        let signer = Signer::new(&Secret::new("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")).unwrap();
        let mut chain = Chain::begin(ChainId(3));
        let heads = [Head { chain: ChainId(2), seq: 9, link: Digest::of("x") }];
        let start = Start { tenant: "acme", at: 0, process: "p", heads: &heads }.facts(chain.id(), &signer);
        let link = chain.append(start.clone()).link;
        let checkpoint =
            Checkpoint { tenant: "acme", at: 1, heads: &heads, last: true }.facts(&chain, &signer);
        for facts in [start, checkpoint.clone()] {
            let mut fields: Map<String, Value> = serde_json::from_str(&facts.body).unwrap();
            assert_eq!(canonical(&fields).unwrap(), facts.body);
            let signature = fields.remove("signature").unwrap();
            let key: PublicKey = fields["key"].as_str().unwrap().parse().unwrap();
            assert!(key.verifies(&canonical(&fields).unwrap(), signature.as_str().unwrap()));
            assert_eq!(facts.kind, fields["record"].as_str().unwrap());
        }
        let said: Value = serde_json::from_str(&checkpoint.body).unwrap();
        assert_eq!((&said["link"], &said["seq"]), (&json!(link.to_string()), &json!(1)));
    }
}
