//! An issuer whose tokens say whatever a test wants them to.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sidegate::clock::Clock;
use tokio::net::TcpListener;

/// One Ed25519 key, published by discovery on a free port of loopback until the test ends.
pub struct Issuer {
    pub url: String,
    pair: Ed25519KeyPair,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pair = Ed25519KeyPair::generate().unwrap();
        let issuer = Self { url, pair };
        let metadata = json!({"issuer": issuer.url, "jwks_uri": format!("{}/jwks", issuer.url)});
        let jwks = issuer.jwks();
        let router = Router::new()
            .route("/.well-known/{document}", get(async || Json(metadata)))
            .route("/jwks", get(async || Json(jwks)));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        issuer
    }

    pub fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]})
    }

    /// A token of `subject` for `resource` that lives for five minutes, with `more` claims; a
    /// claim that is null is left out.
    pub fn token(&self, subject: &str, resource: &str, more: Value) -> String {
        let now = Clock::System.now_seconds();
        let mut payload = json!({
            "iss": self.url, "sub": subject, "aud": resource, "iat": now, "exp": now + 300, "jti": "t-1",
        });
        let claims = payload.as_object_mut().unwrap();
        claims.extend(more.as_object().unwrap().clone());
        claims.retain(|_, value| !value.is_null());
        self.sign(&payload)
    }

    /// A token that says exactly this.
    pub fn sign(&self, payload: &Value) -> String {
        self.sign_as(&json!({"alg": "EdDSA", "kid": "k", "typ": "at+jwt"}), payload)
    }

    /// The same under a header of its own.
    pub fn sign_as(&self, header: &Value, payload: &Value) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{payload}");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes())))
    }
}
