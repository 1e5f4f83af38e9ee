//! The only SQL about the PSA's database: users, roles and keys of one tenant.
//!
//! Each statement touches one table: on Citus `api_keys` lives on the
//! coordinator and the others are distributed, and cannot be joined with it.
//! Ids travel as text and are cast. Knows nothing of keys but their hashes.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Row};
use tokio::sync::OnceCell;

const CONNECTIONS: u32 = 4;
/// To get a connection, a new one included.
const CONNECT: Duration = Duration::from_secs(3);
const STATEMENT: &str = "5000ms";

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

/// One row of `roles`.
pub(super) struct RoleRow {
    pub(super) role_id: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
}

/// One row of `users` to write.
pub(super) struct NewUser<'a> {
    pub(super) user_id: &'a str,
    pub(super) username: &'a str,
    pub(super) email: &'a str,
    /// Not the hash of anything.
    pub(super) password: &'a str,
}

/// What became of a user that was to be written.
pub(super) enum Put {
    Done,
    /// By the user with this id.
    EmailTaken(String),
    /// By the user with this id.
    UsernameTaken(String),
    /// For a reason that the rows of this tenant do not show.
    Unwritten,
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

    /// The roles that count for internal users, by name.
    pub(super) async fn roles(&self) -> Result<Vec<RoleRow>, sqlx::Error> {
        let sql = "SELECT role_id::text, role_name, description FROM roles \
                   WHERE tenant = $1::uuid AND msp = true ORDER BY role_name, role_id";
        let rows = sqlx::query(sql).bind(&self.tenant).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(RoleRow { role_id: row.try_get(0)?, name: row.try_get(1)?, description: row.try_get(2)? })
            })
            .collect()
    }

    /// Writes the user unless it is there, and gives it exactly `roles` (ids), all or nothing.
    pub(super) async fn put_user(&self, user: &NewUser<'_>, roles: &[String]) -> Result<Put, sqlx::Error> {
        let mut work = self.pool.begin().await?;
        // No target: which columns are unique beside the id differs between editions of the PSA, and
        // one that is not unique here would be an error.
        let sql = "INSERT INTO users (tenant, user_id, username, email, hashed_password, user_type) \
                   VALUES ($1::uuid, $2::uuid, $3, $4, $5, 'internal') ON CONFLICT DO NOTHING";
        let written = sqlx::query(sql)
            .bind(&self.tenant)
            .bind(user.user_id)
            .bind(user.username)
            .bind(user.email)
            .bind(user.password)
            .execute(&mut *work)
            .await?;
        if written.rows_affected() == 0
            && let Some(taken) = self.in_the_way(&mut work, user).await?
        {
            // Nothing was written: the transaction ends with the drop.
            return Ok(taken);
        }
        let sql = "DELETE FROM user_roles WHERE tenant = $1::uuid AND user_id = $2::uuid \
                   AND NOT (role_id = ANY ($3::text[]::uuid[]))";
        sqlx::query(sql).bind(&self.tenant).bind(user.user_id).bind(roles).execute(&mut *work).await?;
        for role in roles {
            let sql = "INSERT INTO user_roles (tenant, user_id, role_id) \
                       VALUES ($1::uuid, $2::uuid, $3::uuid) ON CONFLICT DO NOTHING";
            sqlx::query(sql).bind(&self.tenant).bind(user.user_id).bind(role).execute(&mut *work).await?;
        }
        work.commit().await?;
        Ok(Put::Done)
    }

    /// Why the user was not written; none where it is there already.
    async fn in_the_way(
        &self,
        work: &mut PgConnection,
        user: &NewUser<'_>,
    ) -> Result<Option<Put>, sqlx::Error> {
        let sql = "SELECT user_id::text, lower(email) = lower($4) FROM users WHERE tenant = $1::uuid \
                   AND (user_id = $2::uuid OR lower(email) = lower($4) OR lower(username) = lower($3)) \
                   ORDER BY user_id = $2::uuid DESC, 2 DESC LIMIT 1";
        let row = sqlx::query(sql)
            .bind(&self.tenant)
            .bind(user.user_id)
            .bind(user.username)
            .bind(user.email)
            .fetch_optional(work)
            .await?;
        let Some(row) = row else { return Ok(Some(Put::Unwritten)) };
        let other: String = row.try_get(0)?;
        if other == user.user_id {
            return Ok(None);
        }
        Ok(Some(if row.try_get(1)? { Put::EmailTaken(other) } else { Put::UsernameTaken(other) }))
    }

    /// Switches off the user with this id and an e-mail address that ends in `domain`; how many there were.
    pub(super) async fn deactivate(&self, user_id: &str, domain: &str) -> Result<u64, sqlx::Error> {
        let sql = "UPDATE users SET is_inactive = true, updated_at = now() WHERE tenant = $1::uuid \
                   AND user_id = $2::uuid AND right(email, length($3)) = $3";
        let done = sqlx::query(sql).bind(&self.tenant).bind(user_id).bind(domain);
        Ok(done.execute(&self.pool).await?.rows_affected())
    }
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
