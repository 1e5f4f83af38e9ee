//! What an administrator changed.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::arguments::redacted;
use super::{EventBuilder, MAX_CLIENT_TEXT, MAX_TEXT, bounded, clean};

/// What an administrator changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangeFacts<'a> {
    pub actor: &'a str,
    pub actor_kind: &'static str,
    pub actor_id: Option<&'a str>,
    /// What, and what was done to it, such as `agent.disable`.
    pub action: &'static str,
    /// Its id.
    pub target: &'a str,
    /// The id and name of the agent that it is about.
    pub agent: Option<(&'a str, &'a str)>,
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
}

/// The members of `change`, in the order of their names.
#[derive(Clone, Serialize)]
pub(super) struct Change {
    action: &'static str,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    actor_kind: &'static str,
    after: Option<Box<RawValue>>,
    before: Option<Box<RawValue>>,
    target: String,
}

impl EventBuilder {
    /// Field `change`; the agent that it is about goes into `agent_id agent`.
    pub fn change(&mut self, facts: ChangeFacts<'_>) {
        if let Some((id, name)) = facts.agent {
            self.0.agent_id = Some(bounded(id, MAX_TEXT));
            self.0.agent = Some(bounded(name, MAX_TEXT));
        }
        self.0.decision = Some("allow");
        self.0.change = Some(Box::new(Change {
            action: facts.action,
            actor: clean(facts.actor, MAX_CLIENT_TEXT),
            actor_id: facts.actor_id.map(|id| bounded(id, MAX_TEXT)),
            actor_kind: facts.actor_kind,
            after: facts.after.map(redacted),
            before: facts.before.map(redacted),
            target: bounded(facts.target, MAX_TEXT),
        }));
    }
}
