//! Whether the columns by which the store finds a record say what its text says: the chain covers the text alone.

use serde_json::{Map, Value};

use crate::clock::rfc3339;
use crate::record::Facts;

/// A column that says something else than the text; none where all agree.
pub(super) fn differing(facts: &Facts) -> Option<&'static str> {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&facts.body) else { return Some("body") };
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let time = rfc3339(facts.at);
    let pairs = [
        ("tenant_id", Some(facts.tenant.as_str()), Some(text("tenant").unwrap_or_default())),
        ("at", Some(time.as_str()), text("time")),
        ("kind", Some(&*facts.kind), Some(kind(&fields))),
        ("agent_id", facts.agent_id.as_deref(), text("agent_id")),
        ("tool", facts.tool.as_deref(), text("tool")),
        ("entry_id", facts.entry_id.as_deref(), text("entry_id")),
        ("decision", facts.decision.as_deref(), text("decision")),
        ("outcome", facts.outcome.as_deref(), text("outcome")),
        ("request_id", facts.request_id.as_deref(), text("request_id")),
    ];
    let status = fields.get("upstream_status").and_then(Value::as_i64);
    let differing = pairs.into_iter().find(|(_, column, text)| column != text).map(|(name, ..)| name);
    differing.or((facts.status != status).then_some("status"))
}

/// See [`Facts::kind`].
fn kind(fields: &Map<String, Value>) -> &str {
    match fields.get("record").and_then(Value::as_str).unwrap_or_default() {
        "event" if fields.contains_key("change") => "change",
        "event" if fields.get("decision").and_then(Value::as_str) == Some("refuse") => "refusal",
        "event" if fields.contains_key("tool") => "call",
        "event" => "other",
        own => own,
    }
}
