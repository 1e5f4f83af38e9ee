//! The tenants of this process: the main one, and those that the store has beside it, which come and go meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::wing::{Shared, Wing, place};
use super::{AppError, failed};
use crate::config::Config;
use crate::edge::Tuning;
use crate::gate::admin::Admins;
use crate::gate::{Front, Pulse};
use crate::store::TenantRow;

/// How long after a failure the tenants are looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// All wings, and who is told when they change.
pub(super) struct Tenants {
    pub shared: Arc<Shared>,
    pub front: Arc<Front>,
    pub admins: Arc<Admins>,
    others: Mutex<HashMap<String, Wing>>,
}

impl Tenants {
    /// The main tenant alone.
    pub fn new(shared: Arc<Shared>, front: Arc<Front>, admins: Arc<Admins>) -> Self {
        Self { shared, front, admins, others: Mutex::default() }
    }

    /// Makes the wings what the store says: new ones are built, changed ones built again, others closed. The listeners
    /// learn of it where any came or went. Says whether all of them could be built.
    ///
    /// # Errors
    /// Where the store cannot be read. A tenant that cannot be built is a warning, and not served.
    async fn align(&self, tuning: &Tuning) -> Result<bool, AppError> {
        let main = self.shared.config.load().tenant.id.clone();
        let rows = self.shared.store.tenants().await.map_err(failed)?;
        if let Some(row) = rows.iter().find(|row| row.id == main) {
            self.front.main().open(row.mcp);
        }
        let wanted: HashMap<_, _> = rows
            .into_iter()
            .filter(|row| row.id != main && row.active && place(row).is_some())
            .map(|row| (row.id.clone(), row))
            .collect();
        let mut others = self.others.lock().await;
        let gone: Vec<_> = others
            .iter()
            .filter(|(id, wing)| wanted.get(*id).is_none_or(|row| is_rebuilt(&wing.row, row)))
            .map(|(id, _)| id.clone())
            .collect();
        let mut changed = !gone.is_empty();
        for id in gone {
            if let Some(wing) = others.remove(&id) {
                tracing::info!(tenant = id, "the tenant is closed, or built anew");
                // Its calls end in a task of their own: the other tenants need not wait for them.
                tokio::spawn(wing.stop());
            }
        }
        let mut all_built = true;
        for (id, row) in wanted {
            if let Some(wing) = others.get(&id) {
                wing.gate.open(row.mcp);
                continue;
            }
            match self.shared.build(&row).await {
                Ok(mut wing) => {
                    wing.start(&self.shared);
                    tracing::info!(tenant = id, "the tenant is served");
                    others.insert(id, wing);
                    changed = true;
                }
                Err(AppError(error)) => {
                    all_built = false;
                    tracing::warn!(tenant = id, error, "the tenant cannot be served");
                }
            }
        }
        if changed {
            let places = others.values().filter_map(|wing| Some((place(&wing.row)?, wing.gate.clone())));
            self.front.adopt(places.collect());
            self.admins
                .adopt(others.values().map(|wing| (wing.row.slug.clone(), wing.admin.clone())).collect());
            tuning.adopt(&self.shared.config.load().server);
        }
        Ok(all_built)
    }

    /// Follows the store; ends only with its task.
    pub async fn follow(self: Arc<Self>, pulse: Arc<Pulse>, tuning: Tuning) {
        let mut versions = pulse.watch();
        loop {
            let settled = self.align(&tuning).await.unwrap_or_else(|AppError(error)| {
                tracing::warn!(error, "the tenants cannot be read");
                false
            });
            let change = versions.changed();
            let _ = if settled {
                change.await
            } else {
                tokio::time::timeout(AGAIN, change).await.unwrap_or(Ok(()))
            };
        }
    }

    /// Takes over what a changed configuration sets.
    pub async fn adopt(&self, config: &Config) {
        for wing in self.others.lock().await.values() {
            let rooms = wing.rooms();
            rooms.adopt(&self.shared, config).await;
            if let Err(error) = wing.catalogue.adopt(config.catalog.clone()).await {
                tracing::warn!(tenant = wing.row.id, error, "the tenant's catalogue stays as it was");
            }
        }
    }

    /// Closes the further tenants.
    pub async fn close(&self) {
        let wings: Vec<_> = self.others.lock().await.drain().map(|(_, wing)| wing).collect();
        futures_util::future::join_all(wings.into_iter().map(Wing::stop)).await;
    }
}

/// Whether a change of the row changes what its rooms are made of.
fn is_rebuilt(old: &TenantRow, new: &TenantRow) -> bool {
    (place(old), &old.psa_tenant, &old.catalog_user, &old.slug)
        != (place(new), &new.psa_tenant, &new.catalog_user, &new.slug)
}
