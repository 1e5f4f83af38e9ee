//! What the PSA itself knows of agents and of Microsoft. In these tables of its commercial edition
//! `tenant` is text; none of them need be there.

use serde_json::Value;
use sqlx::Row;

use super::Db;
use crate::clock::Millis;

/// The tables of the PSA's own MCP server that a takeover reads.
pub(in super::super) const OWN_TABLES: [&str; 3] = ["agents", "agent_idp_providers", "agent_roles"];

/// One row of `agents`.
pub(in super::super) struct AgentRow {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub active: bool,
    pub created_by: Option<String>,
    pub backing_user: Option<String>,
    pub created_at: Millis,
}

/// One row of `agent_idp_providers`.
pub(in super::super) struct ProviderRow {
    pub id: String,
    pub issuer: String,
    pub jwks_uri: String,
    pub audience: Option<String>,
    pub subject_claim: String,
    pub kind: String,
    pub entra_tenant_id: Option<String>,
    pub active: bool,
}

impl Db {
    /// Whether all of `tables` are there, whoever may read them.
    pub async fn has_tables(&self, tables: &[&str]) -> Result<bool, sqlx::Error> {
        let sql = "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest($1::text[]) AS name";
        sqlx::query(sql).bind(tables).fetch_one(&self.pool).await?.try_get(0)
    }

    /// The oldest first.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, sqlx::Error> {
        let sql = "SELECT agent_id::text, name, description, idp_issuer, idp_subject, active, created_by::text, \
                   metadata->>'backing_user_id', (extract(epoch FROM created_at) * 1000)::bigint \
                   FROM agents WHERE tenant = $1::uuid::text ORDER BY created_at, agent_id";
        let rows = sqlx::query(sql).bind(&self.tenant).fetch_all(&self.pool).await?;
        let read = |row: &sqlx::postgres::PgRow| {
            Ok(AgentRow {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                description: row.try_get(2)?,
                issuer: row.try_get(3)?,
                subject: row.try_get(4)?,
                active: row.try_get(5)?,
                created_by: row.try_get(6)?,
                backing_user: row.try_get(7)?,
                created_at: row.try_get(8)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// By issuer.
    pub async fn providers(&self) -> Result<Vec<ProviderRow>, sqlx::Error> {
        let sql = "SELECT id::text, issuer, jwks_uri, audience, subject_claim, kind, entra_tenant_id, active \
                   FROM agent_idp_providers WHERE tenant = $1::uuid::text ORDER BY issuer";
        let rows = sqlx::query(sql).bind(&self.tenant).fetch_all(&self.pool).await?;
        let read = |row: &sqlx::postgres::PgRow| {
            Ok(ProviderRow {
                id: row.try_get(0)?,
                issuer: row.try_get(1)?,
                jwks_uri: row.try_get(2)?,
                audience: row.try_get(3)?,
                subject_claim: row.try_get(4)?,
                kind: row.try_get(5)?,
                entra_tenant_id: row.try_get(6)?,
                active: row.try_get(7)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// (agent id, role id), as they were given when the agent was added.
    pub async fn agent_roles(&self) -> Result<Vec<(String, String)>, sqlx::Error> {
        let sql = "SELECT agent_id::text, role_id::text FROM agent_roles WHERE tenant = $1::uuid::text ORDER BY 1, 2";
        let rows = sqlx::query(sql).bind(&self.tenant).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// (Entra tenant, display name) of the connections in use, the default first.
    pub async fn microsoft_profiles(&self) -> Result<Vec<(String, String)>, sqlx::Error> {
        let sql = "SELECT tenant_id, display_name FROM microsoft_profiles \
                   WHERE tenant = $1::uuid AND is_archived = false ORDER BY is_default DESC, display_name";
        let rows = sqlx::query(sql).bind(&self.tenant).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Writes `activities`, a JSON array of rows, leaving out those that are there; how many were written.
    pub async fn note(&self, activities: &Value) -> Result<u64, sqlx::Error> {
        let sql = "INSERT INTO mcp_agent_audit \
                   (id, tenant, agent_id, tool, arguments, ok, status_code, decision, result_summary, created_at) \
                   SELECT id, $1::uuid::text, agent_id, left(tool, 255), arguments, ok, status_code, decision, \
                   left(result_summary, 2000), to_timestamp(at / 1000.0) \
                   FROM jsonb_to_recordset($2::text::jsonb) AS activity(id uuid, agent_id uuid, tool text, \
                   arguments jsonb, ok boolean, status_code integer, decision text, result_summary text, at bigint) \
                   ON CONFLICT DO NOTHING";
        let done = sqlx::query(sql).bind(&self.tenant).bind(activities.to_string());
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}
