//! The record as a download, and as it comes. An error in the middle breaks the transfer, so that nobody takes what came
//! for all there is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Web;
use super::body::Asked;
use super::listen::Stay;
use super::problem::{Problem, Problems};
use super::record::Wanted;
use super::who::Who;
use crate::gate::admin::{Exporting, Form, Tail};

/// Exports, and tails, that may be under way at once.
pub const AT_ONCE: usize = 16;
/// How often something is written although nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// After how many seconds one who found no place may ask again.
const AGAIN: u64 = 10;
/// Before the store is asked again that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

pub fn new() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::new().routes(routes!(export)).routes(routes!(tail))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Download {
    /// `ndjson`, which `sidegate audit verify` checks, or `csv`; without it `ndjson`.
    format: Option<String>,
}

/// The record as a file, in the order of its chains. As NDJSON it begins with a signed header and ends with a signed
/// seal, and what the filters leave out stands in it as bare hashes; without the seal it is not complete.
#[utoipa::path(get, path = "/audit/export", tag = "record", operation_id = "exportRecord", params(Download, Wanted), responses((status = 200, description = "The record.", content((String = "application/x-ndjson"), (String = "text/csv"))), Problems))]
async fn export(
    State(web): State<Arc<Web>>,
    who: Who,
    Asked(asked): Asked<Download>,
    Asked(wanted): Asked<Wanted>,
    stay: Option<Extension<Stay>>,
) -> Result<Response, Problem> {
    let (form, media, ending) = match asked.format.as_deref() {
        None | Some("ndjson") => (Form::Lines, "application/x-ndjson", "ndjson"),
        Some("csv") => (Form::Table, "text/csv; charset=utf-8; header=present", "csv"),
        Some(_) => return Err(Problem::field("format", "is neither ndjson nor csv")),
    };
    let place = place(&web.exports, "exports")?;
    let exporting = who.admin.export(wanted.filter()?, form).await?;
    let name = format!("attachment; filename=\"sidegate-record.{ending}\"");
    let mut response = Body::from_stream(pieces(exporting, stay.map(|stay| stay.0), place)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn pieces(
    exporting: Exporting,
    stay: Option<Stay>,
    place: OwnedSemaphorePermit,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, std::io::Error>> {
    stream::unfold(Some((exporting, stay, place)), |going| async {
        let (mut exporting, stay, place) = going?;
        if let Some(stay) = &stay {
            stay.longer();
        }
        match exporting.next().await {
            Ok(piece) => piece.map(|piece| (Ok(piece), Some((exporting, stay, place)))),
            Err(error) => {
                tracing::error!(%error, "an export of the record was broken off");
                Some((Err(std::io::Error::other("broken off")), None))
            }
        }
    })
}

/// What comes on record from now on, as server-sent events: `id` is the record's, `data` its line.
#[utoipa::path(get, path = "/audit/tail", tag = "record", operation_id = "tailRecord", params(Wanted), responses((status = 200, description = "Records as they come.", content((String = "text/event-stream"))), Problems))]
async fn tail(
    State(web): State<Arc<Web>>,
    who: Who,
    Asked(wanted): Asked<Wanted>,
    stay: Option<Extension<Stay>>,
) -> Result<Response, Problem> {
    let place = place(&web.tails, "tails")?;
    let tail = who.admin.tail(wanted.filter()?).await?;
    let said = stream::unfold((tail, stay.map(|stay| stay.0), place), |(mut tail, stay, place)| async {
        let event = match &stay {
            Some(stay) => tokio::select! {
                () = stay.ends() => return None,
                event = next(&mut tail, stay) => event,
            },
            None => told(&mut tail).await,
        };
        Some((Ok::<_, Infallible>(event), (tail, stay, place)))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(said).keep_alive(alive).into_response();
    // nginx and its like would gather the events.
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    Ok(response)
}

/// The next event; meanwhile the connection may stay.
async fn next(tail: &mut Tail, stay: &Stay) -> Event {
    let mut patience = tokio::time::interval(KEEP_ALIVE);
    let mut event = std::pin::pin!(told(tail));
    loop {
        tokio::select! {
            event = &mut event => return event,
            _ = patience.tick() => stay.longer(),
        }
    }
}

async fn told(tail: &mut Tail) -> Event {
    loop {
        match tail.next().await {
            Ok(record) => {
                let mut line = Vec::new();
                record.write_line(&mut line);
                let line = String::from_utf8_lossy(&line);
                return Event::default().id(record.id()).data(line.trim_end());
            }
            Err(error) => {
                tracing::warn!(%error, "the record cannot be followed now; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let told = format!("{AT_ONCE} {what} of the record are under way already");
    places.clone().try_acquire_owned().map_err(|_| Problem::too_many(AGAIN, &told))
}
