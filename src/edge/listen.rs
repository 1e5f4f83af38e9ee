//! Starts pingora's service on sockets that were bound beforehand, and stops it.
//!
//! `pingora::Server` is not used: it owns the runtime, hides bind errors and sleeps through
//! the whole grace period. Each connection is a task of its own, so calls in flight go on
//! after the listeners have closed.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::in_flight::InFlight;
use super::proxy::{Bounds, Proxy};
use super::route::Routes;
use super::{ServerConfig, Through, tls};
use crate::gate::Gate;

/// HTTP/2 connections without a stream are closed after this; pingora has no limit of its own.
const H2_IDLE: Duration = Duration::from_secs(90);

/// The read buffer of a connection; the default doubles the memory of an idle one.
const READ_BUFFER: usize = 4096;

/// The write buffer of a connection: head and body of most answers leave in one system call.
const WRITE_BUFFER: usize = 8192;

/// The public listeners before they are served.
pub struct Door {
    sockets: Vec<TcpListener>,
}

/// The public listeners while they are served.
pub struct Listening {
    stop: watch::Sender<bool>,
    service: JoinHandle<()>,
    in_flight: Arc<InFlight>,
    passing: Option<Arc<InFlight>>,
}

impl Door {
    /// Binds all addresses of `config`.
    ///
    /// # Errors
    /// The first address that cannot be bound, in words.
    pub fn bind(config: &ServerConfig) -> Result<Self, String> {
        let sockets = config.listen.iter().map(|address| {
            TcpListener::bind(address)
                .map_err(|error| format!("server.listen: cannot bind {address}: {error}"))
        });
        Ok(Self { sockets: sockets.collect::<Result<_, _>>()? })
    }

    /// Takes sockets that are bound already.
    pub fn from_sockets(sockets: Vec<TcpListener>) -> Self {
        Self { sockets }
    }

    /// The addresses, with the ports that were taken.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves `gate`, and `through` beside it; must be called on a tokio runtime.
    ///
    /// # Errors
    /// Certificates that cannot be used, in words. Nothing is served then.
    pub fn serve(
        self,
        config: &ServerConfig,
        gate: Arc<Gate>,
        through: Option<Through>,
    ) -> Result<Listening, String> {
        let certified = match (&config.tls_cert_file, &config.tls_key_file) {
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => None,
        };
        let in_flight = Arc::new(InFlight::default());
        let passing = through.as_ref().map(Through::in_flight);
        let proxy = Proxy {
            routes: Routes::new(&config.mcp_path, gate.metadata_paths(), through.is_some()),
            gate,
            bounds: Bounds {
                max_body: config.max_body.0,
                body_timeout: config.body_timeout.0,
                max_in_flight: config.max_in_flight,
            },
            in_flight: in_flight.clone(),
            through,
        };
        let mut service = pingora::proxy::http_proxy_service(&Arc::new(ServerConf::default()), proxy);
        if let Some(http) = service.app_logic_mut() {
            let mut options = HttpServerOptions::default();
            options.h2_idle_timeout = Some(H2_IDLE);
            http.server_options = Some(options);
        }
        let mut fds = Fds::new();
        for (index, socket) in self.sockets.into_iter().enumerate() {
            let name = format!("mcp-{index}");
            let mut listener =
                ListenerConfig::tcp(&name).l4_buffer(L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER));
            if let Some((cert, key)) = certified {
                let settings = tls::certified_key(cert, key).and_then(tls::settings);
                listener = listener.tls(settings.map_err(|error| format!("server.tls_cert_file: {error}"))?);
            }
            socket.set_nonblocking(true).map_err(|error| format!("server.listen: {error}"))?;
            fds.add(name, socket.into_raw_fd());
            service.add_listener(listener);
        }
        let (stop, stopped) = watch::channel(false);
        let fds = Arc::new(Mutex::new(fds));
        let service = tokio::spawn(async move { service.start_service(Some(fds), stopped, 1).await });
        Ok(Listening { stop, service, in_flight, passing })
    }
}

impl Listening {
    /// Requests being worked on, without streams, which do not end by themselves.
    pub fn in_flight(&self) -> usize {
        self.in_flight.count() + self.passing.as_ref().map_or(0, |passing| passing.count())
    }

    /// Closes the listeners; requests in flight go on.
    pub async fn close(&mut self) {
        self.in_flight.close();
        let _ = self.stop.send(true);
        let _ = (&mut self.service).await;
    }
}
