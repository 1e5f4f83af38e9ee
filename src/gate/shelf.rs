//! The store as the place where a tenant's catalogue is kept for a start without the PSA.

use async_trait::async_trait;

use super::catalogue::{Kept, Shelf};
use crate::clock::Millis;
use crate::store::Store;

/// One tenant's part of it.
pub struct StoreShelf {
    /// The store.
    pub store: Store,
    /// Whose catalogue.
    pub tenant: String,
}

#[async_trait]
impl Shelf for StoreShelf {
    async fn kept(&self) -> Result<Option<Kept>, String> {
        let kept = self.store.catalog(&self.tenant).await.map_err(|error| error.to_string())?;
        Ok(kept.map(|kept| Kept { body: kept.body, fetched_at: kept.fetched_at }))
    }

    async fn keep(&self, hash: &str, body: &[u8], now: Millis) -> Result<(), String> {
        let put = self.store.put_catalog(&self.tenant, hash, body, now).await;
        put.map_err(|error| error.to_string())
    }
}
