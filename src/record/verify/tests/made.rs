//! A record of several chains with starts, checkpoints and events, and its copies.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use crate::clock::rfc3339;
use crate::record::{
    Chain, ChainId, Checkpoint, Digest, Export, Facts, Filter, Head, Record, Report, Signer, Span, Start,
    Verifier, canonical,
};
use crate::secret::Secret;

pub fn signer() -> Signer {
    Signer::new(&Secret::new("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")).unwrap()
}

pub fn stranger() -> Signer {
    Signer::new(&Secret::new("TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=")).unwrap()
}

#[derive(Clone, Debug)]
pub enum Step {
    Event { call: bool, text: String },
    Checkpoint,
    Last,
}

#[derive(Clone, Debug)]
pub struct Made {
    /// In the order in which they were recorded.
    records: Vec<Record>,
    /// In the order in which they began.
    chains: Vec<ChainId>,
    filter: Filter,
    /// How many records of the first chain retention took, up to a checkpoint.
    removed: i64,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), "[a-z \"\\\\{}:,\u{e4}\u{1f600}\n]{0,12}")
            .prop_map(|(call, text)| Step::Event { call, text }),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Last),
    ]
}

pub fn made() -> impl Strategy<Value = Made> {
    let range = prop_oneof![
        4 => Just((None, None)),
        1 => (0..20_i64, 1..20_i64).prop_map(|(since, more)| (Some(since), Some(since + more))),
    ];
    let kind = select(vec![None, None, Some("call".to_owned())]);
    (vec((0..3_usize, step()), 1..24), kind, range, any::<bool>()).prop_map(
        |(steps, kind, (since, until), retained)| {
            let filter = Filter { kind, since, until, ..Filter::default() };
            Made::new(&steps, filter, retained)
        },
    )
}

impl Made {
    pub fn new(steps: &[(usize, Step)], filter: Filter, retained: bool) -> Self {
        let mut made = Self { records: Vec::new(), chains: Vec::new(), filter, removed: 0 };
        let mut open: Vec<Option<Chain>> = vec![None, None, None];
        let mut heads: Vec<Head> = Vec::new();
        for (at, (which, step)) in (0_i64..).zip(steps) {
            let others = |chain: &Chain, heads: &[Head]| -> Vec<Head> {
                heads.iter().filter(|head| head.chain != chain.id()).copied().collect()
            };
            let chain = open[*which].get_or_insert_with(|| {
                let mut chain = Chain::begin(ChainId(1 + made.chains.len() as i64));
                made.chains.push(chain.id());
                let start = Start { tenant: "acme", at, process: "p", heads: &heads };
                made.records.push(chain.append(start.facts(chain.id(), &signer())));
                heads.push(chain.head().unwrap());
                chain
            });
            let facts = match step {
                Step::Event { call, text } => event(at, *call, text),
                Step::Checkpoint | Step::Last => {
                    let heads = others(chain, &heads);
                    let last = matches!(step, Step::Last);
                    Checkpoint { tenant: "acme", at, heads: &heads, last }.facts(chain, &signer())
                }
            };
            made.records.push(chain.append(facts));
            let head = chain.head().unwrap();
            *heads.iter_mut().find(|known| known.chain == head.chain).unwrap() = head;
            if matches!(step, Step::Last) {
                open[*which] = None;
            }
        }
        let checkpoint =
            made.of(made.chains[0]).iter().find(|record| record.facts.kind == "checkpoint").map(|r| r.seq);
        made.removed = checkpoint.filter(|_| retained).unwrap_or(0);
        made
    }

    /// The second chain names a head of the first that is followed by more, and by no checkpoint.
    pub fn two_chains() -> Self {
        let event = || Step::Event { call: true, text: "x".to_owned() };
        let steps = [(0, event()), (0, event()), (1, event()), (1, Step::Checkpoint), (0, event())];
        Self::new(&steps, Filter::default(), false)
    }

    pub fn chain(&self, at: usize) -> ChainId {
        self.chains[at]
    }

    fn of(&self, chain: ChainId) -> Vec<Record> {
        self.records.iter().filter(|record| record.chain == chain).cloned().collect()
    }

    pub fn record(&self, chain: ChainId, seq: i64) -> Record {
        self.of(chain).into_iter().find(|record| record.seq == seq).unwrap()
    }

    /// What retention left, chain after chain.
    pub fn stored(&self) -> Vec<Record> {
        let left = |record: &Record| record.chain != self.chains[0] || record.seq >= self.removed;
        self.chains.iter().flat_map(|chain| self.of(*chain)).filter(left).collect()
    }

    fn spans(&self, stored: &[Record]) -> Vec<Span> {
        let span = |chain: &ChainId| {
            let records: Vec<_> = stored.iter().filter(|record| record.chain == *chain).collect();
            let asked: Vec<_> = records
                .iter()
                .filter(|record| {
                    self.filter.since.is_none_or(|since| record.facts.at >= since)
                        && self.filter.until.is_none_or(|until| record.facts.at < until)
                })
                .collect();
            let from = asked.first().map(|record| record.seq)?;
            let link = match from {
                0 => Chain::begin(*chain).link(),
                _ => self.record(*chain, from - 1).link,
            };
            Some(Span { chain: *chain, from, to: asked.last()?.seq, link: Some(link) })
        };
        self.chains.iter().filter_map(span).collect()
    }

    fn export_of(&self, stored: &[Record]) -> Vec<u8> {
        let spans = self.spans(stored);
        let mut out = Vec::new();
        let signer = signer();
        let mut export = Export::begin("acme", self.filter.clone(), &spans, 100, &signer, &mut out);
        for span in &spans {
            for record in stored.iter().filter(|record| record.chain == span.chain) {
                if (span.from..=span.to).contains(&record.seq) {
                    export.record(record, &mut out);
                }
            }
        }
        export.seal(101, &signer, &mut out);
        out
    }

    pub fn export(&self) -> Vec<u8> {
        self.export_of(&self.stored())
    }

    pub fn exported(&self) -> u64 {
        self.spans(&self.stored()).iter().map(|span| (span.to - span.from + 1) as u64).sum()
    }

    /// A sealed export in which one record and the links from it to the end of its chain were made anew afterwards.
    pub fn relinked_export(&self, at: Index) -> Vec<u8> {
        let copy = String::from_utf8(self.export()).unwrap();
        let mut lines: Vec<serde_json::Value> =
            copy.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = lines.len() - 1;
        if last == 1 {
            lines[last]["records"] = json!(1);
            return text(&lines);
        }
        let at = 1 + at.index(last - 1);
        let chain = lines[at]["chain"]["id"].clone();
        let mut link = None;
        for number in 1..last {
            let line = &mut lines[number];
            if line["chain"]["id"] != chain {
                continue;
            }
            let given: Digest = line["chain"]["link"].as_str().unwrap().parse().unwrap();
            let mut place = line.as_object_mut().unwrap().remove("chain").unwrap();
            let digest = if number == at {
                if place["digest"].is_string() {
                    place["digest"] = json!(Digest::of("x").to_string());
                    Digest::of("x")
                } else {
                    line["forged"] = json!(true);
                    Digest::of(&canonical(line).unwrap())
                }
            } else {
                match place["digest"].as_str() {
                    Some(digest) => digest.parse().unwrap(),
                    None => Digest::of(&canonical(line).unwrap()),
                }
            };
            if number == at {
                let from =
                    lines[0]["chains"].as_array().unwrap().iter().find(|span| span["id"] == chain).unwrap();
                let before = link.unwrap_or_else(|| from["link"].as_str().unwrap().parse().unwrap());
                link = Some(super::super::line::follow(before, digest));
            } else if number > at {
                link = link.map(|before| super::super::line::follow(before, digest));
            } else {
                link = Some(given);
            }
            place["link"] = json!(link.unwrap().to_string());
            lines[number]["chain"] = place;
        }
        text(&lines)
    }

    pub fn sink(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for record in &self.records {
            record.write_line(&mut out);
        }
        out
    }

    fn heads(&self, stored: &[Record]) -> Vec<(Span, Digest)> {
        let chain = |chain: &ChainId| {
            let last = stored.iter().rfind(|record| record.chain == *chain)?;
            let first = if *chain == self.chains[0] { self.removed } else { 0 };
            let span = Span { chain: *chain, from: first, to: last.seq, link: None };
            let span = if first == 0 { Span::whole(*chain, last.seq) } else { span };
            Some((span, last.link))
        };
        self.chains.iter().filter_map(chain).collect()
    }

    /// The store with these records, and the chains as they were.
    pub fn verify_store(&self, records: &[Record]) -> Report {
        let mut verifier = Verifier::store(vec![signer().public()], &self.heads(&self.stored()));
        for record in records {
            verifier.record(record);
        }
        verifier.finish()
    }

    pub fn without_chain(&self, at: usize) -> Report {
        let left: Vec<_> =
            self.stored().into_iter().filter(|record| record.chain != self.chains[at]).collect();
        let mut verifier = Verifier::store(vec![signer().public()], &self.heads(&left));
        for record in &left {
            verifier.record(record);
        }
        verifier.finish()
    }

    /// The chain `at` with another second record, and everything made anew that needs no key.
    pub fn relinked_tail(&self, at: usize) -> (Vec<Record>, Vec<(Span, Digest)>) {
        let chain = self.chains[at];
        let mut forged = Chain::begin(chain);
        let records: Vec<_> = self
            .stored()
            .into_iter()
            .map(|record| match record.seq {
                _ if record.chain != chain => record,
                1 => forged.append(event(0, true, "forged")),
                _ => forged.append(record.facts),
            })
            .collect();
        let heads = self.heads(&records);
        (records, heads)
    }
}

fn text(lines: &[serde_json::Value]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

fn event(at: i64, call: bool, text: &str) -> Facts {
    let mut body = json!({
        "arguments": {"record": "checkpoint", "x": text},
        "n": 1e21,
        "record": "event",
        "tenant": "acme",
        "time": rfc3339(at),
    });
    if call {
        body["tool"] = json!("t");
    }
    Facts {
        tenant: "acme".to_owned(),
        at,
        kind: if call { "call" } else { "other" }.into(),
        tool: call.then(|| "t".to_owned()),
        body: canonical(&body).unwrap(),
        ..Facts::default()
    }
}
