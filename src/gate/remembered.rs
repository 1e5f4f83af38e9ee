//! Tokens that were good when they were last looked at. Pure: the time is handed in.
//!
//! Eight bytes of each digest stand for a token: what is known here lets one be judged, and lets nobody in.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// A token is remembered for this long at least, unless too many came after it, and for twice as long at most.
const GENERATION: Duration = Duration::from_secs(1800);

/// The most tokens of a generation.
const MOST: usize = 50_000;

/// Two generations: the younger takes what is new, and what is in neither is forgotten.
pub(super) struct Remembered {
    young: HashSet<u64>,
    old: HashSet<u64>,
    since: Instant,
}

impl Remembered {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), since: now }
    }

    /// The token with this digest proved good.
    pub fn note(&mut self, digest: &[u8; 32], now: Instant) {
        if self.young.len() >= MOST || now.duration_since(self.since) >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        self.young.insert(short(digest));
    }

    /// It proved bad.
    pub fn forget(&mut self, digest: &[u8; 32]) {
        self.young.remove(&short(digest));
        self.old.remove(&short(digest));
    }

    /// Whether it was good when it was last looked at, as far as that is remembered.
    pub fn knows(&self, digest: &[u8; 32]) -> bool {
        self.young.contains(&short(digest)) || self.old.contains(&short(digest))
    }
}

fn short(digest: &[u8; 32]) -> u64 {
    digest.iter().take(8).fold(0, |whole, byte| whole << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn a_good_token_is_known_until_it_proves_bad() {
        let start = Instant::now();
        let mut remembered = Remembered::new(start);
        assert!(!remembered.knows(&digest(1)));
        remembered.note(&digest(1), start);
        assert!(remembered.knows(&digest(1)) && !remembered.knows(&digest(2)));
        remembered.forget(&digest(1));
        assert!(!remembered.knows(&digest(1)));
    }

    #[test]
    fn it_is_forgotten_after_two_generations_unless_it_is_seen_again() {
        let start = Instant::now();
        let mut remembered = Remembered::new(start);
        remembered.note(&digest(1), start);
        remembered.note(&digest(2), start);
        remembered.note(&digest(2), start + GENERATION);
        assert!(remembered.knows(&digest(1)), "it is in the older generation");
        remembered.note(&digest(3), start + GENERATION * 2);
        assert!(!remembered.knows(&digest(1)) && remembered.knows(&digest(2)));
    }

    #[test]
    fn there_are_never_more_than_two_generations_of_them() {
        let start = Instant::now();
        let mut remembered = Remembered::new(start);
        for number in 0..3 * MOST {
            remembered.note(&digest(number), start);
        }
        assert_eq!(remembered.young.len() + remembered.old.len(), 2 * MOST);
        assert!(remembered.knows(&digest(3 * MOST - 1)) && !remembered.knows(&digest(0)));
    }
}
