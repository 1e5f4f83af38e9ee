//! The record of one tenant as a stream of pieces, each made when it is asked for: of any size in constant memory.

use std::sync::Arc;

use bytes::Bytes;

use super::{Admin, AdminError};
use crate::clock::Clock;
use crate::record::{Chain, Export, Filter, Record, Signer, Span, table};
use crate::store::{ChainRow, Store};

/// Records of one piece.
const PIECE: u32 = 256;

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON lines with a header and a seal: can be checked.
    Lines,
    /// CSV, for people: cannot.
    Table,
}

/// An export under way.
pub struct Exporting {
    store: Store,
    clock: Clock,
    spans: Vec<Span>,
    /// The chain and the number that come next.
    at: (usize, i64),
    done: u64,
    writing: Writing,
    /// What is written already and not yet handed out.
    first: Option<Vec<u8>>,
}

enum Writing {
    Lines(Box<Export>, Arc<Signer>),
    Table(Filter),
    Ended,
}

impl Admin {
    /// Exports what `filter` lets through, up to what is on record now: waits until everything is that was accepted before.
    pub async fn export(&self, filter: Filter, form: Form) -> Result<Exporting, AdminError> {
        self.journal.settle(self.store.shared()).await?;
        // All at once: the end of each chain belongs to the same moment.
        let mut spans = Vec::new();
        for row in self.store.chains(Some(&self.tenant)).await? {
            spans.extend(span(&self.store, &row, &filter).await?);
        }
        let at = (0, spans.first().map_or(0, |span| span.from));
        let mut first = Vec::new();
        let writing = match form {
            Form::Lines => {
                let signer = self.journal.signer();
                let now = self.clock.now();
                let export = Export::begin(&self.tenant, filter, &spans, now, &signer, &mut first);
                Writing::Lines(Box::new(export), signer)
            }
            Form::Table => {
                first = table::head();
                Writing::Table(filter)
            }
        };
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Ok(Exporting { store, clock, spans, at, done: 0, writing, first: Some(first) })
    }
}

impl Exporting {
    /// The next piece; none after the last.
    ///
    /// # Errors
    /// It cannot go on. What was handed out is no export: it has no seal.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AdminError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first.into()));
        }
        let mut piece = Vec::new();
        while piece.is_empty() {
            let Some(span) = self.spans.get(self.at.0).copied() else { return Ok(self.end()) };
            let records = match self.at.1 <= span.to {
                true => self.store.records(span.chain, self.at.1, PIECE).await?,
                false => Vec::new(),
            };
            for record in records.iter().filter(|record| record.seq <= span.to) {
                self.write(record, &mut piece);
            }
            self.at.1 = records.last().map_or(span.to, |record| record.seq) + 1;
            if self.at.1 > span.to {
                self.at = (self.at.0 + 1, self.spans.get(self.at.0 + 1).map_or(0, |next| next.from));
            }
        }
        Ok(Some(piece.into()))
    }

    /// How many records were gone through, of how many.
    pub fn progress(&self) -> (u64, u64) {
        let all = self.spans.iter().map(|span| (span.to - span.from + 1).unsigned_abs()).sum();
        (self.done, all)
    }

    fn write(&mut self, record: &Record, piece: &mut Vec<u8>) {
        self.done += 1;
        match &mut self.writing {
            Writing::Lines(export, _) => export.record(record, piece),
            Writing::Table(filter) if filter.shows(&record.facts) => piece.extend(table::line(record)),
            Writing::Table(_) | Writing::Ended => {}
        }
    }

    fn end(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.writing, Writing::Ended) {
            Writing::Lines(export, signer) => {
                let mut seal = Vec::new();
                export.seal(self.clock.now(), &signer, &mut seal);
                Some(seal.into())
            }
            Writing::Table(_) | Writing::Ended => None,
        }
    }
}

/// What of a chain `filter`'s time asks for; none where that is nothing.
async fn span(store: &Store, row: &ChainRow, filter: &Filter) -> Result<Option<Span>, AdminError> {
    let whole = kept(store, row).await?;
    if filter.since.is_none() && filter.until.is_none() {
        return Ok(Some(whole));
    }
    let (since, until) = (filter.since.unwrap_or(i64::MIN), filter.until.unwrap_or(i64::MAX));
    let between = store.between(whole.chain, since, until, (whole.from, whole.to)).await?;
    let Some((from, to)) = between else { return Ok(None) };
    let link = match from == whole.from {
        true => whole.link,
        false => store.records(whole.chain, from - 1, 1).await?.first().map(|record| record.link),
    };
    Ok(Some(Span { from, to, link, ..whole }))
}

/// What the store has of a chain, from a checkpoint on where older records were removed.
pub(super) async fn kept(store: &Store, row: &ChainRow) -> Result<Span, AdminError> {
    let head = row.head;
    if row.first_seq == 0 {
        return Ok(Span {
            chain: head.chain,
            from: 0,
            to: head.seq,
            link: Some(Chain::begin(head.chain).link()),
        });
    }
    if row.first_seq > head.seq {
        return Ok(Span { chain: head.chain, from: head.seq + 1, to: head.seq, link: Some(head.link) });
    }
    // Older ones are removed a few at a time: what is left before the checkpoint is about to go.
    let from = store.checkpoint_after(head.chain, row.first_seq - 1).await?.unwrap_or(row.first_seq);
    let first = store.records(head.chain, from, 1).await?;
    let link = first.first().filter(|first| first.seq == from).and_then(Record::stated_link);
    Ok(Span { chain: head.chain, from, to: head.seq, link })
}
