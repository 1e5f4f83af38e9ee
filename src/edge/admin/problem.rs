//! What goes wrong, in one form: problem details (RFC 9457), and on the routes of the PSA's own contract
//! its `{"error": …}`. The one place where the administrator's errors get their HTTP status.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::openapi::{Content, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::gate::admin::AdminError;

/// The media type of [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Without which nothing can be known of the PSA's users.
const DATABASE: &str = "psa.database_url";

/// What keeps its place when an error takes its contract's form.
const KEPT: [http::HeaderName; 3] = [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE];

/// Why a request was not carried out (RFC 9457).
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Told>);

/// What a [`Problem`] says.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Told {
    /// A URN that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:sidegate:problem:invalid")]
    kind: String,
    /// The kind in words; the same each time.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What is wrong this time, and the remedy.
    detail: String,
    /// Every field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WrongField>,
    /// The setting of the configuration without which this cannot be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "psa.database_url")]
    setting: Option<String>,
    #[serde(skip)]
    #[schema(ignore)]
    headers: HeaderMap,
}

/// A field that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WrongField {
    /// Its name in the request.
    field: String,
    /// What is wrong with it, and what to write.
    detail: String,
}

/// What the PSA's own contract says where something goes wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ContractError {
    /// In words.
    error: String,
}

/// The kinds of problem, each with its status, the end of its URN and its title.
const KINDS: [(StatusCode, &str, &str); 15] = [
    (StatusCode::BAD_REQUEST, "invalid", "The request cannot be carried out as it is written"),
    (StatusCode::UNAUTHORIZED, "unauthorized", "No valid administrator's token"),
    (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
    (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
    (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not supported here"),
    (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time"),
    (StatusCode::CONFLICT, "conflict", "Something that exists stands in the way"),
    (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is not of a supported type"),
    (StatusCode::MISDIRECTED_REQUEST, "misdirected", "This is not the host that was addressed"),
    (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header-too-large", "The request's header is too large"),
    (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here"),
    (StatusCode::NOT_IMPLEMENTED, "not-configured", "The configuration does not provide for this"),
    (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Something that this needs is not available"),
];

/// Every kind of problem, for the description of a route.
pub struct Problems;

/// The same in the form of the PSA's contract.
pub struct ContractErrors;

/// What the description of every route says of errors.
const DESCRIBED: [StatusCode; 7] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::CONFLICT,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

type Descriptions = BTreeMap<String, RefOr<Described>>;

fn described(status: StatusCode, media: &str, schema: &str) -> (String, RefOr<Described>) {
    let title = KINDS.iter().find(|(known, ..)| *known == status).map_or("", |(_, _, title)| title);
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    let response = ResponseBuilder::new().description(title).content(media, content).build();
    (status.as_str().to_owned(), RefOr::T(response))
}

/// What only this server can say: that it lacks a setting.
fn not_configured() -> (String, RefOr<Described>) {
    described(StatusCode::NOT_IMPLEMENTED, MEDIA_TYPE, "Problem")
}

impl IntoResponses for Problems {
    fn responses() -> Descriptions {
        let all = DESCRIBED.map(|status| described(status, MEDIA_TYPE, "Problem"));
        all.into_iter().chain([not_configured()]).collect()
    }
}

impl IntoResponses for ContractErrors {
    fn responses() -> Descriptions {
        let all = DESCRIBED.map(|status| described(status, "application/json", "ContractError"));
        all.into_iter().chain([not_configured()]).collect()
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Invalid(fields) => Self::fields(fields),
            AdminError::Refused(told) => Self::new(StatusCode::BAD_REQUEST, told),
            AdminError::Conflict(told) => Self::new(StatusCode::CONFLICT, told),
            AdminError::NotFound(told) => Self::new(StatusCode::NOT_FOUND, told),
            AdminError::Unsupported(told) => Self::not_configured(DATABASE, told),
            AdminError::Store(error) => {
                // What a database says may name hosts and files.
                tracing::error!(%error, "the store did not answer an administrator");
                let told = "Sidegate's own database cannot be used now; its log says why";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, told)
            }
            error @ (AdminError::Psa(_) | AdminError::Record(_)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

impl Problem {
    /// The kind of problem that has this status, told in `detail`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let known = KINDS.iter().find(|(known, ..)| *known == status);
        let (_, kind, title) = known.unwrap_or(&KINDS[0]);
        Self(Box::new(Told {
            kind: format!("urn:sidegate:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            setting: None,
            headers: HeaderMap::new(),
        }))
    }

    /// 400 for the fields that are wrong.
    pub fn fields(errors: Vec<(String, String)>) -> Self {
        let said: Vec<_> = errors.iter().map(|(field, detail)| format!("{field}: {detail}")).collect();
        let mut told = Self::new(StatusCode::BAD_REQUEST, said.join("; "));
        told.0.errors = errors.into_iter().map(|(field, detail)| WrongField { field, detail }).collect();
        told
    }

    /// 400 for one field that is wrong.
    pub fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::fields(vec![(field.to_owned(), detail.into())])
    }

    /// 401, with a challenge that says whether what was `given` is wrong (RFC 6750, section 3).
    pub fn unauthorized(given: bool) -> Self {
        let challenge = match given {
            true => "Bearer realm=\"sidegate-admin\", error=\"invalid_token\"",
            false => "Bearer realm=\"sidegate-admin\"",
        };
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 429 until `seconds` are over.
    pub fn too_many(seconds: u64, detail: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, format!("{detail}; try again in {seconds} s"))
            .with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 501 for want of `setting`.
    pub fn not_configured(setting: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut told = Self::new(StatusCode::NOT_IMPLEMENTED, detail);
        told.0.setting = Some(setting.into());
        told
    }

    fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.0.headers.clone(), Json(&self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives errors the form of the PSA's contract. What the PSA cannot say stays a problem: that this server
/// lacks a setting.
pub async fn as_contract(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    if problem.0.setting.is_some() {
        return response;
    }
    let error = ContractError { error: problem.0.detail.clone() };
    let mut told = (response.status(), Json(error)).into_response();
    for name in KEPT {
        if let Some(value) = response.headers().get(&name) {
            told.headers_mut().insert(name, value.clone());
        }
    }
    told.extensions_mut().insert(problem.clone());
    told
}

/// Gives an error that nobody here has written the common form: a path or a method that is not ours.
pub fn in_form(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || response.extensions().get::<Problem>().is_some()
    {
        return response;
    }
    let detail = match status {
        StatusCode::NOT_FOUND => "nothing is served at this path; /api/v1/mcp/openapi.json lists what is",
        StatusCode::METHOD_NOT_ALLOWED => "see the Allow header for the methods of this path",
        _ => "the request could not be understood",
    };
    let mut told = Problem::new(status, detail).into_response();
    if let Some(allow) = response.headers().get(ALLOW) {
        told.headers_mut().insert(ALLOW, allow.clone());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_and_a_name_of_its_own() {
        for (index, (status, kind, title)) in KINDS.iter().enumerate() {
            assert!(!KINDS[..index].iter().any(|(s, k, t)| s == status || k == kind || t == title), "{kind}");
        }
    }

    #[test]
    fn a_problem_says_every_field_that_is_wrong() {
        let wrong =
            vec![("name".to_owned(), "is missing".to_owned()), ("kind".to_owned(), "is unknown".to_owned())];
        let shown = serde_json::json!(Problem::fields(wrong));
        assert_eq!(
            shown,
            serde_json::json!({
                "type": "urn:sidegate:problem:invalid",
                "title": "The request cannot be carried out as it is written",
                "status": 400,
                "detail": "name: is missing; kind: is unknown",
                "errors": [{"field": "name", "detail": "is missing"}, {"field": "kind", "detail": "is unknown"}],
            })
        );
    }
}
