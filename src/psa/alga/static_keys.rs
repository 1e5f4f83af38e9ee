//! One key an agent, from a file that the operator keeps: for a PSA whose
//! database is out of reach. Such keys live as long as the operator lets them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::config::PsaConfig;
use super::super::{Credential, KeyError, Keys, Principal, PsaError};
use super::{Source, key};
use crate::clock::Millis;

pub(super) fn problems(config: &PsaConfig) -> Vec<(String, String)> {
    if config.static_keys.is_empty() {
        let message = "is empty; add a line `\"agent name\" = \"/path/of/its/key\"` under [psa.static_keys]";
        return vec![("static_keys".to_owned(), message.to_owned())];
    }
    Vec::new()
}

pub(super) fn open(config: &PsaConfig) -> Result<Source, PsaError> {
    let prefix = config.static_prefix.as_ref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
    Ok((Arc::new(StaticKeys { files: config.static_keys.clone(), prefix }), None))
}

struct StaticKeys {
    files: BTreeMap<String, PathBuf>,
    /// Before each agent's name, where the tenant is not the main one: two may have agents of one name.
    prefix: String,
}

#[async_trait]
impl Keys for StaticKeys {
    /// Reads the file anew, so that a replaced key is used without a restart.
    async fn mint(&self, who: &Principal, _ttl: Duration, _now: Millis) -> Result<Credential, KeyError> {
        let name = &format!("{}{}", self.prefix, who.agent_name);
        let file = self.files.get(name).ok_or_else(|| {
            KeyError::NoKey(format!(
                "agent `{name}` has no PSA key; add `\"{name}\" = \"/path/of/its/key\"` under [psa.static_keys]"
            ))
        })?;
        let text = tokio::fs::read_to_string(file).await.map(zeroize::Zeroizing::new).map_err(|error| {
            KeyError::NoKey(format!(
                "the PSA key of agent `{name}` cannot be read from {} ({}); see psa.static_keys",
                file.display(),
                error.kind()
            ))
        })?;
        warn_if_others_can_read(name, file).await;
        let key = key::trimmed(&text);
        if key.is_empty() {
            return Err(KeyError::NoKey(format!(
                "the file {} with the PSA key of agent `{name}` is empty; see psa.static_keys",
                file.display()
            )));
        }
        Ok(Credential::new(key, format!("static:{name}"), None))
    }

    /// Nothing to do: only the operator can end such a key, in the PSA.
    async fn revoke(&self, _key_id: &str) -> Result<(), KeyError> {
        Ok(())
    }

    async fn revoke_agent(&self, _agent_id: &str) -> Result<u64, KeyError> {
        Ok(0)
    }

    async fn sweep(&self, _now: Millis) -> Result<u64, KeyError> {
        Ok(0)
    }
}

async fn warn_if_others_can_read(name: &str, file: &Path) {
    if let Ok(about) = tokio::fs::metadata(file).await
        && about.permissions().mode() & 0o004 != 0
    {
        tracing::warn!(agent = name, file = %file.display(), "everybody on this machine can read a PSA key; chmod o-r it");
    }
}
