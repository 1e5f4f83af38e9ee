//! The tables' view of trusted issuers.

use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteExecutor};

use super::{ManagedBy, Store, StoreError};
use crate::clock::Millis;
use crate::identity::scopes::RequiredScopes;

/// One trusted issuer of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerRow {
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// Where its keys are, where discovery is not to be used.
    pub jwks_uri: Option<String>,
    /// Audiences accepted beside the resource's own URL.
    pub audiences: Vec<String>,
    /// The claim that names the agent.
    pub subject_claim: String,
    /// The oldest token that is accepted, in seconds since its `iat`.
    pub max_age: Option<i64>,
    /// Tolerated clock difference in seconds.
    pub leeway: i64,
    /// What its tokens must have been granted, by what a call does.
    pub required_scopes: RequiredScopes,
    /// Whether its tokens must be bound to a client certificate.
    pub require_bound_tokens: bool,
    /// Who keeps the row.
    pub managed_by: ManagedBy,
    /// False: its tokens are refused.
    pub active: bool,
}

impl Store {
    /// All issuers of a tenant by name.
    pub async fn issuers(&self, tenant: &str) -> Result<Vec<IssuerRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT issuer, jwks_uri, audiences, subject_claim, max_age, leeway, required_scopes,
               require_bound_tokens, managed_by, active
             FROM issuers WHERE tenant_id = $1 ORDER BY issuer",
        )
        .bind(tenant)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The `iss` of every issuer of every tenant, switched off ones too.
    pub async fn known_issuers(&self) -> Result<Vec<String>, StoreError> {
        let rows =
            sqlx::query("SELECT DISTINCT issuer FROM issuers ORDER BY issuer").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(row.try_get("issuer")?)).collect()
    }

    /// Adds an issuer or replaces what is kept of it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where an administrator would replace a row of the configuration file.
    pub async fn put_issuer(&self, tenant: &str, row: &IssuerRow) -> Result<(), StoreError> {
        if write(&self.pool, tenant, row, self.clock.now()).await? {
            return Ok(());
        }
        Err(StoreError::Conflict(format!(
            "issuer {} is kept by the configuration file; change it there",
            row.issuer
        )))
    }
}

/// Writes a whole row; false where it is the configuration file's and an administrator's would replace it.
pub(super) async fn write(
    executor: impl SqliteExecutor<'_>,
    tenant: &str,
    row: &IssuerRow,
    now: Millis,
) -> Result<bool, sqlx::Error> {
    let written = sqlx::query(
        "INSERT INTO issuers (tenant_id, issuer, jwks_uri, audiences, subject_claim, max_age, leeway,
           required_scopes, require_bound_tokens, managed_by, active, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
         ON CONFLICT (tenant_id, issuer) DO UPDATE SET
           jwks_uri = excluded.jwks_uri, audiences = excluded.audiences, subject_claim = excluded.subject_claim,
           max_age = excluded.max_age, leeway = excluded.leeway, required_scopes = excluded.required_scopes,
           require_bound_tokens = excluded.require_bound_tokens, managed_by = excluded.managed_by,
           active = excluded.active, updated_at = excluded.updated_at
         WHERE excluded.managed_by = 'config' OR issuers.managed_by <> 'config'",
    )
    .bind(tenant)
    .bind(&row.issuer)
    .bind(&row.jwks_uri)
    .bind(serde_json::Value::from(row.audiences.clone()).to_string())
    .bind(&row.subject_claim)
    .bind(row.max_age)
    .bind(row.leeway)
    .bind(serde_json::json!(row.required_scopes).to_string())
    .bind(row.require_bound_tokens)
    .bind(row.managed_by.as_str())
    .bind(row.active)
    .bind(now)
    .execute(executor)
    .await?;
    Ok(written.rows_affected() > 0)
}

fn read(row: &SqliteRow) -> Result<IssuerRow, StoreError> {
    Ok(IssuerRow {
        issuer: row.try_get("issuer")?,
        jwks_uri: row.try_get("jwks_uri")?,
        audiences: json(row, "audiences")?,
        subject_claim: row.try_get("subject_claim")?,
        max_age: row.try_get("max_age")?,
        leeway: row.try_get("leeway")?,
        required_scopes: json(row, "required_scopes")?,
        require_bound_tokens: row.try_get("require_bound_tokens")?,
        managed_by: ManagedBy::parse(row.try_get("managed_by")?),
        active: row.try_get("active")?,
    })
}

/// A column of JSON text.
fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| StoreError::Query(sqlx::Error::Decode(error.into())))
}
