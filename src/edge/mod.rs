//! Where bytes come in: pingora for the MCP endpoint and for what passes through to the PSA, a
//! small listener for operators.
//!
//! Translates between HTTP and the gate, and decides nothing.

mod body;
mod in_flight;
mod listen;
pub mod ops;
mod proxy;
mod route;
mod through;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use listen::{Door, Listening};
pub use through::{PassthroughConfig, Through, Upstream};

use crate::units::{Size, Span};

/// The `[server]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Addresses with ports; port 0 takes a free one.
    pub listen: Vec<String>,
    /// The base URL that clients use, with a path prefix where a proxy adds one.
    pub public_url: Option<String>,
    /// The path of the MCP endpoint.
    pub mcp_path: String,
    /// Host names, with ports where they are not the default, beside those of `public_url` and loopback.
    pub allowed_hosts: Vec<String>,
    /// Browser origins beside those of our own hosts.
    pub allowed_origins: Vec<String>,
    /// Lets a listener that is not on loopback go without TLS.
    pub allow_plaintext: bool,
    /// The PEM certificate chain, leaf first.
    pub tls_cert_file: Option<PathBuf>,
    /// The PEM private key of the leaf.
    pub tls_key_file: Option<PathBuf>,
    /// The largest request body.
    pub max_body: Size,
    /// The longest a whole call may take.
    pub call_timeout: Span,
    /// The longest a request body may take to arrive.
    pub body_timeout: Span,
    /// Requests worked on at once; more are refused with 503.
    pub max_in_flight: usize,
    /// How long, after SIGTERM, new requests are still taken while `/readyz` already says no.
    pub drain_delay: Span,
    /// How long requests in flight may take to end after that.
    pub grace: Span,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:8443".to_owned()],
            public_url: None,
            mcp_path: "/api/mcp".to_owned(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            allow_plaintext: false,
            tls_cert_file: None,
            tls_key_file: None,
            max_body: Size(1 << 20),
            call_timeout: Span::seconds(60),
            body_timeout: Span::seconds(10),
            max_in_flight: 1024,
            drain_delay: Span::seconds(0),
            grace: Span::seconds(30),
        }
    }
}

impl ServerConfig {
    /// What is wrong within the section, as (key, message); its addresses, names and certificates
    /// are judged together with the other sections.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if self.mcp_path.starts_with("/.well-known/") {
            problems.push(("mcp_path".to_owned(), "must lie outside /.well-known/".to_owned()));
        }
        for (key, none) in [
            ("max_body", self.max_body.0 == 0),
            ("call_timeout", self.call_timeout.0.is_zero()),
            ("body_timeout", self.body_timeout.0.is_zero()),
            ("max_in_flight", self.max_in_flight == 0),
        ] {
            if none {
                problems.push((key.to_owned(), "must be more than nothing".to_owned()));
            }
        }
        problems
    }

    /// The hosts that are ours on these bound addresses: `allowed_hosts`, and loopback's names
    /// for listeners on loopback.
    pub fn hosts(&self, bound: &[SocketAddr]) -> Vec<String> {
        let mut hosts = self.allowed_hosts.clone();
        for address in bound.iter().filter(|address| address.ip().is_loopback()) {
            let port = address.port();
            hosts.push(format!("localhost:{port}"));
            match address.ip() {
                IpAddr::V4(ip) => hosts.push(format!("{ip}:{port}")),
                IpAddr::V6(ip) => hosts.push(format!("[{ip}]:{port}")),
            }
        }
        hosts
    }
}

/// The `[ops]` section: the operators' own listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsConfig {
    /// Where `/livez`, `/readyz` and `/metrics` are answered.
    pub listen: String,
    /// Lets the listener, which has no TLS, be reached from other machines.
    pub allow_plaintext: bool,
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned(), allow_plaintext: false }
    }
}

impl OpsConfig {
    /// What is wrong within the section, as (key, message); its address is judged together with
    /// those of the other listeners.
    pub fn problems(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
