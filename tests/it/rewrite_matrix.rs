//! What hostile agents send, row by row, through the whole of Sidegate to a PSA whose wire is recorded: either
//! nothing goes out and the answer names the field and the remedy, or exactly the listed request does.

mod body;
mod entries;
mod headers;
mod message;
mod path;
mod query;

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sidegate::tool::catalog::{Catalog, CatalogRules};
use sidegate::units::hex;

use crate::support::http::{Answer, modern};
use crate::support::plan::Plan;
use crate::support::tap::Sent;
use crate::support::world::World;

/// The id that rows send where it does not matter; nobody has it.
const ID: &str = "3f0e1f64-6a0c-4b83-9a31-0d4c8c9a5b10";
const TICKET: &str = "get-_api_v1_tickets_id";
const LIST: &str = "get-_api_v1_tickets";
const RENAME: &str = "put-_api_v1_tickets_id";
const STATUS: &str = "put-_api_v1_tickets_id_status";
const REMOVE: &str = "delete-_api_v1_tickets_id";
/// Declares the header `x-idempotency-key`.
const NOTE: &str = "post-_api_v1_interactions";

/// What is posted.
enum Post {
    /// `arguments` of a call of `call_api_endpoint`.
    Arguments(Value),
    /// The same as JSON text, for what values cannot express.
    Text(String),
    /// A whole body under the headers of a call of `call_api_endpoint`.
    Body(Vec<u8>),
    /// Arguments and further header fields; one that is there already is replaced.
    With(Value, Vec<(&'static str, &'static str)>),
}

/// What must come of it.
enum Outcome {
    /// Nothing went out; the result says so with each of these parts.
    Refused(Vec<String>),
    /// Nothing went out; a JSON-RPC error of this code and part of its text.
    Fault(i64, &'static str),
    /// Nothing went out; this HTTP status.
    Turned(u16),
    /// Exactly one request: method, target, header fields beside Sidegate's own, body.
    Reached(&'static str, String, Vec<(&'static str, &'static str)>, Option<String>),
}

struct Row {
    name: String,
    agent: &'static str,
    post: Post,
    outcome: Outcome,
}

impl Row {
    fn new(name: impl Into<String>, post: Post, outcome: Outcome) -> Self {
        Self { name: name.into(), agent: "technician", post, outcome }
    }

    /// A call with these arguments beside `entryId`.
    fn call(name: impl Into<String>, entry: &str, more: Value, outcome: Outcome) -> Self {
        Self::new(name, Post::Arguments(arguments(entry, more)), outcome)
    }

    /// The same with the members beside `entryId` as text.
    fn text(name: impl Into<String>, entry: &str, more: &str, outcome: Outcome) -> Self {
        Self::new(name, Post::Text(format!(r#"{{"entryId":"{entry}",{more}}}"#)), outcome)
    }

    fn by(mut self, agent: &'static str) -> Self {
        self.agent = agent;
        self
    }
}

fn arguments(entry: &str, more: Value) -> Value {
    let mut arguments = json!({ "entryId": entry });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

fn refused<const N: usize>(parts: [&str; N]) -> Outcome {
    Outcome::Refused(parts.map(str::to_owned).into())
}

fn read(target: impl Into<String>) -> Outcome {
    Outcome::Reached("GET", target.into(), vec![], None)
}

fn rows() -> Vec<Row> {
    [path::rows(), query::rows(), headers::rows(), body::rows(), entries::rows(), message::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// A call of `call_api_endpoint` with `arguments` as text, and its headers.
fn message(arguments: &str) -> (String, Vec<(&'static str, String)>) {
    let (body, headers) =
        modern("tools/call", json!({"name": "call_api_endpoint", "arguments": "the arguments"}));
    (body.to_string().replace("\"the arguments\"", arguments), headers)
}

async fn post(world: &World, row: &Row) -> Answer {
    let (body, headers) = match &row.post {
        Post::Arguments(arguments) => message(&arguments.to_string()),
        Post::Text(arguments) => message(arguments),
        Post::Body(_) => message("{}"),
        Post::With(arguments, more) => {
            let (body, mut headers) = message(&arguments.to_string());
            headers.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
            headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
            (body, headers)
        }
    };
    let body = match &row.post {
        Post::Body(bytes) => Bytes::from(bytes.clone()),
        Post::Arguments(_) | Post::Text(_) | Post::With(..) => body.into(),
    };
    let mut request = http::Request::post(&world.mcp_url)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", world.token(row.agent)));
    for (name, value) in headers {
        request.headers_mut().unwrap().insert(name, value.parse().unwrap());
    }
    world.send(request.body(body).unwrap()).await
}

/// Those that are neither about keys nor about the catalogue.
fn calls(sent: Vec<Sent>) -> Vec<Sent> {
    let own = |sent: &Sent| sent.target.starts_with("/__keys") || sent.target == "/api/v1/meta/mcp-registry";
    sent.into_iter().filter(|sent| !own(sent)).collect()
}

/// What is wrong with a row's answer and with what went out.
fn judge(row: &Row, answer: &Answer, sent: &[Sent]) -> Result<(), String> {
    let text = answer.text();
    let nothing = || match sent {
        [] => Ok(()),
        sent => Err(format!("reached the PSA: {sent:?}")),
    };
    let short = answer.body.to_string().len() < 40_000;
    match &row.outcome {
        Outcome::Refused(parts) => {
            nothing()?;
            let shown = text.chars().all(|c| c == '\n' || !c.is_control());
            let named = parts.iter().all(|part| text.contains(part.as_str()));
            (answer.status == 200 && answer.is_error() && named && short && shown)
                .then_some(())
                .ok_or_else(|| format!("wanted {parts:?}, got {answer:?}"))
        }
        Outcome::Fault(code, part) => {
            nothing()?;
            let error = &answer.body["error"];
            let named = error["message"].as_str().unwrap_or_default().contains(part);
            (error["code"] == *code && named && short)
                .then_some(())
                .ok_or_else(|| format!("wanted {code} {part:?}, got {answer:?}"))
        }
        Outcome::Turned(status) => {
            nothing()?;
            let named = answer.body["error_description"].is_string();
            (answer.status == *status && named).then_some(()).ok_or_else(|| format!("got {answer:?}"))
        }
        Outcome::Reached(method, target, headers, body) => {
            let [sent] = sent else { return Err(format!("{} went out; {answer:?}", sent.len())) };
            let body = body.as_deref().unwrap_or_default().as_bytes();
            let mut more: Vec<_> =
                sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            more.retain(|(name, _)| !OURS.contains(name) && !FRAMING.contains(name));
            (sent.method == *method && sent.target == *target && more == *headers && sent.body == body)
                .then_some(())
                .ok_or_else(|| format!("wanted {method} {target} {headers:?}, sent {sent:?}"))
        }
    }
}

/// The fields that every call of an endpoint has.
const OURS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "host",
    "traceparent",
    "user-agent",
    "x-api-key",
    "x-request-id",
    "x-tenant-id",
];
/// The fields that come with a body.
const FRAMING: [&str; 2] = ["content-length", "content-type"];

#[tokio::test]
async fn every_hostile_input_is_refused_by_name_or_becomes_exactly_the_listed_request() {
    let world = World::of(Plan {
        tapped: true,
        more: "[policy]\ndefault_max_effect = \"read\"\n",
        ..Plan::default()
    })
    .await;
    // Under the technician's user, so that only the maximum effect is in its way.
    world.admit_stranger("careful", world.psa.technician()).await;
    let (mut wrong, mut agents) = (Vec::new(), Vec::new());
    for row in rows() {
        let before = calls(world.sent()).len();
        let answer = post(&world, &row).await;
        let sent = &calls(world.sent())[before..];
        if let Err(what) = judge(&row, &answer, sent) {
            wrong.push(format!("{}: {what}", row.name));
        }
        agents.extend(sent.iter().map(|_| row.agent));
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    let sent = calls(world.sent());
    assert_eq!(sent.len(), agents.len());
    let log: Vec<_> = world.reached().await.iter().map(|line| line["path"].clone()).collect();
    let targets: Vec<_> = sent.iter().map(|sent| sent.target.as_str()).collect();
    assert_eq!(log, targets, "the PSA's own log says the same");
    only_what_is_offered(&sent);
    only_our_headers(&world, &sent);
    only_the_agents_own_keys(&world, &sent, &agents);
}

/// Every request is the method and the path pattern of an entry that the operator offers.
fn only_what_is_offered(sent: &[Sent]) {
    let entries: Value = serde_json::from_str(include_str!("../../src/demo/registry.json")).unwrap();
    let registry = json!({"data": {"entries": entries}}).to_string();
    let offered = Catalog::parse(registry.as_bytes(), &CatalogRules::default()).unwrap();
    for sent in sent {
        let path = sent.target.split('?').next().unwrap();
        let known = offered.entries().iter().any(|entry| {
            let (pattern, path): (Vec<_>, Vec<_>) =
                (entry.path.split('/').collect(), path.split('/').collect());
            let fits = |(pattern, part): (&&str, &&str)| {
                pattern == part || (pattern.starts_with('{') && !part.is_empty())
            };
            entry.verb.as_str() == sent.method
                && pattern.len() == path.len()
                && pattern.iter().zip(&path).all(fits)
        });
        assert!(known, "{} {}", sent.method, sent.target);
        for never in ["/publish", "/api/workflow-runs", "/api/auth", "/api/chat", "/api/mcp", "/api/v1/mcp"] {
            assert!(!path.contains(never), "{} {}", sent.method, sent.target);
        }
    }
}

fn only_our_headers(world: &World, sent: &[Sent]) {
    let declared = ["x-idempotency-key"];
    let mut ids = BTreeSet::new();
    for sent in sent {
        let names: Vec<&str> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len(), "{sent:?}");
        let framing = if sent.method == "GET" { &[][..] } else { &FRAMING[..] };
        let known = |name: &&str| OURS.contains(name) || framing.contains(name) || declared.contains(name);
        assert!(names.iter().all(known) && OURS.iter().all(|ours| distinct.contains(ours)), "{sent:?}");
        let value = |name| sent.header(name).unwrap_or_default();
        assert_eq!(
            (value("accept"), value("accept-encoding"), value("x-tenant-id")),
            ("application/json", "identity", world.psa.tenant.as_str())
        );
        assert!(value("user-agent").starts_with("sidegate/") && value("host").starts_with("127.0.0.1:"));
        let typed = sent.header("content-type");
        assert_eq!(typed, (!sent.body.is_empty()).then_some("application/json"), "{sent:?}");
        assert!(ids.insert(value("x-request-id").to_owned()), "a request id came twice");
    }
}

/// Each key is one that was minted for the row's agent, known by what its minting told the PSA.
fn only_the_agents_own_keys(world: &World, sent: &[Sent], agents: &[&str]) {
    let minted: Vec<Value> = world
        .sent()
        .iter()
        .filter(|sent| sent.method == "POST" && sent.target == "/__keys")
        .map(|sent| serde_json::from_slice(&sent.body).unwrap())
        .collect();
    for (sent, agent) in sent.iter().zip(agents) {
        let hash = hex(&Sha256::digest(sent.header("x-api-key").unwrap()));
        let key = minted.iter().find(|key| key["key_hash"] == hash).expect("a minted key");
        let name = if *agent == "stranger" { "careful" } else { agent };
        assert_eq!(key["description"], format!("sidegate: {name}"));
    }
}

#[test]
fn the_matrix_is_large_and_each_row_has_its_own_name() {
    let rows = rows();
    let refused = rows.iter().filter(|row| !matches!(row.outcome, Outcome::Reached(..))).count();
    assert!(rows.len() >= 450 && refused >= 350, "{} rows, {refused} of them refused", rows.len());
    let names: BTreeSet<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "two rows have one name");
}
