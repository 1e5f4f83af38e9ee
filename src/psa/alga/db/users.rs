//! Users and their roles.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row, Transaction};

use super::Db;

/// One row of `roles`.
pub(in super::super) struct RoleRow {
    pub role_id: String,
    pub name: String,
    pub description: Option<String>,
}

/// One row of `users`, without what nobody else need see.
pub(in super::super) struct PersonRow {
    pub user_id: String,
    pub username: String,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub user_type: String,
    pub is_inactive: Option<bool>,
}

/// One row of `users` to write.
pub(in super::super) struct NewUser<'a> {
    pub user_id: &'a str,
    pub username: &'a str,
    pub email: &'a str,
    /// Not the hash of anything.
    pub password: &'a str,
}

/// What became of a user that was to be written.
pub(in super::super) enum Put {
    Done,
    /// By the user with this id.
    EmailTaken(String),
    /// By the user with this id.
    UsernameTaken(String),
    /// For a reason that the rows of this tenant do not show.
    Unwritten,
}

/// What became of a user that was to be deleted.
pub(in super::super) enum Removed {
    Done,
    /// There is no such user, or none that may be deleted from here.
    NotThere,
    /// This table refers to it.
    Held(String),
    /// The login may not delete users.
    Forbidden,
}

impl RoleRow {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { role_id: row.try_get(0)?, name: row.try_get(1)?, description: row.try_get(2)? })
    }
}

impl PersonRow {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            user_id: row.try_get(0)?,
            username: row.try_get(1)?,
            email: row.try_get(2)?,
            first_name: row.try_get(3)?,
            last_name: row.try_get(4)?,
            user_type: row.try_get(5)?,
            is_inactive: row.try_get(6)?,
        })
    }
}

impl Db {
    /// The roles that count for internal users, by name.
    pub async fn roles(&self) -> Result<Vec<RoleRow>, sqlx::Error> {
        let sql = "SELECT role_id::text, role_name, description FROM roles \
                   WHERE tenant = $1::uuid AND msp = true ORDER BY role_name, role_id";
        let rows = sqlx::query(sql).bind(&self.tenant).fetch_all(&self.pool).await?;
        rows.iter().map(RoleRow::read).collect()
    }

    /// The users with these ids, in no order.
    pub async fn people(&self, user_ids: &[&str]) -> Result<Vec<PersonRow>, sqlx::Error> {
        let sql = "SELECT user_id::text, username, email, first_name, last_name, user_type::text, is_inactive \
                   FROM users WHERE tenant = $1::uuid AND user_id = ANY ($2::text[]::uuid[])";
        let rows = sqlx::query(sql).bind(&self.tenant).bind(user_ids).fetch_all(&self.pool).await?;
        rows.iter().map(PersonRow::read).collect()
    }

    /// (user id, role id) of these users.
    pub async fn roles_held(&self, user_ids: &[&str]) -> Result<Vec<(String, String)>, sqlx::Error> {
        let sql = "SELECT user_id::text, role_id::text FROM user_roles \
                   WHERE tenant = $1::uuid AND user_id = ANY ($2::text[]::uuid[])";
        let rows = sqlx::query(sql).bind(&self.tenant).bind(user_ids).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Writes the user unless it is there, and gives it exactly `roles` (ids), all or nothing.
    pub async fn put_user(&self, user: &NewUser<'_>, roles: &[String]) -> Result<Put, sqlx::Error> {
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
        self.align(&mut work, user.user_id, roles).await?;
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

    /// Gives the user exactly `roles` (ids), all or nothing, where its e-mail address is like one of
    /// `like`; false where there is no such user.
    pub async fn set_roles(
        &self,
        user_id: &str,
        like: &[&str],
        roles: &[String],
    ) -> Result<bool, sqlx::Error> {
        let mut work = self.pool.begin().await?;
        let sql = "SELECT 1 FROM users WHERE tenant = $1::uuid AND user_id = $2::uuid \
                   AND user_type = 'internal' AND email LIKE ANY ($3)";
        let there = sqlx::query(sql).bind(&self.tenant).bind(user_id).bind(like);
        if there.fetch_optional(&mut *work).await?.is_none() {
            return Ok(false);
        }
        self.align(&mut work, user_id, roles).await?;
        work.commit().await?;
        Ok(true)
    }

    async fn align(
        &self,
        work: &mut Transaction<'_, Postgres>,
        user_id: &str,
        roles: &[String],
    ) -> Result<(), sqlx::Error> {
        let sql = "DELETE FROM user_roles WHERE tenant = $1::uuid AND user_id = $2::uuid \
                   AND NOT (role_id = ANY ($3::text[]::uuid[]))";
        sqlx::query(sql).bind(&self.tenant).bind(user_id).bind(roles).execute(&mut **work).await?;
        for role in roles {
            let sql = "INSERT INTO user_roles (tenant, user_id, role_id) \
                       VALUES ($1::uuid, $2::uuid, $3::uuid) ON CONFLICT DO NOTHING";
            sqlx::query(sql).bind(&self.tenant).bind(user_id).bind(role).execute(&mut **work).await?;
        }
        Ok(())
    }

    /// Switches the user off or on whose e-mail address is like one of `like`; false where there is none.
    pub async fn switch(&self, user_id: &str, like: &[&str], off: bool) -> Result<bool, sqlx::Error> {
        let sql = "UPDATE users SET is_inactive = $4, updated_at = now() WHERE tenant = $1::uuid \
                   AND user_id = $2::uuid AND user_type = 'internal' AND email LIKE ANY ($3)";
        let done = sqlx::query(sql).bind(&self.tenant).bind(user_id).bind(like).bind(off);
        Ok(done.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Deletes the user whose e-mail address is like one of `like`, with its roles, or nothing.
    pub async fn remove(&self, user_id: &str, like: &[&str]) -> Result<Removed, sqlx::Error> {
        match self.delete_user(user_id, like).await {
            Ok(true) => Ok(Removed::Done),
            Ok(false) => Ok(Removed::NotThere),
            Err(error) => {
                let Some(said) = error.as_database_error() else { return Err(error) };
                match said.code().as_deref() {
                    // The server names the table that refers to the user, not `users`.
                    Some("23503") => Ok(Removed::Held(said.table().unwrap_or("of another kind").to_owned())),
                    Some("42501") => Ok(Removed::Forbidden),
                    _ => Err(error),
                }
            }
        }
    }

    async fn delete_user(&self, user_id: &str, like: &[&str]) -> Result<bool, sqlx::Error> {
        let mut work = self.pool.begin().await?;
        let sql = "DELETE FROM user_roles WHERE tenant = $1::uuid AND user_id = $2::uuid";
        sqlx::query(sql).bind(&self.tenant).bind(user_id).execute(&mut *work).await?;
        let sql = "DELETE FROM users WHERE tenant = $1::uuid AND user_id = $2::uuid \
                   AND user_type = 'internal' AND email LIKE ANY ($3)";
        let done = sqlx::query(sql).bind(&self.tenant).bind(user_id).bind(like).execute(&mut *work).await?;
        if done.rows_affected() == 0 {
            // The roles of somebody else come back with the drop.
            return Ok(false);
        }
        work.commit().await?;
        Ok(true)
    }
}
