//! What comes in and what goes back, free of any HTTP library.

use std::net::IpAddr;

use super::{Approach, Bearer, Endpoint, EventReader, Refusal};

/// The head of a request. A header that came several times is its values joined by commas
/// (RFC 9110 section 5.3), which is then no value that anybody accepts.
#[derive(Clone, Debug)]
pub struct Head {
    /// Names the request on record, in the log, and to client and PSA; see [`Gate::name`](super::Gate::name).
    pub request_id: String,
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
    /// Which endpoint it is for.
    pub endpoint: Endpoint,
    /// What is to be done.
    pub method: Method,
    /// The Accept header.
    pub accept: Option<String>,
    /// Whether an answer may come in pieces: HTTP/1.0 knows none.
    pub in_pieces: bool,
    /// The `Mcp-Session-Id` header.
    pub session: Option<String>,
    /// What the query says of the event stream that a message is for.
    pub stream: Option<String>,
    /// The `Last-Event-ID` header.
    pub last_event: Option<String>,
    /// The If-None-Match header.
    pub known: Option<String>,
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
    /// The `traceparent` header.
    pub traceparent: Option<String>,
    /// The `tracestate` header.
    pub tracestate: Option<String>,
    /// The client's address.
    pub client_address: Option<IpAddr>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
    /// The SHA-256 of the client's certificate, where the TLS connection has one.
    pub client_certificate: Option<[u8; 32]>,
}

/// The HTTP method, as far as it means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A message.
    Post,
    /// The stream of a session.
    Get,
    /// The end of a session.
    Delete,
    /// Nothing.
    Other,
}

impl Head {
    /// Whether an answer may be plain JSON, and whether it may be an event stream (RFC 9110 section 12.5.1).
    pub(super) fn takes(&self) -> (bool, bool) {
        let Some(accept) = &self.accept else { return (true, false) };
        let mut takes = (false, false);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            // A weight of nothing is a refusal.
            if parts
                .any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            {
                continue;
            }
            match kind.as_str() {
                "application/json" | "application/*" | "*/*" => takes.0 = true,
                "text/event-stream" => takes.1 = true,
                _ => {}
            }
        }
        let streams = takes.1 && self.in_pieces;
        // Who asks for neither gets JSON all the same, as RFC 9110 allows: more clients mean it than not.
        (takes.0 || !streams, streams)
    }

    /// What the doorway looks at.
    pub(super) fn approach(&self) -> Approach<'_> {
        Approach {
            scheme: self.scheme,
            host: self.host.as_deref(),
            prefix: &self.prefix,
            origin: self.origin.as_deref(),
            resource: self.endpoint.resource,
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
        /// The id of a session that began.
        session: Option<String>,
    },
    /// What is said from now on, the answer at its end.
    Stream(EventReader),
    /// An event stream that begins with the address for its messages.
    Opened {
        /// The absolute URL.
        messages: String,
        /// What is said from now on.
        stream: EventReader,
    },
    /// A session was ended: no body.
    Ended,
    /// The client does not want an answer any more.
    Silent,
    /// A notification was taken: no body.
    Accepted,
    /// A document that is not a message; without a body where the client has it already.
    Document {
        /// The entity tag (RFC 9110 section 8.8.3).
        etag: String,
        /// The JSON text.
        body: Option<Vec<u8>>,
    },
    /// The request was turned away.
    Refused(Refusal),
}
