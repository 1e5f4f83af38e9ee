//! Who is at the desk, however that was found out.

use std::sync::Arc;

use crate::identity::metadata::Resource;
use crate::identity::trust::Caller;
use crate::policy::Policies;
use crate::tool::effect::Effect;

/// A caller who was let in, and what it is judged by.
#[derive(Clone)]
pub struct Visitor {
    /// Who it is.
    pub(super) caller: Caller,
    /// What it may do, by the rows of the moment it was let in.
    pub(super) policies: Arc<Policies>,
    /// Under which name it knows this server.
    pub(super) resource: Arc<Resource>,
    /// When what it was let in by ends, in Unix seconds.
    pub(super) until: Option<i64>,
}

impl Visitor {
    /// Whose it is.
    pub fn agent_id(&self) -> &str {
        self.caller.agent_id()
    }

    /// Who started this process, under a key of their own: nothing that the key may do is denied to them, and each call
    /// is confirmed, if at all, by their own client.
    pub fn local(tenant: &str) -> Self {
        let policies = Policies::alike(Effect::Destroy);
        Self {
            caller: Caller::local(tenant),
            policies: Arc::new(policies),
            // Told of only where a token lacks scopes, and here is none.
            resource: Arc::new(Resource::new("http://localhost", "/")),
            until: None,
        }
    }
}
