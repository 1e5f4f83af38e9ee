//! An AlgaPSA database with one tenant, a few users and roles, and the PSA's
//! own rule of which key it accepts.

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use sidegate::clock::{Clock, Millis};
use sidegate::psa::{self, Directory, Principal, PsaConfig, PsaDoor};
use sidegate::secret::Secret;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::postgres;
use crate::keys_contract::World;

pub const TENANT: &str = "10000000-0000-4000-8000-000000000001";
pub const OTHER_TENANT: &str = "10000000-0000-4000-8000-000000000002";
pub const USER: &str = "20000000-0000-4000-8000-000000000001";
pub const INACTIVE_USER: &str = "20000000-0000-4000-8000-000000000002";
pub const CLIENT_USER: &str = "20000000-0000-4000-8000-000000000003";
pub const UNDECIDED_USER: &str = "20000000-0000-4000-8000-000000000004";
pub const FOREIGN_USER: &str = "20000000-0000-4000-8000-000000000005";
pub const AGENT: &str = "30000000-0000-4000-8000-000000000001";

const SCHEMA: &str = include_str!("alga_schema.sql");
const ROWS: &str = "
    INSERT INTO tenants (tenant, client_name, email) VALUES
        ('10000000-0000-4000-8000-000000000001', 'Acme', 'a@acme.example'),
        ('10000000-0000-4000-8000-000000000002', 'Other', 'o@other.example');
    INSERT INTO users (tenant, user_id, username, hashed_password, email, is_inactive, user_type) VALUES
        ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000001', 'bot', '!', 'b@x', false, 'internal'),
        ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000002', 'off', '!', 'o@x', true, 'internal'),
        ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000003', 'client', '!', 'c@x', false, 'client'),
        ('10000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000004', 'undecided', '!', 'u@x', NULL, 'internal'),
        ('10000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000000000005', 'foreign', '!', 'f@x', false, 'internal');
    INSERT INTO roles (tenant, role_name, description, msp, client) VALUES
        ('10000000-0000-4000-8000-000000000001', 'Technician', 'Works on tickets', true, false),
        ('10000000-0000-4000-8000-000000000001', 'Finance', NULL, true, false),
        ('10000000-0000-4000-8000-000000000001', 'Portal User', NULL, false, true),
        ('10000000-0000-4000-8000-000000000002', 'Foreign Role', NULL, true, false);
";

/// Which build of the PSA made the database.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edition {
    /// It has an MCP server of its own, and `api_keys` has `agent_id`.
    Commercial,
    /// It has neither, and the `user_id` of a key must be there.
    Open,
}

/// The database, and the door that mints in it.
pub struct Alga {
    pub door: PsaDoor,
    pub config: PsaConfig,
    pub database: PgConnection,
}

/// A principal of the seeded tenant with this backing user.
pub fn principal(agent_id: &str, name: &str, user: Option<&str>) -> Principal {
    Principal {
        tenant: "acme".to_owned(),
        agent_id: agent_id.to_owned(),
        agent_name: name.to_owned(),
        psa_user: user.map(ToOwned::to_owned),
    }
}

/// A configuration that mints in the database at `url`.
pub fn config(url: &str) -> PsaConfig {
    PsaConfig {
        url: "http://127.0.0.1:9".to_owned(),
        tenant: TENANT.to_owned(),
        database_url: Secret::new(url),
        catalog_user: Some(USER.to_owned()),
        ..PsaConfig::default()
    }
}

impl Alga {
    pub async fn new(edition: Edition) -> Self {
        let postgres::Database { url, connection } = postgres::database(SCHEMA).await;
        let config = config(&url);
        let door = psa::open(&config, Clock::System).await.unwrap();
        let mut alga = Self { door, config, database: connection };
        alga.run(ROWS).await;
        if edition == Edition::Open {
            alga.run("ALTER TABLE api_keys DROP COLUMN agent_id, ALTER COLUMN user_id SET NOT NULL").await;
            alga.run("DROP TABLE agents, agent_idp_providers, agent_roles, mcp_agent_audit").await;
        }
        alga
    }

    /// Runs statements in the PSA's database.
    pub async fn run(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.database).await.unwrap();
    }

    /// The directory of the door.
    pub fn directory(&self) -> Arc<dyn Directory> {
        self.door.directory.clone().unwrap()
    }

    /// The first column of the only row, as text.
    pub async fn text(&mut self, sql: &str) -> Option<String> {
        sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.database).await.unwrap().get(0)
    }

    /// How many rows `table` has.
    pub async fn count(&mut self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.database).await.unwrap().get(0)
    }
}

/// SHA-256 in hex, as the PSA computes it.
pub fn sha256(key: &Secret) -> String {
    Sha256::digest(key.expose()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl World for Alga {
    fn door(&self) -> PsaDoor {
        self.door.clone()
    }

    fn agent(&self, number: u8) -> Principal {
        principal(
            &format!("30000000-0000-4000-8000-00000000000{number}"),
            &format!("Bot {number}"),
            Some(USER),
        )
    }

    fn mints(&self) -> bool {
        true
    }

    fn now(&self) -> Millis {
        Clock::System.now()
    }

    async fn accepts(&mut self, key: &Secret) -> bool {
        let rule = "SELECT EXISTS (SELECT 1 FROM api_keys k
            JOIN users u ON u.tenant = k.tenant AND u.user_id = k.user_id
            JOIN tenants t ON t.tenant = k.tenant
            WHERE k.api_key = $1 AND k.active AND (k.expires_at IS NULL OR k.expires_at > now())
            AND u.is_inactive = false AND u.user_type = 'internal' AND t.suspended_at IS NULL
            AND (k.usage_limit IS NULL OR k.usage_count < k.usage_limit))";
        sqlx::query(rule).bind(sha256(key)).fetch_one(&mut self.database).await.unwrap().get(0)
    }

    async fn suspend(&mut self) {
        self.run("UPDATE tenants SET suspended_at = now(), suspended_reason = 'tenant_cancelled'").await;
    }
}
