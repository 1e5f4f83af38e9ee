//! The front end of the handshake era, and what its revisions share.
//!
//! Served without sessions: a request is taken for the revision its header names. Knows nothing of modern metadata.

use serde_json::{Map, Value};

use super::outcome::{Content, Outcome, ServerInfo};
use super::{Admitted, Era, Headers, Revision, named, newest, of_era, oldest};
use crate::mcp::fault::{ECHO, Fault, clip};
use crate::mcp::message::{ClientInfo, Reply};

/// The revision of a message without modern metadata. The header must name a legacy revision that is served, or be
/// absent, which stands for the oldest; before the handshake it is usually absent.
pub(super) fn admit(headers: &Headers<'_>, method: &str, params: &Map<String, Value>) -> Admitted {
    let handshake = method == "initialize";
    let revision = match headers.protocol_version {
        Some(name) => named(Era::Legacy, name).ok_or_else(|| (newest(Era::Legacy), unsupported(name)))?,
        None if handshake => newest(Era::Legacy),
        None => oldest(Era::Legacy),
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
        Reply::Initialized { instructions } => Outcome {
            protocol_version: Some(revision.name),
            capabilities: Some(serde_json::json!({ "tools": { "listChanged": false } })),
            server_info: Some(ServerInfo::OURS),
            instructions: Some(instructions),
            ..Outcome::default()
        },
        Reply::Discovered { .. } => return None,
        Reply::Pong => Outcome::default(),
        Reply::Tools(listing) => Outcome { tools: Some(listing), ..Outcome::default() },
        Reply::Tool(answer) => Outcome {
            content: Some([Content::text(&answer.text)]),
            // These revisions allow nothing but an object here.
            structured_content: answer.structured.as_deref().filter(|value| value.get().starts_with('{')),
            is_error: Some(answer.is_error),
            ..Outcome::default()
        },
    })
}
