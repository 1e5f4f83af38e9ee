//! AlgaPSA's REST side: one permitted call becomes one HTTP request.
//!
//! The request starts from an empty header map; nothing reaches the PSA that is
//! not set here or declared by the catalogue entry.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::super::config::PsaConfig;
use super::super::{Arrival, Credential, Marks, Psa, PsaError, SendOutcome};
use crate::outbound::{Guard, Limits, Outbound, OutboundError};
use crate::policy::Permit;
use crate::tool::effect::Effect;
use crate::tool::headers::never;
use crate::tool::rest::{Destination, RestRequest, RestResponse, Verb};

const REGISTRY: &str = "/api/v1/meta/mcp-registry";
const HEALTH: &str = "/api/v1/meta/health";
/// The whole registry; a tool's answer is bounded by `psa.max_response`.
const REGISTRY_MAX: usize = 16 << 20;
const CONNECT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("sidegate/", env!("CARGO_PKG_VERSION"));

/// The most headers that a request has beside its call's own.
const OWN: usize = 10;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The adapter.
pub(in crate::psa) struct Rest {
    base: String,
    host: HeaderValue,
    tenant: Option<HeaderValue>,
    calls: Outbound,
    /// The same client; only the registry may be this large.
    registry: Outbound,
    timeout: Duration,
    max_response: usize,
    registry_path: String,
    said: Said,
}

/// Where the address and the registry's key were said, for who must change one of them.
#[derive(Clone, Copy)]
struct Said {
    url: &'static str,
    key: &'static str,
}

impl Rest {
    /// The registry is at `registry_path`; `url` and `key` name where the person has said the address and the key.
    pub(in crate::psa) fn of_a_person(
        self,
        registry_path: String,
        url: &'static str,
        key: &'static str,
    ) -> Self {
        Self { registry_path, said: Said { url, key }, ..self }
    }

    /// `base` has no slash at its end.
    pub(in crate::psa) fn new(config: &PsaConfig, base: &str) -> Result<Self, PsaError> {
        let uri: http::Uri = base.parse().map_err(|_| super::misconfigured("url", "is not a URL"))?;
        let host = uri.authority().map_or("", http::uri::Authority::as_str);
        let host = HeaderValue::from_str(host).map_err(|_| super::misconfigured("url", "names no host"))?;
        let tenant = match config.tenant.as_str() {
            "" => None,
            tenant => Some(
                HeaderValue::from_str(tenant).map_err(|_| super::misconfigured("tenant", "is not a UUID"))?,
            ),
        };
        let timeout = config.timeout.0;
        let limits = Limits { deadline: timeout, connect: CONNECT.min(timeout), body: config.max_response.0 };
        let calls =
            Outbound::open(Guard::operator_chosen(), limits, config.transport()).map_err(no_client)?;
        Ok(Self {
            base: base.to_owned(),
            host,
            tenant,
            registry: calls.reading(REGISTRY_MAX),
            calls,
            timeout,
            max_response: config.max_response.0,
            registry_path: REGISTRY.to_owned(),
            said: Said { url: "psa.url", key: "psa.catalog_key and psa.catalog_user" },
        })
    }

    fn request(
        &self,
        call: &RestRequest,
        credential: Option<&Credential>,
        marks: Option<&Marks>,
    ) -> Result<http::Request<Bytes>, PsaError> {
        let uri = format!("{}{}", self.base, call.target)
            .parse::<http::Uri>()
            .map_err(|_| PsaError::Misconfigured("the call's path is not fit for a URL".to_owned()))?;
        let mut headers = HeaderMap::with_capacity(call.headers.len() + OWN);
        for (name, text) in &call.headers {
            // The catalogue has left these out already; a second lock on the same door.
            if never(name) {
                continue;
            }
            let named = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit(name))?;
            headers.insert(named, value(name, text)?);
        }
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(credential) = credential {
            let mut key = value("x-api-key", credential.key().expose())?;
            key.set_sensitive(true);
            headers.insert(API_KEY, key);
            if let Some(tenant) = &self.tenant {
                headers.insert(TENANT, tenant.clone());
            }
        }
        if let Some(Marks { request_id, traceparent, tracestate }) = marks {
            headers.insert(REQUEST_ID, value("x-request-id", request_id)?);
            for (name, text) in [(TRACEPARENT, traceparent), (TRACESTATE, tracestate)] {
                if let Some(text) = text {
                    let value = value(name.as_str(), text)?;
                    headers.insert(name, value);
                }
            }
        }
        if call.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = http::Request::new(call.body.clone().map_or_else(Bytes::new, Bytes::from));
        *request.method_mut() = method(call.verb);
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

#[async_trait]
impl Psa for Rest {
    async fn send(
        &self,
        permit: Permit,
        credential: &Credential,
        marks: &Marks,
        deadline: Duration,
        arrival: Option<&Arrival>,
    ) -> Result<SendOutcome, PsaError> {
        let bound = permit.bound();
        let request = self.request(bound.request(), Some(credential), Some(marks))?;
        let repeatable = bound.effect() == Effect::Read && bound.request().verb == Verb::Get;
        let (started, deadline) = (Instant::now(), deadline.min(self.timeout));
        let answer = at_most_twice(repeatable, || {
            let left = deadline.saturating_sub(started.elapsed());
            self.calls.send_watched(request.clone(), left, arrival)
        })
        .await
        .map_err(|error| gave_no_answer(error, self.max_response))?;
        let answer = kept(answer, &self.base);
        Ok(if answer.status == 401 {
            SendOutcome::KeyRefused(permit, answer)
        } else {
            SendOutcome::Answered(answer)
        })
    }

    async fn catalog(&self, credential: &Credential) -> Result<Bytes, PsaError> {
        let Said { url, key } = self.said;
        let path = &self.registry_path;
        let request = self.request(&get(path), Some(credential), None)?;
        let answer = self
            .registry
            .send_within(request, self.timeout)
            .await
            .map_err(|error| gave_no_answer(error, REGISTRY_MAX))?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body()),
            401 => Err(PsaError::KeyRefused(format!(
                "GET {path} answered 401: the key for the registry is not accepted; see {key}"
            ))),
            403 => Err(PsaError::Misconfigured(format!(
                "GET {path} answered 403: the key for the registry may not read it; see {key}"
            ))),
            404 => Err(PsaError::Misconfigured(format!(
                "GET {path} answered 404: {url} does not lead to a PSA with a registry"
            ))),
            status @ 300..=399 => Err(PsaError::Misconfigured(format!(
                "GET {path} answered {status}: redirects are not followed; set {url} to the PSA's final address"
            ))),
            status => Err(PsaError::Unavailable(format!("GET {path} answered {status}"))),
        }
    }

    async fn probe(&self) -> Result<(), PsaError> {
        let request = self.request(&get(HEALTH), None, None)?;
        match self.calls.send_within(request, CONNECT.min(self.timeout)).await {
            Ok(_) | Err(OutboundError::TooLarge { .. }) => Ok(()),
            Err(error) => Err(gave_no_answer(error, self.max_response)),
        }
    }

    fn reload(&self) -> Result<(), PsaError> {
        self.calls.reload().map_err(no_client)
    }
}

fn no_client(error: OutboundError) -> PsaError {
    PsaError::Misconfigured(format!("the client for the PSA: {error}"))
}

fn get(target: &str) -> RestRequest {
    RestRequest { verb: Verb::Get, target: target.to_owned(), headers: Vec::new(), body: None }
}

fn method(verb: Verb) -> http::Method {
    match verb {
        Verb::Get => http::Method::GET,
        Verb::Post => http::Method::POST,
        Verb::Put => http::Method::PUT,
        Verb::Patch => http::Method::PATCH,
        Verb::Delete => http::Method::DELETE,
    }
}

fn value(name: &str, text: &str) -> Result<HeaderValue, PsaError> {
    HeaderValue::from_str(text).map_err(|_| unfit(name))
}

fn unfit(name: &str) -> PsaError {
    PsaError::Misconfigured(format!("`{name}` holds characters that are not fit for a header"))
}

/// Once more only where it cannot run twice: a read whose first try was never sent.
async fn at_most_twice<T, F, Fut>(repeatable: bool, mut send: F) -> Result<T, OutboundError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, OutboundError>>,
{
    match send().await {
        Err(error) if repeatable && error.is_unsent() => send().await,
        outcome => outcome,
    }
}

fn gave_no_answer(error: OutboundError, limit: usize) -> PsaError {
    let unsent = error.is_unsent();
    match error {
        OutboundError::TooLarge { status } => PsaError::TooLarge { limit, status: Some(status) },
        OutboundError::Deadline => PsaError::Deadline,
        OutboundError::Forbidden { .. } | OutboundError::Invalid(_) => {
            PsaError::Misconfigured(format!("psa.url: {error}"))
        }
        OutboundError::Malformed { why } => PsaError::Malformed(why),
        other if unsent => PsaError::Unavailable(other.to_string()),
        other => PsaError::Interrupted(other.to_string()),
    }
}

/// What an agent may learn of an answer: no cookie, no header of the PSA's edge.
fn kept(answer: http::Response<Bytes>, base: &str) -> RestResponse {
    let headers = answer.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    // What cannot be read as text is no coding that was asked for either.
    let codings: Vec<_> = codings.map(|value| value.to_str().unwrap_or("unknown").trim()).collect();
    let plain = |coding: &&str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    let location = headers.get(header::LOCATION).filter(|_| answer.status().is_redirection());
    RestResponse {
        status: answer.status().as_u16(),
        content_type: text(header::CONTENT_TYPE),
        retry_after: text(header::RETRY_AFTER),
        coding: (!codings.iter().all(plain)).then(|| codings.join(", ")),
        redirect: location.map(|location| destination(location, base)),
        body: answer.into_body(),
    }
}

/// Where `location` leads from `base` (RFC 9110 10.2.2), without its path and query.
fn destination(location: &HeaderValue, base: &str) -> Destination {
    let from = Url::parse(base).ok();
    let to = location.to_str().ok().and_then(|location| from.as_ref()?.join(location).ok());
    match (from, to) {
        (Some(from), Some(to)) if from.origin() == to.origin() => Destination::SameServer,
        (_, Some(to)) if matches!(to.scheme(), "http" | "https") => {
            Destination::Server(to.origin().ascii_serialization())
        }
        _ => Destination::Unnamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    async fn tries(repeatable: bool, error: fn() -> OutboundError) -> usize {
        let count = std::cell::Cell::new(0);
        let outcome: Result<(), _> = at_most_twice(repeatable, || {
            count.set(count.get() + 1);
            async move { Err(error()) }
        })
        .await;
        assert!(outcome.is_err());
        count.get()
    }

    fn unsent() -> OutboundError {
        OutboundError::Dns
    }

    #[tokio::test]
    async fn a_read_that_was_never_sent_is_tried_once_more() {
        assert!(unsent().is_unsent());
        assert_eq!(tries(true, unsent).await, 2);
    }

    #[tokio::test]
    async fn a_write_is_never_tried_twice_and_a_read_not_after_it_was_sent() {
        assert_eq!(tries(false, unsent).await, 1);
        assert_eq!(tries(true, || OutboundError::Deadline).await, 1);
        assert_eq!(tries(true, || OutboundError::TooLarge { status: 200 }).await, 1);
    }

    fn sent(declared: &[(&str, &str)], key: &str) -> Result<HeaderMap, PsaError> {
        let config = PsaConfig { url: "http://psa.example:81/app".to_owned(), ..PsaConfig::default() };
        let call = RestRequest {
            headers: declared.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            ..get("/api/v1/x")
        };
        let key = Credential::new(Secret::new(key), "id".to_owned(), None);
        let rest = Rest::new(&config, &config.url)?;
        let marks = Marks {
            request_id: "r-1".to_owned(),
            traceparent: Some("00-1-2-01".to_owned()),
            tracestate: Some("a=1".to_owned()),
        };
        Ok(rest.request(&call, Some(&key), Some(&marks))?.headers().clone())
    }

    #[test]
    fn a_declared_header_never_replaces_or_adds_to_ours() {
        let ours =
            ["accept", "content-length", "content-type", "host", "x-api-key", "x-request-id", "x-tenant-id"];
        let others = ["authorization", "cookie", "next-action", "set-cookie", "x-forwarded-for", "x-real-ip"];
        let marks = ["traceparent", "tracestate", "Traceparent"];
        let acts = ["x-http-method-override", "x-middleware-subrequest", "x-original-url"];
        let mut hostile: Vec<_> =
            ours.iter().chain(&others).chain(&acts).chain(&marks).map(|name| (*name, "hostile")).collect();
        hostile.push(("x-trace", "kept"));
        let plain = sent(&[], "k").unwrap();
        let mut sent = sent(&hostile, "k").unwrap();
        assert_eq!(sent.remove("x-trace").unwrap(), "kept");
        assert_eq!(sent, plain);
        assert_eq!(
            (&sent["host"], &sent["x-api-key"]),
            (&"psa.example:81".parse().unwrap(), &"k".parse().unwrap())
        );
    }

    #[test]
    fn what_is_not_fit_for_a_header_is_refused_by_its_name_only() {
        for (declared, key) in [(("x-trace", "a\r\nhidden: b"), "k"), (("x-trace", "a"), "hidden\u{0}key")] {
            let refused = sent(&[declared], key).unwrap_err();
            assert!(matches!(refused, PsaError::Misconfigured(_)) && !refused.to_string().contains("hidden"));
        }
    }

    #[test]
    fn only_the_status_the_type_the_wait_and_the_body_of_an_answer_are_kept() {
        let answer = http::Response::builder()
            .status(429)
            .header("content-type", "application/json")
            .header("retry-after", "7")
            .header("set-cookie", "a=b")
            .body(Bytes::from_static(b"{}"))
            .unwrap();
        let kept = kept(answer, "http://psa.example");
        assert_eq!((kept.status, &kept.body[..]), (429, &b"{}"[..]));
        assert_eq!(kept.content_type.as_deref(), Some("application/json"));
        assert_eq!(kept.retry_after.as_deref(), Some("7"));
    }

    #[test]
    fn a_redirect_is_known_by_its_server_and_a_coding_by_its_name() {
        let to =
            |location: &str| destination(&HeaderValue::from_str(location).unwrap(), "http://psa.example/app");
        for location in ["/signin?token=s3cret", "http://psa.example:80/x", "x", "?a=b"] {
            assert_eq!(to(location), Destination::SameServer, "{location}");
        }
        for (location, server) in [
            ("https://psa.example/api?key=s3cret", "https://psa.example"),
            ("//user:s3cret@login.example:8080/s3cret#s3cret", "http://login.example:8080"),
        ] {
            assert_eq!(to(location), Destination::Server(server.to_owned()));
        }
        for location in ["javascript:s3cret", "http://[s3cret/", "data:,s3cret"] {
            assert_eq!(to(location), Destination::Unnamed, "{location}");
        }
        let coded = |coding: &str| {
            let answer = http::Response::builder().header("content-encoding", coding).body(Bytes::new());
            kept(answer.unwrap(), "http://psa.example").coding
        };
        assert_eq!((coded("Identity"), coded("")), (None, None));
        assert_eq!(
            (coded("gzip").as_deref(), coded("identity, br").as_deref()),
            (Some("gzip"), Some("identity, br"))
        );
    }
}
