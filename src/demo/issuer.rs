//! A development issuer: discovery, keys, and RFC 9068 access tokens for the demo's identities.
//!
//! It guards nothing: its login page lets anybody be anybody. It listens on loopback only because
//! its caller binds it there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::answer::Answer;
use super::server::Server;
use super::{grants, login};
use crate::clock::{Clock, Millis};
use crate::secret::Secret;

/// A confidential client of the development issuer; its id is also the subject of its tokens.
pub struct DemoClient {
    /// Also one of the identities on the login page.
    pub client_id: String,
    /// Letters and digits only: clients disagree on encoding anything else in a Basic header.
    pub client_secret: Secret,
}

/// An embedded OAuth 2.0 authorization server for development; it stops when dropped.
pub struct DemoIssuer {
    /// `http://127.0.0.1:port`: the `iss` of its tokens.
    pub issuer: String,
    shared: Arc<Shared>,
    server: Server,
}

pub(super) struct Shared {
    pub issuer: String,
    pub clock: Clock,
    pub lifetime: Duration,
    pub clients: Vec<DemoClient>,
    state: Mutex<IssuerState>,
}

/// What changes while the issuer runs.
pub(super) struct IssuerState {
    /// Newest first; at most two.
    keys: Vec<SigningKey>,
    pub resources: BTreeSet<String>,
    pub codes: HashMap<String, Code>,
    /// Registered public clients and their redirect URIs.
    pub registered: BTreeMap<String, Vec<String>>,
}

/// An authorization code's grant.
pub(super) struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub resource: String,
    pub subject: String,
    pub scope: Option<String>,
    pub expires_at: Millis,
}

struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
    /// The public half, as a JWK.
    public: Value,
}

impl SigningKey {
    fn generate() -> Result<Self, String> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|error| error.to_string())?;
        // An uncompressed point: 0x04, then both coordinates.
        let point = pair.public_key().as_ref();
        let (x, y) =
            point.get(1..33).zip(point.get(33..65)).ok_or("the key pair has no uncompressed point")?;
        let id = Uuid::new_v4().to_string();
        let public = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        });
        Ok(Self { id, pair, public })
    }

    /// `claims` as an RFC 9068 token.
    fn sign(&self, claims: &Value) -> Result<String, String> {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": self.id});
        let [header, payload] = [&header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{payload}");
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.map_err(|error| error.to_string())?);
        Ok(format!("{message}.{signature}"))
    }
}

impl DemoIssuer {
    /// Serves an issuer on `listener`; its tokens live for `lifetime`.
    ///
    /// # Errors
    /// Where the listener's address cannot be read or no key can be made.
    pub async fn start(
        listener: TcpListener,
        clock: Clock,
        clients: Vec<DemoClient>,
        lifetime: Duration,
    ) -> std::io::Result<DemoIssuer> {
        let issuer = format!("http://{}", listener.local_addr()?);
        let state = Mutex::new(IssuerState {
            keys: vec![SigningKey::generate().map_err(std::io::Error::other)?],
            resources: BTreeSet::new(),
            codes: HashMap::new(),
            registered: BTreeMap::new(),
        });
        let shared = Arc::new(Shared { issuer: issuer.clone(), clock, lifetime, clients, state });
        let open = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/jwks", get(jwks))
            .route("/token", post(grants::token))
            .route("/register", post(login::register))
            .layer(from_fn(cors));
        let router =
            open.route("/authorize", get(login::ask).post(login::chosen)).with_state(Arc::clone(&shared));
        let server = Server::start(listener, router);
        Ok(DemoIssuer { issuer, shared, server })
    }

    /// Lets tokens be asked for with `resource` (RFC 8707).
    pub fn allow_resource(&self, resource: &str) {
        self.shared.state().resources.insert(resource.to_owned());
    }

    /// An access token as the client `client_id` would get it for `resource`.
    ///
    /// # Errors
    /// Where the client or the resource is unknown, in words.
    pub fn token_for(&self, client_id: &str, resource: &str) -> Result<Secret, String> {
        if !self.shared.clients.iter().any(|client| client.client_id == client_id) {
            return Err(format!("no demo client is called {client_id}"));
        }
        if !self.shared.state().resources.contains(resource) {
            return Err(format!("{resource} is not an allowed resource"));
        }
        self.shared.sign(client_id, client_id, resource, None).map(Secret::new)
    }

    /// Signs with a new key from now on. The old key stays published until the
    /// next call; where no key can be made, nothing changes.
    pub fn rotate(&self) {
        match SigningKey::generate() {
            Ok(key) => {
                let mut state = self.shared.state();
                state.keys.insert(0, key);
                state.keys.truncate(2);
            }
            Err(error) => tracing::warn!(%error, "the demo issuer keeps its key"),
        }
    }

    /// Stops accepting and closes idle connections; running answers finish.
    pub fn stop(&self) {
        self.server.stop();
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, IssuerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An RFC 9068 token.
    pub fn sign(
        &self,
        subject: &str,
        client: &str,
        resource: &str,
        scope: Option<&str>,
    ) -> Result<String, String> {
        let now = self.clock.now_seconds();
        let life = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut claims = json!({
            "iss": self.issuer, "sub": subject, "client_id": client, "aud": resource, "iat": now,
            "exp": now.saturating_add(life), "jti": Uuid::new_v4().to_string(),
        });
        if let Some(scope) = scope {
            claims["scope"] = scope.into();
        }
        let state = self.state();
        let key = state.keys.first().ok_or("there is no signing key")?;
        key.sign(&claims)
    }
}

/// RFC 8414 and OpenID Connect Discovery in one document.
async fn metadata(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let at = |path: &str| format!("{}{path}", shared.issuer);
    Answer::json(
        200,
        json!({
            "issuer": shared.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"),
            "registration_endpoint": at("/register"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": true,
        }),
    )
    .into_response()
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let keys: Vec<Value> = shared.state().keys.iter().map(|key| key.public.clone()).collect();
    Answer::json(200, json!({"keys": keys})).into_response()
}

/// Lets pages of any origin read the answer; no credentials are involved.
async fn cors(request: Request, next: Next) -> Response<Body> {
    let mut response = if request.method() == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert("access-control-allow-methods", HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(
            "access-control-allow-headers",
            HeaderValue::from_static("authorization, content-type, mcp-protocol-version"),
        );
        response
    } else {
        next.run(request).await
    };
    response.headers_mut().insert("access-control-allow-origin", HeaderValue::from_static("*"));
    response
}
