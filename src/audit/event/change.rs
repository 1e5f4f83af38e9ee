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
            self.fields.agent_id = Some(bounded(id, MAX_TEXT));
            self.fields.agent = Some(bounded(name, MAX_TEXT));
        }
        let rules = &self.rules;
        self.fields.decision = Some("allow");
        self.fields.change = Some(Box::new(Change {
            action: facts.action,
            actor: clean(rules, &rules.member("actor", facts.actor), MAX_CLIENT_TEXT),
            actor_id: facts.actor_id.map(|id| bounded(id, MAX_TEXT)),
            actor_kind: facts.actor_kind,
            after: facts.after.map(|value| redacted(value, rules)),
            before: facts.before.map(|value| redacted(value, rules)),
            target: bounded(facts.target, MAX_TEXT),
        }));
    }
}
