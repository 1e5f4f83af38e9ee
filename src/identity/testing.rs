//! Signed tokens, claims and callers for unit tests, made the only way there is: by verifying a token.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::scopes::RequiredScopes;
use super::token::{self, Claims, Rules, TokenFault, VerifyKey};
use super::trust::{self, AgentBinding, Caller, Trust, TrustedIssuer};

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const AUDIENCE: &str = "https://gate.example/api/mcp";
pub(crate) const NOW: i64 = 1_800_000_000;

/// An Ed25519 key with an id.
pub(crate) struct Signer {
    key_id: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new(key_id: &'static str) -> Self {
        Self { key_id, pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub(crate) fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.key_id, "x": x}]})
    }

    pub(crate) fn key(&self) -> VerifyKey {
        token::keys_from_jwks(self.jwks().to_string().as_bytes()).unwrap().remove(0)
    }

    pub(crate) fn token(&self, header: &Value, payload: &Value) -> String {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

pub(crate) fn rules() -> Rules {
    issuer().rules(AUDIENCE)
}

pub(crate) fn issuer() -> TrustedIssuer {
    TrustedIssuer { issuer: ISSUER.into(), leeway: 30, ..TrustedIssuer::default() }
}

/// An active agent bound to `subject` of [`ISSUER`].
pub(crate) fn binding(agent_id: &str, subject: &str) -> AgentBinding {
    AgentBinding {
        agent_id: agent_id.into(),
        name: format!("agent {agent_id}"),
        issuer: ISSUER.into(),
        subject: subject.into(),
        active: true,
        psa_user: None,
        kind: None,
    }
}

/// Verified claims of `subject`, valid at [`NOW`].
pub(crate) fn claims(subject: &str) -> Claims {
    claims_with(subject, json!({}))
}

/// The same with `more` claims.
pub(crate) fn claims_with(subject: &str, more: Value) -> Claims {
    claims_by(&rules(), subject, more).unwrap()
}

/// The same by other rules.
pub(crate) fn claims_by(rules: &Rules, subject: &str, more: Value) -> Result<Claims, TokenFault> {
    let signer = Signer::new("k1");
    let mut payload = json!({"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "exp": NOW + 300, "jti": "t-1"});
    if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
        payload.extend(more);
    }
    let token = signer.token(&json!({"alg": "EdDSA", "kid": "k1"}), &payload);
    token::verify(token::peek(&token).unwrap(), &[signer.key()], rules, NOW)
}

/// The caller that `agent_id` of `tenant` is.
pub(crate) fn caller(tenant: &str, agent_id: &str) -> Caller {
    let trust = Trust::new(tenant, vec![issuer()], vec![binding(agent_id, agent_id)]);
    trust::caller(&trust, &claims(agent_id), None).unwrap()
}

/// A caller whose issuer asks for `required` and whose token was granted `scope`.
pub(crate) fn caller_with(required: &RequiredScopes, scope: &str) -> Caller {
    let issuer = TrustedIssuer { required_scopes: required.clone(), ..issuer() };
    let trust = Trust::new("acme", vec![issuer], vec![binding("a1", "robot")]);
    trust::caller(&trust, &claims_with("robot", json!({ "scope": scope })), None).unwrap()
}
