//! The edge's sections of the configuration: `[server]` and `[ops]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Address, ClientCertificates, TrustedProxy};
use crate::units::{Size, Span};

/// The `[server]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// What [`Address::parse`] reads; port 0 takes a free one.
    pub listen: Vec<String>,
    /// The base URL that clients use, with a path prefix where a proxy adds one.
    pub public_url: Option<String>,
    /// The path of the MCP endpoint.
    pub mcp_path: String,
    /// Further paths of the MCP endpoint, each a resource of its own.
    pub mcp_aliases: Vec<String>,
    /// Host names, with ports where they are not the default, beside those of `public_url` and loopback.
    pub allowed_hosts: Vec<String>,
    /// Browser origins beside those of our own hosts.
    pub allowed_origins: Vec<String>,
    /// Peers that are believed about the client in front of them.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Lets a listener that is not on loopback go without TLS.
    pub allow_plaintext: bool,
    /// The PEM certificate chain, leaf first.
    pub tls_cert_file: Option<PathBuf>,
    /// The PEM private key of the leaf.
    pub tls_key_file: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// PEM certificates of the authorities that clients' certificates must come from.
    pub client_ca_file: Option<PathBuf>,
    /// Connections open at once; the next is closed at accept.
    pub max_connections: usize,
    /// The longest a TLS handshake may take.
    pub handshake_timeout: Span,
    /// The longest a request's header may take to arrive, from its first byte.
    pub header_timeout: Span,
    /// The longest a connection may be without a request.
    pub idle_timeout: Span,
    /// The longest a client may take to accept a piece of an answer.
    pub write_timeout: Span,
    /// The largest request header, the request line counted in.
    pub max_header_bytes: Size,
    /// The most header fields.
    pub max_header_fields: usize,
    /// The largest request body.
    pub max_body: Size,
    /// The longest a whole call may take.
    pub call_timeout: Span,
    /// The longest a request body may take to arrive.
    pub body_timeout: Span,
    /// Requests worked on at once; more are refused with 503.
    pub max_in_flight: usize,
    /// How long, after SIGTERM or `POST /drain`, new requests are still taken while `/readyz` already says no.
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
            mcp_aliases: Vec::new(),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            allow_plaintext: false,
            tls_cert_file: None,
            tls_key_file: None,
            client_certificates: ClientCertificates::Off,
            client_ca_file: None,
            max_connections: 4096,
            handshake_timeout: Span::seconds(10),
            header_timeout: Span::seconds(15),
            idle_timeout: Span::seconds(60),
            write_timeout: Span::seconds(30),
            max_header_bytes: Size(32 << 10),
            max_header_fields: 100,
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
        for (key, none) in [
            ("max_connections", self.max_connections == 0),
            ("handshake_timeout", self.handshake_timeout.0.is_zero()),
            ("header_timeout", self.header_timeout.0.is_zero()),
            ("idle_timeout", self.idle_timeout.0.is_zero()),
            ("write_timeout", self.write_timeout.0.is_zero()),
            ("max_header_bytes", self.max_header_bytes.0 == 0),
            ("max_header_fields", self.max_header_fields == 0),
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

    /// The paths of the MCP endpoint, the main one first.
    pub fn endpoints(&self) -> Vec<String> {
        std::iter::once(&self.mcp_path).chain(&self.mcp_aliases).cloned().collect()
    }

    /// The hosts that are ours on these bound addresses: `allowed_hosts`, loopback's names
    /// for listeners on loopback, and `localhost` for unix sockets, which have no name.
    pub fn hosts(&self, bound: &[SocketAddr]) -> Vec<String> {
        let mut hosts = self.allowed_hosts.clone();
        if self.listen.iter().any(|listen| matches!(Address::parse(listen), Ok(Address::Unix(_)))) {
            hosts.push("localhost".to_owned());
        }
        hosts.extend(names_of_loopback(bound));
        hosts
    }
}

/// The hosts that a client on this machine may name for those of the addresses that are on loopback.
pub(super) fn names_of_loopback(bound: &[SocketAddr]) -> Vec<String> {
    let mut hosts = Vec::new();
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

/// The `[ops]` section: the operators' own listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsConfig {
    /// Where `/livez`, `/readyz`, `/metrics`, `/drain` and `/drained` are answered.
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
