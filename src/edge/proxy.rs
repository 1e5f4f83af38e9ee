//! The one file with pingora's phases. Every request is answered in the first of them:
//! rewriting in the later ones costs more and breaks on large bodies and empty answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::ErrorType;
use pingora::proxy::{ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use tokio_util::sync::CancellationToken;

use super::forwarded::{self, Peer, Place, TrustedProxy};
use super::header::{self, HeaderBounds};
use super::line::{Busy, Connection};
use super::route::{Route, Routes};
use super::{body, line};
use crate::gate::{Approach, Bearer, Gate, Head, Outgoing, Refusal};

/// What web pages may send to the MCP endpoint.
const MCP_HEADERS: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, \
                           mcp-method, mcp-name, last-event-id";

/// For how many seconds a browser may remember the answer to a preflight; Chromium takes no more.
const PREFLIGHT_AGE: &str = "7200";

/// Bounds of every request's header, and of the MCP endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub header: HeaderBounds,
    pub max_body: usize,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub max_in_flight: usize,
}

/// Requests being worked on: counted for the bound and for the drain.
#[derive(Default)]
pub struct InFlight {
    count: AtomicUsize,
    closing: AtomicBool,
}

impl InFlight {
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// From now on no connection is kept for another request.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn enter(self: &Arc<Self>, most: usize) -> Option<Entered> {
        let entered = Entered(self.clone());
        (self.count.fetch_add(1, Ordering::AcqRel) < most).then_some(entered)
    }
}

struct Entered(Arc<InFlight>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What may change while it is served.
pub struct Live {
    pub routes: Routes,
    pub trusted: Vec<TrustedProxy>,
    pub bounds: Bounds,
}

/// What pingora serves.
pub struct Proxy {
    pub gate: Arc<Gate>,
    pub live: Arc<ArcSwap<Live>>,
    pub in_flight: Arc<InFlight>,
}

impl Proxy {
    async fn mcp(&self, session: &mut Session, live: &Live) -> pingora::Result<()> {
        let head = head(session, place(session, live));
        if session.req_header().method == http::Method::OPTIONS {
            return self.preflight(session, &head).await;
        }
        let reader = self.gate.reader(&head).map(str::to_owned);
        let Some(_entered) = self.in_flight.enter(live.bounds.max_in_flight) else {
            let refusal = self.gate.turned_away(Refusal::Busy);
            return body::refuse(session, &refusal, reader.as_deref()).await;
        };
        let outgoing = self.work(session, live, head).await;
        if self.in_flight.closing.load(Ordering::Acquire) {
            session.set_keepalive(None);
        }
        body::write(session, outgoing, reader.as_deref()).await
    }

    async fn work(&self, session: &mut Session, live: &Live, head: Head) -> Outgoing {
        let admitted = match self.gate.admit(head).await {
            Ok(admitted) => admitted,
            Err(refusal) => return Outgoing::Refused(refusal),
        };
        let read = body::read(session, live.bounds.max_body, live.bounds.body_timeout).await;
        match read {
            Ok(bytes) => self.answer(session, admitted, bytes).await,
            Err(refusal) => Outgoing::Refused(admitted.refuse(refusal)),
        }
    }

    /// Tells web pages of allowed origins what they may send (Fetch Standard, CORS-preflight). Bears no
    /// token and leaves no record.
    async fn preflight(&self, session: &mut Session, head: &Head) -> pingora::Result<()> {
        if let Err(refusal) = self.gate.check(head) {
            return body::refuse(session, &refusal, None).await;
        }
        let mut headers = body::readable_by(head.origin.as_deref());
        if !headers.is_empty() {
            headers.extend([
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-headers", MCP_HEADERS),
                ("access-control-max-age", PREFLIGHT_AGE),
            ]);
        }
        headers.push(("allow", "POST, OPTIONS"));
        body::respond(session, 204, &headers, Bytes::new()).await
    }

    /// Answers a header that is too large, whatever the request is for.
    async fn large_header(
        &self,
        session: &mut Session,
        live: &Live,
        refusal: Refusal,
    ) -> pingora::Result<()> {
        let refusal = self.gate.turned_away(refusal);
        let head = head(session, place(session, live));
        body::refuse(session, &refusal, self.gate.reader(&head)).await
    }

    /// Runs the call to its end whatever happens; a client that leaves only trips the token,
    /// and the revision decides whether that cancels.
    async fn answer(&self, session: &mut Session, admitted: crate::gate::Admission, body: Bytes) -> Outgoing {
        let cancel = CancellationToken::new();
        let work = self.gate.answer(admitted, &body, cancel.clone());
        tokio::pin!(work);
        let left = tokio::select! {
            biased;
            outgoing = &mut work => return outgoing,
            left = session.as_downstream_mut().read_body_or_idle(true) => left,
        };
        match left {
            // A pipelined request: the client is there and merely early. The connection ends after this answer.
            Err(error) if *error.etype() == ErrorType::ConnectError => session.set_keepalive(None),
            _ => cancel.cancel(),
        }
        work.await
    }

    async fn metadata(&self, session: &mut Session, live: &Live) -> pingora::Result<()> {
        const ANY_ORIGIN: [(&str, &str); 1] = [("access-control-allow-origin", "*")];
        let method = session.req_header().method.clone();
        if method == http::Method::OPTIONS {
            let headers = [
                ANY_ORIGIN[0],
                ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
                ("access-control-allow-headers", "*"),
                ("access-control-max-age", PREFLIGHT_AGE),
            ];
            return body::respond(session, 204, &headers, Bytes::new()).await;
        }
        if method != http::Method::GET && method != http::Method::HEAD {
            let headers = [ANY_ORIGIN[0], ("allow", "GET, HEAD, OPTIONS")];
            return body::respond(session, 405, &headers, Bytes::new()).await;
        }
        let mut place = place(session, live);
        if let Some(prefix) = live.routes.inserted(session.req_header().uri.path())
            && !place.take_inserted(prefix)
        {
            return nothing(session).await;
        }
        let Place { scheme, host, prefix, .. } = &place;
        let approach = Approach { scheme, host: host.as_deref(), prefix, origin: None };
        match self.gate.metadata(approach).await {
            Ok(document) => body::respond(session, 200, &ANY_ORIGIN, Bytes::from(document)).await,
            Err(refusal) => body::refuse(session, &refusal, Some("*")).await,
        }
    }
}

/// What is kept of a request from its first phase to its last.
#[derive(Default)]
pub struct Context {
    /// Its connection is not idle.
    busy: Option<Busy>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        context.busy = line::of(session).map(Connection::busy);
        let live = self.live.load_full();
        session.as_downstream_mut().set_write_timeout(Some(live.bounds.write_timeout));
        session.as_downstream_mut().set_total_drain_timeout(Some(body::DRAIN_TIME));
        if let Err(refusal) = header::check(session.req_header(), live.bounds.header) {
            self.large_header(session, &live, refusal).await?;
            return Ok(true);
        }
        match live.routes.of(session.req_header().uri.path()) {
            Route::Mcp => self.mcp(session, &live).await?,
            Route::Metadata => self.metadata(session, &live).await?,
            Route::Nothing => nothing(session).await?,
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        // Unreachable while every request is answered above; if it ever is not, nothing is forwarded.
        Err(pingora::Error::explain(ErrorType::HTTPStatus(404), "nothing is passed through"))
    }
}

async fn nothing(session: &mut Session) -> pingora::Result<()> {
    let body = Bytes::from_static(br#"{"error":"not_found","error_description":"nothing is served here"}"#);
    body::respond(session, 404, &[], body).await
}

/// Where the request comes from and what its client called us.
fn place(session: &Session, live: &Live) -> Place {
    let headers = &session.req_header().headers;
    forwarded::place(&live.trusted, peer(session), host(session), |name| {
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
fn joined(session: &Session, name: &str) -> Option<String> {
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
    let mut hosts = request.headers.get_all(http::header::HOST).iter();
    let host = hosts.next()?.to_str().ok();
    if hosts.next().is_some() { None } else { host }
}

/// Copies out of the session what the gate needs: the last line with a pingora type.
fn head(session: &Session, place: Place) -> Head {
    let request = session.req_header();
    let owned = |name: &str| joined(session, name);
    Head {
        scheme: place.scheme,
        host: place.host,
        prefix: place.prefix,
        origin: owned("origin"),
        bearer: Bearer::read(
            request.headers.get_all(http::header::AUTHORIZATION).iter().map(http::HeaderValue::as_bytes),
        )
        .with_dpop(request.headers.contains_key("dpop")),
        is_post: request.method == http::Method::POST,
        content_type: owned("content-type"),
        content_encoding: owned("content-encoding"),
        protocol_version: owned("mcp-protocol-version"),
        mcp_method: owned("mcp-method"),
        mcp_name: owned("mcp-name"),
        user_agent: owned("user-agent"),
        client_address: place.client,
        client_certificate: line::of(session).and_then(|connection| connection.client_certificate),
    }
}
