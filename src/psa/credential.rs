//! Who a key is for, and the key. Only the adapters below this room make one.

use crate::clock::Millis;
use crate::secret::Secret;

/// For whom a key is minted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Sidegate's name of the tenant; the PSA's own is in the configuration.
    pub tenant: String,
    /// Sidegate's id of the agent.
    pub agent_id: String,
    /// The agent's name, as people see it.
    pub agent_name: String,
    /// The agent's backing user in the PSA.
    pub psa_user: Option<String>,
}

/// A key of the PSA. `Debug` shows everything but the key.
#[derive(Clone, Debug)]
pub struct Credential {
    key: Secret,
    key_id: String,
    expires_at: Option<Millis>,
}

impl Credential {
    pub(in crate::psa) fn new(key: Secret, key_id: String, expires_at: Option<Millis>) -> Self {
        Self { key, key_id, expires_at }
    }

    /// The key itself, for the one request header it belongs in.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// What [`super::Keys::revoke`] takes; not secret.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// When the PSA stops taking it; none where it does not expire.
    pub fn expires_at(&self) -> Option<Millis> {
        self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_never_shows_its_key() {
        let shown = format!("{:?}", Credential::new(Secret::new("5e1f"), "id-1".into(), Some(7)));
        assert!(shown.contains("id-1") && !shown.contains("5e1f"), "{shown}");
    }
}
