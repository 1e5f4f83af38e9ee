//! Binds the public listeners, serves them, reloads their certificates and closes them.
//!
//! Pingora's own server and accept loop are not used: they own the runtime, hide bind errors,
//! sleep through the grace period, and bound neither connections nor headers. Each connection is
//! a task of its own with a worker, so calls in flight go on after the listeners have closed.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use tokio::task::JoinSet;

use super::accept::{Limits, Listener, Reception};
use super::address::Address;
use super::certificate::Identity;
use super::drain::Drain;
use super::header::HeaderBounds;
use super::in_flight::InFlight;
use super::proxy::{Bounds, Live, Proxy};
use super::pulse::Patience;
use super::tls::TlsError;
use super::unix::UnixSocket;
use super::wings::Wings;
use super::workers::Workers;
use super::{ServerConfig, Through};
use crate::gate::Front;
use crate::metrics::Metrics;

/// What a client may send ahead in one HTTP/2 stream: a body takes a round trip for each of these.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same over all streams of a connection: one whose body nobody takes must not hold up the others.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The public listeners before they are served.
pub struct Door {
    sockets: Vec<TcpListener>,
    unix: Vec<UnixSocket>,
}

/// The public listeners while they are served.
pub struct Listening {
    drain: Arc<Drain>,
    listeners: JoinSet<()>,
    reception: Arc<Reception>,
    tuning: Tuning,
}

/// What can be changed about listeners that are served.
#[derive(Clone)]
pub struct Tuning {
    live: Arc<ArcSwap<Live>>,
    limits: Arc<ArcSwap<Limits>>,
    identity: Option<Arc<Identity>>,
    through: Option<Arc<Through>>,
    front: Arc<Front>,
}

impl Tuning {
    /// From the next request and the next connection on, the bounds of `config` hold, and the
    /// paths that the gate says.
    pub fn adopt(&self, config: &ServerConfig) {
        self.live.store(Arc::new(live(config, &self.front, self.through.is_some())));
        self.limits.store(Arc::new(limits(config)));
        show_bounds(config, self.front.counts());
    }

    /// Reads the certificates again, ours and those for the way through; handshakes from now on have
    /// what is new. Says whether ours have changed.
    ///
    /// # Errors
    /// Files that cannot be used; what was there stays, of those.
    pub fn reload_certificates(&self) -> Result<bool, TlsError> {
        let through = self.through.as_ref().map_or(Ok(()), |through| through.reload());
        let ours = self.identity.as_ref().map_or(Ok(false), |identity| identity.reload())?;
        through.map_err(TlsError::Settings).map(|()| ours)
    }
}

/// What is open and in flight is judged beside what may be.
fn show_bounds(config: &ServerConfig, metrics: &Metrics) {
    let shown = |bound: usize| i64::try_from(bound).unwrap_or(i64::MAX);
    metrics.in_flight_max.set(shown(config.max_in_flight));
    metrics.connections_max.set(shown(config.max_connections));
}

fn live(config: &ServerConfig, front: &Front, through: bool) -> Live {
    Live {
        wings: Wings::of(front, !config.trusted_proxies.is_empty(), through),
        trusted: config.trusted_proxies.clone(),
        bounds: Bounds {
            header: HeaderBounds { bytes: config.max_header_bytes.0, fields: config.max_header_fields },
            max_body: config.max_body.0,
            body_timeout: config.body_timeout.0,
            write_timeout: config.write_timeout.0,
            max_in_flight: config.max_in_flight,
        },
    }
}

fn limits(config: &ServerConfig) -> Limits {
    Limits {
        connections: config.max_connections,
        handshake: config.handshake_timeout.0,
        patience: Patience { header: config.header_timeout.0, idle: config.idle_timeout.0 },
        write: config.write_timeout.0,
    }
}

impl Door {
    /// Binds all addresses of `config`.
    ///
    /// # Errors
    /// The first address that cannot be bound, in words.
    pub fn bind(config: &ServerConfig) -> Result<Self, String> {
        let mut door = Self::from_sockets(Vec::new());
        for listen in &config.listen {
            match Address::parse(listen).map_err(|wrong| format!("server.listen: {wrong}"))? {
                Address::Tcp(address) => {
                    let socket = TcpListener::bind(address);
                    let refused = |error| format!("server.listen: cannot bind {address}: {error}");
                    door.sockets.push(socket.map_err(refused)?);
                }
                Address::Unix(path) => {
                    let refused = |wrong| format!("server.listen: {}: {wrong}", path.display());
                    door.unix.push(UnixSocket::bind(&path).map_err(refused)?);
                }
            }
        }
        Ok(door)
    }

    /// Takes sockets that are bound already.
    pub fn from_sockets(sockets: Vec<TcpListener>) -> Self {
        Self { sockets, unix: Vec::new() }
    }

    /// The addresses, with the ports that were taken; unix sockets have none.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves all gates of `front`, and `through` beside them; must be called on a tokio runtime.
    ///
    /// # Errors
    /// Certificates that cannot be used, in words. Nothing is served then.
    pub fn serve(
        self,
        config: &ServerConfig,
        front: Arc<Front>,
        through: Option<Through>,
    ) -> Result<Listening, String> {
        let metrics = front.counts().clone();
        show_bounds(config, &metrics);
        let identity = Identity::load(config, metrics.clone())
            .map_err(|error| format!("server.tls_cert_file: {error}"))?
            .map(Arc::new);
        let in_flight = Arc::new(InFlight::default());
        let through = through.map(Arc::new);
        let passing = through.as_deref().map(Through::in_flight);
        let drain = Arc::new(Drain::new(passing.into_iter().chain([in_flight.clone()]).collect()));
        let tuning = Tuning {
            live: Arc::new(ArcSwap::from_pointee(live(config, &front, through.is_some()))),
            limits: Arc::new(ArcSwap::from_pointee(limits(config))),
            identity: identity.clone(),
            through: through.clone(),
            front,
        };
        let proxy = Proxy { live: tuning.live.clone(), in_flight, drain: drain.clone(), through };
        let unusable = |error: std::io::Error| format!("server.listen: {error}");
        let app = || {
            let mut app = http_proxy(&Arc::new(ServerConf::default()), proxy.clone());
            let mut http2 = default_h2_options();
            http2.initial_connection_window_size(CONNECTION_WINDOW).initial_window_size(STREAM_WINDOW);
            app.h2_options = Some(http2);
            Arc::new(app)
        };
        let reception = Arc::new(Reception {
            workers: Workers::start(app).map_err(unusable)?,
            identity,
            limits: tuning.limits.clone(),
            metrics,
            open: AtomicUsize::new(0),
        });
        let mut ready = Vec::new();
        for socket in self.sockets {
            socket.set_nonblocking(true).map_err(unusable)?;
            ready.push(Listener::Tcp(tokio::net::TcpListener::from_std(socket).map_err(unusable)?));
        }
        for socket in self.unix {
            let (listener, file) = socket.into_parts();
            let listener = tokio::net::UnixListener::from_std(listener).map_err(unusable)?;
            ready.push(Listener::Unix { _file: file, listener });
        }
        let mut listeners = JoinSet::new();
        for listener in ready {
            listeners.spawn(reception.clone().listen(listener, drain.watch()));
        }
        Ok(Listening { drain, listeners, reception, tuning })
    }
}

impl Listening {
    /// Their way out. The last step is [`Self::close`].
    pub fn drain(&self) -> Arc<Drain> {
        self.drain.clone()
    }

    /// What can be changed while they are served.
    pub fn tuning(&self) -> Tuning {
        self.tuning.clone()
    }

    /// Closes the listeners and all connections without a request; requests in flight go on.
    pub async fn close(&mut self) {
        self.drain.end();
        while self.listeners.join_next().await.is_some() {}
        for app in self.reception.workers.all() {
            app.http_cleanup().await;
        }
    }

    /// After [`Self::close`]: ends when the last connection has, and with it what was written on it.
    pub async fn left(&self) {
        while self.reception.open.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
