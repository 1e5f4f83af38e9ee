//! One REST request and one REST response as plain values.
//!
//! Knows neither how they travel nor which credential is added on the way.

use std::fmt;

use bytes::Bytes;

/// The methods a catalogue entry may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The method as it is written on the wire, such as `GET`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Reads a method in any case; `None` for every other method (`HEAD`, `TRACE`, `CONNECT`, ...).
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete]
            .into_iter()
            .find(|verb| verb.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that is ready to be sent, but for the credential and the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    pub verb: Verb,
    /// Origin-form (RFC 9112 3.2.1), fully percent-encoded: `/api/v1/x?y=z`.
    pub target: String,
    /// Lower-case names, sorted, only such as the entry declares.
    pub headers: Vec<(String, String)>,
    /// JSON text, where the request has a body.
    pub body: Option<Vec<u8>>,
}

/// Where a redirect leads, in words that are safe to show: a path or query may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Another path of the server that was asked.
    SameServer,
    /// Scheme and authority of another one.
    Server(String),
    /// Nothing that can be read as an address of the web.
    Unnamed,
}

/// What came back: the parts of a response that a tool result is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestResponse {
    pub status: u16,
    pub content_type: Option<String>,
    /// The `Retry-After` header as it was sent (RFC 9110 10.2.3): seconds or a date.
    pub retry_after: Option<String>,
    /// The `Content-Encoding` (RFC 9110 8.4) where there is any but `identity`; `body` is still coded.
    pub coding: Option<String>,
    /// For a redirect that names a location.
    pub redirect: Option<Destination>,
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_read_in_any_case_and_no_other_method_is_known() {
        assert_eq!(Verb::parse("get"), Some(Verb::Get));
        assert_eq!(Verb::parse("Delete"), Some(Verb::Delete));
        for other in ["HEAD", "OPTIONS", "TRACE", "CONNECT", "", "GET ", "G\u{0}ET"] {
            assert_eq!(Verb::parse(other), None, "{other:?}");
        }
    }
}
