//! Somebody who administers a world over its administrators' listener.

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::gate::admin::{Actor, TokenSpec};

use super::http::Answer;
use super::world::World;

/// A client with a token.
pub struct Api<'a> {
    pub world: &'a World,
    pub token: String,
    /// Said with every request.
    pub headers: Vec<(&'static str, String)>,
}

impl<'a> Api<'a> {
    /// With a new token of every tenant.
    pub async fn new(world: &'a World) -> Self {
        Self::of(world, TokenSpec { name: "the test".to_owned(), ..TokenSpec::default() }).await
    }

    /// With a new token as described.
    pub async fn of(world: &'a World, spec: TokenSpec) -> Self {
        let made = world.admins.create_admin_token(&Actor::command_line(), &spec).await;
        let (_, token) = made.expect("a token");
        Self { world, token: token.expose().to_owned(), headers: Vec::new() }
    }

    /// With these headers and no token of its own.
    pub fn saying(world: &'a World, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { world, token: String::new(), headers }
    }

    /// The same with a further header.
    pub fn and(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// A request as it is sent; a body of null is none.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> http::Request<Bytes> {
        let url = format!("{}/api/v1/mcp{path}", self.world.admin_url);
        let mut request = http::Request::builder().method(method).uri(url);
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if body.is_null() {
            return request.body(Bytes::new()).expect("a request");
        }
        let request = request.header("content-type", "application/json");
        request.body(Bytes::from(body.to_string())).expect("a request")
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.world.send(self.request(method, path, &body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Value::Null).await
    }

    /// The `data` of a GET that is answered with 200.
    pub async fn data(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body["data"].clone()
    }

    /// A new agent for the issuer's `stranger`, as the PSA's technician.
    pub async fn add_stranger(&self, name: &str) -> Value {
        let body = json!({
            "name": name, "idpIssuer": self.world.issuer.issuer, "idpSubject": "demo-stranger",
            "psaUser": self.world.psa.technician(),
        });
        let added = self.post("/agents", body).await;
        assert_eq!(added.status, 201, "{added:?}");
        added.body["data"].clone()
    }
}

/// The names of an object's fields, sorted.
pub fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// Asserts that an answer is a problem of this status that says `word`.
pub fn problem(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    assert_eq!(answer.body["status"], status);
    let kind = answer.body["type"].as_str().expect("a type");
    assert!(kind.starts_with("urn:sidegate:problem:"), "{answer:?}");
    assert!(
        answer.body["title"].is_string() && answer.body["detail"].as_str().expect("a detail").contains(word),
        "{answer:?}"
    );
}

/// Asserts that an answer is the contract's error of this status with exactly this text.
pub fn refused(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, &answer.body), (status, &json!({"error": text})), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
}
