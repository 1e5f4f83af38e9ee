//! Bounded reading and writing between pingora's session and plain values, and the one
//! place where a refusal gets its HTTP status.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::drain::Drain;
use super::{events, line};
use crate::gate::{Outgoing, Refusal};
use crate::mcp::sse;

/// What the MCP endpoint takes.
pub const METHODS: &str = "POST, GET, DELETE, OPTIONS";

/// The seconds within which another server, or this one again, is there after one that ends.
const RESTART: &str = "5";

type Written = pingora::Result<()>;

/// How much, and for how long, is read of a body that nobody wants, so that the client sees its refusal.
const DRAINED: usize = 8 << 20;
pub const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What is read of such a body before the refusal, in bytes and time: pingora ends an HTTP/1 connection that is answered
/// sooner, and a client's first request is refused as a rule.
const AWAITED: u64 = 64 << 10;
const AWAITING: Duration = Duration::from_millis(100);

/// Reads the whole request body, at most `limit` bytes, within `patience`.
pub async fn read(session: &mut Session, limit: usize, patience: Duration) -> Result<Bytes, Refusal> {
    let too_large = Refusal::TooLarge { limit };
    let headers = &session.req_header().headers;
    let mut codings = headers.get_all(http::header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Refusal::Unreadable);
    }
    if declared(headers).is_some_and(|length| length > limit as u64) {
        return Err(too_large);
    }
    let continues = headers
        .get(http::header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let downstream = session.as_downstream_mut();
    let continues = continues && !downstream.is_http2();
    let whole = async {
        if continues {
            downstream.write_continue_response().await.map_err(|_| Refusal::Unreadable)?;
        }
        let first = downstream.read_request_body().await.map_err(|_| Refusal::Unreadable)?;
        let Some(mut chunk) = first else { return Ok(Bytes::new()) };
        let mut gathered = BytesMut::new();
        loop {
            if gathered.len() + chunk.len() > limit {
                return Err(too_large);
            }
            let next = downstream.read_request_body().await.map_err(|_| Refusal::Unreadable)?;
            match next {
                // Most bodies come in one piece and are not copied.
                None if gathered.is_empty() => return Ok(chunk),
                None => {
                    gathered.extend_from_slice(&chunk);
                    return Ok(gathered.freeze());
                }
                Some(more) => {
                    gathered.extend_from_slice(&chunk);
                    chunk = more;
                }
            }
        }
    };
    tokio::time::timeout(patience, whole).await.unwrap_or(Err(Refusal::Stalled))
}

/// The HTTP status of each refusal.
fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::Unreadable | Refusal::Unresumable => 400,
        Refusal::Unauthorized { .. } => 401,
        Refusal::Host
        | Refusal::Origin
        | Refusal::Disabled
        | Refusal::Scopes { .. }
        | Refusal::AgentToken { .. } => 403,
        Refusal::NoSession => 404,
        Refusal::Method => 405,
        Refusal::NotAcceptable => 406,
        Refusal::Stalled => 408,
        Refusal::StreamTaken => 409,
        Refusal::TooLarge { .. } => 413,
        Refusal::MediaType => 415,
        Refusal::TooMany { .. } => 429,
        Refusal::LargeHeader { .. } => 431,
        Refusal::Busy | Refusal::Draining | Refusal::Unavailable { .. } | Refusal::Unrecorded => 503,
    }
}

/// What an answer has beside what is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cover<'a> {
    /// The origin whose web pages may read it; see [`readable_by`].
    pub reader: Option<&'a str>,
    /// What the request is called on record.
    pub request_id: Option<&'a str>,
}

impl<'a> Cover<'a> {
    /// The same as headers.
    pub fn headers(self) -> Vec<(&'static str, &'a str)> {
        let mut headers = readable_by(self.reader);
        headers.extend(self.request_id.map(|id| ("x-request-id", id)));
        headers
    }
}

/// What lets the web pages of `origin`, or of all for `*`, read an answer (Fetch Standard, CORS protocol).
/// Credentials are never allowed: a token is sent by who has it, not out of a browser's jar.
pub fn readable_by(origin: Option<&str>) -> Vec<(&'static str, &str)> {
    let Some(origin) = origin else { return Vec::new() };
    vec![
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", "WWW-Authenticate, Mcp-Session-Id, Retry-After, X-Request-Id"),
        ("vary", "Origin"),
    ]
}

/// Writes what the gate says.
pub async fn write(session: &mut Session, outgoing: Outgoing, cover: Cover<'_>, drain: &Drain) -> Written {
    let mut headers = cover.headers();
    match outgoing {
        Outgoing::Answer { status, body, session: began } => {
            headers.extend(began.as_deref().map(|id| ("mcp-session-id", id)));
            respond(session, status, &headers, Bytes::from(body)).await
        }
        Outgoing::Stream(stream) => events::write(session, stream, None, cover, drain).await,
        Outgoing::Opened { messages, stream } => {
            let first = sse::event(Some("endpoint"), None, None, messages.as_bytes());
            events::write(session, stream, Some(first), cover, drain).await
        }
        // Nobody waits for the answer to a request that was cancelled, and HTTP wants one.
        Outgoing::Accepted | Outgoing::Silent => respond(session, 202, &headers, Bytes::new()).await,
        Outgoing::Ended => respond(session, 204, &headers, Bytes::new()).await,
        Outgoing::Document { etag, body } => {
            headers.extend([("etag", etag.as_str()), ("cache-control", "private, no-cache")]);
            let status = if body.is_some() { 200 } else { 304 };
            respond(session, status, &headers, Bytes::from(body.unwrap_or_default())).await
        }
        Outgoing::Refused(refusal) => refuse(session, &refusal, cover).await,
    }
}

/// Writes a refusal, its remedy in the body and in the headers its status asks for.
pub async fn refuse(session: &mut Session, refusal: &Refusal, cover: Cover<'_>) -> Written {
    let mut headers = cover.headers();
    let seconds = match refusal {
        Refusal::TooMany { retry_after, .. } => retry_after.to_string(),
        Refusal::Draining => RESTART.to_owned(),
        _ => "1".to_owned(),
    };
    match refusal {
        Refusal::Unauthorized { challenge, .. } | Refusal::Scopes { challenge, .. } => {
            headers.push(("www-authenticate", challenge.as_str()))
        }
        Refusal::Method => headers.push(("allow", METHODS)),
        Refusal::TooMany { .. } | Refusal::Busy | Refusal::Unavailable { .. } | Refusal::Unrecorded => {
            headers.push(("retry-after", &seconds));
        }
        Refusal::Draining => {
            headers.push(("retry-after", &seconds));
            line::leave(session);
        }
        Refusal::LargeHeader { .. } | Refusal::TooLarge { .. } | Refusal::Stalled | Refusal::Unreadable => {
            session.set_keepalive(None);
        }
        Refusal::Host
        | Refusal::Origin
        | Refusal::Disabled
        | Refusal::AgentToken { .. }
        | Refusal::NoSession
        | Refusal::StreamTaken
        | Refusal::Unresumable
        | Refusal::NotAcceptable
        | Refusal::MediaType => {}
    }
    let body = serde_json::json!({"error": refusal.code(), "error_description": refusal.message()});
    if is_small(session) {
        drain(session, AWAITING).await;
    }
    respond(session, status(refusal), &headers, Bytes::from(body.to_string())).await?;
    if session.is_http2() {
        // A stream that ends with its body unread is reset, and some clients then lose the answer.
        drain(session, DRAIN_TIME).await;
    }
    Ok(())
}

/// Whether the rest of an HTTP/1 request is short, and on its way.
fn is_small(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    !session.is_http2()
        && !headers.contains_key(http::header::EXPECT)
        && declared(headers).is_some_and(|length| length <= AWAITED)
}

/// Reads what is left of a body that nobody wants.
async fn drain(session: &mut Session, patience: Duration) {
    let rest = async {
        let mut left = DRAINED;
        while let Ok(Some(chunk)) = session.as_downstream_mut().read_request_body().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(patience, rest).await;
}

/// The length that a request's body is declared to have.
fn declared(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What every answer of ours begins with.
pub fn head(status: u16, headers: &[(&'static str, &str)]) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(status, Some(headers.len() + 4))?;
    head.insert_header(http::header::CACHE_CONTROL, "no-store")?;
    head.insert_header(http::header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    for (name, value) in headers {
        head.insert_header(*name, *value)?;
    }
    Ok(head)
}

/// Writes a whole JSON response; an empty body gets no content type.
pub async fn respond(
    session: &mut Session,
    status: u16,
    headers: &[(&'static str, &str)],
    body: Bytes,
) -> Written {
    let mut head = head(status, headers)?;
    // RFC 9110 section 8.6: that of a 304 would be the document's.
    if status != 204 && status != 304 {
        head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    }
    if !body.is_empty() {
        head.insert_header(http::header::CONTENT_TYPE, "application/json")?;
    }
    let silent = body.is_empty() || session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head), silent).await?;
    if !silent {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
