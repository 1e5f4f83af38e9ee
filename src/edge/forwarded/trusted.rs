//! Which peers are proxies of ours: the elements of `server.trusted_proxies`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A peer that is believed about the client in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TrustedProxy {
    /// Whoever connects to a unix socket of ours.
    Unix,
    /// A network, or one address.
    Network(IpNet),
}

impl TrustedProxy {
    /// Whether it is the peer with this address; none is a unix socket.
    pub fn is(&self, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::Unix, None) => true,
            (Self::Network(network), Some(address)) => network.contains(&address.to_canonical()),
            (Self::Unix, Some(_)) | (Self::Network(_), None) => false,
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| {
            format!("`{text}` is neither a network, such as 10.20.0.0/16, nor an address, nor the word unix")
        })?;
        if network.prefix_len() == 0 {
            return Err(format!("`{text}` would believe everybody; list the proxies' own addresses"));
        }
        Ok(Self::Network(network))
    }
}

impl TryFrom<String> for TrustedProxy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TrustedProxy> for String {
    fn from(proxy: TrustedProxy) -> Self {
        proxy.to_string()
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_an_address_and_the_word_unix_are_understood() {
        for (text, address, is) in [
            ("10.0.0.0/8", Some("10.1.2.3"), true),
            ("10.0.0.0/8", Some("11.1.2.3"), false),
            ("10.0.0.1", Some("10.0.0.1"), true),
            ("10.0.0.1", Some("::ffff:10.0.0.1"), true),
            ("2001:db8::/32", Some("2001:db8::1"), true),
            ("10.0.0.0/8", None, false),
            ("unix", None, true),
            ("unix", Some("10.0.0.1"), false),
        ] {
            let proxy: TrustedProxy = text.parse().unwrap();
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(proxy.is(address), is, "{text} {address:?}");
        }
    }

    #[test]
    fn everybody_and_nonsense_are_refused_with_a_remedy() {
        for text in ["0.0.0.0/0", "::/0", "localhost", "10.0.0.0/33", "", "Unix"] {
            let refused = text.parse::<TrustedProxy>().unwrap_err();
            assert!(refused.contains("list the proxies") || refused.contains("such as"), "{refused}");
        }
    }
}
