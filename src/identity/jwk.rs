//! Public keys that may verify a token, as an issuer's key set (RFC 7517) gives them.
//!
//! A key that could be mistaken for another kind is dropped here, so that `verify` meets
//! only keys whose type, curve, size and purpose are known. Fetching is not done here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::TokenFault;

/// The most keys a set may hold.
pub const MAX_KEYS: usize = 64;

/// `alg` values that are accepted, on tokens and on keys (RFC 7518 section 3.1, RFC 8037 section 3.1).
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The accepted algorithm of that exact name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// Type and curve of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    fn verifies(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa => matches!(
                algorithm,
                Algorithm::RS256
                    | Algorithm::RS384
                    | Algorithm::RS512
                    | Algorithm::PS256
                    | Algorithm::PS384
                    | Algorithm::PS512
            ),
            Self::P256 => algorithm == Algorithm::ES256,
            Self::P384 => algorithm == Algorithm::ES384,
            Self::Ed25519 => algorithm == Algorithm::EdDSA,
        }
    }
}

/// One public key of an issuer. Made by [`keys_from_jwks`] only.
#[derive(Clone, Debug)]
pub struct VerifyKey {
    /// `kid`, where the key has one.
    pub key_id: Option<String>,
    /// `alg`, where the key is limited to one algorithm.
    pub algorithm: Option<Algorithm>,
    kind: Kind,
    decoding: DecodingKey,
}

impl VerifyKey {
    /// True where a token signed with `algorithm` may be checked with this key: type, curve and `alg` agree.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind.verifies(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// The names of all algorithms this key [fits](Self::fits).
    pub fn algorithms(&self) -> impl Iterator<Item = &'static str> {
        ALGORITHMS.iter().filter(|(_, algorithm)| self.fits(*algorithm)).map(|(name, _)| *name)
    }

    /// True where `signature` (base64url) over `message` is this key's. An error of the
    /// crypto library counts as a wrong signature.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm)
            .unwrap_or(false)
    }
}

/// The keys of a JWK set that may verify tokens, in the set's order; possibly none.
///
/// Left out: symmetric keys, keys for encryption (`use`, `key_ops`), unknown types, curves and
/// algorithms, RSA keys under 2048 or over 8192 bits, keys whose private part is published.
///
/// # Errors
/// [`TokenFault::KeyUnusable`] where `json` is no key set or has more than [`MAX_KEYS`] keys.
pub fn keys_from_jwks(json: &[u8]) -> Result<Vec<VerifyKey>, TokenFault> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let set: Set<'_> =
        serde_json::from_slice(json).map_err(|_| TokenFault::KeyUnusable("it is not a JWK set"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(TokenFault::KeyUnusable("it has more than 64 keys"));
    }
    Ok(set.keys.into_iter().filter_map(|text| usable(serde_json::from_str(text.get()).ok()?)).collect())
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

fn usable(jwk: Jwk) -> Option<VerifyKey> {
    let for_signatures = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
    if !for_signatures || jwk.d.is_some() {
        return None;
    }
    let (kind, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Kind::Rsa, rsa(&bytes(jwk.n)?, &bytes(jwk.e)?)?),
        ("EC", Some("P-256")) => (Kind::P256, point(&bytes(jwk.x)?, &bytes(jwk.y)?, 32)?),
        ("EC", Some("P-384")) => (Kind::P384, point(&bytes(jwk.x)?, &bytes(jwk.y)?, 48)?),
        ("OKP", Some("Ed25519")) => {
            let x = bytes(jwk.x)?;
            (Kind::Ed25519, (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))?)
        }
        _ => return None,
    };
    let algorithm = match jwk.alg {
        Some(name) => Some(algorithm(&name).filter(|algorithm| kind.verifies(*algorithm))?),
        None => None,
    };
    Some(VerifyKey { key_id: jwk.kid, algorithm, kind, decoding })
}

fn bytes(text: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// An RSA key of 2048 to 8192 bits with an odd exponent from 3 to 2^32 - 1.
fn rsa(n: &[u8], e: &[u8]) -> Option<DecodingKey> {
    let n = without_zeros(n);
    let bits = (n.len() * 8).checked_sub(n.first()?.leading_zeros() as usize)?;
    let e = without_zeros(e);
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    let fits = (2048..=8192).contains(&bits) && odd && e.len() <= 4 && e != [1];
    fits.then(|| DecodingKey::from_rsa_raw_components(n, e))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// An uncompressed point (SEC 1 section 2.3.3); whether it lies on the curve is checked when it is used.
fn point(x: &[u8], y: &[u8], size: usize) -> Option<DecodingKey> {
    (x.len() == size && y.len() == size).then(|| DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn filler(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xA5; bytes])
    }

    fn count(key: Value) -> usize {
        keys_from_jwks(json!({ "keys": [key] }).to_string().as_bytes()).unwrap().len()
    }

    fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
        key[name] = value.into();
        key
    }

    #[test]
    fn a_key_of_each_accepted_kind_is_kept() {
        for (key, algorithm) in [
            (json!({"kty":"RSA","n":filler(256),"e":"AQAB"}), Algorithm::PS512),
            (json!({"kty":"EC","crv":"P-256","x":filler(32),"y":filler(32)}), Algorithm::ES256),
            (json!({"kty":"EC","crv":"P-384","x":filler(48),"y":filler(48)}), Algorithm::ES384),
            (json!({"kty":"OKP","crv":"Ed25519","x":filler(32)}), Algorithm::EdDSA),
        ] {
            let keys = keys_from_jwks(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
            assert!(keys[0].fits(algorithm), "{key}");
            assert!(!keys[0].fits(Algorithm::HS256), "{key}");
        }
    }

    #[test]
    fn a_key_that_is_weak_or_meant_for_something_else_is_left_out() {
        let rsa = json!({"kty":"RSA","n":filler(256),"e":"AQAB"});
        let ec = json!({"kty":"EC","crv":"P-256","x":filler(32),"y":filler(32)});
        assert_eq!((count(rsa.clone()), count(ec.clone())), (1, 1));
        for key in [
            json!({"kty":"oct","k":filler(32)}),
            json!({"kty":"OKP","crv":"X25519","x":filler(32)}),
            json!({"kty":"OKP","crv":"Ed25519","x":filler(31)}),
            with(rsa.clone(), "n", filler(128)),
            with(rsa.clone(), "n", filler(1025)),
            with(rsa.clone(), "e", "AQ"),
            with(rsa.clone(), "e", "Ag"),
            with(rsa.clone(), "use", "enc"),
            with(rsa.clone(), "key_ops", json!(["encrypt"])),
            with(rsa.clone(), "alg", "ES256"),
            with(rsa.clone(), "alg", "RSA-OAEP"),
            with(rsa.clone(), "alg", "HS256"),
            with(rsa, "d", filler(256)),
            with(ec.clone(), "crv", "P-384"),
            with(ec.clone(), "crv", "P-521"),
            with(ec.clone(), "crv", "secp256k1"),
            with(ec.clone(), "y", filler(33)),
            with(ec.clone(), "x", "not base64url!"),
            with(ec, "kid", 7),
        ] {
            assert_eq!(count(key.clone()), 0, "{key}");
        }
    }

    #[test]
    fn one_bad_key_does_not_spoil_the_set() {
        let set = format!(
            r#"{{"keys":[7,{{"kty":"RSA"}},{{"kty":"EC","kty":"EC"}},{{"kty":"OKP","crv":"Ed25519","x":"{}","kid":"a"}}]}}"#,
            filler(32)
        );
        let keys = keys_from_jwks(set.as_bytes()).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].key_id.as_deref(), Some("a"));
        assert_eq!(keys[0].algorithms().collect::<Vec<_>>(), ["EdDSA"]);
    }

    #[test]
    fn what_is_no_set_or_too_large_a_set_is_unusable() {
        let many = json!({ "keys": vec![json!({}); 65] }).to_string();
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>", many.as_str()] {
            assert_eq!(keys_from_jwks(text.as_bytes()).unwrap_err().label(), "key_unusable", "{text}");
        }
    }
}
