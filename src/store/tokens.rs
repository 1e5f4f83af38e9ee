//! Tokens of administrators, by their hashes.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::sql::{Statement, Value, is_taken};
use super::{Store, StoreError};
use crate::clock::Millis;

/// One token of an administrator.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminTokenRow {
    /// A UUID.
    pub id: String,
    /// The tenant that it administers; none: every tenant.
    pub tenant_id: Option<String>,
    /// For people, and for the record of what was done with it.
    pub name: String,
    /// SHA-256 of the whole token in hex; the token itself never comes here.
    pub hash: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends by itself.
    pub expires_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Millis>,
}

/// How often the last use is written down.
const USE: Millis = 60_000;

const COLUMNS: &str = "id, tenant_id, name, hash, created_at, expires_at, revoked_at, last_used_at";

impl Store {
    /// Adds a token.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where there is such a token.
    pub async fn add_admin_token(&self, row: &AdminTokenRow) -> Result<(), StoreError> {
        let added = sqlx::query(
            "INSERT INTO admin_tokens (id, tenant_id, name, hash, created_at, expires_at, revoked_at, last_used_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&row.id)
        .bind(&row.tenant_id)
        .bind(&row.name)
        .bind(&row.hash)
        .bind(row.created_at)
        .bind(row.expires_at)
        .bind(row.revoked_at)
        .bind(row.last_used_at)
        .execute(&self.pool)
        .await;
        match added {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => {
                Err(StoreError::Conflict("there is such a token already; make another".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All tokens, the newest first.
    pub async fn admin_tokens(&self) -> Result<Vec<AdminTokenRow>, StoreError> {
        self.tokens_where("", []).await
    }

    /// The token whose SHA-256 is `hash` in hex, revoked and expired ones too.
    pub async fn admin_token_by_hash(&self, hash: &str) -> Result<Option<AdminTokenRow>, StoreError> {
        Ok(self.tokens_where(" WHERE hash = ?", [hash.into()]).await?.pop())
    }

    /// Revokes the token with this id, or the one of this name, and returns it. One that is revoked stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where several that are not revoked have the name.
    pub async fn revoke_admin_token(&self, id_or_name: &str) -> Result<AdminTokenRow, StoreError> {
        let mut rows = self.admin_tokens().await?;
        rows.retain(|row| row.id == id_or_name || row.name == id_or_name);
        if rows.iter().any(|row| row.id == id_or_name) {
            rows.retain(|row| row.id == id_or_name);
        } else if rows.iter().any(|row| row.revoked_at.is_none()) {
            rows.retain(|row| row.revoked_at.is_none());
            if rows.len() > 1 {
                let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
                return Err(StoreError::Conflict(format!(
                    "several tokens are named `{id_or_name}`; name one by its id: {}",
                    ids.join(", ")
                )));
            }
        }
        let Some(mut row) = rows.into_iter().next() else {
            return Err(StoreError::NotFound(format!(
                "there is no token `{id_or_name}`; `sidegate admin-token list` shows all"
            )));
        };
        if row.revoked_at.is_none() {
            row.revoked_at = Some(self.clock.now());
            sqlx::query("UPDATE admin_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
                .bind(row.revoked_at)
                .bind(&row.id)
                .execute(&self.pool)
                .await?;
        }
        Ok(row)
    }

    /// Writes down that the token is in use, at most once a minute.
    pub async fn touch_admin_token(&self, id: &str) -> Result<(), StoreError> {
        let now = self.clock.now();
        sqlx::query(
            "UPDATE admin_tokens SET last_used_at = $1
             WHERE id = $2 AND (last_used_at IS NULL OR last_used_at <= $3)",
        )
        .bind(now)
        .bind(id)
        .bind(now - USE)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn tokens_where<const N: usize>(
        &self,
        condition: &str,
        values: [Value; N],
    ) -> Result<Vec<AdminTokenRow>, StoreError> {
        let mut statement = Statement::new(&format!("SELECT {COLUMNS} FROM admin_tokens"));
        statement.push(condition, values).push(" ORDER BY created_at DESC, id", []);
        statement.query().fetch_all(&self.pool).await?.iter().map(read).collect()
    }
}

fn read(row: &AnyRow) -> Result<AdminTokenRow, StoreError> {
    Ok(AdminTokenRow {
        id: row.try_get("id")?,
        tenant_id: row.try_get("tenant_id")?,
        name: row.try_get("name")?,
        hash: row.try_get("hash")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}
