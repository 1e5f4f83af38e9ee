//! Runs an axum router on a listener that somebody else bound, until told to stop.

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running server. Stops when told to, and when dropped.
pub(super) struct Server {
    stop: watch::Sender<bool>,
}

impl Server {
    /// Serves `router` on `listener` in a task of its own.
    pub fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        tokio::spawn(async move {
            let ended = async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(ended).await {
                tracing::warn!(%error, "a demo server ended");
            }
        });
        Self { stop }
    }

    /// Stops accepting, closes idle connections and lets running answers finish.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
