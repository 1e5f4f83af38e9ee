//! The legacy handshake names the client once; later messages of the stateless endpoint do not.
//!
//! Remembered for the record only, by who calls from where with what: nothing is decided by it.

use std::time::Duration;

use moka::sync::Cache;

use super::Head;
use crate::identity::trust::Caller;
use crate::mcp::message::{Ask, ClientInfo};
use crate::mcp::revision::Decoded;

/// How long an introduction is remembered after it was last of use.
const KEPT: Duration = Duration::from_secs(12 * 3600);
const MOST: u64 = 10_000;

/// What clients said of themselves.
pub(super) struct Introductions(Cache<String, ClientInfo>);

impl Introductions {
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_idle(KEPT).build())
    }

    /// Remembers an introduction, and gives a message without one what its client said before.
    pub fn apply(&self, caller: &Caller, head: &Head, decoded: &mut Decoded) {
        if decoded.client.name.is_some() && !matches!(decoded.ask, Ask::Initialize { .. }) {
            return;
        }
        let address = head.client_address.map_or(String::new(), |address| address.to_string());
        let agent = head.user_agent.as_deref().unwrap_or_default();
        let key = format!("{}\n{address}\n{agent}", caller.agent_id());
        if matches!(decoded.ask, Ask::Initialize { .. }) {
            self.0.insert(key, decoded.client.clone());
        } else if let Some(known) = self.0.get(&key) {
            decoded.client = known;
        }
    }
}
