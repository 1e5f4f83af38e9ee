//! A copy of which it is known what comes next: an export, whose header says it, or the store.

use serde_json::{Map, Value};

use super::line::{Line, Seen, heads};
use super::report::{Break, Kind, Report, Stretch, Wrong};
use super::suspect::Finding;
use super::trust::{Claims, Trust, Vouched, contradicted, stated_link};
use crate::record::export::FORMAT;
use crate::record::{Chain, ChainId, Digest, Head, PublicKey, Span};

pub(super) struct Ordered {
    trust: Trust,
    expected: Expected,
    chains: Vec<Progress>,
    claims: Claims,
    /// What was said of chains that had passed by.
    late: Claims,
    finding: Finding,
    header: Option<Header>,
    records: u64,
    omitted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Header,
    /// The next record of this chain.
    Record(usize),
    Seal,
    End,
}

struct Header {
    digest: Digest,
    tenant: String,
    /// Nothing was left out at either end of a chain: there is no range of time.
    all: bool,
    /// Nothing was left out between.
    full: bool,
}

struct Progress {
    span: Span,
    next: i64,
    link: Option<Digest>,
    /// The link that the store says it ends with.
    end: Option<Digest>,
    vouched: Option<i64>,
    closed: bool,
}

impl Progress {
    fn new(span: Span, end: Option<Digest>) -> Self {
        Self { span, next: span.from, link: span.link, end, vouched: None, closed: false }
    }
}

impl Ordered {
    pub fn export(pins: Vec<PublicKey>) -> Self {
        Self::new(pins, Expected::Header, Vec::new())
    }

    pub fn store(pins: Vec<PublicKey>, chains: &[(Span, Digest)]) -> Self {
        let chains = chains.iter().map(|(span, end)| Progress::new(*span, Some(*end))).collect();
        let mut ordered = Self::new(pins, Expected::End, chains);
        ordered.expected = ordered.from(0);
        ordered
    }

    fn new(pins: Vec<PublicKey>, expected: Expected, chains: Vec<Progress>) -> Self {
        Self {
            trust: Trust::new(pins),
            expected,
            chains,
            claims: Claims::default(),
            late: Claims::default(),
            finding: Finding::None,
            header: None,
            records: 0,
            omitted: 0,
        }
    }

    pub fn line(&mut self, number: u64, line: Result<Line<'_>, Wrong>) {
        match self.finding {
            Finding::Named(_) => {}
            Finding::None => {
                let expected = self.place();
                if let Err(wrong) = self.step(line) {
                    self.finding = Finding::begin(number, expected, wrong);
                }
            }
            Finding::Missing { .. } | Finding::Behind { .. } => {
                let expected = self.step(line).is_ok();
                self.finding.go_on(number, expected);
            }
        }
    }

    pub fn done(&self) -> bool {
        matches!(self.finding, Finding::Named(_))
    }

    pub fn asks(&self) -> Vec<Head> {
        self.late.all().map(|claim| claim.head).collect()
    }

    pub fn saw(&mut self, number: u64, head: Head) {
        if let (Finding::None, Err(wrong)) = (&self.finding, self.late.meet(head)) {
            self.finding = Finding::begin(number, None, wrong);
        }
    }

    pub fn finish(self, lines: u64) -> Report {
        let complete = self.expected == Expected::End;
        let cut = || {
            let (kind, what) = match self.header {
                _ if self.exported() => (Kind::Cut, "the copy ends before its seal"),
                _ => (Kind::Removal, "this record and all after it are missing from the chain"),
            };
            Break { kind, line: lines + 1, record: self.place(), what: what.to_owned() }
        };
        let place = (!complete).then(cut);
        let stretch = |chain: &Progress| Stretch {
            chain: chain.span.chain,
            from: chain.span.from,
            to: chain.next - 1,
            vouched: if complete && self.header.is_some() { Some(chain.next - 1) } else { chain.vouched },
            loose: false,
        };
        Report {
            chains: self.chains.iter().map(stretch).collect(),
            first_break: self.finding.end(complete).or(place),
            tenant: self.header.map(|header| header.tenant),
            records: self.records,
            omitted: self.omitted,
            repeats: 0,
            pinned: self.trust.pinned(),
            signers: self.trust.signers,
            sealed: true,
        }
    }

    /// An export, not the store.
    fn exported(&self) -> bool {
        self.header.is_some() || self.expected == Expected::Header
    }

    /// No record of these chains may be missing at their ends.
    fn all(&self) -> bool {
        self.header.as_ref().is_none_or(|header| header.all)
    }

    /// The record that is expected.
    fn place(&self) -> Option<(ChainId, i64)> {
        let Expected::Record(at) = self.expected else { return None };
        self.chains.get(at).map(|chain| (chain.span.chain, chain.next))
    }

    /// What is expected from the chain `at` on.
    fn from(&self, at: usize) -> Expected {
        let more = self.chains.iter().skip(at).position(|chain| chain.next <= chain.span.to);
        match more {
            Some(more) => Expected::Record(at + more),
            None if self.header.is_some() => Expected::Seal,
            None => Expected::End,
        }
    }

    /// Takes what is expected and goes on, or stays where it is.
    fn step(&mut self, line: Result<Line<'_>, Wrong>) -> Result<(), Wrong> {
        match (self.expected, line?) {
            (Expected::Header, Line::Header(fields, digest)) => self.begin(&fields, digest),
            (Expected::Header, _) => Err(Wrong::new(Kind::Removal, "the export's header is missing")),
            (Expected::Record(at), Line::Record(seen)) => self.take(at, &seen),
            (Expected::Seal, Line::Seal(fields)) => self.seal(&fields),
            (Expected::End, _) => {
                Err(Wrong { sure: true, ..Wrong::new(Kind::Insertion, "something follows the end") })
            }
            (_, Line::Header(..)) => Err(Wrong::new(Kind::Insertion, "a header stands in the middle")),
            (_, Line::Seal(_)) => {
                Err(Wrong::new(Kind::Removal, "the seal stands here, and not all that it covers before it"))
            }
            (Expected::Seal, Line::Record(_)) => {
                Err(Wrong::new(Kind::Insertion, "all records have come that the header speaks of"))
            }
        }
    }

    fn begin(&mut self, fields: &Map<String, Value>, digest: Digest) -> Result<(), Wrong> {
        self.trust.check(fields)?;
        let unread = || Wrong::new(Kind::Edit, "the header cannot be read: another form of an export?");
        if fields.get("format").and_then(Value::as_u64) != Some(FORMAT) {
            return Err(unread());
        }
        let chains = fields.get("chains").and_then(Value::as_array).ok_or_else(unread)?;
        self.chains = chains
            .iter()
            .map(|chain| span(chain).map(|span| Progress::new(span, None)))
            .collect::<Option<_>>()
            .ok_or_else(unread)?;
        let none = |name: &str| fields.get(name).is_none_or(Value::is_null);
        let all = none("since") && none("until");
        let tenant = fields.get("tenant").and_then(Value::as_str).ok_or_else(unread)?.to_owned();
        let unfiltered = fields.get("filter").and_then(Value::as_object).is_some_and(Map::is_empty);
        self.header = Some(Header { digest, tenant, all, full: all && unfiltered });
        self.expected = self.from(0);
        Ok(())
    }

    fn take(&mut self, at: usize, seen: &Seen<'_>) -> Result<(), Wrong> {
        let chain = &self.chains[at];
        if (seen.chain, seen.seq) != (chain.span.chain, chain.next) {
            return Err(self.misplaced(at, seen));
        }
        if seen.omitted && self.header.as_ref().is_some_and(|header| header.full) {
            return Err(Wrong::new(Kind::Edit, "only its hash is here, and the export left nothing out"));
        }
        let own = seen.own.as_ref().filter(|_| !seen.omitted);
        let headless = || match seen.omitted {
            true => {
                Wrong::new(Kind::Edit, "only the hash is here of the checkpoint with which the chain begins")
            }
            false => Wrong::new(Kind::Removal, "the chain begins in the middle, and not with a checkpoint"),
        };
        let before = chain.link.or_else(|| stated_link(own?)).ok_or_else(headless)?;
        if !seen.follows(before) {
            return Err(Wrong::new(Kind::Edit, "its text, or its link, is not what was recorded"));
        }
        // Only a checkpoint may stand for what was removed before it.
        if chain.next == chain.span.from && seen.seq > 0 && self.all() && own.is_none() {
            return Err(headless());
        }
        if seen.seq == 0 && own.is_none() {
            return Err(Wrong::new(Kind::Edit, "the chain does not begin with its start"));
        }
        if chain.end.is_some_and(|end| seen.seq == chain.span.to && seen.link != end) {
            return Err(Wrong::new(Kind::Edit, "the store says that the chain ends with another link"));
        }
        if chain.closed {
            return Err(Wrong::new(Kind::Insertion, "it follows the last record of a chain that was closed"));
        }
        let vouched = own.map(|own| self.trust.vouch(seen, own, before)).transpose()?;
        let here = Head { chain: seen.chain, seq: seen.seq, link: seen.link };
        // What belongs here may still follow: then this was put in.
        self.claims.meet(here).map_err(|wrong| Wrong { sure: false, ..wrong })?;
        if let Some(Vouched { heads, last }) = vouched {
            for head in heads {
                self.claim(at, head, seen)?;
            }
            self.chains[at].vouched = Some(seen.seq);
            self.chains[at].closed = last;
        }
        let chain = &mut self.chains[at];
        chain.next += 1;
        chain.link = Some(seen.link);
        *(if seen.omitted { &mut self.omitted } else { &mut self.records }) += 1;
        self.expected = self.from(at);
        Ok(())
    }

    /// Why another record stands where the next of the chain `at` is expected.
    fn misplaced(&self, at: usize, seen: &Seen<'_>) -> Wrong {
        let chain = &self.chains[at];
        if chain.link.is_some_and(|link| seen.follows(link)) {
            return Wrong::new(Kind::Edit, "its number or its chain was changed");
        }
        let found = self.chains.iter().position(|known| {
            known.span.chain == seen.chain && (known.span.from..=known.span.to).contains(&seen.seq)
        });
        match found {
            Some(other) if (other, seen.seq) < (at, chain.next) => {
                Wrong::new(Kind::Insertion, format!("the record {} stands here again", seen.id()))
            }
            Some(_) => Wrong::new(Kind::Removal, format!("the next record here is {}", seen.id())),
            None => Wrong::new(Kind::Edit, format!("there is no record {} in this copy", seen.id())),
        }
    }

    /// What `by` says of where another chain stood.
    fn claim(&mut self, at: usize, head: Head, by: &Seen<'_>) -> Result<(), Wrong> {
        let missing = |what: String| Wrong {
            sure: true,
            chain: Some((head.chain, head.seq)),
            ..Wrong::new(Kind::Removal, what)
        };
        let Some(other) = self.chains.iter().position(|known| known.span.chain == head.chain) else {
            let what = format!("the whole chain is missing that {} names", by.id());
            return if self.all() { Err(missing(what)) } else { Ok(()) };
        };
        let known = &self.chains[other];
        if head.seq > known.span.to && self.all() {
            return Err(missing(format!("{} names this record, and the chain ends before it", by.id())));
        }
        if head.seq + 1 == known.next {
            return match known.link {
                Some(link) if link != head.link => Err(contradicted(&by.id(), head)),
                _ => Ok(()),
            };
        }
        if head.seq >= known.next && other > at {
            self.claims.add(head, by.id());
        } else if head.seq >= known.span.from && known.vouched.is_none_or(|vouched| vouched < head.seq) {
            self.late.add(head, by.id());
        }
        Ok(())
    }

    fn seal(&mut self, fields: &Map<String, Value>) -> Result<(), Wrong> {
        self.trust.check(fields)?;
        let number = |name: &str| fields.get(name).and_then(Value::as_u64);
        let header = fields.get("header").and_then(Value::as_str).and_then(|digest| digest.parse().ok());
        if header != self.header.as_ref().map(|header| header.digest) {
            return Err(Wrong::new(Kind::Edit, "the seal is another export's: it covers another header"));
        }
        let sealed = heads(fields).ok_or_else(|| Wrong::new(Kind::Edit, "the seal cannot be read"))?;
        let ours = self.chains.iter().filter_map(|chain| {
            let head = Head { chain: chain.span.chain, seq: chain.next - 1, link: chain.link? };
            (head.seq >= 0).then_some(head)
        });
        for head in ours {
            if !sealed.contains(&head) {
                return Err(contradicted("the seal", head));
            }
        }
        if (number("records"), number("omitted")) != (Some(self.records), Some(self.omitted)) {
            let what = "some records stand here as hashes that were written in full, or the reverse";
            return Err(Wrong { sure: true, ..Wrong::new(Kind::Edit, what) });
        }
        self.expected = Expected::End;
        Ok(())
    }
}

fn span(chain: &Value) -> Option<Span> {
    let text = |name: &str| chain.get(name)?.as_str();
    let number = |name: &str| chain.get(name)?.as_i64();
    let id: ChainId = text("id")?.parse().ok()?;
    let link = text("link").map(|link| link.parse::<Digest>().ok());
    let span = Span { chain: id, from: number("from")?, to: number("to")?, link: link.unwrap_or_default() };
    let begins = span.from > 0 || (span.from == 0 && span.link == Some(Chain::begin(id).link()));
    (begins && span.to >= span.from - 1).then_some(span)
}
