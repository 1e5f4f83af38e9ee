//! A permit for one call, made as the gate makes it: from a token to a caller
//! and from a catalogue entry to a bound call, then judged.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sidegate::identity::token::{self, Rules};
use sidegate::identity::trust::{self, AgentBinding, Caller, Trust, TrustedIssuer};
use sidegate::policy::{Decision, Permit, Policies, decide};
use sidegate::tool::catalog::{Catalog, CatalogRules};
use sidegate::tool::effect::Effect;
use sidegate::tool::rewrite::{CallArgs, bind};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://sidegate.example/api/mcp";

/// A permit to call the entry with this id of [`catalog`].
pub fn permit(entry: &str, args: &CallArgs) -> Permit {
    let catalog = catalog();
    let bound = bind(catalog.get(entry).expect("an entry of the catalogue"), args).expect("good arguments");
    let policies = Policies::alike(Effect::Destroy);
    match decide(&policies, &caller(), bound, NOW * 1000) {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => panic!("denied: {}", denial.message),
        Decision::Lacks(lacking) => panic!("lacking: {lacking:?}"),
    }
}

/// A read with a header of its own and a write.
fn catalog() -> Catalog {
    let entry = |id: &str, method: &str, body: Option<Value>| {
        let mut entry = json!({
            "id": id, "method": method, "path": "/api/v1/tickets", "displayName": id, "summary": id,
            "tags": ["tickets"], "approvalRequired": false,
            "parameters": [
                { "name": "limit", "in": "query", "required": false, "schema": { "type": "integer" } },
                { "name": "x-trace", "in": "header", "required": false, "schema": { "type": "string" } },
            ],
        });
        if let Some(body) = body {
            entry["requestBodySchema"] = body;
        }
        entry
    };
    let entries = [
        entry("get-_api_v1_tickets", "get", None),
        entry("post-_api_v1_tickets", "post", Some(json!({ "type": "object" }))),
    ];
    let whole = json!({ "data": { "edition": "ce", "count": entries.len(), "entries": entries } });
    Catalog::parse(whole.to_string().as_bytes(), &CatalogRules::default()).expect("a catalogue")
}

fn caller() -> Caller {
    let pair = rcgen::KeyPair::generate().expect("an ECDSA P-256 key pair");
    // An uncompressed point: 0x04, then x and y of 32 bytes each.
    let (x, y) = pair.public_key_raw()[1..].split_at(32);
    let jwks = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }] });
    let claims = json!({ "iss": ISSUER, "sub": "bot", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300 });
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).expect("a token");

    let rules = Rules {
        issuer: ISSUER.to_owned(),
        aliases: Vec::new(),
        audiences: vec![AUDIENCE.to_owned()],
        subject_claim: "sub".to_owned(),
        leeway: 0,
        max_age: None,
    };
    let keys = token::keys_from_jwks(jwks.to_string().as_bytes()).expect("keys");
    let peeked = token::peek(&token).expect("a readable token");
    let claims = token::verify(peeked, &keys, &rules, NOW).expect("a good token");
    let issuer = TrustedIssuer { issuer: ISSUER.to_owned(), leeway: 0, ..TrustedIssuer::default() };
    let agent = AgentBinding {
        agent_id: "agent-1".to_owned(),
        name: "Bot".to_owned(),
        issuer: ISSUER.to_owned(),
        subject: "bot".to_owned(),
        active: true,
        psa_user: None,
        kind: None,
    };
    trust::caller(&Trust::new("acme", vec![issuer], vec![agent]), &claims, None).expect("a bound caller")
}
