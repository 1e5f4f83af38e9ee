//! Several messages that came as one: worked on side by side, answered as one.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::Visitor;
use super::desk::{Desk, Job, introduced, turned_down};
use super::session::Session;
use super::trail::Trail;
use crate::mcp::revision::{Decoded, Rejected};

/// Messages of one batch that are worked on at once.
const BATCH_AT_ONCE: usize = 8;

impl Desk {
    /// The answers of a batch in its order, as one array; None where nothing is to be answered.
    pub(super) async fn batch(
        self: &Arc<Self>,
        visitor: &Visitor,
        messages: Vec<Result<Decoded, Box<Rejected>>>,
        session: Option<&Arc<Session>>,
        bytes: usize,
        trail: Box<Trail>,
    ) -> Option<Vec<u8>> {
        let origin = trail.origin().clone();
        let mut first = Some(trail);
        let answers = messages.into_iter().map(|message| {
            let mut trail = first.take().unwrap_or_else(|| self.trail(visitor, origin.clone()));
            async move {
                let mut decoded = match message {
                    Ok(decoded) => decoded,
                    Err(rejected) => return Some(turned_down(&rejected, trail, bytes).1),
                };
                introduced(&mut decoded, session);
                trail.decoded(&decoded, bytes);
                let Decoded { revision, id, ask, .. } = decoded;
                let Some(id) = id else {
                    self.notice(session, ask);
                    trail.close("ok", 0);
                    return None;
                };
                let job = Job {
                    visitor: visitor.clone(),
                    revision,
                    id,
                    ask,
                    session: session.cloned(),
                    stream: None,
                    gone: CancellationToken::new(),
                    started: Instant::now(),
                    trail,
                };
                self.clone().work(job).await.message()
            }
        });
        let answers: Vec<_> = answers.collect();
        let answers: Vec<Option<Vec<u8>>> =
            futures_util::stream::iter(answers).buffered(BATCH_AT_ONCE).collect().await;
        let answers: Vec<Vec<u8>> = answers.into_iter().flatten().collect();
        (!answers.is_empty()).then(|| [b"[", answers.join(&b","[..]).as_slice(), b"]"].concat())
    }
}
