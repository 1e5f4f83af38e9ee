//! Passthrough: what is neither MCP nor metadata nor health goes to the PSA's own web server, as
//! it came. Off by default.
//!
//! Nothing of ours is added but where the request came from: no key, no token, no record; who is
//! there is the PSA's affair.

mod failure;
mod headers;
mod target;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use serde::{Deserialize, Serialize};

pub use failure::Failure;
pub use headers::{Forwarding, prepare, present};
pub use target::{Verdict, judge};
pub use upstream::{Patience, Peers, Upstream};

use super::in_flight::{Entered, InFlight};
use crate::identity::stray;
use crate::units::Span;

/// The `[passthrough]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PassthroughConfig {
    /// Passes on what is not ours; otherwise it is 404.
    pub enabled: bool,
    /// Within which the PSA must take a connection, TLS included.
    pub connect_timeout: Span,
    /// How long the PSA or the client may be silent while the other waits.
    pub read_timeout: Span,
    /// The same for WebSockets and for event streams that were asked for as such.
    pub stream_timeout: Span,
    /// How long an unused connection to the PSA is kept. Shorter than the PSA keeps it: one that
    /// it closes as we write costs the client its request.
    pub idle_timeout: Span,
    /// Requests and streams at once; more are refused with 503.
    pub max_in_flight: usize,
}

impl Default for PassthroughConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            connect_timeout: Span::seconds(5),
            read_timeout: Span::seconds(60),
            stream_timeout: Span::seconds(3600),
            idle_timeout: Span::seconds(4),
            max_in_flight: 1024,
        }
    }
}

impl PassthroughConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        let nothing = [
            ("connect_timeout", self.connect_timeout.0.is_zero()),
            ("read_timeout", self.read_timeout.0.is_zero()),
            ("stream_timeout", self.stream_timeout.0.is_zero()),
            ("idle_timeout", self.idle_timeout.0.is_zero()),
            ("max_in_flight", self.max_in_flight == 0),
        ];
        let nothing = nothing.into_iter().filter(|(_, nothing)| *nothing);
        nothing.map(|(key, _)| (key.to_owned(), "must be more than nothing".to_owned())).collect()
    }
}

/// The way through, while it is open.
pub struct Through {
    peers: ArcSwap<Peers>,
    in_flight: Arc<InFlight>,
    read_timeout: Duration,
    stream_timeout: Duration,
    max_in_flight: usize,
}

/// One request on its way through.
pub struct Passage {
    /// What the PSA is told of its origin.
    pub forwarding: Forwarding,
    /// How long each side may be silent.
    pub silence: Silence,
    /// Addresses that could not be connected to.
    pub failed: usize,
    /// What the PSA answered, where it did.
    pub status: Option<u16>,
    entered: Entered,
}

/// How long each side of a passage may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The client within its body, and the WebSocket's client.
    pub client: Duration,
    /// The PSA.
    pub psa: Duration,
}

impl Through {
    /// The way that `config` opens to `upstream`; none where it does not.
    ///
    /// # Errors
    /// What cannot be used of `upstream`, in words.
    pub fn open(config: &PassthroughConfig, upstream: Upstream) -> Result<Option<Self>, String> {
        if !config.enabled {
            return Ok(None);
        }
        let patience = Patience { connect: config.connect_timeout.0, idle: config.idle_timeout.0 };
        Ok(Some(Self {
            peers: ArcSwap::from_pointee(Peers::new(upstream, patience)?),
            in_flight: Arc::default(),
            read_timeout: config.read_timeout.0,
            stream_timeout: config.stream_timeout.0,
            max_in_flight: config.max_in_flight,
        }))
    }

    /// Where it leads.
    pub fn peers(&self) -> Arc<Peers> {
        self.peers.load_full()
    }

    /// Reads the certificates for the way there again. Requests on their way go on.
    ///
    /// # Errors
    /// The file that cannot be used, in words; what was in use stays.
    pub fn reload(&self) -> Result<(), String> {
        self.peers.store(Arc::new(self.peers.load().renewed()?));
        Ok(())
    }

    /// What is on its way.
    pub fn in_flight(&self) -> Arc<InFlight> {
        self.in_flight.clone()
    }

    /// Begins a passage, unless there are too many; `bodyless` where the request has no body.
    pub fn enter(&self, request: &RequestHeader, bodyless: bool, forwarding: Forwarding) -> Option<Passage> {
        let entered = self.in_flight.enter(self.max_in_flight)?;
        // Whoever has a body to send could send none of it, and keep its place for as long.
        let streams = bodyless && asks_for_a_stream(request);
        let psa = if streams { self.stream_timeout } else { self.read_timeout };
        let silence = Silence { client: self.read_timeout, psa };
        Some(Passage { forwarding, silence, failed: 0, status: None, entered })
    }
}

impl Passage {
    /// Takes note of the PSA's answer.
    pub fn answered(&mut self, response: &ResponseHeader) {
        let status = response.status.as_u16();
        if is_interim(response.status) {
            return;
        }
        self.status = Some(status);
        let kind = response.headers.get(http::header::CONTENT_TYPE).map(|kind| kind.as_bytes());
        let events = kind.is_some_and(|kind| begins(kind, b"text/event-stream"));
        if status == 101 {
            self.silence.client = self.silence.psa;
        }
        if status == 101 || events {
            self.entered.streams();
        }
    }
}

/// Whether another answer follows this one (RFC 9110 section 15.2).
pub fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Whether a body follows this answer to a request of `method` (RFC 9112 section 6.3).
pub fn has_body(method: &Method, response: &ResponseHeader) -> bool {
    let none = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let empty = response.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0");
    is_interim(response.status) || !(none || empty || method == Method::HEAD)
}

fn begins(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(with))
}

fn asks_for_a_stream(request: &RequestHeader) -> bool {
    let accepts = |value: &http::HeaderValue| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|kind| begins(kind.trim_ascii(), b"text/event-stream"))
    };
    request.headers.contains_key(UPGRADE) || request.headers.get_all(ACCEPT).iter().any(accepts)
}

/// The issuers that tokens anywhere in a request name: in its target, and in its headers but for
/// the cookies. Unverified.
pub fn issuers(request: &RequestHeader) -> Vec<String> {
    let (target, _) = target::plain(request.raw_path());
    let mut named = stray::issuers(&target);
    named.extend(headers::bearers(&request.headers).flat_map(stray::issuers));
    named
}

/// What in a request keeps it from being passed on, whatever its target.
pub fn unfit(request: &RequestHeader) -> Option<Failure> {
    if request.method == Method::TRACE || request.method == Method::CONNECT {
        return Some(Failure::METHOD);
    }
    (!is_framed_plainly(request)).then_some(Failure::MALFORMED)
}

/// Whether the length of a request's body can be read in one way only (RFC 9112 section 6).
/// pingora also takes lists of codings and repeated equal lengths, and would pass these on.
fn is_framed_plainly(request: &RequestHeader) -> bool {
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = request.headers.get_all(CONTENT_LENGTH).iter();
    let coding = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let length = lengths.next().is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit));
    coding && length && codings.next().is_none() && lengths.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_answers_end_with_their_header() {
        let answer = |status, length: Option<&str>| {
            let mut answer = ResponseHeader::build(status, None).unwrap();
            if let Some(length) = length {
                answer.insert_header(CONTENT_LENGTH, length).unwrap();
            }
            answer
        };
        for (method, status, length, body) in [
            (Method::POST, 200, Some("2"), true),
            (Method::POST, 200, None, true),
            (Method::POST, 413, Some("0"), false),
            (Method::POST, 204, None, false),
            (Method::GET, 304, Some("2"), false),
            (Method::HEAD, 200, Some("2"), false),
            (Method::POST, 100, None, true),
        ] {
            assert_eq!(has_body(&method, &answer(status, length)), body, "{method} {status} {length:?}");
        }
    }
}
