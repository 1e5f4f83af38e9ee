//! The administrators' web: an axum router on a listener of its own. Translates between HTTP and the gate's
//! verbs for administrators, and decides nothing.

mod agent;
mod agents;
mod body;
mod config;
mod export;
mod guard;
mod listen;
mod openapi;
mod problem;
mod providers;
mod record;
mod tenants;
mod trial;
mod who;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use moka::sync::Cache;
use tokio::sync::Semaphore;

pub use config::AdminConfig;
pub use listen::{AdminDoor, AdminListening};
pub use openapi::document;

use super::sections::names_of_loopback;
use crate::gate::Doorway;
use crate::gate::admin::{Admins, Throttle};

/// How long a token that was good makes its address one that guesses nothing, and how many are remembered.
const KNOWN: (Duration, u64) = (Duration::from_secs(60), 1_000);

/// What all requests share.
pub struct Web {
    admins: Arc<Admins>,
    doorway: Doorway,
    tls: bool,
    requests: Throttle,
    failures: Throttle,
    /// SHA-256 of tokens and keys that were good a moment ago. They are looked up all the same.
    known: Cache<[u8; 32], ()>,
    max_body: usize,
    exports: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    document: serde_json::Value,
}

impl Web {
    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// What the administrators' listeners at `bound` serve.
pub fn router(config: &AdminConfig, bound: &[SocketAddr], admins: Arc<Admins>) -> Router {
    let mut hosts = config.allowed_hosts.clone();
    hosts.extend(names_of_loopback(bound));
    openapi::router(Arc::new(Web {
        admins,
        doorway: Doorway::new(&[], &[], "", None, &hosts, &config.allowed_origins),
        tls: config.tls_cert_file.is_some(),
        requests: Throttle::per_minute(config.requests_per_minute),
        failures: Throttle::per_minute(config.failed_per_minute),
        known: Cache::builder().time_to_live(KNOWN.0).max_capacity(KNOWN.1).build(),
        max_body: config.max_body.0,
        exports: Arc::new(Semaphore::new(export::AT_ONCE)),
        tails: Arc::new(Semaphore::new(export::AT_ONCE)),
        document: serde_json::json!(document()),
    }))
}
