//! The only place that reads the system clock.
//!
//! Pure rooms are handed the time; rooms that wait or cache hold a [`Clock`],
//! which a test can stop and move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Where the time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until [`Clock::advance`] moves it.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A stopped clock that shows `start`.
    pub fn manual(start: Millis) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start)))
    }

    /// The time now, in milliseconds since the epoch.
    #[allow(clippy::disallowed_methods)]
    pub fn now(&self) -> Millis {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
            Self::Manual(at) => at.load(Ordering::SeqCst),
        }
    }

    /// The time now, in whole seconds since the epoch (RFC 7519 NumericDate).
    pub fn now_seconds(&self) -> i64 {
        self.now().div_euclid(1000)
    }

    /// Moves a manual clock by `by` milliseconds; the system clock is left alone.
    pub fn advance(&self, by: Millis) {
        if let Self::Manual(at) = self {
            at.fetch_add(by, Ordering::SeqCst);
        }
    }
}

/// The time since the machine started, as service managers count it (CLOCK_MONOTONIC).
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// `at` as RFC 3339 in UTC with exactly three digits of a second, as audit records and logs show it.
pub fn rfc3339(at: Millis) -> String {
    let Ok(whole) = OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)) else {
        return "invalid-time".to_owned();
    };
    let text = whole.format(&Rfc3339).unwrap_or_default();
    format!("{}.{:03}Z", text.trim_end_matches('Z'), at.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = Clock::manual(1_000);
        assert_eq!(clock.now(), 1_000);
        clock.advance(1_500);
        assert_eq!((clock.now(), clock.now_seconds()), (2_500, 2));
    }

    #[test]
    fn a_time_is_written_as_rfc_3339_in_utc() {
        assert_eq!(rfc3339(1_768_000_000_123), "2026-01-09T23:06:40.123Z");
        assert_eq!(rfc3339(1_768_000_000_000), "2026-01-09T23:06:40.000Z");
    }
}
