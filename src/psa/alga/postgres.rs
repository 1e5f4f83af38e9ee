//! Keys in AlgaPSA's own table, for editions with and without the `agent_id` column.
//! Who may hold one is decided here; the SQL is in `db`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::super::config::PsaConfig;
use super::super::{Credential, KeyError, Keys, Principal, PsaError};
use super::db::{self, Db, NewKey};
use super::{Source, key};
use crate::clock::Millis;

/// For one errand, beyond the database's own limits on connecting and on statements.
const ERRAND: Duration = Duration::from_secs(12);

pub(super) fn problems(config: &PsaConfig) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut say = |key: &str, message: &str| found.push((key.to_owned(), message.to_owned()));
    if config.tenant.is_empty() {
        say("tenant", "is missing; set it to the tenant's UUID in the PSA's `tenants` table");
    }
    let url = config.database_url.expose();
    if url.is_empty() {
        say("database_url", "is missing; set it or database_url_file to the PSA's PostgreSQL");
    } else if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        say("database_url", "must start with postgres://");
    }
    let purpose = config.key_purpose.trim();
    if purpose.is_empty() || purpose.len() > 255 || PSAS_OWN_PURPOSES.contains(&purpose) {
        say(
            "key_purpose",
            "must be a word of its own of at most 255 bytes, which the PSA does not use itself",
        );
    }
    found
}

/// Purposes under which the PSA keeps keys of its own: sweeping those would take other people's keys.
const PSAS_OWN_PURPOSES: [&str; 5] = ["general", "ai_session", "mobile_session", "mcp_agent", "mcp_user"];

pub(super) fn open(config: &PsaConfig) -> Result<Source, PsaError> {
    let db = Db::new(config.database_url.expose(), config.database_schema.as_deref(), &config.tenant)
        // The reason is not told: it may quote the URL, and with it the password.
        .map_err(|_| super::misconfigured("database_url", "is not a PostgreSQL URL"))?;
    let postgres = Arc::new(Postgres {
        db,
        tenant: config.tenant.clone(),
        purpose: config.key_purpose.trim().to_owned(),
        instance: Uuid::new_v4().to_string(),
    });
    tracing::info!(instance = postgres.instance, "PSA keys are minted as this instance");
    Ok((postgres.clone(), Some(postgres)))
}

/// The tables of one tenant: keys, and in `directory` users and roles.
pub(super) struct Postgres {
    pub(super) db: Db,
    pub(super) tenant: String,
    /// Of the keys that are minted here.
    pub(super) purpose: String,
    /// Which process minted a key, for people who look at the table.
    instance: String,
}

impl Postgres {
    /// Fails closed: whatever cannot be seen is a no.
    async fn may_hold_a_key<'a>(&self, who: &'a Principal) -> Result<&'a str, KeyError> {
        let name = &who.agent_name;
        let no_user = |text: String| Err(KeyError::NoUser(text));
        let Some(user) = who.psa_user.as_deref() else {
            return no_user(format!(
                "agent `{name}` has no user in the PSA; provision one or name its psa_user"
            ));
        };
        if Uuid::parse_str(user).is_err() {
            return no_user(format!("the psa_user of agent `{name}` is not a UUID"));
        }
        match errand(self.db.suspended()).await? {
            Some(false) => {}
            Some(true) => return Err(KeyError::Suspended),
            None => {
                let tenant = &self.tenant;
                return Err(KeyError::Refused(format!("the PSA has no tenant {tenant}; see psa.tenant")));
            }
        }
        let Some(found) = errand(self.db.user(user)).await? else {
            return no_user(format!("the PSA has no user {user} for agent `{name}`"));
        };
        if found.user_type != "internal" {
            return no_user(format!("the PSA user {user} of agent `{name}` is not an internal user"));
        }
        if found.is_inactive != Some(false) {
            return no_user(format!("the PSA user {user} of agent `{name}` is switched off"));
        }
        Ok(user)
    }
}

#[async_trait]
impl Keys for Postgres {
    async fn mint(&self, who: &Principal, ttl: Duration, now: Millis) -> Result<Credential, KeyError> {
        let user_id = self.may_hold_a_key(who).await?;
        let (key, hash) = key::fresh();
        let expires_at = now.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let metadata = serde_json::json!({ "instance": self.instance, "sidegate_agent_id": who.agent_id });
        let row = NewKey {
            hash: &hash,
            user_id,
            agent_id: Uuid::parse_str(&who.agent_id).is_ok().then_some(who.agent_id.as_str()),
            description: &key::description(&who.agent_name),
            purpose: &self.purpose,
            expires_at: seconds(expires_at),
            metadata: &metadata.to_string(),
        };
        let inserted = errand(self.db.insert_key(&row)).await?;
        if inserted.already_expired {
            tracing::warn!(
                "a new PSA key is expired by the clock of the PSA's database: set the clocks of both machines"
            );
        }
        Ok(Credential::new(key, inserted.key_id, Some(expires_at)))
    }

    async fn revoke(&self, key_id: &str) -> Result<(), KeyError> {
        if Uuid::parse_str(key_id).is_ok() {
            errand(self.db.delete_key(&self.purpose, key_id)).await?;
        }
        Ok(())
    }

    async fn revoke_agent(&self, agent_id: &str) -> Result<u64, KeyError> {
        errand(self.db.delete_keys_of(&self.purpose, agent_id)).await
    }

    async fn sweep(&self, now: Millis) -> Result<u64, KeyError> {
        errand(self.db.delete_dead_keys(&self.purpose, seconds(now))).await
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}

/// Runs one errand in bounded time, and says whose fault it was when it fails.
pub(super) async fn errand<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, KeyError> {
    match tokio::time::timeout(ERRAND, work).await {
        Err(_) => Err(KeyError::Unavailable("the PSA's database did not answer in time".to_owned())),
        Ok(Err(error)) if db::is_unavailable(&error) => {
            Err(KeyError::Unavailable(format!("the PSA's database: {error}")))
        }
        Ok(Err(error)) if db::is_forbidden(&error) => Err(KeyError::Refused(format!(
            "the PSA's database: {error}; the guide to operations lists the grants"
        ))),
        // Of the server's words only the message: its details quote values.
        Ok(Err(error)) => Err(KeyError::Refused(format!("the PSA's database refused: {error}"))),
        Ok(Ok(done)) => Ok(done),
    }
}
