//! Who says the lines: it fills in what only a run knows, sends, and writes down what comes back.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::line::{Line, Request, Response};
use super::mask;
use crate::support::wait::PATIENCE;
use crate::support::world::{World, until};

/// Headers of a response that say nothing about it.
const PLUMBING: [&str; 5] = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

/// Where HTTP+SSE is served, a resource of its own.
const EVENTS: &str = "/api/mcp/sse";

pub struct Client<'a> {
    world: &'a World,
    ticket: String,
    sessions: HashMap<String, String>,
    messages: HashMap<String, String>,
    streams: HashMap<String, Events>,
}

impl<'a> Client<'a> {
    pub async fn new(world: &'a World) -> Self {
        let ticket = world.a_ticket("technician").await;
        world.issuer.allow_resource(&format!("{}{EVENTS}", world.base));
        let (sessions, messages, streams) = Default::default();
        Self { world, ticket, sessions, messages, streams }
    }

    /// Does what the line says, and leaves in it what came back.
    pub async fn say(&mut self, line: &mut Line) {
        let agent = line.agent.clone().unwrap_or_default();
        if line.hangs_up {
            self.streams.remove(&agent);
        }
        (line.response, line.meanwhile_response, line.upstream) = (None, None, None);
        if line.leaves {
            let leaving = self.send(&line.request, &agent);
            tokio::select! {
                came = leaving => panic!("{}: answered before the client left: {}", line.conversation, came.0.status),
                () = self.slow_call(|_| true) => {}
            }
            line.upstream = Some(self.ended().await);
            return;
        }
        let meanwhile = async {
            let request = line.meanwhile.as_ref()?;
            self.slow_call(|_| true).await;
            let (head, mut events) = self.send(request, &agent).await;
            Some((head, events.whole().await))
        };
        let (mut head, mut events, came) = {
            let first = async {
                let (head, mut events) = self.send(&line.request, &agent).await;
                // A stream that stays is read below, and only as far as the line says.
                let whole = if line.reads.is_some() { None } else { Some(events.whole().await) };
                (head, events, whole)
            };
            let ((head, events, whole), came) = tokio::join!(first, meanwhile);
            let mut head = head;
            head.body = whole.flatten();
            (head, events, came)
        };
        if line.hangs_up {
            // The server has yet to notice that the stream is closed.
            let again = async || {
                let (head, mut events) = self.send(&line.request, &agent).await;
                let body = events.whole().await;
                (head.status != 202).then_some(Response { body, ..head })
            };
            if head.status == 202 {
                head = until(again).await;
            }
        }
        if let Some(count) = line.reads {
            let mut read = Vec::new();
            while read.len() < count {
                read.push(
                    events
                        .next()
                        .await
                        .unwrap_or_else(|| panic!("{}: no further event: {head:?}", line.conversation)),
                );
            }
            head.body = Some(Value::Array(read));
        }
        self.learn(&agent, &head);
        if line.stays {
            self.streams.insert(agent.clone(), events);
        } else if head.status == 202 && line.meanwhile.is_none() {
            head.stream = self.answer_on_stream(&agent, &line.request).await;
        }
        if let Some((head, body)) = came {
            line.meanwhile_response = Some(self.masked(Response { body, ..head }));
            line.upstream = Some(self.ended().await);
        }
        line.response = Some(self.masked(head));
    }

    /// Waits until the PSA has the slow call, and it is as `wanted`.
    async fn slow_call(&self, wanted: fn(&Value) -> bool) {
        until(|| async {
            let reached = self.world.reached().await;
            let slow = |request: &&Value| {
                request["path"].as_str().is_some_and(|path| path.starts_with("/api/v1/reports/slow"))
            };
            reached.iter().filter(slow).any(wanted).then_some(())
        })
        .await;
    }

    async fn ended(&self) -> String {
        self.slow_call(|request| request["aborted"] == true).await;
        "aborted".to_owned()
    }

    fn token_for_events(&self, agent: &str) -> String {
        let resource = format!("{}{EVENTS}", self.world.base);
        let token = self.world.issuer.token_for(&format!("demo-{agent}"), &resource).expect("a token");
        token.expose().to_owned()
    }

    async fn send(&self, request: &Request, agent: &str) -> (Response, Events) {
        let fill = |text: &str| self.filled(text, agent);
        let mut sent = http::Request::builder()
            .method(request.method.as_str())
            .uri(fill(&request.path))
            .header("host", self.world.authority());
        for (name, value) in &request.headers {
            sent = sent.header(name, fill(value));
        }
        if !agent.is_empty() {
            let token = match fill(&request.path).starts_with(EVENTS) {
                true => self.token_for_events(agent),
                false => self.world.token(agent),
            };
            sent = sent.header("authorization", format!("Bearer {token}"));
        }
        let body = match (&request.body, &request.text) {
            (Some(body), _) => mask::strings(body.clone(), &fill).to_string(),
            (None, text) => text.clone().unwrap_or_default(),
        };
        let sent = sent.body(Full::new(Bytes::from(body))).expect("a request");
        let sending = async {
            let stream = TcpStream::connect(self.world.authority()).await.expect("connected");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
            let running = Running(tokio::spawn(async move {
                // Leaving is no failure.
                let _ = connection.await;
            }));
            (sender.send_request(sent).await.expect("an answer"), running)
        };
        let (answer, running) = tokio::time::timeout(PATIENCE, sending).await.expect("an answer in time");
        let (head, body) = answer.into_parts();
        let text = |value: &http::HeaderValue| value.to_str().expect("readable").to_owned();
        let headers: BTreeMap<_, _> = head
            .headers
            .iter()
            .filter(|(name, _)| !PLUMBING.contains(&name.as_str()))
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        let streams = headers.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let response = Response { status: head.status.as_u16(), headers, body: None, stream: None };
        (response, Events { body, unread: Vec::new(), streams, _running: running })
    }

    /// What the server told that later requests carry.
    fn learn(&mut self, agent: &str, head: &Response) {
        if let Some(session) = head.headers.get("mcp-session-id") {
            self.sessions.insert(agent.to_owned(), session.clone());
        }
        for event in head.body.iter().filter_map(Value::as_array).flatten() {
            if let (Some("endpoint"), Some(url)) = (event["event"].as_str(), event["data"].as_str()) {
                let path = url.strip_prefix(&self.world.base).expect("an absolute URL");
                self.messages.insert(agent.to_owned(), path.to_owned());
            }
        }
    }

    /// The events up to the one that answers `request`, where the agent has a stream.
    async fn answer_on_stream(&mut self, agent: &str, request: &Request) -> Option<Vec<Value>> {
        let stream = self.streams.get_mut(agent)?;
        let id = match &request.body {
            Some(Value::Object(message)) => message.get("id")?,
            // What cannot be read is answered without an id.
            _ => &Value::Null,
        };
        let mut read = Vec::new();
        loop {
            let event = stream.next().await.expect("an answer");
            let last = event["data"]["id"] == *id;
            read.push(event);
            if last {
                return Some(read);
            }
        }
    }

    fn filled(&self, text: &str, agent: &str) -> String {
        let known = |of: &HashMap<String, String>| of.get(agent).cloned().unwrap_or_default();
        text.replace("{ticket}", &self.ticket)
            .replace("{session}", &known(&self.sessions))
            .replace("{messages}", &known(&self.messages))
    }

    fn masked(&self, response: Response) -> Response {
        let one = |text: &str| {
            if text == env!("CARGO_PKG_VERSION") {
                return "{version}".to_owned();
            }
            let mut text = text.to_owned();
            for (known, name) in [(&self.sessions, "{session}"), (&self.messages, "{messages}")] {
                for value in known.values() {
                    text = text.replace(value, name);
                }
            }
            let world = self.world;
            let text = text.replace(&self.ticket, "{ticket}").replace(&world.base, "{base}");
            mask::volatile(&text.replace(&world.issuer.issuer, "{issuer}"))
        };
        Response {
            headers: response.headers.iter().map(|(name, value)| (name.clone(), one(value))).collect(),
            body: response.body.map(|body| mask::strings(body, &one)),
            stream: response
                .stream
                .map(|all| all.into_iter().map(|event| mask::strings(event, &one)).collect()),
            ..response
        }
    }
}

/// A connection; it is closed when this is dropped.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A response's body, read as events or as a whole.
struct Events {
    body: Incoming,
    unread: Vec<u8>,
    streams: bool,
    _running: Running,
}

impl Events {
    /// The body to its end: JSON, events or text. None where there is none.
    async fn whole(&mut self) -> Option<Value> {
        if self.streams {
            let mut all = Vec::new();
            while let Some(event) = self.next().await {
                all.push(event);
            }
            return Some(Value::Array(all));
        }
        while self.more().await {}
        let text = String::from_utf8(std::mem::take(&mut self.unread)).expect("UTF-8");
        if text.is_empty() {
            return None;
        }
        Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The next event with its fields; data that is JSON is shown as such. Comments only keep a stream alive.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                let mut shown = json!({});
                for line in std::str::from_utf8(&event).expect("UTF-8").lines() {
                    if let Some((name, value)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) {
                        let value = value.strip_prefix(' ').unwrap_or(value);
                        shown[name] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
                    }
                }
                if shown.as_object().is_some_and(|fields| !fields.is_empty()) {
                    return Some(shown);
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("the rest in time");
        match frame {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                self.unread.extend_from_slice(&data);
                true
            }
            // How a stream breaks off is no part of what was said.
            Some(Err(_)) | None => false,
        }
    }
}
