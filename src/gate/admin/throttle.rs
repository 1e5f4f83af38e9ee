//! How often an address may ask the administrators' side, and how often it may fail there. The counts are
//! this process's own.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::gate::limits::counted;
use crate::policy::quota::{Rate, retry_after};

/// Addresses remembered at most; under a spray the oldest are forgotten first.
const ADDRESSES: u64 = 10_000;

/// After this without anything spent an address has its whole minute's worth again.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What each address may spend in a minute.
pub struct Throttle {
    rate: Option<Rate>,
    began: Instant,
    spent: Cache<Option<IpAddr>, Duration>,
}

impl Throttle {
    /// `count` a minute for each address; 0 is no limit.
    pub fn per_minute(count: u32) -> Self {
        let spent = Cache::builder()
            .max_capacity(ADDRESSES)
            // A frequency sketch would not let newcomers in during a spray.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(FORGOTTEN);
        Self { rate: Rate::per_minute(count), began: Instant::now(), spent: spent.build() }
    }

    /// Spends one.
    ///
    /// # Errors
    /// There is none left; in this many seconds there is. Nothing was spent.
    pub fn spend(&self, address: IpAddr) -> Result<(), u64> {
        let (Some(rate), now) = (self.rate, self.began.elapsed()) else { return Ok(()) };
        let mut result = Ok(());
        self.spent.entry(counted(Some(address))).and_upsert_with(|entry| {
            let spent = entry.map_or(Duration::ZERO, moka::Entry::into_value);
            rate.spend(spent, now).unwrap_or_else(|wait| {
                result = Err(retry_after(wait));
                spent
            })
        });
        result
    }

    /// Whether [`Self::spend`] would.
    ///
    /// # Errors
    /// As there.
    pub fn may_spend(&self, address: IpAddr) -> Result<(), u64> {
        let (Some(rate), Some(spent)) = (self.rate, self.spent.get(&counted(Some(address)))) else {
            return Ok(());
        };
        rate.spend(spent, self.began.elapsed()).map(drop).map_err(retry_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_minutes_worth_and_an_ipv6_site_is_one() {
        let throttle = Throttle::per_minute(2);
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for (address, left) in [
            ("10.0.0.1", true),
            ("10.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("10.0.0.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::1", true),
        ] {
            assert_eq!(throttle.may_spend(at(address)).is_ok(), left, "{address}");
            assert_eq!(throttle.spend(at(address)).is_ok(), left, "{address}");
        }
        assert!(throttle.spend(at("10.0.0.1")).is_err_and(|wait| (1..=30).contains(&wait)));
    }

    #[test]
    fn zero_is_no_limit() {
        let throttle = Throttle::per_minute(0);
        assert!((0..1000).all(|_| throttle.spend("10.0.0.1".parse().unwrap()).is_ok()));
    }
}
