//! One connection of the public listeners as pingora holds it, and how a request finds out
//! which it came on. Knows nothing of HTTP beyond its version, and nothing of what is asked.

use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora::proxy::Session;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::pulse::Pulse;

/// Head and body of most answers leave in one system call, and in one TLS record.
const WRITE_BUFFER: usize = 8192;

/// How long the other side's end is waited for once ours is told.
const LINGER: Duration = Duration::from_millis(500);

/// What is known of a connection before its first request.
#[derive(Debug)]
pub struct Connection {
    /// Who connected; None on a unix socket.
    pub peer: Option<SocketAddr>,
    /// Whether it is TLS.
    pub encrypted: bool,
    /// The SHA-256 of the client's certificate (DER), where one was verified (RFC 8705 section 3.1).
    pub client_certificate: Option<[u8; 32]>,
    /// Whether it is HTTP/2.
    pub http2: bool,
    /// What it is doing.
    pub(super) pulse: Pulse,
    leaving: watch::Sender<bool>,
}

impl Connection {
    /// Says that a request of this connection goes on for as long as the value lives.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.pulse.begin();
        Busy(self.clone())
    }

    /// Has it end: HTTP/1 with its request, HTTP/2 when its client has heard of it and the requests
    /// that it has sent are answered. False where that was said before.
    pub(super) fn leave(&self) -> bool {
        !self.leaving.send_replace(true)
    }

    /// Says true from [`Self::leave`] on.
    pub(super) fn told(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }
}

/// A request that goes on.
pub struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.pulse.end(Instant::now());
    }
}

/// The connection that a request came on, HTTP/2 streams included; None only where a session has none.
pub fn of(session: &Session) -> Option<&Arc<Connection>> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}

/// Has a request's connection take no other.
pub fn leave(session: &mut Session) {
    session.set_keepalive(None);
    if let Some(connection) = of(session).filter(|connection| connection.http2) {
        connection.leave();
    }
}

/// A connection's bytes. What cannot be written for too long is an error.
pub struct Line {
    io: BufWriter<Stream>,
    connection: Arc<Connection>,
    digest: Arc<ProxyDigest>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Until when it lingers; none before its end.
    lingers: Option<Pin<Box<Sleep>>>,
}

impl Line {
    /// Takes a connection that is ready to be spoken on. `patience` is how long its peer may
    /// refuse to take what is written.
    pub fn new(stream: Stream, peer: Option<SocketAddr>, patience: Duration) -> pingora::Result<Self> {
        let certificate = stream.get_ssl().and_then(TlsRef::peer_certificate_der);
        let connection = Arc::new(Connection {
            peer,
            encrypted: stream.get_ssl_digest().is_some(),
            client_certificate: certificate.map(|der| Sha256::digest(der).into()),
            http2: matches!(stream.selected_alpn_proto(), Some(ALPN::H2)),
            pulse: Pulse::new(Instant::now()),
            leaving: watch::Sender::new(false),
        });
        // The one place of a session that carries what is not pingora's own.
        let known: Box<dyn Any + Send + Sync> = Box::new(connection.clone());
        let digest = ProxyDigest::new(Box::new(ResponseHeader::build(200, Some(0))?), Some(known));
        let io = BufWriter::with_capacity(WRITE_BUFFER, stream);
        Ok(Self { io, connection, digest: Arc::new(digest), patience, stalled: None, lingers: None })
    }

    /// What is known of it.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn patiently<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads until the other side ends, and forgets it: a socket that is closed with something unread, or that is written to
    /// afterwards, takes with it what its peer has not read yet (RFC 9112 section 9.6).
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        let lingers = self.lingers.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        lingers.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its bytes.
        f.debug_tuple("Line").field(&self.connection).finish()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The end of an answer after which pingora drops the connection.
        let _ = self.io.flush().now_or_never();
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        // Between the streams of HTTP/2 all frames are alike: none of them is a sign of a request.
        if !self.connection.http2 && buffer.filled().len() > before {
            self.connection.pulse.heard(Instant::now);
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.patiently(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.patiently(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            let shut = Pin::new(&mut self.io).poll_shutdown(cx);
            let shut = ready!(self.patiently(cx, shut));
            // An answer over HTTP/1 says itself that it is the last, and whoever is refused must not stay for it.
            if shut.is_err() || !self.connection.http2 {
                return Poll::Ready(shut);
            }
        }
        self.linger(cx)
    }
}

#[async_trait]
impl Shutdown for Line {
    async fn shutdown(&mut self) {
        // A peer that is gone already needs no farewell.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Line {
    fn id(&self) -> UniqueIDType {
        self.io.get_ref().id()
    }
}

impl Ssl for Line {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.io.get_ref().get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.get_ref().selected_alpn_proto()
    }
}

impl GetTimingDigest for Line {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_ref().get_timing_digest()
    }
}

impl GetProxyDigest for Line {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Line {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_ref().get_socket_digest()
    }
}

impl Peek for Line {}

#[cfg(test)]
mod tests {
    use pingora::protocols::l4::stream::Stream as Socket;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;

    /// Our side of a connection, and the other.
    fn sides(http2: bool) -> (Line, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut line = Line::new(Box::new(Socket::from(ours)), None, Duration::from_secs(9)).unwrap();
        // Nothing is agreed on without TLS.
        line.connection = Arc::new(Connection {
            peer: None,
            encrypted: false,
            client_certificate: None,
            http2,
            pulse: Pulse::new(Instant::now()),
            leaving: watch::Sender::new(false),
        });
        (line, theirs)
    }

    #[tokio::test]
    async fn http_2_is_closed_when_both_sides_have_ended_and_http_1_at_once() {
        let (mut line, mut theirs) = sides(true);
        let ending = tokio::spawn(async move { Shutdown::shutdown(&mut line).await });
        assert_eq!(theirs.read(&mut [0; 9]).await.unwrap(), 0, "ours has ended");
        theirs.write_all(b"what crossed it").await.unwrap();
        drop(theirs);
        ending.await.unwrap();
        let (mut line, theirs) = sides(false);
        Shutdown::shutdown(&mut line).await;
        drop(theirs);
    }

    #[tokio::test]
    async fn a_side_that_does_not_end_is_not_waited_for() {
        let (mut line, mut theirs) = sides(true);
        let began = Instant::now();
        let ending = tokio::spawn(async move { Shutdown::shutdown(&mut line).await });
        while !ending.is_finished() {
            // Fails once nobody reads it.
            let _ = theirs.write_all(b"more").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(began.elapsed() >= LINGER);
        assert!(theirs.write_all(b"more").await.is_err(), "it is closed");
    }
}
