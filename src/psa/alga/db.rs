//! The only SQL about the PSA's database: the way there, and the keys of one tenant.
//!
//! No statement joins `api_keys` with another table: on Citus it lives on the coordinator and the
//! others are distributed. Ids travel as text and are cast. Knows nothing of keys but their hashes.

mod agents;
mod users;

use std::str::FromStr;
use std::time::Duration;

pub(super) use agents::{AgentRow, OWN_TABLES, ProviderRow};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Row};
use tokio::sync::OnceCell;
pub(super) use users::{NewUser, PersonRow, Put, Removed, RoleRow};

const CONNECTIONS: u32 = 4;
/// To get a connection, a new one included.
const CONNECT: Duration = Duration::from_secs(3);
const STATEMENT: &str = "5000ms";
/// The PSA's tables are where its keys are. A table of Sidegate's own of the same name, in a schema
/// that comes earlier on the path because it is named like the login, is not meant.
const BESIDE_THE_KEYS: &str = "SELECT set_config('search_path', quote_ident(n.nspname), false) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('api_keys')";

/// What a user row says about whether it may hold a key.
pub(super) struct UserState {
    pub(super) user_type: String,
    /// NULL is the PSA's third state: neither active nor switched off.
    pub(super) is_inactive: Option<bool>,
}

/// One row of `api_keys` to write.
pub(super) struct NewKey<'a> {
    /// SHA-256 in hex; the key itself never comes here.
    pub(super) hash: &'a str,
    pub(super) user_id: &'a str,
    /// For the column of this name, where there is one; a UUID.
    pub(super) agent_id: Option<&'a str>,
    pub(super) description: &'a str,
    pub(super) purpose: &'a str,
    /// Seconds since the epoch.
    pub(super) expires_at: f64,
    /// A JSON object.
    pub(super) metadata: &'a str,
}

/// A written key.
pub(super) struct Inserted {
    pub(super) key_id: String,
    /// By the clock of the database, which is what the PSA compares with.
    pub(super) already_expired: bool,
}

/// The PSA's database, seen as one tenant.
pub(super) struct Db {
    pool: PgPool,
    tenant: String,
    has_agent_column: OnceCell<bool>,
}

impl Db {
    /// Connects when it is first asked something.
    pub(super) fn new(url: &str, schema: Option<&str>, tenant: &str) -> Result<Self, sqlx::Error> {
        let mut options = PgConnectOptions::from_str(url)?
            .application_name("sidegate")
            .options([("statement_timeout", STATEMENT)])
            .disable_statement_logging();
        if let Some(schema) = schema {
            let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
            options = options.options([("search_path", quoted)]);
        }
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::query(BESIDE_THE_KEYS).execute(connection).await.map(drop) })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, tenant: tenant.to_owned(), has_agent_column: OnceCell::new() })
    }

    /// Whether the tenant is suspended; none where there is no such tenant.
    pub(super) async fn suspended(&self) -> Result<Option<bool>, sqlx::Error> {
        sqlx::query("SELECT suspended_at IS NOT NULL FROM tenants WHERE tenant = $1::uuid")
            .bind(&self.tenant)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| row.try_get(0))
            .transpose()
    }

    pub(super) async fn user(&self, user_id: &str) -> Result<Option<UserState>, sqlx::Error> {
        let sql =
            "SELECT user_type::text, is_inactive FROM users WHERE tenant = $1::uuid AND user_id = $2::uuid";
        sqlx::query(sql)
            .bind(&self.tenant)
            .bind(user_id)
            .fetch_optional(&self.pool)
            .await?
            .map(|row| Ok(UserState { user_type: row.try_get(0)?, is_inactive: row.try_get(1)? }))
            .transpose()
    }

    /// Only the PSA's commercial edition has the column.
    async fn has_agent_column(&self) -> Result<bool, sqlx::Error> {
        let ask = || async {
            let sql = "SELECT EXISTS (SELECT 1 FROM information_schema.columns \
                       WHERE table_schema = ANY (current_schemas(false)::text[]) \
                       AND table_name = 'api_keys' AND column_name = 'agent_id')";
            sqlx::query(sql).fetch_one(&self.pool).await?.try_get(0)
        };
        self.has_agent_column.get_or_try_init(ask).await.copied()
    }

    pub(super) async fn insert_key(&self, key: &NewKey<'_>) -> Result<Inserted, sqlx::Error> {
        let agent_id = if self.has_agent_column().await? { key.agent_id } else { None };
        let sql = if agent_id.is_some() {
            "INSERT INTO api_keys (api_key, user_id, tenant, description, purpose, active, expires_at, \
             metadata, usage_limit, agent_id) VALUES ($1, $2::uuid, $3::uuid, $4, $5, true, \
             to_timestamp($6::float8), $7::jsonb, NULL, $8::uuid) \
             RETURNING api_key_id::text, expires_at <= now()"
        } else {
            "INSERT INTO api_keys (api_key, user_id, tenant, description, purpose, active, expires_at, \
             metadata, usage_limit) VALUES ($1, $2::uuid, $3::uuid, $4, $5, true, \
             to_timestamp($6::float8), $7::jsonb, NULL) \
             RETURNING api_key_id::text, expires_at <= now()"
        };
        let mut query = sqlx::query(sql)
            .bind(key.hash)
            .bind(key.user_id)
            .bind(&self.tenant)
            .bind(key.description)
            .bind(key.purpose)
            .bind(key.expires_at)
            .bind(key.metadata);
        if let Some(agent_id) = agent_id {
            query = query.bind(agent_id);
        }
        let row = query.fetch_one(&self.pool).await?;
        Ok(Inserted { key_id: row.try_get(0)?, already_expired: row.try_get(1)? })
    }

    /// Whose key has this hash, where it is good now and its purpose is none of `not_for`.
    pub(super) async fn key_owner(
        &self,
        hash: &str,
        not_for: &[&str],
    ) -> Result<Option<String>, sqlx::Error> {
        let sql = "SELECT user_id::text FROM api_keys WHERE tenant = $1::uuid AND api_key = $2 AND active \
                   AND (expires_at IS NULL OR expires_at > now()) \
                   AND (usage_limit IS NULL OR usage_count < usage_limit) AND NOT (purpose = ANY ($3))";
        let row = sqlx::query(sql).bind(&self.tenant).bind(hash).bind(not_for).fetch_optional(&self.pool);
        row.await?.map_or(Ok(None), |row| row.try_get(0))
    }

    pub(super) async fn delete_key(&self, purpose: &str, key_id: &str) -> Result<u64, sqlx::Error> {
        let sql = "DELETE FROM api_keys WHERE tenant = $1::uuid AND purpose = $2 AND api_key_id = $3::uuid";
        let done = sqlx::query(sql).bind(&self.tenant).bind(purpose).bind(key_id);
        Ok(done.execute(&self.pool).await?.rows_affected())
    }

    pub(super) async fn delete_keys_of(&self, purpose: &str, agent_id: &str) -> Result<u64, sqlx::Error> {
        let sql = "DELETE FROM api_keys WHERE tenant = $1::uuid AND purpose = $2 \
                   AND metadata->>'sidegate_agent_id' = $3";
        let done = sqlx::query(sql).bind(&self.tenant).bind(purpose).bind(agent_id);
        Ok(done.execute(&self.pool).await?.rows_affected())
    }

    /// Keys that expired before `now` (seconds since the epoch) or were switched off.
    pub(super) async fn delete_dead_keys(&self, purpose: &str, now: f64) -> Result<u64, sqlx::Error> {
        let sql = "DELETE FROM api_keys WHERE tenant = $1::uuid AND purpose = $2 \
                   AND (expires_at < to_timestamp($3::float8) OR active = false)";
        let done = sqlx::query(sql).bind(&self.tenant).bind(purpose).bind(now);
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
}

/// Whether the server said that there is no such table.
pub(super) fn is_unknown_table(error: &sqlx::Error) -> bool {
    is(error, "42P01")
}

/// Whether the server said that the login may not do this.
pub(super) fn is_forbidden(error: &sqlx::Error) -> bool {
    is(error, "42501")
}

fn is(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().is_some_and(|said| said.code().as_deref() == Some(code))
}

/// Whether asking again later may succeed: the server could not be reached or
/// used (SQLSTATE classes 08, 25, 28, 3D, 40, 53, 57, 58), rather than said no.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(said) => said.code().is_none_or(|code| {
            ["08", "25", "28", "3D", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        }),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => false,
        _ => true,
    }
}
