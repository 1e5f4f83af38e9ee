//! The record of one request: what was asked, by whom, what was decided and what came of it.
//!
//! It knows nothing of sinks. Secrets are taken out here, so that no writer can forget it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::redact::redact_target;
use crate::clock::Millis;
use crate::metrics::OUTCOMES;

mod arguments;
mod change;
mod facts;
mod fields;
mod text;

use arguments::Arguments;
pub use change::ChangeFacts;
use fields::{Fields, TOTAL};
use text::{bounded, clean};

/// Characters of a text that a client chose: its name, its version, the tool it named.
const MAX_CLIENT_TEXT: usize = 128;
/// Characters of any other text.
const MAX_TEXT: usize = 512;
/// Characters of the upstream path with its query.
const MAX_PATH: usize = 2048;

/// One audit record, finished and without secrets; only [`EventBuilder`] makes one.
///
/// See [`EventBuilder`] for its fields, and [`Event::into_facts`] for its text.
pub struct Event(Box<Fields>);

/// Who asked, as the token and the binding say.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerFacts<'a> {
    pub tenant: &'a str,
    pub agent_id: &'a str,
    pub agent: &'a str,
    pub issuer: &'a str,
    pub subject: &'a str,
    pub token_id: Option<&'a str>,
    /// The person on whose behalf the token was obtained, by name.
    pub person: Option<&'a str>,
    /// The OAuth client that obtained it.
    pub oauth_client: Option<&'a str>,
}

/// What was decided about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Policy let it pass.
    Allow,
    /// Policy said no.
    Deny,
    /// It was turned away before policy was asked.
    Refuse,
}

/// A part of the request's way whose duration is recorded, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Authenticate,
    Decode,
    Decide,
    Intent,
    Credential,
    Upstream,
}

/// Collects the facts of one request while it is worked on. Setters overwrite; durations add up.
pub struct EventBuilder(Box<Fields>);

impl EventBuilder {
    /// Starts the record of the request `request_id` (a UUID v7) that began at `started`.
    pub fn new(request_id: impl Into<String>, started: Millis) -> Self {
        Self(Box::new(Fields {
            record: "event",
            time: started,
            request_id: request_id.into(),
            ..Fields::default()
        }))
    }

    /// Fields `tenant agent_id agent issuer subject token_id person oauth_client`.
    pub fn caller(&mut self, caller: CallerFacts<'_>) {
        self.0.tenant = Some(bounded(caller.tenant, MAX_TEXT));
        self.0.agent_id = Some(bounded(caller.agent_id, MAX_TEXT));
        self.0.agent = Some(bounded(caller.agent, MAX_TEXT));
        self.token(caller.issuer, Some(caller.subject), caller.token_id);
        self.obtained(caller.person, caller.oauth_client);
    }

    /// Fields `person oauth_client`: on whose behalf the token was obtained, and by which client.
    pub fn obtained(&mut self, person: Option<&str>, oauth_client: Option<&str>) {
        self.0.person = person.map(|person| bounded(person, MAX_TEXT));
        self.0.oauth_client = oauth_client.map(|client| bounded(client, MAX_TEXT));
    }

    /// Fields `issuer subject token_id` of a caller that is known no better, such as an unbound one.
    pub fn token(&mut self, issuer: &str, subject: Option<&str>, token_id: Option<&str>) {
        self.0.issuer = Some(bounded(issuer, MAX_TEXT));
        self.0.subject = subject.map(|subject| bounded(subject, MAX_TEXT));
        self.0.token_id = token_id.map(|id| bounded(id, MAX_TEXT));
    }

    /// Field `tenant` alone, for a request whose caller is not known.
    pub fn tenant(&mut self, tenant: &str) {
        self.0.tenant = Some(bounded(tenant, MAX_TEXT));
    }

    /// Field `client_address`; a request over stdio has none.
    pub fn client_address(&mut self, address: IpAddr) {
        self.0.client_address = Some(address);
    }

    /// Fields `client_name client_version`, as the client gave them: bounded and cleaned here.
    pub fn client(&mut self, name: Option<&str>, version: Option<&str>) {
        self.0.client_name = name.map(|name| clean(name, MAX_CLIENT_TEXT));
        self.0.client_version = version.map(|version| clean(version, MAX_CLIENT_TEXT));
    }

    /// Field `revision`: the protocol revision the request is answered in.
    pub fn revision(&mut self, revision: &'static str) {
        self.0.revision = Some(revision);
    }

    /// Fields `method tool`: the MCP method and the tool that was named, if any.
    pub fn ask(&mut self, method: &str, tool: Option<&str>) {
        self.0.method = Some(clean(method, MAX_CLIENT_TEXT));
        self.0.tool = tool.map(|tool| clean(tool, MAX_CLIENT_TEXT));
    }

    /// Fields `entry_id upstream_method upstream_path effect`; secrets in `path` are taken out here.
    pub fn bound(&mut self, entry_id: &str, method: &'static str, path: &str, effect: &'static str) {
        self.0.entry_id = Some(bounded(entry_id, MAX_TEXT));
        self.0.upstream_method = Some(method);
        self.0.upstream_path = Some(bounded(&redact_target(path), MAX_PATH));
        self.0.effect = Some(effect);
    }

    /// Fields `decision rule`.
    pub fn decision(&mut self, verdict: Verdict, rule: Option<&str>) {
        self.0.decision = Some(match verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Refuse => "refuse",
        });
        self.0.rule = rule.map(|rule| bounded(rule, MAX_TEXT));
    }

    /// Field `reason`: the label of the refusal or fault.
    pub fn reason(&mut self, label: &str) {
        self.0.reason = Some(clean(label, MAX_CLIENT_TEXT));
    }

    /// Field `upstream_status`: the HTTP status of the PSA's answer.
    pub fn upstream(&mut self, status: u16) {
        self.0.upstream_status = Some(status);
    }

    /// Field `request_bytes`: size of the message as it came in.
    pub fn request_bytes(&mut self, bytes: usize) {
        self.0.request_bytes = Some(bytes);
    }

    /// Field `response_bytes`: size of the message that went out.
    pub fn response_bytes(&mut self, bytes: usize) {
        self.0.response_bytes = Some(bytes);
    }

    /// The agent's name, once it is known.
    pub fn agent(&self) -> Option<&str> {
        self.0.agent.as_deref()
    }

    /// The tool that was named, as the record shows it.
    pub fn tool(&self) -> Option<&str> {
        self.0.tool.as_deref()
    }

    /// How far the call reaches, once it is bound.
    pub fn effect(&self) -> Option<&'static str> {
        self.0.effect
    }

    /// Adds `took` to `phases.<phase>_us`.
    pub fn phase(&mut self, phase: Phase, took: Duration) {
        self.0.phases.add(phase as usize, took);
    }

    /// Field `arguments`: copied once, and shared by the intent and the event.
    pub fn arguments(&mut self, arguments: &Value) {
        self.0.arguments = Some(Arc::new(Arguments::new(arguments)));
    }

    /// What is known before the effect, as a record of its own (`record` is `intent`).
    pub fn intent(&self) -> Event {
        let mut fields = self.0.clone();
        fields.record = "intent";
        Event(fields)
    }

    /// The finished record; an `outcome` outside [`OUTCOMES`] is recorded as `unknown`.
    pub fn finish(mut self, outcome: &'static str, total: Duration) -> Event {
        self.0.outcome = Some(if OUTCOMES.contains(&outcome) { outcome } else { "unknown" });
        self.0.phases.add(TOTAL, total);
        Event(self.0)
    }
}

impl Event {
    /// True for a record written before the effect.
    pub fn is_intent(&self) -> bool {
        self.0.record == "intent"
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {})", self.0.record, self.0.request_id)
    }
}

#[cfg(test)]
mod tests;
