//! A client's side of event streams (WHATWG HTML, server-sent events): each request on a connection of its own, its
//! answer read piece by piece. Who drops a stream has left.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::wait::PATIENCE;

/// What stands between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub comment: Option<String>,
    /// `message` where nothing else is said.
    pub kind: String,
    pub id: Option<String>,
    /// Milliseconds.
    pub retry: Option<u64>,
    pub data: Option<String>,
}

impl Event {
    fn read(frame: &str) -> Self {
        let mut event = Self { kind: "message".to_owned(), ..Self::default() };
        for line in frame.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" => event.comment = Some(value),
                "event" => event.kind = value,
                "id" => event.id = Some(value),
                "retry" => event.retry = value.parse().ok(),
                "data" => {
                    let before = event.data.take().map(|data| data + "\n").unwrap_or_default();
                    event.data = Some(before + &value);
                }
                _ => panic!("a field that nobody knows: {line}"),
            }
        }
        event
    }

    /// The message that it carries; null where it carries none.
    pub fn message(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        if data.is_empty() { Value::Null } else { serde_json::from_str(data).expect("a message") }
    }
}

/// An answer whose body is still to be read.
pub struct Stream {
    pub status: u16,
    pub headers: http::HeaderMap,
    body: Incoming,
    unread: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Stream {
    /// Sends a request to an address of plain HTTP and waits for the head of its answer.
    pub async fn open(request: http::Request<Bytes>) -> Self {
        let opening = async {
            let (mut head, body) = request.into_parts();
            let authority = head.uri.authority().expect("an absolute URL").to_string();
            let stream = TcpStream::connect(&authority).await.expect("a connection");
            let (mut send, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
            // Its end, well or not, is seen where the body is read.
            let connection = tokio::spawn(async move { drop(connection.await) });
            let path = head.uri.path_and_query().expect("a path").as_str().parse().expect("a path");
            head.headers.entry("host").or_insert(authority.parse().expect("a value"));
            head.uri = path;
            let answer = send.send_request(http::Request::from_parts(head, Full::new(body))).await;
            let (head, body) = answer.expect("an answer").into_parts();
            let (status, headers) = (head.status.as_u16(), head.headers);
            Self { status, headers, body, unread: Vec::new(), connection }
        };
        // Some answers begin only when the server has something to say.
        tokio::time::timeout(PATIENCE * 2, opening).await.expect("an answer in time")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn is_stream(&self) -> bool {
        self.status == 200 && self.header("content-type") == "text/event-stream"
    }

    /// Whatever comes next, comments as well; None at the end.
    pub async fn any(&mut self) -> Option<Event> {
        let reading = async {
            loop {
                if let Some(at) = self.unread.windows(2).position(|window| window == b"\n\n") {
                    let frame: Vec<u8> = self.unread.drain(..at + 2).collect();
                    return Some(Event::read(
                        std::str::from_utf8(&frame).expect("UTF-8").trim_end_matches('\n'),
                    ));
                }
                if !self.more().await {
                    assert!(self.unread.is_empty(), "half an event: {:?}", self.unread);
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE * 2, reading).await.expect("something or the end in time")
    }

    /// The next event; None at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.any().await?;
            if event.comment.is_none() {
                return Some(event);
            }
        }
    }

    /// The next message; None at the end.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            let message = self.next().await?.message();
            if !message.is_null() {
                return Some(message);
            }
        }
    }

    /// All messages to the end.
    pub async fn messages(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(message) = self.message().await {
            all.push(message);
        }
        all
    }

    /// The whole body as JSON, or as a string.
    pub async fn body(mut self) -> Value {
        while self.more().await {}
        let text = String::from_utf8_lossy(&self.unread).into_owned();
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// Nothing has come within `time`, and the stream is open.
    pub async fn is_quiet_for(&mut self, time: std::time::Duration) -> bool {
        self.unread.is_empty() && tokio::time::timeout(time, self.more()).await.is_err()
    }

    async fn more(&mut self) -> bool {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                self.unread.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                true
            }
            // A body that breaks off is an end as well.
            Some(Err(_)) | None => false,
        }
    }
}
