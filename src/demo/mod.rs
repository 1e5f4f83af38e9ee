//! A small AlgaPSA-shaped PSA and a development issuer, for `sidegate demo` and for the tests.
//!
//! Everything lives in memory and listens where it is told. Knows only the
//! ground and its own crates; nothing but the command line and tests know it.

mod answer;
mod control;
mod engine;
mod fields;
mod grants;
mod issuer;
mod keys;
mod listing;
mod log;
mod login;
mod people;
mod psa;
mod resources;
mod resources_records;
mod resources_settings;
mod resources_work;
mod roles;
mod router;
mod rules;
mod search;
mod seed;
mod seed_texts;
mod seed_tickets;
mod seed_work;
mod server;
mod special;
mod tickets;
mod tls;
mod workflow;
mod world;

#[cfg(test)]
mod tests_data;
#[cfg(test)]
mod tests_issuer;
#[cfg(test)]
mod tests_psa;

pub use issuer::{DemoClient, DemoIssuer};
pub use psa::DemoPsa;
pub use tls::{write_certificates, write_private};
