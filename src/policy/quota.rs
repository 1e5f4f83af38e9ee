//! How often is too often. Pure: what was spent is one time, kept by whoever counts, and the time now
//! is handed in; both since any beginning that they share.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket that holds one minute's worth and refills evenly: as many at once as a minute allows, then
/// one whenever its share of a minute is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    every: Duration,
}

impl Rate {
    /// `count` a minute; none where it is 0, which means without limit.
    pub fn per_minute(count: u32) -> Option<Self> {
        MINUTE.checked_div(count).map(|every| Self { every })
    }

    /// Spends one of what was `spent` (nothing yet: zero), and gives what is spent then.
    ///
    /// # Errors
    /// The bucket is empty; one can be spent after this time. Nothing was spent.
    pub fn spend(self, spent: Duration, now: Duration) -> Result<Duration, Duration> {
        let after = spent.max(now).saturating_add(self.every);
        match after.saturating_sub(now.saturating_add(MINUTE)) {
            Duration::ZERO => Ok(after),
            wait => Err(wait),
        }
    }
}

impl Rate {
    /// How many a minute allows.
    pub fn per_minute_count(self) -> u32 {
        u32::try_from(MINUTE.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    /// How many can be spent at once now.
    pub fn left(self, spent: Duration, now: Duration) -> u32 {
        let room = now.saturating_add(MINUTE).saturating_sub(spent.max(now));
        u32::try_from(room.as_nanos() / self.every.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    /// Spends `count` that were let in elsewhere, whether the bucket holds so many or not; never more than makes
    /// callers wait two minutes.
    pub fn charge(self, spent: Duration, now: Duration, count: u64) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let after = spent.max(now).saturating_add(self.every.saturating_mul(count));
        after.min(now.saturating_add(MINUTE * 3))
    }
}

/// A wait in whole seconds, rounded up, at least one (RFC 9110 section 10.2.3).
pub fn retry_after(wait: Duration) -> u64 {
    let whole = wait.as_secs();
    (if wait.subsec_nanos() > 0 { whole + 1 } else { whole }).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Duration = Duration::from_secs(1_000_000);

    /// Spends at `now` until the bucket is empty: how many, and how long to wait for the next.
    fn drain(rate: Rate, spent: &mut Duration, now: Duration) -> (u32, Duration) {
        let mut count = 0;
        loop {
            match rate.spend(*spent, now) {
                Ok(after) => *spent = after,
                Err(wait) => return (count, wait),
            }
            count += 1;
        }
    }

    #[test]
    fn a_full_bucket_gives_exactly_a_minutes_worth_at_once() {
        for count in [1, 2, 3, 7, 30, 59, 60, 61, 600, 10_000] {
            let rate = Rate::per_minute(count).unwrap();
            let mut spent = Duration::ZERO;
            let (given, wait) = drain(rate, &mut spent, BEGIN);
            assert_eq!(given, count);
            assert!(wait <= MINUTE / count + Duration::from_micros(1), "{count}: {wait:?}");
        }
    }

    #[test]
    fn what_is_left_is_what_can_still_be_spent() {
        let rate = Rate::per_minute(7).unwrap();
        let (mut spent, mut left) = (Duration::ZERO, Vec::new());
        loop {
            left.push(rate.left(spent, BEGIN));
            match rate.spend(spent, BEGIN) {
                Ok(after) => spent = after,
                Err(_) => break,
            }
        }
        assert_eq!(left, [7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Rate::per_minute(0), None);
    }

    #[test]
    fn an_empty_bucket_gives_one_after_exactly_the_wait_it_named() {
        let rate = Rate::per_minute(30).unwrap();
        let mut spent = Duration::ZERO;
        let (_, wait) = drain(rate, &mut spent, BEGIN);
        assert_eq!(wait, Duration::from_secs(2));
        let almost = BEGIN + wait - Duration::from_nanos(1);
        assert_eq!(rate.spend(spent, almost), Err(Duration::from_nanos(1)));
        assert_eq!(drain(rate, &mut spent, BEGIN + wait).0, 1);
    }

    #[test]
    fn a_refusal_spends_nothing_and_a_minute_of_rest_fills_the_bucket_no_further_than_full() {
        let rate = Rate::per_minute(30).unwrap();
        let mut spent = Duration::ZERO;
        drain(rate, &mut spent, BEGIN);
        for _ in 0..1000 {
            assert!(rate.spend(spent, BEGIN).is_err());
        }
        assert_eq!(drain(rate, &mut spent, BEGIN + MINUTE).0, 30);
        assert_eq!(drain(rate, &mut spent, BEGIN + MINUTE * 100).0, 30);
    }

    #[test]
    fn one_that_keeps_its_pace_is_never_refused() {
        let rate = Rate::per_minute(30).unwrap();
        let mut spent = Duration::ZERO;
        for turn in 0..1000 {
            spent = rate.spend(spent, BEGIN + Duration::from_secs(2) * turn).unwrap();
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let rate = Rate::per_minute(1).unwrap();
        assert!(rate.spend(Duration::MAX, Duration::ZERO).is_err());
        assert!(rate.spend(Duration::ZERO, Duration::MAX).is_ok());
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(retry_after(Duration::from_millis(millis)), seconds, "{millis}");
        }
    }
}
