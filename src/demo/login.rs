//! The development issuer's front door for people and desktop clients: registration (RFC 7591) of
//! public loopback clients, and a page on which one click chooses who to be.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, Uri};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::answer::{Answer, escaped};
use super::grants::{Form, refusal};
use super::issuer::{Code, Shared};

/// How long a code may wait to be exchanged.
const CODE_LIFE: i64 = 60_000;
/// Registered clients that are kept.
const REGISTERED: usize = 1_000;

/// Registers a public client: 201 with its id, or 400 with RFC 7591's error.
pub(super) async fn register(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let uris = asked.get("redirect_uris").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let uris: Option<Vec<String>> = uris
        .iter()
        .map(|uri| uri.as_str().filter(|uri| loopback(uri).is_some()).map(str::to_owned))
        .collect();
    let Some(uris) = uris.filter(|uris| !uris.is_empty()) else {
        let why = "redirect_uris must be loopback http URLs, such as http://127.0.0.1:3000/callback";
        return refusal(400, "invalid_redirect_uri", why).into_response();
    };
    let id = format!("public-{}", Uuid::new_v4());
    let mut state = shared.state();
    if state.registered.len() >= REGISTERED {
        state.registered.pop_first();
    }
    state.registered.insert(id.clone(), uris.clone());
    let mut client = json!({
        "client_id": id, "client_id_issued_at": shared.clock.now_seconds(), "redirect_uris": uris,
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"], "response_types": ["code"],
    });
    if let Some(name) = asked.get("client_name").filter(|name| name.is_string()) {
        client["client_name"] = name.clone();
    }
    let mut answer = Answer::json(201, client);
    answer.headers.push(("cache-control", "no-store".to_owned()));
    answer.into_response()
}

/// `uri` where it is plain http to this machine and has no fragment (RFC 8252 section 7.3).
fn loopback(uri: &str) -> Option<Url> {
    let url = Url::parse(uri).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    (url.scheme() == "http" && here && url.fragment().is_none() && url.username().is_empty()).then_some(url)
}

/// Same URI but for the port, which a desktop client learns only when it listens.
fn same_but_port(left: &str, right: &str) -> bool {
    let without = |uri: &str| {
        let mut url = loopback(uri)?;
        url.set_port(None).ok()?;
        Some(url)
    };
    without(left).is_some_and(|left| Some(left) == without(right))
}

/// `GET /authorize`: the page, or with `prompt=none` an answer at once.
pub(super) async fn ask(State(shared): State<Arc<Shared>>, uri: Uri) -> Response<Body> {
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes());
    let redirect = match redirect(&shared, &form) {
        Ok(redirect) => redirect,
        Err(page) => return page.into_response(),
    };
    if let Err((error, why)) = check(&shared, &form) {
        return back(&shared, redirect, &form, &[("error", error), ("error_description", why)])
            .into_response();
    }
    let hinted = form.get("login_hint").filter(|hint| known(&shared, hint));
    let answer = match (form.get("prompt"), hinted) {
        (Some("none"), Some(identity)) => grant(&shared, redirect, &form, identity),
        (Some("none"), None) => back(&shared, redirect, &form, &[("error", "login_required")]),
        _ => page(&shared, &form),
    };
    answer.into_response()
}

/// `POST /authorize`: the page's form, with the identity that was clicked.
pub(super) async fn chosen(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    let form = Form::parse(&body);
    let redirect = match redirect(&shared, &form) {
        Ok(redirect) => redirect,
        Err(page) => return page.into_response(),
    };
    if let Err((error, why)) = check(&shared, &form) {
        return back(&shared, redirect, &form, &[("error", error), ("error_description", why)])
            .into_response();
    }
    let answer = match form.get("identity").filter(|identity| known(&shared, identity)) {
        Some(identity) => grant(&shared, redirect, &form, identity),
        None => back(&shared, redirect, &form, &[("error", "access_denied")]),
    };
    answer.into_response()
}

fn known(shared: &Shared, identity: &str) -> bool {
    shared.clients.iter().any(|client| client.client_id == identity)
}

/// Where the answer may be sent. Until this is known, nothing is redirected.
fn redirect(shared: &Shared, form: &Form) -> Result<Url, Answer> {
    let bad = |why: &str| {
        let mut answer = html(&format!("<h1>Cannot sign in</h1><p>{}</p>", escaped(why)));
        answer.status = 400;
        answer
    };
    let client = form.get("client_id").ok_or_else(|| bad("client_id is missing."))?;
    let uri = form.get("redirect_uri").ok_or_else(|| bad("redirect_uri is missing."))?;
    let url = loopback(uri).ok_or_else(|| bad("redirect_uri must be a loopback http URL."))?;
    let fits = match shared.state().registered.get(client) {
        Some(uris) => uris.iter().any(|held| same_but_port(held, uri)),
        // The demo's own clients may send their user back to any port of this machine.
        None => known(shared, client),
    };
    if fits { Ok(url) } else { Err(bad("The client is not registered with this redirect_uri.")) }
}

/// The rest of the request; an error goes back to the client.
fn check(shared: &Shared, form: &Form) -> Result<(), (&'static str, &'static str)> {
    if form.get("response_type") != Some("code") {
        return Err(("unsupported_response_type", "Only code is supported"));
    }
    let challenge = form.get("code_challenge").unwrap_or_default();
    if challenge.len() != 43 || form.get("code_challenge_method") != Some("S256") {
        return Err(("invalid_request", "PKCE with S256 is required"));
    }
    match form.get("resource") {
        Some(resource) if shared.state().resources.contains(resource) => Ok(()),
        Some(_) => Err(("invalid_target", "resource is not one that this issuer serves")),
        None => Err(("invalid_target", "resource is required (RFC 8707)")),
    }
}

fn grant(shared: &Shared, redirect: Url, form: &Form, identity: &str) -> Answer {
    let owned = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let code = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let now = shared.clock.now();
    let held = Code {
        client_id: owned("client_id"),
        redirect_uri: owned("redirect_uri"),
        challenge: owned("code_challenge"),
        resource: owned("resource"),
        subject: identity.to_owned(),
        scope: form.get("scope").map(str::to_owned),
        expires_at: now + CODE_LIFE,
    };
    let mut state = shared.state();
    state.codes.retain(|_, code| code.expires_at > now);
    state.codes.insert(code.clone(), held);
    drop(state);
    back(shared, redirect, form, &[("code", &code)])
}

/// A redirect to the client with `answer`, `state` and `iss` (RFC 9207).
fn back(shared: &Shared, mut to: Url, form: &Form, answer: &[(&str, &str)]) -> Answer {
    {
        let mut query = to.query_pairs_mut();
        query.extend_pairs(answer);
        if let Some(state) = form.get("state") {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &shared.issuer);
    }
    let mut answer = Answer::empty(302);
    answer.headers.extend([("location", to.to_string()), ("cache-control", "no-store".to_owned())]);
    answer
}

/// The page: one button for each identity, the request in hidden fields.
fn page(shared: &Shared, form: &Form) -> Answer {
    let mut body =
        "<h1>Who do you want to be?</h1><p>This is a development issuer: it asks for no password.</p>\
                    <form method=\"post\" action=\"/authorize\">"
            .to_owned();
    for (name, value) in form.pairs().iter().filter(|(name, _)| name != "identity") {
        let _ =
            write!(body, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value));
    }
    for client in &shared.clients {
        let id = escaped(&client.client_id);
        let _ = write!(body, "<p><button name=\"identity\" value=\"{id}\">{id}</button></p>");
    }
    body.push_str("<p><button name=\"identity\" value=\"\">Cancel</button></p></form>");
    html(&body)
}

fn html(body: &str) -> Answer {
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Development sign-in</title></head>\
         <body>{body}</body></html>"
    );
    let mut answer = Answer::raw("text/html; charset=utf-8", page.into_bytes());
    answer.headers.extend([
        ("cache-control", "no-store".to_owned()),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'".to_owned()),
    ]);
    answer
}
