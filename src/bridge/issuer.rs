//! Asks the server's own issuer for a token: the server's challenge leads to its metadata (RFC 9728), that to the issuer's
//! (RFC 8414), that to the token endpoint (RFC 6749 section 4.4, RFC 8707).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use url::{Host, Url};

use super::messages::words;
use super::token::Client;
use crate::identity::challenge;
use crate::identity::metadata::WELL_KNOWN;
use crate::outbound::Outbound;
use crate::secret::Secret;

/// The longest that one of these may take, and the largest that one may be.
const PATIENCE: Duration = Duration::from_secs(15);
const LARGEST: usize = 1 << 20;

/// What the server says about itself.
#[derive(Debug, Deserialize)]
struct Protected {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
}

/// What the issuer says about itself.
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What was found on the way.
#[derive(Clone, Debug)]
struct Way {
    endpoint: Url,
    resource: String,
    scope: Option<String>,
    /// Whether the secret goes into the body and not into a header.
    in_body: bool,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    expires_in: Option<serde_json::Number>,
}

/// Whoever gives tokens for one server.
pub struct Issuer {
    server: Url,
    http: Outbound,
    found: Mutex<Option<Way>>,
}

impl Issuer {
    pub fn new(server: Url, http: Outbound) -> Self {
        Self { server, http: http.reading(LARGEST), found: Mutex::default() }
    }

    /// A new token for `client`, and for how many seconds it lasts if that is known.
    ///
    /// # Errors
    /// In words: which step of the way failed.
    pub async fn token(&self, client: &Client, secret: &Secret) -> Result<(Secret, Option<i64>), String> {
        let mut found = self.found.lock().await;
        let way = match found.take() {
            Some(way) => way,
            None => self.find().await?,
        };
        let granted = self.ask(&way, client, secret).await?;
        // What led to a token is kept; what did not is looked for anew.
        *found = Some(way);
        let seconds = granted.expires_in.and_then(|seconds| seconds.as_f64()).map(|seconds| seconds as i64);
        Ok((granted.access_token, seconds))
    }

    async fn find(&self) -> Result<Way, String> {
        let (metadata_url, scope) = self.challenged().await?;
        let protected = self.protected(metadata_url).await?;
        let [issuer, ..] = protected.authorization_servers.as_slice() else {
            return Err("the server's metadata names no authorization server".to_owned());
        };
        let metadata = self.metadata(issuer).await?;
        let endpoint = Url::parse(&metadata.token_endpoint).ok().filter(is_private);
        let endpoint = endpoint
            .ok_or_else(|| format!("the token endpoint {} is no https URL", metadata.token_endpoint))?;
        let methods = metadata.token_endpoint_auth_methods_supported.unwrap_or_default();
        let has = |method: &str| methods.iter().any(|known| known == method);
        let in_body = has("client_secret_post") && !has("client_secret_basic");
        Ok(Way { endpoint, resource: protected.resource, scope, in_body })
    }

    /// Calls the server without a token, to be told where its metadata is and which scopes it wants.
    async fn challenged(&self) -> Result<(Option<Url>, Option<String>), String> {
        let request = Request::post(self.server.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
        let answer = self.fetch(request).await.map_err(|error| format!("{}: {error}", self.server))?;
        let values = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = challenge::bearer(values.iter().filter_map(|value| value.to_str().ok()));
        let param = |name| challenge.as_ref().and_then(|challenge| challenge.param(name));
        let url = param("resource_metadata").map(|url| {
            Url::parse(url)
                .ok()
                .filter(is_private)
                .ok_or_else(|| format!("the challenge names {url:?}, no https URL"))
        });
        Ok((url.transpose()?, param("scope").map(str::to_owned)))
    }

    async fn protected(&self, named: Option<Url>) -> Result<Protected, String> {
        let below = |path: &str| {
            let mut url = self.server.clone();
            url.set_path(&format!("{WELL_KNOWN}{path}"));
            url.set_query(None);
            url
        };
        let usual = [below(self.server.path().trim_end_matches('/')), below("")];
        let places = named.map_or_else(|| usual.to_vec(), |named| vec![named]);
        let protected: Protected = self.first(&places, |_| true).await?;
        // RFC 9728 section 3.3: a document of another resource would have us ask for a token for that one.
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        if bare(&protected.resource) != bare(self.server.as_str()) {
            return Err(format!(
                "the server's metadata is of {:?}; give exactly that URL with --gate if it is the one you mean",
                protected.resource
            ));
        }
        Ok(protected)
    }

    async fn metadata(&self, issuer: &str) -> Result<Metadata, String> {
        let url = Url::parse(issuer).ok().filter(is_private);
        let url =
            url.ok_or_else(|| format!("the server's metadata names the issuer {issuer:?}, no https URL"))?;
        let path = url.path().trim_end_matches('/').to_owned();
        let at = |path: String| {
            let mut place = url.clone();
            place.set_path(&path);
            place
        };
        // RFC 8414 section 3.1 and OpenID Connect Discovery 1.0 section 4, in the order that MCP asks for.
        let places = [
            at(format!("/.well-known/oauth-authorization-server{path}")),
            at(format!("/.well-known/openid-configuration{path}")),
            at(format!("{path}/.well-known/openid-configuration")),
        ];
        // RFC 8414 section 3.3.
        self.first(&places, |metadata: &Metadata| metadata.issuer == issuer).await
    }

    /// The first document of `places` that is one and that `fits`.
    async fn first<T: DeserializeOwned>(
        &self,
        places: &[Url],
        fits: impl Fn(&T) -> bool,
    ) -> Result<T, String> {
        let mut why = String::new();
        for place in places {
            let request =
                Request::get(place.as_str()).header(header::ACCEPT, "application/json").body(Bytes::new());
            let found = match self.fetch(request).await {
                Err(error) => Err(error),
                Ok(answer) if answer.status() != http::StatusCode::OK => {
                    Err(format!("it answered {}", answer.status()))
                }
                Ok(answer) => {
                    serde_json::from_slice(answer.body()).map_err(|_| "it is not such a document".to_owned())
                }
            };
            match found {
                Ok(found) if fits(&found) => return Ok(found),
                Ok(_) => why = format!("{place}: it is another issuer's"),
                Err(error) => why = format!("{place}: {error}"),
            }
        }
        Err(why)
    }

    async fn ask(&self, way: &Way, client: &Client, secret: &Secret) -> Result<Granted, String> {
        let request = question(way, client, secret.expose().trim());
        let answer = self.fetch(request).await.map_err(|error| format!("{}: {error}", way.endpoint))?;
        if !answer.status().is_success() {
            let said = words(answer.body()).map(|words| format!(" ({words})")).unwrap_or_default();
            return Err(format!("{} answered {}{said}", way.endpoint, answer.status()));
        }
        serde_json::from_slice(answer.body()).map_err(|_| format!("{} gave no access_token", way.endpoint))
    }

    async fn fetch(&self, request: http::Result<Request<Bytes>>) -> Result<Response<Bytes>, String> {
        let request = request.map_err(|error| error.to_string())?;
        self.http.send_within(request, PATIENCE).await.map_err(|error| error.to_string())
    }
}

/// The request for a token.
fn question(way: &Way, client: &Client, secret: &str) -> http::Result<Request<Bytes>> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("resource", &way.resource);
    if let Some(scope) = client.scope.as_ref().or(way.scope.as_ref()) {
        form.append_pair("scope", scope);
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(way.endpoint.as_str())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json");
    if way.in_body {
        form.append_pair("client_id", &client.id).append_pair("client_secret", secret);
    } else {
        // RFC 6749 section 2.3.1: both are form-encoded first.
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&client.id), encoded(secret));
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Bytes::from(form.finish()))
}

/// Whether secrets may go there: over TLS, or to this machine.
pub(super) fn is_private(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(in_body: bool, scope: Option<&str>) -> (Option<String>, String) {
        let way = Way {
            endpoint: Url::parse("https://login.example/token").unwrap(),
            resource: "https://gate.example/mcp".to_owned(),
            scope: Some("told".to_owned()),
            in_body,
        };
        let client =
            Client { id: "a client".into(), secret_file: "/s".into(), scope: scope.map(str::to_owned) };
        let (head, body) = question(&way, &client, "s:1").unwrap().into_parts();
        let basic = head.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        (basic, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn a_token_is_asked_for_one_resource_and_the_secret_goes_where_the_issuer_takes_it() {
        let form = "grant_type=client_credentials&resource=https%3A%2F%2Fgate.example%2Fmcp";
        let (basic, body) = asked(false, None);
        // `a+client:s%3A1`
        assert_eq!(basic.as_deref(), Some("Basic YStjbGllbnQ6cyUzQTE="));
        assert_eq!(body, format!("{form}&scope=told"));
        let (basic, body) = asked(true, Some("own"));
        assert_eq!(basic, None);
        assert_eq!(body, format!("{form}&scope=own&client_id=a+client&client_secret=s%3A1"));
    }

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        let private = |url: &str| is_private(&Url::parse(url).unwrap());
        for url in ["https://a", "http://localhost:1", "http://127.0.0.1", "http://[::1]/x"] {
            assert!(private(url), "{url}");
        }
        for url in ["http://a", "http://10.0.0.1", "ftp://localhost", "file:///x"] {
            assert!(!private(url), "{url}");
        }
    }
}
