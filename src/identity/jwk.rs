//! Public keys that may verify a token, as an issuer's key set (RFC 7517) gives them.
//!
//! A key that could be mistaken for another kind is dropped here, so that `verify` meets
//! only keys whose type, curve, size and purpose are known. Fetching is not done here.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::TokenFault;

/// The most keys a set may hold.
pub const MAX_KEYS: usize = 64;

/// An `alg` that is accepted, on tokens and on keys (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Algorithm(&'static str);

impl Algorithm {
    const RS256: Self = Self("RS256");
    const RS384: Self = Self("RS384");
    const RS512: Self = Self("RS512");
    const PS256: Self = Self("PS256");
    const PS384: Self = Self("PS384");
    const PS512: Self = Self("PS512");
    const ES256: Self = Self("ES256");
    const ES384: Self = Self("ES384");
    const EDDSA: Self = Self("EdDSA");

    const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EDDSA,
    ];

    /// The one of that exact name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.0 == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How RSA keys are used.
static RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
];

/// One public key of an issuer. Made by [`keys_from_jwks`] only.
#[derive(Clone, Debug)]
pub struct VerifyKey {
    /// `kid`, where the key has one.
    pub key_id: Option<String>,
    /// What it may be used for by its type, curve and `alg`: parsed once, for that is a tenth of an RSA signature's cost.
    uses: Vec<(Algorithm, ParsedPublicKey)>,
}

impl VerifyKey {
    /// True where a token signed with `algorithm` may be checked with this key: type, curve and `alg` agree.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.used(algorithm).is_some()
    }

    /// All that this key [fits](Self::fits).
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.uses.iter().map(|(algorithm, _)| *algorithm)
    }

    fn used(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.uses.iter().find(|(of, _)| *of == algorithm).map(|(_, key)| key)
    }

    /// Checks that `signature` over `message` is this key's.
    ///
    /// # Errors
    /// [`TokenFault::KeyMismatch`] where the key does not fit; [`TokenFault::Signature`], which any error of the crypto library
    /// counts as.
    pub(super) fn check(
        &self,
        algorithm: Algorithm,
        message: &str,
        signature: &[u8],
    ) -> Result<(), TokenFault> {
        let key = self.used(algorithm).ok_or(TokenFault::KeyMismatch)?;
        key.verify_sig(message.as_bytes(), signature).map_err(|_| TokenFault::Signature)
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
    let mut uses = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => rsa(&bytes(jwk.n)?, &bytes(jwk.e)?)?,
        ("EC", Some("P-256")) => {
            let point = point(&bytes(jwk.x)?, &bytes(jwk.y)?, 32)?;
            single(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, &point)?
        }
        ("EC", Some("P-384")) => {
            let point = point(&bytes(jwk.x)?, &bytes(jwk.y)?, 48)?;
            single(Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, &point)?
        }
        ("OKP", Some("Ed25519")) => single(Algorithm::EDDSA, &ED25519, &bytes(jwk.x)?)?,
        _ => return None,
    };
    if let Some(only) = jwk.alg {
        uses.retain(|(algorithm, _)| algorithm.name() == only);
    }
    (!uses.is_empty()).then_some(VerifyKey { key_id: jwk.kid, uses })
}

fn bytes(text: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// An RSA key of 2048 to 8192 bits with an odd exponent from 3 to 2^32 - 1.
fn rsa(n: &[u8], e: &[u8]) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    let n = without_zeros(n);
    let bits = (n.len() * 8).checked_sub(n.first()?.leading_zeros() as usize)?;
    let e = without_zeros(e);
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if !(2048..=8192).contains(&bits) || !odd || e.len() > 4 || e == [1] {
        return None;
    }
    let key = RsaPublicKeyComponents { n, e };
    RSA.iter().map(|(algorithm, way)| Some((*algorithm, key.to_parsed_public_key(way).ok()?))).collect()
}

/// A key that has but one use.
fn single(
    algorithm: Algorithm,
    way: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    Some(vec![(algorithm, ParsedPublicKey::new(way, key).ok()?)])
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// An uncompressed point (SEC 1 section 2.3.3).
fn point(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    (x.len() == size && y.len() == size).then(|| [&[4], x, y].concat())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    };
    use serde_json::{Value, json};

    use super::*;

    fn filler(bytes: usize) -> String {
        URL_SAFE_NO_PAD.encode(vec![0xA5; bytes])
    }

    /// A key of the curve whose `crv` that is.
    fn ec(crv: &str) -> Value {
        let way =
            if crv == "P-256" { &ECDSA_P256_SHA256_FIXED_SIGNING } else { &ECDSA_P384_SHA384_FIXED_SIGNING };
        let pair = EcdsaKeyPair::generate(way).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
        json!({"kty": "EC", "crv": crv, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
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
            (json!({"kty":"RSA","n":filler(256),"e":"AQAB"}), "PS512"),
            (ec("P-256"), "ES256"),
            (ec("P-384"), "ES384"),
            (json!({"kty":"OKP","crv":"Ed25519","x":filler(32)}), "EdDSA"),
        ] {
            let keys = keys_from_jwks(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
            let fitting = |name| Algorithm::named(name).is_some_and(|algorithm| keys[0].fits(algorithm));
            assert!(fitting(algorithm) && !fitting("HS256"), "{key}");
            let others = keys[0].algorithms().filter(|other| other.name()[..2] != algorithm[..2]);
            assert!(others.count() == usize::from(algorithm == "PS512") * 3, "{key}");
        }
    }

    #[test]
    fn a_key_that_is_weak_or_meant_for_something_else_is_left_out() {
        let rsa = json!({"kty":"RSA","n":filler(256),"e":"AQAB"});
        let ec = ec("P-256");
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
            with(ec.clone(), "x", filler(32)),
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
        assert_eq!(keys[0].algorithms().map(Algorithm::name).collect::<Vec<_>>(), ["EdDSA"]);
    }

    #[test]
    fn what_is_no_set_or_too_large_a_set_is_unusable() {
        let many = json!({ "keys": vec![json!({}); 65] }).to_string();
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>", many.as_str()] {
            assert_eq!(keys_from_jwks(text.as_bytes()).unwrap_err().label(), "key_unusable", "{text}");
        }
    }
}
