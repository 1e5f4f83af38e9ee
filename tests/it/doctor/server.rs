//! An MCP server with its issuer, as good or as bad as a test wants it. It signs and checks no signatures:
//! a token is accepted by what it says.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use sidegate::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What HTTP+SSE names as the place for messages.
#[derive(Clone, Copy)]
pub enum Endpoint {
    Whole,
    Path,
    /// On another origin.
    Elsewhere(&'static str),
    /// Nothing at all: the stream opens and stays silent.
    Silence,
}

/// How the server is. By default it has no fault, speaks both eras and offers no streams.
#[derive(Clone)]
pub struct Ways {
    /// `WWW-Authenticate` comes with 401.
    pub challenges: bool,
    /// Metadata of the resource is served.
    pub metadata: bool,
    /// What the metadata says after the server's origin.
    pub resource: &'static str,
    /// The path of its issuer.
    pub issuer: &'static str,
    /// Members of the issuer's metadata that differ; null removes one.
    pub issuer_says: Value,
    /// Streamable HTTP is spoken at all.
    pub http: bool,
    pub legacy: bool,
    pub modern: bool,
    /// Requests are answered in an event stream that stays open.
    pub streamed: bool,
    /// GET opens a stream.
    pub unasked: bool,
    pub sse: Option<Endpoint>,
    /// Messages need no token where the stream had one.
    pub stream_is_proof: bool,
    /// Everything is a web page.
    pub page: bool,
    /// Tokens are looked at.
    pub checks: bool,
    /// A refused token is repeated in the answer.
    pub repeats: bool,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            challenges: true,
            metadata: true,
            resource: "/mcp",
            issuer: "/issuer",
            issuer_says: json!({}),
            http: true,
            legacy: true,
            modern: true,
            streamed: false,
            unasked: false,
            sse: None,
            stream_is_proof: false,
            page: false,
            checks: true,
            repeats: false,
        }
    }
}

/// A running server; it ends with the test.
pub struct Server {
    /// Where clients believe it to be.
    pub base: String,
    shared: Arc<Shared>,
}

struct Shared {
    base: String,
    ways: Ways,
    /// Method, path and bearer of each request.
    seen: Mutex<Vec<(String, String, Option<String>)>>,
    /// The open stream of HTTP+SSE.
    stream: Mutex<Option<mpsc::UnboundedSender<String>>>,
}

impl Server {
    pub async fn start(ways: Ways) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self::known_as(base, listener, ways)
    }

    /// A server on `listener` that clients know as `base`.
    pub fn known_as(base: String, listener: TcpListener, ways: Ways) -> Self {
        let (seen, stream) = Default::default();
        let shared = Arc::new(Shared { base: base.clone(), ways, seen, stream });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, shared }
    }

    pub fn url(&self) -> String {
        format!("{}/mcp", self.base)
    }

    /// A token of its issuer's for it.
    pub fn token(&self) -> String {
        self.token_for(&self.shared.resource())
    }

    /// A token of its issuer's for another resource.
    pub fn token_for(&self, audience: &str) -> String {
        let expires = Clock::System.now_seconds() + 300;
        let claims = json!({"iss": self.shared.issuer(), "aud": audience, "exp": expires});
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "ES256"})), part(claims))
    }

    /// Whether a token has come to a path that begins like this.
    pub fn saw_a_token_at(&self, path: &str) -> bool {
        self.shared.seen.lock().iter().any(|(_, at, bearer)| at.starts_with(path) && bearer.is_some())
    }

    /// How many requests of this method came.
    pub fn count(&self, method: &str) -> usize {
        self.shared.seen.lock().iter().filter(|(have, _, _)| have == method).count()
    }
}

impl Shared {
    fn resource(&self) -> String {
        format!("{}{}", self.base, self.ways.resource)
    }

    fn issuer(&self) -> String {
        format!("{}{}", self.base, self.ways.issuer)
    }

    fn accepts(&self, bearer: Option<&str>) -> bool {
        let Some(bearer) = bearer else { return false };
        let claims = || -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(bearer.split('.').nth(1)?).ok()?).ok()
        };
        let claims = claims().unwrap_or_default();
        !self.ways.checks || (claims["aud"] == self.resource() && claims["iss"] == self.issuer())
    }

    /// 401, with a challenge that says whether a token came.
    fn refuse(&self, bearer: Option<&str>) -> Response {
        let mut challenge =
            format!("Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"", self.base);
        let mut body = json!({"error": "token_required"});
        if let Some(bearer) = bearer {
            challenge.push_str(", error=\"invalid_token\"");
            let said =
                if self.ways.repeats { format!("not this: {bearer}") } else { "the audience".to_owned() };
            challenge.push_str(&format!(", error_description=\"{said}\""));
            body = json!({"error": said});
        }
        let mut response = json_of(401, body);
        if self.ways.challenges {
            response.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
        }
        response
    }

    fn issuer_metadata(&self) -> Value {
        let issuer = self.issuer();
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "registration_endpoint": format!("{issuer}/register"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        });
        for (name, value) in self.ways.issuer_says.as_object().unwrap() {
            document[name] = value.clone();
        }
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        document
    }

    /// The reply to a message; none to a notification.
    fn reply(&self, message: &Value) -> Option<(u16, Value)> {
        let id = message.get("id")?;
        let modern = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let tool = json!({"name": "search", "inputSchema": {"type": "object", "properties":
            {"query": {"type": "string"}}, "required": ["query"]}, "annotations": {"readOnlyHint": true}});
        let result = match message["method"].as_str().unwrap_or_default() {
            _ if modern && !self.ways.modern || !modern && !self.ways.legacy => None,
            "initialize" => Some(json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "a fake", "version": "1"},
            })),
            "server/discover" => Some(json!({
                "supportedVersions": [message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]],
                "capabilities": {"tools": {}}, "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            })),
            "tools/list" => Some(json!({"tools": [tool], "resultType": "complete"})),
            "tools/call" => {
                Some(json!({"content": [{"type": "text", "text": "found"}], "resultType": "complete"}))
            }
            _ => None,
        };
        Some(match result {
            Some(result) => (200, json!({"jsonrpc": "2.0", "id": id, "result": result})),
            None => {
                let error = json!({"code": -32601, "message": "unknown method"});
                (404, json!({"jsonrpc": "2.0", "id": id, "error": error}))
            }
        })
    }

    fn endpoint(&self) -> String {
        match self.ways.sse {
            Some(Endpoint::Path) => "/messages?s=1".to_owned(),
            Some(Endpoint::Elsewhere(origin)) => format!("{origin}/messages?s=1"),
            _ => format!("{}/messages?s=1", self.base),
        }
    }

    /// HTTP+SSE: opens the stream.
    fn listen(&self) -> Response {
        let (send, receive) = mpsc::unbounded_channel();
        if !matches!(self.ways.sse, Some(Endpoint::Silence)) {
            send.send(format!("event: endpoint\ndata: {}\n\n", self.endpoint())).unwrap();
        }
        *self.stream.lock() = Some(send);
        stream_of(receive)
    }
}

fn json_of(status: u16, body: Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

fn empty(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// An event stream that stays open for as long as somebody can still send.
fn stream_of(receive: mpsc::UnboundedReceiver<String>) -> Response {
    let events = stream::unfold(receive, |mut receive| async {
        let event = receive.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(event), receive))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from_stream(events)).unwrap()
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    shared.seen.lock().push((method.clone(), path.clone(), bearer.clone()));
    let ways = &shared.ways;
    if ways.page {
        let page = Response::builder().header("content-type", "text/html; charset=utf-8");
        return page.body(Body::from("<!DOCTYPE html><title>Sign in</title>")).unwrap();
    }
    if path.starts_with("/.well-known/oauth-protected-resource") {
        let document = json!({"resource": shared.resource(), "authorization_servers": [shared.issuer()]});
        return if ways.metadata { json_of(200, document) } else { empty(404) };
    }
    if path == format!("/.well-known/oauth-authorization-server{}", ways.issuer) {
        return json_of(200, shared.issuer_metadata());
    }
    let posted =
        method == "POST" && (path == "/mcp" && ways.http || path == "/messages" && ways.sse.is_some());
    let streams = match path.as_str() {
        "/mcp" => ways.http && ways.unasked || !ways.http && ways.sse.is_some(),
        "/mcp/sse" => ways.http && ways.sse.is_some(),
        _ => false,
    };
    let opens = method == "GET" && streams;
    if !posted && !opens {
        return empty(if path == "/mcp" { 405 } else { 404 });
    }
    let open = ways.stream_is_proof && path == "/messages";
    if !open && !shared.accepts(bearer.as_deref()) {
        return shared.refuse(bearer.as_deref());
    }
    if !posted {
        if path == "/mcp" && ways.http {
            let (send, receive) = mpsc::unbounded_channel();
            send.send(": here\n\n".to_owned()).unwrap();
            // Held for good, so that the stream stays open.
            std::mem::forget(send);
            return stream_of(receive);
        }
        return shared.listen();
    }
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reply = shared.reply(&message);
    if path == "/messages" {
        if let (Some((_, reply)), Some(stream)) = (reply, &*shared.stream.lock()) {
            let _ = stream.send(format!("event: message\ndata: {reply}\n\n"));
        }
        return empty(202);
    }
    match reply {
        None => empty(202),
        Some((200, reply)) if ways.streamed => {
            let (send, receive) = mpsc::unbounded_channel();
            send.send(format!(": working\n\nevent: message\ndata: {reply}\n\n")).unwrap();
            std::mem::forget(send);
            stream_of(receive)
        }
        Some((status, reply)) => json_of(status, reply),
    }
}
