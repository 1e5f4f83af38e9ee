//! Lets requests in over HTTP and has them answered: Host and Origin, the bearer, then the message.
//!
//! Knows no HTTP status and no adapter; what an admitted caller's message means is the desk's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use super::authenticate::{Admitted, Authenticator, Bearer, Turned};
use super::desk::{Desk, DeskTerms};
use super::doorway::{Approach, DoorFault, Doorway, Kind};
use super::events::{Lines, SseTerms};
use super::post::{Post, Wire};
use super::refusal::Refusal;
use super::request::{Head, Method, Outgoing};
use super::roster::Roster;
use super::trail::{self, Origin, Trail};
use crate::audit::Phase;
use crate::mcp::revision::Headers;
use crate::metrics::Metrics;
use crate::trace::Parent;

/// An authenticated request whose body is still to be read.
pub struct Admission {
    pub(super) admitted: Admitted,
    pub(super) head: Box<Head>,
    pub(super) trail: Box<Trail>,
    pub(super) started: Instant,
}

impl Admission {
    /// Ends the request without an answer, on record.
    pub fn refuse(self, refusal: Refusal) -> Refusal {
        self.trail.refuse(refusal.code());
        refusal
    }

    /// What is to be done: only a message has a body.
    pub fn method(&self) -> Method {
        self.head.method
    }
}

/// What a running gate may be told anew; each request is held to the terms of its moment.
pub struct Terms {
    /// Hosts, origins and the resource identifier.
    pub doorway: Doorway,
    /// How messages are answered.
    pub desk: DeskTerms,
    /// How event streams of HTTP+SSE are kept.
    pub sse: SseTerms,
}

/// The gate: everything between bytes in and bytes out.
pub struct Gate {
    pub(super) desk: Arc<Desk>,
    pub(super) authenticator: Authenticator,
    pub(super) doorway: ArcSwap<Doorway>,
    pub(super) sse: ArcSwap<SseTerms>,
    pub(super) lines: Arc<Lines>,
    open: AtomicBool,
}

/// What a gate holds for its agents.
pub(super) struct Held {
    pub sessions: usize,
    pub streams: usize,
    /// Those that can be used, and those that may still be good.
    pub keys: (usize, usize),
}

impl Gate {
    /// In front of a desk, with terms of its own.
    pub fn new(desk: Arc<Desk>, authenticator: Authenticator, doorway: Doorway, sse: SseTerms) -> Self {
        Self {
            desk,
            authenticator,
            doorway: ArcSwap::from_pointee(doorway),
            sse: ArcSwap::from_pointee(sse),
            lines: Arc::default(),
            open: AtomicBool::new(true),
        }
    }

    /// From the next request on, `terms` hold.
    pub fn adopt(&self, terms: Terms) {
        self.desk.adopt(terms.desk);
        self.doorway.store(Arc::new(terms.doorway));
        self.sse.store(Arc::new(terms.sse));
    }

    /// Calls that are still on their way to the PSA are waited for no longer; their callers are told.
    pub fn cut(&self) {
        self.desk.cut.cancel();
    }

    /// Ends the sessions and streams of agents that are switched off or gone; ends when the roster does.
    pub async fn follow(self: Arc<Self>, roster: Arc<Roster>) {
        let mut changes = roster.watch();
        while changes.changed().await.is_ok() {
            let snapshot = changes.borrow_and_update().clone();
            self.desk.turn_out(|agent| !snapshot.active.contains_key(agent));
        }
    }

    /// Lets a request in, or turns it away: Host and Origin, then the bearer, then the form of
    /// the request. From the bearer on it leaves a record.
    pub async fn admit(&self, head: Box<Head>) -> Result<Admission, Refusal> {
        let started = Instant::now();
        let parts = &self.desk.parts;
        let approach = head.approach();
        self.check(&head)?;
        if !parts.audit.has_room() {
            return Err(self.turned_away(Refusal::Busy));
        }
        let origin = Origin {
            address: head.client_address,
            parent: Parent::read(head.traceparent.as_deref(), head.tracestate.as_deref()),
        };
        let mut trail = self.desk.begin(Some(head.request_id.clone()), origin);
        if let Err(refusal) = self.may_try(&head) {
            parts.metrics.refuse(refusal.code());
            trail.refuse(refusal.code());
            return Err(refusal);
        }
        let resource = self.doorway.load().resource(approach);
        let proven = (head.endpoint.kind == Kind::Messages).then(|| self.proven(&head));
        let authenticated = match proven.flatten() {
            // As it is now, not as it was when the stream was opened.
            Some(admitted) => self.authenticator.again(admitted).await,
            None => self.authenticator.authenticate(&head.bearer, head.client_certificate, &resource).await,
        };
        trail.phase(Phase::Authenticate, started);
        let admitted = match authenticated {
            Ok(admitted) => admitted,
            Err(turned) => {
                if turned.fault.is_bad_token() {
                    self.desk.limits.failed(head.client_address);
                }
                return Err(self.turn_away(turned, trail, approach));
            }
        };
        trail.caller(&admitted.caller);
        let admission = Admission { admitted, head, trail, started };
        let head = &admission.head;
        match unfit(head) {
            Some(refusal) => Err(admission.refuse(refusal)),
            None => Ok(admission),
        }
    }

    /// Answers one body, or what is asked without one.
    pub async fn answer(&self, admission: Admission, body: &[u8], wire: Wire) -> Outgoing {
        let Admission { admitted, head, trail, started } = admission;
        // A body may take its time: what is done now is judged by the rows of now.
        let admitted = match self.authenticator.again(admitted).await {
            Ok(admitted) => admitted,
            Err(turned) => return Outgoing::Refused(self.turn_away(turned, trail, head.approach())),
        };
        let resource = self.doorway.load().resource(head.approach());
        match head.endpoint.kind {
            Kind::Streamable => {}
            Kind::Registry => {
                let outgoing = self.desk.registry(&admitted.visitor(resource), head.known.as_deref());
                trail.fetched();
                return outgoing;
            }
            Kind::Events => {
                return self.open_events(Admission { admitted, head, trail, started });
            }
            Kind::Messages => {
                let resource = (head.endpoint.resource, resource);
                return self.post_message(
                    &admitted,
                    head.stream.as_deref(),
                    resource,
                    body,
                    trail,
                    wire.hold,
                );
            }
        }
        let visitor = admitted.visitor(resource);
        let session = head.session.as_deref();
        match (head.method, session) {
            (Method::Get, Some(session)) => {
                self.desk.listen(&visitor, session, head.last_event.as_deref(), trail)
            }
            (Method::Delete, Some(session)) => self.desk.leave(&visitor, session, trail),
            _ => {
                let (takes_json, takes_streams) = head.takes();
                let headers = Headers {
                    protocol_version: head.protocol_version.as_deref(),
                    method: head.mcp_method.as_deref(),
                    name: head.mcp_name.as_deref(),
                    ..Headers::default()
                };
                let post = Post { headers, session, takes_json, takes_streams, body, started };
                self.desk.answer(visitor, post, trail, wire).await
            }
        }
    }

    /// The protected-resource metadata (RFC 9728 section 2): JSON that names the tenant's issuers
    /// and the scopes that their tokens may need.
    pub async fn metadata(&self, approach: Approach<'_>) -> Result<Vec<u8>, Refusal> {
        self.doorway.load().check(approach).map_err(|fault| self.foreign(fault))?;
        let snapshot = self.authenticator.snapshot().await.map_err(|_| Refusal::STORE_UNREADABLE)?;
        let issuers: Vec<_> = snapshot.trust.issuers().map(|issuer| issuer.issuer.clone()).collect();
        let document =
            self.doorway.load().resource(approach).metadata(&issuers, snapshot.trust.scopes_supported());
        Ok(document.to_string().into_bytes())
    }

    /// A name for a request that comes now: on record, in the log, and for client and PSA.
    pub fn name(&self) -> String {
        trail::request_id(self.desk.parts.clock.now())
    }

    /// The hosts, origins and paths that are ours now.
    pub fn doorway(&self) -> Arc<Doorway> {
        self.doorway.load_full()
    }

    /// Whether a request may pass through to the PSA: it speaks to a host of ours, and none of the
    /// issuers that the tokens within it name is one of ours. Who else it is, the PSA judges.
    pub async fn pass(&self, approach: Approach<'_>, issuers: &[String]) -> Result<(), Refusal> {
        // A browser on the PSA's own pages sends an Origin, which is the PSA's affair.
        let approach = Approach { origin: None, ..approach };
        self.doorway.load().check(approach).map_err(|_| Refusal::Host)?;
        if issuers.is_empty() {
            return Ok(());
        }
        let snapshot = self.authenticator.snapshot().await.map_err(|_| Refusal::STORE_UNREADABLE)?;
        let bare = |issuer: &str| issuer.trim_end_matches('/').to_owned();
        let ours = |named: &String| snapshot.known_issuers.iter().any(|known| bare(known) == bare(named));
        if issuers.iter().any(ours) {
            let endpoint = self.doorway.load().resource(approach).identifier().to_owned();
            return Err(Refusal::AgentToken { endpoint });
        }
        Ok(())
    }

    /// Counts a request that passed through by the PSA's answer, or one that was refused.
    pub fn passed(&self, status: Option<u16>, refused: bool) {
        self.desk.parts.metrics.passed(status, refused);
    }

    /// Refuses foreign hosts and origins, and counts what it refuses.
    pub fn check(&self, head: &Head) -> Result<(), Refusal> {
        self.doorway.load().check(head.approach()).map_err(|fault| self.foreign(fault))
    }

    /// The origin that may read the answer to this request (CORS), if it has one.
    pub fn reader<'a>(&self, head: &'a Head) -> Option<&'a str> {
        let origin = head.origin.as_deref()?;
        self.doorway.load().check(head.approach()).is_ok().then_some(origin)
    }

    /// Counts a request that is refused before it is looked at.
    pub fn turned_away(&self, refusal: Refusal) -> Refusal {
        self.desk.parts.metrics.requests.with_label_values(&["refused"]).inc();
        self.desk.parts.metrics.limited(refusal.code());
        refusal
    }

    /// What the edge counts as well.
    pub fn counts(&self) -> &Arc<Metrics> {
        &self.desk.parts.metrics
    }

    /// Why calls cannot be answered yet, if they cannot.
    pub fn not_ready(&self) -> Option<&'static str> {
        if !self.desk.parts.catalogue.is_loaded() {
            return Some("the PSA's catalogue has not been loaded");
        }
        if !self.authenticator.is_fresh() {
            return Some("the store cannot be read");
        }
        (!self.desk.parts.audit.has_room()).then_some("audit records cannot be written")
    }

    /// Brings the gauges up to now that only one tenant can have: the catalogue's age and the record's.
    pub(super) fn observe(&self) {
        self.desk.parts.catalogue.observe();
        self.desk.parts.audit.observe();
    }

    /// What is held for this tenant's agents now.
    pub(super) fn held(&self) -> Held {
        Held {
            sessions: self.desk.sessions.count(),
            streams: self.desk.watches.count(),
            keys: self.desk.parts.credentials.count(),
        }
    }

    /// Whether MCP is served to this tenant at all.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// From the next request on MCP is served to this tenant, or nothing is there.
    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
        if !open {
            self.desk.turn_out(|_| true);
        }
    }

    /// Ends the request of a caller that is not let in, on record with whose token it
    /// was as far as that was verified.
    fn turn_away(&self, turned: Turned, mut trail: Box<Trail>, approach: Approach<'_>) -> Refusal {
        if let Some(holder) = &turned.holder {
            trail.stranger(holder);
        }
        self.desk.parts.metrics.refuse(turned.fault.label());
        trail.refuse(turned.fault.label());
        let scopes = self.authenticator.scopes_to_ask_for();
        Refusal::of(&turned.fault, &self.doorway.load().resource(approach), &scopes)
    }

    fn foreign(&self, fault: DoorFault) -> Refusal {
        let (reason, refusal) = match fault {
            DoorFault::Host => ("host_not_allowed", Refusal::Host),
            DoorFault::Origin => ("origin_not_allowed", Refusal::Origin),
        };
        self.desk.parts.metrics.refuse(reason);
        self.turned_away(refusal)
    }

    /// Refuses an address from which too many bad tokens came, before anything is computed. A token that
    /// was good may always be shown again: who has it is not the one who guesses from the same address.
    fn may_try(&self, head: &Head) -> Result<(), Refusal> {
        match (&head.bearer, self.desk.limits.may_try(head.client_address)) {
            (Bearer::Token(_) | Bearer::Malformed, Err(refusal))
                if !self.authenticator.was_good(&head.bearer) =>
            {
                Err(refusal)
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with the form of a request, before its body is read.
fn unfit(head: &Head) -> Option<Refusal> {
    match (head.endpoint.kind, head.method) {
        // What is asked without a message is asked of a session.
        (Kind::Streamable, Method::Get | Method::Delete) if head.session.is_none() => Some(Refusal::Method),
        (Kind::Streamable | Kind::Events, Method::Get) => (!head.takes().1).then_some(Refusal::NotAcceptable),
        (Kind::Streamable, Method::Delete) | (Kind::Registry, Method::Get) => None,
        (Kind::Streamable | Kind::Messages, Method::Post) if !head.is_json() => Some(Refusal::MediaType),
        (Kind::Streamable | Kind::Messages, Method::Post) => None,
        (_, Method::Other)
        | (Kind::Events, Method::Post | Method::Delete)
        | (Kind::Messages, Method::Get | Method::Delete)
        | (Kind::Registry, Method::Post | Method::Delete) => Some(Refusal::Method),
    }
}
