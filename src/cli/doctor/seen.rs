//! What a run has seen, in plain values: the one thing that the diagnosis is made of.

use std::net::IpAddr;

use url::Url;

use super::message::Session;
use super::token::Said;
use super::tools::Trial;
use super::wire::{Answer, Heard};

/// All of it, in the order in which clients come by it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As it was given.
    pub url: Url,
    /// What the host's name resolves to here.
    pub addresses: Vec<IpAddr>,
    /// An authority of one's own was needed to trust the certificate.
    pub private_ca: bool,
    /// The first message, without a token.
    pub anonymous: Heard,
    /// A GET for an event stream without a token, where the POST was not for this place.
    pub anonymous_stream: Option<Heard>,
    /// The first message with a token that nobody made.
    pub made_up: Option<Heard>,
    /// Each place of the protected resource's metadata, and what it serves.
    pub metadata: Vec<Document<Place>>,
    /// The authorization server that clients take, by whom it was named, and where it was looked for.
    pub issuer: Option<Issuer>,
    pub preflight: Option<Heard>,
    /// What the token says; none where none was given.
    pub token: Option<Said>,
    pub legacy: Option<Legacy>,
    pub modern: Option<Modern>,
    /// Where HTTP+SSE was found.
    pub sse: Option<Sse>,
    /// Where it may be, for tokens that are made for that place.
    pub sse_apart: Option<Url>,
}

/// Where the metadata of a protected resource was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the challenge says.
    Challenge,
    /// At the well-known path with the URL's own behind it.
    Inserted,
    /// At the well-known path itself.
    Root,
}

/// A document that was fetched.
#[derive(Clone, Debug)]
pub struct Document<P> {
    pub place: P,
    pub url: String,
    pub heard: Heard,
}

/// An authorization server.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub name: String,
    /// False where nothing names one, so that clients take the server's own origin.
    pub named: bool,
    /// In order; the last one is good, if any is.
    pub tried: Vec<Document<()>>,
}

/// A conversation of the legacy era.
#[derive(Clone, Debug)]
pub struct Legacy {
    pub initialize: Heard,
    pub session: Session,
    pub initialized: Option<Heard>,
    pub list: Option<Heard>,
    pub read: Option<Result<Read, String>>,
    /// The stream for what the server says unasked.
    pub stream: Option<Heard>,
}

/// A conversation of the modern era.
#[derive(Clone, Debug)]
pub struct Modern {
    pub discover: Heard,
    pub list: Option<Heard>,
    pub read: Option<Result<Read, String>>,
}

/// A call that reads.
#[derive(Clone, Debug)]
pub struct Read {
    pub trial: Trial,
    pub heard: Heard,
}

/// HTTP+SSE.
#[derive(Clone, Debug)]
pub struct Sse {
    pub place: Url,
    pub stream: Heard,
    /// The data of the `endpoint` event.
    pub endpoint: Option<String>,
    /// A message to that place, if it is of the same origin.
    pub message: Option<Heard>,
    /// Its answer came on the stream.
    pub replied: bool,
    /// The same without a token; none where the server asks for none.
    pub tokenless: Option<Heard>,
}

/// How the door is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A token is asked for.
    Guarded,
    /// Everybody is let in.
    Open,
    /// Neither can be said: what answers does not answer as an MCP server.
    Unclear,
}

impl Seen {
    /// What answered first as far as tokens are concerned: the stream, where messages are not taken.
    pub fn greeting(&self) -> &Heard {
        self.anonymous_stream.as_ref().filter(|heard| heard.is_ok()).unwrap_or(&self.anonymous)
    }

    /// Whether a token is asked for.
    pub fn door(&self) -> Door {
        let told = |answer: &Answer| match answer.status {
            401 => Some(Door::Guarded),
            200 if answer.is_stream() && answer.events().iter().any(|event| event.kind == "endpoint") => {
                Some(Door::Open)
            }
            // An error in the protocol's own words: it let us in and did not like the message.
            403 => None,
            _ => answer.reply().map(|_| Door::Open),
        };
        let heard = [self.anonymous_stream.as_ref(), Some(&self.anonymous)];
        let mut answers = heard.into_iter().flatten().filter_map(|heard| heard.as_ref().ok());
        answers.find_map(told).unwrap_or(Door::Unclear)
    }
}

impl<P> Document<P> {
    /// The JSON object that is served.
    ///
    /// # Errors
    /// What is there instead.
    pub fn object(&self) -> Result<serde_json::Map<String, serde_json::Value>, String> {
        let answer = self.heard.as_ref().map_err(ToString::to_string)?;
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        if answer.is_page() {
            return Err("a web page".to_owned());
        }
        match answer.json() {
            Some(serde_json::Value::Object(object)) => Ok(object),
            _ => Err("no JSON object".to_owned()),
        }
    }
}
