//! Whether a copy of the record is what was recorded: line by line, in constant memory but for one state a chain.
//! Where it is not, what was done to it: how the lines after the first break go on tells one deed from another.
//!
//! White space and the order of names do not count: two texts of the same JSON say the same.

mod columns;
mod line;
mod ordered;
mod report;
mod sink;
mod suspect;
mod trust;

#[cfg(test)]
mod tests;

use line::{Line, Seen, Unreadable};
use ordered::Ordered;
use sink::Interleaved;

pub use report::{Break, Kind, Report, Stretch};

use super::{Digest, Head, PublicKey, Record, Span};
use report::Wrong;

/// Checks one copy.
pub struct Verifier {
    copy: Copied,
    lines: u64,
}

enum Copied {
    /// An export or the store: it is known what comes next.
    Ordered(Ordered),
    /// What a sink wrote.
    Interleaved(Interleaved),
}

impl Verifier {
    /// Of an export: feed it every [`Verifier::line`]. `pins` are the keys that may sign, the header's own where there are none.
    pub fn export(pins: Vec<PublicKey>) -> Self {
        Self::of(Copied::Ordered(Ordered::export(pins)))
    }

    /// Of what a sink wrote: feed it every [`Verifier::line`]. Without `pins` the first signer may sign.
    pub fn sink(pins: Vec<PublicKey>) -> Self {
        Self::of(Copied::Interleaved(Interleaved::new(pins)))
    }

    /// Of all chains of one tenant in the store, in the order in which they began: feed it every [`Verifier::record`] of
    /// `chains`, each with the link that the store says it ends with. Without `pins` the first signer may sign.
    pub fn store(pins: Vec<PublicKey>, chains: &[(Span, Digest)]) -> Self {
        Self::of(Copied::Ordered(Ordered::store(pins, chains)))
    }

    fn of(copy: Copied) -> Self {
        Self { copy, lines: 0 }
    }

    /// Takes the next line, without its newline; `ended` is false where it had none: the last one, perhaps cut.
    pub fn line(&mut self, line: &[u8], ended: bool) {
        self.lines += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let read = Line::read(line, ended).map_err(|Unreadable(early)| {
            if early && !ended {
                Wrong { sure: true, ..Wrong::new(Kind::Cut, "the copy ends in the middle of this line") }
            } else {
                Wrong::new(Kind::Edit, "it is no line of the record")
            }
        });
        match &mut self.copy {
            Copied::Ordered(copy) => copy.line(self.lines, read),
            Copied::Interleaved(copy) => copy.line(self.lines, read),
        }
    }

    /// Takes the next record of the store.
    pub fn record(&mut self, record: &Record) {
        self.lines += 1;
        if let Copied::Ordered(copy) = &mut self.copy {
            let read = match columns::differing(&record.facts) {
                None => Ok(Line::Record(Seen::of(record))),
                Some(column) => {
                    let what = format!("its column `{column}` does not say what its text says");
                    Err(Wrong { chain: Some((record.chain, record.seq)), ..Wrong::new(Kind::Edit, what) })
                }
            };
            copy.line(self.lines, read);
        }
    }

    /// True where the first break is named: what follows tells no more.
    pub fn done(&self) -> bool {
        match &self.copy {
            Copied::Ordered(copy) => copy.done(),
            Copied::Interleaved(copy) => copy.done(),
        }
    }

    /// Heads that checkpoints name of chains that had passed by: whoever still has the records should show each to
    /// [`Verifier::saw`] before the end.
    pub fn asks(&self) -> Vec<Head> {
        match &self.copy {
            Copied::Ordered(copy) => copy.asks(),
            Copied::Interleaved(_) => Vec::new(),
        }
    }

    /// The link of a record that was asked for.
    pub fn saw(&mut self, head: Head) {
        if let Copied::Ordered(copy) = &mut self.copy {
            copy.saw(self.lines, head);
        }
    }

    /// There is no more.
    pub fn finish(self) -> Report {
        match self.copy {
            Copied::Ordered(copy) => copy.finish(self.lines),
            Copied::Interleaved(copy) => copy.finish(),
        }
    }
}
