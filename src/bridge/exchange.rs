//! One message to the server and all that comes back of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::messages::{Heard, adopted, answered, words};
use super::{Bridge, LAST_EVENT, Open, SESSION};
use crate::mcp::events::{Event, Events};
use crate::mcp::rpc::{self, Id, Message};
use crate::outbound::Pieces;

/// The most that is read of one answer that is no stream.
const LARGEST: usize = 64 << 20;

/// How long a stream may stay open after the last answer that is wanted of it.
const LINGER: Duration = Duration::from_millis(200);

/// How often a stream that broke is asked for again, and how long is waited where the server names no time.
const RESUMED: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

impl Bridge {
    /// Carries `line` over and its answers back. Each request in it is answered, if need be with an error.
    pub(super) async fn exchange(self: &Arc<Self>, heard: Heard, line: Bytes) {
        let (left, unwanted) = (CancellationToken::new(), CancellationToken::new());
        self.open.lock().extend(heard.requests.iter().map(|id| Open {
            id: id.clone(),
            modern: heard.modern,
            left: left.clone(),
            unwanted: unwanted.clone(),
        }));
        let mut missing = heard.requests.clone();
        let done = tokio::select! {
            biased;
            () = left.cancelled() => None,
            () = self.over.cancelled() => None,
            done = self.converse(&heard, &line, &mut missing) => Some(done),
        };
        self.open.lock().retain(|open| !heard.requests.contains(&open.id));
        let why = match done {
            None => return,
            Some(Ok(status)) => format!("the server answered {status} and said nothing about this request"),
            Some(Err(why)) => {
                tracing::warn!(%why, "a message was not carried over");
                why
            }
        };
        if !unwanted.is_cancelled() {
            self.fail(&missing, &why).await;
        }
    }

    async fn converse(
        self: &Arc<Self>,
        heard: &Heard,
        line: &Bytes,
        missing: &mut Vec<Id>,
    ) -> Result<StatusCode, String> {
        let session = self.session.lock().id.clone();
        let mut answer = self.post(heard, line).await?;
        if answer.status() == StatusCode::NOT_FOUND && !heard.modern && !heard.opens {
            // The session is forgotten there. A local client knows of none that could be begun anew.
            if let Some(session) = session
                && self.begin_anew(&session).await?
            {
                answer = self.post(heard, line).await?;
            }
        }
        let status = answer.status();
        if heard.opens && status.is_success() {
            let mut session = self.session.lock();
            session.id = answer.headers().get(SESSION).cloned();
            session.asked = Some(line.clone());
        }
        if status.is_success() && is_stream(&answer) {
            let mut events = Events::default();
            let mut read = self.relay(answer.into_body(), &mut events, heard, missing).await;
            for _ in 0..RESUMED {
                let last = events.last_id().filter(|_| !missing.is_empty() && !heard.modern);
                let Some(last) = last.and_then(|id| HeaderValue::try_from(id).ok()) else { break };
                tokio::time::sleep(events.retry().unwrap_or(PAUSE)).await;
                let answer = self.send(Method::GET, stream_headers(Some(last)), Bytes::new()).await?;
                if !answer.status().is_success() || !is_stream(&answer) {
                    break;
                }
                read = self.relay(answer.into_body(), &mut events, heard, missing).await;
            }
            return read.map(|()| status);
        }
        let body = whole(answer.into_body()).await?;
        let ids = answered(&body);
        if ids.iter().any(Option::is_some) || (status.is_success() && is_json(&body)) {
            self.hear(body, heard, missing).await;
            return Ok(status);
        }
        match (missing.as_slice(), status) {
            ([id], _) if let Some(body) = adopted(&body, id) => {
                missing.clear();
                self.say(body).await;
                Ok(status)
            }
            (_, status) if status.is_success() => Ok(status),
            (_, StatusCode::UNAUTHORIZED) => Err(format!(
                "the server answered {status}{}; give a token that it accepts with --token-command, --token-file or --client-id",
                said(&body)
            )),
            _ => Err(format!("the server answered {status}{}", said(&body))),
        }
    }

    async fn post(&self, heard: &Heard, line: &Bytes) -> Result<Response<Pieces>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        for (name, value) in &heard.headers {
            let value =
                HeaderValue::try_from(value).map_err(|_| format!("{name} is not fit for a header"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        self.send(Method::POST, headers, line.clone()).await
    }

    /// Says each event of a stream, to the stream's end or to the last answer that is wanted of it.
    pub(super) async fn relay(
        &self,
        mut pieces: Pieces,
        events: &mut Events,
        heard: &Heard,
        missing: &mut Vec<Id>,
    ) -> Result<(), String> {
        loop {
            let next = pieces.next();
            let next = match missing.is_empty() && !heard.requests.is_empty() {
                // Read to its end, if that is near, a connection can be used again.
                true => tokio::time::timeout(LINGER, next).await.unwrap_or(Ok(None)),
                false => next.await,
            };
            let Some(bytes) = next.map_err(|error| error.to_string())? else { return Ok(()) };
            for Event { data } in events.take(&bytes).map_err(|_| "an event of the server's is too large")? {
                self.hear(data.into(), heard, missing).await;
            }
        }
    }

    /// Says one message of the server's, and notes what it answers.
    async fn hear(&self, said: Bytes, heard: &Heard, missing: &mut Vec<Id>) {
        for id in answered(&said).into_iter().flatten() {
            missing.retain(|missing| *missing != id);
        }
        if heard.opens {
            self.note_version(&said);
        }
        self.say(said).await;
    }

    fn note_version(&self, said: &[u8]) {
        if let Ok(Message::Response { outcome: Ok(result), .. }) = rpc::parse(said) {
            let version = result.get("protocolVersion").and_then(Value::as_str);
            self.session.lock().version = version.and_then(|version| HeaderValue::try_from(version).ok());
        }
    }

    /// Repeats the client's handshake in the place of a session that the server does not know any more.
    async fn begin_anew(self: &Arc<Self>, forgotten: &HeaderValue) -> Result<bool, String> {
        let _alone = self.renewing.lock().await;
        let asked = {
            let mut session = self.session.lock();
            if session.id.as_ref() != Some(forgotten) {
                return Ok(true);
            }
            let Some(asked) = session.asked.clone() else { return Ok(false) };
            (session.id, session.version) = (None, None);
            asked
        };
        tracing::info!("the server has forgotten the session; a new one is begun");
        let answer = self.post(&Heard::default(), &asked).await?;
        if !answer.status().is_success() {
            return Ok(false);
        }
        self.session.lock().id = answer.headers().get(SESSION).cloned();
        let said = if is_stream(&answer) {
            first_answer(answer.into_body()).await?
        } else {
            whole(answer.into_body()).await?
        };
        self.note_version(&said);
        let last = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        self.post(&Heard::default(), &last).await?;
        tokio::spawn(self.clone().listen());
        Ok(true)
    }
}

/// What a stream is asked for with.
pub(super) fn stream_headers(last_event: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(last) = last_event {
        headers.insert(LAST_EVENT, last);
    }
    headers
}

pub(super) fn is_stream(answer: &Response<Pieces>) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream")
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(body).is_ok()
}

fn said(body: &[u8]) -> String {
    words(body).map(|words| format!(" ({words})")).unwrap_or_default()
}

async fn whole(mut pieces: Pieces) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(piece) = pieces.next().await.map_err(|error| error.to_string())? {
        if body.len() + piece.len() > LARGEST {
            return Err("the server's answer is too large".to_owned());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// The first message of a stream that answers something.
async fn first_answer(mut pieces: Pieces) -> Result<Bytes, String> {
    let mut events = Events::default();
    while let Some(piece) = pieces.next().await.map_err(|error| error.to_string())? {
        let read = events.take(&piece).map_err(|_| "an event of the server's is too large")?;
        if let Some(Event { data }) = read.into_iter().find(|event| !answered(&event.data).is_empty()) {
            return Ok(data.into());
        }
    }
    Ok(Bytes::new())
}
