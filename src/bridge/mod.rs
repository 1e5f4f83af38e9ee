//! The other end of a local client's lines is a server elsewhere: each message becomes a POST, and what comes back becomes
//! lines again (MCP, Streamable HTTP, as its client).
//!
//! Knows no transport of its own side, and of the server nothing but its URL.

mod exchange;
mod issuer;
mod listening;
mod messages;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::token::{Client, Source};

use self::messages::{Heard, error, unreadable};
use self::token::Tokens;
use crate::clock::Clock;
use crate::mcp::rpc::Id;
use crate::outbound::{Guard, Limits, Outbound, OutboundError, Pieces, Transport};
use crate::secret::Secret;

/// The longest that a server may think about one message before it begins its answer: its own limits are shorter.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// DNS, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the server may take to hear that the session is over.
const GOODBYE: Duration = Duration::from_secs(2);

/// Lines that wait to be written before no more is read from the server.
const WAITING: usize = 64;

/// Messages that are under way before no further line is read.
const UNDER_WAY: usize = 256;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const USER_AGENT: &str = concat!("sidegate/", env!("CARGO_PKG_VERSION"));

/// Which server, and how it is reached.
#[derive(Debug)]
pub struct Gate {
    /// Its MCP endpoint.
    pub url: Url,
    /// PEM certificates that vouch for it, and for its issuer, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the tokens for it come from.
    pub token: Source,
}

/// A request that has no answer yet.
struct Open {
    id: Id,
    /// Whether leaving is how it is cancelled.
    modern: bool,
    left: CancellationToken,
    /// Cancelled by a message: whether an answer comes is the server's to say.
    unwanted: CancellationToken,
}

/// What the handshake agreed on, and how it was asked for.
#[derive(Clone, Default)]
struct Session {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// The client's first message, to be repeated where the server has forgotten the session.
    asked: Option<Bytes>,
}

/// The lines' far end.
pub struct Bridge {
    url: http::Uri,
    http: Outbound,
    tokens: Tokens,
    session: Mutex<Session>,
    /// Held while a forgotten session is begun anew.
    renewing: tokio::sync::Mutex<()>,
    open: Mutex<Vec<Open>>,
    under_way: AtomicUsize,
    queue: mpsc::UnboundedSender<Bytes>,
    out: mpsc::Sender<Bytes>,
    over: CancellationToken,
}

/// One line that is being worked on.
struct UnderWay(Arc<Bridge>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Bridge {
    /// A bridge to `gate`, and what is said on it. Nothing is sent yet.
    ///
    /// # Errors
    /// In words: what of `gate` cannot be used.
    pub fn open(gate: Gate, clock: Clock) -> Result<(Arc<Self>, impl Stream<Item = Bytes>), String> {
        let Gate { url, ca_file, token } = gate;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("--gate {url}: it must begin with https:// (or http://) and name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("--gate: it must hold no user name, password or fragment".to_owned());
        }
        if !issuer::is_private(&url) && token != Source::None {
            tracing::warn!(%url, "the token goes there unencrypted; use https://");
        }
        let uri = url.as_str().parse::<http::Uri>().map_err(|_| "--gate: it is not a URL".to_owned())?;
        let limits = Limits { deadline: LONGEST, connect: CONNECT, body: usize::MAX };
        let way = Transport { ca_file, ..Transport::default() };
        let client = Outbound::open(Guard::operator_chosen(), limits, way)
            .map_err(|error| format!("--ca-file: {error}"))?;
        let tokens = Tokens::new(token, url, client.clone(), clock);
        let (out, said) = mpsc::channel(WAITING);
        let (queue, lines) = mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let bridge = Arc::new(Self {
            url: uri,
            http: client,
            tokens,
            session: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            open: Mutex::default(),
            under_way: AtomicUsize::new(0),
            queue,
            out,
            over: over.clone(),
        });
        tokio::spawn(bridge.clone().carry(lines));
        let said = stream::unfold((said, over), |(mut said, over)| async move {
            let next = tokio::select! {
                biased;
                next = said.recv() => next,
                () = over.cancelled() => said.try_recv().ok(),
            };
            next.map(|next| (next, (said, over)))
        });
        Ok((bridge, said))
    }

    /// Takes one line.
    pub fn take(&self, line: &[u8]) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        if self.queue.send(Bytes::copy_from_slice(line)).is_err() {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Answers a line that was longer than `limit` bytes and was not read.
    pub fn turn_down(&self, limit: usize) {
        // Whoever does not read what it is told misses this too.
        let _ = self.out.try_send(unreadable(&format!("a message may have at most {limit} bytes")));
    }

    /// Ends when another line may be taken.
    pub async fn room(&self) {
        while self.under_way.load(Ordering::Acquire) >= UNDER_WAY {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends when every line was answered.
    pub async fn idle(&self) {
        while self.under_way.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Nobody wants anything any more.
    pub fn close(&self) {
        self.over.cancel();
    }

    /// Tells the server that the session is over.
    pub async fn leave(&self) {
        if self.session.lock().id.is_none() {
            return;
        }
        let leaving = async {
            let token = self.tokens.get().await.ok().flatten();
            let request = self.request(Method::DELETE, HeaderMap::new(), Bytes::new(), token.as_ref())?;
            self.http.send(request).await.ok()
        };
        // A server may refuse to be told (405), and forgets by itself.
        let _ = tokio::time::timeout(GOODBYE, leaving).await;
    }

    /// Carries the lines over in their order as far as it matters: what follows the handshake waits for it, for it
    /// names the session.
    async fn carry(self: Arc<Self>, mut lines: mpsc::UnboundedReceiver<Bytes>) {
        let over = self.over.clone();
        loop {
            let line = tokio::select! {
                () = over.cancelled() => return,
                line = lines.recv() => line,
            };
            let Some(line) = line else { return };
            let under_way = UnderWay(self.clone());
            let heard = match Heard::read(&line) {
                Ok(heard) => heard,
                Err(text) => {
                    self.say(unreadable(&text)).await;
                    continue;
                }
            };
            if let Some(request) = &heard.cancels
                && (self.forsake(request) || heard.modern)
            {
                continue;
            }
            let (bridge, ordered, listens) = (self.clone(), heard.opens || heard.opened, heard.opened);
            let work = async move {
                bridge.exchange(heard, line).await;
                drop(under_way);
                if listens {
                    tokio::spawn(bridge.listen());
                }
            };
            if ordered {
                tokio::select! {
                    () = over.cancelled() => return,
                    () = work => {}
                }
            } else {
                tokio::spawn(work);
            }
        }
    }

    /// Gives a request up; true for one of the modern era, which is left: the server need not be told.
    fn forsake(&self, request: &Id) -> bool {
        let mut modern = false;
        for open in self.open.lock().iter().filter(|open| open.id == *request) {
            open.unwanted.cancel();
            if open.modern {
                open.left.cancel();
                modern = true;
            }
        }
        modern
    }

    async fn say(&self, line: Bytes) {
        tokio::select! {
            () = self.over.cancelled() => {}
            // Whoever reads is gone with the whole.
            _ = self.out.send(line) => {}
        }
    }

    async fn fail(&self, requests: &[Id], why: &str) {
        for id in requests {
            self.say(error(id, why)).await;
        }
    }

    /// A request to the server with what every request says; None where a header cannot be made of it.
    fn request(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
        token: Option<&Secret>,
    ) -> Option<Request<Bytes>> {
        let Session { id, version, .. } = self.session.lock().clone();
        if let Some(id) = id.filter(|_| !headers.contains_key(VERSION)) {
            headers.insert(SESSION, id);
        }
        if let Some(version) = version.filter(|_| !headers.contains_key(VERSION)) {
            headers.insert(VERSION, version);
        }
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        Some(request)
    }

    /// Sends, with a token where there is one, and once more with another where the server refuses that one.
    async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Pieces>, String> {
        let mut token = self.tokens.get().await?;
        for last in [false, true] {
            let request = self.request(method.clone(), headers.clone(), body.clone(), token.as_ref());
            let request = request.ok_or("the token or the session id is not fit for a header")?;
            let answer = self.http.stream(request).await.map_err(|error| unreached(&error))?;
            if answer.status() != http::StatusCode::UNAUTHORIZED || last {
                return Ok(answer);
            }
            match self.tokens.another(token.as_ref()).await? {
                Some(other) => token = Some(other),
                None => return Ok(answer),
            }
        }
        Err("the server accepts no token".to_owned())
    }
}

fn unreached(error: &OutboundError) -> String {
    format!("the server at the other end of the bridge gave no answer: {error}")
}
