//! What is left of a request when its answer is complete. pingora bounds the client's silence on
//! HTTP/1 connections only; an HTTP/2 stream whose client never ends it is cut here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    static END: watch::Sender<Option<Instant>>;
}

/// Lets the stream that this task serves go on for `patience` at most. Elsewhere nothing happens.
pub fn end_within(patience: Duration) {
    // Outside of a stream there is nothing to end.
    let _ = END.try_with(|end| end.send_replace(Some(Instant::now() + patience)));
}

/// `app`, with an end to its streams.
pub struct Ending<A>(pub Arc<A>);

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Ending<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &watch::Receiver<bool>,
    ) -> Option<ReusedHttpStream> {
        let (end, mut told) = watch::channel(None);
        let work = END.scope(end, self.0.process_new_http(session, shutdown));
        let ended = async move {
            match told.wait_for(Option::is_some).await.ok().and_then(|end| *end) {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        // Dropped, the stream is reset, and what it held is free.
        tokio::select! {
            reused = work => reused,
            () = ended => None,
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }
}
