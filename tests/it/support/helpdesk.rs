//! `tests/clients/helpdesk`: a real helpdesk, which stands where the PSA's web pages would.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::clients;
use super::process::Process;
use super::wait::until;

/// A running helpdesk. It ends when this value is dropped, and with the test's process however that ends.
pub struct Helpdesk {
    _process: Process,
    ready: Value,
    folder: TempDir,
}

impl Helpdesk {
    /// Starts one that browsers know as `localhost`.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = json!({"folder": folder.path(), "host": "localhost"});
        let mut process = Process::start(clients::command("helpdesk/serve.py").arg(config.to_string()));
        let line = process.first_line().await;
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line}"));
        Self { _process: process, ready, folder }
    }

    /// A member of its ready line.
    pub fn told(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.ready))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `[psa]` with this helpdesk as the PSA, and one key for all.
    pub fn as_psa(&self) -> String {
        let key: PathBuf = self.folder().join("psa.key");
        std::fs::write(&key, "a-key-0123456789abcdef0123456789abcdef").expect("written");
        let (url, key) = (self.told("url"), key.display());
        format!(
            "url = \"{url}\"\ntenant = \"7b0c0a52-5d1e-4b9a-9d3c-0f8a3c1d2e10\"\nkeys = \"static\"\n\
             catalog_key_file = \"{key}\"\nstatic_keys = {{ technician = \"{key}\", reader = \"{key}\" }}"
        )
    }

    /// The requests that reached it from outside, once there is one for `target`: all but those for the catalogue,
    /// which Sidegate itself makes.
    pub async fn reached_when(&self, target: &str) -> Vec<Value> {
        let request = |line: &Value| line["request"].as_str().unwrap_or_default().to_owned();
        until(|| {
            let text = std::fs::read_to_string(self.told("access_log")).unwrap_or_default();
            // The last line may still be growing.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let mut log: Vec<Value> =
                whole.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
            log.retain(|line| !request(line).contains("/api/v1/meta/mcp-registry"));
            let found = log.iter().any(|line| request(line).split(' ').nth(1) == Some(target));
            async move { found.then_some(log) }
        })
        .await
    }
}
