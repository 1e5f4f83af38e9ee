//! The record of one request: what was asked, by whom, what was decided and what came of it.
//!
//! It knows nothing of sinks. Secrets are taken out here, so that no writer can forget it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::redact::Rules;
use crate::clock::Millis;
use crate::metrics::OUTCOMES;

mod arguments;
mod change;
mod facts;
mod fields;
mod text;

use arguments::shown;
pub use change::ChangeFacts;
use fields::{Answer, Fields, TOTAL};
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
pub struct EventBuilder {
    fields: Box<Fields>,
    rules: Arc<Rules>,
}

impl EventBuilder {
    /// Starts the record of the request `request_id` (a UUID v7) that began at `started`; `rules` say what of it is
    /// not to be shown.
    pub fn new(request_id: impl Into<String>, started: Millis, rules: Arc<Rules>) -> Self {
        let request_id = request_id.into();
        let fields = Fields { record: "event", time: started, request_id, ..Fields::default() };
        Self { fields: Box::new(fields), rules }
    }

    /// Fields `tenant agent_id agent issuer subject token_id person oauth_client`.
    pub fn caller(&mut self, caller: CallerFacts<'_>) {
        self.fields.tenant = Some(bounded(caller.tenant, MAX_TEXT));
        self.fields.agent_id = Some(bounded(caller.agent_id, MAX_TEXT));
        self.fields.agent = Some(bounded(caller.agent, MAX_TEXT));
        self.token(caller.issuer, Some(caller.subject), caller.token_id);
        self.obtained(caller.person, caller.oauth_client);
    }

    /// Fields `person oauth_client`: on whose behalf the token was obtained, and by which client.
    pub fn obtained(&mut self, person: Option<&str>, oauth_client: Option<&str>) {
        self.fields.person = person.map(|person| self.member("person", person));
        self.fields.oauth_client = oauth_client.map(|client| self.member("oauth_client", client));
    }

    /// Fields `issuer subject token_id` of a caller that is known no better, such as an unbound one.
    pub fn token(&mut self, issuer: &str, subject: Option<&str>, token_id: Option<&str>) {
        self.fields.issuer = Some(bounded(issuer, MAX_TEXT));
        self.fields.subject = subject.map(|subject| self.member("subject", subject));
        self.fields.token_id = token_id.map(|id| bounded(id, MAX_TEXT));
    }

    /// Field `tenant` alone, for a request whose caller is not known.
    pub fn tenant(&mut self, tenant: &str) {
        self.fields.tenant = Some(bounded(tenant, MAX_TEXT));
    }

    /// Field `trace_id`: 32 hexadecimal digits (W3C Trace Context).
    pub fn trace(&mut self, trace_id: &str) {
        self.fields.trace_id = Some(bounded(trace_id, 32));
    }

    /// Field `client_address`; a request over stdio has none.
    pub fn client_address(&mut self, address: IpAddr) {
        self.fields.client_address = Some(self.member("client_address", &address.to_string()));
    }

    /// Fields `client_name client_version`, as the client gave them: bounded and cleaned here.
    pub fn client(&mut self, name: Option<&str>, version: Option<&str>) {
        self.fields.client_name = name.map(|name| self.clean(&self.rules.member("client_name", name)));
        self.fields.client_version = version.map(|version| self.clean(version));
    }

    /// Field `revision`: the protocol revision the request is answered in.
    pub fn revision(&mut self, revision: &'static str) {
        self.fields.revision = Some(revision);
    }

    /// Fields `method tool`: the MCP method, one that the protocol defines, and the tool that was named, if any.
    pub fn ask(&mut self, method: &str, tool: Option<&str>) {
        self.fields.method = Some(bounded(method, MAX_CLIENT_TEXT));
        self.fields.tool = tool.map(|tool| self.clean(tool));
    }

    /// Fields `entry_id upstream_method upstream_path effect`; secrets in `path` are taken out here.
    pub fn bound(&mut self, entry_id: &str, method: &'static str, path: &str, effect: &'static str) {
        self.fields.entry_id = Some(bounded(entry_id, MAX_TEXT));
        self.fields.upstream_method = Some(method);
        self.fields.upstream_path = Some(bounded(&self.rules.target(path), MAX_PATH));
        self.fields.effect = Some(effect);
    }

    /// Fields `decision rule`.
    pub fn decision(&mut self, verdict: Verdict, rule: Option<&str>) {
        self.fields.decision = Some(match verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Refuse => "refuse",
        });
        self.fields.rule = rule.map(|rule| bounded(rule, MAX_TEXT));
    }

    /// Field `reason`: the label of the refusal or fault.
    pub fn reason(&mut self, label: &str) {
        self.fields.reason = Some(self.clean(label));
    }

    /// Field `upstream_status`: the HTTP status of the PSA's answer.
    pub fn upstream(&mut self, status: u16) {
        self.fields.upstream_status = Some(status);
    }

    /// Field `request_bytes`: size of the message as it came in.
    pub fn request_bytes(&mut self, bytes: usize) {
        self.fields.request_bytes = Some(bytes);
    }

    /// Field `response_bytes`: size of the message that went out.
    pub fn response_bytes(&mut self, bytes: usize) {
        self.fields.response_bytes = Some(bytes);
    }

    /// The agent's name, once it is known.
    pub fn agent(&self) -> Option<&str> {
        self.fields.agent.as_deref()
    }

    /// The tool that was named, as the record shows it.
    pub fn tool(&self) -> Option<&str> {
        self.fields.tool.as_deref()
    }

    /// How far the call reaches, once it is bound.
    pub fn effect(&self) -> Option<&'static str> {
        self.fields.effect
    }

    /// Adds `took` to `phases.<phase>_us`.
    pub fn phase(&mut self, phase: Phase, took: Duration) {
        self.fields.phases.add(phase as usize, took);
    }

    /// Field `arguments`, shared by the intent and the event; without secrets from here on.
    pub fn arguments(&mut self, arguments: &Value) {
        self.fields.arguments = Some(shown(arguments, &self.rules).into());
    }

    /// Field `result`, of what the tool answered: its size and an HMAC-SHA256 under the tenant's salt, so that nobody can
    /// guess it and whoever has it can compare; its beginning too where the rules say so.
    pub fn result(&mut self, text: &str) {
        self.fields.result = Some(Answer {
            bytes: text.len(),
            excerpt: self.rules.excerpt_of(text),
            hmac_sha256: self.rules.digest(text),
        });
    }

    /// What is known before the effect, as a record of its own (`record` is `intent`).
    pub fn intent(&self) -> Event {
        let mut fields = self.fields.clone();
        fields.record = "intent";
        Event(fields)
    }

    /// The finished record; an `outcome` outside [`OUTCOMES`] is recorded as `unknown`.
    pub fn finish(mut self, outcome: &'static str, total: Duration) -> Event {
        self.fields.outcome = Some(if OUTCOMES.contains(&outcome) { outcome } else { "unknown" });
        self.fields.phases.add(TOTAL, total);
        Event(self.fields)
    }

    fn member(&self, name: &str, text: &str) -> String {
        bounded(&self.rules.member(name, text), MAX_TEXT)
    }

    fn clean(&self, text: &str) -> String {
        clean(&self.rules, text, MAX_CLIENT_TEXT)
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
