//! The demo PSA's memory: tables of rows, users' roles, keys and the tenant.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::keys::{Key, sha256_hex};
use super::roles;
use crate::clock::{Millis, rfc3339};

pub(super) type Row = Map<String, Value>;

/// Tokens in a key's bucket, as AlgaPSA's default.
pub(super) const BURST: i64 = 120;

/// Everything that the demo PSA remembers.
pub(super) struct World {
    pub tenant: String,
    pub suspended: bool,
    pub tables: BTreeMap<&'static str, Vec<Row>>,
    /// User id to role names.
    pub grants: HashMap<String, Vec<&'static str>>,
    pub keys: Vec<Key>,
    /// Enforced tokens per key; `None` counts without refusing, as AlgaPSA does by default.
    pub enforced_burst: Option<i64>,
    /// Answers already given to an idempotency key, by user, path and key.
    pub repeated: HashMap<(String, String, String), Value>,
    pub next_number: u64,
}

/// Why a key was refused; the caller of the API sees one text for all of the first kind.
pub(super) enum Refused {
    Key,
    Owner,
}

impl World {
    pub fn rows(&self, table: &str) -> &[Row] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// The row of `table` whose `column` is `value`.
    pub fn find(&self, table: &str, column: &str, value: &str) -> Option<&Row> {
        self.rows(table).iter().find(|row| text(row, column) == value)
    }

    pub fn find_mut(&mut self, table: &str, column: &str, value: &str) -> Option<&mut Row> {
        self.tables.get_mut(table)?.iter_mut().find(|row| text(row, column) == value)
    }

    pub fn insert(&mut self, table: &'static str, row: Row) {
        self.tables.entry(table).or_default().push(row);
    }

    /// The next number for `TIC…`, `PRJ…` and the like.
    pub fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Whether `user` may do `action` to `resource` through any of its roles.
    pub fn may(&self, user: &str, action: &str, resource: &str) -> bool {
        self.grants.get(user).is_some_and(|names| {
            names.iter().filter_map(|name| roles::find(name)).any(|role| role.may(action, resource))
        })
    }

    /// Checks a presented key as AlgaPSA does: row, owner, tenant. Returns the
    /// position of its row.
    pub fn check_key(&self, presented: &str, tenant: Option<&str>, now: Millis) -> Result<usize, Refused> {
        self.check_hash(&sha256_hex(presented), tenant, now)
    }

    /// [`World::check_key`] of a key whose hash is known.
    pub fn check_hash(&self, hash: &str, tenant: Option<&str>, now: Millis) -> Result<usize, Refused> {
        let at = self.keys.iter().position(|key| key.hash == hash && key.valid(now)).ok_or(Refused::Key)?;
        if tenant.is_some_and(|tenant| tenant != self.tenant) || self.suspended {
            return Err(Refused::Key);
        }
        let owner = self.keys.get(at).and_then(|key| self.find("users", "user_id", &key.user_id));
        let owner = owner.ok_or(Refused::Owner)?;
        if owner.get("is_inactive") == Some(&Value::Bool(true)) || text(owner, "user_type") != "internal" {
            return Err(Refused::Key);
        }
        Ok(at)
    }
}

/// `row[column]` as text; empty where it is absent or not a string.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// `at` as the PSA writes times: RFC 3339 in UTC, always with three digits of
/// milliseconds, so that times sort as text.
pub(super) fn stamp(at: Millis) -> String {
    rfc3339(at)
}

/// A stable id for the seeded thing `name`: the same in every run.
pub(super) fn seeded_id(kind: &str, name: &str) -> String {
    let hash = sha256_hex(&format!("{kind}/{name}"));
    let bits = hash.get(..32).and_then(|hex| u128::from_str_radix(hex, 16).ok()).unwrap_or_default();
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

/// An id for something new.
pub(super) fn new_id() -> String {
    Uuid::new_v4().to_string()
}
