//! What a sink wrote: chains interleaved, from anywhere on, and some records more than once.

use std::collections::{HashMap, VecDeque};

use super::line::{Line, Seen};
use super::report::{Kind, Report, Stretch, Wrong};
use super::suspect::Finding;
use super::trust::{Claims, Trust, Vouched, contradicted, stated_link};
use crate::record::{Chain, ChainId, Digest, Head, PublicKey};

/// How far back a repeat may reach: the links of so many records of each chain are kept.
const RECENT: usize = 4096;

pub(super) struct Interleaved {
    trust: Trust,
    chains: HashMap<ChainId, Thread>,
    /// In which order the chains came.
    order: Vec<ChainId>,
    claims: Claims,
    finding: Finding,
    /// What was expected at the break.
    suspect: Option<(ChainId, i64)>,
    records: u64,
    repeats: u64,
}

struct Thread {
    from: i64,
    /// The link before the first record; none where it begins in the middle.
    before: Option<Digest>,
    /// What the first record says.
    first: Digest,
    next: i64,
    recent: VecDeque<Digest>,
    vouched: Option<i64>,
    closed: bool,
}

impl Thread {
    /// The link of the record `seq`, or before the first one; none where it is not known any more.
    fn link(&self, seq: i64) -> Option<Digest> {
        if seq + 1 == self.from {
            return self.before;
        }
        let back = usize::try_from(self.next - seq).ok()?;
        self.recent.len().checked_sub(back).and_then(|at| self.recent.get(at)).copied()
    }

    fn push(&mut self, link: Digest) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(link);
        self.next += 1;
    }
}

enum Step {
    On,
    Again,
}

impl Interleaved {
    pub fn new(pins: Vec<PublicKey>) -> Self {
        Self {
            trust: Trust::new(pins),
            chains: HashMap::new(),
            order: Vec::new(),
            claims: Claims::default(),
            finding: Finding::None,
            suspect: None,
            records: 0,
            repeats: 0,
        }
    }

    pub fn line(&mut self, number: u64, line: Result<Line<'_>, Wrong>) {
        let seen = line.and_then(|line| match line {
            Line::Record(seen) => Ok(seen),
            Line::Header(..) | Line::Seal(_) => Err(Wrong {
                sure: true,
                ..Wrong::new(Kind::Insertion, "it is a line of an export: verify that without --sink")
            }),
        });
        match self.finding {
            Finding::Named(_) => {}
            Finding::None => {
                let place = seen.as_ref().ok().map(|seen| {
                    let next = self.chains.get(&seen.chain).map_or(seen.seq, |thread| thread.next);
                    (seen.chain, next)
                });
                if let Err(wrong) = seen.and_then(|seen| self.step(&seen)) {
                    self.suspect = place;
                    // A line that names no chain leaves nothing to wait for.
                    let wrong = Wrong { sure: wrong.sure || place.is_none(), ..wrong };
                    self.finding = Finding::begin(number, place, wrong);
                }
            }
            Finding::Missing { .. } | Finding::Behind { .. } => {
                if let (Ok(seen), Some((chain, next))) = (seen, self.suspect)
                    && seen.chain == chain
                {
                    let known = self.chains.contains_key(&chain) || seen.seq == next;
                    let on = known && matches!(self.step(&seen), Ok(Step::On));
                    self.finding.go_on(number, on);
                }
            }
        }
    }

    pub fn done(&self) -> bool {
        matches!(self.finding, Finding::Named(_))
    }

    pub fn finish(self) -> Report {
        let stretch = |chain: &ChainId| {
            let thread = self.chains.get(chain)?;
            Some(Stretch {
                chain: *chain,
                from: thread.from,
                to: thread.next - 1,
                vouched: thread.vouched,
                loose: thread.before.is_none(),
            })
        };
        Report {
            chains: self.order.iter().filter_map(stretch).collect(),
            first_break: self.finding.end(false),
            tenant: None,
            records: self.records,
            omitted: 0,
            repeats: self.repeats,
            pinned: self.trust.pinned(),
            signers: self.trust.signers,
            sealed: false,
        }
    }

    fn step(&mut self, seen: &Seen<'_>) -> Result<Step, Wrong> {
        if seen.omitted {
            return Err(Wrong::new(Kind::Edit, "only its hash is here, and a sink leaves nothing out"));
        }
        let Some(thread) = self.chains.get(&seen.chain) else { return self.begin(seen) };
        let before = thread.link(thread.next - 1);
        let wrong = |kind, what: &str| Err(Wrong::new(kind, what));
        match before.filter(|before| seen.follows(*before)) {
            Some(_) if seen.seq != thread.next => wrong(Kind::Edit, "its number was changed"),
            Some(_) if thread.closed => {
                wrong(Kind::Insertion, "it follows the last record of a chain that was closed")
            }
            Some(before) => self.accept(seen, Some(before)),
            None if seen.seq < thread.next => {
                again(thread, seen)?;
                self.repeats += 1;
                Ok(Step::Again)
            }
            None if seen.seq == thread.next => {
                wrong(Kind::Edit, "its text, or its link, is not what was recorded")
            }
            None => wrong(Kind::Removal, &format!("the next record of the chain here is {}", seen.id())),
        }
    }

    /// The first record of a chain that is here.
    fn begin(&mut self, seen: &Seen<'_>) -> Result<Step, Wrong> {
        let lost = self
            .chains
            .values()
            .any(|thread| thread.link(thread.next - 1).is_some_and(|link| seen.follows(link)));
        if lost {
            return Err(Wrong::new(Kind::Edit, "its chain was changed"));
        }
        let before = match (seen.seq, &seen.own) {
            (0, None) => return Err(Wrong::new(Kind::Edit, "the chain does not begin with its start")),
            (0, Some(_)) => Some(Chain::begin(seen.chain).link()),
            (_, Some(own)) => Some(
                stated_link(own).ok_or_else(|| Wrong::new(Kind::Edit, "the checkpoint cannot be read"))?,
            ),
            (_, None) => None,
        };
        if before.is_some_and(|before| !seen.follows(before)) {
            return Err(Wrong::new(Kind::Edit, "its text, or its link, is not what was recorded"));
        }
        self.accept(seen, before)
    }

    fn accept(&mut self, seen: &Seen<'_>, before: Option<Digest>) -> Result<Step, Wrong> {
        let own = seen.own.as_ref().zip(before);
        let vouched = own.map(|(own, before)| self.trust.vouch(seen, own, before)).transpose()?;
        self.claims.meet(Head { chain: seen.chain, seq: seen.seq, link: seen.link })?;
        for head in vouched.iter().flat_map(|Vouched { heads, .. }| heads) {
            match self.chains.get(&head.chain).map(|thread| (thread.next, thread.link(head.seq))) {
                Some((_, Some(link))) if link != head.link => return Err(contradicted(&seen.id(), *head)),
                Some((next, None)) if head.seq >= next => self.claims.add(*head, seen.id()),
                _ => {}
            }
        }
        let thread = self.chains.entry(seen.chain).or_insert_with(|| {
            self.order.push(seen.chain);
            Thread {
                from: seen.seq,
                before,
                first: seen.digest(),
                next: seen.seq,
                recent: VecDeque::new(),
                vouched: None,
                closed: false,
            }
        });
        thread.push(seen.link);
        if let Some(Vouched { last, .. }) = vouched {
            thread.vouched = Some(seen.seq);
            thread.closed = last;
        }
        self.records += 1;
        Ok(Step::On)
    }
}

/// Whether a record that came before came again just as it was.
fn again(thread: &Thread, seen: &Seen<'_>) -> Result<(), Wrong> {
    let wrong = |what: &str| Err(Wrong { sure: true, ..Wrong::new(Kind::Insertion, what) });
    let same = match thread.link(seen.seq) {
        Some(link) => link == seen.link,
        None => return wrong("it repeats a record of long ago, or one before the first that is here"),
    };
    let text = match thread.link(seen.seq - 1) {
        Some(before) => seen.follows(before),
        None if seen.seq == thread.from => seen.is(thread.first),
        // The oldest link that is kept has no other before it: its own covers it.
        None => return wrong("it repeats a record of long ago"),
    };
    if same && text {
        Ok(())
    } else {
        Err(Wrong::new(
            Kind::Insertion,
            "another record with this number came before, or this one was changed",
        ))
    }
}
