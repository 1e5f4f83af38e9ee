//! What the demo PSA answers, before it becomes HTTP: AlgaPSA's success and error bodies.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    Nothing,
    Json(Value),
    Raw(&'static str, Vec<u8>),
}

/// One answer; `Err` carries one as well, so that handlers can use `?`.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub content: Content,
    pub headers: Vec<(&'static str, String)>,
}

pub(super) type Outcome = Result<Answer, Answer>;

impl Answer {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, content: Content::Json(body), headers: Vec::new() }
    }

    /// `{"data": …}` with 200.
    pub fn data(data: impl Into<Value>) -> Self {
        Self::json(200, json!({"data": data.into()}))
    }

    /// `{"data": …}` with 201.
    pub fn created(data: impl Into<Value>) -> Self {
        Self::json(201, json!({"data": data.into()}))
    }

    pub fn empty(status: u16) -> Self {
        Self { status, content: Content::Nothing, headers: Vec::new() }
    }

    pub fn raw(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content: Content::Raw(content_type, body), headers: Vec::new() }
    }

    /// An attachment, as exports and invoices are sent.
    pub fn file(content_type: &'static str, name: &str, body: Vec<u8>) -> Self {
        let mut answer = Self::raw(content_type, body);
        answer.headers.push(("content-disposition", format!("attachment; filename=\"{name}\"")));
        answer.headers.push(("cache-control", "no-store".to_owned()));
        answer
    }

    /// `{"error": "text"}`: the edge's and the workflow surface's form.
    pub fn plain_error(status: u16, text: &str) -> Self {
        Self::json(status, json!({"error": text}))
    }

    /// `{"error": {"code", "message"}}`.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, json!({"error": {"code": code, "message": message}}))
    }

    fn detailed(message: &str, details: Vec<Value>) -> Self {
        Self::json(
            400,
            json!({"error": {"code": "VALIDATION_ERROR", "message": message, "details": details}}),
        )
    }

    /// 400 for a body; one issue per bad field.
    pub fn invalid_body(issues: Vec<Value>) -> Self {
        Self::detailed("Validation failed", issues)
    }

    /// 400 for a query string.
    pub fn invalid_query(issue: Value) -> Self {
        Self::detailed("Query validation failed", vec![issue])
    }

    pub fn unauthorized(message: &str) -> Self {
        Self::error(401, "UNAUTHORIZED", message)
    }

    pub fn denied(action: &str, resource: &str) -> Self {
        Self::error(403, "FORBIDDEN", &format!("Permission denied: Cannot {action} {resource}"))
    }

    pub fn not_found(noun: &str) -> Self {
        Self::error(404, "NOT_FOUND", &format!("{noun} not found"))
    }

    pub fn internal() -> Self {
        Self::error(500, "INTERNAL_ERROR", "An unexpected error occurred")
    }

    /// The page that a framework answers for a path it does not know: HTML, not JSON.
    pub fn unknown_page() -> Self {
        let page = "<!DOCTYPE html><html lang=\"en\"><head><title>404: This page could not be found.</title></head>\
                    <body><h1>404</h1><p>This page could not be found.</p></body></html>";
        let mut answer = Self::raw("text/html; charset=utf-8", page.as_bytes().to_vec());
        answer.status = 404;
        answer
    }

    /// The HTTP response, without the headers that every response carries.
    pub fn into_response(self) -> Response<Body> {
        let (content_type, body) = match self.content {
            Content::Nothing => (None, Body::empty()),
            Content::Json(value) => (Some("application/json"), Body::from(value.to_string())),
            Content::Raw(content_type, bytes) => (Some(content_type), Body::from(bytes)),
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(content_type) = content_type {
            headers.insert("content-type", HeaderValue::from_static(content_type));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// A validation issue in the form of the PSA's schema library.
pub(super) fn issue(code: &str, path: &str, message: &str) -> Value {
    json!({"code": code, "path": [path], "message": message})
}

/// The issue for a value of the wrong type, or for a missing one (`received` is `undefined`).
pub(super) fn wrong_type(path: &str, expected: &str, received: &str) -> Value {
    let message = if received == "undefined" {
        "Required".to_owned()
    } else {
        format!("Expected {expected}, received {received}")
    };
    json!({"code": "invalid_type", "expected": expected, "received": received, "path": [path], "message": message})
}

/// `text` as it may stand in HTML, attributes included.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
