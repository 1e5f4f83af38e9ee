//! Who asks: an administrator's token, or a PSA key whose owner is an administrator there; and for which tenant.
//! Knows neither what a token looks like in the store nor who counts as an administrator in the PSA.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use super::Web;
use super::listen::Peer;
use super::problem::Problem;
use crate::gate::admin::{Actor, ActorKind, Admin, TOKEN_PREFIX};
use crate::secret::Secret;

const API_KEY: &str = "x-api-key";

/// Which tenant is meant: its id, its slug or its id in the PSA.
const TENANT: &str = "x-tenant-id";

/// The longest token or key that is looked at, in bytes.
const LONGEST: usize = 512;

/// Who asks, and on whose behalf.
#[derive(Clone)]
pub struct Who {
    /// For the record.
    pub actor: Actor,
    /// The verbs of the tenant that is meant.
    pub admin: Arc<Admin>,
    /// Whether the token administers every tenant, and with them the tenants themselves.
    pub everywhere: bool,
}

impl FromRequestParts<Arc<Web>> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Problem> {
        // Nothing is served without [`authenticate`] before it; if it is, then to nobody.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::unauthorized(false))
    }
}

/// An administrator of every tenant.
pub struct Everywhere(pub Who);

impl FromRequestParts<Arc<Web>> for Everywhere {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, web).await?;
        let told = "this needs a token that administers every tenant";
        if who.everywhere { Ok(Self(who)) } else { Err(Problem::new(StatusCode::FORBIDDEN, told)) }
    }
}

/// Lets in who is known, and tells the rest nothing but that.
pub async fn authenticate(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    match identify(&web, request.headers(), peer).await {
        Ok(who) => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn identify(web: &Web, headers: &HeaderMap, peer: Option<Peer>) -> Result<Who, Problem> {
    let secret = match presented(headers) {
        Presented::Nothing => return Err(Problem::unauthorized(false)),
        Presented::Garbled => None,
        Presented::Secret(secret) => Some(secret),
    };
    // Whoever was let in a moment ago is not shut out by somebody else at the same address who guesses.
    let mark = secret.as_ref().map(|secret| Sha256::digest(secret.expose()).into());
    let known = mark.is_some_and(|mark| web.known.contains_key(&mark));
    if let (Some(Peer(peer)), false) = (peer, known) {
        let waits = web.failures.may_spend(peer.ip());
        waits
            .map_err(|seconds| Problem::too_many(seconds, "too many tokens from this address were wrong"))?;
    }
    let tenant = tenant(headers)?;
    let found = match &secret {
        Some(secret) if secret.expose().starts_with(TOKEN_PREFIX) => by_token(web, secret, tenant).await?,
        Some(secret) => by_key(web, secret, tenant).await?,
        None => None,
    };
    match (found, mark) {
        (Some(who), Some(mark)) => {
            web.known.insert(mark, ());
            Ok(who)
        }
        _ => {
            if let Some(mark) = mark {
                web.known.invalidate(&mark);
            }
            if let Some(Peer(peer)) = peer {
                // Those that are tried at the same time may be more than are left.
                let _ = web.failures.spend(peer.ip());
                tracing::warn!(peer = %peer.ip(), "an administrator's token or key was wrong");
            }
            Err(Problem::unauthorized(true))
        }
    }
}

/// What a request brought along to be let in.
enum Presented {
    Nothing,
    Garbled,
    Secret(Secret),
}

/// The API key where there is one, as in the PSA, else the bearer.
fn presented(headers: &HeaderMap) -> Presented {
    let mut given = headers.get_all(API_KEY).iter().map(|key| key.to_str().ok()).collect::<Vec<_>>();
    if given.is_empty() {
        let bearer = |value: &http::HeaderValue| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        };
        let tokens: Vec<_> = headers.get_all(AUTHORIZATION).iter().map(bearer).collect();
        return match tokens.as_slice() {
            [] => Presented::Nothing,
            [Some(token)] if fits(token) => Presented::Secret(Secret::new(token.as_str())),
            _ => Presented::Garbled,
        };
    }
    match (given.pop().flatten(), given.is_empty()) {
        (Some(key), true) if fits(key) => Presented::Secret(Secret::new(key)),
        _ => Presented::Garbled,
    }
}

fn fits(secret: &str) -> bool {
    (1..=LONGEST).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic())
}

fn tenant(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all(TENANT).iter();
    match (all.next().map(|value| value.to_str()), all.next()) {
        (None, _) => Ok(None),
        (Some(Ok(tenant)), None) if !tenant.is_empty() => Ok(Some(tenant)),
        _ => Err(Problem::field(TENANT, "must name one tenant, once")),
    }
}

async fn by_token(web: &Web, secret: &Secret, tenant: Option<&str>) -> Result<Option<Who>, Problem> {
    let Some(row) = web.admins.who(secret).await? else { return Ok(None) };
    let actor = Actor { name: row.name.clone(), kind: ActorKind::AdminToken, id: Some(row.id.clone()) };
    let everywhere = row.tenant_id.is_none();
    let admin = match (&row.tenant_id, tenant) {
        (None, None) => Some(web.admins.main()),
        (None, Some(tenant)) => Some(web.admins.find(tenant).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, format!("{TENANT}: there is no tenant `{tenant}`"))
        })?),
        (Some(own), None) => web.admins.find(own),
        // Nothing may tell whether another tenant is there.
        (Some(own), Some(tenant)) => web
            .admins
            .find(own)
            .filter(|own| web.admins.find(tenant).is_some_and(|meant| Arc::ptr_eq(&meant, own))),
    };
    Ok(admin.map(|admin| Who { actor, admin, everywhere }))
}

async fn by_key(web: &Web, key: &Secret, tenant: Option<&str>) -> Result<Option<Who>, Problem> {
    let admin = match tenant {
        None => Some(web.admins.main()),
        // The PSA's own scripts say its id there.
        Some(tenant) => web.admins.find(tenant).or_else(|| web.admins.find_in_psa(tenant)),
    };
    let Some(admin) = admin else { return Ok(None) };
    let Some(user) = admin.psa_administrator(key).await? else { return Ok(None) };
    let actor = Actor { name: user.username, kind: ActorKind::PsaUser, id: Some(user.user_id) };
    Ok(Some(Who { actor, admin, everywhere: false }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn read(all: &[(&'static str, &str)]) -> Option<String> {
        match presented(&headers(all)) {
            Presented::Secret(secret) => Some(secret.expose().to_owned()),
            Presented::Garbled => Some("garbled".to_owned()),
            Presented::Nothing => None,
        }
    }

    #[test]
    fn an_api_key_goes_before_a_bearer_and_what_is_there_twice_is_neither() {
        for (given, found) in [
            (&[][..], None),
            (&[("x-api-key", "k")], Some("k")),
            (&[("authorization", "bearer t")], Some("t")),
            (&[("authorization", "Bearer t"), ("x-api-key", "k")], Some("k")),
            (&[("authorization", "Basic t")], Some("garbled")),
            (&[("authorization", "Bearer ")], Some("garbled")),
            (&[("authorization", "Bearer a b")], Some("garbled")),
            (&[("x-api-key", "")], Some("garbled")),
            (&[("x-api-key", "k"), ("x-api-key", "k")], Some("garbled")),
            (&[("authorization", "Bearer t"), ("authorization", "Bearer u")], Some("garbled")),
        ] {
            assert_eq!(read(given).as_deref(), found, "{given:?}");
        }
        assert_eq!(read(&[("x-api-key", &"k".repeat(LONGEST + 1))]).as_deref(), Some("garbled"));
    }
}
