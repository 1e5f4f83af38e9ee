//! Who vouches: one Ed25519 key (RFC 8032) for all that share a record.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::secret::Secret;

/// A public key, shown as base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

impl PublicKey {
    /// True where `signature` (base64) is this key's for `text`.
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|bytes| {
            UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), &bytes).is_ok()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        key.map(Self).ok_or_else(|| {
            "is no public key: write the 44 characters of base64 that `sidegate audit key` shows".to_owned()
        })
    }
}

/// A key that signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Signer {
    /// Of the base64 text of a seed of 32 bytes, such as `openssl rand -base64 32` writes.
    ///
    /// # Errors
    /// What is wrong with the text; it is not quoted.
    pub fn new(seed: &Secret) -> Result<Self, String> {
        let wrong =
            || "must be 32 random bytes in base64, such as `openssl rand -base64 32` writes".to_owned();
        let bytes = zeroize::Zeroizing::new(STANDARD.decode(seed.expose().trim()).map_err(|_| wrong())?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes).map_err(|_| wrong())?;
        let public = pair.public_key().as_ref().try_into().map(PublicKey).map_err(|_| wrong())?;
        Ok(Self { pair, public })
    }

    /// By which its signatures are known.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature of `text`, in base64.
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.pair.sign(text.as_bytes()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 section 7.1, test 1: the seed, its public key and the signature of nothing.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        let signer = Signer::new(&Secret::new(seed)).unwrap();
        assert_eq!(signer.public().to_string(), "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let signature = signer.sign("");
        assert!(signature.starts_with("5VZDAMNgrHKQhuLMgG6CioSHfx64"), "{signature}");
        assert!(signer.public().verifies("", &signature) && !signer.public().verifies("x", &signature));
        let shown = signer.public().to_string();
        assert_eq!(shown.parse(), Ok(signer.public()));
        assert!(!format!("{signer:?}").contains(seed));
    }

    #[test]
    fn what_is_no_key_is_said_without_quoting_it() {
        for wrong in ["", "hunter2", "c2hvcnQ="] {
            assert!(!Signer::new(&Secret::new(wrong)).unwrap_err().contains("hunter2"));
            assert!(wrong.parse::<PublicKey>().is_err());
        }
    }
}
