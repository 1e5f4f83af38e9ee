//! The one file with pingora's phases. What is ours is answered in the first of them: rewriting
//! in the later ones costs more and breaks on large bodies and empty answers. The later ones
//! serve what passes through to the PSA, unchanged.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use tokio_util::sync::CancellationToken;

use super::body::Cover;
use super::drain::Drain;
use super::forwarded::{Place, TrustedProxy};
use super::header::{self, HeaderBounds};
use super::in_flight::{Entered, InFlight};
use super::incoming::{head, place};
use super::line::{Busy, Connection};
use super::route::Route;
use super::through::{self, Failure, Forwarding, Passage, Through, has_body, is_interim};
use super::wings::{Wing, Wings};
use super::{body, line, rest};
use crate::gate::{Approach, Endpoint, Head, Kind, Method, Outgoing, Refusal, Wire};

/// What web pages may send to the MCP endpoint.
const MCP_HEADERS: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, \
                           mcp-method, mcp-name, last-event-id, traceparent, tracestate";

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

/// What may change while it is served.
pub struct Live {
    pub wings: Wings,
    pub trusted: Vec<TrustedProxy>,
    pub bounds: Bounds,
}

/// What pingora serves.
#[derive(Clone)]
pub struct Proxy {
    pub live: Arc<ArcSwap<Live>>,
    pub in_flight: Arc<InFlight>,
    pub drain: Arc<Drain>,
    /// The way to the PSA's own web server, where it is open.
    pub through: Option<Arc<Through>>,
}

impl Proxy {
    async fn mcp(
        &self,
        session: &mut Session,
        live: &Live,
        wing: &Wing,
        endpoint: Endpoint,
    ) -> pingora::Result<()> {
        let gate = &wing.gate;
        if !gate.is_open() {
            return nothing(session).await;
        }
        let request_id = gate.name();
        let head = head(session, place(session, &live.trusted), endpoint, request_id.clone());
        if session.req_header().method == http::Method::OPTIONS {
            return preflight(session, wing, &head).await;
        }
        let reader = gate.reader(&head).map(str::to_owned);
        let cover = Cover { reader: reader.as_deref(), request_id: Some(&request_id) };
        let entered = match self.in_time(self.in_flight.enter(live.bounds.max_in_flight)) {
            Ok(entered) => entered,
            Err(refusal) => {
                let refusal = gate.turned_away(refusal);
                return body::refuse(session, &refusal, cover).await;
            }
        };
        let entered = Arc::new(entered);
        let outgoing = self.work(session, live, wing, head, entered.clone()).await;
        if self.drain.refuses() {
            session.set_keepalive(None);
        }
        let places = match &outgoing {
            // Who is turned away takes no place while reading why: anybody could take them all.
            Outgoing::Refused(_) | Outgoing::Opened { .. } => false,
            // A stream that stays is bounded by its agent's number, and must keep no call out.
            Outgoing::Stream(stream) => stream.will_end(),
            _ => true,
        };
        let _entered = places.then_some(entered);
        body::write(session, outgoing, cover, &self.drain).await
    }

    /// Who has found room counts already, and is waited for unless it is too late.
    fn in_time<T>(&self, entered: Option<T>) -> Result<T, Refusal> {
        let entered = entered.ok_or(Refusal::Busy)?;
        if self.drain.refuses() { Err(Refusal::Draining) } else { Ok(entered) }
    }

    async fn work(
        &self,
        session: &mut Session,
        live: &Live,
        wing: &Wing,
        head: Box<Head>,
        entered: Arc<Entered>,
    ) -> Outgoing {
        let admitted = match wing.gate.admit(head).await {
            Ok(admitted) => admitted,
            Err(refusal) => return Outgoing::Refused(refusal),
        };
        if admitted.method() != Method::Post {
            return answer(session, wing, admitted, Bytes::new(), entered).await;
        }
        let read = body::read(session, live.bounds.max_body, live.bounds.body_timeout).await;
        match read {
            Ok(bytes) => answer(session, wing, admitted, bytes, entered).await,
            Err(refusal) => Outgoing::Refused(admitted.refuse(refusal)),
        }
    }

    /// Refuses a request, whatever it is for.
    async fn turn_away(session: &mut Session, live: &Live, refusal: Refusal) -> pingora::Result<()> {
        let gate = &live.wings.main().gate;
        let refusal = gate.turned_away(refusal);
        let head = head(session, place(session, &live.trusted), MAIN, gate.name());
        let cover = Cover { reader: gate.reader(&head), request_id: Some(&head.request_id) };
        body::refuse(session, &refusal, cover).await
    }
}

/// Whether whoever asks for the registry is the PSA's own client: it shows a key or a session of the PSA's, and no
/// token of an agent's.
fn is_the_psas(request: &RequestHeader) -> bool {
    let shows = |name: http::HeaderName| request.headers.contains_key(name);
    let keys = request.headers.contains_key("x-api-key")
        || shows(http::header::COOKIE)
        || shows(http::header::AUTHORIZATION);
    keys && through::issuers(request).is_empty()
}

/// Tells web pages of allowed origins what they may send (Fetch Standard, CORS-preflight). Bears no
/// token and leaves no record.
async fn preflight(session: &mut Session, wing: &Wing, head: &Head) -> pingora::Result<()> {
    if let Err(refusal) = wing.gate.check(head) {
        return body::refuse(session, &refusal, Cover::default()).await;
    }
    let mut headers = body::readable_by(head.origin.as_deref());
    if !headers.is_empty() {
        headers.extend([
            ("access-control-allow-methods", "POST, GET, DELETE"),
            ("access-control-allow-headers", MCP_HEADERS),
            ("access-control-max-age", PREFLIGHT_AGE),
        ]);
    }
    headers.push(("allow", body::METHODS));
    body::respond(session, 204, &headers, Bytes::new()).await
}

/// Runs the call to its end whatever happens; a client that leaves only trips the token,
/// and the revision decides whether that cancels.
async fn answer(
    session: &mut Session,
    wing: &Wing,
    admitted: crate::gate::Admission,
    body: Bytes,
    hold: Arc<Entered>,
) -> Outgoing {
    let cancel = CancellationToken::new();
    let work = wing.gate.answer(admitted, &body, Wire { gone: cancel.clone(), hold });
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

async fn metadata(session: &mut Session, live: &Live, wing: &Wing, resource: usize) -> pingora::Result<()> {
    if !wing.gate.is_open() {
        return nothing(session).await;
    }
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
    let mut place = place(session, &live.trusted);
    if let Some((prefix, _)) = wing.routes.inserted(session.req_header().uri.path())
        && !place.take_inserted(prefix)
    {
        return nothing(session).await;
    }
    let Place { scheme, host, prefix, .. } = &place;
    let approach = Approach { scheme, host: host.as_deref(), prefix, origin: None, resource };
    match wing.gate.metadata(approach).await {
        Ok(document) => body::respond(session, 200, &ANY_ORIGIN, Bytes::from(document)).await,
        Err(refusal) => {
            let cover = Cover { reader: Some("*"), ..Cover::default() };
            body::refuse(session, &refusal, cover).await
        }
    }
}

/// Who is refused without being looked at is refused at the main endpoint.
const MAIN: Endpoint = Endpoint { kind: Kind::Streamable, resource: 0 };

/// What is kept of a request from its first phase to its last.
#[derive(Default)]
pub struct Context {
    /// Its connection is not idle.
    busy: Option<Busy>,
    /// It passes through.
    passage: Option<Passage>,
}

impl Proxy {
    /// Lets a request through to the PSA, or answers it.
    async fn pass(
        &self,
        session: &mut Session,
        live: &Live,
        wing: &Wing,
    ) -> pingora::Result<Option<Passage>> {
        if let Some(failure) = through::unfit(session.req_header()) {
            keep_out(session, wing, failure).await?;
            return Ok(None);
        }
        let bodyless = session.is_body_empty();
        match self.entered(session, live, wing, bodyless).await {
            Ok(passage) => {
                session.as_downstream_mut().set_read_timeout(Some(passage.silence.client));
                Ok(Some(passage))
            }
            Err(refusal) => {
                wing.gate.passed(None, true);
                body::refuse(session, &refusal, Cover::default()).await?;
                Ok(None)
            }
        }
    }

    async fn entered(
        &self,
        session: &Session,
        live: &Live,
        wing: &Wing,
        bodyless: bool,
    ) -> Result<Passage, Refusal> {
        let request = session.req_header();
        let place = place(session, &live.trusted);
        let Place { scheme, host, prefix, .. } = &place;
        let approach = Approach { scheme, host: host.as_deref(), prefix, origin: None, resource: 0 };
        wing.gate.pass(approach, &through::issuers(request)).await?;
        let forwarding = Forwarding {
            chain: place.chain().collect(),
            scheme: place.scheme,
            host: place.host.unwrap_or_default(),
        };
        let through = self.through.as_ref();
        self.in_time(through.and_then(|through| through.enter(request, bodyless, forwarding)))
    }
}

async fn keep_out(session: &mut Session, wing: &Wing, failure: Failure) -> pingora::Result<()> {
    wing.gate.passed(None, true);
    session.set_keepalive(None);
    body::respond(session, failure.status, &[], Bytes::from(failure.body())).await
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {
        // None: pingora's own would compress.
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        context.busy = line::of(session).map(Connection::busy);
        let live = self.live.load_full();
        session.as_downstream_mut().set_write_timeout(Some(live.bounds.write_timeout));
        session.as_downstream_mut().set_total_drain_timeout(Some(body::DRAIN_TIME));
        let request = session.req_header();
        if let Err(refusal) = header::check(request, live.bounds.header) {
            Self::turn_away(session, &live, refusal).await?;
            return Ok(true);
        }
        if self.drain.refuses() {
            Self::turn_away(session, &live, Refusal::Draining).await?;
            return Ok(true);
        }
        let wing = live.wings.find(request.uri.path(), || place(session, &live.trusted).host);
        match wing.routes.of(request.uri.path(), request.raw_path()) {
            Route::Mcp(Endpoint { kind: Kind::Registry, .. })
                if self.through.is_some() && is_the_psas(request) =>
            {
                context.passage = self.pass(session, &live, wing).await?;
                return Ok(context.passage.is_none());
            }
            Route::Mcp(endpoint) => self.mcp(session, &live, wing, endpoint).await?,
            Route::Metadata(resource) => metadata(session, &live, wing, resource).await?,
            Route::Through => {
                context.passage = self.pass(session, &live, wing).await?;
                return Ok(context.passage.is_none());
            }
            Route::Unclear(remedy) => keep_out(session, wing, Failure::unclear(remedy)).await?,
            Route::Nothing => nothing(session).await?,
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let (Some(through), Some(passage)) = (&self.through, &context.passage) else {
            // Unreachable while all else is answered above; if it ever is not, nothing is forwarded.
            return Err(Error::explain(ErrorType::HTTPStatus(404), "nothing is passed through"));
        };
        let peer = through.peers().peer(passage.silence.psa).await;
        peer.map(Box::new).map_err(|()| Error::explain(ErrorType::ConnectNoRoute, "no address").into_up())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let (Some(through), Some(passage)) = (&self.through, &mut context.passage) {
            passage.failed += 1;
            // Nothing was sent: any method may be tried at the next address.
            error.set_retry(through.peers().failed(passage.failed));
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let passage = context.passage.as_ref();
        passage.map_or(Ok(()), |passage| through::prepare(request, &passage.forwarding))
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        _: &mut Context,
    ) -> pingora::Result<()> {
        // An HTTP/2 body may end with an empty frame. pingora would write the end of the chunks for
        // it and for the end of the stream: the second would begin the connection's next request.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let Some(passage) = &mut context.passage else { return Ok(()) };
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "an upgrade nobody asked for").into_up());
        }
        passage.answered(response);
        session.as_downstream_mut().set_read_timeout(Some(passage.silence.client));
        through::present(response, session.req_header().version == http::Version::HTTP_10);
        if self.drain.refuses() {
            session.set_keepalive(None);
        }
        if !has_body(&session.req_header().method, response) {
            rest::end_within(passage.silence.client);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        end: bool,
        context: &mut Context,
    ) -> pingora::Result<Option<Duration>> {
        if let (true, Some(passage)) = (end, &context.passage) {
            rest::end_within(passage.silence.client);
        }
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        _: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        // A kept connection may have ended under the request. pingora itself would also repeat PUT and DELETE.
        if session.req_header().method.is_safe() && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        // `100 Continue` is no answer yet.
        let answered = session.response_written().is_some_and(|answer| !is_interim(answer.status));
        let failure = Failure::of(error, owes_body(session)).filter(|_| !answered);
        if context.passage.is_some() && *error.esource() != ErrorSource::Downstream {
            tracing::warn!(
                error = error.etype().as_str(),
                answered,
                "the PSA did not answer what was passed through"
            );
        }
        // pingora keeps no connection after this.
        session.set_keepalive(None);
        if let Some(failure) = &failure {
            let _ = body::respond(session, failure.status, &[], Bytes::from(failure.body())).await;
        }
        FailToProxy { error_code: failure.map_or(0, |failure| failure.status), can_reuse_downstream: false }
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, context: &mut Context) {
        if let Some(passage) = context.passage.take() {
            self.live.load().wings.main().gate.passed(passage.status, false);
        }
    }
}

/// Whether the client has announced a body, may send it, and has not sent all of it.
fn owes_body(session: &mut Session) -> bool {
    // Who expects to be told to go on waits for the PSA as well.
    let waits = session.req_header().headers.contains_key(http::header::EXPECT);
    !waits && !session.is_upgrade_req() && !session.as_downstream_mut().is_body_done()
}

async fn nothing(session: &mut Session) -> pingora::Result<()> {
    let body = Bytes::from_static(br#"{"error":"not_found","error_description":"nothing is served here"}"#);
    body::respond(session, 404, &[], body).await
}
