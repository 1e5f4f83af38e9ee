//! Texts that clients carry for us and can neither read, change nor make: session ids, message addresses.
//!
//! Authenticated encryption (ChaCha20-Poly1305, RFC 8439) under a key of this process, or one that replicas share.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::secret::Secret;

/// What a sealed text is for; one made for one purpose does not open for another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A session id.
    Session,
    /// The address that messages of one event stream are sent to.
    Messages,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"session",
            Self::Messages => b"messages",
        }
    }
}

/// Seals and opens.
pub(super) struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Sealer {
    /// Under a key derived from `secret` (HKDF, RFC 5869), or a random one.
    pub fn new(secret: Option<&Secret>) -> Self {
        let random = SystemRandom::new();
        let mut own = [0; 32];
        let material = match secret {
            Some(secret) => secret.expose().as_bytes(),
            None => {
                random.fill(&mut own).expect("a system without randomness cannot do TLS either");
                &own
            }
        };
        let key = Salt::new(HKDF_SHA256, b"sidegate")
            .extract(material)
            .expand(&[b"seal"], &CHACHA20_POLY1305)
            .map(UnboundKey::from)
            .expect("HKDF gives a key of this length");
        Self { key: LessSafeKey::new(key), random }
    }

    /// `plain`, sealed: visible ASCII, fit for a header or a query.
    pub fn seal(&self, purpose: Purpose, plain: &[u8]) -> String {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).expect("a system without randomness cannot do TLS either");
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.label()),
                &mut sealed,
            )
            .expect("what is sealed is short");
        URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat())
    }

    /// What was sealed for `purpose`; None for anything else.
    pub fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(purpose.label()), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_under_the_same_key_and_for_the_same_purpose_only() {
        let secret = Secret::new("a key that replicas share");
        let (one, other) = (Sealer::new(Some(&secret)), Sealer::new(Some(&secret)));
        let sealed = one.seal(Purpose::Session, b"plain");
        assert_eq!(other.open(Purpose::Session, &sealed).as_deref(), Some(&b"plain"[..]));
        assert_eq!(other.open(Purpose::Messages, &sealed), None);
        assert_eq!(Sealer::new(None).open(Purpose::Session, &sealed), None);
        assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()) && !sealed.contains("plain"));
        assert_ne!(sealed, one.seal(Purpose::Session, b"plain"));
    }

    #[test]
    fn no_change_of_a_single_character_opens() {
        let sealer = Sealer::new(None);
        let sealed = sealer.seal(Purpose::Session, b"plain");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sealer.open(Purpose::Session, &changed), None, "{at}");
        }
        for cut in 0..sealed.len() {
            assert_eq!(sealer.open(Purpose::Session, &sealed[..cut]), None);
        }
        assert_eq!(sealer.open(Purpose::Session, "no base64 *"), None);
    }
}
