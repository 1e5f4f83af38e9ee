//! The one file with pingora's phases. Every request is answered in the first of them:
//! rewriting in the later ones costs more and breaks on large bodies and empty answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::ErrorType;
use pingora::proxy::{ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use tokio_util::sync::CancellationToken;

use super::body;
use super::route::{Route, Routes};
use crate::gate::{Approach, Bearer, Gate, Head, Outgoing, Refusal};

/// How long a client may take to accept a piece of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds of the MCP endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub max_body: usize,
    pub body_timeout: Duration,
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

/// What pingora serves.
pub struct Proxy {
    pub gate: Arc<Gate>,
    pub routes: Routes,
    pub bounds: Bounds,
    pub in_flight: Arc<InFlight>,
}

impl Proxy {
    async fn mcp(&self, session: &mut Session) -> pingora::Result<()> {
        let Some(_entered) = self.in_flight.enter(self.bounds.max_in_flight) else {
            self.gate.turned_away();
            return body::refuse(session, &Refusal::Busy).await;
        };
        let head = head(session);
        let admitted = match self.gate.admit(head).await {
            Ok(admitted) => admitted,
            Err(refusal) => return body::refuse(session, &refusal).await,
        };
        let read = body::read(session, self.bounds.max_body, self.bounds.body_timeout).await;
        let outgoing = match read {
            Ok(bytes) => self.answer(session, admitted, bytes).await,
            Err(refusal) => Outgoing::Refused(admitted.refuse(refusal)),
        };
        if self.in_flight.closing.load(Ordering::Acquire) {
            session.set_keepalive(None);
        }
        body::write(session, outgoing).await
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

    async fn metadata(&self, session: &mut Session) -> pingora::Result<()> {
        const ANY_ORIGIN: [(&str, &str); 1] = [("access-control-allow-origin", "*")];
        let method = session.req_header().method.clone();
        if method == http::Method::OPTIONS {
            let headers = [
                ANY_ORIGIN[0],
                ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
                ("access-control-allow-headers", "*"),
            ];
            return body::respond(session, 204, &headers, Bytes::new()).await;
        }
        if method != http::Method::GET && method != http::Method::HEAD {
            return body::respond(session, 405, &[("allow", "GET, HEAD, OPTIONS")], Bytes::new()).await;
        }
        let document = {
            let scheme = scheme(session);
            self.gate.metadata(Approach { scheme, host: host(session), origin: None }).await
        };
        match document {
            Ok(document) => body::respond(session, 200, &ANY_ORIGIN, Bytes::from(document)).await,
            Err(refusal) => body::refuse(session, &refusal).await,
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, _: &mut ()) -> pingora::Result<bool> {
        session.as_downstream_mut().set_write_timeout(Some(WRITE_TIMEOUT));
        session.as_downstream_mut().set_total_drain_timeout(Some(body::DRAIN_TIME));
        match self.routes.of(session.req_header().uri.path()) {
            Route::Mcp => self.mcp(session).await?,
            Route::Metadata => self.metadata(session).await?,
            Route::Nothing => {
                let body = Bytes::from_static(
                    br#"{"error":"not_found","error_description":"nothing is served here"}"#,
                );
                body::respond(session, 404, &[], body).await?;
            }
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        // Unreachable while every request is answered above; if it ever is not, nothing is forwarded.
        Err(pingora::Error::explain(ErrorType::HTTPStatus(404), "nothing is passed through"))
    }
}

fn scheme(session: &Session) -> &'static str {
    let encrypted = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    if encrypted { "https" } else { "http" }
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

/// The SHA-256 of the client's certificate, where the TLS connection has one.
fn client_certificate(session: &Session) -> Option<[u8; 32]> {
    session.digest()?.ssl_digest.as_ref()?.cert_digest.as_slice().try_into().ok()
}

/// Copies out of the session what the gate needs: the last line with a pingora type.
fn head(session: &Session) -> Head {
    let request = session.req_header();
    let owned = |name: &str| joined(session, name);
    Head {
        scheme: scheme(session),
        host: host(session).map(str::to_owned),
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
        client_certificate: client_certificate(session),
        client_address: session.client_addr().map(ToString::to_string),
    }
}
