//! The tables' view of trusted issuers.

use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, Row};
use uuid::Uuid;

use super::sql::{flag, is_taken, json};
use super::{ManagedBy, Store, StoreError};
use crate::clock::Millis;
use crate::identity::scopes::RequiredScopes;
use crate::identity::trust::IssuerAlias;

/// One trusted issuer of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerRow {
    /// A UUID; empty in a row to be written: made of the tenant and the issuer.
    pub id: String,
    /// `custom`, `google` or `microsoft`.
    pub kind: String,
    /// The `iss` of its tokens, compared byte for byte.
    pub issuer: String,
    /// Other `iss` values that mean the same issuer; as unique within the tenant as issuers are.
    pub aliases: Vec<IssuerAlias>,
    /// The directory at Entra, where `kind` is `microsoft`.
    pub entra_tenant: Option<String>,
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
    /// When it was added; the store sets it.
    pub created_at: Millis,
    /// When it was last written; the store sets it.
    pub updated_at: Millis,
    /// The tenant's version when it was last written; the store sets it.
    pub changed: i64,
}

impl Default for IssuerRow {
    fn default() -> Self {
        Self {
            id: String::new(),
            kind: "custom".to_owned(),
            issuer: String::new(),
            aliases: Vec::new(),
            entra_tenant: None,
            jwks_uri: None,
            audiences: Vec::new(),
            subject_claim: "sub".to_owned(),
            max_age: None,
            leeway: 60,
            required_scopes: RequiredScopes::default(),
            require_bound_tokens: false,
            managed_by: ManagedBy::Admin,
            active: true,
            created_at: 0,
            updated_at: 0,
            changed: 0,
        }
    }
}

impl IssuerRow {
    /// Every `iss` that means it.
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.issuer.as_str()).chain(self.aliases.iter().map(|alias| alias.issuer.as_str()))
    }
}

impl Store {
    /// All issuers of a tenant by name.
    pub async fn issuers(&self, tenant: &str) -> Result<Vec<IssuerRow>, StoreError> {
        all(&self.pool, tenant).await
    }

    /// The issuer with this id, or with this `iss`.
    pub async fn issuer(&self, tenant: &str, id_or_issuer: &str) -> Result<Option<IssuerRow>, StoreError> {
        let mut rows = self.issuers(tenant).await?;
        let found = rows.iter().position(|row| row.id == id_or_issuer || row.issuer == id_or_issuer);
        Ok(found.map(|index| rows.swap_remove(index)))
    }

    /// Every `iss` of every issuer of every tenant, switched off ones too.
    pub async fn known_issuers(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT issuer, aliases FROM issuers").fetch_all(&self.pool).await?;
        let mut known = Vec::with_capacity(rows.len());
        for row in &rows {
            known.push(row.try_get("issuer")?);
            let aliases: Vec<IssuerAlias> = json(row, "aliases")?;
            known.extend(aliases.into_iter().map(|alias| alias.issuer));
        }
        known.sort();
        known.dedup();
        Ok(known)
    }

    /// Adds an issuer or replaces what is kept of it; returns it as it is then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where an administrator would replace a row of the configuration file, or where one
    /// of its `iss` values means another issuer.
    pub async fn put_issuer(&self, tenant: &str, row: &IssuerRow) -> Result<IssuerRow, StoreError> {
        let now = self.clock.now();
        let mut change = self.change(tenant).await?;
        let version = change.version;
        put(change.connection(), tenant, row, now, version).await?;
        let rows = all(change.connection(), tenant).await?;
        let written = rows.into_iter().find(|known| known.issuer == row.issuer);
        change.commit().await?;
        written.ok_or_else(|| unknown(&row.issuer))
    }

    /// Trusts an issuer no longer; returns what it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] where the configuration file keeps it.
    pub async fn remove_issuer(&self, tenant: &str, id_or_issuer: &str) -> Result<IssuerRow, StoreError> {
        let mut change = self.change(tenant).await?;
        let rows = all(change.connection(), tenant).await?;
        let Some(row) = rows.into_iter().find(|row| row.id == id_or_issuer || row.issuer == id_or_issuer)
        else {
            return Err(unknown(id_or_issuer));
        };
        if row.managed_by == ManagedBy::Config {
            return Err(kept_by_file(&row.issuer));
        }
        sqlx::query("DELETE FROM issuers WHERE tenant_id = $1 AND issuer = $2")
            .bind(tenant)
            .bind(&row.issuer)
            .execute(change.connection())
            .await?;
        change.commit().await?;
        Ok(row)
    }
}

fn unknown(who: &str) -> StoreError {
    StoreError::NotFound(format!("there is no issuer {who}; `sidegate idp list` shows all"))
}

fn kept_by_file(issuer: &str) -> StoreError {
    StoreError::Conflict(format!("issuer {issuer} is kept by the configuration file; change it there"))
}

/// The issuers of a tenant by name.
pub(super) async fn all(executor: impl AnyExecutor<'_>, tenant: &str) -> Result<Vec<IssuerRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT tenant_id, id, kind, issuer, aliases, entra_tenant, jwks_uri, audiences, subject_claim, max_age,
           leeway, required_scopes, CAST(require_bound_tokens AS INTEGER) AS require_bound_tokens, managed_by,
           CAST(active AS INTEGER) AS active, created_at, updated_at, changed
         FROM issuers WHERE tenant_id = $1 ORDER BY issuer",
    )
    .bind(tenant)
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// Writes a row unless it may not be.
pub(super) async fn put(
    connection: &mut AnyConnection,
    tenant: &str,
    row: &IssuerRow,
    now: Millis,
    version: i64,
) -> Result<(), StoreError> {
    let others = all(&mut *connection, tenant).await?;
    for other in others.iter().filter(|other| other.issuer != row.issuer) {
        // What the file names no longer is being forgotten.
        let counts = other.active || other.managed_by == ManagedBy::Admin;
        if counts && let Some(name) = row.names().find(|name| other.names().any(|taken| taken == *name)) {
            return Err(StoreError::Conflict(format!(
                "issuer {}: {name} already means issuer {}; each is written once",
                row.issuer, other.issuer
            )));
        }
    }
    match write(connection, tenant, row, now, version).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(kept_by_file(&row.issuer)),
        Err(error) if is_taken(&error) => Err(StoreError::Conflict(format!(
            "issuer {}: the id {} is another issuer's; its issuer cannot be changed, add a new one",
            row.issuer, row.id
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Writes a whole row; false where it is the configuration file's and an administrator's would replace it.
async fn write(
    executor: impl AnyExecutor<'_>,
    tenant: &str,
    row: &IssuerRow,
    now: Millis,
    version: i64,
) -> Result<bool, sqlx::Error> {
    let id = if row.id.is_empty() { derived_id(tenant, &row.issuer) } else { row.id.clone() };
    let written = sqlx::query(
        "INSERT INTO issuers (tenant_id, issuer, jwks_uri, audiences, subject_claim, max_age, leeway,
           required_scopes, require_bound_tokens, managed_by, active, created_at, updated_at, id, kind, entra_tenant,
           aliases, changed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (tenant_id, issuer) DO UPDATE SET
           jwks_uri = excluded.jwks_uri, audiences = excluded.audiences, subject_claim = excluded.subject_claim,
           max_age = excluded.max_age, leeway = excluded.leeway, required_scopes = excluded.required_scopes,
           require_bound_tokens = excluded.require_bound_tokens, managed_by = excluded.managed_by,
           active = excluded.active, updated_at = excluded.updated_at, kind = excluded.kind,
           entra_tenant = excluded.entra_tenant, aliases = excluded.aliases, changed = excluded.changed
         WHERE excluded.managed_by = 'config' OR issuers.managed_by <> 'config'",
    )
    .bind(tenant)
    .bind(&row.issuer)
    .bind(&row.jwks_uri)
    .bind(serde_json::json!(row.audiences).to_string())
    .bind(&row.subject_claim)
    .bind(row.max_age)
    .bind(row.leeway)
    .bind(serde_json::json!(row.required_scopes).to_string())
    .bind(row.require_bound_tokens)
    .bind(row.managed_by.as_str())
    .bind(row.active)
    .bind(now)
    .bind(id)
    .bind(&row.kind)
    .bind(&row.entra_tenant)
    .bind(serde_json::json!(row.aliases).to_string())
    .bind(version)
    .execute(executor)
    .await?;
    Ok(written.rows_affected() > 0)
}

fn read(row: &AnyRow) -> Result<IssuerRow, StoreError> {
    let issuer: String = row.try_get("issuer")?;
    let id: Option<String> = row.try_get("id")?;
    Ok(IssuerRow {
        id: id.map_or_else(|| Ok::<_, sqlx::Error>(derived_id(row.try_get("tenant_id")?, &issuer)), Ok)?,
        kind: row.try_get("kind")?,
        aliases: json(row, "aliases")?,
        entra_tenant: row.try_get("entra_tenant")?,
        jwks_uri: row.try_get("jwks_uri")?,
        audiences: json(row, "audiences")?,
        subject_claim: row.try_get("subject_claim")?,
        max_age: row.try_get("max_age")?,
        leeway: row.try_get("leeway")?,
        required_scopes: json(row, "required_scopes")?,
        require_bound_tokens: flag(row, "require_bound_tokens")?,
        managed_by: ManagedBy::parse(row.try_get("managed_by")?),
        active: flag(row, "active")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        changed: row.try_get("changed")?,
        issuer,
    })
}

/// A UUID (RFC 9562, version 8) that is the same wherever it is made, for rows that were written without one.
fn derived_id(tenant: &str, issuer: &str) -> String {
    let digest = Sha256::new().chain_update(tenant).chain_update([0]).chain_update(issuer).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, digest)| *byte = digest);
    Uuid::new_v8(bytes).to_string()
}
