//! Keys, users and roles in AlgaPSA's own tables, for editions with and without
//! the `agent_id` column. What may be done is decided here; the SQL is in `db`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::config::PsaConfig;
use super::super::{Credential, Directory, KeyError, Keys, Principal, PsaError, Role};
use super::db::{self, Db, NewKey, NewUser, Put};
use super::{Source, key};
use crate::clock::Millis;
use crate::units::hex;

/// For one errand, beyond the database's own limits on connecting and on statements.
const ERRAND: Duration = Duration::from_secs(12);
/// Marks the users that were made here; `.invalid` never receives mail (RFC 2606).
const DOMAIN: &str = "@agents.sidegate.invalid";

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
    let keys = Arc::new(PostgresKeys {
        db,
        tenant: config.tenant.clone(),
        purpose: config.key_purpose.trim().to_owned(),
        instance: Uuid::new_v4().to_string(),
    });
    tracing::info!(instance = keys.instance, "PSA keys are minted as this instance");
    Ok((keys.clone(), Some(keys)))
}

struct PostgresKeys {
    db: Db,
    tenant: String,
    purpose: String,
    /// Which process minted a key, for people who look at the table.
    instance: String,
}

impl PostgresKeys {
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
impl Keys for PostgresKeys {
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

#[async_trait]
impl Directory for PostgresKeys {
    async fn roles(&self) -> Result<Vec<Role>, KeyError> {
        let rows = errand(self.db.roles()).await?;
        let role =
            |row: db::RoleRow| Role { role_id: row.role_id, name: row.name, description: row.description };
        Ok(rows.into_iter().map(role).collect())
    }

    async fn provision(
        &self,
        agent_id: &str,
        agent_name: &str,
        roles: &[String],
    ) -> Result<String, KeyError> {
        let there = self.roles().await?;
        let role_ids = chosen(&there, roles)?;
        let user_id = backing_user(&self.tenant, agent_id).to_string();
        let short: String = agent_id.chars().take(8).collect();
        let user = NewUser {
            user_id: &user_id,
            username: &format!("mcp-agent-{short}"),
            email: &format!("mcp-agent-{agent_id}{DOMAIN}"),
            password: &format!("!mcp-agent-no-login!{}", hex(&rand::random::<[u8; 24]>())),
        };
        let taken = |what: &str, other: &str| {
            Err(KeyError::Refused(format!(
                "the PSA user {other} has the {what} that agent `{agent_name}` needs; rename that user in the PSA"
            )))
        };
        match errand(self.db.put_user(&user, &role_ids)).await? {
            Put::Done => {}
            Put::EmailTaken(other) => return taken(&format!("e-mail address {}", user.email), &other),
            Put::UsernameTaken(other) => return taken(&format!("user name {}", user.username), &other),
            Put::Unwritten => {
                return Err(KeyError::Refused(format!(
                    "the PSA's database did not take the user {} for agent `{agent_name}`: something else there has its id, user name or e-mail address",
                    user.username
                )));
            }
        }
        tracing::info!(agent = agent_name, user_id, "the agent's PSA user has its roles");
        Ok(user_id)
    }

    async fn deactivate(&self, user_id: &str) -> Result<(), KeyError> {
        let changed = match Uuid::parse_str(user_id) {
            Ok(_) => errand(self.db.deactivate(user_id, DOMAIN)).await?,
            Err(_) => 0,
        };
        if changed == 0 {
            return Err(KeyError::NoUser(format!(
                "{user_id} is not a user that was provisioned for an agent; switch it off in the PSA"
            )));
        }
        Ok(())
    }
}

/// The ids of the roles named in `wanted`. A name that two roles share is
/// refused: the wrong one of them could grant more than was meant.
fn chosen(there: &[Role], wanted: &[String]) -> Result<Vec<String>, KeyError> {
    let mut ids = Vec::new();
    let mut unknown = Vec::new();
    for name in wanted {
        let mut found = there.iter().filter(|role| role.name == *name);
        match (found.next(), found.next()) {
            (None, _) => unknown.push(name.as_str()),
            (Some(role), None) if !ids.contains(&role.role_id) => ids.push(role.role_id.clone()),
            (Some(_), None) => {}
            (Some(_), Some(_)) => {
                return Err(KeyError::Refused(format!(
                    "the PSA has more than one role `{name}`; rename one"
                )));
            }
        }
    }
    if unknown.is_empty() {
        return Ok(ids);
    }
    let names: Vec<_> = there.iter().map(|role| role.name.as_str()).collect();
    let (unknown, names) = (unknown.join(", "), names.join(", "));
    Err(KeyError::Refused(format!("unknown roles: {unknown}; the PSA has: {names}")))
}

/// The same agent always has the same user, even when two processes make it at
/// once: the PSA's tables have no other key that would say so (RFC 9562, version 8).
fn backing_user(tenant: &str, agent_id: &str) -> Uuid {
    let mut hasher = Sha256::new();
    hasher.update(b"sidegate backing user\0");
    hasher.update(tenant.to_lowercase().as_bytes());
    hasher.update(b"\0");
    hasher.update(agent_id.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[allow(clippy::cast_precision_loss)]
fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}

/// Runs one errand in bounded time, and says whose fault it was when it fails.
async fn errand<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, KeyError> {
    match tokio::time::timeout(ERRAND, work).await {
        Err(_) => Err(KeyError::Unavailable("the PSA's database did not answer in time".to_owned())),
        Ok(Err(error)) if db::is_unavailable(&error) => {
            Err(KeyError::Unavailable(format!("the PSA's database: {error}")))
        }
        // Of the server's words only the message: its details quote values.
        Ok(Err(error)) => Err(KeyError::Refused(format!("the PSA's database refused: {error}"))),
        Ok(Ok(done)) => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(id: &str, name: &str) -> Role {
        Role { role_id: id.to_owned(), name: name.to_owned(), description: None }
    }

    #[test]
    fn a_role_name_that_two_roles_share_is_refused() {
        let there = [role("1", "Technician"), role("2", "Technician"), role("3", "Finance")];
        assert!(matches!(chosen(&there, &["Technician".into()]), Err(KeyError::Refused(_))));
        assert_eq!(chosen(&there, &["Finance".into(), "Finance".into()]), Ok(vec!["3".to_owned()]));
    }

    #[test]
    fn an_agent_has_the_same_backing_user_always_and_another_in_another_tenant() {
        assert_eq!(backing_user("T", "a"), backing_user("t", "a"));
        assert_ne!(backing_user("t", "a"), backing_user("t", "b"));
        assert_ne!(backing_user("t", "a"), backing_user("u", "a"));
    }
}
