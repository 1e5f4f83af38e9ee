//! The tables' view of agents: who they are, what they may do at most, whether they are on.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyExecutor, Row};
use uuid::Uuid;

use super::change::Change;
use super::finding::{find, may_add};
use super::sql::{flag, is_taken, json};
use super::{ManagedBy, Store, StoreError};
use crate::clock::Millis;

/// One agent of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRow {
    /// A UUID, made when the agent is added.
    pub id: String,
    /// Unique within the tenant.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `interactive` or `unattended`; none: either.
    pub kind: Option<String>,
    /// The issuer half of its binding.
    pub issuer: String,
    /// The subject half of its binding.
    pub subject: String,
    /// `read`, `write` or `destroy`; none: the policy's default.
    pub max_effect: Option<String>,
    /// The longest that one of its calls may take, in milliseconds; none: the server's own bound alone.
    pub call_timeout: Option<i64>,
    /// The PSA user whose permissions apply.
    pub psa_user: Option<String>,
    /// Whether that user was made for it.
    pub provisioned: bool,
    /// The PSA roles that it was last given, by name.
    pub roles: Vec<String>,
    /// Who keeps the row.
    pub managed_by: ManagedBy,
    /// Who added it.
    pub created_by: Option<String>,
    /// As the configuration file or the adding administrator said.
    pub active: bool,
    /// When an administrator switched it off; survives every re-reading of the configuration.
    pub disabled_at: Option<Millis>,
    /// When the configuration file stopped naming it: its binding and name are free since.
    pub retired_at: Option<Millis>,
    /// When an administrator deleted it: its binding and name are free since, and it never comes back.
    pub deleted_at: Option<Millis>,
    /// PSA keys of it that were minted before this are void; none: all hold.
    pub keys_void_before: Option<Millis>,
    /// When it was added.
    pub created_at: Millis,
    /// When it was last written.
    pub updated_at: Millis,
    /// The tenant's version when it was last written.
    pub changed: i64,
}

impl AgentRow {
    /// True where the agent may act.
    pub fn is_on(&self) -> bool {
        self.active && self.disabled_at.is_none() && self.retired_at.is_none() && self.deleted_at.is_none()
    }

    /// Who calls: issuer and subject.
    pub(super) fn binding(&self) -> (&str, &str) {
        (&self.issuer, &self.subject)
    }
}

/// An agent to be added, or one that the configuration file describes. The fields are those of [`AgentRow`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct NewAgent {
    pub name: String,
    pub description: Option<String>,
    pub kind: Option<String>,
    pub issuer: String,
    pub subject: String,
    pub max_effect: Option<String>,
    pub call_timeout: Option<i64>,
    pub psa_user: Option<String>,
    pub provisioned: bool,
    pub roles: Vec<String>,
    pub created_by: Option<String>,
    pub active: bool,
}

impl Default for NewAgent {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: None,
            kind: None,
            issuer: String::new(),
            subject: String::new(),
            max_effect: None,
            call_timeout: None,
            psa_user: None,
            provisioned: false,
            roles: Vec::new(),
            created_by: None,
            active: true,
        }
    }
}

impl NewAgent {
    /// Who calls: issuer and subject.
    pub(super) fn binding(&self) -> (&str, &str) {
        (&self.issuer, &self.subject)
    }

    /// The row that it becomes.
    pub(super) fn row(&self, id: String, managed_by: ManagedBy, now: Millis, version: i64) -> AgentRow {
        let new = self.clone();
        AgentRow {
            id,
            name: new.name,
            description: new.description,
            kind: new.kind,
            issuer: new.issuer,
            subject: new.subject,
            max_effect: new.max_effect,
            call_timeout: new.call_timeout,
            psa_user: new.psa_user,
            provisioned: new.provisioned,
            roles: new.roles,
            managed_by,
            created_by: new.created_by,
            active: new.active,
            disabled_at: None,
            retired_at: None,
            deleted_at: None,
            keys_void_before: None,
            created_at: now,
            updated_at: now,
            changed: version,
        }
    }
}

impl Store {
    /// Adds an agent under a new id and returns it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name or the binding is taken within the tenant, or the
    /// binding is that of a retired agent that an administrator had switched off.
    pub async fn add_agent(&self, tenant: &str, agent: &NewAgent) -> Result<AgentRow, StoreError> {
        self.add_agent_as(tenant, &Uuid::new_v4().to_string(), agent).await
    }

    /// [`Store::add_agent`] under an id that was made beforehand.
    pub async fn add_agent_as(
        &self,
        tenant: &str,
        id: &str,
        agent: &NewAgent,
    ) -> Result<AgentRow, StoreError> {
        let mut change = self.change(tenant).await?;
        let row = add(&mut change, tenant, id, agent, self.clock.now()).await?;
        change.commit().await?;
        Ok(row)
    }
}

/// Adds an agent within a change.
pub(super) async fn add(
    change: &mut Change<'_>,
    tenant: &str,
    id: &str,
    agent: &NewAgent,
    now: Millis,
) -> Result<AgentRow, StoreError> {
    may_add(change.connection(), tenant, agent, None).await?;
    let known = find(change.connection(), tenant, id).await?;
    if let Some(known) = known.filter(|known| known.id == id) {
        return Err(StoreError::Conflict(format!("the id {id} is agent `{}`'s", known.name)));
    }
    let row = agent.row(id.to_owned(), ManagedBy::Admin, now, change.version);
    match insert(change.connection(), tenant, &row).await {
        Ok(()) => Ok(row),
        // The id of another tenant's agent, which is not told.
        Err(error) if is_taken(&error) => {
            Err(StoreError::Conflict(format!("the id {id} cannot be used; add the agent without it")))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) const COLUMNS: &str = "id, name, description, kind, issuer, subject, max_effect, call_timeout, \
     psa_user, CAST(provisioned AS INTEGER) AS provisioned, roles, managed_by, created_by, \
     CAST(active AS INTEGER) AS active, disabled_at, retired_at, deleted_at, created_at, updated_at, changed, \
     keys_void_before";

/// Writes a new row.
async fn insert(executor: impl AnyExecutor<'_>, tenant: &str, row: &AgentRow) -> Result<(), sqlx::Error> {
    put(executor, INSERT, tenant, row).await
}

/// Writes a whole row, over the one of the same id and tenant where there is one.
pub(super) async fn write(
    connection: &mut AnyConnection,
    tenant: &str,
    row: &AgentRow,
) -> Result<(), sqlx::Error> {
    put(connection, UPSERT, tenant, row).await
}

macro_rules! insert {
    ($more:literal) => {
        concat!(
            "INSERT INTO agents (id, tenant_id, name, description, kind, issuer, subject, max_effect, call_timeout,
               psa_user, provisioned, roles, managed_by, created_by, active, disabled_at, retired_at, deleted_at,
               created_at, updated_at, changed, keys_void_before)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
               $22)",
            $more
        )
    };
}

const INSERT: &str = insert!("");
const UPSERT: &str = insert!(
    " ON CONFLICT (id) DO UPDATE SET
       name = excluded.name, description = excluded.description, kind = excluded.kind, issuer = excluded.issuer,
       subject = excluded.subject, max_effect = excluded.max_effect, call_timeout = excluded.call_timeout,
       psa_user = excluded.psa_user, provisioned = excluded.provisioned, roles = excluded.roles,
       active = excluded.active, disabled_at = excluded.disabled_at, retired_at = excluded.retired_at,
       deleted_at = excluded.deleted_at, updated_at = excluded.updated_at, changed = excluded.changed,
       keys_void_before = excluded.keys_void_before
     WHERE agents.tenant_id = excluded.tenant_id"
);

async fn put(
    executor: impl AnyExecutor<'_>,
    text: &'static str,
    tenant: &str,
    row: &AgentRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(text)
        .bind(&row.id)
        .bind(tenant)
        .bind(&row.name)
        .bind(&row.description)
        .bind(&row.kind)
        .bind(&row.issuer)
        .bind(&row.subject)
        .bind(&row.max_effect)
        .bind(row.call_timeout)
        .bind(&row.psa_user)
        .bind(row.provisioned)
        .bind(serde_json::json!(row.roles).to_string())
        .bind(row.managed_by.as_str())
        .bind(&row.created_by)
        .bind(row.active)
        .bind(row.disabled_at)
        .bind(row.retired_at)
        .bind(row.deleted_at)
        .bind(row.created_at)
        .bind(row.updated_at)
        .bind(row.changed)
        .bind(row.keys_void_before)
        .execute(executor)
        .await
        .map(drop)
}

pub(super) fn read(row: &AnyRow) -> Result<AgentRow, StoreError> {
    Ok(AgentRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        kind: row.try_get("kind")?,
        issuer: row.try_get("issuer")?,
        subject: row.try_get("subject")?,
        max_effect: row.try_get("max_effect")?,
        call_timeout: row.try_get("call_timeout")?,
        psa_user: row.try_get("psa_user")?,
        provisioned: flag(row, "provisioned")?,
        roles: json(row, "roles")?,
        managed_by: ManagedBy::parse(row.try_get("managed_by")?),
        created_by: row.try_get("created_by")?,
        active: flag(row, "active")?,
        disabled_at: row.try_get("disabled_at")?,
        retired_at: row.try_get("retired_at")?,
        deleted_at: row.try_get("deleted_at")?,
        keys_void_before: row.try_get("keys_void_before")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        changed: row.try_get("changed")?,
    })
}
