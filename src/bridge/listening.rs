//! The server's own stream: what it says that belongs to no request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::Bridge;
use super::exchange::{is_stream, stream_headers};
use super::messages::Heard;
use crate::mcp::events::Events;

/// How long is waited before a stream that ended is opened again, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Bridge {
    /// Opens the stream and opens it again where it ends, for as long as the session lasts; a server may have none.
    pub(super) async fn listen(self: Arc<Self>) {
        let over = self.over.clone();
        tokio::select! {
            () = over.cancelled() => {}
            () = self.keep_listening() => {}
        }
    }

    async fn keep_listening(&self) {
        let session = self.session.lock().id.clone();
        let (mut events, mut pause) = (Events::default(), PAUSE);
        while self.session.lock().id == session {
            let last = events.last_id().and_then(|id| HeaderValue::try_from(id).ok());
            match self.send(Method::GET, stream_headers(last), Bytes::new()).await {
                Ok(answer) if answer.status().is_success() && is_stream(&answer) => {
                    pause = PAUSE;
                    // How it ended says nothing that a new try would not.
                    let _ =
                        self.relay(answer.into_body(), &mut events, &Heard::default(), &mut Vec::new()).await;
                }
                Ok(answer) if answer.status().is_server_error() || answer.status().as_u16() == 429 => {}
                Ok(_) => return,
                Err(why) => tracing::debug!(%why, "the server's own stream cannot be opened"),
            }
            tokio::time::sleep(events.retry().unwrap_or(PAUSE).max(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
