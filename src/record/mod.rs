//! The words of the record: what one record is, how records hang together in chains, who signs for them, and how a copy
//! is checked. Pure: it is handed the time, the keys and the bytes.
//!
//! A record's text is canonical JSON (RFC 8785), and its digest the SHA-256 of that. Records form chains, one for each
//! process and tenant: each link is the SHA-256 of the link before and the record's digest, so that a record can be left
//! out of a copy and its digest stand for it. Signed records in the chain itself, the first one and checkpoints, vouch
//! for the links before them and for the heads of other chains (Ed25519, RFC 8032).

mod canonical;
mod chain;
mod export;
mod filter;
mod own;
mod sign;
#[cfg(feature = "server")]
pub mod table;
mod verdict;
mod verify;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::clock::Millis;
use crate::units::hex;

pub use canonical::{canonical, exact};
pub use chain::{Advance, Chain, Head};
pub use export::{Export, Span};
pub use filter::Filter;
pub use own::{Checkpoint, Start};
pub use sign::{PublicKey, Signer};
pub use verify::{Break, Kind, Report, Stretch, Verifier};

/// A SHA-256, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of a record's text.
    pub fn of(text: &str) -> Self {
        Self::of_parts(&[text.as_bytes()])
    }

    fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut digest = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.len() || !rest.is_empty() {
            return Err(());
        }
        for (byte, &[high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(high).ok_or(())? << 4 | nibble(low).ok_or(())?;
        }
        Ok(Self(digest))
    }
}

/// Only as [`hex`] writes it: one text for each digest.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Which chain: a random number of 63 bits, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(pub i64);

impl ChainId {
    /// From any random number.
    pub fn from_random(random: u64) -> Self {
        Self((random >> 1) as i64)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChainId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let id = i64::from_str_radix(text, 16).map(Self).map_err(|_| ())?;
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// What a record says, before it has its place in a chain. The columns repeat what of `body` can be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whose record.
    pub tenant: String,
    /// When what it tells began.
    pub at: Millis,
    /// `call` (an agent's tool call), `refusal`, `change` (an administrator's), `other` (what an agent asked beside
    /// tools), `intent` (before a write), and of the record itself `start`, `checkpoint` and `lost`.
    pub kind: Cow<'static, str>,
    /// The agent that it is about, where it is about one.
    pub agent_id: Option<String>,
    /// The MCP tool.
    pub tool: Option<String>,
    /// The entry of the PSA's registry.
    pub entry_id: Option<String>,
    /// What the policy said.
    pub decision: Option<Cow<'static, str>>,
    /// How it ended.
    pub outcome: Option<Cow<'static, str>>,
    /// The PSA's HTTP status.
    pub status: Option<i64>,
    /// The id that the caller was told.
    pub request_id: Option<String>,
    /// The whole record as canonical JSON: one object, without `chain`.
    pub body: String,
}

impl Facts {
    /// True for what the record says of itself, signed.
    pub fn is_own(&self) -> bool {
        matches!(&*self.kind, "start" | "checkpoint")
    }
}

/// A record in its place. Chain and number together are its id: `0123456789abcdef-42`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub facts: Facts,
    pub chain: ChainId,
    /// Its number in the chain, from 0.
    pub seq: i64,
    /// Of [`Facts::body`].
    pub digest: Digest,
    /// Of the link before and [`Record::digest`].
    pub link: Digest,
}

impl Record {
    /// By which copies of the same record are known.
    pub fn id(&self) -> String {
        format!("{}-{}", self.chain, self.seq)
    }

    /// Appends the record as one line with its newline: its body, and `chain` before the body's first member.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let Self { chain, seq, link, .. } = self;
        out.extend_from_slice(
            format!("{{\"chain\":{{\"id\":\"{chain}\",\"link\":\"{link}\",\"seq\":{seq}}}").as_bytes(),
        );
        match self.facts.body.strip_prefix('{') {
            Some("}") | None => out.push(b'}'),
            Some(rest) => {
                out.push(b',');
                out.extend_from_slice(rest.as_bytes());
            }
        }
        out.push(b'\n');
    }

    /// The link that the record itself says stood before it, where it is a checkpoint.
    pub fn stated_link(&self) -> Option<Digest> {
        let body: serde_json::Value = serde_json::from_str(&self.facts.body).ok()?;
        body.get("link")?.as_str()?.parse().ok()
    }

    /// Appends what stands for the record where it is left out.
    pub fn write_omitted(&self, out: &mut Vec<u8>) {
        let Self { chain, seq, digest, link, .. } = self;
        let line = format!(
            "{{\"chain\":{{\"digest\":\"{digest}\",\"id\":\"{chain}\",\"link\":\"{link}\",\"seq\":{seq}}}}}\n"
        );
        out.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_ids_are_read_as_they_are_written_and_in_no_other_way() {
        let digest = Digest::of("{}");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "00", &digest.to_string().to_uppercase(), &format!("{digest}0")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        let id = ChainId::from_random(u64::MAX);
        assert_eq!((id.0 > 0, id.to_string().parse()), (true, Ok(id)));
        for wrong in ["", "1", "+00000000000000a", "-000000000000001", "000000000000000A"] {
            assert!(wrong.parse::<ChainId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_is_the_body_with_its_place_before_it() {
        let mut chain = Chain::begin(ChainId(1));
        let facts = Facts { body: r#"{"record":"event"}"#.to_owned(), ..Facts::default() };
        let record = chain.append(facts);
        let mut line = Vec::new();
        record.write_line(&mut line);
        let mut read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let place = read.as_object_mut().unwrap().remove("chain").unwrap();
        assert_eq!(canonical(&read).unwrap(), record.facts.body);
        assert_eq!(
            place,
            serde_json::json!({"id": "0000000000000001", "seq": 0, "link": record.link.to_string()})
        );
        line.clear();
        record.write_omitted(&mut line);
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read["chain"]["digest"], record.digest.to_string());
        assert_eq!(record.id(), "0000000000000001-0");
    }
}
