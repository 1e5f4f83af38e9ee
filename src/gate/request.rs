//! What comes in and what goes back, free of any HTTP library.

use std::net::IpAddr;

use super::{Approach, Bearer, Refusal};

/// The head of a request. A header that came several times is its values joined by commas
/// (RFC 9110 section 5.3), which is then no value that anybody accepts.
#[derive(Clone, Debug)]
pub struct Head {
    /// `http` or `https`, as the client sees it.
    pub scheme: &'static str,
    /// The authority that the client addressed; none where it cannot be told.
    pub host: Option<String>,
    /// The path that a proxy in front cut off, such as `/psa`, or nothing.
    pub prefix: String,
    /// The Origin header.
    pub origin: Option<String>,
    /// The Authorization header.
    pub bearer: Bearer,
    /// Whether the HTTP method is POST.
    pub is_post: bool,
    /// The Content-Type header.
    pub content_type: Option<String>,
    /// The Content-Encoding header.
    pub content_encoding: Option<String>,
    /// The `MCP-Protocol-Version` header.
    pub protocol_version: Option<String>,
    /// The `Mcp-Method` header.
    pub mcp_method: Option<String>,
    /// The `Mcp-Name` header.
    pub mcp_name: Option<String>,
    /// The client's address.
    pub client_address: Option<IpAddr>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
    /// The SHA-256 of the client's certificate, where the TLS connection has one.
    pub client_certificate: Option<[u8; 32]>,
}

impl Head {
    /// What the doorway looks at.
    pub(super) fn approach(&self) -> Approach<'_> {
        Approach {
            scheme: self.scheme,
            host: self.host.as_deref(),
            prefix: &self.prefix,
            origin: self.origin.as_deref(),
        }
    }

    /// True where the body is announced as plain `application/json`, with or without parameters.
    pub(super) fn is_json(&self) -> bool {
        let kind = self.content_type.as_deref().and_then(|value| value.split(';').next());
        let encoding = self.content_encoding.as_deref().unwrap_or("identity");
        kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
            && encoding.trim().eq_ignore_ascii_case("identity")
    }
}

/// What goes back.
#[derive(Debug)]
pub enum Outgoing {
    /// A JSON-RPC answer under the HTTP status that its revision prescribes.
    Answer {
        /// The HTTP status, opaque here.
        status: u16,
        /// The JSON text.
        body: Vec<u8>,
    },
    /// A notification was taken: no body.
    Accepted,
    /// The request was turned away.
    Refused(Refusal),
}
