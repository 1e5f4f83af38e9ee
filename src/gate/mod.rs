//! The verbs: admit a caller, answer its message. The whole story of a request on one screen.
//!
//! Knows the words, the policy, the store's methods and the doors' traits; no HTTP status,
//! no SQL, no adapter.

pub mod admin;
mod authenticate;
mod call;
mod catalogue;
mod credential;
mod doorway;
#[cfg(feature = "conformance")]
pub mod fixtures;
mod introductions;
mod limits;
mod message;
mod refusal;
mod request;
mod roster;
mod trail;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::CancellationToken;

pub use authenticate::{Authenticator, Bearer};
pub use catalogue::{Catalogue, CatalogueParts};
pub use credential::Credentials;
pub use doorway::{Approach, DoorFault, Doorway};
pub use limits::LimitsConfig;
pub use refusal::{Limit, Refusal};
pub use request::{Head, Outgoing};
pub use roster::{MAX_STALENESS, Roster};

use crate::audit::{Audit, Phase};
use crate::clock::Clock;
use crate::mcp::fault::Fault;
use crate::mcp::message::{Ask, Reply};
use crate::mcp::revision::{self, Headers, OnDisconnect};
use crate::metrics::Metrics;
use crate::policy::Lacking;
use crate::psa::Psa;
use crate::tool::table::ToolTable;
use authenticate::{Admitted, Turned};
use introductions::Introductions;
use limits::Limits;
use trail::Trail;

/// What a client is told about this server when it connects.
const INSTRUCTIONS: &str = "This server is the governed door to a PSA (tickets, clients, contacts, assets, time, billing). \
Find an endpoint with search_api_registry, then call it with call_api_endpoint under the entryId it returned; \
find records by words with search_business_data. Calls run under this agent's own permissions and are recorded.";

/// An authenticated request whose body is still to be read.
pub struct Admission {
    admitted: Admitted,
    head: Head,
    trail: Trail,
    started: Instant,
}

impl Admission {
    /// Ends the request without an answer, on record.
    pub fn refuse(self, refusal: Refusal) -> Refusal {
        self.trail.refuse(refusal.code());
        refusal
    }
}

/// What a [`Gate`] is made of.
pub struct GateParts {
    /// Whose gate it is.
    pub tenant: String,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// What can be called.
    pub catalogue: Arc<Catalogue>,
    /// The tools that are offered.
    pub tools: ToolTable,
    /// Each agent's key.
    pub credentials: Arc<Credentials>,
    /// Where calls go.
    pub psa: Arc<dyn Psa>,
    /// Where they are recorded.
    pub audit: Audit,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

/// What a running gate may be told anew; each request is held to the terms of its moment.
pub struct Terms {
    /// Hosts, origins and the resource identifier.
    pub doorway: Doorway,
    /// The longest a whole call may take.
    pub call_timeout: Duration,
    /// How often is too often.
    pub limits: LimitsConfig,
}

/// The gate: everything between bytes in and bytes out.
pub struct Gate {
    parts: GateParts,
    terms: ArcSwap<Terms>,
    introductions: Introductions,
    limits: Limits,
    listing: Arc<RawValue>,
    cut: CancellationToken,
}

/// Why a message gets no reply of its own.
enum Stop {
    Fault(Fault),
    Refusal(Refusal),
    Lacking(Lacking),
}

impl Gate {
    /// Puts the parts together.
    pub fn new(parts: GateParts, terms: Terms) -> Self {
        let listing =
            to_raw_value(parts.tools.listing()).expect("what is a JSON value can be written as JSON");
        let listing = Arc::from(listing);
        let limits = Limits::new(terms.limits);
        let introductions = Introductions::new();
        let (terms, cut) = (ArcSwap::from_pointee(terms), CancellationToken::new());
        Self { parts, terms, introductions, limits, listing, cut }
    }

    /// From the next request on, `terms` hold.
    pub fn adopt(&self, terms: Terms) {
        self.limits.adopt(terms.limits);
        self.terms.store(Arc::new(terms));
    }

    /// Calls that are still on their way to the PSA are waited for no longer; their callers are told.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Lets a request in, or turns it away: Host and Origin, then the bearer, then the form of
    /// the request. From the bearer on it leaves a record.
    pub async fn admit(&self, head: Head) -> Result<Admission, Refusal> {
        let started = Instant::now();
        let parts = &self.parts;
        let approach = head.approach();
        self.check(&head)?;
        if !parts.audit.has_room() {
            return Err(self.turned_away(Refusal::Busy));
        }
        let mut trail = Trail::begin(&parts.audit, &parts.metrics, &parts.clock, &parts.tenant, &head);
        if let Err(refusal) = self.may_try(&head) {
            parts.metrics.refuse(refusal.code());
            trail.refuse(refusal.code());
            return Err(refusal);
        }
        let resource = self.terms.load().doorway.resource(approach);
        let authenticated =
            parts.authenticator.authenticate(&head.bearer, head.client_certificate, &resource).await;
        trail.phase(Phase::Authenticate, started);
        let admitted = match authenticated {
            Ok(admitted) => admitted,
            Err(turned) => {
                if turned.fault.is_bad_token() {
                    self.limits.failed(head.client_address);
                }
                return Err(self.turn_away(turned, trail, approach));
            }
        };
        trail.caller(&admitted.caller);
        let admission = Admission { admitted, head, trail, started };
        if !admission.head.is_post {
            return Err(admission.refuse(Refusal::Method));
        }
        if !admission.head.is_json() {
            return Err(admission.refuse(Refusal::MediaType));
        }
        Ok(admission)
    }

    /// Answers one message. `gone` is tripped when the client leaves; the revision says whether
    /// that cancels the call.
    pub async fn answer(&self, admission: Admission, body: &[u8], gone: CancellationToken) -> Outgoing {
        let Admission { admitted, head, mut trail, started } = admission;
        let headers = Headers {
            protocol_version: head.protocol_version.as_deref(),
            method: head.mcp_method.as_deref(),
            name: head.mcp_name.as_deref(),
        };
        let decoding = Instant::now();
        let decoded = revision::decode(&headers, body);
        trail.phase(Phase::Decode, decoding);
        let mut decoded = match decoded {
            Ok(decoded) => decoded,
            Err(rejected) => {
                trail.rejected(&rejected, body.len());
                let (status, body) = rejected.revision.encode_fault(rejected.id.as_ref(), &rejected.fault);
                trail.close("fault", body.len());
                return Outgoing::Answer { status, body };
            }
        };
        self.introductions.apply(&admitted.caller, &head, &mut decoded);
        trail.decoded(&decoded, body.len());
        // A body may take its time: what is done now is judged by the rows of now.
        let admitted = match self.parts.authenticator.again(admitted).await {
            Ok(admitted) => admitted,
            Err(turned) => return Outgoing::Refused(self.turn_away(turned, trail, head.approach())),
        };
        let revision = decoded.revision;
        let Some(id) = decoded.id else {
            trail.close("ok", 0);
            return Outgoing::Accepted;
        };
        let gone = match revision.on_disconnect {
            OnDisconnect::Cancel => gone,
            OnDisconnect::Detach => CancellationToken::new(),
        };
        let deadline = started + self.terms.load().call_timeout;
        let errand = call::Errand { caller: &admitted.caller, snapshot: &admitted.snapshot, gone, deadline };
        match self.reply(decoded.ask, errand, &mut trail).await {
            Ok((reply, outcome)) => {
                let body = revision.encode(&id, &reply);
                trail.close(outcome, body.len());
                Outgoing::Answer { status: 200, body }
            }
            Err(Stop::Fault(fault)) => {
                trail.fault(&fault);
                let (status, body) = revision.encode_fault(Some(&id), &fault);
                trail.close("fault", body.len());
                Outgoing::Answer { status, body }
            }
            Err(Stop::Refusal(refusal)) => {
                trail.refuse(refusal.code());
                Outgoing::Refused(refusal)
            }
            Err(Stop::Lacking(lacking)) => {
                let refusal =
                    Refusal::lacking(&lacking, &self.terms.load().doorway.resource(head.approach()));
                self.parts.metrics.refuse(refusal.code());
                trail.lacking(refusal.code());
                Outgoing::Refused(refusal)
            }
        }
    }

    async fn reply(
        &self,
        ask: Ask,
        errand: call::Errand<'_>,
        trail: &mut Trail,
    ) -> Result<(Reply, &'static str), Stop> {
        trail.allowed();
        Ok(match ask {
            Ask::Initialize { .. } => (Reply::Initialized { instructions: INSTRUCTIONS }, "ok"),
            Ask::Discover => (Reply::Discovered { instructions: INSTRUCTIONS }, "ok"),
            Ask::Ping | Ask::Notice => (Reply::Pong, "ok"),
            Ask::ListTools { .. } => (Reply::Tools(self.listing.clone()), "ok"),
            Ask::CallTool { name, arguments, .. } => {
                trail.calls(self.parts.tools.get(&name).is_some());
                let _counted = self.limits.call(errand.caller.agent_id()).map_err(Stop::Refusal)?;
                let (result, outcome) = self.call(&name, &arguments, errand, trail).await?;
                (message::reply(result), outcome)
            }
        })
    }

    /// The protected-resource metadata (RFC 9728 section 2): JSON that names the tenant's issuers
    /// and the scopes that their tokens may need.
    pub async fn metadata(&self, approach: Approach<'_>) -> Result<Vec<u8>, Refusal> {
        self.terms.load().doorway.check(approach).map_err(|fault| self.foreign(fault))?;
        let snapshot = self.parts.authenticator.snapshot().await.map_err(|_| Refusal::STORE_UNREADABLE)?;
        let issuers: Vec<_> = snapshot.trust.issuers().map(|issuer| issuer.issuer.clone()).collect();
        let document = self
            .terms
            .load()
            .doorway
            .resource(approach)
            .metadata(&issuers, snapshot.trust.scopes_supported());
        Ok(document.to_string().into_bytes())
    }

    /// The terms that hold now.
    pub fn terms(&self) -> Arc<Terms> {
        self.terms.load_full()
    }

    /// Whether a request may pass through to the PSA: it speaks to a host of ours, and none of the
    /// issuers that the tokens within it name is one of ours. Who else it is, the PSA judges.
    pub async fn pass(&self, approach: Approach<'_>, issuers: &[String]) -> Result<(), Refusal> {
        // A browser on the PSA's own pages sends an Origin, which is the PSA's affair.
        let approach = Approach { origin: None, ..approach };
        self.terms.load().doorway.check(approach).map_err(|_| Refusal::Host)?;
        if issuers.is_empty() {
            return Ok(());
        }
        let snapshot = self.parts.authenticator.snapshot().await.map_err(|_| Refusal::STORE_UNREADABLE)?;
        let bare = |issuer: &str| issuer.trim_end_matches('/').to_owned();
        let ours = |named: &String| snapshot.known_issuers.iter().any(|known| bare(known) == bare(named));
        if issuers.iter().any(ours) {
            let endpoint = self.terms.load().doorway.resource(approach).identifier().to_owned();
            return Err(Refusal::AgentToken { endpoint });
        }
        Ok(())
    }

    /// Counts a request that passed through by the PSA's answer, or one that was refused.
    pub fn passed(&self, status: Option<u16>, refused: bool) {
        self.parts.metrics.passed(status, refused);
    }

    /// Refuses foreign hosts and origins, and counts what it refuses.
    pub fn check(&self, head: &Head) -> Result<(), Refusal> {
        self.terms.load().doorway.check(head.approach()).map_err(|fault| self.foreign(fault))
    }

    /// The origin that may read the answer to this request (CORS), if it has one.
    pub fn reader<'a>(&self, head: &'a Head) -> Option<&'a str> {
        let origin = head.origin.as_deref()?;
        self.terms.load().doorway.check(head.approach()).is_ok().then_some(origin)
    }

    /// Counts a request that is refused before it is looked at.
    pub fn turned_away(&self, refusal: Refusal) -> Refusal {
        self.parts.metrics.requests.with_label_values(&["refused"]).inc();
        self.parts.metrics.limited(refusal.code());
        refusal
    }

    /// What the edge counts as well.
    pub fn counts(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Why calls cannot be answered yet, if they cannot.
    pub fn not_ready(&self) -> Option<&'static str> {
        if !self.parts.catalogue.is_loaded() {
            return Some("the PSA's catalogue has not been loaded");
        }
        if !self.parts.authenticator.is_fresh() {
            return Some("the store cannot be read");
        }
        (!self.parts.audit.has_room()).then_some("audit records cannot be written")
    }

    /// All metrics in Prometheus text format, with the gauges as of now.
    pub fn metrics(&self, ready: bool) -> String {
        self.parts.catalogue.observe();
        self.parts.credentials.observe();
        self.parts.audit.observe();
        self.parts.metrics.ready.set(i64::from(ready));
        self.parts.metrics.render()
    }

    /// Ends the request of a caller that is not let in, on record with whose token it
    /// was as far as that was verified.
    fn turn_away(&self, turned: Turned, mut trail: Trail, approach: Approach<'_>) -> Refusal {
        if let Some(holder) = &turned.holder {
            trail.stranger(holder);
        }
        self.parts.metrics.refuse(turned.fault.label());
        trail.refuse(turned.fault.label());
        let scopes = self.parts.authenticator.scopes_to_ask_for();
        Refusal::of(&turned.fault, &self.terms.load().doorway.resource(approach), &scopes)
    }

    fn foreign(&self, fault: DoorFault) -> Refusal {
        let (reason, refusal) = match fault {
            DoorFault::Host => ("host_not_allowed", Refusal::Host),
            DoorFault::Origin => ("origin_not_allowed", Refusal::Origin),
        };
        self.parts.metrics.refuse(reason);
        self.turned_away(refusal)
    }

    /// Refuses an address from which too many bad tokens came, before anything is computed. A token that
    /// was good may always be shown again: who has it is not the one who guesses from the same address.
    fn may_try(&self, head: &Head) -> Result<(), Refusal> {
        match (&head.bearer, self.limits.may_try(head.client_address)) {
            (Bearer::Token(_) | Bearer::Malformed, Err(refusal))
                if !self.parts.authenticator.was_good(&head.bearer) =>
            {
                Err(refusal)
            }
            _ => Ok(()),
        }
    }
}
