//! The demo PSA's door: start and stop, the log, the key check, permissions, and the headers that
//! the real one adds. What a route does is the router's business.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response};
use serde_json::json;
use tokio::net::TcpListener;

use super::answer::{Answer, Content};
use super::log::Log;
use super::resources::Style;
use super::router::{Call, Found, ROUTES, Route, find};
use super::server::Server;
use super::special::SLOW;
use super::world::{BURST, Refused, World, stamp};
use super::{control, seed};
use crate::clock::Clock;
use crate::secret::Secret;

/// The largest body that is read.
const BODY_LIMIT: usize = 10 << 20;

/// An embedded PSA with AlgaPSA's wire shapes and seeded data; it stops when dropped.
pub struct DemoPsa {
    /// `http://127.0.0.1:port`
    pub url: String,
    /// What the control API expects in `x-demo-control`.
    pub control_secret: Secret,
    /// The one tenant's UUID.
    pub tenant: String,
    /// A service user without any role, for reading the registry.
    pub catalog_user: String,
    technician: String,
    reader: String,
    administrator: String,
    server: Server,
}

struct Shared {
    world: Mutex<World>,
    log: Log,
    clock: Clock,
    control: Secret,
}

impl DemoPsa {
    /// Seeds a PSA and serves it on `listener`.
    ///
    /// # Errors
    /// Where the listener's address cannot be read.
    pub async fn start(listener: TcpListener, clock: Clock) -> std::io::Result<DemoPsa> {
        let url = format!("http://{}", listener.local_addr()?);
        let world = seed::world(clock.now());
        let control_secret = Secret::new(format!("{:032x}", rand::random::<u128>()));
        let tenant = world.tenant.clone();
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            log: Log::default(),
            clock,
            control: control_secret.clone(),
        });
        let server = Server::start(listener, Router::new().fallback(answer).with_state(shared));
        Ok(DemoPsa {
            url,
            control_secret,
            tenant,
            catalog_user: seed::user_id(seed::CATALOG_USER),
            technician: seed::user_id(seed::TECHNICIAN_AGENT),
            reader: seed::user_id(seed::READER_AGENT),
            administrator: seed::user_id(seed::ADMINISTRATOR),
            server,
        })
    }

    /// Stops accepting and closes idle connections; running answers finish.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// The id of a seeded backing user with the role Technician.
    pub fn technician(&self) -> &str {
        &self.technician
    }

    /// The id of a seeded backing user with the role Read only.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// The id of a seeded person with the role Admin.
    pub fn administrator(&self) -> &str {
        &self.administrator
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (request, body) = request.into_parts();
    if request.uri.path().starts_with("/__") {
        return house(&shared, &request, body).await.into_response();
    }
    let visit = shared.log.enter(&request);
    let mut answer = match to_bytes(body, BODY_LIMIT).await {
        Ok(body) => api(&shared, &request, body).await,
        Err(_) => Answer::plain_error(413, "Body too large"),
    };
    visit.answered();
    if request.uri.path().starts_with("/api/") || answer.status == 404 {
        browser_headers(&request, &mut answer);
    }
    answer.into_response()
}

/// The requests that are about the demo itself and are not in the log.
async fn house(shared: &Shared, request: &Parts, body: Body) -> Answer {
    match (&request.method, request.uri.path()) {
        (&Method::GET, "/__requests") => return Answer::json(200, shared.log.show()),
        (&Method::DELETE, "/__requests") => {
            shared.log.clear();
            return Answer::empty(204);
        }
        _ => {}
    }
    if header(&request.headers, "x-demo-control") != Some(shared.control.expose()) {
        return Answer::plain_error(403, "the header x-demo-control is missing or wrong");
    }
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else {
        return Answer::plain_error(413, "Body too large");
    };
    let query = query(request);
    control::answer(
        &mut shared.world(),
        shared.clock.now(),
        &request.method,
        request.uri.path(),
        &query,
        &body,
    )
}

async fn api(shared: &Shared, request: &Parts, body: Bytes) -> Answer {
    if request.method == Method::OPTIONS {
        return preflight(request);
    }
    let path = request.uri.path();
    if path == "/api/health" {
        return Answer::json(200, json!({"status": "ok", "version": "1.0.0"}));
    }
    let workflow = path.starts_with("/api/workflow");
    let presented = header(&request.headers, "x-api-key");
    if path.starts_with("/api/v1/") && presented.is_none() {
        return Answer::plain_error(401, "Unauthorized: API key missing");
    }
    let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
    let (route, params) = match find(&ROUTES, method, path) {
        Found::Route(route, params) => (route, params),
        Found::OtherMethod => return Answer::empty(405),
        Found::Nothing => return Answer::unknown_page(),
    };
    let refused = |message: &str| match workflow {
        true => Answer::plain_error(401, message),
        false => Answer::unauthorized(message),
    };
    let Some(presented) = presented else { return refused("API key required") };
    let query = query(request);
    let admitted = match admit(shared, presented, &request.headers) {
        Ok(admitted) => admitted,
        Err(Turned::Away(message)) => return refused(message),
        Err(Turned::Limited(wait)) => return limited(shared, wait),
    };
    if let Some((action, resource)) = route.need
        && !shared.world().may(&admitted.user, action, resource)
    {
        let answer = Answer::denied(action, resource);
        return if workflow { Answer::plain_error(403, "Forbidden") } else { answer };
    }
    if route.template == SLOW {
        // The handler is dropped here when the client goes away; its log line then says so.
        let wait = query.get("ms").and_then(|ms| ms.parse().ok()).unwrap_or(0).min(30_000);
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let mut answer = handle(shared, route, params, request, query, body, admitted.user);
    if route.counted {
        answer.headers.push(("x-ratelimit-limit", admitted.burst.to_string()));
        answer.headers.push(("x-ratelimit-remaining", admitted.left.to_string()));
    }
    answer
}

fn handle(
    shared: &Shared,
    route: &Route,
    params: BTreeMap<&'static str, String>,
    request: &Parts,
    query: BTreeMap<String, String>,
    body: Bytes,
    user: String,
) -> Answer {
    let now = shared.clock.now();
    let mut world = shared.world();
    let mut call = Call {
        world: &mut world,
        now,
        user,
        params,
        query,
        body: body.to_vec(),
        path: request.uri.path().to_owned(),
        idempotency: header(&request.headers, "x-idempotency-key").map(str::to_owned),
    };
    let answer = route.run(&mut call).unwrap_or_else(|refused| refused);
    if route.style == Style::Success { success_style(answer, &stamp(now)) } else { answer }
}

struct Admitted {
    user: String,
    burst: i64,
    left: i64,
}

enum Turned {
    Away(&'static str),
    /// Milliseconds until the next token.
    Limited(i64),
}

/// The key's user, or why the request goes no further.
fn admit(shared: &Shared, presented: &str, headers: &HeaderMap) -> Result<Admitted, Turned> {
    let now = shared.clock.now();
    let mut world = shared.world();
    let at =
        world.check_key(presented, header(headers, "x-tenant-id"), now).map_err(|refused| match refused {
            Refused::Key => Turned::Away("Invalid API key"),
            Refused::Owner => Turned::Away("User not found"),
        })?;
    let enforced = world.enforced_burst;
    let burst = enforced.unwrap_or(BURST);
    let key = world.keys.get_mut(at).ok_or(Turned::Away("Invalid API key"))?;
    key.last_used_at = Some(now);
    let user = key.user_id.clone();
    match (key.take(burst, now), enforced) {
        (Ok(left), _) => Ok(Admitted { user, burst, left }),
        (Err(_), None) => Ok(Admitted { user, burst, left: 0 }),
        (Err(wait), Some(_)) => Err(Turned::Limited(wait)),
    }
}

fn limited(shared: &Shared, wait: i64) -> Answer {
    let burst = shared.world().enforced_burst.unwrap_or(BURST);
    let details = json!({"retry_after_ms": wait, "remaining": 0});
    let error = json!({"code": "RATE_LIMITED", "message": "Too many requests", "details": details});
    let mut answer = Answer::json(429, json!({"error": error}));
    answer.headers.extend([
        ("retry-after", ((wait + 999) / 1_000).max(1).to_string()),
        ("x-ratelimit-limit", burst.to_string()),
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", stamp(shared.clock.now() + wait)),
    ]);
    answer
}

/// The older envelope of assets: `success`, `data` or `error`, and `meta` with a time.
fn success_style(mut answer: Answer, now: &str) -> Answer {
    if let Content::Json(body) = &mut answer.content {
        body["success"] = (answer.status < 400).into();
        body["meta"] = json!({"timestamp": now, "version": "1.0.0"});
        if let Some(pagination) = body.get_mut("pagination").and_then(|pagination| pagination.as_object_mut())
        {
            pagination.remove("hasNext");
            pagination.remove("hasPrev");
        }
    }
    answer
}

/// What the web framework and its session library put on every answer.
fn browser_headers(request: &Parts, answer: &mut Answer) {
    let origin = header(&request.headers, "origin").unwrap_or("*").to_owned();
    let token = format!("{:032x}", rand::random::<u128>());
    answer.headers.extend([
        ("access-control-allow-credentials", "true".to_owned()),
        ("access-control-allow-origin", origin),
        ("set-cookie", format!("authjs.csrf-token={token}; Path=/; HttpOnly; SameSite=Lax")),
        (
            "set-cookie",
            "authjs.callback-url=http%3A%2F%2Flocalhost; Path=/; HttpOnly; SameSite=Lax".to_owned(),
        ),
        ("x-pathname", request.uri.path().to_owned()),
        ("vary", "rsc, next-router-state-tree, next-router-prefetch, Origin".to_owned()),
    ]);
}

fn preflight(_: &Parts) -> Answer {
    let mut answer = Answer::empty(204);
    let allowed = "Content-Type,Authorization,X-API-Key,X-Tenant-ID,X-Request-ID,X-Idempotency-Key";
    answer.headers.extend([
        ("access-control-allow-methods", "GET,POST,PUT,PATCH,DELETE,OPTIONS".to_owned()),
        ("access-control-allow-headers", allowed.to_owned()),
        ("access-control-max-age", "86400".to_owned()),
    ]);
    answer
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok()
}

/// The query parameters; of a repeated one the last counts.
fn query(request: &Parts) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}
