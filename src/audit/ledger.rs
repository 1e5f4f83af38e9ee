//! Where the record is kept: the store, or one file for who has none.

use async_trait::async_trait;

use super::chains::Plan;
use crate::clock::Millis;
use crate::record::{ChainId, Head};

mod file;
#[cfg(feature = "server")]
mod rows;

pub(super) use file::FileLedger;
#[cfg(feature = "server")]
pub(super) use rows::RowLedger;

/// Why nothing, or perhaps nothing, was written.
#[derive(Debug)]
pub(super) struct Unwritten(pub String);

/// What came of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// These chains belong to somebody else by now. Nothing was written.
    Lost(Vec<ChainId>),
}

/// Takes plans, one after the other.
#[async_trait]
pub(super) trait Ledger: Send + Sync {
    /// Where a tenant's chains stand that went on since `since`, at most `limit` of them.
    async fn heads(&mut self, tenant: &str, since: Millis, limit: u32) -> Result<Vec<Head>, Unwritten>;

    /// Writes all of `plan` or nothing, and returns when it is durable. After an error the same plan comes again, and
    /// what of it is there already is not written twice.
    async fn commit(&mut self, plan: &Plan) -> Result<Written, Unwritten>;
}

/// Where nothing is kept.
pub(super) struct Nowhere;

#[async_trait]
impl Ledger for Nowhere {
    async fn heads(&mut self, _: &str, _: Millis, _: u32) -> Result<Vec<Head>, Unwritten> {
        Ok(Vec::new())
    }

    async fn commit(&mut self, _: &Plan) -> Result<Written, Unwritten> {
        Ok(Written::Done)
    }
}
