//! 2026-07-28. Against its predecessor: no handshake, no session, no resumption and no ping, discovery instead; a
//! request of its own to hear of changes; metadata in each request, mirrored in headers; 404 for an unknown method;
//! leaving cancels; results say what they are, who made them and how long they keep.

use serde_json::{Map, Value};

use super::outcome::{Meta, Outcome, ServerInfo};
use super::{Era, OnDisconnect, Revision, ask, legacy, of_era, v2025_11_25};
use crate::mcp::fault::Fault;
use crate::mcp::message::Reply;

pub(super) const REVISION: Revision = Revision {
    name: "2026-07-28",
    era: Era::Modern,
    on_disconnect: OnDisconnect::Cancel,
    replays: false,
    methods: &[ask::DISCOVER, ask::LIST_TOOLS, ask::CALL_TOOL, ask::LISTEN],
    mirrored: &[("tools/call", "name"), ("prompts/get", "name"), ("resources/read", "uri")],
    status,
    outcome,
    whole,
    ..v2025_11_25::REVISION
};

/// How long a client may keep the listing and the discovery, in milliseconds. Both are the same for every caller
/// until the server is replaced, hence `public`.
const KEEP: u32 = 300_000;

fn status(fault: &Fault) -> u16 {
    if matches!(fault, Fault::MethodNotFound(_)) { 404 } else { legacy::status(fault) }
}

fn outcome<'a>(revision: &Revision, reply: &'a Reply) -> Option<Outcome<'a>> {
    let complete = |outcome: Outcome<'a>| Outcome {
        result_type: Some("complete"),
        meta: Some(Meta { server_info: ServerInfo::OURS, subscription: None }),
        ..outcome
    };
    let cached = |outcome: Outcome<'a>| Outcome {
        ttl_ms: Some(KEEP),
        cache_scope: Some("public"),
        ..complete(outcome)
    };
    match reply {
        Reply::Initialized(_) | Reply::Pong | Reply::Other(_) => None,
        Reply::Discovered(welcome) => Some(cached(Outcome {
            supported_versions: Some(of_era(Era::Modern).map(|revision| revision.name).collect()),
            capabilities: Some(
                welcome.capabilities.clone().unwrap_or_else(|| serde_json::json!({ "tools": {} })),
            ),
            instructions: Some(welcome.instructions),
            ..Outcome::default()
        })),
        Reply::Heard { stream } => {
            let meta = Meta { server_info: ServerInfo::OURS, subscription: Some(stream) };
            Some(Outcome { meta: Some(meta), ..complete(Outcome::default()) })
        }
        Reply::Tools(_) => legacy::outcome(revision, reply).map(cached),
        Reply::Tool(answer) => legacy::outcome(revision, reply).map(|outcome| {
            complete(Outcome { structured: answer.structured.then_some(&answer.text), ..outcome })
        }),
    }
}

/// Says of a whole result what every result says of itself, where it does not.
fn whole(mut result: Map<String, Value>) -> Map<String, Value> {
    result.entry("resultType").or_insert_with(|| "complete".into());
    if let Value::Object(meta) = result.entry("_meta").or_insert_with(|| Map::new().into()) {
        let server = serde_json::to_value(ServerInfo::OURS).unwrap_or_default();
        meta.entry("io.modelcontextprotocol/serverInfo").or_insert(server);
    }
    result
}
