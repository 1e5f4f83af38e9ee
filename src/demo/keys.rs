//! The demo PSA's own key table: what a key is, when it is valid, how it goes away.
//!
//! Only SHA-256 hex of a key is ever held.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::world::stamp;
use crate::clock::Millis;
use crate::units::hex;

/// The purpose of the keys that a sweep may remove.
pub(super) const SWEPT_PURPOSE: &str = "mcp_sidecar";

/// A row of the key table.
#[derive(Clone)]
pub(super) struct Key {
    pub id: String,
    pub hash: String,
    pub user_id: String,
    pub agent_id: Option<String>,
    pub description: String,
    pub purpose: String,
    pub active: bool,
    pub expires_at: Option<Millis>,
    pub created_at: Millis,
    pub last_used_at: Option<Millis>,
    /// Tokens left in the rate limiter's bucket, in thousandths, and when they were counted.
    pub bucket: (i64, Millis),
}

/// SHA-256 of `text`, as 64 lower-case hex digits.
pub(super) fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

impl Key {
    /// Whether the key is switched on and has not run out at `now`.
    pub fn valid(&self, now: Millis) -> bool {
        self.active && self.expires_at.is_none_or(|end| end > now)
    }

    /// The row without its hash, as `GET /__keys` shows it.
    pub fn show(&self) -> Value {
        json!({
            "api_key_id": self.id, "user_id": self.user_id, "agent_id": self.agent_id,
            "description": self.description, "purpose": self.purpose, "active": self.active,
            "expires_at": self.expires_at.map(stamp), "created_at": stamp(self.created_at),
            "last_used_at": self.last_used_at.map(stamp),
        })
    }

    /// Takes one token from a bucket of `burst` that refills at one a second; how
    /// many are left, or how many milliseconds to wait.
    pub fn take(&mut self, burst: i64, now: Millis) -> Result<i64, Millis> {
        let (left, counted) = self.bucket;
        let left = (left + (now - counted).max(0)).min(burst * 1_000);
        if left < 1_000 {
            self.bucket = (left, now);
            return Err(1_000 - left);
        }
        self.bucket = (left - 1_000, now);
        Ok((left - 1_000) / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_hex_of_sha_256() {
        assert_eq!(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
