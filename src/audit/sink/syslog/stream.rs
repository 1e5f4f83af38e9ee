//! Messages with their length before them over a connection, plain (RFC 6587 section 3.4.1) or in TLS (RFC 5425).
//!
//! That bytes were written says little: the receiver may be gone, and what lay in buffers between is gone with it. So
//! the messages that were written last are kept, and a new connection begins with them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::{Address, Writer};
use crate::audit::sink::table::{Sink, Undelivered};
use crate::outbound::Transport;
use crate::record::Record;

/// Bytes of messages that are kept after they were written: more than lies in buffers on the way.
const KEPT: usize = 4 << 20;
/// What may wait in this machine's buffer, so that [`KEPT`] is more than that and the receiver's together.
const BUFFER: u32 = 256 << 10;
/// How long to listen, after a batch, for a receiver that says that it is gone: the round trip on most networks.
const AFTER: Duration = Duration::from_millis(5);

pub(super) struct Stream {
    address: Address,
    writer: Writer,
    timeout: Duration,
    /// TLS, where there is any.
    way: Option<Transport>,
    connection: Option<Box<dyn Connection>>,
    kept: Kept,
}

trait Connection: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Connection for T {}

/// Messages that were written and may not have arrived.
#[derive(Default)]
struct Kept {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Stream {
    pub fn new(address: Address, writer: Writer, timeout: Duration, way: Option<Transport>) -> Self {
        Self { address, writer, timeout, way, connection: None, kept: Kept::default() }
    }

    async fn send(&mut self, records: &[Arc<Record>]) -> Result<(), String> {
        // Taken out: where this wait is given up, half a message may be written, and nothing may follow it.
        let mut current = self.connection.take();
        if let Some(connection) = &mut current
            && !is_open(connection, Duration::ZERO).await
        {
            current = None;
        }
        let mut connection = match current {
            Some(connection) => connection,
            None => {
                let mut fresh = self.connect().await?;
                for frame in &self.kept.frames {
                    self.write(&mut fresh, frame).await?;
                }
                fresh
            }
        };
        let frames = records.iter().map(|record| frame(&self.writer.message(record)));
        let frames: Vec<_> = frames.collect();
        self.write(&mut connection, &frames.concat()).await?;
        if !is_open(&mut connection, AFTER).await {
            return Err("the receiver closed the connection".to_owned());
        }
        self.kept.add(frames);
        self.connection = Some(connection);
        Ok(())
    }

    async fn write(&self, connection: &mut Box<dyn Connection>, bytes: &[u8]) -> Result<(), String> {
        let writing = async {
            connection.write_all(bytes).await?;
            connection.flush().await
        };
        match tokio::time::timeout(self.timeout, writing).await {
            Ok(written) => written.map_err(|error| format!("the connection broke ({error})")),
            Err(_) => Err("the receiver took nothing more within the time limit".to_owned()),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, String> {
        let unreachable = |error: io::Error| format!("{} cannot be reached ({error})", self.address.host);
        let addresses = self.address.resolve().await?;
        // Where one of them swallows what is sent to it, there is time left for the others.
        let each = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            let connecting = async {
                let socket = socket?;
                socket.set_send_buffer_size(BUFFER)?;
                socket.set_keepalive(true)?;
                self.secure(socket.connect(address).await?).await
            };
            let late = |_| Err(io::ErrorKind::TimedOut.into());
            match tokio::time::timeout(each, connecting).await.unwrap_or_else(late) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    async fn secure(&self, stream: TcpStream) -> io::Result<Box<dyn Connection>> {
        let Some(way) = &self.way else { return Ok(Box::new(stream)) };
        let wrong = |error: crate::outbound::OutboundError| io::Error::other(error.to_string());
        let config = way.tls().map_err(wrong)?;
        let name = match way.name().map_err(wrong)? {
            Some(name) => name,
            None => ServerName::try_from(self.address.host.clone()).map_err(io::Error::other)?,
        };
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

#[async_trait]
impl Sink for Stream {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        self.send(records).await.map_err(|why| Undelivered { taken: 0, why })
    }
}

impl Kept {
    fn add(&mut self, frames: Vec<Vec<u8>>) {
        self.bytes += frames.iter().map(Vec::len).sum::<usize>();
        self.frames.extend(frames);
        while self.bytes > KEPT
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }
}

/// Its length, a space, and the message.
fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = format!("{} ", message.len()).into_bytes();
    frame.extend_from_slice(message);
    frame
}

/// False where the receiver has closed its side, within `wait`. A syslog receiver says nothing else.
async fn is_open(connection: &mut Box<dyn Connection>, wait: Duration) -> bool {
    let mut said = [0; 256];
    // Also where there is no wait: what has arrived must have been noticed by the runtime.
    tokio::task::yield_now().await;
    let listening = async { while connection.read(&mut said).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(wait, listening).await.is_err()
}
