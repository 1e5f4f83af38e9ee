//! The development issuer's token endpoint: client credentials and authorization code, each for one
//! RFC 8707 `resource`; errors as RFC 6749 section 5.2 has them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::issuer::Shared;

/// A form or query, in the order given.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().filter(|(_, value)| !value.is_empty()).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A parameter that is there more than once, which RFC 6749 section 3.2 forbids.
    fn repeated(&self) -> Option<&str> {
        let mut names = self.0.iter().enumerate();
        names
            .find(|(at, (name, _))| self.0.iter().skip(at + 1).any(|(other, _)| other == name))
            .map(|(_, (name, _))| name.as_str())
    }
}

/// `{"error", "error_description"}`, never stored.
pub(super) fn refusal(status: u16, error: &str, description: &str) -> Answer {
    let mut answer = Answer::json(status, json!({"error": error, "error_description": description}));
    answer.headers.push(("cache-control", "no-store".to_owned()));
    if status == 401 {
        answer.headers.push(("www-authenticate", "Basic realm=\"development issuer\"".to_owned()));
    }
    answer
}

pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    answer(&shared, &headers, &body).unwrap_or_else(|refused| refused).into_response()
}

fn answer(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Answer> {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(refusal(400, "invalid_request", "The body must be application/x-www-form-urlencoded"));
    }
    let form = Form::parse(body);
    if let Some(name) = form.repeated() {
        let error = if name == "resource" { "invalid_target" } else { "invalid_request" };
        return Err(refusal(400, error, "A parameter is there more than once; one resource at a time"));
    }
    match form.get("grant_type") {
        None => Err(refusal(400, "invalid_request", "grant_type is missing")),
        Some("client_credentials") => client_credentials(shared, headers, &form),
        Some("authorization_code") => authorization_code(shared, headers, &form),
        Some(_) => {
            Err(refusal(400, "unsupported_grant_type", "Use client_credentials or authorization_code"))
        }
    }
}

/// Id and secret from the Basic header or from the body, never both (RFC 6749 section 2.3).
fn presented(headers: &HeaderMap, form: &Form) -> Result<Option<(String, String)>, Answer> {
    let basic = headers.get("authorization").map(|value| value.to_str().unwrap_or_default());
    let in_body = form.get("client_secret");
    match (basic, in_body) {
        (Some(_), Some(_)) => Err(refusal(400, "invalid_request", "Use one way of client authentication")),
        (Some(header), None) => {
            let pair = header
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
                .and_then(|(_, value)| BASE64_STANDARD.decode(value.trim()).ok())
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
            let (id, secret) =
                pair.ok_or_else(|| refusal(401, "invalid_client", "The Basic header is malformed"))?;
            Ok(Some((decoded(id), decoded(secret))))
        }
        (None, Some(secret)) => Ok(form.get("client_id").map(|id| (id.to_owned(), secret.to_owned()))),
        (None, None) => Ok(None),
    }
}

/// RFC 6749 section 2.3.1: both halves of the Basic pair are form-encoded.
fn decoded(part: &str) -> String {
    let spaced = part.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// The confidential client that authenticated itself, if any did.
fn authenticated(shared: &Shared, headers: &HeaderMap, form: &Form) -> Result<Option<String>, Answer> {
    let Some((id, secret)) = presented(headers, form)? else { return Ok(None) };
    // Digests are compared, so that the time taken says nothing about the secret.
    let same = |held: &str| Sha256::digest(held.as_bytes()) == Sha256::digest(secret.as_bytes());
    let known =
        shared.clients.iter().any(|client| client.client_id == id && same(client.client_secret.expose()));
    if known { Ok(Some(id)) } else { Err(refusal(401, "invalid_client", "Unknown client or wrong secret")) }
}

/// The resource that the token is for; it must have been allowed.
fn allowed(shared: &Shared, resource: Option<&str>) -> Result<String, Answer> {
    let resource =
        resource.ok_or_else(|| refusal(400, "invalid_target", "resource is required (RFC 8707)"))?;
    if !shared.state().resources.contains(resource) {
        return Err(refusal(400, "invalid_target", "resource is not one that this issuer serves"));
    }
    Ok(resource.to_owned())
}

fn client_credentials(shared: &Shared, headers: &HeaderMap, form: &Form) -> Result<Answer, Answer> {
    let client = authenticated(shared, headers, form)?
        .ok_or_else(|| refusal(401, "invalid_client", "This grant needs client authentication"))?;
    if form.get("client_id").is_some_and(|id| id != client) {
        return Err(refusal(400, "invalid_request", "client_id is not the authenticated client"));
    }
    let resource = allowed(shared, form.get("resource"))?;
    issue(shared, &client, &client, &resource, form.get("scope"))
}

fn authorization_code(shared: &Shared, headers: &HeaderMap, form: &Form) -> Result<Answer, Answer> {
    let authenticated = authenticated(shared, headers, form)?;
    let missing = |name: &str| refusal(400, "invalid_request", &format!("{name} is missing"));
    let code = form.get("code").ok_or_else(|| missing("code"))?;
    let verifier = form.get("code_verifier").ok_or_else(|| missing("code_verifier"))?;
    let redirect = form.get("redirect_uri").ok_or_else(|| missing("redirect_uri"))?;
    let client = match authenticated {
        Some(client) => client,
        None => form.get("client_id").ok_or_else(|| missing("client_id"))?.to_owned(),
    };
    // Taken out first: a code is good for one attempt, right or wrong.
    let held = shared.state().codes.remove(code);
    let invalid = |why: &str| refusal(400, "invalid_grant", why);
    let held = held.filter(|held| held.expires_at > shared.clock.now());
    let held = held.ok_or_else(|| invalid("The code is unknown, used or expired"))?;
    if held.client_id != client || held.redirect_uri != redirect {
        return Err(invalid("The code belongs to another client or redirect_uri"));
    }
    if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != held.challenge {
        return Err(invalid("code_verifier does not fit the code_challenge"));
    }
    if form.get("resource").is_some_and(|resource| resource != held.resource) {
        return Err(refusal(400, "invalid_target", "resource differs from the authorization request's"));
    }
    let resource = allowed(shared, Some(&held.resource))?;
    issue(shared, &held.subject, &client, &resource, held.scope.as_deref())
}

fn issue(
    shared: &Shared,
    subject: &str,
    client: &str,
    resource: &str,
    scope: Option<&str>,
) -> Result<Answer, Answer> {
    let token = shared
        .sign(subject, client, resource, scope)
        .map_err(|_| refusal(500, "server_error", "Signing failed"))?;
    let mut body =
        json!({"access_token": token, "token_type": "Bearer", "expires_in": shared.lifetime.as_secs()});
    if let Some(scope) = scope {
        body["scope"] = scope.into();
    }
    let mut answer = Answer::json(200, body);
    answer.headers.extend([("cache-control", "no-store".to_owned()), ("pragma", "no-cache".to_owned())]);
    Ok(answer)
}
