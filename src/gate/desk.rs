//! Where the messages of a caller who was let in are answered, whatever carried them there.
//!
//! Knows neither how the caller was found out nor the transport: it is handed a [`Visitor`] and a
//! body, and gives back what is to be said.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::catalogue::Catalogue;
use super::credential::Credentials;
use super::elsewhere::{Elsewhere, Word};
use super::extra::{Extra, Line, Visit};
use super::limits::{Limits, LimitsConfig};
use super::progress::{self, Listener, Stage};
use super::session::{Agreed, Session, Sessions, SessionsConfig};
use super::stream::Stream;
use super::trail::{Origin, Trail, Unrecorded};
use super::watch::{Topic, Watches};
use super::{Refusal, Visitor, call, message};
use crate::audit::{Audit, Rules};
use crate::clock::Clock;
use crate::mcp::fault::Fault;
use crate::mcp::message::{Ask, CallOptions, Reply, Welcome};
use crate::mcp::revision::{Decoded, Era, Headers, REVISIONS, Rejected, Revision};
use crate::mcp::rpc::Id;
use crate::metrics::Metrics;
use crate::policy::Lacking;
use crate::psa::Psa;
use crate::tool::table::ToolTable;
use crate::trace::Tracer;

/// What a [`Desk`] is made of.
pub struct DeskParts {
    /// Whose it is.
    pub tenant: String,
    /// What can be called.
    pub catalogue: Arc<Catalogue>,
    /// The tools that are offered.
    pub tools: ToolTable,
    /// What a client is told about this server when it connects.
    pub instructions: &'static str,
    /// Each agent's key.
    pub credentials: Arc<Credentials>,
    /// Where calls go.
    pub psa: Arc<dyn Psa>,
    /// Where they are recorded.
    pub audit: Audit,
    /// Who is told of spans.
    pub tracer: Tracer,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// What is offered beyond the tools.
    pub extra: Option<Arc<dyn Extra>>,
}

/// What may be told anew while it works.
#[derive(Clone)]
pub struct DeskTerms {
    /// The longest a whole call may take.
    pub call_timeout: Duration,
    /// About the largest result of a tool, in bytes.
    pub max_result: usize,
    /// How often is too often.
    pub limits: LimitsConfig,
    /// How sessions are kept.
    pub sessions: SessionsConfig,
    /// What the record does not show.
    pub rules: Arc<Rules>,
}

/// The desk.
pub struct Desk {
    pub(super) parts: DeskParts,
    call_timeout: ArcSwap<Duration>,
    max_result: AtomicUsize,
    rules: ArcSwap<Rules>,
    pub(super) limits: Limits,
    pub(super) sessions: Sessions,
    pub(super) watches: Arc<Watches>,
    /// One a revision.
    listings: Vec<(&'static Revision, Arc<RawValue>)>,
    pub(super) elsewhere: Elsewhere,
    pub(super) cut: CancellationToken,
}

/// Why a message gets no reply of its own.
pub(super) enum Stop {
    Fault(Fault),
    Refusal(Refusal),
    Lacking(Lacking),
}

/// One request to be worked on.
pub(super) struct Job {
    pub visitor: Visitor,
    pub revision: &'static Revision,
    pub id: Id,
    pub ask: Ask,
    pub session: Option<Arc<Session>>,
    /// Where something may be said before the answer.
    pub stream: Option<Arc<Stream>>,
    /// Tripped when nobody wants the answer any more.
    pub gone: CancellationToken,
    pub started: Instant,
    pub trail: Box<Trail>,
}

/// What became of it.
pub(super) enum Done {
    Answer {
        status: u16,
        body: Vec<u8>,
        /// The id of a session that began.
        session: Option<String>,
    },
    /// Nobody wants an answer any more.
    Silent,
    /// `late` says the same where the answer has begun already.
    Refused { refusal: Refusal, late: Vec<u8> },
}

impl Done {
    /// Whether it is an answer that may as well be streamed.
    pub(super) fn is_good(&self) -> bool {
        matches!(self, Self::Answer { status: 200, .. })
    }

    /// The answer as a message, for a line that has no statuses.
    pub(super) fn message(self) -> Option<Vec<u8>> {
        match self {
            Self::Answer { body, .. } => Some(body),
            Self::Refused { late, .. } => Some(late),
            Self::Silent => None,
        }
    }
}

impl Desk {
    /// Puts the parts together.
    pub fn new(parts: DeskParts, terms: DeskTerms) -> Arc<Self> {
        let mut tools = parts.tools.listing().clone();
        if let (Some(extra), Some(tools)) = (&parts.extra, tools.as_array_mut()) {
            tools.extend(extra.tools());
        }
        let raw = |revision: &'static Revision| {
            let listing = to_raw_value(&revision.listing(&tools));
            (revision, Arc::from(listing.expect("what is a JSON value can be written as JSON")))
        };
        Arc::new(Self {
            listings: REVISIONS.iter().copied().map(raw).collect(),
            call_timeout: ArcSwap::from_pointee(terms.call_timeout),
            max_result: AtomicUsize::new(terms.max_result),
            rules: ArcSwap::from(terms.rules),
            limits: Limits::new(terms.limits),
            sessions: Sessions::new(terms.sessions),
            watches: Arc::default(),
            elsewhere: Elsewhere::default(),
            cut: CancellationToken::new(),
            parts,
        })
    }

    /// From the next request on, `terms` hold.
    pub fn adopt(&self, terms: DeskTerms) {
        self.limits.adopt(terms.limits);
        self.sessions.adopt(terms.sessions);
        self.call_timeout.store(Arc::new(terms.call_timeout));
        self.max_result.store(terms.max_result, Ordering::Relaxed);
        self.rules.store(terms.rules);
    }

    /// About the largest result of a tool, in bytes.
    pub(super) fn max_result(&self) -> usize {
        self.max_result.load(Ordering::Relaxed)
    }

    /// The longest that a call of `visitor` may take.
    pub(super) fn patience(&self, visitor: &Visitor) -> Duration {
        let own = visitor.policies.timeouts.get(visitor.caller.agent_id()).copied();
        let server = **self.call_timeout.load();
        own.map_or(server, |own| own.min(server))
    }

    /// Works on one request to its end.
    pub(super) async fn work(self: Arc<Self>, job: Job) -> Done {
        let Job { visitor, revision, id, ask, session, stream, gone, started, mut trail } = job;
        let _running = session.as_ref().map(|session| session.run(&id, gone.clone()));
        let stage = Stage::default();
        let listener = match (&ask, &stream) {
            (Ask::CallTool { options, .. }, Some(stream)) => options
                .progress_token
                .clone()
                .map(|token| Listener { stream: stream.clone(), revision, token }),
            _ => None,
        };
        let errand = call::Errand { visitor: &visitor, gone: &gone, started, stage: &stage };
        let line =
            Line { revision, session: session.as_ref(), stream: stream.as_ref(), watches: &self.watches };
        let reply = self.reply(ask, &errand, &line, &mut trail);
        let done = progress::alongside(listener.as_ref(), &stage, pin!(reply)).await;
        let unwanted = gone.is_cancelled();
        let done = match done {
            Ok((reply, outcome)) => {
                let body = revision.encode(&id, &reply);
                match trail.settle(outcome, body.len()).await {
                    Ok(()) => Done::Answer { status: 200, body, session: None },
                    Err(Unrecorded) => {
                        let refusal = Refusal::Unrecorded;
                        let late = revision.encode_refusal(&id, &refusal.message());
                        Done::Refused { refusal, late }
                    }
                }
            }
            Err(Stop::Fault(fault)) => {
                trail.fault(&fault);
                let (status, body) = revision.encode_fault(Some(&id), &fault);
                trail.close("fault", body.len());
                Done::Answer { status, body, session: None }
            }
            Err(Stop::Refusal(refusal)) => {
                trail.refuse(refusal.code());
                let late = revision.encode_refusal(&id, &refusal.message());
                Done::Refused { refusal, late }
            }
            Err(Stop::Lacking(lacking)) => {
                let refusal = Refusal::lacking(&lacking, &visitor.resource);
                self.parts.metrics.refuse(refusal.code());
                trail.lacking(refusal.code());
                let late = revision.encode_refusal(&id, &refusal.message());
                Done::Refused { refusal, late }
            }
        };
        if unwanted { Done::Silent } else { done }
    }

    async fn reply(
        &self,
        ask: Ask,
        errand: &call::Errand<'_>,
        line: &Line<'_>,
        trail: &mut Trail,
    ) -> Result<(Reply, &'static str), Stop> {
        trail.allowed();
        Ok(match ask {
            Ask::Initialize { .. } => (Reply::Initialized(self.welcome(Era::Legacy)), "ok"),
            Ask::Discover => (Reply::Discovered(self.welcome(Era::Modern)), "ok"),
            Ask::ListTools { .. } => (Reply::Tools(self.listing(line.revision)), "ok"),
            Ask::CallTool { name, arguments, options } => {
                trail.calls(self.parts.tools.get(&name).is_some());
                let _counted = self.limits.call(errand.visitor.caller.agent_id()).map_err(Stop::Refusal)?;
                if let Some(answer) = self.extra_call(&name, &arguments, &options, errand, line).await {
                    return answer.map(|result| (Reply::Other(result), "ok")).map_err(Stop::Fault);
                }
                let (result, outcome) = self.call(&name, &arguments, &options, errand, trail).await?;
                trail.result(&result.text);
                (message::reply(result), outcome)
            }
            Ask::Other { method, params } => {
                let result = self.extra_ask(method, params, errand, line).await.map_err(Stop::Fault)?;
                (Reply::Other(result), "ok")
            }
            // What needs no more than an acknowledgement.
            Ask::Ping | Ask::Listen { .. } | Ask::Cancel { .. } | Ask::Answer { .. } | Ask::Notice => {
                (Reply::Pong, "ok")
            }
        })
    }

    /// Whether something may be said before the answer.
    pub(super) fn talks(&self, ask: &Ask) -> bool {
        match ask {
            Ask::CallTool { options, .. } => options.progress_token.is_some() || self.parts.extra.is_some(),
            _ => false,
        }
    }

    /// What decides about the revision and the methods of a message.
    pub(super) fn headers<'a>(&self, headers: &Headers<'a>, session: Option<&Arc<Session>>) -> Headers<'a> {
        Headers {
            session: session.and_then(|session| session.revision()),
            more: self.parts.extra.as_ref().map(|extra| extra.methods()),
            ..*headers
        }
    }

    pub(super) fn welcome(&self, era: Era) -> Welcome {
        let capabilities = self.parts.extra.as_ref().map(|extra| extra.capabilities(era));
        Welcome { instructions: self.parts.instructions, capabilities }
    }

    async fn extra_call(
        &self,
        name: &str,
        arguments: &Value,
        options: &CallOptions,
        errand: &call::Errand<'_>,
        line: &Line<'_>,
    ) -> Option<Result<Map<String, Value>, Fault>> {
        let extra = self.parts.extra.as_ref()?;
        let handshake = line.session.and_then(|session| session.agreed());
        let visit = visit(errand, line, handshake.as_ref(), &options.meta, &options.more);
        let visit = Visit { progress_token: options.progress_token.as_ref(), ..visit };
        extra.call(name, arguments, &visit).await
    }

    async fn extra_ask(
        &self,
        method: &'static str,
        params: Map<String, Value>,
        errand: &call::Errand<'_>,
        line: &Line<'_>,
    ) -> Result<Map<String, Value>, Fault> {
        let Some(extra) = &self.parts.extra else { return Err(Fault::MethodNotFound(method.to_owned())) };
        let handshake = line.session.and_then(|session| session.agreed());
        let none = Map::new();
        let meta = params.get("_meta").and_then(Value::as_object).unwrap_or(&none);
        extra.ask(method, &params, &visit(errand, line, handshake.as_ref(), meta, &params)).await
    }

    fn listing(&self, revision: &'static Revision) -> Arc<RawValue> {
        let found = self.listings.iter().find(|(of, _)| *of == revision);
        found.map(|(_, listing)| listing.clone()).expect("there is one for each revision")
    }

    /// Says first of all what will be told on a stream of changes.
    pub(super) fn agree(
        &self,
        revision: &'static Revision,
        id: &Id,
        wanted: &Map<String, Value>,
        stream: &Stream,
    ) -> Topic {
        let agreed = self.parts.extra.as_ref().map(|extra| extra.agrees(wanted)).unwrap_or_default();
        let params = json!({ "notifications": agreed, "_meta": revision.of_stream(id) });
        stream.say(revision.notification("notifications/subscriptions/acknowledged", &params));
        Topic { revision, agreed: Some((id.clone(), agreed)) }
    }

    /// Ends everything that is open of agents for whom `gone` says so.
    pub fn turn_out(&self, gone: impl Fn(&str) -> bool) {
        self.sessions.end_of(&gone);
        self.watches.end_of(&gone);
    }

    /// Takes a message that wants no answer.
    pub(super) fn notice(&self, session: Option<&Arc<Session>>, ask: Ask) {
        let Some(session) = session else { return };
        match ask {
            Ask::Cancel { request } if !session.cancel(&request) => {
                self.elsewhere.say(Word::Cancelled { session: session.id, request });
            }
            Ask::Answer { id, outcome } => session.questions.answer(id, outcome),
            _ => {}
        }
    }

    /// Takes what another process says of a session.
    pub(super) fn overhear(&self, word: &Word) {
        match word {
            Word::Ended { session } => self.sessions.end_by_id(*session),
            Word::Cancelled { session, request } => self.sessions.cancel(*session, request),
        }
    }

    /// The open record of a request of `visitor`'s.
    pub(super) fn trail(&self, visitor: &Visitor, origin: Origin) -> Box<Trail> {
        let mut trail = self.begin(None, origin);
        trail.caller(&visitor.caller);
        trail
    }

    /// The open record of a request of whomever, which may have a name already.
    pub(super) fn begin(&self, request_id: Option<String>, origin: Origin) -> Box<Trail> {
        Trail::begin(&self.parts, self.rules.load_full(), request_id, origin)
    }
}

/// Puts a message that cannot be served on record, and says its answer.
pub(super) fn turned_down(rejected: &Rejected, mut trail: Box<Trail>, bytes: usize) -> (u16, Vec<u8>) {
    trail.rejected(rejected, bytes);
    let (status, body) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
    trail.close("fault", body.len());
    (status, body)
}

/// The handshake named the client once: later messages of the session are its too.
pub(super) fn introduced(decoded: &mut Decoded, session: Option<&Arc<Session>>) {
    if decoded.client.name.is_none()
        && let Some(agreed) = session.and_then(|session| session.agreed())
    {
        decoded.client = agreed.client;
    }
}

/// A request as those see it who serve more than the tools.
fn visit<'a>(
    errand: &'a call::Errand<'_>,
    line: &'a Line<'_>,
    handshake: Option<&'a Agreed>,
    meta: &'a Map<String, Value>,
    params: &'a Map<String, Value>,
) -> Visit<'a> {
    const NONE: &Value = &Value::Null;
    let own = meta.get("io.modelcontextprotocol/clientCapabilities");
    Visit {
        modern: line.revision.era == Era::Modern,
        agent: errand.visitor.caller.agent_id(),
        capabilities: own.or(handshake.map(|agreed| &agreed.capabilities)).unwrap_or(NONE),
        progress_token: None,
        log_level: meta.get("io.modelcontextprotocol/logLevel").and_then(Value::as_str),
        input_responses: params.get("inputResponses").and_then(Value::as_object),
        request_state: params.get("requestState").and_then(Value::as_str),
        session: line.session.map(|session| session.name.as_str()),
        talk: line,
    }
}
