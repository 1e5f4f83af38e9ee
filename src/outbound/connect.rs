//! Opens connections for the client: the guard after DNS, plain text or TLS, one time limit over all of it.
//!
//! Runs once a connection; requests on a pooled connection do not pass here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{net::IpAddr, net::SocketAddr, vec};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::{Guard, OutboundError};

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, OutboundError>> + Send>>;

/// Resolves a name and keeps the addresses that the guard admits.
#[derive(Clone)]
struct Resolver {
    guard: Guard,
    tls: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = OutboundError;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { guard, tls } = self.clone();
        Box::pin(async move {
            // The port is set by the caller of the resolver.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| OutboundError::Dns)?;
            guard.admit(found, tls).map(Vec::into_iter)
        })
    }
}

/// The connector that the HTTP client is built on. The client clones it for every request, so it is one pointer.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    guard: Guard,
    limit: Duration,
    plain: HttpsConnector<HttpConnector<Resolver>>,
    tls: HttpsConnector<HttpConnector<Resolver>>,
}

impl Connector {
    pub(super) fn new(guard: Guard, tls: Arc<rustls::ClientConfig>, limit: Duration) -> Self {
        let over = |encrypted| {
            let mut tcp = HttpConnector::new_with_resolver(Resolver { guard: guard.clone(), tls: encrypted });
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(limit));
            HttpsConnector::from((tcp, tls.clone()))
        };
        Self(Arc::new(Inner { limit, plain: over(false), tls: over(true), guard }))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = OutboundError;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        // Both connectors are always ready: they hold no connection themselves.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let encrypted = uri.scheme_str() == Some("https");
        // The TCP connector asks no resolver about a literal address.
        let literal =
            uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(Err(refused)) = literal.map(|ip| self.0.guard.judge_over(ip, encrypted)) {
            return Box::pin(std::future::ready(Err(refused)));
        }
        let mut over = if encrypted { self.0.tls.clone() } else { self.0.plain.clone() };
        let connecting = over.call(uri);
        let limit = self.0.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(OutboundError::unsent(error.as_ref())),
                Err(_) => {
                    Err(OutboundError::Unreachable { why: "no connection within the time limit".into() })
                }
            }
        })
    }
}
