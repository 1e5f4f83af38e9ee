//! Signed tokens in compact form (RFC 7515, RFC 7519, RFC 9068): `peek` says which issuer and key
//! to look for, `verify` turns a token into [`Claims`].
//!
//! The header and every claim are judged here, against the time that is handed in: libraries for JWTs read the system's
//! clock, ignore `crit`, and parse the key anew for each token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::claims;
pub use super::claims::{Claims, MAX_SUBJECT, Rules, audience_matches, still_valid};
pub use super::confirmation::Thumbprint;
pub use super::fault::TokenFault;
use super::json::{self, Broken};
pub use super::jwk::{Algorithm, MAX_KEYS, VerifyKey, keys_from_jwks};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The longest `kid`, in bytes.
const MAX_KEY_ID: usize = 512;

/// A token that was read and is not believed yet: what it says of itself. Made by [`peek`] only.
#[derive(Clone)]
pub struct Peeked<'t> {
    /// `iss` of the payload.
    pub issuer: String,
    /// `kid` of the header.
    pub key_id: Option<String>,
    /// `alg` of the header, one of the nine accepted.
    pub algorithm: Algorithm,
    payload: Map<String, Value>,
    /// Header and payload as they were signed.
    message: &'t str,
    signature: Vec<u8>,
}

/// Reads a token without believing it, to find the issuer and the key.
///
/// # Errors
/// Everything that makes a token unacceptable whatever its key: size, form, `alg`, `typ`, `crit`,
/// keys in the header, duplicate members, no `iss`.
pub fn peek(token: &str) -> Result<Peeked<'_>, TokenFault> {
    if token.len() > MAX_TOKEN {
        return Err(TokenFault::TooLarge { limit: MAX_TOKEN });
    }
    let three_parts = TokenFault::Malformed("it must have three parts separated by dots");
    let Some((message, signature)) = token.rsplit_once('.') else { return Err(three_parts) };
    let Some((header, payload)) = message.split_once('.') else { return Err(three_parts) };
    if payload.contains('.') {
        return Err(three_parts);
    }
    let (algorithm, key_id) = judge_header(&document(header, "header")?)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|signature| !signature.is_empty());
    let signature = signature.ok_or(TokenFault::Malformed("its signature is not base64url"))?;
    let payload = document(payload, "payload")?;
    let issuer = claims::text(&payload, "iss")?.ok_or(TokenFault::MissingIssuer)?.to_owned();
    Ok(Peeked { issuer, key_id, algorithm, payload, message, signature })
}

impl Peeked<'_> {
    /// Whether `key` signed it.
    fn check(&self, key: &VerifyKey) -> Result<(), TokenFault> {
        let other_key = matches!((&self.key_id, &key.key_id), (Some(asked), Some(given)) if asked != given);
        if other_key {
            return Err(TokenFault::KeyMismatch);
        }
        key.check(self.algorithm, self.message, &self.signature)
    }
}

/// What a token says under a signature that was checked, before its claims are judged. Made by
/// [`signed`] only.
pub struct Signed {
    issuer: String,
    payload: Map<String, Value>,
}

impl Signed {
    /// `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject under `claim`, where it has one that could be accepted.
    pub fn subject(&self, claim: &str) -> Option<String> {
        claims::subject(&self.payload, claim).ok()
    }

    /// `jti`, where it is text.
    pub fn token_id(&self) -> Option<&str> {
        self.payload.get("jti").and_then(Value::as_str)
    }

    /// Judges the claims by `rules` at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// The first rule that is not kept.
    pub fn claims(&self, rules: &Rules, now: i64) -> Result<Claims, TokenFault> {
        Claims::read(&self.payload, rules, now)
    }
}

/// Checks the token with the first of `keys` that signed it (for tokens without `kid` there may be several) and judges its
/// claims by `rules` at `now` (seconds since the epoch).
///
/// # Errors
/// The first reason to refuse it: [`TokenFault::UnknownKey`] where there is no key, else the fault of the last one, where none
/// signed it; then the claims.
pub fn verify<'k>(
    peeked: Peeked<'_>,
    keys: impl IntoIterator<Item = &'k VerifyKey>,
    rules: &Rules,
    now: i64,
) -> Result<Claims, TokenFault> {
    signed(peeked, keys)?.claims(rules, now)
}

/// The signature half of [`verify`].
///
/// # Errors
/// As there, up to the signature.
pub fn signed<'k>(
    peeked: Peeked<'_>,
    keys: impl IntoIterator<Item = &'k VerifyKey>,
) -> Result<Signed, TokenFault> {
    let mut fault = TokenFault::UnknownKey;
    for key in keys {
        match peeked.check(key) {
            Ok(()) => return Ok(Signed { issuer: peeked.issuer, payload: peeked.payload }),
            Err(other) => fault = other,
        }
    }
    Err(fault)
}

/// One part of a token as a JSON object; base64url without padding, no stray bits.
fn document(part: &str, name: &'static str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenFault::Malformed("a part is not base64url without padding"))?;
    json::object(&bytes).map_err(|broken| match broken {
        Broken::Json => TokenFault::Malformed("a part is not a JSON object"),
        Broken::Duplicate => TokenFault::DuplicateMember(name),
    })
}

fn judge_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), TokenFault> {
    let algorithm =
        header.get("alg").and_then(Value::as_str).and_then(Algorithm::named).ok_or(TokenFault::Algorithm)?;
    // RFC 7515 4.1.11 and RFC 7797: no extension is understood, so none may be asked for. An
    // unencoded payload is refused even where its issuer forgot to call it critical.
    for name in ["crit", "b64"] {
        if header.contains_key(name) {
            return Err(TokenFault::CriticalHeader(name));
        }
    }
    for name in ["jku", "jwk", "x5u", "x5c"] {
        if header.contains_key(name) {
            return Err(TokenFault::EmbeddedKey(name));
        }
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if accepted_type(typ) => {}
        Some(_) => return Err(TokenFault::Type),
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(key_id)) if key_id.len() <= MAX_KEY_ID => Some(key_id.clone()),
        Some(_) => return Err(TokenFault::Malformed("its `kid` is not a string of at most 512 bytes")),
    };
    Ok((algorithm, key_id))
}

/// Media types compare without case (RFC 7515 section 4.1.9). An ID token or a logout token of the
/// same issuer says otherwise and is no access token.
fn accepted_type(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|accepted| typ.eq_ignore_ascii_case(accepted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::testing::{AUDIENCE, ISSUER, NOW, Signer, rules};

    fn payload() -> Value {
        json!({"iss": ISSUER, "sub": "agent-7", "aud": AUDIENCE, "exp": NOW + 300, "jti": "t-1"})
    }

    #[test]
    fn a_good_token_becomes_claims() {
        let signer = Signer::new("k1");
        let token = signer.token(&json!({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"}), &payload());
        let peeked = peek(&token).unwrap();
        assert_eq!((peeked.issuer.as_str(), peeked.key_id.as_deref()), (ISSUER, Some("k1")));
        let claims = verify(peeked, &[signer.key()], &rules(), NOW).unwrap();
        assert_eq!((claims.subject(), claims.token_id()), ("agent-7", Some("t-1")));
        assert_eq!((claims.expires_at(), claims.audiences()), (NOW + 300, &[AUDIENCE.to_owned()][..]));
    }

    #[test]
    fn a_key_with_another_kid_is_not_tried() {
        let (signer, other) = (Signer::new("k1"), Signer::new("k2"));
        let token = signer.token(&json!({"alg": "EdDSA", "kid": "k1"}), &payload());
        let refused = verify(peek(&token).unwrap(), &[other.key()], &rules(), NOW);
        assert_eq!(refused, Err(TokenFault::KeyMismatch));
    }

    #[test]
    fn of_several_keys_the_one_that_signed_decides() {
        let (signer, other) = (Signer::new("k1"), Signer::new("k1"));
        let keys = [other.key(), signer.key(), other.key()];
        let good = signer.token(&json!({"alg": "EdDSA"}), &payload());
        let judge = |token: &str, keys: &[VerifyKey]| {
            verify(peek(token).unwrap(), keys, &rules(), NOW).map_err(|fault| fault.label())
        };
        assert!(judge(&good, &keys).is_ok());
        assert_eq!(judge(&good, &[other.key()]), Err("signature"));
        assert_eq!(judge(&good, &[]), Err("unknown_key"));
        let late = signer
            .token(&json!({"alg": "EdDSA"}), &json!({"iss": ISSUER, "sub": "a", "aud": AUDIENCE, "exp": 1}));
        assert_eq!(judge(&late, &keys), Err("expired"));
    }

    #[test]
    fn a_signed_token_that_is_refused_still_says_whose_it_is() {
        let signer = Signer::new("k1");
        let late = json!({"iss": ISSUER, "sub": "a", "oid": 7, "aud": AUDIENCE, "exp": 1, "jti": "t-1"});
        let token = signer.token(&json!({"alg": "EdDSA", "kid": "k1"}), &late);
        let signed = super::signed(peek(&token).unwrap(), &[signer.key()]).unwrap();
        assert_eq!(signed.claims(&rules(), NOW).unwrap_err().label(), "expired");
        assert_eq!((signed.issuer(), signed.token_id()), (ISSUER, Some("t-1")));
        assert_eq!(signed.subject("sub").as_deref(), Some("a"));
        assert_eq!((signed.subject("oid"), signed.subject("azp")), (None, None));
        let unsigned = super::signed(peek(&token).unwrap(), &[Signer::new("k1").key()]);
        assert_eq!(unsigned.err(), Some(TokenFault::Signature));
    }

    #[test]
    fn a_fault_never_quotes_the_token() {
        let signer = Signer::new("k1");
        for (name, value) in [
            ("aud", json!("tell-tale")),
            ("exp", json!("tell-tale")),
            ("sub", json!(["tell-tale"])),
            ("cnf", json!({"tell-tale": "tell-tale"})),
        ] {
            let mut payload = payload();
            payload[name] = value;
            let token = signer.token(&json!({"alg": "EdDSA", "kid": "k1"}), &payload);
            let fault = verify(peek(&token).unwrap(), &[signer.key()], &rules(), NOW).unwrap_err();
            assert!(!format!("{fault} {fault:?}").contains("tell-tale"), "{fault}");
        }
    }

    #[test]
    fn every_label_is_one_that_the_metrics_know() {
        let text = || "x".to_owned();
        for fault in [
            TokenFault::TooLarge { limit: 1 },
            TokenFault::Malformed("x"),
            TokenFault::DuplicateMember("x"),
            TokenFault::Algorithm,
            TokenFault::Type,
            TokenFault::CriticalHeader("x"),
            TokenFault::EmbeddedKey("x"),
            TokenFault::UnknownKey,
            TokenFault::KeyMismatch,
            TokenFault::Signature,
            TokenFault::MissingIssuer,
            TokenFault::Issuer { expected: text() },
            TokenFault::MissingAudience,
            TokenFault::Audience { expected: vec![] },
            TokenFault::MissingExpiry,
            TokenFault::Expired,
            TokenFault::NotYetValid,
            TokenFault::MissingIssuedAt,
            TokenFault::IssuedInFuture,
            TokenFault::TooOld,
            TokenFault::MissingSubject { claim: text() },
            TokenFault::Confirmation("x"),
            TokenFault::ClaimType { claim: text(), expected: "x" },
            TokenFault::KeyUnusable("x"),
        ] {
            assert!(crate::metrics::AUTH_REASONS.contains(&fault.label()), "{fault:?}");
        }
    }
}
