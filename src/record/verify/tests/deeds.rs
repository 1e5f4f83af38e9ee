//! What can be done to a copy, and how that is called.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::Kind;
use crate::record::Digest;

#[derive(Clone, Debug)]
pub enum Deed {
    /// Another byte in a place.
    Byte(Index, u8),
    Remove(Index),
    /// A line stands elsewhere too.
    Repeat(Index, Index),
    /// A record that never was; linked to the one before it or not.
    Forge(Index, bool),
    Swap(Index, Index),
    /// The copy ends here.
    Truncate(Index),
    /// Only the hash of a record is left.
    Hide(Index),
}

pub fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Deed::Byte(at, byte)),
        2 => (any::<Index>(), prop::sample::select(b"0123456789abcdef\n \",:{}".to_vec()))
            .prop_map(|(at, byte)| Deed::Byte(at, byte)),
        2 => any::<Index>().prop_map(Deed::Remove),
        3 => (any::<Index>(), any::<Index>()).prop_map(|(line, at)| Deed::Repeat(line, at)),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(at, linked)| Deed::Forge(at, linked)),
        3 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Deed::Swap(one, other)),
        2 => any::<Index>().prop_map(Deed::Truncate),
        1 => any::<Index>().prop_map(Deed::Hide),
    ]
}

fn lines(copy: &[u8]) -> Vec<Vec<u8>> {
    copy.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn place(line: &[u8]) -> Option<(String, i64, String)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let chain = value.get("chain")?;
    Some((chain["id"].as_str()?.to_owned(), chain["seq"].as_i64()?, chain["link"].as_str()?.to_owned()))
}

impl Deed {
    /// The copy after it, and its name in an export; none where there is nothing to do it to.
    pub fn done_to(&self, copy: &[u8]) -> Option<(Vec<u8>, Kind)> {
        let mut lines = lines(copy);
        let last = lines.len() - 1;
        let kind = match self {
            Self::Byte(at, byte) => {
                let mut copy = copy.to_vec();
                let at = at.index(copy.len());
                copy[at] = *byte;
                return Some((copy, Kind::Edit));
            }
            Self::Truncate(at) => return Some((copy[..at.index(copy.len() - 1)].to_vec(), Kind::Cut)),
            Self::Remove(at) => {
                let at = at.index(lines.len());
                lines.remove(at);
                if at == last { Kind::Cut } else { Kind::Removal }
            }
            Self::Repeat(line, at) => {
                let line = lines[line.index(lines.len())].clone();
                lines.insert(at.index(last + 2), line);
                Kind::Insertion
            }
            Self::Swap(one, other) => {
                lines.swap(one.index(last + 1), other.index(last + 1));
                Kind::Swap
            }
            Self::Forge(at, linked) => {
                let at = at.index(last + 1);
                let (chain, seq, link) = place(&lines[at])?;
                let body = "\"record\":\"event\",\"tool\":\"forged\"}";
                let digest = Digest::of(&format!("{{{body}"));
                let link =
                    if *linked { super::super::line::follow(link.parse().ok()?, digest) } else { digest };
                let seq = seq + 1;
                let line =
                    format!("{{\"chain\":{{\"id\":\"{chain}\",\"link\":\"{link}\",\"seq\":{seq}}},{body}\n");
                lines.insert(at + 1, line.into_bytes());
                Kind::Insertion
            }
            Self::Hide(at) => {
                let at = at.index(last + 1);
                let mut value: Value = serde_json::from_slice(&lines[at]).ok()?;
                let mut chain = value.as_object_mut()?.remove("chain")?;
                if chain["digest"].is_string() {
                    return None;
                }
                chain["digest"] = json!(Digest::of(&crate::record::canonical(&value).ok()?).to_string());
                lines[at] = format!("{}\n", json!({ "chain": chain })).into_bytes();
                Kind::Edit
            }
        };
        Some((lines.concat(), kind))
    }
}

/// What must be found where a sink wrote the copy: one name or that it is whole, and none where it must be broken in some
/// way. Between chains there is no order, and what a copy begins or ends with nobody knows.
#[allow(clippy::option_option)]
pub fn of_a_sink(deed: &Deed, copy: &[u8]) -> Option<Option<Kind>> {
    let lines = lines(copy);
    let places: Vec<_> = lines.iter().filter_map(|line| place(line)).collect();
    let first = |at: usize| places[at].1 == 0;
    let last = |at: usize| !places[at + 1..].iter().any(|other| other.0 == places[at].0);
    let size = lines.len();
    match deed {
        Deed::Byte(..) => None,
        Deed::Hide(_) => Some(Some(Kind::Edit)),
        Deed::Truncate(at) => {
            let rest = &copy[..at.index(copy.len() - 1)];
            let whole = rest.is_empty() || rest.ends_with(b"\n") || copy[rest.len()] == b'\n';
            Some((!whole).then_some(Kind::Cut))
        }
        Deed::Remove(at) => {
            let at = at.index(size);
            Some((!first(at) && !last(at)).then_some(Kind::Removal))
        }
        Deed::Repeat(line, at) => {
            let (line, at) = (line.index(size), at.index(size + 1));
            let begun = places[..at].iter().any(|other| other.0 == places[line].0);
            // Where nothing of its chain stands between, it comes on time, and what follows it is the repeat.
            let early = at < line && places[at..line].iter().any(|other| other.0 == places[line].0);
            if !early && (begun || at >= line) {
                Some(None)
            } else if begun {
                Some(Some(Kind::Insertion))
            } else if first(line) {
                Some(None)
            } else {
                None
            }
        }
        Deed::Swap(one, other) => {
            let (one, other) =
                (one.index(size).min(other.index(size)), one.index(size).max(other.index(size)));
            let between =
                |at: usize| places[one..=other].iter().filter(|place| place.0 == places[at].0).count();
            match (between(one), between(other)) {
                (1, 1) => Some(None),
                _ if places[one].0 == places[other].0 && !first(one) => Some(Some(Kind::Swap)),
                _ => None,
            }
        }
        Deed::Forge(at, linked) => {
            let at = at.index(size);
            match (last(at), linked) {
                // Nothing signed follows: it goes on as anybody could go on, but where the chain said that it ended.
                (true, true) => {
                    let ended = String::from_utf8_lossy(&lines[at]).contains("\"last\":true");
                    Some(ended.then_some(Kind::Insertion))
                }
                (true, false) => Some(Some(Kind::Edit)),
                (false, _) => Some(Some(Kind::Insertion)),
            }
        }
    }
}

/// The copy with a run of its lines repeated at once after it, and how many those are.
pub fn repeated_run(copy: &[u8], from: Index, to: Index) -> (Vec<u8>, u64) {
    let mut lines = lines(copy);
    let (from, to) = (from.index(lines.len()), to.index(lines.len()));
    let (from, to) = (from.min(to), from.max(to));
    let run = lines[from..=to].to_vec();
    let size = run.len() as u64;
    lines.splice(to + 1..to + 1, run);
    (lines.concat(), size)
}
