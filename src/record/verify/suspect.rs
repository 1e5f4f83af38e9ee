//! Naming the first break by how the copy goes on after it.

use super::report::{Break, Kind, Wrong};
use crate::record::ChainId;

/// What is known of a copy's first break.
pub(super) enum Finding {
    /// Nothing is wrong so far.
    None,
    /// Something else stood where one line was expected, and that line has not come yet.
    Missing { found: Break, next: bool },
    /// It came right after: either what stood before it was put in, or the two changed places.
    Behind { found: Break },
    /// Named.
    Named(Break),
}

impl Finding {
    /// The first break, at `line`, where `expected` should stand.
    pub fn begin(line: u64, expected: Option<(ChainId, i64)>, wrong: Wrong) -> Self {
        let record = wrong.chain.or(expected);
        let found = Break { kind: wrong.kind, line, record, what: wrong.what };
        if wrong.sure { Self::Named(found) } else { Self::Missing { found, next: true } }
    }

    /// A line after the break, which is what was expected or is not.
    pub fn go_on(&mut self, line: u64, expected: bool) {
        *self = match std::mem::replace(self, Self::None) {
            Self::Missing { found, next: true } if expected => Self::Behind { found },
            Self::Missing { found, next: false } if expected => Self::Named(late(found, line)),
            Self::Missing { found, .. } => Self::Missing { found, next: false },
            Self::Behind { found } if expected => Self::Named(inserted(found)),
            Self::Behind { found } => Self::Named(late(found, line - 1)),
            known @ (Self::None | Self::Named(_)) => known,
        };
    }

    /// The copy ends; `complete` where nothing more was expected.
    pub fn end(self, complete: bool) -> Option<Break> {
        match self {
            Self::None => None,
            Self::Missing { found, .. } | Self::Named(found) => Some(found),
            Self::Behind { found } if complete => Some(inserted(found)),
            Self::Behind { found } => Some(late(found, 0)),
        }
    }
}

/// What stood at the break is of the record and belongs further on: it changed places with what comes only now.
fn late(found: Break, line: u64) -> Break {
    match found.kind {
        Kind::Removal if line > 0 => Break {
            kind: Kind::Swap,
            what: format!("what belongs here stands at line {line}, and what stands here belongs further on"),
            ..found
        },
        Kind::Removal => Break { kind: Kind::Swap, what: "two lines changed places".to_owned(), ..found },
        _ => inserted(found),
    }
}

fn inserted(found: Break) -> Break {
    let what = match found.kind {
        Kind::Insertion => found.what,
        Kind::Removal => "what stands here belongs further on, and what belongs here follows".to_owned(),
        _ => format!("what belongs here follows; this was put in before it ({})", found.what),
    };
    Break { kind: Kind::Insertion, what, ..found }
}
