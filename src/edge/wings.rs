//! Which tenant's part of the public listeners a request is for: by its host, by its path, else the main one. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::route::Routes;
use crate::gate::{Front, Gate, TENANTS, Whereabouts};
use crate::identity::metadata::WELL_KNOWN;

/// What is served to one tenant's agents.
pub struct Wing {
    pub gate: Arc<Gate>,
    pub routes: Routes,
}

/// All of them.
pub struct Wings {
    main: Arc<Wing>,
    hosts: HashMap<String, Arc<Wing>>,
    /// By the whole path of an endpoint or a metadata document.
    paths: HashMap<String, Arc<Wing>>,
    below: Vec<Arc<Wing>>,
}

impl Wings {
    /// The wings of all tenants. `by_proxy`: proxies tell the prefix that they cut off. `through`: what is nobody's
    /// on the main host and on tenants' own hosts is passed on to the PSA.
    pub fn of(front: &Front, by_proxy: bool, through: bool) -> Self {
        let others = front.others();
        let mut ours = Vec::new();
        if others.iter().any(|(place, _)| matches!(place, Whereabouts::Path(_))) {
            // A tenant's path that is misspelt must not reach the PSA; nor does one of a tenant that is not there
            // tell that by another answer.
            ours.push(TENANTS.to_owned());
        }
        let wing = |gate: &Arc<Gate>, ours: &[String], through: bool| {
            let doorway = gate.doorway();
            let (endpoints, metadata) = doorway.paths();
            let inserted = if by_proxy { doorway.inserted() } else { Vec::new() };
            let routes = Routes::new(endpoints, metadata, inserted, through).with(ours);
            Arc::new(Wing { gate: gate.clone(), routes })
        };
        let (mut hosts, mut paths, mut below) = (HashMap::new(), HashMap::new(), Vec::new());
        for (place, gate) in &others {
            match place {
                Whereabouts::Host(host) => {
                    hosts.insert(host.to_ascii_lowercase(), wing(gate, &[], through));
                }
                Whereabouts::Path(_) => {
                    let wing = wing(gate, &[], false);
                    let known = wing.routes.paths().filter(|path| *path != WELL_KNOWN).map(str::to_owned);
                    paths.extend(known.map(|path| (path, wing.clone())).collect::<Vec<_>>());
                    below.push(wing);
                }
            }
        }
        Self { main: wing(front.main(), &ours, through), hosts, paths, below }
    }

    /// The main tenant's.
    pub fn main(&self) -> &Arc<Wing> {
        &self.main
    }

    /// The one that a request is for; `host` is asked only where it matters.
    pub fn find<'a>(&'a self, path: &str, host: impl FnOnce() -> Option<String>) -> &'a Arc<Wing> {
        if self.hosts.is_empty() && self.below.is_empty() {
            return &self.main;
        }
        if !self.hosts.is_empty()
            && let Some(host) = host()
            && let Some(wing) = self.hosts.get(&host.to_ascii_lowercase())
        {
            return wing;
        }
        // A prefix that a proxy cut off makes the main tenant's metadata path end like a further one's: that comes first.
        let inserted = || self.below.iter().find(|wing| wing.routes.inserted(path).is_some());
        self.paths.get(path).or_else(inserted).unwrap_or(&self.main)
    }
}
