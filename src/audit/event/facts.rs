//! An event as the record keeps it: its text, and what of it can be asked for.

use std::borrow::Cow;

use super::Event;
use super::fields::Fields;
use crate::record::Facts;

/// Bytes of a record's text without its arguments, mostly no more.
const USUAL: usize = 1_024;

impl Event {
    /// The event's text as canonical JSON (RFC 8785), absent fields left out, and its columns. An intent and the event
    /// of the same request have time and `request_id` in common.
    pub fn into_facts(self) -> Facts {
        let kind = self.kind();
        let body = self.0.text();
        let fields = *self.0;
        Facts {
            tenant: fields.tenant.unwrap_or_default(),
            at: fields.time,
            kind: Cow::Borrowed(kind),
            agent_id: fields.agent_id,
            tool: fields.tool,
            entry_id: fields.entry_id,
            decision: fields.decision.map(Cow::Borrowed),
            outcome: fields.outcome.map(Cow::Borrowed),
            status: fields.upstream_status.map(i64::from),
            request_id: Some(fields.request_id),
            body,
        }
    }

    /// See [`Facts::kind`].
    fn kind(&self) -> &'static str {
        let fields = &self.0;
        match fields.decision {
            _ if self.is_intent() => "intent",
            _ if fields.change.is_some() => "change",
            Some("refuse") => "refusal",
            _ if fields.tool.is_some() => "call",
            _ => "other",
        }
    }
}

impl Fields {
    /// The members are in order, their numbers are integers that every reader reads exactly, and what is of another
    /// form was made canonical before: serde's plain JSON of them is canonical.
    fn text(&self) -> String {
        let mut text =
            Vec::with_capacity(USUAL + self.arguments.as_ref().map_or(0, |shown| shown.get().len()));
        let written = serde_json::to_writer(&mut text, self).map_err(|error| error.to_string());
        let text = written.and_then(|()| String::from_utf8(text).map_err(|error| error.to_string()));
        text.unwrap_or_else(|error| {
            // Not reachable with the fields of today; a record of the failure is better than none.
            tracing::error!(request_id = self.request_id, error, "an audit record has no JSON");
            r#"{"record":"broken"}"#.to_owned()
        })
    }
}
