//! What a request leaves behind: one record and one count, whatever happens.
//!
//! Every early return goes through here too: a trail that is dropped open records `unknown`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::DeskParts;
use crate::audit::{Audit, CallerFacts, Durability, Event, EventBuilder, Phase, Rules, Verdict};
use crate::clock::Millis;
use crate::identity::trust::Caller;
use crate::mcp::fault::Fault;
use crate::mcp::message::Ask;
use crate::mcp::revision::{Decoded, Rejected, Revision};
use crate::metrics::Metrics;
use crate::policy::{Permit, RULE_REQUIRED_SCOPES};
use crate::psa::Marks;
use crate::tool::catalog::Entry;
use crate::tool::effect::Effect;
use crate::tool::rewrite::Bound;
use crate::trace::{Call, Context, Parent, Told, Tracer};

/// How long the record of an intent may take before the call is given up.
const INTENT_PATIENCE: Duration = Duration::from_secs(5);

/// The intent is not known to be on record.
pub(super) struct Unrecorded;

/// Whom a token with a good signature was made out to.
#[derive(Debug)]
pub struct Holder {
    /// `iss`.
    pub issuer: String,
    /// The issuer's subject claim, where it is fit to be one.
    pub subject: Option<String>,
    /// `jti`.
    pub token_id: Option<String>,
    /// The person it carries, by name.
    pub person: Option<Arc<str>>,
    /// The client that obtained it.
    pub client_id: Option<Arc<str>>,
}

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// Its client's address, if that is known.
    pub address: Option<IpAddr>,
    /// The trace that its transport says it is part of.
    pub parent: Option<Parent>,
}

/// The open record of one request.
pub(super) struct Trail {
    audit: Audit,
    metrics: Arc<Metrics>,
    tracer: Tracer,
    began: Millis,
    started: Instant,
    request_id: String,
    origin: Origin,
    context: Context,
    // What only a span tells; none where nothing is exported.
    spoken: Option<Box<Spoken>>,
    // None once the record is closed.
    event: Option<EventBuilder>,
    /// An intent is on record, or may be.
    intended: bool,
    sent: bool,
    /// Whether a tool is called, and if so, whether it is one of ours.
    tool: Option<bool>,
}

/// See [`Told`].
#[derive(Default)]
struct Spoken {
    tenant: String,
    revision: Option<&'static str>,
    method: Option<String>,
    /// Whose entry is called.
    bound: Option<(Arc<Entry>, &'static str)>,
    call: Option<Call>,
}

impl Trail {
    // Boxed, as is what few requests wait for: a future on a request's way has room for all that it may ever hold, and is
    // copied with it from hand to hand.
    /// Opens the record of a request that reached authentication; `request_id` is what it is called already, `rules`
    /// what its record does not show.
    pub fn begin(
        parts: &DeskParts,
        rules: Arc<Rules>,
        request_id: Option<String>,
        origin: Origin,
    ) -> Box<Self> {
        let now = parts.clock.now();
        let request_id = request_id.unwrap_or_else(|| self::request_id(now));
        let context = parts.tracer.begin(origin.parent.as_ref());
        let mut event = EventBuilder::new(request_id.clone(), now, rules);
        event.tenant(&parts.tenant);
        event.trace(&context.trace_id());
        if let Some(address) = origin.address {
            event.client_address(address);
        }
        parts.metrics.in_flight.inc();
        let spoken = || Box::new(Spoken { tenant: parts.tenant.clone(), ..Spoken::default() });
        Box::new(Self {
            audit: parts.audit.clone(),
            metrics: parts.metrics.clone(),
            tracer: parts.tracer.clone(),
            began: now,
            started: Instant::now(),
            request_id,
            origin,
            context,
            spoken: parts.tracer.exports().then(spoken),
            event: Some(event),
            intended: false,
            sent: false,
            tool: None,
        })
    }

    /// Where the request came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Names the request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Something of a session that is no message: `method` names it.
    pub fn asks(&mut self, revision: &Revision, method: &'static str) {
        self.spoke(revision, Some(method));
        self.note(|event| {
            event.revision(revision.name);
            event.ask(method, None);
            event.decision(Verdict::Allow, None);
        });
    }

    /// The registry was fetched, which is no message.
    pub fn fetched(mut self) {
        if let Some(spoken) = &mut self.spoken {
            spoken.method = Some("registry".to_owned());
        }
        self.note(|event| {
            event.ask("registry", None);
            event.decision(Verdict::Allow, None);
        });
        self.end("ok");
    }

    fn spoke(&mut self, revision: &Revision, method: Option<&str>) {
        if let Some(spoken) = &mut self.spoken {
            spoken.revision = Some(revision.name);
            spoken.method = method.map(str::to_owned);
        }
    }

    fn note(&mut self, set: impl FnOnce(&mut EventBuilder)) {
        if let Some(event) = &mut self.event {
            set(event);
        }
    }

    pub fn phase(&mut self, phase: Phase, since: Instant) {
        let took = since.elapsed();
        self.metrics.phase(phase as usize, took);
        self.note(|event| event.phase(phase, took));
    }

    pub fn caller(&mut self, caller: &Caller) {
        self.note(|event| {
            event.caller(CallerFacts {
                tenant: caller.tenant(),
                agent_id: caller.agent_id(),
                agent: caller.agent_name(),
                issuer: caller.issuer(),
                subject: caller.subject(),
                token_id: caller.token_id(),
                person: caller.person(),
                oauth_client: caller.client_id(),
            });
        });
    }

    /// Who the token says it is, where nobody is let in by it: its signature was verified.
    pub fn stranger(&mut self, holder: &Holder) {
        self.note(|event| {
            event.token(&holder.issuer, holder.subject.as_deref(), holder.token_id.as_deref());
            event.obtained(holder.person.as_deref(), holder.client_id.as_deref());
        });
    }

    pub fn decoded(&mut self, decoded: &Decoded, bytes: usize) {
        self.spoke(decoded.revision, Some(decoded.ask.method()));
        // What the message says of itself is closer than what its transport says of all that it carries.
        let traced = &decoded.traced;
        let parent = Parent::read(traced.parent.as_deref(), traced.state.as_deref());
        if let Some(parent) = parent {
            self.context = self.tracer.begin(Some(&parent));
            let trace_id = self.context.trace_id();
            self.note(|event| event.trace(&trace_id));
        }
        self.note(|event| {
            event.revision(decoded.revision.name);
            event.client(decoded.client.name.as_deref(), decoded.client.version.as_deref());
            event.ask(decoded.ask.method(), decoded.ask.tool());
            event.request_bytes(bytes);
            if let Ask::CallTool { arguments, .. } = &decoded.ask {
                event.arguments(arguments);
            }
        });
    }

    pub fn rejected(&mut self, rejected: &Rejected, bytes: usize) {
        self.spoke(rejected.revision, rejected.method.as_deref());
        self.note(|event| {
            event.revision(rejected.revision.name);
            if let Some(method) = &rejected.method {
                event.ask(method, None);
            }
            event.request_bytes(bytes);
            event.decision(Verdict::Refuse, None);
            event.reason(rejected.fault.label());
        });
    }

    pub fn fault(&mut self, fault: &Fault) {
        self.note(|event| {
            event.decision(Verdict::Refuse, None);
            event.reason(fault.label());
        });
    }

    /// Nothing stands against it; what is answered here needs no permit.
    pub fn allowed(&mut self) {
        self.note(|event| event.decision(Verdict::Allow, None));
    }

    /// A tool is called: one that is `offered`, or else its name is the caller's invention.
    pub fn calls(&mut self, offered: bool) {
        self.tool = Some(offered);
    }

    /// A call whose arguments cannot be used, and of which entry, if that is known.
    pub fn misused(&mut self, entry: Option<&Entry>) {
        self.note(|event| {
            if let Some(entry) = entry {
                event.bound(&entry.id, entry.verb.as_str(), &entry.path, entry.effect.as_str());
            }
            event.decision(Verdict::Refuse, None);
            event.reason("arguments");
        });
    }

    pub fn bound(&mut self, bound: &Bound) {
        let request = bound.request();
        if let Some(spoken) = &mut self.spoken {
            spoken.bound = Some((bound.entry().clone(), request.verb.as_str()));
        }
        self.note(|event| {
            event.bound(&bound.entry().id, request.verb.as_str(), &request.target, bound.effect().as_str());
        });
    }

    pub fn denied(&mut self, rule: &str) {
        self.note(|event| event.decision(Verdict::Deny, Some(rule)));
    }

    /// Notes the permit and, for anything but a read, waits until the intent is durable.
    ///
    /// # Errors
    /// The record cannot be written: the call must not be made.
    pub async fn open(&mut self, permit: &Permit) -> Result<(), Unrecorded> {
        self.note(|event| event.decision(Verdict::Allow, Some(permit.rule())));
        if permit.bound().effect() == Effect::Read {
            return Ok(());
        }
        let since = Instant::now();
        if let Some(intent) = self.event.as_ref().map(EventBuilder::intent) {
            self.intended = true;
            Box::pin(tokio::time::timeout(INTENT_PATIENCE, self.audit.submit_durable(intent)))
                .await
                .map_err(|_| Unrecorded)?
                .map_err(|_| Unrecorded)?;
        }
        self.phase(Phase::Intent, since);
        Ok(())
    }

    /// From here on the PSA may have seen the call. Returns what travels with it.
    pub fn sending(&mut self) -> Marks {
        self.sent = true;
        let context = self.tracer.within(&self.context);
        let marks = Marks {
            request_id: self.request_id.clone(),
            traceparent: Some(context.traceparent()),
            tracestate: context.tracestate().map(str::to_owned),
        };
        if let Some(spoken) = &mut self.spoken
            && let Some((entry, verb)) = &spoken.bound
        {
            let (after, path) = (self.started.elapsed(), entry.path.clone());
            spoken.call = Some(Call { context, after, took: None, verb, path, status: None });
        }
        marks
    }

    pub fn was_sent(&self) -> bool {
        self.sent
    }

    pub fn answered(&mut self, status: u16) {
        let now = self.started.elapsed();
        if let Some(call) = self.spoken.as_mut().and_then(|spoken| spoken.call.as_mut()) {
            call.took = Some(now.saturating_sub(call.after));
            call.status = Some(status);
        }
        self.note(|event| event.upstream(status));
    }

    /// What a tool answered.
    pub fn result(&mut self, text: &str) {
        self.note(|event| event.result(text));
    }

    /// Ends the request with an answer of `bytes`.
    pub fn close(mut self, outcome: &'static str, bytes: usize) {
        self.note(|event| event.response_bytes(bytes));
        self.end(outcome);
    }

    /// [`Trail::close`], and waits until that is durable: always for what has an intent, and for everything where the
    /// configuration says so.
    ///
    /// # Errors
    /// The configuration asks for it and the record cannot be written: the answer must be withheld. What a write did is
    /// told all the same, for its intent is on record.
    pub async fn settle(mut self: Box<Self>, outcome: &'static str, bytes: usize) -> Result<(), Unrecorded> {
        self.note(|event| event.response_bytes(bytes));
        let (all, behind) = match self.audit.durability() {
            Durability::All => (true, true),
            Durability::Writes => (false, self.audit.is_behind()),
            Durability::Relaxed => (false, false),
        };
        if !self.intended && !behind {
            self.end(outcome);
            return Ok(());
        }
        let Some(event) = self.finish(outcome) else { return Ok(()) };
        let recorded = Box::pin(tokio::time::timeout(INTENT_PATIENCE, self.audit.submit_durable(event)));
        match recorded.await {
            Ok(Ok(())) => Ok(()),
            _ if self.intended || !all => Ok(()),
            _ => Err(Unrecorded),
        }
    }

    /// Ends the request of a caller whose token lacks scopes; policy has said so.
    pub fn lacking(mut self, reason: &str) {
        self.note(|event| {
            event.decision(Verdict::Deny, Some(RULE_REQUIRED_SCOPES));
            event.reason(reason);
        });
        self.end("denied");
    }

    /// Ends the request without one.
    pub fn refuse(mut self, reason: &str) {
        self.metrics.limited(reason);
        self.note(|event| {
            event.decision(Verdict::Refuse, None);
            event.reason(reason);
        });
        self.end("refused");
    }

    fn end(&mut self, outcome: &'static str) {
        if let Some(event) = self.finish(outcome) {
            self.audit.submit(event);
        }
    }

    /// Counts the request and tells of it; none where that was done before.
    fn finish(&mut self, outcome: &'static str) -> Option<Event> {
        let event = self.event.take()?;
        let took: Duration = self.started.elapsed();
        self.metrics.requests.with_label_values(&[outcome]).inc();
        self.metrics.in_flight.dec();
        self.metrics.request_seconds.observe(took.as_secs_f64());
        if let (Some(offered), Some(agent)) = (self.tool, event.agent()) {
            let tool = event.tool().filter(|_| offered).unwrap_or("unknown");
            self.metrics.called(agent, tool, event.effect().unwrap_or("none"), outcome);
        }
        tracing::debug!(
            request_id = self.request_id,
            outcome,
            milliseconds = took.as_secs_f64() * 1000.0,
            "a request is over"
        );
        self.tell(&event, outcome, took);
        Some(event.finish(outcome, took))
    }

    fn tell(&mut self, event: &EventBuilder, outcome: &'static str, took: Duration) {
        let Some(spoken) = self.spoken.take().filter(|_| self.context.sampled) else { return };
        let Spoken { tenant, revision, method, bound, call } = *spoken;
        let offered = self.tool == Some(true);
        self.tracer.tell(Told {
            context: self.context.clone(),
            began: self.began,
            took,
            request_id: self.request_id.clone(),
            tenant,
            agent: event.agent().map(str::to_owned),
            revision,
            method,
            tool: event.tool().filter(|_| offered).map(str::to_owned),
            entry: bound.map(|(entry, _)| entry.id.clone()),
            outcome,
            call,
        });
    }
}

/// A UUID v7 (RFC 9562 section 5.7) of a request that began at `now`. The random part is the
/// thread's generator's: asking the kernel for it would be a system call a request.
pub(super) fn request_id(now: Millis) -> String {
    let millis = u64::try_from(now).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid().to_string()
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.end("unknown");
    }
}
