//! The `[store]` section. Knows how each database's URL is written; opens nothing.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use crate::secret::Secret;

/// The `[store]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Where the tables are: `sqlite://` and a path, or `postgres://user:password@host/database`; also from
    /// `url_file`. Connect directly, not through a pooler that multiplexes transactions: notifications need
    /// a connection of their own.
    pub url: Secret,
    /// Whether this process brings the tables up to date when it starts. False: `sidegate store migrate` does,
    /// so that the process itself needs no right to change tables.
    pub migrate: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self::at("sqlite:///var/lib/sidegate/sidegate.db")
    }
}

/// Which database a URL means.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Url),
}

impl StoreConfig {
    /// The tables at `url`, brought up to date on opening.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: Secret::new(url), migrate: true }
    }

    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        self.place().err().map(|message| ("url".to_owned(), message)).into_iter().collect()
    }

    /// The database's file; none where `url` cannot be read or means a server.
    pub fn file(&self) -> Option<PathBuf> {
        match self.place().ok()? {
            Place::Sqlite(file) => Some(file),
            Place::Postgres(_) => None,
        }
    }

    /// Where the tables are, for people: without a password or a setting.
    pub fn shown(&self) -> String {
        match self.place() {
            Ok(Place::Sqlite(file)) => format!("sqlite://{}", file.display()),
            Ok(Place::Postgres(mut url)) => {
                url.set_query(None);
                // A URL that cannot carry a password has none to show.
                let _ = url.set_password(None);
                url.to_string()
            }
            Err(_) => "a URL that is not understood".to_owned(),
        }
    }

    pub(super) fn place(&self) -> Result<Place, String> {
        let url = self.url.expose();
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|_| UNKNOWN.to_owned())?;
            let file = options.get_filename();
            if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
                return Err("must name a file: what is kept in memory is lost with the process".to_owned());
            }
            return Ok(Place::Sqlite(file.to_owned()));
        }
        // The cause is left out: it may quote the password.
        match Url::parse(url) {
            Ok(parsed)
                if !parsed.cannot_be_a_base()
                    && matches!(parsed.scheme(), "postgres" | "postgresql")
                    && PgConnectOptions::from_str(url).is_ok() =>
            {
                Ok(Place::Postgres(parsed))
            }
            _ => Err(UNKNOWN.to_owned()),
        }
    }
}

const UNKNOWN: &str = "write sqlite:// and the path of the database file, such as \
     sqlite:///var/lib/sidegate/sidegate.db, or postgres://user:password@host/database";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_a_server_are_told_apart_and_nothing_else_is_taken() {
        assert_eq!(StoreConfig::at("sqlite:///a/b.db").file(), Some(PathBuf::from("/a/b.db")));
        assert_eq!(StoreConfig::at("postgres://u:p@h/d").file(), None);
        for good in [
            "sqlite:///a/b.db",
            "sqlite://b.db",
            "postgres://h/d",
            "postgresql://u:p@h:5433/d?sslmode=require",
        ] {
            assert_eq!(StoreConfig::at(good).problems(), [], "{good}");
        }
        for bad in
            ["", "b.db", "mysql://h/d", "sqlite://", "sqlite::memory:", "sqlite://?mode=memory", "postgres:"]
        {
            assert_eq!(StoreConfig::at(bad).problems().len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let config = StoreConfig::at("postgres://sidegate:hunter2@db.example/psa?password=hunter2");
        assert_eq!(config.shown(), "postgres://sidegate@db.example/psa");
        let wrong = StoreConfig::at("postgres://sidegate:hunter2@db.example:port/psa");
        let told =
            format!("{config:?} {} {:?} {wrong:?} {}", config.shown(), wrong.problems(), wrong.shown());
        assert!(!told.contains("hunter2"), "{told}");
    }
}
