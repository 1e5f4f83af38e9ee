//! One line of a copy: read as it was written, or, where another tool wrote the same JSON anew, by its canonical form.
//! What one reader of JSON could read otherwise than another, a name that occurs twice, is not read at all.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::record::{ChainId, Digest, Head, PublicKey, Record, canonical};

/// What a line can be.
pub(super) enum Line<'a> {
    Record(Seen<'a>),
    /// The first line of an export, with its digest.
    Header(Map<String, Value>, Digest),
    /// The last line of an export.
    Seal(Map<String, Value>),
}

/// A record as a copy shows it.
pub(super) struct Seen<'a> {
    pub chain: ChainId,
    pub seq: i64,
    pub link: Digest,
    digest: Digest,
    /// The line, where the digest is of the text as it stands.
    text: Option<&'a str>,
    /// Only the hash of it is here.
    pub omitted: bool,
    /// What it says, where it is one that the record itself signs.
    pub own: Option<Map<String, Value>>,
}

/// It cannot be read; `true` where it ends too early.
pub(super) struct Unreadable(pub bool);

/// `link`, followed by a record with this digest.
pub(super) fn follow(link: Digest, digest: Digest) -> Digest {
    Digest::of_parts(&[&link.0, &digest.0])
}

impl<'a> Line<'a> {
    /// `ended` is false where no newline follows: it may be the first part of a line.
    pub fn read(line: &'a [u8], ended: bool) -> Result<Self, Unreadable> {
        if !ended {
            strict(line)?;
        }
        let text = std::str::from_utf8(line);
        if let Some(seen) = text.ok().and_then(as_written) {
            return match seen.text {
                Some(text) if ["\"start\"", "\"checkpoint\""].iter().any(|own| text.contains(own)) => {
                    Ok(Self::Record(Seen { own: own(strict(text.as_bytes())?), ..seen }))
                }
                _ => Ok(Self::Record(seen)),
            };
        }
        let Value::Object(mut fields) = strict(line)? else { return Err(Unreadable(false)) };
        if let Some(place) = fields.remove("chain") {
            return reread(&place, fields).map(Self::Record).ok_or(Unreadable(false));
        }
        match fields.get("record").and_then(Value::as_str) {
            Some("export") => {
                let digest = Digest::of(&canonical(&fields).unwrap_or_default());
                Ok(Self::Header(fields, digest))
            }
            Some("seal") => Ok(Self::Seal(fields)),
            _ => Err(Unreadable(false)),
        }
    }
}

impl<'a> Seen<'a> {
    /// A record of the store.
    pub fn of(record: &'a Record) -> Seen<'a> {
        let Record { facts, chain, seq, link, .. } = record;
        let own = matches!(&*facts.kind, "start" | "checkpoint")
            .then(|| strict(facts.body.as_bytes()).ok().and_then(own))
            .flatten();
        Seen {
            chain: *chain,
            seq: *seq,
            link: *link,
            digest: Digest::of(&facts.body),
            text: None,
            omitted: false,
            own,
        }
    }

    /// True where it stood behind `link`, unchanged.
    pub fn follows(&self, link: Digest) -> bool {
        follow(link, self.digest) == self.link
            || self.canonical().is_some_and(|digest| follow(link, digest) == self.link)
    }

    /// True where its text is the one with this digest.
    pub fn is(&self, digest: Digest) -> bool {
        self.digest == digest || self.canonical() == Some(digest)
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of its canonical form, where its text may not be in that.
    fn canonical(&self) -> Option<Digest> {
        let Value::Object(mut fields) = strict(self.text?.as_bytes()).ok()? else { return None };
        fields.remove("chain");
        Some(Digest::of(&canonical(&fields).ok()?))
    }

    pub fn id(&self) -> String {
        format!("{}-{}", self.chain, self.seq)
    }
}

/// A line in the very form of [`Record::write_line`] and [`Record::write_omitted`], whatever its body is.
fn as_written(line: &str) -> Option<Seen<'_>> {
    let rest = line.strip_prefix("{\"chain\":{")?;
    let (digest, rest) = match rest.strip_prefix("\"digest\":\"") {
        Some(rest) => (Some(rest.get(..64)?.parse::<Digest>().ok()?), rest.get(64..)?.strip_prefix("\",")?),
        None => (None, rest),
    };
    let rest = rest.strip_prefix("\"id\":\"")?;
    let (id, rest) = (rest.get(..16)?, rest.get(16..)?.strip_prefix("\",\"link\":\"")?);
    let (link, rest) = (rest.get(..64)?, rest.get(64..)?.strip_prefix("\",\"seq\":")?);
    let (seq, rest) = rest.split_once('}')?;
    let place = (id.parse().ok()?, seq.parse::<i64>().ok()?, link.parse().ok()?);
    // One text for each number: no sign, no zeros before it.
    if seq.starts_with('+') || place.1.to_string() != seq {
        return None;
    }
    let (chain, seq, link) = place;
    match (digest, rest) {
        (Some(digest), "}") => Some(Seen { chain, seq, link, digest, text: None, omitted: true, own: None }),
        (None, "}") => {
            Some(Seen { chain, seq, link, digest: Digest::of("{}"), text: None, omitted: false, own: None })
        }
        (None, _) => {
            let digest = Digest::of_parts(&[b"{", rest.strip_prefix(',')?.as_bytes()]);
            Some(Seen { chain, seq, link, digest, text: Some(line), omitted: false, own: None })
        }
        (Some(_), _) => None,
    }
}

/// A line in any other form of the same JSON.
fn reread<'a>(place: &Value, fields: Map<String, Value>) -> Option<Seen<'a>> {
    let text = |name: &str| place.get(name)?.as_str();
    let (chain, link) = (text("id")?.parse().ok()?, text("link")?.parse().ok()?);
    let seq = place.get("seq")?.as_i64()?;
    let members = place.as_object()?.len();
    let omitted = text("digest").map(str::parse::<Digest>);
    let digest = match omitted {
        Some(Ok(digest)) if fields.is_empty() && members == 4 => digest,
        None if members == 3 => Digest::of(&canonical(&fields).ok()?),
        _ => return None,
    };
    Some(Seen {
        chain,
        seq,
        link,
        digest,
        text: None,
        omitted: omitted.is_some(),
        own: own(Value::Object(fields)),
    })
}

/// The members of a record that the record itself signs.
fn own(value: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut fields) = value else { return None };
    fields.remove("chain");
    matches!(fields.get("record")?.as_str()?, "start" | "checkpoint").then_some(fields)
}

/// Whose signature a signed object bears, if it holds.
pub(super) fn signer(fields: &Map<String, Value>) -> Option<PublicKey> {
    let key: PublicKey = fields.get("key")?.as_str()?.parse().ok()?;
    let mut fields = fields.clone();
    let signature = fields.remove("signature")?;
    key.verifies(&canonical(&fields).ok()?, signature.as_str()?).then_some(key)
}

/// The heads that a signed object names; none where they cannot be read.
pub(super) fn heads(fields: &Map<String, Value>) -> Option<Vec<Head>> {
    let head = |value: &Value| {
        let text = |name: &str| value.get(name)?.as_str();
        Some(Head {
            chain: text("chain")?.parse().ok()?,
            seq: value.get("seq")?.as_i64()?,
            link: text("link")?.parse().ok()?,
        })
    };
    fields.get("heads")?.as_array()?.iter().map(head).collect()
}

/// JSON in which no name occurs twice in an object.
fn strict(text: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice::<Strict>(text)
        .map(|strict| strict.0)
        .map_err(|error| Unreadable(error.classify() == serde_json::error::Category::Eof))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if read.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(read))
    }
}
