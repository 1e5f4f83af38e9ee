//! The front end of the era in which each request carries its own metadata, mirrored in headers.
//!
//! The order of the checks is part of the protocol's behaviour: clients tell the eras apart by the first error they
//! get. Knows no method's parameters.

use serde_json::{Map, Value};

use super::{Admitted, Era, Headers, Revision, header, named, newest};
use crate::mcp::fault::{ECHO, Fault, clip};
use crate::mcp::message::ClientInfo;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT: &str = "io.modelcontextprotocol/clientInfo";

/// True if the body claims a revision of its own, whatever the value: a malformed claim is an error of this era, never
/// a reason to fall back to the other.
pub(super) fn claims(params: &Map<String, Value>) -> bool {
    params.get("_meta").and_then(|meta| meta.get(VERSION)).is_some()
}

/// The revision that the message claims for itself, where that is a text.
pub(super) fn claimed(params: &Map<String, Value>) -> Option<&str> {
    params.get("_meta")?.get(VERSION)?.as_str()
}

/// Checks what surrounds a message: metadata, headers against body, revision, headers required. Client capabilities
/// would come next; nothing that is served needs one.
pub(super) fn admit(
    headers: &Headers<'_>,
    is_request: bool,
    method: &str,
    params: &Map<String, Value>,
) -> Admitted {
    let heard = headers.protocol_version.and_then(|name| named(Era::Modern, name));
    let speaks = heard.unwrap_or_else(|| newest(Era::Modern));
    // The protocol gives notifications no metadata of their own and no required headers: without a claim, the header
    // that led here decides.
    if !is_request && !claims(params) {
        mirrors_method(headers, method).map_err(|fault| (speaks, fault))?;
        return Ok((speaks, ClientInfo::default()));
    }
    let (version, client) = envelope(params, is_request).map_err(|fault| (speaks, fault))?;
    let revision = agreed(headers, version, method).map_err(|fault| (speaks, fault))?;
    if is_request && !headers.bare {
        required(headers, revision, method, params).map_err(|fault| (revision, fault))?;
    }
    Ok((revision, client))
}

/// The metadata in `params._meta`. A notification owes nothing but a claim that is a text.
fn envelope(params: &Map<String, Value>, is_request: bool) -> Result<(&str, ClientInfo), Fault> {
    let meta = match params.get("_meta") {
        Some(Value::Object(meta)) => meta,
        Some(_) => return Err(envelope_fault("_meta must be an object")),
        None => {
            return Err(envelope_fault(&format!(
                "_meta is missing; it must have {VERSION} and {CAPABILITIES}"
            )));
        }
    };
    let version = match meta.get(VERSION) {
        Some(Value::String(version)) => version,
        Some(_) => return Err(envelope_fault(&format!("_meta[{VERSION:?}] must be a string"))),
        None => return Err(envelope_fault(&format!("_meta[{VERSION:?}] is missing"))),
    };
    match meta.get(CAPABILITIES) {
        Some(Value::Object(_)) => {}
        Some(_) => return Err(envelope_fault(&format!("_meta[{CAPABILITIES:?}] must be an object"))),
        None if is_request => {
            return Err(envelope_fault(&format!(
                "_meta[{CAPABILITIES:?}] is missing; {{}} if there are none"
            )));
        }
        None => {}
    }
    let client = match meta.get(CLIENT) {
        None => ClientInfo::default(),
        Some(Value::Object(info)) => ClientInfo::read(info),
        Some(_) => return Err(envelope_fault(&format!("_meta[{CLIENT:?}] must be an object"))),
    };
    Ok((version, client))
}

fn envelope_fault(text: &str) -> Fault {
    Fault::InvalidEnvelope(text.to_owned())
}

/// Disagreement between header and body goes before an unknown revision: whoever routed by the header was misled.
fn agreed(headers: &Headers<'_>, version: &str, method: &str) -> Result<&'static Revision, Fault> {
    if let Some(header) = headers.protocol_version {
        header::legible("MCP-Protocol-Version", header)?;
        header::same("MCP-Protocol-Version", header, version)?;
    }
    mirrors_method(headers, method)?;
    named(Era::Modern, version)
        .ok_or_else(|| Fault::UnsupportedVersion { requested: clip(version, ECHO).to_owned() })
}

fn mirrors_method(headers: &Headers<'_>, method: &str) -> Result<(), Fault> {
    match headers.method {
        Some(header) => {
            header::legible("Mcp-Method", header)?;
            header::same("Mcp-Method", header, method)
        }
        None => Ok(()),
    }
}

/// The headers that a request must have, in the order the specification names them.
fn required(
    headers: &Headers<'_>,
    revision: &Revision,
    method: &str,
    params: &Map<String, Value>,
) -> Result<(), Fault> {
    if headers.protocol_version.is_none() {
        return Err(missing("MCP-Protocol-Version"));
    }
    if headers.method.is_none() {
        return Err(missing("Mcp-Method"));
    }
    let Some((_, mirrored)) = revision.mirrored.iter().find(|(name, _)| *name == method) else {
        return Ok(());
    };
    // A body without the value has nothing to mirror; that it is missing is for the method's own reader to say.
    let body = params.get(*mirrored).and_then(Value::as_str);
    match (headers.name, body) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(missing("Mcp-Name")),
        (Some(name), body) => {
            header::legible("Mcp-Name", name)?;
            let name = header::unwrapped("Mcp-Name", name)?;
            body.map_or(Ok(()), |body| header::same("Mcp-Name", &name, body))
        }
    }
}

fn missing(field: &str) -> Fault {
    Fault::HeaderMismatch(format!("{field} is missing; it must repeat the body's value"))
}
