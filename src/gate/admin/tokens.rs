//! Admin tokens: what scripts and people show to the admin listener. Only a hash of one is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::record::Change;
use super::{Actor, AdminError, Admins, sound};
use crate::clock::Millis;
use crate::secret::Secret;
use crate::store::AdminTokenRow;
use crate::units::{Span, hex};

/// What every admin token begins with, so that scanners for leaked secrets know one.
pub const PREFIX: &str = "sga_";

/// An admin token as it is asked for.
#[derive(Clone, Debug, Default)]
pub struct TokenSpec {
    /// For people and for the record of what it did.
    pub name: String,
    /// The tenant that it administers; none: every tenant, and the tenants themselves.
    pub tenant: Option<String>,
    /// How long it is good; none: until it is revoked.
    pub lifetime: Option<Span>,
}

/// What may stand in a name.
const NAME_LIMIT: usize = 100;

impl Admins {
    /// Makes an admin token. It is shown this once.
    pub async fn create_admin_token(
        &self,
        actor: &Actor,
        spec: &TokenSpec,
    ) -> Result<(AdminTokenRow, Secret), AdminError> {
        let mut found = Vec::new();
        if spec.name.trim().is_empty() || spec.name.chars().count() > NAME_LIMIT {
            found.push(("name".to_owned(), format!("must have 1 to {NAME_LIMIT} characters")));
        }
        if spec.lifetime.is_some_and(|lifetime| lifetime.0.is_zero()) {
            found.push(("expires".to_owned(), "must be more than nothing".to_owned()));
        }
        sound(found)?;
        let tenant = match &spec.tenant {
            Some(which) => Some(self.tenant(which).await?.id),
            None => None,
        };
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let now = self.clock().now();
        let row = AdminTokenRow {
            id: Uuid::new_v4().to_string(),
            tenant_id: tenant,
            name: spec.name.clone(),
            hash: hash(&token),
            created_at: now,
            expires_at: spec.lifetime.map(|lifetime| now.saturating_add(lifetime.as_millis())),
            revoked_at: None,
            last_used_at: None,
        };
        self.store().add_admin_token(&row).await?;
        self.token_recorded(actor, "admin_token.create", &row).await?;
        Ok((row, Secret::new(token)))
    }

    /// All of them, revoked ones too.
    pub async fn admin_tokens(&self) -> Result<Vec<AdminTokenRow>, AdminError> {
        Ok(self.store().admin_tokens().await?)
    }

    /// Ends one, by id or name, from the next request on.
    pub async fn revoke_admin_token(&self, actor: &Actor, which: &str) -> Result<AdminTokenRow, AdminError> {
        let row = self.store().revoke_admin_token(which).await?;
        self.token_recorded(actor, "admin_token.revoke", &row).await?;
        Ok(row)
    }

    /// Whose token this is, if it is good now.
    pub async fn who(&self, token: &Secret) -> Result<Option<AdminTokenRow>, AdminError> {
        if !token.expose().starts_with(PREFIX) {
            return Ok(None);
        }
        let found = self.store().admin_token_by_hash(&hash(token.expose())).await?;
        let now = self.clock().now();
        let Some(row) = found.filter(|row| is_good(row, now)) else { return Ok(None) };
        if row.last_used_at.is_none_or(|used| now - used > USE_NOTED)
            && let Err(error) = self.store().touch_admin_token(&row.id).await
        {
            tracing::debug!(%error, "the use of an admin token could not be noted");
        }
        Ok(Some(row))
    }

    async fn token_recorded(
        &self,
        actor: &Actor,
        action: &'static str,
        row: &AdminTokenRow,
    ) -> Result<(), AdminError> {
        let shown = json!({
            "name": row.name, "tenant": row.tenant_id, "expires_at": row.expires_at, "revoked": row.revoked_at.is_some(),
        });
        let change = Change { action, target: &row.id, agent: None, before: None, after: Some(shown) };
        let main = self.main();
        let tenant = row.tenant_id.as_deref().unwrap_or(&main.tenant);
        main.journal.change(tenant, actor, change).await
    }
}

/// How often the use of a token is noted. In milliseconds.
const USE_NOTED: Millis = 60_000;

fn is_good(row: &AdminTokenRow, now: Millis) -> bool {
    row.revoked_at.is_none() && row.expires_at.is_none_or(|end| end > now)
}

/// A token has 256 random bits, so that a plain hash cannot be turned round.
fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}
