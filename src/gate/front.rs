//! All tenants' gates, and where each is reached: the main one everywhere, a further one under a host or a path of
//! its own. Each has its own resource, agents, keys, limits and record, so that none can tell of another.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Gate;
use super::admit::Held;
use crate::metrics::Metrics;

/// Where a further tenant is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// The whole of one host, as `host` or `host:port`.
    Host(String),
    /// Below the path `/t/{slug}` of the main host.
    Path(String),
}

/// Before the slug in the paths of a tenant that has no host of its own.
pub const TENANTS: &str = "/t";

/// All gates of a process.
pub struct Front {
    main: Arc<Gate>,
    others: RwLock<Vec<(Whereabouts, Arc<Gate>)>>,
}

impl Front {
    /// The main tenant's gate alone.
    pub fn new(main: Arc<Gate>) -> Self {
        Self { main, others: RwLock::default() }
    }

    /// The gate of the main tenant.
    pub fn main(&self) -> &Arc<Gate> {
        &self.main
    }

    /// From now on these are the further tenants.
    pub fn adopt(&self, others: Vec<(Whereabouts, Arc<Gate>)>) {
        *self.others.write() = others;
    }

    /// The further tenants.
    pub fn others(&self) -> Vec<(Whereabouts, Arc<Gate>)> {
        self.others.read().clone()
    }

    /// What is counted, over all tenants.
    pub fn counts(&self) -> &Arc<Metrics> {
        self.main.counts()
    }

    /// Why calls cannot be answered yet, if they cannot. A further tenant that has no catalogue yet keeps nobody out.
    pub fn not_ready(&self) -> Option<&'static str> {
        self.main.not_ready()
    }

    /// Calls that are still on their way to the PSA are waited for no longer.
    pub fn cut(&self) {
        self.main.cut();
        self.others().iter().for_each(|(_, gate)| gate.cut());
    }

    /// All metrics in Prometheus text format, with the gauges as of now.
    pub fn metrics(&self, ready: bool) -> String {
        let metrics = self.counts();
        let others = self.others();
        let held: Vec<_> = std::iter::once(&self.main)
            .chain(others.iter().map(|(_, gate)| gate))
            .map(|gate| gate.held())
            .collect();
        let sum =
            |of: fn(&Held) -> usize| i64::try_from(held.iter().map(of).sum::<usize>()).unwrap_or(i64::MAX);
        metrics.sessions.set(sum(|held| held.sessions));
        metrics.streams.set(sum(|held| held.streams));
        metrics.keys_in_use.set(sum(|held| held.keys.0));
        metrics.keys_outstanding.set(sum(|held| held.keys.1));
        metrics.ready.set(i64::from(ready));
        self.main.observe();
        metrics.render()
    }
}
