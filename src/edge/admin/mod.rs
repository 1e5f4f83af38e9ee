//! The administrators' web: an axum router on a listener of its own. Translates between HTTP and the gate's
//! verbs for administrators, and decides nothing.

mod body;
mod config;
mod guard;
mod listen;
mod problem;

use crate::gate::Doorway;
use crate::gate::admin::Throttle;

pub use config::AdminConfig;
pub use listen::{AdminDoor, AdminListening};

/// What all requests share.
pub struct Web {
    doorway: Doorway,
    tls: bool,
    requests: Throttle,
    failures: Throttle,
    max_body: usize,
}

impl Web {
    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}
