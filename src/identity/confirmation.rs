//! Tokens bound to a key of their holder (`cnf`, RFC 7800): which binding is understood, and
//! whether it is proved. The certificate is handed in; where it was seen is not known here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use thiserror::Error;

use super::fault::TokenFault;

/// The SHA-256 of a client certificate in DER (RFC 8705 section 3.1).
pub type Thumbprint = [u8; 32];

/// The one confirmation method that is supported.
const CERTIFICATE: &str = "x5t#S256";

/// Why a token is not accepted from this connection although it is good in itself. No variant
/// holds a thumbprint.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProofFault {
    #[error(
        "the token is bound to a TLS client certificate (`cnf`) and this connection has shown none; connect with it"
    )]
    NoCertificate,
    #[error(
        "the token is bound to a TLS client certificate (`cnf`) that does not match the one of this connection"
    )]
    OtherCertificate,
    #[error(
        "this issuer's tokens must be bound to a TLS client certificate (`cnf` with `x5t#S256`, RFC 8705) and this one is not"
    )]
    Unbound,
}

impl ProofFault {
    /// The reason as metrics and audit records name it, one of [`crate::metrics::AUTH_REASONS`].
    pub fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "certificate_missing",
            Self::OtherCertificate => "certificate_mismatch",
            Self::Unbound => "unbound_token",
        }
    }
}

/// Whether a token that is bound to `bound` may be used on a connection that has shown
/// `certificate`; `required` refuses tokens that are bound to nothing.
///
/// # Errors
/// [`ProofFault`], each a 401 `invalid_token` (RFC 8705 section 3).
pub fn prove(
    bound: Option<&Thumbprint>,
    certificate: Option<&Thumbprint>,
    required: bool,
) -> Result<(), ProofFault> {
    match (bound, certificate) {
        (None, _) if required => Err(ProofFault::Unbound),
        (None, _) => Ok(()),
        (Some(_), None) => Err(ProofFault::NoCertificate),
        // A digest that anybody may know: nothing is learned from how long comparing takes.
        (Some(bound), Some(shown)) if bound == shown => Ok(()),
        (Some(_), Some(_)) => Err(ProofFault::OtherCertificate),
    }
}

/// Reads `cnf` of a payload whose signature was checked. What is not understood is refused, not
/// skipped as RFC 7800 section 3.1 would have it: the token would be anybody's.
pub(super) fn read(payload: &Map<String, Value>) -> Result<Option<Thumbprint>, TokenFault> {
    let wrong = |what| Err(TokenFault::Confirmation(what));
    let Some(confirmation) = payload.get("cnf") else { return Ok(None) };
    let Value::Object(members) = confirmation else { return wrong("is not an object") };
    let mut members = members.iter();
    match (members.next(), members.next()) {
        (None, _) => wrong("is empty"),
        (Some(_), Some(_)) => wrong("names several confirmation methods"),
        (Some((name, value)), None) if name == CERTIFICATE => {
            match value.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()) {
                Some(thumbprint) => Ok(Some(thumbprint)),
                None => wrong("has an `x5t#S256` that is no SHA-256 in base64url without padding"),
            }
        }
        (Some((name, _)), None) => wrong(match name.as_str() {
            "jkt" => "has `jkt`: it asks for DPoP (RFC 9449), which is not supported",
            "jwk" => "has `jwk`, a confirmation method that is not supported",
            "jwe" => "has `jwe`, a confirmation method that is not supported",
            "kid" => "has `kid`, a confirmation method that is not supported",
            "jku" => "has `jku`, a confirmation method that is not supported",
            _ => "has a confirmation method that is not known here",
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_certificate_that_a_token_is_bound_to_proves_it() {
        let (ours, other) = ([1; 32], [2; 32]);
        for (bound, shown, required, expected) in [
            (None, None, false, Ok(())),
            (None, Some(&other), false, Ok(())),
            (None, None, true, Err(ProofFault::Unbound)),
            (None, Some(&ours), true, Err(ProofFault::Unbound)),
            (Some(&ours), None, false, Err(ProofFault::NoCertificate)),
            (Some(&ours), None, true, Err(ProofFault::NoCertificate)),
            (Some(&ours), Some(&other), false, Err(ProofFault::OtherCertificate)),
            (Some(&ours), Some(&ours), false, Ok(())),
            (Some(&ours), Some(&ours), true, Ok(())),
        ] {
            assert_eq!(prove(bound, shown, required), expected, "{bound:?} {shown:?} {required}");
        }
    }

    #[test]
    fn a_thumbprint_is_read_and_everything_else_is_refused_by_name() {
        let read = |cnf: Value| read(json!({ "cnf": cnf }).as_object().unwrap());
        let thumbprint = URL_SAFE_NO_PAD.encode([7; 32]);
        assert_eq!(read(json!({ "x5t#S256": thumbprint })), Ok(Some([7; 32])));
        assert_eq!(super::read(&Map::new()), Ok(None));
        for (cnf, word) in [
            (json!(null), "object"),
            (json!("x5t#S256"), "object"),
            (json!([{ "x5t#S256": thumbprint }]), "object"),
            (json!({}), "empty"),
            (json!({ "x5t#S256": thumbprint, "jkt": "a" }), "several"),
            (json!({ "x5t#S256": thumbprint, "note": "a" }), "several"),
            (json!({ "x5t#S256": format!("{thumbprint}=") }), "SHA-256"),
            (json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 31]) }), "SHA-256"),
            (json!({ "x5t#S256": "07".repeat(32) }), "SHA-256"),
            (json!({ "x5t#S256": [7] }), "SHA-256"),
            (json!({ "x5t": thumbprint }), "not known"),
            (json!({ "x5t#s256": thumbprint }), "not known"),
            (json!({ "jkt": thumbprint }), "DPoP"),
            (json!({ "jwk": {} }), "`jwk`"),
            (json!({ "jwe": "a" }), "`jwe`"),
            (json!({ "kid": "a" }), "`kid`"),
            (json!({ "jku": "a" }), "`jku`"),
        ] {
            let fault = read(cnf.clone()).expect_err(&cnf.to_string());
            assert_eq!(fault.label(), "confirmation");
            let told = fault.to_string();
            assert!(told.contains(word) && told.contains("x5t#S256"), "{cnf}: {told}");
            assert!(!told.contains(&thumbprint), "{told}");
        }
    }
}
