//! A wire between Sidegate and the PSA that keeps every request as it was written, byte for byte.
//!
//! Reads HTTP/1.1 as strictly as it can be read; what it cannot read is kept as a request that nobody expects.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// One request as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub method: String,
    pub target: String,
    /// Names as they were written, in order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Sent {
    /// The value of the only header of exactly this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }
}

/// The wire. It forwards until the test ends.
pub struct Tap {
    pub url: String,
    seen: Arc<Mutex<Vec<Sent>>>,
}

impl Tap {
    /// Listens on a port of its own for what is meant for `psa` (`http://host:port`).
    pub async fn before(psa: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, psa) = (seen.clone(), psa.trim_start_matches("http://").to_owned());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&psa).await else { continue };
                let (near_in, mut near_out) = near.into_split();
                let (mut far_in, far_out) = far.into_split();
                tokio::spawn(keep(near_in, far_out, log.clone()));
                tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
            }
        });
        Self { url, seen }
    }

    /// Every request so far, oldest first. A request is here before the PSA has it.
    pub fn seen(&self) -> Vec<Sent> {
        self.seen.lock().unwrap().clone()
    }
}

async fn keep(mut near: OwnedReadHalf, mut far: OwnedWriteHalf, log: Arc<Mutex<Vec<Sent>>>) {
    let (mut waiting, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(read @ 1..) = near.read(&mut buffer).await {
        waiting.extend_from_slice(&buffer[..read]);
        while let Some((sent, length)) = first(&waiting) {
            waiting.drain(..length);
            log.lock().unwrap().push(sent);
        }
        if far.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    if !waiting.is_empty() {
        log.lock().unwrap().push(unreadable(&waiting));
    }
}

/// The first whole request of `bytes` and how long it is.
fn first(bytes: &[u8]) -> Option<(Sent, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let Some(mut sent) = head(&bytes[..end]) else { return Some((unreadable(bytes), bytes.len())) };
    let length = sent.header("content-length").map_or(Some(0), |length| length.parse().ok());
    let framed = sent.headers.iter().filter(|(name, _)| name == "content-length").count() <= 1
        && sent.headers.iter().all(|(name, _)| name != "transfer-encoding");
    let (Some(length), true) = (length, framed) else { return Some((unreadable(bytes), bytes.len())) };
    let whole = end + 4 + length;
    sent.body = bytes.get(end + 4..whole)?.to_vec();
    Some((sent, whole))
}

fn head(bytes: &[u8]) -> Option<Sent> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let (method, rest) = lines.next()?.split_once(' ')?;
    let target = rest.strip_suffix(" HTTP/1.1")?;
    let printable = |text: &str| text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    let headers: Option<Vec<_>> = lines
        .map(|line| line.split_once(": ").filter(|_| printable(line)))
        .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    (printable(target) && !target.contains(' ')).then_some(())?;
    Some(Sent { method: method.to_owned(), target: target.to_owned(), headers: headers?, body: Vec::new() })
}

fn unreadable(bytes: &[u8]) -> Sent {
    let method = "UNREADABLE".to_owned();
    Sent { method, target: String::new(), headers: Vec::new(), body: bytes.to_vec() }
}
