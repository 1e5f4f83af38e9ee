//! The record as rows of the store.

use async_trait::async_trait;

use super::{Ledger, Unwritten, Written};
use crate::audit::chains::Plan;
use crate::clock::Millis;
use crate::record::Head;
use crate::store::{Appended, Store, StoreError};

/// The ledger in the store.
pub(in crate::audit) struct RowLedger {
    store: Store,
    process: String,
    /// The last commit failed, and may have come through all the same.
    doubt: bool,
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl RowLedger {
    pub fn new(store: Store, process: &str) -> Self {
        Self { store, process: process.to_owned(), doubt: false }
    }

    /// True where the plan was written by an attempt that seemed to fail: all of a plan is there or nothing.
    async fn is_there(&self, plan: &Plan) -> Result<bool, StoreError> {
        let Some((_, advance)) = plan.advances.first() else { return Ok(false) };
        let row = self.store.chain(advance.to.chain).await?;
        Ok(row.is_some_and(|row| row.head == advance.to))
    }
}

#[async_trait]
impl Ledger for RowLedger {
    async fn heads(&mut self, tenant: &str, since: Millis, limit: u32) -> Result<Vec<Head>, Unwritten> {
        Ok(self.store.heads(tenant, since, limit).await?)
    }

    async fn commit(&mut self, plan: &Plan) -> Result<Written, Unwritten> {
        if self.doubt && self.is_there(plan).await? {
            self.doubt = false;
            return Ok(Written::Done);
        }
        self.doubt = true;
        let appended = self.store.append_records(&self.process, &plan.records, &plan.advances).await?;
        self.doubt = false;
        Ok(match appended {
            Appended::Done => Written::Done,
            Appended::Lost(chains) => Written::Lost(chains),
        })
    }
}
