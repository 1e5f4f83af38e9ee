//! A protocol revision is a record; the revisions are a table, newest first. [`decode`] finds the row a message
//! belongs to and reads it; the row writes the answer.
//!
//! To add a revision: one file beside the others that states what it changes, and one row in [`REVISIONS`].
//! No other room may name a revision. Knows nothing of HTTP but header texts and status numbers.

mod ask;
mod header;
mod legacy;
mod modern;
mod outcome;
mod outgoing;
mod v2024_11_05;
mod v2025_03_26;
mod v2025_06_18;
mod v2025_11_25;
mod v2026_07_28;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

use self::ask::Method;
use self::outcome::Outcome;
pub use self::outgoing::mirrored;
use super::fault::Fault;
use super::message::{Ask, ClientInfo, Reply, Traced, known_request};
use super::rpc::{self, Id, MAX_BATCH, Message};

/// The name this server gives itself; its version is the crate's.
pub const SERVER_NAME: &str = "sidegate";

/// The protocol headers of one POST, looked up case-insensitively by the caller; white space around a value does not
/// matter (RFC 9110 section 5.5).
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `MCP-Protocol-Version`
    pub protocol_version: Option<&'a str>,
    /// `Mcp-Method`
    pub method: Option<&'a str>,
    /// `Mcp-Name`
    pub name: Option<&'a str>,
    /// What was agreed on in the handshake of the session that the request belongs to.
    pub session: Option<&'static Revision>,
    /// The transport has no headers, so none can be missing.
    pub bare: bool,
    /// Request methods that are served beyond those of the revisions, by era.
    pub more: Option<fn(Era) -> &'static [&'static str]>,
}

/// What a client's leaving means for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Leaving is how a client cancels.
    Cancel,
    /// Leaving means nothing; the work goes on.
    Detach,
}

/// The two ways to agree on a revision; the terms are the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// A handshake, then a header that names its result.
    Legacy,
    /// Each request carries its own metadata and depends on no other.
    Modern,
}

/// How an error is written that answers no readable id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nameless {
    /// `"id": null` (JSON-RPC 2.0 section 5).
    Null,
    /// No member at all: the revision's schema allows an id to be absent, and forbids null.
    Omitted,
}

/// One revision of the protocol: a row.
pub struct Revision {
    pub name: &'static str,
    pub era: Era,
    pub on_disconnect: OnDisconnect,
    /// Whether what was lost of a stream can be asked for again.
    pub replays: bool,
    /// Whether a stream that can be resumed says its place before anything else.
    pub primes: bool,
    /// What a legacy request without a header and a session is taken for.
    assumed: bool,
    /// Whether a body may hold several messages.
    batches: bool,
    /// Whether results have a structured form.
    structured: bool,
    /// Whether things have titles beside their names.
    titles: bool,
    /// What is listed of a tool.
    tool_members: &'static [&'static str],
    /// The requests that are served.
    methods: &'static [Method],
    /// Request methods whose named parameter is mirrored in `Mcp-Name`.
    mirrored: &'static [(&'static str, &'static str)],
    nameless: Nameless,
    /// The HTTP status of an error that answers a request.
    status: fn(&Fault) -> u16,
    /// A reply as this revision's result; `None` where the revision has no such reply.
    outcome: for<'a> fn(&Revision, &'a Reply) -> Option<Outcome<'a>>,
    /// A result that came whole, with what this revision's results say beside.
    whole: fn(Map<String, Value>) -> Map<String, Value>,
}

/// Every revision served, newest first.
pub static REVISIONS: &[&Revision] = &[
    &v2026_07_28::REVISION,
    &v2025_11_25::REVISION,
    &v2025_06_18::REVISION,
    &v2025_03_26::REVISION,
    &v2024_11_05::REVISION,
];

/// One body that was read.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Posted {
    One(Decoded),
    /// The messages of a batch in their order, each for itself.
    Batch(Vec<Result<Decoded, Box<Rejected>>>),
}

/// A message that was understood.
#[derive(Debug)]
pub struct Decoded {
    /// For a handshake: the revision that was agreed on.
    pub revision: &'static Revision,
    /// `None`: a notification or a response, answered with 202 and no body.
    pub id: Option<Id>,
    pub ask: Ask,
    pub client: ClientInfo,
    pub traced: Traced,
}

/// A message that was not; `revision` writes the answer.
#[derive(Debug)]
pub struct Rejected {
    pub revision: &'static Revision,
    pub id: Option<Id>,
    /// Only a method name that the protocol defines: safe as a label.
    pub method: Option<String>,
    pub fault: Fault,
}

/// What an era's front end finds out about a message before its parameters are read.
type Admitted = Result<(&'static Revision, ClientInfo), (&'static Revision, Fault)>;

/// Reads one body. The body's claim decides the era, before the method and before the header: a request that
/// carries its own metadata is modern whatever it asks for, and a header that names a modern revision never lets a
/// request without that metadata pass as a legacy one.
pub fn decode(headers: &Headers<'_>, body: &[u8]) -> Result<Posted, Box<Rejected>> {
    let headers = headers.trimmed();
    match rpc::read(body) {
        Ok(Message::Batch(elements)) => batch(&headers, &elements),
        Ok(message) => one(&headers, message).map(Posted::One),
        Err(malformed) => Err(reject(by_header(&headers), malformed.id, None, malformed.fault)),
    }
}

/// Several messages at once, where the revision has that. What a batch holds is of the batch's revision.
fn batch(headers: &Headers<'_>, elements: &[String]) -> Result<Posted, Box<Rejected>> {
    let refuse =
        |revision, text: &str| Err(reject(revision, None, None, Fault::InvalidRequest(text.to_owned())));
    let revision = match legacy::admit(headers, "", &Map::new()) {
        Ok((revision, _)) if revision.batches => revision,
        Ok(_) | Err(_) => return refuse(by_header(headers), "send one message a body, not an array"),
    };
    if elements.is_empty() {
        return refuse(revision, "the batch is empty");
    }
    if elements.len() > MAX_BATCH {
        return refuse(revision, &format!("a batch has at most {MAX_BATCH} messages"));
    }
    let read = |text: &String| {
        let message =
            rpc::element(text).map_err(|malformed| reject(revision, malformed.id, None, malformed.fault))?;
        match &message {
            Message::Request { id, method, .. } if method == "initialize" => {
                let fault = Fault::InvalidRequest("initialize cannot be part of a batch".to_owned());
                Err(reject(revision, Some(id.clone()), known_request(method), fault))
            }
            Message::Request { params, .. } | Message::Notification { params, .. }
                if modern::claims(params) =>
            {
                Err(reject(revision, None, None, Fault::InvalidRequest("no batch in this revision".into())))
            }
            _ => one(headers, message),
        }
    };
    Ok(Posted::Batch(elements.iter().map(read).collect()))
}

fn one(headers: &Headers<'_>, message: Message) -> Result<Decoded, Box<Rejected>> {
    let (id, method, params) = match message {
        Message::Request { id, method, params } => (Some(id), method, params),
        Message::Notification { method, params } => (None, method, params),
        Message::Response { id, outcome } => return response(headers, Ask::Answer { id, outcome }),
        Message::Batch(_) => {
            let fault = Fault::InvalidRequest("a batch cannot hold another".into());
            return Err(reject(by_header(headers), None, None, fault));
        }
    };
    let (known, traced) = (known_request(&method), Traced::read(&params));
    let admitted = if modern::claims(&params) || headers.era() == Some(Era::Modern) {
        modern::admit(headers, id.is_some(), &method, &params)
    } else {
        legacy::admit(headers, &method, &params)
    };
    let (revision, client) = match admitted {
        Ok(admitted) => admitted,
        Err((revision, fault)) => return Err(reject(revision, id, known, fault)),
    };
    if id.is_none() {
        return match known {
            Some(name) => {
                let fault = Fault::InvalidRequest(format!("{name} is a request and needs an id"));
                Err(reject(revision, None, known, fault))
            }
            None => Ok(Decoded { revision, id, ask: ask::notice(&method, &params), client, traced }),
        };
    }
    let more = headers.more.map_or(&[][..], |more| more(revision.era));
    match ask::read(revision.methods, more, &method, params) {
        Ok(ask) => {
            let revision = match &ask {
                Ask::Initialize { requested, .. } => legacy::negotiate(requested),
                _ => revision,
            };
            Ok(Decoded { revision, id, ask, client, traced })
        }
        Err(fault) => Err(reject(revision, id, known, fault)),
    }
}

/// Only the legacy era lets an answer to a question of the server's be posted.
fn response(headers: &Headers<'_>, answer: Ask) -> Result<Decoded, Box<Rejected>> {
    if headers.era() == Some(Era::Modern) {
        let fault = Fault::InvalidRequest("responses cannot be posted in this revision".into());
        return Err(reject(by_header(headers), None, None, fault));
    }
    match legacy::admit(headers, "", &Map::new()) {
        Ok((revision, client)) => {
            Ok(Decoded { revision, id: None, ask: answer, client, traced: Traced::default() })
        }
        Err((revision, fault)) => Err(reject(revision, None, None, fault)),
    }
}

fn reject(
    revision: &'static Revision,
    id: Option<Id>,
    method: Option<&'static str>,
    fault: Fault,
) -> Box<Rejected> {
    Box::new(Rejected { revision, id, method: method.map(str::to_owned), fault })
}

fn of_era(era: Era) -> impl DoubleEndedIterator<Item = &'static Revision> {
    REVISIONS.iter().copied().filter(move |revision| revision.era == era)
}

/// The newest revision of an era.
pub fn newest(era: Era) -> &'static Revision {
    of_era(era).next().expect("the table has a row of each era; a test sees to it")
}

/// What a legacy request is taken for that says nothing of it.
fn assumed() -> &'static Revision {
    REVISIONS.iter().copied().find(|revision| revision.assumed).expect("a row says so; a test sees to it")
}

/// The legacy revision of that name, for a session that remembers it.
pub fn of_session(name: &str) -> Option<&'static Revision> {
    named(Era::Legacy, name)
}

fn named(era: Era, name: &str) -> Option<&'static Revision> {
    of_era(era).find(|revision| revision.name == name)
}

/// Who answers a body that cannot be read: the revision its header names, else its session's, else the assumed one.
fn by_header(headers: &Headers<'_>) -> &'static Revision {
    let name = headers.protocol_version.unwrap_or_default();
    let named = named(Era::Modern, name).or_else(|| named(Era::Legacy, name));
    named.or(headers.session).unwrap_or_else(assumed)
}

impl Revision {
    /// Whether two messages of one body can be answered.
    pub fn has_batches(&self) -> bool {
        self.batches
    }

    /// The JSON array of tools with the members that this revision knows.
    pub fn listing(&self, tools: &Value) -> Value {
        let known = |tool: &Value| -> Value {
            let members = tool.as_object().into_iter().flatten();
            members
                .filter(|(name, _)| self.tool_members.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect::<Map<_, _>>()
                .into()
        };
        tools.as_array().into_iter().flatten().map(known).collect()
    }

    /// A notification to the client, as JSON.
    pub fn notification(&self, method: &str, params: &Value) -> Vec<u8> {
        outcome::message(None, method, params)
    }

    /// A question to the client, as JSON.
    pub fn question(&self, id: &Id, method: &str, params: &Value) -> Vec<u8> {
        outcome::message(Some(id), method, params)
    }

    /// The metadata of everything that a stream of changes carries; `stream` is the request that opened it.
    pub fn of_stream(&self, stream: &Id) -> Value {
        serde_json::json!({ "io.modelcontextprotocol/subscriptionId": stream })
    }

    /// The error of a request that was turned away after its answer had begun to stream, with words for its reason.
    pub fn encode_refusal(&self, id: &Id, reason: &str) -> Vec<u8> {
        outcome::refusal(id, reason)
    }

    /// The response to a request, as JSON. A reply this revision has no words for becomes an internal error.
    pub fn encode(&self, id: &Id, reply: &Reply) -> Vec<u8> {
        if let Reply::Other(result) = reply {
            return outcome::whole(id, &(self.whole)(result.clone()));
        }
        match (self.outcome)(self, reply) {
            Some(outcome) => outcome::response(id, &outcome),
            None => self.encode_fault(Some(id), &Fault::Internal).1,
        }
    }

    /// The HTTP status and the JSON-RPC error. Without an id the status is always an error: it may answer a
    /// notification, for which the status is the only answer there is.
    pub fn encode_fault(&self, id: Option<&Id>, fault: &Fault) -> (u16, Vec<u8>) {
        let status = (self.status)(fault);
        let status = if id.is_none() && status < 400 { 400 } else { status };
        let null = match self.nameless {
            Nameless::Null => true,
            Nameless::Omitted => false,
        };
        (status, outcome::error(id, null, fault, data(fault)))
    }
}

/// What a client may read by machine, for the faults whose remedy needs it.
fn data(fault: &Fault) -> Option<Value> {
    match fault {
        Fault::UnsupportedVersion { requested } => {
            let supported: Vec<&str> = of_era(Era::Modern).map(|revision| revision.name).collect();
            Some(serde_json::json!({ "supported": supported, "requested": requested }))
        }
        Fault::MissingCapability { required } => {
            Some(serde_json::json!({ "requiredCapabilities": required }))
        }
        Fault::UnknownResource { uri } => Some(serde_json::json!({ "uri": uri })),
        Fault::Parse(_)
        | Fault::InvalidRequest(_)
        | Fault::MethodNotFound(_)
        | Fault::InvalidParams(_)
        | Fault::InvalidEnvelope(_)
        | Fault::HeaderMismatch(_)
        | Fault::Internal => None,
    }
}

/// Two revisions are the same if they have the same name.
impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revision").field(&self.name).finish()
    }
}
