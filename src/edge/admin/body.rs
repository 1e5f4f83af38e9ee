//! What a request brings along: a JSON body and a query, each read whole and told in full where it is wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Web;
use super::problem::Problem;

/// The longest a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Web>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Problem> {
        let headers = request.headers();
        let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            let told = "a body is JSON; send it with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, told));
        }
        let limit = web.max_body;
        let large = || {
            let told = format!("a body may have {limit} bytes at most (admin.max_body)");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, told)
        };
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: usize| length > limit) {
            return Err(large());
        }
        let bytes = timeout(PATIENCE, axum::body::to_bytes(request.into_body(), limit)).await;
        let bytes = bytes
            .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))?
            .map_err(|_| large())?;
        // The parser would take a list for the fields in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is no JSON object"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body is not what is expected here: {error}"))
        })
    }
}

/// A query.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Web>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        let asked = Query::<T>::from_request_parts(parts, web).await;
        asked.map(|Query(asked)| Self(asked)).map_err(|error| {
            let told = error.body_text();
            Problem::new(
                StatusCode::BAD_REQUEST,
                told.trim_start_matches("Failed to deserialize query string: "),
            )
        })
    }
}
