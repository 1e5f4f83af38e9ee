//! Does what clients do, in their order, and puts down what it sees. Judges nothing.

use http::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::message::{self, Message, Session};
use super::places;
use super::seen::{Document, Door, Issuer, Legacy, Modern, Place, Read, Seen, Sse};
use super::token;
use super::tools;
use super::wire::{Answer, Heard, Line, Until, Wire, reply_in};
use crate::identity::challenge;
use crate::secret::Secret;

/// What no issuer made: a JWT's form, and nothing inside.
const MADE_UP: &str = "sidegate-doctor.made-up.token";

/// The origin of a page that asks whether it may call.
const PAGE: &str = "https://client.example";

/// Walks every client's way to the server, with `token` where one is given.
pub async fn run(wire: &Wire, token: Option<&Secret>, private_ca: bool) -> Seen {
    let first = message::initialize();
    let anonymous = wire.post(None, &first).await;
    let elsewhere = anonymous
        .as_ref()
        .is_ok_and(|answer| (400..500).contains(&answer.status) && !matches!(answer.status, 401 | 403));
    let mut seen = Seen {
        url: wire.url.clone(),
        addresses: addresses(&wire.url).await,
        private_ca,
        anonymous_stream: None,
        made_up: None,
        metadata: Vec::new(),
        issuer: None,
        preflight: None,
        token: token.map(token::said),
        legacy: None,
        modern: None,
        sse: None,
        sse_apart: None,
        anonymous,
    };
    if seen.anonymous.is_err() {
        return seen;
    }
    if elsewhere {
        seen.anonymous_stream = Some(heard(wire.listen(&wire.url, None, &[], Until::Event).await));
    }
    farewell(wire, None, &session(&seen.anonymous)).await;
    seen.preflight = Some(preflight(wire).await);
    let door = seen.door();
    if door == Door::Guarded {
        let made_up = Secret::new(MADE_UP);
        seen.made_up = Some(match seen.anonymous_stream {
            Some(_) => heard(wire.listen(&wire.url, Some(&made_up), &[], Until::Event).await),
            None => wire.post(Some(&made_up), &first).await,
        });
        seen.metadata = metadata(wire, seen.greeting()).await;
        seen.issuer = issuer(wire, &seen.metadata).await;
    }
    if door == Door::Open || token.is_some() {
        seen.legacy = Some(legacy(wire, token).await);
        seen.modern = Some(modern(wire, token, seen.legacy.as_ref()).await);
        (seen.sse, seen.sse_apart) = sse(wire, token, door, &seen).await;
    }
    seen
}

fn heard(line: Result<Line, crate::outbound::OutboundError>) -> Heard {
    line.map(|line| line.answer)
}

async fn addresses(url: &Url) -> Vec<std::net::IpAddr> {
    let port = url.port_or_known_default().unwrap_or(443);
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(_) => Vec::new(),
    }
}

/// What a browser asks before a page may call (WHATWG Fetch, CORS preflight).
async fn preflight(wire: &Wire) -> Heard {
    let headers = [
        ("origin", PAGE.to_owned()),
        ("access-control-request-method", "POST".to_owned()),
        (
            "access-control-request-headers",
            "authorization, content-type, mcp-protocol-version, mcp-session-id".to_owned(),
        ),
    ];
    wire.bare(Method::OPTIONS, &wire.url, None, &headers).await
}

/// Where an answer's challenge says that the metadata is.
fn told_place(answer: &Answer) -> Option<String> {
    let values = answer.headers.get_all("www-authenticate");
    let values = values.iter().filter_map(|value| value.to_str().ok());
    challenge::bearer(values)?.param("resource_metadata").map(str::to_owned)
}

async fn metadata(wire: &Wire, greeting: &Heard) -> Vec<Document<Place>> {
    let told = greeting.as_ref().ok().and_then(told_place);
    let places = [
        (Place::Challenge, told),
        (Place::Inserted, places::inserted(&wire.url)),
        (Place::Root, Some(places::root(&wire.url))),
    ];
    let mut found: Vec<Document<Place>> = Vec::new();
    for (place, url) in places {
        let Some(url) = url else { continue };
        let known = found.iter().find(|document| document.url == url).map(|document| document.heard.clone());
        let heard = match known {
            Some(heard) => heard,
            None => wire.fetch(&url).await,
        };
        found.push(Document { place, url, heard });
    }
    found
}

/// The first authorization server of the first good document; the server's own origin where there is none.
async fn issuer(wire: &Wire, metadata: &[Document<Place>]) -> Option<Issuer> {
    let document = metadata.iter().find_map(|document| document.object().ok());
    let named = document.as_ref().and_then(|document| {
        document.get("authorization_servers")?.as_array()?.first()?.as_str().map(str::to_owned)
    });
    let (name, named) = match (named, document) {
        (Some(name), _) => (name, true),
        // A document that names none is a fault of its own; clients do not look further.
        (None, Some(_)) => return None,
        (None, None) => (places::origin(&wire.url), false),
    };
    let mut tried = Vec::new();
    for url in Url::parse(&name).map(|issuer| places::discovery(&issuer)).unwrap_or_default() {
        let heard = wire.fetch(&url).await;
        let document = Document { place: (), url, heard };
        let good = document.object().is_ok();
        tried.push(document);
        if good {
            break;
        }
    }
    Some(Issuer { name, named, tried })
}

async fn legacy(wire: &Wire, token: Option<&Secret>) -> Legacy {
    let initialize = wire.post(token, &message::initialize()).await;
    let session = session(&initialize);
    let shook_hands = initialize.as_ref().ok().and_then(Answer::result).is_some();
    let mut seen = Legacy { initialize, session, initialized: None, list: None, read: None, stream: None };
    if !shook_hands {
        return seen;
    }
    let session = &seen.session;
    seen.initialized = Some(wire.post(token, &message::initialized(session)).await);
    let headers = session.headers();
    let asking = async {
        let list = wire.post(token, &message::legacy(session, "tools/list", json!({}))).await;
        let read =
            read(&list, |params| message::legacy(session, "tools/call", params.into()), wire, token).await;
        (list, read)
    };
    // At the same time, as clients do: a stream that says nothing costs no time of its own.
    let stream = wire.listen(&wire.url, token, &headers, Until::Stirred);
    let ((list, read), stream) = tokio::join!(asking, stream);
    (seen.list, seen.read, seen.stream) = (Some(list), read, Some(heard(stream)));
    farewell(wire, token, &seen.session).await;
    seen
}

/// What a handshake agreed on, if it went well.
fn session(initialize: &Heard) -> Session {
    let Ok(answer) = initialize else { return Session::default() };
    let result = answer.result();
    let revision = result.as_ref().and_then(|result| result["protocolVersion"].as_str());
    let id = answer.headers.get("mcp-session-id");
    Session {
        revision: revision.unwrap_or_default().to_owned(),
        id: id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
    }
}

/// Ends a session, as good manners ask; many servers do not let it be ended.
async fn farewell(wire: &Wire, token: Option<&Secret>, session: &Session) {
    if session.id.is_some() {
        let _ = wire.bare(Method::DELETE, &wire.url, token, &session.headers()).await;
    }
}

async fn modern(wire: &Wire, token: Option<&Secret>, legacy: Option<&Legacy>) -> Modern {
    let discover = wire.post(token, &message::modern("server/discover", Map::new())).await;
    let mut seen = Modern { discover, list: None, read: None };
    if seen.discover.as_ref().ok().and_then(Answer::result).is_some() {
        let list = wire.post(token, &message::modern("tools/list", Map::new())).await;
        // One read is enough.
        if !legacy.is_some_and(|legacy| matches!(legacy.read, Some(Ok(_)))) {
            seen.read = read(&list, |params| message::modern("tools/call", params), wire, token).await;
        }
        seen.list = Some(list);
    }
    seen
}

/// Calls a tool of the list that only reads.
async fn read(
    list: &Heard,
    call: impl Fn(Map<String, Value>) -> Message,
    wire: &Wire,
    token: Option<&Secret>,
) -> Option<Result<Read, String>> {
    let result = list.as_ref().ok()?.result()?;
    let trial = match tools::trial(result["tools"].as_array()?) {
        Ok(trial) => trial,
        Err(reason) => return Some(Err(reason)),
    };
    let params = [("name", json!(trial.tool)), ("arguments", json!(trial.arguments))];
    let params = params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let heard = wire.post(token, &call(params)).await;
    Some(Ok(Read { trial, heard }))
}

/// Looks for HTTP+SSE in its usual places, and sends a message the way its clients do. A place that asks
/// for a token of its own comes second.
async fn sse(wire: &Wire, token: Option<&Secret>, door: Door, so_far: &Seen) -> (Option<Sse>, Option<Url>) {
    // A server that speaks Streamable HTTP here sends no `endpoint` here.
    let speaks = so_far.legacy.as_ref().is_some_and(|legacy| !legacy.session.revision.is_empty());
    let own = so_far.greeting().as_ref().ok().and_then(told_place);
    let mut apart = None;
    for place in places::sse(&wire.url).into_iter().filter(|place| !(speaks && *place == wire.url)) {
        let Ok(line) = wire.listen(&place, token, &[], Until::Event).await else { continue };
        if line.answer.status == 200 && line.answer.is_stream() {
            return (Some(conversation(wire, token, door, place, line).await), None);
        }
        let other = Some(&line.answer).filter(|answer| answer.status == 401).and_then(told_place);
        if other.is_some() && other != own {
            apart.get_or_insert(place);
        }
    }
    (None, apart)
}

/// A message on an open stream of HTTP+SSE, and the same without a token.
async fn conversation(wire: &Wire, token: Option<&Secret>, door: Door, place: Url, line: Line) -> Sse {
    let mut line = line;
    let first = line.answer.events().into_iter().next();
    let endpoint = first.filter(|event| event.kind == "endpoint").map(|event| event.data);
    let target = endpoint.as_deref().and_then(|endpoint| place.join(endpoint).ok());
    let target = target.filter(|target| target.origin() == place.origin());
    let stream = Ok(line.answer.clone());
    let mut seen = Sse { place, stream, endpoint, message: None, replied: false, tokenless: None };
    let Some(target) = target else { return seen };
    let first = message::initialize();
    let sent = wire.post_to(&target, token, &first).await;
    if sent.as_ref().is_ok_and(|answer| answer.status < 300) {
        line.read(Until::Answered, wire.patience).await;
        seen.replied = reply_in(&line.answer.body).is_some();
    }
    seen.message = Some(sent);
    if door == Door::Guarded && token.is_some() {
        seen.tokenless = Some(wire.post_to(&target, None, &first).await);
    }
    seen
}
