//! Small values that all replicas must have in common, such as the name of this installation.

use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// What is kept under `name`; `default_value`, kept from now on, where there was nothing.
    pub async fn setting(&self, name: &str, default_value: &str) -> Result<String, StoreError> {
        sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(default_value)
            .execute(&self.pool)
            .await?;
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name);
        Ok(row.fetch_one(&self.pool).await?.try_get("value")?)
    }
}
