//! What the tests build their worlds of.

pub mod admin;
pub mod alga;
pub mod clients;
pub mod conversation;
pub mod directory;
pub mod helpdesk;
pub mod http;
pub mod http2;
pub mod issuer;
pub mod otlp;
pub mod permit;
pub mod plan;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod receivers;
pub mod replica;
pub mod scripted;
pub mod sse;
pub mod stdio;
pub mod tap;
pub mod tls;
pub mod wait;
pub mod web;
pub mod wire;
pub mod world;

/// Installs the TLS provider, as `main` does first of all.
pub fn install_crypto() {
    // A second test of the same process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
