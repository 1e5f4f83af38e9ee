//! The PSA's people: its users and roles, and what it knows of agents and administrators.
//!
//! What an adapter cannot do it leaves out; the answer then names the setting that is missing.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KeyError;
use crate::clock::Millis;
use crate::secret::Secret;

/// A role of the PSA that an agent's backing user can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// The PSA's id.
    pub role_id: String,
    /// What people call it.
    pub name: String,
    /// What the PSA says about it.
    pub description: Option<String>,
}

/// A user of the PSA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PsaUser {
    /// The PSA's id.
    pub user_id: String,
    /// What it signs in with, where it can.
    pub username: String,
    pub email: Option<String>,
    /// First and last name, where there are any.
    pub name: Option<String>,
    /// False for a customer's user: its keys open nothing.
    pub internal: bool,
    /// False where it is switched off.
    pub active: bool,
    /// Made for an agent, here or by the PSA's own MCP server: only such a user is changed from here.
    pub ours: bool,
}

/// What became of a user that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Removal {
    /// It is there no longer.
    Removed,
    /// It is there, switched off, since something in the PSA stands in the way.
    Deactivated {
        /// What stands in the way, for people.
        why: String,
    },
}

/// A connection to Microsoft that the PSA has already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MicrosoftConnection {
    /// The directory's GUID, in lower case.
    pub entra_tenant_id: String,
    pub display_name: String,
}

/// What the PSA's own MCP server knows of agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Takeover {
    /// By issuer.
    pub providers: Vec<TakeoverProvider>,
    /// The oldest first.
    pub agents: Vec<TakeoverAgent>,
}

/// An identity provider that the PSA's own MCP server trusts.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeoverProvider {
    pub id: String,
    pub issuer: String,
    pub jwks_uri: String,
    /// None: it accepts a token for whomever it was made.
    pub audience: Option<String>,
    pub subject_claim: String,
    /// `custom`, `google` or `microsoft`.
    pub kind: String,
    pub entra_tenant_id: Option<String>,
    pub active: bool,
}

/// An agent of the PSA's own MCP server.
#[derive(Clone, Debug, PartialEq)]
pub struct TakeoverAgent {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub active: bool,
    /// The PSA user who added it.
    pub created_by: Option<String>,
    pub created_at: Millis,
    /// The user whose permissions apply, where it is there.
    pub user: Option<PsaUser>,
    /// What that user may do now; of a user that is not there, what the agent was given.
    pub roles: Vec<Role>,
}

/// One tool call, as the PSA's Activity card shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// A UUID; the same activity noted twice is one row.
    pub id: String,
    /// A UUID; an activity of any other agent has no place in the PSA's table and is left out.
    pub agent_id: String,
    /// The MCP tool's name.
    pub tool: String,
    /// Its arguments, without secrets.
    pub arguments: Value,
    pub ok: bool,
    /// The PSA's HTTP status, where it was asked.
    pub status: Option<u16>,
    /// `allow`, `deny` or `error`.
    pub decision: &'static str,
    /// For people; the PSA keeps 2,000 characters of it.
    pub summary: Option<String>,
    pub at: Millis,
}

/// The PSA's users and roles, as far as the adapter may read and write them.
///
/// Every method fails with [`KeyError::Unavailable`] where the PSA's side cannot be asked now, with
/// [`KeyError::NoUser`] where a user is named that is not there, and with [`KeyError::Refused`]
/// where somebody said no.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The roles for internal users, by name.
    async fn roles(&self) -> Result<Vec<Role>, KeyError>;

    /// The backing user of an agent with exactly `roles`, each a role's id or name. Asked again
    /// for the same agent it returns the same user and aligns its roles; it
    /// never reactivates a user that was switched off in the PSA.
    ///
    /// # Errors
    /// A role that does not exist, or a name that two roles have, is [`KeyError::Refused`]; the
    /// text names it and the roles there are, and nothing was written.
    async fn provision(&self, agent_id: &str, agent_name: &str, roles: &[String])
    -> Result<String, KeyError>;

    /// Gives a user that is [`PsaUser::ours`] exactly `roles`, each a role's id or name. The roles
    /// of anybody else are the PSA's own business: [`KeyError::Refused`].
    async fn set_roles(&self, user_id: &str, roles: &[String]) -> Result<(), KeyError> {
        let _ = (user_id, roles);
        Err(KeyError::no_directory())
    }

    /// The roles for internal users that a user has, by name; none where the user is not there.
    async fn roles_of(&self, user_id: &str) -> Result<Vec<Role>, KeyError> {
        let _ = user_id;
        Err(KeyError::no_directory())
    }

    /// One user; none where it is not there.
    async fn user(&self, user_id: &str) -> Result<Option<PsaUser>, KeyError> {
        let _ = user_id;
        Err(KeyError::no_directory())
    }

    /// Switches a user off that is [`PsaUser::ours`]: each of its keys stops working.
    async fn deactivate(&self, user_id: &str) -> Result<(), KeyError>;

    /// Switches a user on again that is [`PsaUser::ours`].
    async fn reactivate(&self, user_id: &str) -> Result<(), KeyError> {
        let _ = user_id;
        Err(KeyError::no_directory())
    }

    /// Removes a user that is [`PsaUser::ours`] with its roles, or switches it off where the PSA
    /// holds on to it, as to the author of a comment.
    async fn remove(&self, user_id: &str) -> Result<Removal, KeyError> {
        let _ = user_id;
        Err(KeyError::no_directory())
    }

    /// The owner of a key of the PSA's, where the key is good now and the owner is an
    /// administrator there; none for everybody else, without saying why.
    async fn administrator(&self, key: &Secret) -> Result<Option<PsaUser>, KeyError> {
        let _ = key;
        Err(KeyError::no_directory())
    }

    /// The PSA's connection to one Microsoft directory, where it has one: its default first.
    async fn microsoft_connection(&self) -> Result<Option<MicrosoftConnection>, KeyError> {
        Err(KeyError::no_directory())
    }

    /// What the PSA's own MCP server knows; none where it has no such server.
    async fn takeover(&self) -> Result<Option<Takeover>, KeyError> {
        Err(KeyError::no_directory())
    }

    /// Writes what agents did into the PSA's own record of it.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] where the PSA has no such record.
    async fn note(&self, activities: &[Activity]) -> Result<(), KeyError> {
        let _ = activities;
        Err(KeyError::no_directory())
    }
}
