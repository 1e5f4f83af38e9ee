//! The one HTTP client: a keep-alive pool, system roots, a guard on addresses, a deadline over the
//! whole call, a cap on the body, no redirects. It knows neither the PSA nor issuers.

mod connect;
mod guard;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use self::connect::Connector;
pub use self::guard::Guard;

/// Idle connections are dropped before the 5 s after which common Node servers close theirs, so
/// that a write is not sent into a connection that is just closing.
const IDLE: Duration = Duration::from_secs(4);

/// The most idle connections kept to one server.
const IDLE_PER_HOST: usize = 128;

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
            Self::Interrupted { .. } | Self::TooLarge { .. } | Self::Deadline => false,
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

    fn of_client(error: &hyper_util::client::legacy::Error) -> Self {
        // The client gives no name to "handed back before it was written" but this one. Should the
        // text change, the call counts as interrupted, which is the careful side.
        if error.is_connect() || error.to_string() == "client error (Canceled)" {
            return Self::unsent(error);
        }
        Self::interrupted(error)
    }

    fn interrupted(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Self::Interrupted { why: cause.to_string() }
    }
}

/// The client. Cheap to clone; clones share one pool.
#[derive(Clone)]
pub struct Outbound {
    client: Client<Connector, Full<Bytes>>,
    limits: Limits,
}

impl Outbound {
    /// A client that trusts the system's roots.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where TLS cannot be set up.
    pub fn new(guard: Guard, limits: Limits) -> Result<Self, OutboundError> {
        Self::with_ca(guard, limits, None)
    }

    /// A client that trusts the certificates in the PEM file `ca` beside the system's roots.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where the file cannot be read or holds no certificate.
    pub fn with_ca(guard: Guard, limits: Limits, ca: Option<&Path>) -> Result<Self, OutboundError> {
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|_| OutboundError::Invalid("TLS cannot be set up"))?
                .with_root_certificates(roots(ca)?)
                .with_no_client_auth();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(Connector::new(guard, Arc::new(tls), limits.connect));
        Ok(Self { client, limits })
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
        let authority = request.uri().authority().ok_or(OutboundError::Invalid("its URL has no host"))?;
        if authority.as_str().contains('@') {
            return Err(OutboundError::Invalid("its URL must not contain a user name or password"));
        }
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
            return Err(OutboundError::Invalid(
                "its URL must begin with https:// (or http:// where allowed)",
            ));
        }
        let call = async {
            let answer = self.client.request(request.map(Full::new)).await;
            let (head, body) = answer.map_err(|error| OutboundError::of_client(&error))?.into_parts();
            let body = read(&head, body, self.limits.body).await?;
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(deadline, call).await.unwrap_or(Err(OutboundError::Deadline))
    }
}

/// Reads a body of at most `limit` bytes; one that came in one piece is not copied.
async fn read(
    head: &http::response::Parts,
    mut body: Incoming,
    limit: usize,
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

fn roots(ca: Option<&Path>) -> Result<RootCertStore, OutboundError> {
    let mut roots = RootCertStore::empty();
    // A machine without system roots (a bare container) can still speak to what `ca` vouches for.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca {
        let unreadable = |_| OutboundError::Invalid("the CA file cannot be read as PEM certificates");
        let mut found = false;
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(OutboundError::Invalid("the CA file holds something that is no certificate"))?;
            found = true;
        }
        if !found {
            return Err(OutboundError::Invalid("the CA file holds no certificate"));
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
