//! The record of one request: what was asked, by whom, what was decided and what came of it.
//!
//! It knows nothing of sinks. Secrets are taken out here, so that no writer can forget it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::redact::{redact, redact_target, redact_text};
use crate::clock::{Millis, rfc3339};
use crate::metrics::OUTCOMES;
use crate::units::hex;

mod change;

use change::Change;
pub use change::ChangeFacts;

/// Bytes of redacted argument JSON that a record shows; more becomes a size and a hash.
const MAX_ARGUMENTS: usize = 16 << 10;
/// Characters of a text that a client chose: its name, its version, the tool it named.
const MAX_CLIENT_TEXT: usize = 128;
/// Characters of any other text.
const MAX_TEXT: usize = 512;
/// Characters of the upstream path with its query.
const MAX_PATH: usize = 2048;

/// One audit record, finished and without secrets; only [`EventBuilder`] makes one.
///
/// Its JSON is one object whose absent fields are left out; see [`EventBuilder`] for the fields.
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

#[derive(Clone, Serialize)]
struct Fields {
    record: &'static str,
    #[serde(serialize_with = "with_millis")]
    time: Millis,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Phases::is_empty")]
    phases: Phases,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Arc<Arguments>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Box<Change>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl EventBuilder {
    /// Starts the record of the request `request_id` (a UUID v7) that began at `started`.
    pub fn new(request_id: impl Into<String>, started: Millis) -> Self {
        Self(Box::new(Fields {
            record: "event",
            time: started,
            request_id: request_id.into(),
            tenant: None,
            agent_id: None,
            agent: None,
            issuer: None,
            subject: None,
            token_id: None,
            person: None,
            oauth_client: None,
            client_name: None,
            client_version: None,
            client_address: None,
            revision: None,
            method: None,
            tool: None,
            entry_id: None,
            upstream_method: None,
            upstream_path: None,
            effect: None,
            decision: None,
            rule: None,
            reason: None,
            upstream_status: None,
            request_bytes: None,
            response_bytes: None,
            phases: Phases::default(),
            outcome: None,
            arguments: None,
            change: None,
            trace_id: None,
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

    /// Field `trace_id`: 32 hexadecimal digits (W3C Trace Context).
    pub fn trace(&mut self, trace_id: &str) {
        self.0.trace_id = Some(bounded(trace_id, 32));
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

    /// Appends the record to `out` as one line of JSON with its newline.
    ///
    /// # Errors
    /// None that any value of a record is known to cause; the caller must not lose the record silently.
    pub(super) fn write_line(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *out, &self.0)?;
        out.push(b'\n');
        Ok(())
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {})", self.0.record, self.0.request_id)
    }
}

const PHASES: [&str; 7] =
    ["authenticate_us", "decode_us", "decide_us", "intent_us", "credential_us", "upstream_us", "total_us"];
/// The place of `total_us`, which is no [`Phase`] since only the end can know it.
const TOTAL: usize = 6;

#[derive(Clone, Default)]
struct Phases([Option<u64>; PHASES.len()]);

impl Phases {
    fn add(&mut self, place: usize, took: Duration) {
        if let Some(sum) = self.0.get_mut(place) {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            *sum = Some(sum.unwrap_or(0).saturating_add(micros));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, took) in PHASES.iter().zip(self.0) {
            if let Some(took) = took {
                map.serialize_entry(name, &took)?;
            }
        }
        map.end()
    }
}

/// A call's arguments. Small ones are redacted where the record is written, off the request's path;
/// large ones at once, so that a queue of records holds no megabytes.
struct Arguments {
    given: Value,
    shown: OnceLock<Box<RawValue>>,
}

impl Arguments {
    fn new(arguments: &Value) -> Self {
        if weight(arguments, MAX_ARGUMENTS) <= MAX_ARGUMENTS {
            return Self { given: arguments.clone(), shown: OnceLock::new() };
        }
        Self { given: Value::Null, shown: OnceLock::from(shown(arguments)) }
    }
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown.get_or_init(|| shown(&self.given)).serialize(serializer)
    }
}

/// The redacted JSON of `arguments`, or what stands for it where it is too long. The hash is of the
/// redacted JSON: one of the original could be tried against guesses of a secret in it.
fn shown(arguments: &Value) -> Box<RawValue> {
    let text = redact(arguments).to_string();
    let text = if text.len() <= MAX_ARGUMENTS {
        text
    } else {
        let hash = hex(&Sha256::digest(text.as_bytes()));
        serde_json::json!({ "truncated": true, "bytes": text.len(), "sha256": hash }).to_string()
    };
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// About how many bytes `value` takes, counted no further than a little over `limit`.
fn weight(value: &Value, limit: usize) -> usize {
    let over = |sum: &usize| *sum <= limit;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let mut sum = 2;
            for item in items {
                if !over(&sum) {
                    break;
                }
                sum += weight(item, limit) + 1;
            }
            sum
        }
        Value::Object(fields) => {
            let mut sum = 2;
            for (name, value) in fields {
                if !over(&sum) {
                    break;
                }
                sum += name.len() + 4 + weight(value, limit);
            }
            sum
        }
    }
}

/// At most `limit` characters of `text`, without control characters; `…` says that more were there.
fn bounded(text: &str, limit: usize) -> String {
    if text.len() <= limit && !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(limit * 4));
    let mut left = limit;
    for char in text.chars().filter(|char| !char.is_control()) {
        if left == 0 {
            shown.pop();
            shown.push('…');
            break;
        }
        shown.push(char);
        left -= 1;
    }
    shown
}

/// [`bounded`], and without secrets: a client may put anything where its name belongs.
fn clean(text: &str, limit: usize) -> String {
    // Cut first, so that a name of a megabyte costs no more than a long one; the margin keeps a secret
    // at the edge whole enough to be seen.
    let head = match text.char_indices().nth(limit * 8) {
        Some((at, _)) => Cow::Owned(bounded(text.get(..at).unwrap_or_default(), limit * 8)),
        None => Cow::Borrowed(text),
    };
    bounded(&redact_text(&head), limit)
}

/// RFC 3339 in UTC with always three digits of milliseconds, so that lines sort by time as text.
fn with_millis<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

#[cfg(test)]
mod tests;
