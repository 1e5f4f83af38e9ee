//! What a server may offer beyond the three tools: further tools and methods, with a line back to the client
//! while they work. The product offers nothing here; what does is compiled in for the protocol's own test suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::session::Session;
use super::stream::Stream;
use super::watch::Watches;
use crate::mcp::fault::Fault;
use crate::mcp::revision::{Era, Revision};
use crate::mcp::rpc::Id;

/// How long a client may think about a question.
const ANSWER: Duration = Duration::from_secs(300);

/// Tools and methods beyond the three tools.
#[async_trait]
pub trait Extra: Send + Sync {
    /// Listed after the three tools.
    fn tools(&self) -> Vec<Value>;

    /// `ServerCapabilities` of an era.
    fn capabilities(&self, era: Era) -> Value;

    /// The request methods that are served by [`Self::ask`].
    fn methods(&self) -> fn(Era) -> &'static [&'static str];

    /// Of the changes that a client wants to hear of, those that it will.
    fn agrees(&self, wanted: &Map<String, Value>) -> Map<String, Value>;

    /// Calls a tool; None where it has none of that name.
    async fn call(
        &self,
        name: &str,
        arguments: &Value,
        visit: &Visit<'_>,
    ) -> Option<Result<Map<String, Value>, Fault>>;

    /// Serves one of [`Self::methods`].
    async fn ask(
        &self,
        method: &str,
        params: &Map<String, Value>,
        visit: &Visit<'_>,
    ) -> Result<Map<String, Value>, Fault>;
}

/// The line back to the client.
#[async_trait]
pub trait Talk: Send + Sync {
    /// Sends a notification on the request's own stream, if it has one.
    async fn notify(&self, method: &'static str, params: Value);

    /// Puts a question to the client of a session and waits for its answer.
    async fn ask(&self, method: &'static str, params: Value) -> Result<Value, Fault>;

    /// Closes the request's stream; what is said later is read by resuming it, not before `retry`.
    async fn hang_up(&self, retry: Duration);

    /// Tells everybody who listens for it.
    async fn broadcast(&self, method: &'static str, params: Value);
}

/// One request, as it is worked on.
pub struct Visit<'a> {
    /// Whether it depends on no other request.
    pub modern: bool,
    /// Whose it is.
    pub agent: &'a str,
    /// What the client can do: as it says in this request, or said in its handshake.
    pub capabilities: &'a Value,
    /// Under which name it wants to hear of progress.
    pub progress_token: Option<&'a Value>,
    /// From which level on it wants log messages of this request.
    pub log_level: Option<&'a str>,
    /// Its answers to what an earlier result asked.
    pub input_responses: Option<&'a Map<String, Value>>,
    /// What that result gave it to bring back.
    pub request_state: Option<&'a str>,
    /// Names its session.
    pub session: Option<&'a str>,
    /// The line back.
    pub talk: &'a dyn Talk,
}

/// A result, or an error object.
type Answered = Result<Value, Value>;

/// Questions to a client that wait for an answer.
#[derive(Default)]
pub(super) struct Questions(parking_lot::Mutex<Vec<(Id, oneshot::Sender<Answered>)>>);

impl Questions {
    fn put(&self, id: Id) -> oneshot::Receiver<Answered> {
        let (answer, waiting) = oneshot::channel();
        let mut open = self.0.lock();
        // Those that nobody waits for any more go first.
        open.retain(|(_, answer)| !answer.is_closed());
        open.push((id, answer));
        waiting
    }

    /// Takes the client's answer; one to no question is dropped.
    pub fn answer(&self, id: Option<Id>, outcome: Answered) {
        let mut open = self.0.lock();
        if let Some(at) = open.iter().position(|(put, _)| Some(put) == id.as_ref()) {
            // Whoever asked may have left.
            let _ = open.swap_remove(at).1.send(outcome);
        }
    }
}

/// The line back from one request.
pub(super) struct Line<'a> {
    pub revision: &'static Revision,
    pub session: Option<&'a Arc<Session>>,
    pub stream: Option<&'a Arc<Stream>>,
    pub watches: &'a Watches,
}

#[async_trait]
impl Talk for Line<'_> {
    async fn notify(&self, method: &'static str, params: Value) {
        if let Some(stream) = self.stream {
            stream.say(self.revision.notification(method, &params));
        }
    }

    async fn ask(&self, method: &'static str, params: Value) -> Result<Value, Fault> {
        let (Some(session), Some(stream)) = (self.session, self.stream) else {
            return Err(Fault::InvalidRequest("questions need a session and an event stream".to_owned()));
        };
        let id = Id::Text(uuid::Uuid::new_v4().to_string());
        let waiting = session.questions.put(id.clone());
        stream.say(self.revision.question(&id, method, &params));
        let answer = tokio::select! {
            answer = tokio::time::timeout(ANSWER, waiting) => answer,
            () = session.over.cancelled() => return Err(Fault::Internal),
        };
        match answer {
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err(error))) => {
                let said = error.get("message").and_then(Value::as_str).unwrap_or("without a reason");
                Err(Fault::InvalidRequest(format!("the client refused {method}: {said}")))
            }
            Ok(Err(_)) | Err(_) => Err(Fault::Internal),
        }
    }

    async fn hang_up(&self, retry: Duration) {
        if let Some(stream) = self.stream {
            stream.hang_up(retry);
        }
    }

    async fn broadcast(&self, method: &'static str, params: Value) {
        self.watches.tell(method, &params);
    }
}
