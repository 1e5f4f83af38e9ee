//! Brings the tables up to date, forward only. A file that was released is never changed, and each must leave
//! replicas of the version before able to go on.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Row};

use super::open::refused;
use super::{Store, StoreConfig, StoreError};

/// Version, name and text, in order.
const MIGRATIONS: [(i64, &str, &str); 5] = [
    (1, "identity", include_str!("migrations/0001_identity.sql")),
    (2, "scopes", include_str!("migrations/0002_scopes.sql")),
    (3, "call_timeout", include_str!("migrations/0003_call_timeout.sql")),
    (4, "plane", include_str!("migrations/0004_plane.sql")),
    (5, "record", include_str!("migrations/0005_record.sql")),
];

impl Store {
    /// Every migration that this version knows, as (version, name, whether it is applied).
    pub async fn status(&self) -> Result<Vec<(i64, String, bool)>, StoreError> {
        let applied = self.applied().await?;
        let known = MIGRATIONS.iter();
        Ok(known.map(|&(version, name, _)| (version, name.to_owned(), applied.contains(&version))).collect())
    }

    /// Applies what is missing. Two processes may do so at once.
    ///
    /// # Errors
    /// [`StoreError::Query`] where a migration fails; on SQLite none of them is applied then.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_with(&MIGRATIONS).await
    }

    pub(super) async fn bring_up_to_date(&self, config: &StoreConfig) -> Result<(), StoreError> {
        let status = self.status().await.map_err(|error| refused(config, error.to_string()))?;
        // Asked first: whoever may not change tables can still open those that are up to date.
        match status.into_iter().find(|(_, _, applied)| !applied) {
            None => Ok(()),
            Some(_) if config.migrate => {
                let patient = Self::patient(config, self.clock.clone()).await?;
                let migrated = patient.migrate().await;
                patient.close().await;
                migrated.map_err(|error| refused(config, error.to_string()))
            }
            Some((version, name, _)) => {
                Err(StoreError::Behind { url: config.shown(), missing: format!("{version:04}_{name}") })
            }
        }
    }

    async fn migrate_with(&self, files: &'static [(i64, &str, &str)]) -> Result<(), StoreError> {
        let migrator = migrator(files);
        if self.shared {
            let mut connection = self.pool.acquire().await?;
            apply(&migrator, &mut connection).await?;
        } else {
            // Nothing else keeps two processes apart on SQLite.
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            apply(&migrator, &mut transaction).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn applied(&self) -> Result<Vec<i64>, StoreError> {
        let asked =
            sqlx::query("SELECT version FROM _sqlx_migrations ORDER BY version").fetch_all(&self.pool);
        match asked.await {
            Ok(rows) => rows.iter().map(|row| Ok(row.try_get("version")?)).collect(),
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("42P01")
                    || error.message().starts_with("no such table") =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }
}

async fn apply(migrator: &Migrator, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // Not `run`: its future is not known to be `Send`.
    migrator.run_direct(None, connection, false).await.map_err(sqlx::Error::from)
}

fn migrator(files: &'static [(i64, &str, &str)]) -> Migrator {
    let migrations = files.iter().map(|&(version, name, sql)| {
        let text = sqlx::SqlSafeStr::into_sql_str(sql);
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, text, false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // A replica of this version may start again after one of the next has brought the tables up to date.
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const INSERTED: [&str; 3] = [
        "INSERT INTO tenants (id, name, created_at) VALUES ('acme', 'Acme', 1)",
        "INSERT INTO issuers (tenant_id, issuer, audiences, subject_claim, leeway, managed_by, active,
           created_at, updated_at)
         VALUES ('acme', 'https://login.example', '[\"api://one\"]', 'sub', 60, 'admin', TRUE, 1, 1)",
        "INSERT INTO agents (id, tenant_id, name, issuer, subject, managed_by, active, created_at, updated_at)
         VALUES ('a1', 'acme', 'one', 'https://login.example', 'a', 'admin', TRUE, 1, 1)",
    ];

    /// Whatever was trusted before goes on being trusted as it was.
    #[tokio::test]
    async fn a_database_of_any_earlier_version_is_brought_up_to_date() {
        for earlier in 1..MIGRATIONS.len() {
            let folder = tempfile::tempdir().unwrap();
            let config = StoreConfig::at(format!("sqlite://{}/sidegate.db", folder.path().display()));
            let old = Store::patient(&config, Clock::manual(2)).await.unwrap();
            old.migrate_with(&MIGRATIONS[..earlier]).await.unwrap();
            for row in INSERTED {
                sqlx::query(row).execute(&old.pool).await.unwrap();
            }
            old.close().await;
            let behind = StoreConfig { migrate: false, ..config.clone() };
            let refused = Store::open(&behind, Clock::manual(2)).await.err().unwrap().to_string();
            assert!(refused.contains("sidegate store migrate"), "{refused}");
            for _ in 0..2 {
                let store = Store::open(&config, Clock::manual(2)).await.unwrap();
                let rows = store.issuers("acme").await.unwrap();
                assert_eq!(rows.len(), 1);
                assert_eq!((rows[0].issuer.as_str(), rows[0].active), ("https://login.example", true));
                assert_eq!(rows[0].required_scopes, Default::default());
                assert!(!rows[0].require_bound_tokens && rows[0].aliases.is_empty());
                assert_eq!(store.issuer("acme", &rows[0].id).await.unwrap().as_ref(), Some(&rows[0]));
                let agents = store.agents("acme").await.unwrap();
                assert!(agents.len() == 1 && agents[0].is_on() && agents[0].roles.is_empty());
                let tenant = store.tenant("acme").await.unwrap().unwrap();
                assert!(tenant.mcp && tenant.active && !tenant.console);
                store.close().await;
            }
            Store::open(&behind, Clock::manual(2)).await.unwrap().close().await;
        }
    }
}
