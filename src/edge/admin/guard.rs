//! What every request to the administrators' listener passes: how often, under which name, out of whose web
//! page. And what every answer says to browsers and caches. Knows nobody's token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::timeout;

use super::Web;
use super::listen::{HEADER_BYTES, Peer};
use super::problem::{Problem, in_form};
use crate::gate::{Approach, DoorFault};

/// The longest that one request is worked on, its body's arrival included.
const PATIENCE: Duration = Duration::from_secs(60);

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-api-key, x-tenant-id");
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, www-authenticate");
/// How long a browser may remember a preflight's answer, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// What every answer says.
const ALWAYS: [(http::HeaderName, HeaderValue); 5] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// Refuses what comes too often, under a foreign name or out of a foreign page; hands on the rest.
pub async fn watch(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let reader = request.headers().get(ORIGIN).cloned();
    let admitted = admitted(&web, &request);
    let known = admitted.is_ok();
    let response = match admitted {
        Err(problem) => problem.into_response(),
        Ok(()) if is_preflight(&request) => preflight(),
        Ok(()) => match timeout(PATIENCE, next.run(request)).await {
            Ok(response) => in_form(response),
            Err(_) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the request took too long; what it asked for may have been done all the same",
            )
            .into_response(),
        },
    };
    finished(response, reader.filter(|_| known))
}

fn admitted(web: &Web, request: &Request) -> Result<(), Problem> {
    if header_bytes(request) > HEADER_BYTES {
        let told = format!("a header may have {HEADER_BYTES} bytes at most");
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, told));
    }
    if let Some(Peer(peer)) = request.extensions().get() {
        let waits = web.requests.spend(peer.ip());
        waits.map_err(|seconds| Problem::too_many(seconds, "too many requests from this address"))?;
    }
    let headers = request.headers();
    let origin = only(headers, &ORIGIN).map_err(|()| foreign())?;
    let host = only(headers, &HOST).map_err(|()| misdirected())?;
    let host = request.uri().authority().map(|authority| authority.as_str()).or(host);
    let approach = Approach { scheme: web.scheme(), host, prefix: "", origin, resource: 0 };
    web.doorway.check(approach).map_err(|fault| match fault {
        DoorFault::Host => misdirected(),
        DoorFault::Origin => foreign(),
    })?;
    // A page elsewhere that hides its origin is told by this header, which no page can write (Fetch Metadata).
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    match site {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) if origin.is_some() => Ok(()),
        Some(_) => Err(foreign()),
    }
}

/// What is read in whole pieces may be more than is allowed.
fn header_bytes(request: &Request) -> usize {
    let field = |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    target + request.headers().iter().map(field).sum::<usize>()
}

/// The one value of a header, none, or a fault where there are several or one that is no text.
fn only<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    let (first, second) = (all.next(), all.next());
    match (first, second) {
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (None, _) => Ok(None),
        _ => Err(()),
    }
}

fn misdirected() -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this listener does not go by the name in the Host header; admin.allowed_hosts says which it goes by",
    )
}

fn foreign() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "web pages of other sites may not use this interface; admin.allowed_origins says which may",
    )
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// `reader` is the origin whose pages may read the answer. Cookies are never asked for, so credentials are not
/// allowed either.
fn finished(mut response: Response, reader: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = reader {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}
