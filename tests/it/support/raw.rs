//! A PSA that is nothing but a TCP server: what it does to a call is chosen by the last segment of
//! the call's path. It has a catalogue of one read and one write, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does once it has read a whole request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes this and closes.
    Say(Vec<u8>),
    /// Writes this and waits until the client closes.
    Keep(Vec<u8>),
    /// Writes this and resets the connection.
    Reset(Vec<u8>),
    /// Writes the first, then the second again and again, with a pause between.
    Repeat(Vec<u8>, Vec<u8>, Duration),
}

type Acts = Arc<BTreeMap<String, Act>>;

#[derive(Clone, Default)]
struct Shared {
    acts: Acts,
    /// Method and target of each request.
    seen: Arc<Mutex<Vec<String>>>,
    /// What the next connection is told before it has said anything.
    greeting: Arc<Mutex<Option<Act>>>,
}

pub struct RawPsa {
    pub address: SocketAddr,
    shared: Shared,
    accepting: JoinHandle<()>,
}

impl RawPsa {
    pub async fn start(acts: impl IntoIterator<Item = (String, Act)>) -> Self {
        let shared = Shared { acts: Arc::new(acts.into_iter().collect()), ..Shared::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Stops listening; who connects is refused.
    pub async fn leave(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// Listens again, where it did.
    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = tokio::spawn(accept(listener, self.shared.clone()));
    }

    /// Does this to the next connection before reading from it.
    pub fn greet(&self, act: Act) {
        *self.shared.greeting.lock() = Some(act);
    }

    /// How many requests with this method had a target with this last segment.
    pub fn count(&self, method: &str, name: &str) -> usize {
        let ends = format!("/{name}");
        let seen = self.shared.seen.lock();
        seen.iter().filter(|line| line.starts_with(method) && line.ends_with(&ends)).count()
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let greeting = shared.greeting.lock().take();
            if let Some(act) = greeting {
                return perform(&mut stream, act).await;
            }
            let Some(target) = request(&mut stream).await else { return };
            shared.seen.lock().push(target.clone());
            let name = target.rsplit('/').next().unwrap_or_default();
            let good = |body: String| Act::Say(answer("200 OK", JSON, body));
            let act = match shared.acts.get(name) {
                Some(act) => act.clone(),
                None if name == "mcp-registry" => good(registry().to_string()),
                None => good(json!({"name": name}).to_string()),
            };
            perform(&mut stream, act).await;
        });
    }
}

async fn perform(stream: &mut TcpStream, act: Act) {
    // Whoever stops listening is none of its concern.
    match act {
        Act::Say(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            drain(stream).await;
        }
        Act::Keep(bytes) => {
            let _ = stream.write_all(&bytes).await;
            drain(stream).await;
        }
        Act::Reset(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.set_zero_linger();
        }
        Act::Repeat(first, again, pause) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&again).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn drain(stream: &mut TcpStream) {
    while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
}

/// Reads a request; returns its method and target.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return head.lines().next()?.strip_suffix(" HTTP/1.1").map(str::to_owned);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.extend_from_slice(&buffer[..read]),
        }
    }
}

pub const JSON: &str = "content-type: application/json\r\n";

/// A whole answer that ends the connection; `headers` are whole lines.
pub fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn registry() -> Value {
    let parameters = json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]);
    let entry = |id: &str, method: &str| {
        json!({
            "id": id, "method": method, "path": "/api/v1/things/{id}", "displayName": id, "summary": id,
            "tags": ["things"], "approvalRequired": false, "parameters": parameters,
        })
    };
    let mut write = entry("post-thing", "post");
    write["requestBodySchema"] = json!({"type": "object"});
    json!({"data": {"edition": "ce", "count": 2, "entries": [entry("get-thing", "get"), write]}})
}
