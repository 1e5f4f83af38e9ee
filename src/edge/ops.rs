//! The operators' listener: is it alive, is it ready, what does it measure, and its way out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::drain::{Drain, Phase};
use crate::gate::Front;

/// How long `/drained` waits for a drain that nobody has begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many may wait for the end at the same time.
const WAITERS: usize = 16;

/// What the probes look at.
#[derive(Clone)]
pub struct Ops {
    front: Arc<Front>,
    drain: Arc<Drain>,
    waiters: Arc<Semaphore>,
}

type Said = (StatusCode, String);

fn say(status: StatusCode, words: impl std::fmt::Display) -> Said {
    (status, format!("{words}\n"))
}

impl Ops {
    /// Probes of all gates, ready as soon as the main one is and until `drain` begins.
    pub fn new(front: Arc<Front>, drain: Arc<Drain>) -> Self {
        Self { front, drain, waiters: Arc::new(Semaphore::new(WAITERS)) }
    }

    fn is_draining(&self) -> bool {
        self.drain.phase() > Phase::Serving
    }

    fn not_ready(&self) -> Option<&'static str> {
        if self.is_draining() { Some("shutting down") } else { self.front.not_ready() }
    }

    /// Serves until `stop` says so.
    pub async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/drain", post(drain))
            .route("/drained", get(drained))
            .with_state(self);
        axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move {
                let _ = stop.wait_for(|stopping| *stopping).await;
            })
            .await
    }
}

async fn readyz(State(ops): State<Ops>) -> Said {
    match ops.not_ready() {
        None => say(StatusCode::OK, "ok"),
        Some(reason) => say(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ops.front.counts().draining.set(i64::from(ops.is_draining()));
    let text = ops.front.metrics(ops.not_ready().is_none());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// Begins the drain for somebody on this machine or in this pod, a web page in a browser there excepted.
async fn drain(
    State(ops): State<Ops>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Said {
    if !is_here(peer.ip()) || headers.contains_key(header::ORIGIN) {
        return say(StatusCode::FORBIDDEN, "only processes of this machine may begin to drain");
    }
    ops.drain.begin();
    say(StatusCode::ACCEPTED, "draining")
}

/// Whether a peer is on this machine, or in this pod; an IPv6 listener sees IPv4 peers as `::ffff:127.0.0.1`.
fn is_here(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// Answers when nothing is in flight, or when that is not waited for any longer.
async fn drained(State(ops): State<Ops>) -> Said {
    let Ok(_place) = ops.waiters.try_acquire() else {
        return say(StatusCode::SERVICE_UNAVAILABLE, "too many wait for the end of the drain already");
    };
    if timeout(PATIENCE, ops.drain.reached(Phase::Leaving)).await.is_err() {
        return say(StatusCode::CONFLICT, "no drain has begun");
    }
    ops.drain.reached(Phase::Over).await;
    match ops.drain.left() {
        0 => say(StatusCode::OK, "drained"),
        left => say(StatusCode::SERVICE_UNAVAILABLE, format_args!("requests still in flight: {left}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_here() {
        for (peer, here) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_here(peer.parse().unwrap()), here, "{peer}");
        }
    }
}
