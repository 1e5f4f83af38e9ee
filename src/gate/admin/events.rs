//! Reading what is on record of one tenant.

use super::{Admin, AdminError};
use crate::clock::Millis;
use crate::store::{EventFilter, EventRow};

impl Admin {
    /// Events that `filter` lets through, newest first: those older than the (time, id) of `after`, without the first
    /// `offset`.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<(Millis, String)>,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, AdminError> {
        Ok(self.store.events(&self.tenant, filter, after, offset, limit).await?)
    }

    /// How many events there are.
    pub async fn count_events(&self, filter: &EventFilter) -> Result<u64, AdminError> {
        Ok(self.store.count_events(&self.tenant, filter).await?)
    }
}
