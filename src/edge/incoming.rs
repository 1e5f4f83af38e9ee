//! What the gate needs of a request, copied out of pingora's session. The last lines with a pingora type.

use http::header::{self, HeaderName};
use pingora::proxy::Session;

use super::forwarded::{self, Peer, Place, TrustedProxy};
use super::line;
use crate::gate::{Bearer, Endpoint, Head, Method};

// Names that HTTP itself does not know, read once.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where the request comes from and what its client called us.
pub(super) fn place(session: &Session, trusted: &[TrustedProxy]) -> Place {
    let headers = &session.req_header().headers;
    forwarded::place(trusted, peer(session), host(session), |name| {
        headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
    })
}

fn peer(session: &Session) -> Peer {
    let connection = line::of(session);
    Peer {
        address: connection.and_then(|connection| connection.peer).map(|peer| peer.ip()),
        encrypted: connection.is_some_and(|connection| connection.encrypted),
    }
}

/// A header's values joined by commas; one that cannot be read is shown as U+FFFD.
fn joined(session: &Session, name: &HeaderName) -> Option<String> {
    let mut values = session.req_header().headers.get_all(name).iter();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut whole = text(values.next()?);
    for value in values {
        whole.push_str(", ");
        whole.push_str(&text(value));
    }
    Some(whole)
}

/// The authority that the client addressed: `:authority` in HTTP/2, else exactly one Host header.
fn host(session: &Session) -> Option<&str> {
    let request = session.req_header();
    if let Some(authority) = request.uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok();
    if hosts.next().is_some() { None } else { host }
}

/// The head of the request as the gate takes it, which calls it `request_id`: what a client calls it is not asked.
pub(super) fn head(session: &Session, place: Place, endpoint: Endpoint, request_id: String) -> Box<Head> {
    let request = session.req_header();
    let owned = |name: HeaderName| joined(session, &name);
    Box::new(Head {
        request_id,
        scheme: place.scheme,
        host: place.host,
        prefix: place.prefix,
        origin: owned(header::ORIGIN),
        bearer: Bearer::read(
            request.headers.get_all(header::AUTHORIZATION).iter().map(http::HeaderValue::as_bytes),
        )
        .with_dpop(request.headers.contains_key("dpop")),
        endpoint,
        stream: request.uri.query().and_then(stream).map(str::to_owned),
        method: match request.method {
            http::Method::POST => Method::Post,
            http::Method::GET => Method::Get,
            http::Method::DELETE => Method::Delete,
            _ => Method::Other,
        },
        accept: owned(header::ACCEPT),
        in_pieces: request.version != http::Version::HTTP_10,
        session: owned(SESSION),
        last_event: owned(LAST_EVENT),
        known: owned(header::IF_NONE_MATCH),
        content_type: owned(header::CONTENT_TYPE),
        content_encoding: owned(header::CONTENT_ENCODING),
        protocol_version: owned(PROTOCOL_VERSION),
        mcp_method: owned(METHOD),
        mcp_name: owned(NAME),
        traceparent: owned(TRACEPARENT),
        tracestate: owned(TRACESTATE),
        user_agent: owned(header::USER_AGENT),
        client_address: place.client,
        client_certificate: line::of(session).and_then(|connection| connection.client_certificate),
    })
}

/// The event stream that the query of a message's address names.
fn stream(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("stream="))
}
