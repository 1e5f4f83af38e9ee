//! What was found, in words.

use std::fmt;

use crate::record::{ChainId, PublicKey};

/// What was done to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something was changed where it stands.
    Edit,
    /// Something is missing.
    Removal,
    /// Something was put in.
    Insertion,
    /// Two changed places.
    Swap,
    /// The end is missing.
    Cut,
    /// Signed by somebody who is not trusted.
    Signature,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edit => "edit",
            Self::Removal => "removal",
            Self::Insertion => "insertion",
            Self::Swap => "swap",
            Self::Cut => "cut",
            Self::Signature => "foreign signature",
        })
    }
}

/// The first place where a copy is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    pub kind: Kind,
    /// The line of the copy, from 1; of a store how many records were read.
    pub line: u64,
    /// The chain and the number in it, where they are known: what should stand here.
    pub record: Option<(ChainId, i64)>,
    /// In words.
    pub what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)?;
        if let Some((chain, seq)) = self.record {
            write!(f, " at record {chain}-{seq}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A break before it is known how the copy goes on.
#[derive(Clone)]
pub(super) struct Wrong {
    pub kind: Kind,
    pub what: String,
    /// Nothing that follows can tell more.
    pub sure: bool,
    /// Where, if not at what was expected.
    pub chain: Option<(ChainId, i64)>,
}

impl Wrong {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), sure: false, chain: None }
    }
}

/// What a copy has of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub chain: ChainId,
    /// The first record that was found in its place.
    pub from: i64,
    /// The last one; `from - 1` where there is none.
    pub to: i64,
    /// The last one that a signature covers.
    pub vouched: Option<i64>,
    /// It begins in the middle, and nothing tells whether its first record is as it was written.
    pub loose: bool,
}

/// What a verifier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The first break; where there is none, the copy is whole.
    pub first_break: Option<Break>,
    /// Whose record, as an export says.
    pub tenant: Option<String>,
    /// Records in full.
    pub records: u64,
    /// Records of which only the hash is there.
    pub omitted: u64,
    /// Exact repeats of records.
    pub repeats: u64,
    /// Up to the first break.
    pub chains: Vec<Stretch>,
    /// Who signed.
    pub signers: Vec<PublicKey>,
    /// The signers are those that were asked for.
    pub pinned: bool,
    /// It ends with a seal, or is all that the store says there is: the end cannot be missing.
    pub sealed: bool,
}

impl Report {
    /// True where the copy is what was recorded.
    pub fn whole(&self) -> bool {
        self.first_break.is_none()
    }
}

impl fmt::Display for Report {
    /// Lines, without the last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first_break {
            None => f.write_str("whole")?,
            Some(found) => write!(f, "BROKEN, {found}")?,
        }
        let until = if self.whole() { "" } else { " before it" };
        write!(f, "\n{} records in {} chains{until}", self.records, self.chains.len())?;
        if self.omitted > 0 {
            write!(f, ", and the hashes of {} that were left out", self.omitted)?;
        }
        if self.repeats > 0 {
            write!(f, ", {} of them repeated", self.repeats)?;
        }
        if let Some(tenant) = &self.tenant {
            write!(f, ", of the tenant {tenant}")?;
        }
        for Stretch { chain, from, to, vouched, loose } in &self.chains {
            write!(f, "\nchain {chain}: ")?;
            if to < from {
                f.write_str("no records here")?;
                continue;
            }
            write!(f, "records {from} to {to}")?;
            match vouched {
                Some(vouched) if vouched >= to => {}
                Some(vouched) => write!(f, "; no signature covers what follows {vouched} yet")?,
                None => f.write_str("; no signature covers them yet")?,
            }
            if *loose {
                write!(f, "; it begins in the middle: what record {from} says cannot be checked")?;
            }
        }
        match (&*self.signers, self.pinned) {
            ([], _) => f.write_str("\nnothing here is signed")?,
            (signers, true) => write!(f, "\nsigned with the pinned key {}", listed(signers))?,
            (signers, false) => write!(
                f,
                "\nsigned with the key {}, for which nobody vouches: compare it with what `sidegate audit key` shows on \
                 the server, and pin it with --key",
                listed(signers)
            )?,
        }
        if !self.sealed && self.whole() {
            f.write_str("\nwithout a seal nobody can tell whether more followed the last line")?;
        }
        Ok(())
    }
}

fn listed(keys: &[PublicKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
