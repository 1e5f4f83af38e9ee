//! What an AlgaPSA key looks like: 32 random bytes as 64 lower-case hex digits,
//! of which the PSA stores the SHA-256 in hex.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::units::hex;

/// A new key and what the PSA stores of it.
pub(super) fn fresh() -> (Secret, String) {
    let bytes = Zeroizing::new(rand::random::<[u8; 32]>());
    let key = Secret::new(hex(bytes.as_slice()));
    let hash = hash(&key);
    (key, hash)
}

/// What the PSA stores of `key`.
pub(super) fn hash(key: &Secret) -> String {
    hex(&Sha256::digest(key.expose().as_bytes()))
}

/// A key as it stands in a file: without the line end that editors add.
pub(super) fn trimmed(text: &str) -> Secret {
    Secret::new(text.trim())
}

/// What the PSA's settings page shows of a key: whose it is, within 255 characters.
pub(super) fn description(agent_name: &str) -> String {
    let name: String = agent_name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("sidegate: {name}").chars().take(255).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_lower_hex_digits_and_its_hash_is_sha_256_of_them() {
        let (key, hash) = fresh();
        assert_eq!(key.expose().len(), 64);
        assert!(key.expose().bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert_ne!(key.expose(), fresh().0.expose());
        assert_eq!(hash.len(), 64);
        // FIPS 180-2, appendix B.1.
        let known = super::hash(&Secret::new("abc"));
        assert_eq!(known, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_description_fits_its_column_and_holds_no_control_character() {
        assert_eq!(description("Triage\u{0} bot"), "sidegate: Triage  bot");
        assert_eq!(description(&"ä".repeat(400)).chars().count(), 255);
    }
}
