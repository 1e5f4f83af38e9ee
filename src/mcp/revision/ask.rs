//! From a method's name and parameters to an [`Ask`]: the readers that the revisions list in their records.
//!
//! Knows no revision and no header.

use serde_json::{Map, Value};

use crate::mcp::fault::{ECHO, Fault, clip};
use crate::mcp::message::Ask;

type Params = Map<String, Value>;

/// A served request method and the reader of its parameters.
pub(super) type Method = (&'static str, fn(Params) -> Result<Ask, Fault>);

pub(super) const INITIALIZE: Method = ("initialize", initialize);
pub(super) const DISCOVER: Method = ("server/discover", |_| Ok(Ask::Discover));
pub(super) const PING: Method = ("ping", |_| Ok(Ask::Ping));
pub(super) const LIST_TOOLS: Method = ("tools/list", list_tools);
pub(super) const CALL_TOOL: Method = ("tools/call", call_tool);

/// Finds the method among those served and reads its parameters.
pub(super) fn read(methods: &[Method], method: &str, params: Params) -> Result<Ask, Fault> {
    match methods.iter().find(|(name, _)| *name == method) {
        Some((_, reader)) => reader(params),
        None => Err(Fault::MethodNotFound(clip(method, ECHO).to_owned())),
    }
}

fn initialize(params: Params) -> Result<Ask, Fault> {
    match params.get("protocolVersion") {
        Some(Value::String(requested)) => Ok(Ask::Initialize { requested: requested.clone() }),
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
    let progress_token = match params.remove("_meta") {
        None => None,
        Some(Value::Object(mut meta)) => match meta.remove("progressToken") {
            None => None,
            Some(Value::Number(number)) if number.is_f64() => {
                return Err(invalid("_meta.progressToken must be a whole number or a string"));
            }
            Some(token @ (Value::String(_) | Value::Number(_))) => Some(token),
            Some(_) => return Err(invalid("_meta.progressToken must be a whole number or a string")),
        },
        Some(_) => return Err(invalid("_meta must be an object")),
    };
    Ok(Ask::CallTool { name, arguments, progress_token })
}

fn invalid(text: &str) -> Fault {
    Fault::InvalidParams(text.to_owned())
}
