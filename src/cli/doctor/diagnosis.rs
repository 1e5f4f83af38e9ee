//! From what was seen to steps, remedies and verdicts. Pure: the time is handed in, and nothing is asked.

mod door;
mod issuer;
mod metadata;
mod protocol;
mod providers;
mod streams;
#[cfg(test)]
mod tests;
mod token;

use serde_json::{Map, Value};

use super::client::Client;
use super::places;
use super::report::{Report, Status, Step};
use super::seen::{Door, Seen};
use super::wire::{Answer, Heard};
use crate::identity::challenge::{self, Challenge};
use crate::outbound::OutboundError;

/// How much of a server's own words is repeated.
const QUOTE: usize = 160;

/// What the steps are judged by: what was seen, and what follows from it for all of them.
struct Facts<'a> {
    seen: &'a Seen,
    /// Seconds since the epoch.
    now: i64,
    door: Door,
    /// The first good document about the resource, in the order in which clients look.
    resource: Option<Map<String, Value>>,
    /// The first good document about the authorization server.
    issuer: Option<Map<String, Value>>,
    /// The legacy handshake went well.
    shook_hands: bool,
    /// The modern era is spoken.
    discovered: bool,
    /// Whether the token was let in; none where there was nothing to see.
    accepted: Option<bool>,
}

/// Judges what was `seen` at `now` (seconds since the epoch).
pub fn diagnose(seen: &Seen, now: i64) -> Report {
    let facts = Facts::new(seen, now);
    let steps: Vec<Step> = [
        door::reach,
        door::public,
        door::challenge,
        door::made_up,
        metadata::inserted,
        metadata::root,
        metadata::resource,
        metadata::scopes,
        issuer::found,
        issuer::pkce,
        issuer::registration,
        issuer::resource_parameter,
        token::says,
        token::accepted,
        protocol::legacy,
        protocol::modern,
        protocol::list,
        protocol::read,
        streams::unasked,
        streams::endpoint,
        streams::message,
        streams::tokenless,
        door::preflight,
    ]
    .into_iter()
    .map(|judge: fn(&Facts<'_>) -> Step| judge(&facts))
    .map(|step| if seen.anonymous.is_ok() || step.id == "reach" { step } else { silent(step) })
    .collect();
    Report::new(seen.url.to_string(), steps)
}

/// Where nobody answers there is nothing to say about the rest.
fn silent(step: Step) -> Step {
    let mut step = Step::new(step.id, step.title);
    step.skip("the server did not answer", &[]);
    step
}

impl<'a> Facts<'a> {
    fn new(seen: &'a Seen, now: i64) -> Self {
        let result = |heard: &Heard| heard.as_ref().ok().and_then(Answer::result);
        let legacy = seen.legacy.as_ref().and_then(|legacy| result(&legacy.initialize));
        let modern = seen.modern.as_ref().and_then(|modern| result(&modern.discover));
        let spoken = super::message::spoken(crate::mcp::revision::Era::Modern).name;
        let versions = modern.as_ref().and_then(|result| result["supportedVersions"].as_array());
        Self {
            seen,
            now,
            door: seen.door(),
            resource: seen.metadata.iter().find_map(|document| document.object().ok()),
            issuer: seen.issuer.as_ref().and_then(|issuer| issuer.tried.last()?.object().ok()),
            shook_hands: legacy.is_some_and(|result| result["protocolVersion"].is_string()),
            discovered: versions.is_some_and(|versions| versions.iter().any(|version| version == spoken)),
            accepted: accepted(seen),
        }
    }

    /// The identifier that tokens must be made for: what the metadata says, else the URL.
    fn identifier(&self) -> String {
        let told = self.resource.as_ref().and_then(|document| document.get("resource")?.as_str());
        told.map_or_else(|| self.seen.url.to_string(), str::to_owned)
    }

    /// The Bearer challenge to a request without a token.
    fn challenge(&self) -> Option<Challenge> {
        self.seen.greeting().as_ref().ok().and_then(bearer)
    }

    /// The authorization servers that the metadata names.
    fn servers(&self) -> Vec<&str> {
        let named =
            self.resource.as_ref().and_then(|document| document.get("authorization_servers")?.as_array());
        named.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Why what needs an open door was not tried, if it was not.
    fn shut(&self) -> Option<&'static str> {
        match (self.door, self.seen.token.is_some(), self.accepted) {
            (Door::Guarded, false, _) => Some("needs a token"),
            (_, _, Some(false)) => Some("the token is not accepted"),
            (Door::Unclear, false, _) => Some("what answers is no MCP server"),
            _ => None,
        }
    }
}

/// Whether anything but a refusal came back to a token.
fn accepted(seen: &Seen) -> Option<bool> {
    seen.token.as_ref()?;
    let heard = [
        seen.legacy.as_ref().map(|legacy| &legacy.initialize),
        seen.modern.as_ref().map(|modern| &modern.discover),
        seen.sse.as_ref().map(|sse| &sse.stream),
    ];
    let answers: Vec<&Answer> = heard.into_iter().flatten().filter_map(|heard| heard.as_ref().ok()).collect();
    let refused = |answer: &&&Answer| matches!(answer.status, 401 | 403);
    let welcome = |answer: &&Answer| answer.reply().is_some() || (answer.is_stream() && answer.status == 200);
    if answers.iter().any(|answer| !refused(&answer) && welcome(answer)) {
        return Some(true);
    }
    answers.iter().any(|answer| refused(&answer)).then_some(false)
}

fn bearer(answer: &Answer) -> Option<Challenge> {
    let values = answer.headers.get_all("www-authenticate");
    challenge::bearer(values.iter().filter_map(|value| value.to_str().ok()))
}

/// A server's own words, fit to be shown: short, and without characters that a terminal would obey.
fn quoted(text: &str) -> String {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = plain.chars().take(QUOTE).collect();
    if short.len() < plain.len() {
        short.push_str("...");
    }
    format!("\"{}\"", short.escape_debug().to_string().replace("\\\"", "'"))
}

/// An answer in a few words.
fn told(answer: &Answer) -> String {
    let mut text = format!("status {}", answer.status);
    let reply = answer.reply();
    let error = reply.as_ref().and_then(|reply| reply.get("error"));
    if let Some(error) = error {
        text.push_str(&format!(
            ", error {} {}",
            error["code"],
            quoted(error["message"].as_str().unwrap_or_default())
        ));
    } else if answer.is_page() {
        text.push_str(", a web page");
    } else if let Some(said) =
        bearer(answer).and_then(|challenge| challenge.param("error_description").map(quoted))
    {
        text.push_str(&format!(", {said}"));
    } else if answer.status >= 400 && !answer.body.trim().is_empty() {
        text.push_str(&format!(", {}", quoted(&answer.body)));
    } else if answer.is_stream() && reply.is_none() {
        text.push_str(", an event stream without the answer");
    } else if answer.body.is_empty() {
        text.push_str(", no body");
    }
    text
}

/// What was heard in a few words.
fn heard(heard: &Heard) -> String {
    match heard {
        Ok(answer) => told(answer),
        Err(error) => quoted(&error.to_string()).trim_matches('"').to_owned(),
    }
}

/// A step with this outcome only.
fn skipped(step: Step, reason: &str) -> Step {
    let mut step = step;
    step.skip(reason, &[]);
    step
}
