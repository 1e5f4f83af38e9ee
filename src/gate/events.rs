//! HTTP+SSE, for clients that know nothing newer: an event stream, and beside it an address for its messages.
//!
//! The address is sealed and good for one stream only. Whoever sends a message shows a token as everywhere, or, where
//! the operator allows it, the address alone stands for the token that the stream was opened with; either way the
//! agent is looked at anew with each message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::authenticate::Admitted;
use super::desk::Desk;
use super::doorway::MESSAGES;
use super::line::Line;
use super::trail::Trail;
use super::watch::Topic;
use super::{Admission, Bearer, Gate, Head, Outgoing, Refusal};
use crate::mcp::revision::{Era, newest};
use crate::units::Span;

/// The `[sse]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SseConfig {
    /// Whether HTTP+SSE is served at all.
    pub enabled: bool,
    /// The path of the event stream; its messages go to `messages` below it.
    pub path: String,
    /// Further paths of event streams, each a resource of its own.
    pub aliases: Vec<String>,
    /// Messages without a token are taken under the one that the stream was opened with.
    pub stream_is_proof: bool,
    /// How long a stream lasts at most.
    pub lifetime: Span,
}

impl Default for SseConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "/api/mcp/sse".to_owned(),
            aliases: Vec::new(),
            stream_is_proof: false,
            lifetime: Span::seconds(3600),
        }
    }
}

impl SseConfig {
    /// What is wrong within the section, as (key, message); its paths are judged together with the others.
    pub fn problems(&self) -> Vec<(String, String)> {
        let none = self.lifetime.0.is_zero();
        none.then(|| ("lifetime".to_owned(), "must be more than nothing".to_owned())).into_iter().collect()
    }

    /// The paths of the event streams, where there are any.
    pub fn paths(&self) -> Vec<String> {
        let all = std::iter::once(&self.path).chain(&self.aliases);
        all.filter(|_| self.enabled).cloned().collect()
    }
}

/// How event streams are kept.
#[derive(Clone, Copy, Debug)]
pub struct SseTerms {
    /// See [`SseConfig::stream_is_proof`].
    pub stream_is_proof: bool,
    /// See [`SseConfig::lifetime`].
    pub lifetime: Duration,
}

impl From<&SseConfig> for SseTerms {
    fn from(config: &SseConfig) -> Self {
        Self { stream_is_proof: config.stream_is_proof, lifetime: config.lifetime.0 }
    }
}

/// What a sealed address says.
#[derive(Serialize, Deserialize)]
struct Address {
    #[serde(rename = "l")]
    line: Uuid,
    /// Which resource the stream was opened at.
    #[serde(rename = "r")]
    resource: usize,
}

/// One open stream.
#[derive(Clone)]
struct Open {
    line: Arc<Line>,
    resource: usize,
    /// By what it was opened.
    admitted: Admitted,
}

/// The open streams of this process.
#[derive(Default)]
pub(super) struct Lines(Mutex<HashMap<Uuid, Open>>);

/// Ends the line when its client leaves.
struct Closing {
    lines: Arc<Lines>,
    line: Arc<Line>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.lines.0.lock().remove(&self.line.id());
        // Leaving is no way to cancel here: what is being worked on is done, and nobody is told.
        self.line.mute();
    }
}

impl Lines {
    fn find(&self, desk: &Desk, sealed: Option<&str>, resource: usize) -> Option<Open> {
        let plain = desk.sessions.open_message_address(sealed?)?;
        let address: Address = serde_json::from_slice(&plain).ok()?;
        let open = self.0.lock().get(&address.line).cloned()?;
        (open.resource == resource && address.resource == resource).then_some(open)
    }
}

impl Gate {
    /// Opens an event stream.
    pub(super) fn open_events(&self, admission: Admission) -> Outgoing {
        let Admission { admitted, head, mut trail, .. } = admission;
        let terms = *self.sse.load_full();
        let resource = self.doorway.load().resource(head.approach());
        let visitor = admitted.visitor(resource.clone());
        let (line, reader) = Line::open(visitor.caller.agent_id(), head.client_address);
        trail.asks(newest(Era::Legacy), "stream");
        let address = Address { line: line.id(), resource: head.endpoint.resource };
        let plain = serde_json::to_vec(&address).expect("ids and numbers can be written as JSON");
        let sealed = self.desk.sessions.seal_message_address(&plain);
        let messages = format!("{}{MESSAGES}?stream={sealed}", resource.identifier());
        let open = Open { line: line.clone(), resource: head.endpoint.resource, admitted };
        self.lines.0.lock().insert(line.id(), open);
        let reader = reader.holding(Box::new(Closing { lines: self.lines.clone(), line: line.clone() }));
        let topic = Topic { revision: newest(Era::Legacy), agreed: None };
        match self.desk.stay(&visitor, line.out(), reader, topic, trail) {
            Outgoing::Stream(stream) => Outgoing::Opened { messages, stream: stream.at_most(terms.lifetime) },
            other => other,
        }
    }

    /// Who sends a message without a token, where the address it is sent to may stand for one: never for the
    /// client's certificate.
    pub(super) fn proven(&self, head: &Head) -> Option<Admitted> {
        if !self.sse.load().stream_is_proof || !matches!(head.bearer, Bearer::Missing) {
            return None;
        }
        let open = self.lines.find(&self.desk, head.stream.as_deref(), head.endpoint.resource)?;
        open.admitted.showed(head.client_certificate).then_some(open.admitted)
    }

    /// Takes a message for an open stream; its answer comes there.
    pub(super) fn post_message(
        &self,
        admitted: &Admitted,
        stream: Option<&str>,
        resource: (usize, Arc<crate::identity::metadata::Resource>),
        body: &[u8],
        trail: Box<Trail>,
        hold: Arc<dyn Send + Sync>,
    ) -> Outgoing {
        let visitor = admitted.visitor(resource.1);
        let refuse = |trail: Box<Trail>, refusal: Refusal| {
            trail.refuse(refusal.code());
            Outgoing::Refused(refusal)
        };
        let found = self.lines.find(&self.desk, stream, resource.0);
        let own = found.filter(|open| open.line.agent() == visitor.caller.agent_id());
        let Some(Open { line, .. }) = own else { return refuse(trail, Refusal::NoSession) };
        if !line.has_room() {
            return refuse(trail, Refusal::Busy);
        }
        self.desk.take_as(&line, visitor, body, trail, hold);
        Outgoing::Accepted
    }
}
