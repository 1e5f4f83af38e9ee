//! Host and port of a receiver, and what the name stands for today.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::outbound::Guard;

/// Where a receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let wrong = || "must be a host and a port, such as siem.example.com:6514".to_owned();
        let (host, port) = written.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(six) if six.parse::<std::net::Ipv6Addr>().is_ok() => six,
            None if !host.is_empty() && !host.contains([':', '/', '@', ' ']) => host,
            _ => return Err(wrong()),
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            Guard::operator_chosen().judge(ip).map_err(|refused| refused.to_string())?;
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Address {
    /// The addresses that may be reached. The administrator chose the name; nobody chose what it may be made to mean.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map_err(|_| format!("the name {} cannot be resolved", self.host))?;
        let guard = Guard::operator_chosen();
        let (mut admitted, mut refusal) = (Vec::new(), format!("the name {} has no address", self.host));
        for address in found {
            match guard.judge(address.ip()) {
                Ok(()) => admitted.push(address),
                Err(refused) => refusal = refused.to_string(),
            }
        }
        if admitted.is_empty() { Err(refusal) } else { Ok(admitted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_asked_for() {
        for (written, host, port) in
            [("siem:514", "siem", 514), ("10.0.0.1:6514", "10.0.0.1", 6514), ("[::1]:1", "::1", 1)]
        {
            assert_eq!(written.parse(), Ok(Address { host: host.to_owned(), port }));
        }
        for wrong in [
            "",
            "siem",
            "siem:",
            ":514",
            "siem:0",
            "siem:70000",
            "::1:514",
            "[siem]:1",
            "a/b:1",
            "169.254.169.254:514",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
