//! An event as the record keeps it: its text, and what of it can be asked for.

use std::borrow::Cow;

use super::Event;
use super::fields::Fields;
use crate::record::Facts;
#[cfg(feature = "server")]
use crate::store::EventRow;

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

    /// Appends the record to `out` as one line of JSON with its newline.
    ///
    /// # Errors
    /// None that any value of a record is known to cause; the caller must not lose the record silently.
    pub(in crate::audit) fn write_line(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *out, &self.0)?;
        out.push(b'\n');
        Ok(())
    }

    /// The row by which it is found again: of an agent's tool call or refusal, or of a change. `line` is the record
    /// as it was written.
    #[cfg(feature = "server")]
    pub(in crate::audit) fn row(&self, line: &[u8]) -> Option<EventRow> {
        let fields = &self.0;
        // What an agent may ask without a tool is on record; nobody looks for it by agent, and it is much.
        let told = fields.tool.is_some() || fields.decision == Some("refuse");
        let kept = fields.change.is_some() || (fields.agent_id.is_some() && told);
        if self.is_intent() || !kept {
            return None;
        }
        Some(EventRow {
            id: fields.request_id.clone(),
            tenant_id: fields.tenant.clone().unwrap_or_default(),
            agent_id: fields.agent_id.clone(),
            at: fields.time,
            kind: self.kind().to_owned(),
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
    #[cfg(feature = "server")]
    pub fn own_row(&self) -> Option<EventRow> {
        self.row(self.0.text().as_bytes())
    }
}

impl Fields {
    /// The members are in order, their numbers are integers that every reader reads exactly, and what is of another
    /// form was made canonical before: serde's plain JSON of them is canonical.
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // Not reachable with the fields of today; a record of the failure is better than none.
            tracing::error!(request_id = self.request_id, %error, "an audit record has no JSON");
            r#"{"record":"broken"}"#.to_owned()
        })
    }
}
