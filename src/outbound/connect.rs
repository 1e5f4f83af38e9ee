//! Opens connections for the client: the guard after DNS, plain text, TLS or a unix socket, one time
//! limit over all of it.
//!
//! Runs once a connection; requests on a pooled connection do not pass here.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, net::IpAddr, net::SocketAddr, vec};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tower_service::Service;

use super::{Guard, OutboundError, Transport};

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

/// The connector that the HTTP client is built on.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    limit: Duration,
    way: Way,
}

/// Where connections go.
enum Way {
    Network {
        guard: Guard,
        plain: HttpsConnector<HttpConnector<Resolver>>,
        tls: HttpsConnector<HttpConnector<Resolver>>,
    },
    Socket(Arc<Path>),
}

impl Connector {
    /// Reads the files that `transport` names.
    pub(super) fn new(guard: Guard, transport: &Transport, limit: Duration) -> Result<Self, OutboundError> {
        if let Some(socket) = &transport.unix_socket {
            return Ok(Self(Arc::new(Inner { limit, way: Way::Socket(socket.as_path().into()) })));
        }
        let config = Arc::new(transport.tls()?);
        let names: Arc<dyn ResolveServerName + Send + Sync> = match transport.name()? {
            Some(name) => Arc::new(FixedServerNameResolver::new(name)),
            None => Arc::new(DefaultServerNameResolver::default()),
        };
        let over = |encrypted| {
            let mut tcp = HttpConnector::new_with_resolver(Resolver { guard: guard.clone(), tls: encrypted });
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(limit));
            HttpsConnector::new(tcp, config.clone(), false, names.clone())
        };
        let way = Way::Network { plain: over(false), tls: over(true), guard };
        Ok(Self(Arc::new(Inner { limit, way })))
    }

    fn opening(&self, uri: Uri) -> Boxed<Box<dyn Io>> {
        let (guard, plain, tls) = match &self.0.way {
            Way::Network { guard, plain, tls } => (guard, plain, tls),
            Way::Socket(path) => {
                let path = path.clone();
                return Box::pin(async move {
                    let stream = UnixStream::connect(path).await;
                    let stream =
                        stream.map_err(|error| OutboundError::Unreachable { why: error.to_string() });
                    Ok(Box::new(TokioIo::new(stream?)) as Box<dyn Io>)
                });
            }
        };
        let encrypted = uri.scheme_str() == Some("https");
        // The TCP connector asks no resolver about a literal address.
        let literal =
            uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(Err(refused)) = literal.map(|ip| guard.judge_over(ip, encrypted)) {
            return Box::pin(std::future::ready(Err(refused)));
        }
        let connecting = if encrypted { tls.clone() } else { plain.clone() }.call(uri);
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| OutboundError::unsent(error.as_ref()))?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Line;
    type Error = OutboundError;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        // Both connectors are always ready: they hold no connection themselves.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let opening = tokio::time::timeout(self.0.limit, self.opening(uri));
        Box::pin(async move {
            let late = |_| OutboundError::Unreachable { why: "no connection within the time limit".into() };
            Ok(Line(opening.await.map_err(late)??))
        })
    }
}

/// Bytes both ways, whatever they travel over.
trait Io: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Io for T {}

/// An open connection.
pub(super) struct Line(Box<dyn Io>);

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }
}
