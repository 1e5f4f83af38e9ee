//! A server that follows a script, byte by byte, and remembers what it was sent.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does after it has read a whole request.
#[derive(Clone, Debug)]
pub enum Then {
    Answer(String),
    Hang,
    HangUp,
}

/// A PSA that follows a script, one step a request; the last step repeats.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Listens on a port of its own and serves until the test ends.
    pub async fn new(script: Vec<Then>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, script.clone(), log.clone()));
            }
        });
        Self { url, seen }
    }

    /// All requests so far, each with its head and body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, script: Vec<Then>, log: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        let step = {
            let mut log = log.lock().unwrap();
            log.push(request);
            script[(log.len() - 1).min(script.len() - 1)].clone()
        };
        match step {
            Then::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Then::Hang => std::future::pending().await,
            Then::HangUp => return,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
        }
    }
}

/// An answer in JSON; `headers` are whole lines.
pub fn answer(status: &str, headers: &str, body: &str) -> Then {
    Then::Answer(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The head's lines, sorted, without the request line.
pub fn headers(request: &str) -> Vec<String> {
    let head = request.split("\r\n\r\n").next().unwrap();
    let mut lines: Vec<_> = head.lines().skip(1).map(str::to_lowercase).collect();
    lines.sort();
    lines
}
