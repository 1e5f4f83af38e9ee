//! Tokens in places where none belongs: which issuers do the JWTs in some text name?
//!
//! Nothing is verified: this is for refusing, never for letting in.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// Reads what a careless decoder would: with or without padding, stray bits at the end included.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The shortest base64url of an object with an `iss`: `{"iss":"x"}`.
const SHORTEST: usize = 15;

/// The `iss` of every JWT (RFC 7519) in `text`, whatever stands around it; one that is wrapped in
/// base64 once more, as `Basic` does it, included.
pub fn issuers(text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    look(text, true, &mut found);
    found
}

fn look(text: &[u8], unwrap: bool, found: &mut Vec<String>) {
    let within = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+/".contains(byte);
    // The parts of a token lie between dots: each piece is one part.
    for piece in text.split(|byte| !within(byte)).filter(|piece| piece.len() >= SHORTEST) {
        let safe: Vec<u8> = piece
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        let Ok(decoded) = LENIENT.decode(safe) else { continue };
        match serde_json::from_slice::<Value>(&decoded) {
            Ok(value) => found.extend(value.get("iss").and_then(Value::as_str).map(str::to_owned)),
            Err(_) if unwrap => look(&decoded, false, found),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const ISSUER: &str = "https://login.example";

    fn token() -> String {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        format!(
            "{}.{}.c2ln",
            part(r#"{"alg":"RS256"}"#),
            part(r#"{"sub":"a","iss":"https://login.example"}"#)
        )
    }

    #[test]
    fn a_token_is_found_whatever_stands_around_it() {
        let token = token();
        for text in [
            token.clone(),
            format!("Bearer {token}"),
            format!("bEARER\t \t{token}  "),
            format!("Bearer{token}"),
            format!("Bearer \"{token}\""),
            format!("Basic x, Bearer {token}"),
            format!("/path?access_token={token}&x=1"),
            format!("/path/{token}"),
            format!("base64url.bearer.authorization.k8s.io.{token}, chat"),
            format!("Basic {}", STANDARD.encode(format!("user:{token}"))),
        ] {
            assert_eq!(issuers(text.as_bytes()), [ISSUER], "{text}");
        }
    }

    #[test]
    fn what_is_no_token_names_nobody() {
        let other = URL_SAFE_NO_PAD.encode(r#"{"sub":"https://login.example"}"#);
        for text in ["", "Bearer opaque-token-of-some-length", "Basic dXNlcjpwYXNzd29yZA==", &other, "...."] {
            assert!(issuers(text.as_bytes()).is_empty(), "{text}");
        }
        assert!(issuers(&[0xff; 64]).is_empty());
    }
}
