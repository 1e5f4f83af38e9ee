//! Why a request is turned away before, or instead of, an MCP answer.
//!
//! The edge gives each refusal its HTTP status; nothing here knows one.

use crate::identity::metadata::Resource;
use crate::policy::Lacking;

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bad tokens from one address.
    FailedAuthentications,
    /// Calls of one agent in a minute.
    CallsPerMinute,
    /// Calls of one agent at the same time.
    CallsInFlight,
    /// Streams of one agent that end only when somebody leaves.
    Streams,
}

/// A request turned away. Texts are for the caller and name the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The Host header names no host of ours (DNS rebinding).
    Host,
    /// The Origin header names no origin that may call us.
    Origin,
    /// No token, or one that is not accepted; `challenge` is the `WWW-Authenticate` value (RFC 6750, RFC 9728).
    Unauthorized {
        /// The whole header value.
        challenge: String,
        /// The error code of RFC 6750 section 3.1 for the body; none where no token came.
        code: Option<&'static str>,
        /// Why, for the body.
        message: String,
    },
    /// The token is good and its agent is switched off; no other token would help.
    Disabled,
    /// The token is good and lacks scopes that the operation needs (RFC 6750 section 3.1).
    Scopes {
        /// The whole `WWW-Authenticate` value, with all scopes of the operation.
        challenge: String,
        /// Why, for the body.
        message: String,
    },
    /// An agent's token where no agent is served; `endpoint` is where they are.
    AgentToken {
        /// The resource identifier.
        endpoint: String,
    },
    /// The endpoint does not take this method, or not without a session.
    Method,
    /// The session that is named is none of this agent's, or is over: the client must begin a new one.
    NoSession,
    /// The session's stream is being read already.
    StreamTaken,
    /// What is to be resumed is not kept any more.
    Unresumable,
    /// The client takes neither of the forms that an answer has.
    NotAcceptable,
    /// The body is not `application/json`.
    MediaType,
    /// The body is larger than `limit` bytes.
    TooLarge {
        /// The configured bound.
        limit: usize,
    },
    /// The body did not arrive in time.
    Stalled,
    /// The body ended early or could not be read.
    Unreadable,
    /// The header is larger than `bytes`, the request line counted in, or has more than `fields` fields.
    LargeHeader {
        /// The configured bound.
        bytes: usize,
        /// The configured bound.
        fields: usize,
    },
    /// Too much is in flight.
    Busy,
    /// The server is about to end.
    Draining,
    /// One client or agent has had its share for now.
    TooMany {
        /// Of what.
        limit: Limit,
        /// Seconds until it can have more.
        retry_after: u64,
    },
    /// What is needed to judge the call is not there; `message` says what.
    Unavailable {
        /// What is missing, without details that help an attacker.
        message: &'static str,
    },
    /// The call cannot be put on record, so it is not made.
    Unrecorded,
}

impl Refusal {
    /// The agent table cannot be read.
    pub(super) const STORE_UNREADABLE: Self =
        Self::Unavailable { message: "the agent table cannot be read at the moment; try again shortly" };

    /// How a call that lacks scopes is told.
    pub(super) fn lacking(lacking: &Lacking, resource: &Resource) -> Self {
        let message = format!(
            "a call of effect {} needs a token with all of these scopes: {}; nothing was sent",
            lacking.effect,
            lacking.scopes.join(" ")
        );
        Self::Scopes { challenge: resource.insufficient_scope(&lacking.scopes, &message), message }
    }

    /// A short name for bodies and records: the error code of RFC 6750 where one applies.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Host => "host_not_allowed",
            Self::Origin => "origin_not_allowed",
            Self::Unauthorized { code, .. } => code.unwrap_or("token_required"),
            Self::Disabled => "agent_disabled",
            Self::Scopes { .. } => "insufficient_scope",
            Self::AgentToken { .. } => "agent_token",
            Self::Method => "method_not_allowed",
            Self::NoSession => "session_not_found",
            Self::StreamTaken => "stream_in_use",
            Self::Unresumable => "stream_not_kept",
            Self::NotAcceptable => "not_acceptable",
            Self::MediaType => "unsupported_media_type",
            Self::TooLarge { .. } => "request_too_large",
            Self::Stalled => "request_timeout",
            Self::Unreadable => "incomplete_request",
            Self::LargeHeader { .. } => "header_too_large",
            Self::Busy => "too_many_requests_in_flight",
            Self::Draining => "shutting_down",
            Self::TooMany { limit: Limit::FailedAuthentications, .. } => "too_many_failed_authentications",
            Self::TooMany { limit: Limit::CallsPerMinute, .. } => "too_many_calls",
            Self::TooMany { limit: Limit::CallsInFlight, .. } => "too_many_calls_in_flight",
            Self::TooMany { limit: Limit::Streams, .. } => "too_many_streams",
            Self::Unavailable { .. } => "temporarily_unavailable",
            Self::Unrecorded => "record_unavailable",
        }
    }

    /// What is wrong and what to do, for the caller.
    pub fn message(&self) -> String {
        match self {
            Self::Host => "the Host header, or what a proxy in front says of it, names no host of this server; its administrator can add it to server.allowed_hosts".to_owned(),
            Self::Origin => "this Origin may not call this server; its administrator can add it to server.allowed_origins".to_owned(),
            Self::Unauthorized { message, .. } | Self::Scopes { message, .. } => message.clone(),
            Self::Disabled => "this agent is switched off; an administrator can enable it".to_owned(),
            Self::AgentToken { endpoint } => format!("the request carries a token from an issuer of agents, which is never passed on to the PSA; agents call {endpoint}"),
            Self::Method => "send messages with POST; GET and DELETE need the Mcp-Session-Id of a session".to_owned(),
            Self::NoSession => "this session is not known, or is over; send initialize to begin a new one".to_owned(),
            Self::StreamTaken => "this session's stream is open already; read that one, or close it first".to_owned(),
            Self::Unresumable => "the stream that Last-Event-ID names is not kept any more; send the request again if its answer is missing".to_owned(),
            Self::NotAcceptable => "answers are application/json or text/event-stream; say in Accept that you take them".to_owned(),
            Self::MediaType => "send the message as Content-Type: application/json".to_owned(),
            Self::TooLarge { limit } => format!("the request body is larger than {limit} bytes"),
            Self::Stalled => "the request body did not arrive in time".to_owned(),
            Self::Unreadable => "the request body ended before it was complete".to_owned(),
            Self::LargeHeader { bytes, fields } => format!("the request's header is larger than {bytes} bytes or has more than {fields} fields; send less, or have server.max_header_bytes or server.max_header_fields raised"),
            Self::Busy => "too many requests are in flight; try again shortly".to_owned(),
            Self::Draining => "this server is shutting down and takes no more requests; nothing was done; try again on a new connection".to_owned(),
            Self::TooMany { limit, retry_after } => {
                let what = match limit {
                    Limit::FailedAuthentications => "too many tokens from this address were not accepted",
                    Limit::CallsPerMinute => "this agent has made too many calls within a minute",
                    Limit::CallsInFlight => "this agent has too many calls in flight; wait for one to end",
                    Limit::Streams => "this agent has too many streams open; close one",
                };
                format!("{what}; nothing was done; try again in {retry_after} s")
            }
            Self::Unavailable { message } => (*message).to_owned(),
            Self::Unrecorded => "calls cannot be put on record, so none is made or answered; try again shortly".to_owned(),
        }
    }
}
