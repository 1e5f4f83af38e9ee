//! The front end of the handshake era, and what its revisions share.
//!
//! A request is taken for the revision that its header names, else its session, else the specification. Knows nothing
//! of modern metadata.

use serde_json::{Map, Value};

use super::outcome::{Outcome, ServerInfo};
use super::{Admitted, Era, Headers, Revision, assumed, named, newest, of_era};
use crate::mcp::fault::{ECHO, Fault, clip};
use crate::mcp::message::{ClientInfo, Reply};

/// The revision of a message without modern metadata. The header must name a legacy revision that is served, or be
/// absent, as it usually is before the handshake; then the session says which was agreed on.
pub(super) fn admit(headers: &Headers<'_>, method: &str, params: &Map<String, Value>) -> Admitted {
    let handshake = method == "initialize";
    let revision = match headers.protocol_version {
        Some(name) => named(Era::Legacy, name).ok_or_else(|| (newest(Era::Legacy), unsupported(name)))?,
        None if handshake => newest(Era::Legacy),
        None => headers.session.unwrap_or_else(assumed),
    };
    let client = match params.get("clientInfo") {
        Some(Value::Object(info)) if handshake => ClientInfo::read(info),
        _ => ClientInfo::default(),
    };
    Ok((revision, client))
}

/// The handshake: the revision asked for if it is served, else the newest; a client that cannot speak it leaves.
pub(super) fn negotiate(requested: &str) -> &'static Revision {
    named(Era::Legacy, requested).unwrap_or_else(|| newest(Era::Legacy))
}

/// Not the modern fault of the same meaning: a legacy client would not know its code.
fn unsupported(name: &str) -> Fault {
    let supported: Vec<&str> = of_era(Era::Legacy).map(|revision| revision.name).collect();
    Fault::InvalidRequest(format!(
        "MCP-Protocol-Version {:?} is not supported; supported: {}; or send initialize without the header",
        clip(name, ECHO),
        supported.join(", ")
    ))
}

/// A fault in a readable request is answered in the body, on 200.
pub(super) fn status(fault: &Fault) -> u16 {
    match fault {
        Fault::MethodNotFound(_)
        | Fault::InvalidParams(_)
        | Fault::UnknownResource { .. }
        | Fault::Internal => 200,
        Fault::Parse(_)
        | Fault::InvalidRequest(_)
        | Fault::InvalidEnvelope(_)
        | Fault::HeaderMismatch(_)
        | Fault::UnsupportedVersion { .. }
        | Fault::MissingCapability { .. } => 400,
    }
}

/// The results of the handshake era.
pub(super) fn outcome<'a>(revision: &Revision, reply: &'a Reply) -> Option<Outcome<'a>> {
    Some(match reply {
        Reply::Initialized(welcome) => Outcome {
            protocol_version: Some(revision.name),
            capabilities: Some(
                welcome
                    .capabilities
                    .clone()
                    .unwrap_or_else(|| serde_json::json!({ "tools": { "listChanged": false } })),
            ),
            server_info: Some(if revision.titles { ServerInfo::OURS } else { ServerInfo::UNTITLED }),
            instructions: Some(welcome.instructions),
            ..Outcome::default()
        },
        Reply::Discovered(_) | Reply::Heard { .. } | Reply::Other(_) => return None,
        Reply::Pong => Outcome::default(),
        Reply::Tools(listing) => Outcome { tools: Some(listing), ..Outcome::default() },
        Reply::Tool(answer) => Outcome {
            text: Some(&answer.text),
            // These revisions allow an object here, or nothing.
            structured: Some(answer.text.as_str())
                .filter(|text| revision.structured && answer.structured && text.starts_with('{')),
            is_error: Some(answer.is_error),
            ..Outcome::default()
        },
    })
}
