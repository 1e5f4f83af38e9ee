//! A client of the handshake era: it has a session, and says things in it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::http::Answer;
use super::sse::Stream;
use super::world::World;

/// What every client of that era should accept.
pub const BOTH: &str = "application/json, text/event-stream";

/// A request.
pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A notification.
pub fn notice(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// The parameters of a call of an endpoint; `arguments` beside the entry's id.
pub fn call(entry: &str, arguments: Value) -> Value {
    let mut arguments = arguments;
    arguments["entryId"] = entry.into();
    json!({"name": "call_api_endpoint", "arguments": arguments})
}

/// A call that the PSA answers after this many milliseconds.
pub fn slow(ms: u64) -> Value {
    call("get-_api_v1_reports_slow", json!({"query": {"ms": ms}}))
}

/// The same, told of its progress under this name.
pub fn told(mut params: Value, token: impl Into<Value>) -> Value {
    params["_meta"]["progressToken"] = token.into();
    params
}

/// Gives a ticket another title.
pub fn rename(ticket: &str, title: &str) -> Value {
    call("put-_api_v1_tickets_id", json!({"path": {"id": ticket}, "body": {"title": title}}))
}

/// One session.
pub struct Conversation<'a> {
    world: &'a World,
    token: String,
    pub session: String,
}

impl<'a> Conversation<'a> {
    /// Begins one in this revision.
    pub async fn begin(world: &'a World, agent: &str, revision: &str) -> Self {
        let (token, answer) = (world.token(agent), initialize(world, agent, revision).await);
        assert_eq!(answer.body["result"]["protocolVersion"], revision, "{answer:?}");
        let session = answer.header("mcp-session-id").to_owned();
        assert!(!session.is_empty(), "{answer:?}");
        Self { world, token, session }
    }

    /// The same session, as this agent would have it.
    pub fn taken_by(&self, agent: &str) -> Self {
        Self { world: self.world, token: self.world.token(agent), session: self.session.clone() }
    }

    /// The head of any request in it.
    pub fn head(&self, method: &str) -> http::request::Builder {
        http::Request::builder()
            .method(method)
            .uri(&self.world.mcp_url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("mcp-session-id", &self.session)
    }

    /// A message that takes `accept` for an answer.
    pub fn message(&self, accept: &str, message: &Value) -> http::Request<Bytes> {
        let head = self.head("POST").header("content-type", "application/json").header("accept", accept);
        head.body(Bytes::from(message.to_string())).expect("a request")
    }

    /// Says something and reads the whole answer, which is no stream.
    pub async fn say(&self, message: &Value) -> Answer {
        self.world.send(self.message("application/json", message)).await
    }

    pub async fn ask(&self, method: &str, params: Value) -> Answer {
        self.say(&request(1, method, params)).await
    }

    /// Says something and reads the answer as it comes.
    pub async fn open(&self, message: &Value) -> Stream {
        Stream::open(self.message(BOTH, message)).await
    }

    /// Opens the session's own stream, or reads on after the event `last`.
    pub async fn listen(&self, last: Option<&str>) -> Stream {
        let mut head = self.head("GET").header("accept", "text/event-stream");
        if let Some(last) = last {
            head = head.header("last-event-id", last);
        }
        Stream::open(head.body(Bytes::new()).expect("a request")).await
    }

    /// Ends it.
    pub async fn end(&self) -> Answer {
        self.world.send(self.head("DELETE").body(Bytes::new()).expect("a request")).await
    }
}

/// The handshake alone.
pub async fn initialize(world: &World, agent: &str, revision: &str) -> Answer {
    let client = json!({"name": "an older client", "version": "3"});
    let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
    let token = world.token(agent);
    world.post(Some(&token), request(0, "initialize", params).to_string(), &[]).await
}
