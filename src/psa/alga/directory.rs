//! Users, roles and administrators in AlgaPSA's own tables, and what its own MCP server knows.
//! What may be done is decided here; the SQL is in `db`.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::{
    Activity, Directory, KeyError, MicrosoftConnection, PsaUser, Removal, Role, Takeover, TakeoverAgent,
    TakeoverProvider,
};
use super::db::{
    AgentRow, NewUser, OWN_TABLES, PersonRow, ProviderRow, Put, Removed, RoleRow, is_unknown_table,
};
use super::key;
use super::postgres::{Postgres, errand};
use crate::secret::Secret;
use crate::units::hex;

/// Marks the users that were made here; `.invalid` never receives mail (RFC 2606).
const DOMAIN: &str = "@agents.sidegate.invalid";
/// Users for agents, as SQL's LIKE: those that were made here, and those of the PSA's own MCP server.
const OURS: [&str; 2] = ["%@agents.sidegate.invalid", "%@agents.alga.local"];
/// The PSA's own keys that stand for an agent or for one errand, and administer nothing.
const NOT_FOR_PEOPLE: [&str; 3] = ["mcp_agent", "mcp_user", "ai_session"];

#[async_trait]
impl Directory for Postgres {
    async fn roles(&self) -> Result<Vec<Role>, KeyError> {
        Ok(errand(self.db.roles()).await?.into_iter().map(role).collect())
    }

    async fn provision(
        &self,
        agent_id: &str,
        agent_name: &str,
        roles: &[String],
    ) -> Result<String, KeyError> {
        let role_ids = chosen(&self.roles().await?, roles)?;
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

    async fn set_roles(&self, user_id: &str, roles: &[String]) -> Result<(), KeyError> {
        known_form(user_id)?;
        let role_ids = chosen(&self.roles().await?, roles)?;
        match errand(self.db.set_roles(user_id, &OURS, &role_ids)).await? {
            true => Ok(()),
            false => Err(self.not_ours(user_id, "its roles are").await?),
        }
    }

    async fn roles_of(&self, user_id: &str) -> Result<Vec<Role>, KeyError> {
        if Uuid::parse_str(user_id).is_err() {
            return Ok(Vec::new());
        }
        let held = errand(self.db.roles_held(&[user_id])).await?;
        let there = self.roles().await?;
        Ok(there.into_iter().filter(|role| held.iter().any(|(_, id)| *id == role.role_id)).collect())
    }

    async fn user(&self, user_id: &str) -> Result<Option<PsaUser>, KeyError> {
        if Uuid::parse_str(user_id).is_err() {
            return Ok(None);
        }
        Ok(errand(self.db.people(&[user_id])).await?.pop().map(person))
    }

    async fn deactivate(&self, user_id: &str) -> Result<(), KeyError> {
        self.switch(user_id, true).await
    }

    async fn reactivate(&self, user_id: &str) -> Result<(), KeyError> {
        self.switch(user_id, false).await
    }

    async fn remove(&self, user_id: &str) -> Result<Removal, KeyError> {
        known_form(user_id)?;
        let why = match errand(self.db.remove(user_id, &OURS)).await? {
            Removed::Done => return Ok(Removal::Removed),
            Removed::NotThere => return Err(self.not_ours(user_id, "it is").await?),
            Removed::Held(table) => {
                format!(
                    "the PSA's table `{table}` refers to this user, so it is switched off and not removed"
                )
            }
            Removed::Forbidden => {
                "this login may not delete users in the PSA's database, so it is switched off and not removed"
                    .to_owned()
            }
        };
        self.switch(user_id, true).await?;
        Ok(Removal::Deactivated { why })
    }

    /// Fails closed, as minting does. The PSA asks the same of a key, but for the agents' keys and users.
    async fn administrator(&self, key: &Secret) -> Result<Option<PsaUser>, KeyError> {
        let not_for: Vec<_> = NOT_FOR_PEOPLE.into_iter().chain([self.purpose.as_str()]).collect();
        let hash = key::hash(key);
        let Some(owner) = errand(self.db.key_owner(&hash, &not_for)).await? else { return Ok(None) };
        let Some(user) = self.user(&owner).await? else { return Ok(None) };
        if !user.internal || !user.active || user.ours || errand(self.db.suspended()).await? != Some(false) {
            return Ok(None);
        }
        let roles = self.roles_of(&owner).await?;
        Ok(roles.iter().any(|role| role.name.eq_ignore_ascii_case("admin")).then_some(user))
    }

    async fn microsoft_connection(&self) -> Result<Option<MicrosoftConnection>, KeyError> {
        let look = async {
            match self.db.microsoft_profiles().await {
                Err(error) if is_unknown_table(&error) => Ok(Vec::new()),
                looked => looked,
            }
        };
        // `common` and its like, which the PSA has by default, name no directory.
        Ok(errand(look).await?.into_iter().find_map(|(tenant, display_name)| {
            let entra_tenant_id = Uuid::try_parse(tenant.trim()).ok()?.hyphenated().to_string();
            Some(MicrosoftConnection { entra_tenant_id, display_name })
        }))
    }

    async fn takeover(&self) -> Result<Option<Takeover>, KeyError> {
        if !errand(self.db.has_tables(&OWN_TABLES)).await? {
            return Ok(None);
        }
        let providers = errand(self.db.providers()).await?;
        let agents = errand(self.db.agents()).await?;
        let given = errand(self.db.agent_roles()).await?;
        let there = self.roles().await?;
        let users: Vec<_> = agents.iter().filter_map(AgentRow::user).collect();
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        let held = errand(self.db.roles_held(&users)).await?;
        let people: HashMap<_, _> = errand(self.db.people(&users))
            .await?
            .into_iter()
            .map(|row| (row.user_id.clone(), person(row)))
            .collect();
        let named = |pairs: &[(String, String)], of: &str| -> Vec<Role> {
            let has = |role: &&Role| pairs.iter().any(|(who, id)| who == of && *id == role.role_id);
            there.iter().filter(has).cloned().collect()
        };
        let agents = agents.into_iter().map(|row| {
            let user = row.user().and_then(|id| people.get(&id)).cloned();
            // What counts at the PSA is what its user may do; the other table is a note of it.
            let roles = match &user {
                Some(user) => named(&held, &user.user_id),
                None => named(&given, &row.id),
            };
            taken_over(row, user, roles)
        });
        let agents = agents.collect();
        Ok(Some(Takeover { providers: providers.into_iter().map(provider).collect(), agents }))
    }

    async fn note(&self, activities: &[Activity]) -> Result<(), KeyError> {
        let rows: Vec<_> = activities.iter().filter_map(activity).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let written = async {
            match self.db.note(&Value::Array(rows)).await {
                Err(error) if is_unknown_table(&error) => Ok(None),
                noted => noted.map(Some),
            }
        };
        errand(written).await?.map(drop).ok_or_else(|| {
            let message =
                "psa.activity: this PSA keeps no record of agents' calls (mcp_agent_audit); set it to false";
            KeyError::Unsupported(message.to_owned())
        })
    }
}

impl Postgres {
    async fn switch(&self, user_id: &str, off: bool) -> Result<(), KeyError> {
        known_form(user_id)?;
        match errand(self.db.switch(user_id, &OURS, off)).await? {
            true => Ok(()),
            false => Err(self.not_ours(user_id, "it is").await?),
        }
    }

    /// Why nothing was done about a user: it is not there, or it is somebody else's.
    async fn not_ours(&self, user_id: &str, what: &str) -> Result<KeyError, KeyError> {
        Ok(match self.user(user_id).await? {
            None => unknown(user_id),
            Some(user) => KeyError::Refused(format!(
                "the PSA user {user_id} (`{}`) was not made for an agent: {what} changed in the PSA only",
                user.username
            )),
        })
    }
}

fn known_form(user_id: &str) -> Result<(), KeyError> {
    Uuid::parse_str(user_id).map(drop).map_err(|_| unknown(user_id))
}

fn unknown(user_id: &str) -> KeyError {
    KeyError::NoUser(format!("the PSA has no user {user_id}"))
}

fn role(row: RoleRow) -> Role {
    Role { role_id: row.role_id, name: row.name, description: row.description }
}

fn person(row: PersonRow) -> PsaUser {
    let name: Vec<_> =
        [row.first_name, row.last_name].into_iter().flatten().filter(|n| !n.is_empty()).collect();
    let email = row.email.filter(|email| !email.is_empty());
    let internal = row.user_type == "internal";
    let made = |email: &str| OURS.iter().any(|like| email.ends_with(like.trim_start_matches('%')));
    PsaUser {
        user_id: row.user_id,
        username: row.username,
        name: (!name.is_empty()).then(|| name.join(" ")),
        internal,
        active: row.is_inactive == Some(false),
        ours: internal && email.as_deref().is_some_and(made),
        email,
    }
}

impl AgentRow {
    /// The id of its user, where it has the form of one.
    fn user(&self) -> Option<String> {
        let id = Uuid::try_parse(self.backing_user.as_deref()?).ok()?;
        Some(id.hyphenated().to_string())
    }
}

fn taken_over(row: AgentRow, user: Option<PsaUser>, roles: Vec<Role>) -> TakeoverAgent {
    TakeoverAgent {
        id: row.id,
        name: row.name,
        description: row.description,
        issuer: row.issuer,
        subject: row.subject,
        active: row.active,
        created_by: row.created_by,
        created_at: row.created_at,
        user,
        roles,
    }
}

fn provider(row: ProviderRow) -> TakeoverProvider {
    TakeoverProvider {
        id: row.id,
        issuer: row.issuer,
        jwks_uri: row.jwks_uri,
        audience: row.audience.filter(|audience| !audience.trim().is_empty()),
        subject_claim: row.subject_claim,
        kind: row.kind,
        entra_tenant_id: row.entra_tenant_id,
        active: row.active,
    }
}

/// The row of an activity; none where its ids have no place in the table.
fn activity(done: &Activity) -> Option<Value> {
    Uuid::parse_str(&done.id).and(Uuid::parse_str(&done.agent_id)).ok()?;
    let row = json!({
        "id": done.id, "agent_id": done.agent_id, "tool": done.tool, "arguments": done.arguments, "ok": done.ok,
        "status_code": done.status, "decision": done.decision, "result_summary": done.summary, "at": done.at,
    });
    Some(without_nul(row))
}

/// PostgreSQL's text holds no NUL, and one in a batch would be the end of all of it.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name.replace('\0', ""), without_nul(value))).collect()
        }
        other => other,
    }
}

/// The ids of the roles in `wanted`, each an id or a name. A name that two roles share is
/// refused: the wrong one of them could grant more than was meant.
fn chosen(there: &[Role], wanted: &[String]) -> Result<Vec<String>, KeyError> {
    let mut ids: Vec<String> = Vec::new();
    let mut unknown = Vec::new();
    for word in wanted {
        let by_id = there.iter().find(|role| role.role_id.eq_ignore_ascii_case(word));
        let mut found = there.iter().filter(|role| role.name == *word);
        let role = match (by_id, found.next(), found.next()) {
            (Some(role), ..) | (None, Some(role), None) => role,
            (None, None, _) => {
                unknown.push(word.as_str());
                continue;
            }
            (None, Some(_), Some(_)) => {
                return Err(KeyError::Refused(format!(
                    "the PSA has more than one role `{word}`; name it by its id, or rename one"
                )));
            }
        };
        if !ids.contains(&role.role_id) {
            ids.push(role.role_id.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn role(id: &str, name: &str) -> Role {
        Role { role_id: id.to_owned(), name: name.to_owned(), description: None }
    }

    #[test]
    fn a_role_name_that_two_roles_share_is_refused_and_its_id_is_not() {
        let there = [role("a1", "Technician"), role("2", "Technician"), role("3", "Finance")];
        assert!(matches!(chosen(&there, &["Technician".into()]), Err(KeyError::Refused(_))));
        assert_eq!(chosen(&there, &["A1".into()]), Ok(vec!["a1".to_owned()]));
        assert_eq!(chosen(&there, &["Finance".into(), "3".into()]), Ok(vec!["3".to_owned()]));
    }

    #[test]
    fn an_agent_has_the_same_backing_user_always_and_another_in_another_tenant() {
        assert_eq!(backing_user("T", "a"), backing_user("t", "a"));
        assert_ne!(backing_user("t", "a"), backing_user("t", "b"));
        assert_ne!(backing_user("t", "a"), backing_user("u", "a"));
    }

    #[test]
    fn no_character_that_the_database_refuses_is_noted() {
        let noted = without_nul(json!({ "a\0": ["b\0c", 1, { "d": "\0" }] }));
        assert_eq!(noted, json!({ "a": ["bc", 1, { "d": "" }] }));
    }
}
