//! The last catalogue that was fetched, for a start without the PSA.

use sqlx::Row;

use super::{Store, StoreError};
use crate::clock::Millis;

/// A catalogue as the PSA sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogRow {
    /// The envelope, byte for byte.
    pub body: Vec<u8>,
    /// When it was last seen to be the PSA's.
    pub fetched_at: Millis,
}

impl Store {
    /// The catalogue kept for a tenant.
    pub async fn catalog(&self, tenant: &str) -> Result<Option<CatalogRow>, StoreError> {
        let row = sqlx::query("SELECT body, fetched_at FROM catalogs WHERE tenant_id = $1")
            .bind(tenant)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(CatalogRow { body: row.try_get("body")?, fetched_at: row.try_get("fetched_at")? }))
            .transpose()
    }

    /// Keeps `body`, whose SHA-256 is `hash`; the same catalogue again only moves its time.
    pub async fn put_catalog(
        &self,
        tenant: &str,
        hash: &str,
        body: &[u8],
        fetched_at: Millis,
    ) -> Result<(), StoreError> {
        let seen = sqlx::query("UPDATE catalogs SET fetched_at = $1 WHERE tenant_id = $2 AND hash = $3")
            .bind(fetched_at)
            .bind(tenant)
            .bind(hash)
            .execute(&self.pool)
            .await?;
        if seen.rows_affected() == 0 {
            sqlx::query(
                "INSERT INTO catalogs (tenant_id, hash, body, fetched_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant_id) DO UPDATE SET
                   hash = excluded.hash, body = excluded.body, fetched_at = excluded.fetched_at",
            )
            .bind(tenant)
            .bind(hash)
            .bind(body)
            .bind(fetched_at)
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }
}
