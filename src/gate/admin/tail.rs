//! What comes on record from now on, whichever process records it: the store's chains are followed.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Admin, AdminError};
use crate::clock::{Clock, Millis};
use crate::record::{ChainId, Filter, Record};
use crate::store::Store;

/// How often is looked.
const LOOK: Duration = Duration::from_millis(250);
/// How far back a chain that went on is looked for: by so much the clocks of processes may differ.
const SKEW: Millis = 60_000;
/// Chains that may go on at once.
const CHAINS: u32 = 1_000;
/// Records that are read at once.
const PIECE: u32 = 256;

/// Follows one tenant's record.
pub struct Tail {
    store: Store,
    tenant: String,
    filter: Filter,
    clock: Clock,
    /// The next number in each chain.
    places: HashMap<ChainId, i64>,
    ready: VecDeque<Record>,
}

impl Admin {
    /// Follows what `filter` lets through, from what is on record now on.
    pub async fn tail(&self, filter: Filter) -> Result<Tail, AdminError> {
        let chains = self.store.chains(Some(&self.tenant)).await?;
        Ok(Tail {
            store: self.store.clone(),
            tenant: self.tenant.clone(),
            filter,
            clock: self.clock.clone(),
            places: chains.iter().map(|row| (row.head.chain, row.head.seq + 1)).collect(),
            ready: VecDeque::new(),
        })
    }
}

impl Tail {
    /// The next record, as soon as there is one. Of one chain they come in its order.
    ///
    /// # Errors
    /// The store does not answer; asked again, it goes on where it was.
    pub async fn next(&mut self) -> Result<Record, AdminError> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(record);
            }
            if !self.look().await? {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Reads on in each chain by one piece; false where there was nothing.
    async fn look(&mut self) -> Result<bool, AdminError> {
        let mut moved = false;
        for head in self.store.heads(&self.tenant, self.clock.now() - SKEW, CHAINS).await? {
            let next = self.places.get(&head.chain).copied().unwrap_or(0);
            if head.seq < next {
                continue;
            }
            let records = self.store.records(head.chain, next, PIECE).await?;
            let Some(last) = records.last() else { continue };
            moved = true;
            self.places.insert(head.chain, last.seq + 1);
            self.ready.extend(records.into_iter().filter(|record| self.filter.shows(&record.facts)));
        }
        Ok(moved)
    }
}
