//! What an administrator changed, and the row by which a record is found again.

use serde::Serialize;
use serde_json::Value;

#[cfg(feature = "server")]
use super::Event;
use super::{EventBuilder, MAX_CLIENT_TEXT, MAX_TEXT, bounded, clean};
use crate::audit::redact::redact;
#[cfg(feature = "server")]
use crate::store::EventRow;

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

#[derive(Clone, Serialize)]
pub(super) struct Change {
    actor: String,
    actor_kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    action: &'static str,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
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
            actor: clean(facts.actor, MAX_CLIENT_TEXT),
            actor_kind: facts.actor_kind,
            actor_id: facts.actor_id.map(|id| bounded(id, MAX_TEXT)),
            action: facts.action,
            target: bounded(facts.target, MAX_TEXT),
            before: facts.before.map(redact),
            after: facts.after.map(redact),
        }));
    }
}

#[cfg(feature = "server")]
impl Event {
    /// The row by which it is found again: of an agent's tool call or refusal, or of a change. `line` is the record
    /// as it was written.
    pub(in crate::audit) fn row(&self, line: &[u8]) -> Option<EventRow> {
        let fields = &self.0;
        // What an agent may ask without a tool is on record; nobody looks for it by agent, and it is much.
        let told = fields.tool.is_some() || fields.decision == Some("refuse");
        let kept = fields.change.is_some() || (fields.agent_id.is_some() && told);
        if self.is_intent() || !kept {
            return None;
        }
        let kind = match (&fields.change, fields.decision) {
            (Some(_), _) => "change",
            (None, Some("refuse")) => "refusal",
            (None, _) => "call",
        };
        Some(EventRow {
            id: fields.request_id.clone(),
            tenant_id: fields.tenant.clone().unwrap_or_default(),
            agent_id: fields.agent_id.clone(),
            at: fields.time,
            kind: kind.to_owned(),
            tool: fields.tool.clone(),
            entry_id: fields.entry_id.clone(),
            decision: fields.decision.map(str::to_owned),
            outcome: fields.outcome.map(str::to_owned),
            status: fields.upstream_status.map(i64::from),
            request_id: Some(fields.request_id.clone()),
            body: std::str::from_utf8(line).ok()?.trim_end().to_owned(),
        })
    }

    /// The row of a record that is written nowhere else.
    pub fn own_row(&self) -> Option<EventRow> {
        self.row(&serde_json::to_vec(self).ok()?)
    }
}
