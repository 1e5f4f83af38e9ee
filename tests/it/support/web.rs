//! A PSA's web server made of raw sockets: it keeps every byte that passes through to it, and
//! does as each test says. The catalogue it serves by itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Log = Arc<Mutex<Vec<Vec<u8>>>>;

/// The server: one entry in the log for each connection that asked for more than the catalogue.
pub struct Web {
    pub url: String,
    log: Log,
}

/// One connection to it.
pub struct Conn {
    stream: TcpStream,
    unread: Vec<u8>,
    log: Log,
    slot: Option<usize>,
    /// How many connections came before this one.
    pub number: usize,
}

impl Web {
    /// Serves each connection with `serve` until the test ends.
    pub async fn new<F>(serve: fn(Conn) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Log::default();
        let shared = log.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let conn = Conn { stream, unread: Vec::new(), log: shared.clone(), slot: None, number: 0 };
                tokio::spawn(serve(conn));
            }
        });
        Self { url, log }
    }

    /// Answers everything with 200 and `ok`.
    pub async fn friendly() -> Self {
        Self::new(|mut conn| async move {
            while let Some(head) = conn.request().await {
                let body = if head.starts_with("HEAD") { "" } else { "ok" };
                conn.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{body}")).await;
            }
        })
        .await
    }

    /// What each connection has carried so far.
    pub fn seen(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// All of it.
    pub fn everything(&self) -> String {
        self.seen().concat()
    }
}

impl Conn {
    /// The next request's head; its body is read and left in the log.
    pub async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if lower.contains("transfer-encoding: chunked") {
            self.until(b"0\r\n\r\n").await?;
        } else {
            let length = length.unwrap_or(0);
            while self.unread.len() < length {
                self.more().await?;
            }
            self.unread.drain(..length);
        }
        Some(head)
    }

    /// The next request's head, catalogue fetches aside.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
            if !head.contains(" /api/v1/meta/mcp-registry ") {
                return Some(head);
            }
            let entry = json!({"id": "get-_api_v1_tickets", "method": "get", "path": "/api/v1/tickets",
                "displayName": "List tickets", "tags": ["Tickets"], "approvalRequired": false, "parameters": []});
            let body = json!({"data": {"edition": "ce", "count": 1, "entries": [entry]}}).to_string();
            self.say(&format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        }
    }

    /// Everything up to and with `mark`.
    pub async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return Some(self.unread.drain(..at + mark.len()).collect());
            }
            self.more().await?;
        }
    }

    /// What comes next, some bytes.
    pub async fn some(&mut self) -> Option<Vec<u8>> {
        if self.unread.is_empty() {
            self.more().await?;
        }
        Some(std::mem::take(&mut self.unread))
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 16384];
        let read = self.stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        self.unread.extend_from_slice(&buffer[..read]);
        self.keep(&buffer[..read]);
        Some(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let mut log = self.log.lock().unwrap();
        if self.slot.is_none() {
            if bytes.windows(17).any(|window| window == b"meta/mcp-registry") {
                return;
            }
            self.number = log.len();
            self.slot = Some(log.len());
            log.push(Vec::new());
        }
        // What is large is counted by the tests that send it.
        let kept = &mut log[self.slot.unwrap()];
        if kept.len() < 1 << 20 {
            kept.extend_from_slice(bytes);
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes()).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }
}

/// A client that writes what it likes and reads what comes.
pub struct Raw<S> {
    stream: S,
    unread: Vec<u8>,
}

impl Raw<TcpStream> {
    /// Connects to `http://address`.
    pub async fn connect(base: &str) -> Self {
        let stream = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
        Self { stream, unread: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // A server that has heard enough may have closed.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Everything up to and with `mark`, or to the end.
    pub async fn until(&mut self, mark: &str) -> String {
        let reading = async {
            loop {
                let mark = mark.as_bytes();
                if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                    return self.unread.drain(..at + mark.len()).collect();
                }
                if !self.more().await {
                    return std::mem::take(&mut self.unread);
                }
            }
        };
        let bytes: Vec<u8> =
            tokio::time::timeout(super::wait::PATIENCE, reading).await.expect("an answer in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Everything to the end of the connection.
    pub async fn rest(&mut self) -> String {
        let reading = async { while self.more().await {} };
        tokio::time::timeout(super::wait::PATIENCE, reading).await.expect("the end in time");
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                true
            }
        }
    }
}

/// One connection's worth of bytes to `base`, and what came back until its end.
pub async fn exchange(base: &str, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(base).await;
    raw.say(bytes).await;
    raw.rest().await
}

/// An HTTP/2 connection over TLS to `base`, trusting `ca`; the connection runs until the test ends.
pub async fn http2(base: &str, ca: PathBuf) -> h2::client::SendRequest<bytes::Bytes> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(base.trim_start_matches("https://")).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (send, connection) =
        h2::client::Builder::new().initial_window_size(1 << 20).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    send
}
