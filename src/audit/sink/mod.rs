//! Where the record goes beside the store: one trait and one table of kinds.
//!
//! A new sink is a file here, its `mod` line and its row. A sink knows records, not who asks for them, and neither
//! waits nor counts: whoever calls it does.

pub(super) mod file;
mod write;

#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod lines;
#[cfg(feature = "server")]
mod otlp;
#[cfg(feature = "server")]
mod post;
#[cfg(feature = "server")]
mod severity;
#[cfg(feature = "server")]
mod stdout;
#[cfg(feature = "server")]
mod syslog;
#[cfg(feature = "server")]
mod table;

#[cfg(feature = "server")]
pub use config::SinkConfig;
#[cfg(feature = "server")]
pub(super) use table::{Sink, Undelivered, open};

#[cfg(all(test, feature = "server"))]
mod receiver;
#[cfg(all(test, feature = "server"))]
mod testing;
