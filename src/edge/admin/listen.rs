//! The administrators' listener: HTTP/1.1, with TLS where there is a certificate, and with bounds on
//! what a connection may take. Knows no route.
//!
//! HTTP/2 is left out: few requests come, and each of its features is something to hold against a flood.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::AdminConfig;
use crate::edge::certificate::Identity;
use crate::edge::tls::TlsError;

/// The longest a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The longest a connection may be without a request, and a request's header may take to arrive.
const HEADER: Duration = Duration::from_secs(15);

/// The longest a connection may be kept: one whose client takes no answer is found out by this.
const AGE: Duration = Duration::from_secs(600);

/// How long an answer that goes on may stand still before its connection's age counts again.
const STALL: Duration = Duration::from_secs(60);

/// How long a request in flight may go on once its connection is to end.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes of a request's header, and about what is read ahead.
pub const HEADER_BYTES: usize = 32 << 10;

/// Fields of a request's header.
const HEADER_FIELDS: usize = 64;

/// How long nothing is accepted after the system refused: it lacks what only time gives back.
const PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A connection on which an answer is still going on, however old it is.
#[derive(Clone)]
pub struct Stay {
    until: Arc<parking_lot::Mutex<Instant>>,
    stop: watch::Receiver<bool>,
}

impl Stay {
    /// The answer goes on: its connection may stay for a while.
    pub fn longer(&self) {
        *self.until.lock() = Instant::now() + STALL;
    }

    /// Ends when the server does.
    pub async fn ends(&self) {
        told(&mut self.stop.clone()).await;
    }
}

/// The administrators' listeners, bound and not yet served.
pub struct AdminDoor {
    sockets: Vec<TcpListener>,
}

/// The administrators' listeners while they are served.
pub struct AdminListening {
    stop: watch::Sender<bool>,
    listeners: Mutex<JoinSet<()>>,
    reception: Arc<Reception>,
}

struct Reception {
    router: Router,
    identity: Option<Identity>,
    places: Arc<Semaphore>,
    all: usize,
}

impl AdminDoor {
    /// Binds what `config` names.
    ///
    /// # Errors
    /// The address that cannot be bound, in words.
    pub fn bind(config: &AdminConfig) -> Result<Self, String> {
        let bind = |listen: &String| {
            TcpListener::bind(listen).map_err(|error| format!("admin.listen: cannot bind {listen}: {error}"))
        };
        let sockets: Result<_, _> = config.listen.iter().map(bind).collect();
        sockets.map(Self::from_sockets)
    }

    /// Takes sockets that are bound already.
    pub fn from_sockets(sockets: Vec<TcpListener>) -> Self {
        Self { sockets }
    }

    /// The addresses, with the ports that were taken.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves `router`; must be called on a tokio runtime.
    ///
    /// # Errors
    /// Certificates that cannot be used, in words. Nothing is served then.
    pub fn serve(self, config: &AdminConfig, router: Router) -> Result<AdminListening, String> {
        let identity =
            Identity::of_administrators(config).map_err(|error| format!("admin.tls_cert_file: {error}"))?;
        let places = Arc::new(Semaphore::new(config.max_connections));
        let reception = Arc::new(Reception { router, identity, places, all: config.max_connections });
        let (stop, stopping) = watch::channel(false);
        let unusable = |error: std::io::Error| format!("admin.listen: {error}");
        let mut ready = Vec::new();
        for socket in self.sockets {
            socket.set_nonblocking(true).map_err(unusable)?;
            ready.push(tokio::net::TcpListener::from_std(socket).map_err(unusable)?);
        }
        let mut listeners = JoinSet::new();
        for listener in ready {
            listeners.spawn(reception.clone().listen(listener, stopping.clone()));
        }
        Ok(AdminListening { stop, listeners: Mutex::new(listeners), reception })
    }
}

impl AdminListening {
    /// Reads the certificates again; handshakes from now on have what is new. Says whether anything has changed.
    ///
    /// # Errors
    /// Files that cannot be used; what was there stays.
    pub fn reload_certificates(&self) -> Result<bool, TlsError> {
        self.reception.identity.as_ref().map_or(Ok(false), Identity::reload)
    }

    /// Accepts nothing more, lets requests in flight end, and ends itself when they have.
    pub async fn close(&self) {
        let _ = self.stop.send(true);
        let mut listeners = self.listeners.lock().await;
        while listeners.join_next().await.is_some() {}
        let all = u32::try_from(self.reception.all).unwrap_or(u32::MAX);
        let _ = timeout(GRACE, self.reception.places.acquire_many(all)).await;
    }
}

impl Reception {
    async fn listen(self: Arc<Self>, listener: tokio::net::TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = told(&mut stop) => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, peer)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            // Without a place it is closed at once: whoever waits in line holds a file open.
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                tokio::spawn(self.clone().receive(socket, peer, place, stop.clone()));
            }
        }
    }

    async fn receive(
        self: Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        _place: OwnedSemaphorePermit,
        mut stop: watch::Receiver<bool>,
    ) {
        // What cannot be set is missed on a connection that is gone already.
        let _ = socket.set_nodelay(true);
        let Some(identity) = &self.identity else { return self.serve(socket, peer, stop).await };
        let acceptor = TlsAcceptor::from(identity.settings());
        let shaken = tokio::select! {
            () = told(&mut stop) => return,
            shaken = timeout(HANDSHAKE, acceptor.accept(socket)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, peer, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, "no TLS: {error}"),
            Err(late) => tracing::debug!(%peer, "no TLS: {late}"),
        }
    }

    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        mut stop: watch::Receiver<bool>,
    ) {
        let stay = Stay { until: Arc::new(parking_lot::Mutex::new(Instant::now())), stop: stop.clone() };
        let answer = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(stay.clone());
            request.extensions_mut().insert(Peer(peer));
            self.router.clone().call(request.map(Body::new))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER)
            .max_buf_size(HEADER_BYTES)
            .max_headers(HEADER_FIELDS)
            .serve_connection(TokioIo::new(stream), answer);
        let mut connection = pin!(connection);
        tokio::select! {
            // What goes wrong on a connection is its client's matter.
            _ = connection.as_mut() => return,
            () = told(&mut stop) => {}
            () = sleep(AGE) => {}
        }
        connection.as_mut().graceful_shutdown();
        loop {
            let until = *stay.until.lock();
            if *stop.borrow() || until <= Instant::now() {
                break;
            }
            tokio::select! {
                _ = connection.as_mut() => return,
                () = told(&mut stop) => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        let _ = timeout(GRACE, connection).await;
    }
}

/// Ends when it is time to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
