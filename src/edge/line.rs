//! One connection of the public listeners, and how a request finds out which it came on.
//!
//! Knows nothing of HTTP beyond its version, and nothing of what is asked.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::proxy::Session;

/// What is known of a connection before its first request.
#[derive(Debug)]
pub struct Connection {
    /// Who connected; None on a unix socket.
    pub peer: Option<SocketAddr>,
    /// Whether it is TLS.
    pub encrypted: bool,
    /// The SHA-256 of the client's certificate (DER), where one was verified (RFC 8705 section 3.1).
    pub client_certificate: Option<[u8; 32]>,
    /// Whether it is HTTP/2.
    pub http2: bool,
}

/// The connection that a request came on, HTTP/2 streams included; None only where a session has none.
pub fn of(session: &Session) -> Option<&Arc<Connection>> {
    session.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}
