//! Writes what is said on a stream as server-sent events, until one side ends it.

use std::time::Duration;

use bytes::Bytes;
use pingora::ErrorType;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use tokio::time::{MissedTickBehavior, interval_at};

use super::body::{Cover, head};
use super::drain::{Drain, Phase};
use crate::gate::{Event, EventReader};
use crate::mcp::sse;

/// How often something is written although nothing happens; proxies and clients give up after 25 to 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Writes `first`, then everything that `events` brings. Ends with it, with the client, or, where it would not end
/// by itself, with this server.
pub async fn write(
    session: &mut Session,
    mut events: EventReader,
    first: Option<Vec<u8>>,
    cover: Cover<'_>,
    drain: &Drain,
) -> pingora::Result<()> {
    let mut headers = cover.headers();
    // nginx and its like would gather the events.
    headers.push(("x-accel-buffering", "no"));
    let mut answer: ResponseHeader = head(200, &headers)?;
    answer.insert_header(http::header::CONTENT_TYPE, "text/event-stream")?;
    session.write_response_header(Box::new(answer), false).await?;
    // The header leaves with the first piece of the body.
    let first = first.unwrap_or_else(|| b":\n\n".to_vec());
    session.write_response_body(Some(Bytes::from(first)), false).await?;
    let mut alive = interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let settled = events.settled();
    let leaving = async {
        drain.reached(Phase::Refusing).await;
        settled.await;
    };
    tokio::pin!(leaving);
    let (mut listening, mut staying) = (true, !events.will_end());
    loop {
        let piece = tokio::select! {
            biased;
            event = events.next() => match event {
                Some(event) => framed(&event),
                None => break,
            },
            left = session.as_downstream_mut().read_body_or_idle(true), if listening => match left {
                // A pipelined request: the client is there and merely early.
                Err(error) if *error.etype() == ErrorType::ConnectError => {
                    listening = false;
                    continue;
                }
                _ => {
                    session.set_keepalive(None);
                    return Ok(());
                }
            },
            () = &mut leaving, if staying => {
                staying = false;
                match events.part() {
                    Some(event) => framed(&event),
                    None => break,
                }
            }
            _ = alive.tick() => sse::KEEP_ALIVE.to_vec(),
        };
        session.write_response_body(Some(Bytes::from(piece)), false).await?;
        if !staying && !events.will_end() {
            break;
        }
    }
    if !listening || drain.refuses() {
        session.set_keepalive(None);
    }
    session.write_response_body(None, true).await
}

fn framed(event: &Event) -> Vec<u8> {
    let retry = event.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
    sse::message(event.id.as_deref(), retry, &event.data)
}
