//! Requests as a client sends them, and what is heard: a head with its time, and as much of the body
//! as was waited for. The token goes to the server's own origin only.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use serde_json::Value;
use tokio::time::timeout_at;
use url::Url;

use super::message::{ID, Message};
use super::sse::{self, Event};
use crate::outbound::{Outbound, OutboundError, Pieces};
use crate::secret::Secret;

/// What came back, as far as it was read.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// From the request to the head.
    pub head: Duration,
    /// From the request to the first byte of the body.
    pub first: Option<Duration>,
    pub body: String,
    /// The body came to its end; otherwise it was given up or broke.
    pub whole: bool,
}

/// An answer, or why there is none.
pub type Heard = Result<Answer, OutboundError>;

/// How long to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end; of an event stream, to the answer of our request.
    Answered,
    /// Of an event stream, to its first comment or its first whole event.
    Stirred,
    /// Of an event stream, to its first whole event.
    Event,
}

impl Answer {
    /// The field's value; empty where there is none or it is no text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type without parameters, in lower case.
    pub fn media(&self) -> String {
        let written = self.header("content-type");
        written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub fn is_stream(&self) -> bool {
        self.media() == "text/event-stream"
    }

    /// A web page, whatever it says it is.
    pub fn is_page(&self) -> bool {
        let start = self.body.trim_start().get(..5).unwrap_or_default().to_ascii_lowercase();
        self.media() == "text/html" || start == "<!doc" || start == "<html"
    }

    /// The whole events of a stream.
    pub fn events(&self) -> Vec<Event> {
        if self.is_stream() { sse::events(&self.body) } else { Vec::new() }
    }

    /// The JSON document.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// The JSON-RPC answer to our request, whether it came as a document or in a stream.
    pub fn reply(&self) -> Option<Value> {
        if self.is_stream() { reply_in(&self.body) } else { self.json().filter(answers) }
    }

    /// What of the reply is a result.
    pub fn result(&self) -> Option<Value> {
        self.reply()?.get_mut("result").map(Value::take)
    }
}

/// The JSON-RPC answer among the events of a stream.
pub fn reply_in(stream: &str) -> Option<Value> {
    let events = sse::events(stream).into_iter().filter(|event| event.kind == "message");
    events.filter_map(|event| serde_json::from_str(&event.data).ok()).find(answers)
}

/// An error may come without our id: it was refused before the id was read.
fn answers(value: &Value) -> bool {
    value.get("jsonrpc").is_some()
        && (value.get("error").is_some_and(Value::is_object)
            || (value.get("result").is_some() && value["id"] == ID))
}

/// Sends to one server.
#[derive(Clone)]
pub struct Wire {
    pub url: Url,
    outbound: Outbound,
    /// How long an answer is waited for.
    pub patience: Duration,
}

impl Wire {
    pub fn new(url: Url, outbound: Outbound, patience: Duration) -> Self {
        Self { url, outbound, patience }
    }

    /// POSTs a message to the MCP endpoint.
    pub async fn post(&self, token: Option<&Secret>, message: &Message) -> Heard {
        self.post_to(&self.url, token, message).await
    }

    /// POSTs a message to another place of the same origin.
    pub async fn post_to(&self, url: &Url, token: Option<&Secret>, message: &Message) -> Heard {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
        ];
        headers.extend(message.headers.clone());
        self.send(Method::POST, url, token, &headers, &message.body.to_string()).await
    }

    /// Opens an event stream, and reads it as far as `until`.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn listen(
        &self,
        url: &Url,
        token: Option<&Secret>,
        headers: &[(&'static str, String)],
        until: Until,
    ) -> Result<Line, OutboundError> {
        let mut headers = headers.to_vec();
        headers.push(("accept", "text/event-stream".to_owned()));
        let mut line = self.open(self.request(Method::GET, url, token, &headers, "")?, token).await?;
        line.read(until, self.patience).await;
        Ok(line)
    }

    /// Fetches a document, of whosever origin; without the token.
    pub async fn fetch(&self, url: &str) -> Heard {
        let url = Url::parse(url).map_err(|_| OutboundError::Invalid("it is no URL"))?;
        self.send(Method::GET, &url, None, &[("accept", "application/json".to_owned())], "").await
    }

    /// Anything else without a body.
    pub async fn bare(
        &self,
        method: Method,
        url: &Url,
        token: Option<&Secret>,
        headers: &[(&'static str, String)],
    ) -> Heard {
        self.send(method, url, token, headers, "").await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        token: Option<&Secret>,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Heard {
        let mut line = self.open(self.request(method, url, token, headers, body)?, token).await?;
        line.read(Until::Answered, self.patience).await;
        Ok(line.answer)
    }

    async fn open(&self, request: Request<Bytes>, token: Option<&Secret>) -> Result<Line, OutboundError> {
        let start = Instant::now();
        let (mut head, pieces) = self.outbound.stream(request).await?.into_parts();
        for value in head.headers.values_mut() {
            let hidden = value.to_str().ok().and_then(|text| hidden(text, token)?.parse().ok());
            *value = hidden.unwrap_or_else(|| value.clone());
        }
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            head: start.elapsed(),
            first: None,
            body: String::new(),
            whole: false,
        };
        Ok(Line { answer, start, pieces, bytes: Vec::new(), token: token.cloned() })
    }

    fn request(
        &self,
        method: Method,
        url: &Url,
        token: Option<&Secret>,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Result<Request<Bytes>, OutboundError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        // The last line of defence, whatever a server makes a caller believe.
        if let Some(token) = token.filter(|_| url.origin() == self.url.origin()) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        request
            .header(header::USER_AGENT, concat!("sidegate-doctor/", env!("CARGO_PKG_VERSION")))
            .body(Bytes::from(body.to_owned()))
            .map_err(|_| OutboundError::Invalid("its URL or a header has characters that cannot be sent"))
    }
}

/// An answer that may still be coming.
pub struct Line {
    pub answer: Answer,
    start: Instant,
    pieces: Pieces,
    bytes: Vec<u8>,
    token: Option<Secret>,
}

impl Line {
    /// Reads on, for `patience` at most. What came is kept: a body that breaks or stalls tells more than none.
    pub async fn read(&mut self, until: Until, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        while !(self.answer.is_stream() && enough(until, &self.answer.body)) {
            match timeout_at(deadline, self.pieces.next()).await {
                Ok(Ok(Some(piece))) => {
                    self.answer.first.get_or_insert_with(|| self.start.elapsed());
                    self.bytes.extend_from_slice(&piece);
                    let body = String::from_utf8_lossy(&self.bytes);
                    let body = hidden(&body, self.token.as_ref()).unwrap_or_else(|| body.into_owned());
                    self.answer.body = body;
                }
                Ok(Ok(None)) => {
                    self.answer.whole = true;
                    return;
                }
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}

/// Whether what came of a stream is all that is waited for.
fn enough(until: Until, body: &str) -> bool {
    match until {
        Until::Answered => reply_in(body).is_some(),
        Until::Stirred => body.starts_with(':') || !sse::events(body).is_empty(),
        Until::Event => !sse::events(body).is_empty(),
    }
}

/// The text without the token that it repeats; none where it does not. Before anything is cut short: a
/// piece of a token would not be known for one. What is shorter than any token may stand for itself.
fn hidden(text: &str, token: Option<&Secret>) -> Option<String> {
    let token = token.map(Secret::expose).filter(|token| token.len() >= 8)?;
    // Some write JSON with every slash escaped.
    let escaped = token.replace('/', "\\/");
    let repeats = text.contains(token) || text.contains(&escaped);
    repeats.then(|| text.replace(token, "[secret]").replace(&escaped, "[secret]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_hidden_wherever_an_answer_repeats_it() {
        let token = Secret::new("abc/defgh");
        for text in ["not abc/defgh!", r#"{"x":"abc\/defgh"}"#] {
            let shown = hidden(text, Some(&token)).unwrap();
            assert!(shown.contains("[secret]") && !shown.contains("defgh"), "{shown}");
        }
        assert_eq!(hidden("not abc", Some(&token)), None);
        assert_eq!(hidden("a token", Some(&Secret::new("a"))), None);
    }

    #[test]
    fn an_answer_is_found_in_a_document_or_in_a_stream_among_other_messages() {
        let of = |media: &str, body: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media.parse().unwrap())]);
            let (head, first) = (Duration::ZERO, None);
            Answer { status: 200, headers, head, first, body: body.to_owned(), whole: true }
        };
        let reply = r#"{"jsonrpc":"2.0","id":1,"result":{"x":1}}"#;
        assert_eq!(of("application/json; charset=utf-8", reply).result().unwrap()["x"], 1);
        let stream = format!(
            ": hi\n\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"m\"}}\n\nevent: message\ndata: {reply}\n\n"
        );
        assert_eq!(of("Text/Event-Stream", &stream).result().unwrap()["x"], 1);
        let nameless = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#;
        assert!(of("application/json", nameless).reply().is_some());
        for other in ["{}", "[]", r#"{"jsonrpc":"2.0","id":2,"result":{}}"#, r#"{"error":"invalid_token"}"#] {
            assert!(of("application/json", other).reply().is_none(), "{other}");
        }
        assert!(of("application/json", " <!DOCTYPE html>").is_page() && !of("text/plain", "x").is_page());
    }
}
