//! From a method's name and parameters to an [`Ask`]: the readers that the revisions list in their records.
//!
//! Knows no revision and no header.

use serde_json::{Map, Value};

use crate::mcp::fault::{ECHO, Fault, clip};
use crate::mcp::message::{Ask, CallOptions, TIMEOUT};
use crate::mcp::rpc;

type Params = Map<String, Value>;

/// A served request method and the reader of its parameters.
pub(super) type Method = (&'static str, fn(Params) -> Result<Ask, Fault>);

pub(super) const INITIALIZE: Method = ("initialize", initialize);
pub(super) const DISCOVER: Method = ("server/discover", |_| Ok(Ask::Discover));
pub(super) const PING: Method = ("ping", |_| Ok(Ask::Ping));
pub(super) const LIST_TOOLS: Method = ("tools/list", list_tools);
pub(super) const CALL_TOOL: Method = ("tools/call", call_tool);
pub(super) const LISTEN: Method = ("subscriptions/listen", listen);

/// Finds the method among those served and reads its parameters; those in `more` are read by who serves them.
pub(super) fn read(
    methods: &[Method],
    more: &[&'static str],
    method: &str,
    params: Params,
) -> Result<Ask, Fault> {
    if let Some((_, reader)) = methods.iter().find(|(name, _)| *name == method) {
        return reader(params);
    }
    match more.iter().find(|name| **name == method) {
        Some(method) => Ok(Ask::Other { method, params }),
        None => Err(Fault::MethodNotFound(clip(method, ECHO).to_owned())),
    }
}

fn initialize(mut params: Params) -> Result<Ask, Fault> {
    match params.remove("protocolVersion") {
        Some(Value::String(requested)) => {
            let capabilities = params.remove("capabilities").unwrap_or_default();
            Ok(Ask::Initialize { requested, capabilities })
        }
        Some(_) => Err(invalid("protocolVersion must be a string")),
        None => Err(invalid("protocolVersion is missing")),
    }
}

/// The listing is one page, so a cursor can only be invented or stale.
fn list_tools(params: Params) -> Result<Ask, Fault> {
    match params.get("cursor") {
        None => Ok(Ask::ListTools { cursor: None }),
        Some(_) => Err(invalid("cursor was not issued by this server; ask without one")),
    }
}

fn call_tool(mut params: Params) -> Result<Ask, Fault> {
    let name = match params.remove("name") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(invalid("name must be a string")),
        None => return Err(invalid("name is missing; it must be a tool's name")),
    };
    let arguments = match params.remove("arguments") {
        None => Value::Object(Map::new()),
        Some(arguments @ Value::Object(_)) => arguments,
        Some(_) => return Err(invalid("arguments must be an object; leave it out if there are none")),
    };
    let meta = match params.remove("_meta") {
        None => Map::new(),
        Some(Value::Object(meta)) => meta,
        Some(_) => return Err(invalid("_meta must be an object")),
    };
    Ok(Ask::CallTool { name, arguments, options: options(meta, params)? })
}

fn options(mut meta: Params, more: Params) -> Result<CallOptions, Fault> {
    let progress_token = match meta.remove("progressToken") {
        None => None,
        Some(Value::Number(number)) if number.is_f64() => {
            return Err(invalid("_meta.progressToken must be a whole number or a string"));
        }
        Some(token @ (Value::String(_) | Value::Number(_))) => Some(token),
        Some(_) => return Err(invalid("_meta.progressToken must be a whole number or a string")),
    };
    let timeout_ms = match meta.remove(TIMEOUT) {
        None => None,
        Some(value) => match value.as_u64().filter(|milliseconds| *milliseconds > 0) {
            Some(milliseconds) => Some(milliseconds),
            None => {
                return Err(invalid(&format!("_meta[{TIMEOUT:?}] must be a whole number of milliseconds")));
            }
        },
    };
    Ok(CallOptions { progress_token, timeout_ms, meta, more })
}

fn listen(mut params: Params) -> Result<Ask, Fault> {
    match params.remove("notifications") {
        Some(Value::Object(wanted)) => Ok(Ask::Listen { wanted }),
        Some(_) => Err(invalid("notifications must be an object")),
        None => Err(invalid("notifications is missing; it must name the changes to hear of")),
    }
}

/// Reads a notification; one that means nothing here is taken all the same.
pub(super) fn notice(method: &str, params: &Params) -> Ask {
    match method {
        "notifications/cancelled" => match rpc::named_id(params.get("requestId")) {
            Some(request) => Ask::Cancel { request },
            None => Ask::Notice,
        },
        _ => Ask::Notice,
    }
}

fn invalid(text: &str) -> Fault {
    Fault::InvalidParams(text.to_owned())
}
