//! Connections that are kept for the next request, one request at a time on each.
//!
//! A connection works in the task of whoever waits for its answer, and rests without one: a task of its own would be woken
//! for each piece of a request and of an answer, and as often on another core.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};
use tower_service::Service as _;

use super::OutboundError;
use super::connect::{Connector, Line};

/// Idle connections are dropped before the 5 s after which common Node servers close theirs, so
/// that a write is not sent into a connection that is just closing.
const IDLE: Duration = Duration::from_secs(4);

/// The most idle connections that one runtime keeps to one server.
const IDLE_PER_HOST: usize = 128;

/// The most that is buffered of an answer's head, in bytes, and the most fields it may have.
const HEAD: usize = 64 << 10;
const FIELDS: usize = 100;

/// Whom a connection is to.
pub(super) type Server = (Scheme, Authority);

/// Where a connection rests: with the runtime that looks after it. Used on another, it would wake one core from another.
type Home = (Id, Server);

/// Idle connections, and the way to new ones.
pub(super) struct Pool {
    connector: Connector,
    /// A connection that is older takes no further request.
    oldest: Duration,
    idle: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    lines: HashMap<Home, Vec<Idle>>,
    /// Somebody comes to close what has rested too long.
    swept: bool,
}

struct Idle {
    open: Open,
    since: Instant,
}

/// An open connection.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    work: Work,
    opened: Instant,
}

/// None once it is closed.
type Work = Option<Pin<Box<Connection<Line, Full<Bytes>>>>>;

/// Waits for `call` while the connection works.
async fn alongside<T>(work: &mut Work, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    poll_fn(|cx| {
        if let Poll::Ready(done) = call.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // Whatever ends it is told to `call` as well.
        if work.as_mut().is_some_and(|work| work.as_mut().poll(cx).is_ready()) {
            *work = None;
        }
        call.as_mut().poll(cx)
    })
    .await
}

impl Open {
    /// Whether it takes another request: it is idle, and nothing came that nobody asked for.
    fn is_ready(&mut self) -> bool {
        let works = self.work.as_mut().is_some_and(|work| work.now_or_never().is_none());
        works && self.sender.is_ready()
    }
}

/// One request under way: its connection works only while somebody waits for the answer.
pub(super) struct Exchange {
    pool: Arc<Pool>,
    home: Home,
    open: Open,
}

impl Exchange {
    /// Waits for a part of the answer.
    pub(super) async fn alongside<T>(&mut self, call: impl Future<Output = T>) -> T {
        alongside(&mut self.open.work, call).await
    }

    /// The whole answer is here: the connection is kept if it can be.
    pub(super) fn over(self) {
        self.pool.keep(self.home, self.open);
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, oldest: Duration) -> Arc<Self> {
        Arc::new(Self { connector, oldest, idle: Mutex::default() })
    }

    /// Sends `request` to the `server` that its URI names, and returns the answer's head with its body unread.
    pub(super) async fn begin(
        self: &Arc<Self>,
        server: Server,
        request: Request<Bytes>,
    ) -> Result<(Response<Incoming>, Exchange), OutboundError> {
        let to = request.uri().clone();
        let mut request = relative(request.map(Full::new), &server)?;
        let home = (Handle::current().id(), server);
        loop {
            let kept = self.take(&home);
            let is_new = kept.is_none();
            let mut open = match kept {
                Some(open) => open,
                None => Box::pin(self.open(to.clone())).await?,
            };
            let sending = open.sender.try_send_request(request);
            match alongside(&mut open.work, sending).await {
                Ok(answer) => return Ok((answer, Exchange { pool: self.clone(), home, open })),
                // A kept connection may have ended meanwhile. What comes back was not written, not even in part.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Err(OutboundError::unsent(error.error())),
                    None => return Err(OutboundError::interrupted(error.error())),
                },
            }
        }
    }

    async fn open(&self, to: Uri) -> Result<Open, OutboundError> {
        let line = self.connector.clone().call(to).await?;
        let opened = Instant::now();
        let shaken = Builder::new().max_buf_size(HEAD).max_headers(FIELDS).handshake(line).await;
        let (sender, work) = shaken.map_err(|error| OutboundError::unsent(&error))?;
        Ok(Open { sender, work: Some(Box::pin(work)), opened })
    }

    /// The connection that rests since last, if it can still be used.
    fn take(&self, home: &Home) -> Option<Open> {
        loop {
            let mut idle = self.idle.lock().lines.get_mut(home)?.pop()?;
            if idle.since.elapsed() < IDLE && idle.open.is_ready() {
                return Some(idle.open);
            }
        }
    }

    fn keep(self: &Arc<Self>, home: Home, mut open: Open) {
        if open.opened.elapsed() >= self.oldest || !open.is_ready() {
            return;
        }
        let mut idle = self.idle.lock();
        let lines = idle.lines.entry(home).or_default();
        if lines.len() < IDLE_PER_HOST {
            lines.push(Idle { open, since: Instant::now() });
        }
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes what has rested too long; ends when nothing rests.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle.lock();
        idle.lines.retain(|_, lines| {
            lines.retain(|idle| idle.since.elapsed() < IDLE);
            !lines.is_empty()
        });
        if idle.lines.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

/// The request as it is sent to its own server (RFC 9112 section 3.2.1).
fn relative(
    mut request: Request<Full<Bytes>>,
    (scheme, authority): &Server,
) -> Result<Request<Full<Bytes>>, OutboundError> {
    if !request.headers().contains_key(header::HOST) {
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != usual => authority.as_str(),
            _ => authority.host(),
        };
        let host = HeaderValue::from_str(host).map_err(|_| OutboundError::Invalid("its URL has no host"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Ok(request)
}
