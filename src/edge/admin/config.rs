//! The `[admin]` section: who reaches the administrators' listener, and how often.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::Size;

/// The `[admin]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// IP addresses with ports; port 0 takes a free one, and without any address there is no listener.
    pub listen: Vec<String>,
    /// Host names, with ports where they are not the default, beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Browser origins whose pages may call and read, beside those of our own hosts.
    pub allowed_origins: Vec<String>,
    /// Lets a listener that is not on loopback go without TLS.
    pub allow_plaintext: bool,
    /// The PEM certificate chain, leaf first.
    pub tls_cert_file: Option<PathBuf>,
    /// The PEM private key of the leaf.
    pub tls_key_file: Option<PathBuf>,
    /// PEM certificates of authorities; a client without a certificate of one of them is refused.
    pub client_ca_file: Option<PathBuf>,
    /// Requests of one address in a minute; 0 is no limit.
    pub requests_per_minute: u32,
    /// Tokens and keys from one address that may prove bad in a minute; 0 is no limit.
    pub failed_per_minute: u32,
    /// Connections open at once; the next is closed at accept.
    pub max_connections: usize,
    /// The largest request body.
    pub max_body: Size,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:9444".to_owned()],
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            allow_plaintext: false,
            tls_cert_file: None,
            tls_key_file: None,
            client_ca_file: None,
            requests_per_minute: 600,
            failed_per_minute: 10,
            max_connections: 256,
            max_body: Size(256 << 10),
        }
    }
}

impl AdminConfig {
    /// What is wrong within the section, as (key, message); its addresses and certificates are judged
    /// together with those of the other listeners.
    pub fn problems(&self) -> Vec<(String, String)> {
        let none = [("max_connections", self.max_connections == 0), ("max_body", self.max_body.0 == 0)];
        let mut found: Vec<_> = none
            .into_iter()
            .filter(|(_, none)| *none)
            .map(|(key, _)| (key.to_owned(), "must be more than nothing".to_owned()))
            .collect();
        for (index, origin) in self.allowed_origins.iter().enumerate() {
            if !is_origin(origin) {
                let message = format!(
                    "`{origin}` is no origin; write scheme and host, and a port where it is not the default, \
                     such as https://console.example.com"
                );
                found.push((format!("allowed_origins[{index}]"), message));
            }
        }
        found
    }
}

/// Whether a browser could name `text` as an origin (RFC 6454, section 6.2); `*` and `null` are none here.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.origin().ascii_serialization() == text.trim_end_matches('/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_nothing_more() {
        for origin in ["https://a.example", "http://localhost:3000", "https://a.example/"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in
            ["*", "null", "a.example", "https://a.example/path", "https://a.example?x", "ftp://a.example", ""]
        {
            assert!(!is_origin(other), "{other}");
        }
    }
}
