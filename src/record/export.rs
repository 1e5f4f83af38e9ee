//! What an export says: a signed header, every record of every chain in its place, in full or as its bare hash, and a
//! signed seal. It is handed the records in order, and knows nothing of where they come from and where they go.

use serde_json::{Map, Value, json};

use super::own::signed;
use super::{Chain, ChainId, Digest, Filter, Head, Record, Signer};
use crate::clock::{Millis, rfc3339};

/// Of this form of an export and no other.
pub(super) const FORMAT: u64 = 1;
/// The kinds of records that no filter leaves out: they vouch for the rest, and say nothing of an agent.
const OWN: [&str; 3] = ["start", "checkpoint", "lost"];

/// The part of a chain that a copy has: the records `from..=to`, none where `to` is `from - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub chain: ChainId,
    pub from: i64,
    pub to: i64,
    /// The link before `from`; none where only the record at `from`, a checkpoint, can tell.
    pub link: Option<Digest>,
}

impl Span {
    /// A whole chain up to the record `to`.
    pub fn whole(chain: ChainId, to: i64) -> Self {
        Self { chain, from: 0, to, link: Some(Chain::begin(chain).link()) }
    }
}

/// An export that is being written.
pub struct Export {
    header: Digest,
    filter: Filter,
    heads: Vec<Head>,
    records: u64,
    omitted: u64,
}

impl Export {
    /// Begins the export of `spans`, the chains of `tenant` in the order in which they began, at `at`: appends its first line.
    pub fn begin(
        tenant: &str,
        filter: Filter,
        spans: &[Span],
        at: Millis,
        signer: &Signer,
        out: &mut Vec<u8>,
    ) -> Self {
        let chain = |span: &Span| {
            json!({
                "from": span.from,
                "id": span.chain.to_string(),
                "link": span.link.map(|link| link.to_string()),
                "to": span.to,
            })
        };
        let header = signed(
            json!({
                "chains": spans.iter().map(chain).collect::<Vec<_>>(),
                "filter": asked(&filter),
                "format": FORMAT,
                "made_at": rfc3339(at),
                "made_by": concat!("sidegate ", env!("CARGO_PKG_VERSION")),
                "record": "export",
                "since": filter.since.map(rfc3339),
                "tenant": tenant,
                "until": filter.until.map(rfc3339),
            }),
            signer,
        );
        out.extend_from_slice(header.as_bytes());
        out.push(b'\n');
        let heads = spans
            .iter()
            .filter_map(|span| Some(Head { chain: span.chain, seq: span.from - 1, link: span.link? }));
        Self { header: Digest::of(&header), filter, heads: heads.collect(), records: 0, omitted: 0 }
    }

    /// Appends the next record, or its bare hash where it is not asked for.
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        if OWN.contains(&&*record.facts.kind) || self.filter.matches(&record.facts) {
            record.write_line(out);
            self.records += 1;
        } else {
            record.write_omitted(out);
            self.omitted += 1;
        }
        let head = Head { chain: record.chain, seq: record.seq, link: record.link };
        match self.heads.iter_mut().find(|known| known.chain == record.chain) {
            Some(known) => *known = head,
            None => self.heads.push(head),
        }
    }

    /// Appends the last line, which vouches for all others.
    pub fn seal(self, at: Millis, signer: &Signer, out: &mut Vec<u8>) {
        let head = |head: &Head| json!({"chain": head.chain.to_string(), "link": head.link.to_string(), "seq": head.seq});
        let seal = signed(
            json!({
                "header": self.header.to_string(),
                "heads": self.heads.iter().filter(|head| head.seq >= 0).map(head).collect::<Vec<_>>(),
                "made_at": rfc3339(at),
                "omitted": self.omitted,
                "record": "seal",
                "records": self.records,
            }),
            signer,
        );
        out.extend_from_slice(seal.as_bytes());
        out.push(b'\n');
    }
}

/// What `filter` asks for beside the time.
fn asked(filter: &Filter) -> Value {
    let Filter { agent, kind, tool, of_tools, entry, decision, outcome, since: _, until: _, request_id } =
        filter;
    let texts = [
        ("agent", agent),
        ("decision", decision),
        ("entry", entry),
        ("kind", kind),
        ("outcome", outcome),
        ("request_id", request_id),
        ("tool", tool),
    ];
    let mut asked: Map<_, _> = texts
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text.clone()?))))
        .collect();
    if *of_tools {
        asked.insert("of_tools".to_owned(), true.into());
    }
    Value::Object(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Facts;
    use crate::secret::Secret;

    #[test]
    fn an_export_is_a_header_the_records_or_their_hashes_and_a_seal() {
        let signer = Signer::new(&Secret::new("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")).unwrap();
        let mut chain = Chain::begin(ChainId(3));
        let records: Vec<_> = [("start", "{\"a\":1}"), ("call", "{\"a\":2}"), ("other", "{\"a\":3}")]
            .map(|(kind, body)| Facts { kind: kind.into(), body: body.to_owned(), ..Facts::default() })
            .into_iter()
            .map(|facts| chain.append(facts))
            .collect();
        let filter = Filter { kind: Some("call".to_owned()), ..Filter::default() };
        let mut out = Vec::new();
        let mut export = Export::begin("acme", filter, &[Span::whole(ChainId(3), 2)], 0, &signer, &mut out);
        for record in &records {
            export.record(record, &mut out);
        }
        export.seal(1, &signer, &mut out);
        let lines: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert_eq!((&lines[0]["filter"], &lines[0]["since"]), (&json!({"kind": "call"}), &Value::Null));
        assert_eq!((&lines[0]["chains"][0]["from"], &lines[0]["chains"][0]["to"]), (&json!(0), &json!(2)));
        assert_eq!((&lines[1]["a"], &lines[2]["a"]), (&json!(1), &json!(2)));
        assert_eq!(lines[3]["chain"]["digest"], records[2].digest.to_string());
        assert_eq!((&lines[4]["records"], &lines[4]["omitted"]), (&json!(2), &json!(1)));
        assert_eq!(lines[4]["heads"][0]["link"], records[2].link.to_string());
    }
}
