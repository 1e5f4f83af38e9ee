//! Takes connections in, watches over them while pingora serves them, and closes those that
//! stand in the way. Knows no request.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::protocols::{GetSocketDigest as _, SocketDigest, Stream, TcpKeepalive};
use pingora::proxy::HttpProxy;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::certificate::Identity;
use super::drain::{Phase, reached};
use super::line::{Connection, Line};
use super::proxy::Proxy;
use super::pulse::{Overdue, Patience};
use super::rest::Ending;
use super::unix::SocketFile;
use super::workers::{Seat, Workers};
use crate::metrics::Metrics;

/// A peer that went without a word is found out within a minute.
const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    count: 3,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::from_secs(60),
};

/// How long nothing is accepted after the system refused: it lacks what only time gives back.
const PAUSE: Duration = Duration::from_millis(200);

/// How often that is said again.
const SILENCE: Duration = Duration::from_secs(60);

/// How long an idle HTTP/2 connection is kept after its GOAWAY, for a request that crosses it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What listens.
pub enum Listener {
    /// With TLS where there is a certificate.
    Tcp(TcpListener),
    /// Without.
    Unix { _file: SocketFile, listener: UnixListener },
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Accepted::Tcp(stream.into_std()?, peer)
            }
            Self::Unix { listener, .. } => Accepted::Unix(listener.accept().await?.0.into_std()?),
        })
    }
}

/// A connection that no runtime looks after yet.
enum Accepted {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// The connection, looked after by the runtime that this is called on.
    fn adopt(self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(stream, peer) => {
                let stream = TcpStream::from_std(stream)?;
                let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
                let mut socket = Socket::from(stream);
                // What cannot be set is missed on a connection that is gone already.
                let _ = socket.set_nodelay();
                let _ = socket.set_keepalive(&KEEPALIVE);
                socket.set_socket_digest(digest);
                Ok((socket, Some(peer)))
            }
            Self::Unix(stream) => Ok((Socket::from(UnixStream::from_std(stream)?), None)),
        }
    }
}

/// Bounds of the connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub handshake: Duration,
    pub patience: Patience,
    /// How long a peer may refuse to take what is written.
    pub write: Duration,
}

/// What all listeners share.
pub struct Reception {
    pub workers: Workers<Arc<HttpProxy<Proxy>>>,
    pub identity: Option<Arc<Identity>>,
    pub limits: Arc<ArcSwap<Limits>>,
    pub metrics: Arc<Metrics>,
    pub open: AtomicUsize,
}

/// A connection that counts, and who serves it.
struct Place {
    reception: Arc<Reception>,
    seat: Seat<Arc<HttpProxy<Proxy>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.reception.open.fetch_sub(1, Ordering::AcqRel);
        self.reception.metrics.connections.dec();
    }
}

type Drain = watch::Receiver<Phase>;

impl Reception {
    /// Accepts until the drain is over. Every connection is a task of its own and goes on.
    pub async fn listen(self: Arc<Self>, listener: Listener, mut drain: Drain) {
        let mut said: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                () = reached(&mut drain, Phase::Over) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => match self.place() {
                    Some(place) => {
                        let runtime = place.seat.runtime().clone();
                        runtime.spawn(self.clone().receive(accepted, place, drain.clone()));
                    }
                    None => self.metrics.connections_refused.inc(),
                },
                // The peer left before we came to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if said.is_none_or(|said| said.elapsed() > SILENCE) {
                        tracing::error!("connections cannot be accepted: {error}");
                        said = Some(Instant::now());
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        self.metrics.connections.inc();
        let place = Place { reception: self.clone(), seat: self.workers.seat() };
        (self.open.fetch_add(1, Ordering::AcqRel) < self.limits.load().connections).then_some(place)
    }

    async fn receive(self: Arc<Self>, accepted: Accepted, place: Place, mut drain: Drain) {
        let Ok((socket, peer)) = accepted.adopt() else { return };
        // A unix socket has no address, and no TLS.
        let stream: Stream = match self.identity.as_ref().filter(|_| peer.is_some()) {
            Some(identity) => {
                let acceptor = identity.acceptor();
                // Boxed, since the connection would have room for it for as long as it lives.
                let handshake = Box::pin(acceptor.tls_handshake(socket));
                let shaken = tokio::select! {
                    () = reached(&mut drain, Phase::Over) => return,
                    shaken = timeout(self.limits.load().handshake, handshake) => shaken,
                };
                match shaken {
                    Ok(Ok(stream)) => Box::new(stream),
                    Ok(Err(error)) => return self.no_tls(peer, &error),
                    Err(late) => return self.no_tls(peer, &late),
                }
            }
            None => Box::new(socket),
        };
        if let Ok(line) = Line::new(stream, peer, self.limits.load().write) {
            self.serve(place.seat.own(), line, drain).await;
        }
    }

    fn no_tls(&self, peer: Option<SocketAddr>, why: &dyn std::error::Error) {
        self.metrics.handshake_failures.inc();
        tracing::debug!(?peer, "no TLS: {why}");
    }

    async fn serve(&self, app: &Arc<HttpProxy<Proxy>>, line: Line, mut drain: Drain) {
        let connection = line.connection().clone();
        let told = connection.told();
        // HTTP/2 can be told without losing what is on its way. What is connected later is to hear
        // first why it is refused; HTTP/1 hears with the answer, or ends when nothing is waited for.
        let known = connection.http2 && *drain.borrow() < Phase::Refusing;
        let farewell = if known { Phase::Refusing } else { Phase::Over };
        let work = async {
            if connection.http2 {
                Arc::new(Ending(app.clone())).process_new(Box::new(line), &told).await;
            } else {
                http1(app, line, &told).await;
            }
        };
        let mut work = pin!(work);
        let overdue = {
            let watched = watch_over(work.as_mut(), &connection, self.limits.load().patience, &told);
            let mut watched = pin!(watched);
            tokio::select! {
                biased;
                overdue = &mut watched => overdue,
                () = reached(&mut drain, farewell) => {
                    connection.leave();
                    watched.await
                }
            }
        };
        let Some(overdue) = overdue else { return };
        self.metrics.connections_overdue.with_label_values(&[overdue.label()]).inc();
        if connection.http2 && connection.leave() {
            while timeout(FAREWELL, work.as_mut()).await.is_err() && connection.pulse.is_busy() {}
        }
    }
}

/// The requests of an HTTP/1 connection, one after another.
async fn http1(app: &Arc<HttpProxy<Proxy>>, line: Line, told: &watch::Receiver<bool>) {
    let mut session = ServerSession::new_http1(Box::new(line));
    // For as long as we let it: pingora would begin anew with every byte.
    session.set_keepalive(Some(0));
    while let Some(reusable) = app.process_new_http(session, told).await {
        let (stream, settings) = reusable.consume();
        session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
}

/// Does `work` until it ends, or until the connection is overdue. Once `told` to stop, an HTTP/1
/// connection ends with its request; HTTP/2 is told by pingora, and its client closes it.
async fn watch_over(
    mut work: std::pin::Pin<&mut impl Future<Output = ()>>,
    connection: &Connection,
    patience: Patience,
    told: &watch::Receiver<bool>,
) -> Option<Overdue> {
    let mut alarm = pin!(sleep_until(Instant::now() + patience.idle));
    poll_fn(|cx| {
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if !connection.http2 && *told.borrow() && !connection.pulse.is_busy() {
            return Poll::Ready(None);
        }
        // A header is begun where it is read, in `work`; nothing else makes the end come nearer.
        if let Some((at, _)) = connection.pulse.due(patience)
            && at < alarm.deadline()
        {
            alarm.as_mut().reset(at);
        }
        // What has moved on since the alarm was set is waited for again. No request can end and
        // its connection be due before the idle time from now is over.
        while alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match connection.pulse.due(patience) {
                Some((at, overdue)) if at <= now => return Poll::Ready(Some(overdue)),
                Some((at, _)) => alarm.as_mut().reset(at),
                None => alarm.as_mut().reset(now + patience.idle),
            }
        }
        Poll::Pending
    })
    .await
}
