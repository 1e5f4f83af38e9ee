//! Where bytes come in: pingora for the MCP endpoint and for what passes through to the PSA, a small listener for
//! operators and one for administrators; for the connector standard input.
//!
//! Translates between transports and the gate, and decides nothing.

pub mod stdio;

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
mod address;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
mod body;
#[cfg(feature = "server")]
mod certificate;
#[cfg(feature = "server")]
mod drain;
#[cfg(feature = "server")]
mod events;
#[cfg(feature = "server")]
mod files;
#[cfg(feature = "server")]
mod forwarded;
#[cfg(feature = "server")]
mod header;
#[cfg(feature = "server")]
mod in_flight;
#[cfg(feature = "server")]
mod incoming;
#[cfg(feature = "server")]
mod line;
#[cfg(feature = "server")]
mod listen;
#[cfg(feature = "server")]
pub mod ops;
#[cfg(feature = "server")]
mod proxy;
#[cfg(feature = "server")]
mod pulse;
#[cfg(feature = "server")]
mod rest;
#[cfg(feature = "server")]
mod route;
#[cfg(feature = "server")]
mod sections;
#[cfg(feature = "server")]
mod through;
#[cfg(feature = "server")]
pub mod tls;
#[cfg(feature = "server")]
mod unix;
#[cfg(feature = "server")]
mod wings;
#[cfg(feature = "server")]
mod workers;

#[cfg(feature = "server")]
pub use {
    address::Address,
    admin::AdminConfig,
    certificate::ClientCertificates,
    drain::{Drain, Phase},
    files::allow_many,
    forwarded::TrustedProxy,
    line::Connection,
    listen::{Door, Listening, Tuning},
    sections::{OpsConfig, ServerConfig},
    through::{PassthroughConfig, Through, Upstream},
};
