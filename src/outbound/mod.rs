//! The one HTTP client: a keep-alive pool, system roots, a guard on addresses, a deadline over the
//! whole call, a cap on the body, no redirects. It knows neither the PSA nor issuers.

mod connect;
mod guard;
mod pool;
mod transport;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use thiserror::Error;

use self::connect::Connector;
pub use self::guard::Guard;
use self::pool::{Exchange, Pool};
pub use self::transport::Transport;

/// A connection that is older takes no further call, however busy it is: the next one asks the
/// resolver again, so that a name that moved is followed.
const OLDEST: Duration = Duration::from_secs(60);

/// Bounds of every call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the call until the whole answer was read.
    pub deadline: Duration,
    /// DNS, TCP and TLS together.
    pub connect: Duration,
    /// Bytes of an answer's body.
    pub body: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OutboundError {
    /// The guard refuses the address. Nothing was sent.
    #[error("{target} may not be reached: {why}")]
    Forbidden { target: String, why: &'static str },
    /// No connection. Nothing was sent.
    #[error("the server cannot be reached: {why}")]
    Unreachable { why: String },
    /// The request was, or may have been, sent, and the answer is not whole.
    #[error("the connection broke before the whole answer was there: {why}")]
    Interrupted { why: String },
    /// The request was, or may have been, sent, and what came back breaks the rules of HTTP/1.1.
    #[error("what came back is not HTTP/1.1: {why}")]
    Malformed { why: String },
    /// The answer's body is longer than [`Limits::body`]; its status came whole.
    #[error("the answer is too large")]
    TooLarge { status: u16 },
    /// Not done in time; the request may have been sent.
    #[error("there was no whole answer within the time limit")]
    Deadline,
    /// The URL, a header or the configuration cannot be used. Nothing was sent.
    #[error("the request cannot be made: {0}")]
    Invalid(&'static str),
    /// The name has no address. Nothing was sent.
    #[error("the server's name cannot be resolved")]
    Dns,
}

impl OutboundError {
    /// True where certainly no byte of the request was sent, so that it may be tried again.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Forbidden { .. } | Self::Unreachable { .. } | Self::Invalid(_) | Self::Dns => true,
            Self::Interrupted { .. } | Self::Malformed { .. } | Self::TooLarge { .. } | Self::Deadline => {
                false
            }
        }
    }

    /// What kept a connection from being made: our own error if there is one below, else the root cause's text.
    fn unsent(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error;
        loop {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            match cause.source() {
                Some(next) => cause = next,
                None => return Self::Unreachable { why: cause.to_string() },
            }
        }
    }

    /// What ended an answer that had begun, or had not: nonsense, or nothing more.
    fn interrupted(error: &(dyn std::error::Error + 'static)) -> Self {
        let (mut cause, mut nonsense) = (error, false);
        loop {
            // A bad head is the parser's own error; a bad chunk comes up as one of these.
            nonsense |= cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
            nonsense |= cause.downcast_ref::<std::io::Error>().is_some_and(|error| {
                matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
            });
            match cause.source() {
                Some(next) => cause = next,
                None if nonsense => return Self::Malformed { why: cause.to_string() },
                None => return Self::Interrupted { why: cause.to_string() },
            }
        }
    }
}

/// How far an answer has come, for whoever waits for it: written by the client, read by anybody.
#[derive(Debug, Default)]
pub struct Arrival {
    status: AtomicU16,
    bytes: AtomicU64,
}

impl Arrival {
    /// The answer's status, once its head is there.
    pub fn status(&self) -> Option<u16> {
        Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Bytes of its body that are there.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The client. Cheap to clone; clones share one pool.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    limits: Limits,
}

struct Shared {
    pool: ArcSwap<Pool>,
    guard: Guard,
    transport: Transport,
    connect: Duration,
    oldest: Duration,
}

impl Outbound {
    /// A client that trusts the system's roots.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where TLS cannot be set up.
    pub fn new(guard: Guard, limits: Limits) -> Result<Self, OutboundError> {
        Self::open(guard, limits, Transport::default())
    }

    /// A client that trusts the certificates in the PEM file `ca` beside the system's roots.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where the file cannot be read or holds no certificate.
    pub fn with_ca(guard: Guard, limits: Limits, ca: Option<&Path>) -> Result<Self, OutboundError> {
        Self::open(guard, limits, Transport { ca_file: ca.map(Path::to_owned), ..Transport::default() })
    }

    /// A client that goes the way that `transport` describes.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where one of its files cannot be used; no text quotes a file.
    pub fn open(guard: Guard, limits: Limits, transport: Transport) -> Result<Self, OutboundError> {
        Self::aged(guard, limits, transport, OLDEST)
    }

    fn aged(
        guard: Guard,
        limits: Limits,
        transport: Transport,
        oldest: Duration,
    ) -> Result<Self, OutboundError> {
        let connect = limits.connect;
        let pool = Pool::new(Connector::new(guard.clone(), &transport, connect)?, oldest);
        let pool = ArcSwap::from(pool);
        Ok(Self { shared: Arc::new(Shared { pool, guard, transport, connect, oldest }), limits })
    }

    /// The same client, pool and all, for answers of up to `body` bytes.
    pub fn reading(&self, body: usize) -> Self {
        Self { shared: self.shared.clone(), limits: Limits { body, ..self.limits } }
    }

    /// Reads the transport's files again. Calls under way end as they began; the next ones open new connections.
    ///
    /// # Errors
    /// As [`Self::open`]; what was in use stays in use.
    pub fn reload(&self) -> Result<(), OutboundError> {
        let Shared { pool, guard, transport, connect, oldest } = &*self.shared;
        pool.store(Pool::new(Connector::new(guard.clone(), transport, *connect)?, *oldest));
        Ok(())
    }

    /// Sends `request` (absolute `http` or `https` URI) and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`OutboundError`]; [`OutboundError::is_unsent`] says whether the request can have had an effect.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, OutboundError> {
        self.send_within(request, self.limits.deadline).await
    }

    /// [`Self::send`] with a deadline of its own.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_within(
        &self,
        request: Request<Bytes>,
        deadline: Duration,
    ) -> Result<Response<Bytes>, OutboundError> {
        self.send_watched(request, deadline, None).await
    }

    /// [`Self::send_within`], while `arrival` tells how far the answer is.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_watched(
        &self,
        request: Request<Bytes>,
        deadline: Duration,
        arrival: Option<&Arrival>,
    ) -> Result<Response<Bytes>, OutboundError> {
        let call = async {
            let (answer, mut exchange) = self.answer(request).await?;
            let (head, body) = answer.into_parts();
            if let Some(arrival) = arrival {
                arrival.status.store(head.status.as_u16(), Ordering::Relaxed);
            }
            let body = exchange.alongside(read(&head, body, self.limits.body, arrival)).await?;
            exchange.over();
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(deadline, call).await.unwrap_or(Err(OutboundError::Deadline))
    }

    /// Sends `request` as [`Self::send`] does and hands over the body as it comes. The deadline ends
    /// with the head: how long to wait for each piece is the caller's to say.
    ///
    /// # Errors
    /// As [`Self::send`], up to the answer's head.
    pub async fn stream(&self, request: Request<Bytes>) -> Result<Response<Pieces>, OutboundError> {
        let answer = tokio::time::timeout(self.limits.deadline, self.answer(request)).await;
        let (answer, exchange) = answer.unwrap_or(Err(OutboundError::Deadline))?;
        let (head, body) = answer.into_parts();
        let exchange = Some(exchange);
        let pieces = Pieces { body, exchange, left: self.limits.body, status: head.status.as_u16() };
        Ok(Response::from_parts(head, pieces))
    }

    /// The answer's head, its body unread, and what brings it.
    async fn answer(&self, request: Request<Bytes>) -> Result<(Response<Incoming>, Exchange), OutboundError> {
        let authority = request.uri().authority().ok_or(OutboundError::Invalid("its URL has no host"))?;
        if authority.as_str().contains('@') {
            return Err(OutboundError::Invalid("its URL must not contain a user name or password"));
        }
        let known = request.uri().scheme().filter(|scheme| matches!(scheme.as_str(), "http" | "https"));
        let scheme = known
            .ok_or(OutboundError::Invalid("its URL must begin with https:// (or http:// where allowed)"))?;
        let server = (scheme.clone(), authority.clone());
        self.shared.pool.load_full().begin(server, request).await
    }
}

/// A body that is still coming; dropping it closes the connection.
pub struct Pieces {
    body: Incoming,
    /// None once all is here.
    exchange: Option<Exchange>,
    left: usize,
    status: u16,
}

impl Pieces {
    /// The next bytes, whenever they come; `None` at the end. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// [`OutboundError::Interrupted`], [`OutboundError::Malformed`], or [`OutboundError::TooLarge`]
    /// where all pieces together are longer than [`Limits::body`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let Some(exchange) = &mut self.exchange else { return Ok(None) };
        while let Some(frame) = exchange.alongside(self.body.frame()).await {
            let frame = frame.map_err(|error| OutboundError::interrupted(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            let left = self.left.checked_sub(data.len());
            self.left = left.ok_or(OutboundError::TooLarge { status: self.status })?;
            return Ok(Some(data));
        }
        self.exchange.take().into_iter().for_each(Exchange::over);
        Ok(None)
    }
}

/// Reads a body of at most `limit` bytes; one that came in one piece is not copied.
async fn read(
    head: &http::response::Parts,
    mut body: Incoming,
    limit: usize,
    arrival: Option<&Arrival>,
) -> Result<Bytes, OutboundError> {
    let too_large = OutboundError::TooLarge { status: head.status.as_u16() };
    let announced =
        head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| OutboundError::interrupted(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large);
        }
        if let Some(arrival) = arrival {
            arrival.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        if rest.is_empty() && first.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests;
