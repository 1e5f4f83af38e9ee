//! How often an address may fail and an agent may call. Failures are counted by this process alone; calls also by
//! what others tell of theirs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::refusal::{Limit, Refusal};
use crate::policy::quota::{Rate, retry_after};

/// The `[limits]` section. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Tokens from one address that may prove bad in a minute.
    pub failed_auth_per_minute: u32,
    /// Calls of one agent in a minute.
    pub calls_per_minute: u32,
    /// Calls of one agent at the same time.
    pub calls_in_flight: u32,
    /// Streams of one agent that end only when somebody leaves.
    pub streams: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { failed_auth_per_minute: 30, calls_per_minute: 600, calls_in_flight: 16, streams: 100 }
    }
}

impl LimitsConfig {
    /// What is wrong within the section: nothing can be, beyond its types.
    pub fn problems(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Addresses remembered at most; under a spray the oldest failures are forgotten first.
const ADDRESSES: u64 = 50_000;

/// After this without a failure an address has its whole minute's worth again.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// After this without a word another process is not remembered.
const SILENT: Duration = Duration::from_secs(300);

/// What is too often.
#[derive(Clone, Copy)]
struct Rules {
    failures: Option<Rate>,
    calls: Option<Rate>,
    in_flight: u32,
    streams: u32,
}

impl From<LimitsConfig> for Rules {
    fn from(config: LimitsConfig) -> Self {
        Self {
            failures: Rate::per_minute(config.failed_auth_per_minute),
            calls: Rate::per_minute(config.calls_per_minute),
            in_flight: if config.calls_in_flight == 0 { u32::MAX } else { config.calls_in_flight },
            streams: config.streams,
        }
    }
}

/// The counts.
pub(super) struct Limits {
    rules: RwLock<Rules>,
    began: Instant,
    failed: Cache<Option<IpAddr>, Duration>,
    agents: Mutex<HashMap<String, Arc<Mutex<Meter>>>>,
    told: Mutex<HashMap<(String, String), Told>>,
}

/// Calls of an agent that another process had told of, and when it was heard last; by replica and agent.
struct Told {
    calls: u64,
    at: Duration,
}

/// What one agent has going.
#[derive(Default)]
struct Meter {
    spent: Duration,
    in_flight: u32,
    /// The same in other processes.
    elsewhere: u32,
    /// Calls that were let in since the start.
    calls: u64,
    /// What was last told of it.
    reported: Usage,
}

/// What an agent has going in one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Calls that were let in since the process began.
    pub calls: u64,
    /// Calls at this moment.
    pub in_flight: u32,
}

/// What an agent may do; none where that is not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Calls a minute, and how many of them are left at this moment.
    pub per_minute: Option<(u32, u32)>,
    /// Calls at the same time, and how many there are at this moment.
    pub in_flight: Option<(u32, u32)>,
}

/// The same of another process.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    pub agent: String,
    pub replica: String,
    pub calls: u64,
    pub in_flight: u32,
}

/// One call that is being made; dropping it says that it is over.
pub(super) struct Call(Arc<Mutex<Meter>>);

impl Drop for Call {
    fn drop(&mut self) {
        let mut meter = self.0.lock();
        meter.in_flight = meter.in_flight.saturating_sub(1);
    }
}

impl Limits {
    pub fn new(config: LimitsConfig) -> Self {
        let failed = Cache::builder()
            .max_capacity(ADDRESSES)
            // A frequency sketch would not let newcomers in during a spray.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(FORGOTTEN);
        Self {
            rules: RwLock::new(config.into()),
            began: Instant::now(),
            failed: failed.build(),
            agents: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// From now on `config` holds; what was counted stays counted.
    pub fn adopt(&self, config: LimitsConfig) {
        *self.rules.write() = config.into();
    }

    fn rules(&self) -> Rules {
        *self.rules.read()
    }

    /// How many streams an agent may have open; 0 is no limit.
    pub fn streams(&self) -> u32 {
        self.rules().streams
    }

    /// Refuses an address from which too many tokens proved bad.
    pub fn may_try(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        self.may_try_at(address, self.began.elapsed())
    }

    /// Counts a token that proved bad.
    pub fn failed(&self, address: Option<IpAddr>) {
        self.failed_at(address, self.began.elapsed());
    }

    /// Begins a call of the agent, or refuses it. A refused call counts as none.
    pub fn call(&self, agent: &str) -> Result<Call, Refusal> {
        self.call_at(agent, self.began.elapsed())
    }

    fn may_try_at(&self, address: Option<IpAddr>, now: Duration) -> Result<(), Refusal> {
        let (Some(rate), Some(spent)) = (self.rules().failures, self.failed.get(&counted(address))) else {
            return Ok(());
        };
        match rate.spend(spent, now) {
            Ok(_) => Ok(()),
            Err(wait) => Err(too_many(Limit::FailedAuthentications, wait)),
        }
    }

    fn failed_at(&self, address: Option<IpAddr>, now: Duration) {
        let Some(rate) = self.rules().failures else { return };
        self.failed.entry(counted(address)).and_upsert_with(|entry| {
            let spent = entry.map_or(Duration::ZERO, moka::Entry::into_value);
            // Those that were let in together may be more than the bucket holds.
            rate.spend(spent, now).unwrap_or(spent)
        });
    }

    fn call_at(&self, agent: &str, now: Duration) -> Result<Call, Refusal> {
        let (rules, meter) = (self.rules(), self.meter(agent));
        {
            let mut meter = meter.lock();
            if meter.in_flight.saturating_add(meter.elsewhere) >= rules.in_flight {
                return Err(too_many(Limit::CallsInFlight, Duration::ZERO));
            }
            if let Some(rate) = rules.calls {
                meter.spent =
                    rate.spend(meter.spent, now).map_err(|wait| too_many(Limit::CallsPerMinute, wait))?;
            }
            meter.in_flight += 1;
            meter.calls += 1;
        }
        Ok(Call(meter))
    }

    /// How much an agent may do, and what of it is left.
    pub fn allowance(&self, agent: &str) -> Allowance {
        let (rules, meter) = (self.rules(), self.meter(agent));
        let meter = meter.lock();
        let left = |rate: Rate| (rate.per_minute_count(), rate.left(meter.spent, self.began.elapsed()));
        Allowance {
            per_minute: rules.calls.map(left),
            in_flight: (rules.in_flight != u32::MAX)
                .then(|| (rules.in_flight, meter.in_flight.saturating_add(meter.elsewhere))),
        }
    }

    /// What has changed of each agent since the last report.
    pub fn report(&self) -> Vec<(String, Usage)> {
        let agents = self.agents.lock();
        let changed = agents.iter().filter_map(|(agent, meter)| {
            let mut meter = meter.lock();
            let usage = Usage { calls: meter.calls, in_flight: meter.in_flight };
            // A call that is still going on is told again, lest it be forgotten.
            let known = std::mem::replace(&mut meter.reported, usage) == usage && usage.in_flight == 0;
            (!known).then(|| (agent.clone(), usage))
        });
        changed.collect()
    }

    /// Takes over what all other processes have told lately. A process that is heard of for the first time began
    /// before: only what it lets in from now on is counted.
    pub fn hear(&self, theirs: Vec<Elsewhere>) {
        self.hear_at(theirs, self.began.elapsed());
    }

    fn hear_at(&self, theirs: Vec<Elsewhere>, now: Duration) {
        let rate = self.rules().calls;
        self.agents.lock().values().for_each(|meter| meter.lock().elsewhere = 0);
        let mut told = self.told.lock();
        let mut heard = HashMap::with_capacity(theirs.len());
        for Elsewhere { agent, replica, calls, in_flight } in theirs {
            let meter = self.meter(&agent);
            let mut meter = meter.lock();
            meter.elsewhere = meter.elsewhere.saturating_add(in_flight);
            let key = (replica, agent);
            let new = calls.saturating_sub(told.get(&key).map_or(calls, |told| told.calls));
            if let (Some(rate), 1..) = (rate, new) {
                meter.spent = rate.charge(meter.spent, now, new);
            }
            heard.insert(key, Told { calls, at: now });
        }
        told.extend(heard);
        told.retain(|_, told| now.saturating_sub(told.at) < SILENT);
    }

    /// One a known agent, so there are no more than the store has rows.
    fn meter(&self, agent: &str) -> Arc<Mutex<Meter>> {
        let mut agents = self.agents.lock();
        match agents.get(agent) {
            Some(meter) => meter.clone(),
            None => agents.entry(agent.to_owned()).or_default().clone(),
        }
    }
}

fn too_many(limit: Limit, wait: Duration) -> Refusal {
    Refusal::TooMany { limit, retry_after: retry_after(wait) }
}

/// Whose failures are one: an IPv4 address, an IPv6 /64 (what one site has at least), and all whose
/// address is not known together.
pub(super) fn counted(address: Option<IpAddr>) -> Option<IpAddr> {
    match address?.to_canonical() {
        IpAddr::V4(address) => Some(address.into()),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(failed_auth_per_minute: u32, calls_per_minute: u32, calls_in_flight: u32) -> Limits {
        Limits::new(LimitsConfig {
            failed_auth_per_minute,
            calls_per_minute,
            calls_in_flight,
            ..LimitsConfig::default()
        })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn what_another_process_lets_in_is_counted_from_when_it_is_first_heard_of() {
        let limits = limits(0, 60, 2);
        let told = |calls, in_flight| {
            vec![Elsewhere { agent: "a".to_owned(), replica: "r".to_owned(), calls, in_flight }]
        };
        limits.hear_at(told(1_000, 2), at(0));
        assert_eq!(refused(limits.call_at("a", at(0))).0, Limit::CallsInFlight);
        limits.hear_at(told(1_000, 0), at(0));
        drop(limits.call_at("a", at(0)).unwrap_or_else(|_| panic!("what it did before does not count")));
        limits.hear_at(told(1_060, 0), at(0));
        assert_eq!(refused(limits.call_at("a", at(0))), (Limit::CallsPerMinute, 2));
        limits.hear_at(told(1_060, 0), at(1));
        assert!(limits.call_at("b", at(1)).is_ok(), "another agent's are its own");
        assert!(limits.call_at("a", at(3)).is_ok());
        limits.hear_at(Vec::new(), at(400));
        assert!(limits.told.lock().is_empty(), "a process that is gone is forgotten");
    }

    fn refused<T>(result: Result<T, Refusal>) -> (Limit, u64) {
        match result {
            Err(Refusal::TooMany { limit, retry_after }) => (limit, retry_after),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("not refused"),
        }
    }

    #[test]
    fn an_address_that_fails_too_often_is_refused_until_its_bucket_refills_and_others_are_not() {
        let limits = limits(3, 0, 0);
        for _ in 0..3 {
            assert_eq!(limits.may_try_at(ip("192.0.2.1"), at(100)), Ok(()));
            limits.failed_at(ip("192.0.2.1"), at(100));
        }
        for _ in 0..100 {
            // Failures of those let in before do not prolong it.
            limits.failed_at(ip("192.0.2.1"), at(100));
            let (limit, after) = refused(limits.may_try_at(ip("192.0.2.1"), at(100)));
            assert_eq!((limit, after), (Limit::FailedAuthentications, 20));
        }
        assert_eq!(limits.may_try_at(ip("192.0.2.2"), at(100)), Ok(()));
        assert_eq!(limits.may_try_at(None, at(100)), Ok(()));
        assert_eq!(limits.may_try_at(ip("192.0.2.1"), at(120)), Ok(()));
    }

    #[test]
    fn ipv6_is_counted_by_its_first_64_bits_and_mapped_ipv4_as_ipv4() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ] {
            assert_eq!(counted(ip(one)) == counted(ip(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn a_spray_of_addresses_is_bounded_and_the_latest_is_still_counted() {
        let limits = limits(1, 0, 0);
        for number in 0..(ADDRESSES as u32 + 10_000) {
            limits.failed_at(Some(std::net::Ipv4Addr::from_bits(number).into()), at(1));
        }
        limits.failed.run_pending_tasks();
        assert!(limits.failed.entry_count() <= ADDRESSES);
        let last = std::net::Ipv4Addr::from_bits(ADDRESSES as u32 + 9_999);
        assert_eq!(refused(limits.may_try_at(Some(last.into()), at(1))).0, Limit::FailedAuthentications);
    }

    #[test]
    fn calls_of_one_agent_are_limited_at_once_and_in_a_minute_and_others_are_not() {
        let limits = limits(0, 4, 2);
        let first = limits.call_at("a", at(1)).unwrap();
        let second = limits.call_at("a", at(1)).unwrap();
        assert_eq!(refused(limits.call_at("a", at(1))), (Limit::CallsInFlight, 1));
        drop(first);
        let third = limits.call_at("a", at(1)).unwrap();
        drop((second, third));
        // The one that was refused did not count.
        drop(limits.call_at("a", at(1)).unwrap());
        assert_eq!(refused(limits.call_at("a", at(1))), (Limit::CallsPerMinute, 15));
        assert!(limits.call_at("b", at(1)).is_ok());
        assert!(limits.call_at("a", at(16)).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = limits(0, 0, 0);
        let all: Vec<_> = (0..10_000).map(|_| limits.call_at("a", at(1)).unwrap()).collect();
        for _ in 0..10_000 {
            limits.failed_at(ip("192.0.2.1"), at(1));
        }
        assert_eq!(limits.may_try_at(ip("192.0.2.1"), at(1)), Ok(()));
        assert_eq!(all.len(), 10_000);
    }
}
