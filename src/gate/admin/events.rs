//! Reading what is on record of one tenant.

use super::{Admin, AdminError};
use crate::clock::Millis;
use crate::record::{ChainId, Filter, Record};

impl Admin {
    /// Records that `filter` lets through, newest first: those before the time and place of `after`, without the first
    /// `offset`.
    pub async fn events(
        &self,
        filter: &Filter,
        after: Option<(Millis, ChainId, i64)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Record>, AdminError> {
        Ok(self.store.find_records(&self.tenant, filter, after, offset, limit).await?)
    }

    /// How many records there are.
    pub async fn count_events(&self, filter: &Filter) -> Result<u64, AdminError> {
        Ok(self.store.count_records(&self.tenant, filter).await?)
    }
}
