//! Which addresses may be reached (against server-side request forgery). Judged on addresses,
//! never on names, and again at connect time, since a name may answer differently each time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::OutboundError;

/// Which addresses may be reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Reach);

#[derive(Clone, Debug)]
enum Reach {
    Public { allow_private: Arc<[IpNet]> },
    Operator,
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    /// Loopback, private, shared, documentation or reserved.
    Private,
    /// Link-local, cloud metadata, unspecified, multicast, broadcast.
    Never,
}

impl Guard {
    /// Public addresses over `https`; private ones only inside `allow_private`, and only those over `http` too.
    pub fn public_only(allow_private: Vec<IpNet>) -> Self {
        Self(Reach::Public { allow_private: allow_private.into() })
    }

    /// For an address that the operator wrote down, such as the PSA's: anything but link-local,
    /// cloud metadata, unspecified, multicast and broadcast; `http` and `https`.
    pub fn operator_chosen() -> Self {
        Self(Reach::Operator)
    }

    /// Whether `ip` may be reached over TLS.
    ///
    /// # Errors
    /// [`OutboundError::Forbidden`] with the address and the remedy.
    pub fn judge(&self, ip: IpAddr) -> Result<(), OutboundError> {
        self.judge_over(ip, true)
    }

    /// Whether `ip` may be reached, over TLS or in plain text.
    pub(super) fn judge_over(&self, ip: IpAddr, tls: bool) -> Result<(), OutboundError> {
        let target = embedded(ip);
        let refuse = |why| Err(OutboundError::Forbidden { target: ip.to_string(), why });
        match (class(target), &self.0) {
            (Class::Never, _) => {
                refuse("link-local, metadata, multicast and unspecified addresses are never reached")
            }
            (Class::Public | Class::Private, Reach::Operator) => Ok(()),
            (class, Reach::Public { allow_private }) => {
                let listed = allow_private.iter().any(|net| net.contains(&target));
                match class {
                    _ if listed => Ok(()),
                    Class::Public if tls => Ok(()),
                    Class::Public => refuse("http is for allowed private addresses only; use https"),
                    Class::Private | Class::Never => refuse(
                        "it is a private or reserved address; list its network in allow_private_networks",
                    ),
                }
            }
        }
    }

    /// The addresses of `found` that may be reached.
    ///
    /// # Errors
    /// The first refusal where none may be; [`OutboundError::Dns`] where none was found.
    pub(super) fn admit(
        &self,
        found: impl Iterator<Item = SocketAddr>,
        tls: bool,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let mut refusal = OutboundError::Dns;
        let mut admitted = Vec::new();
        for address in found {
            match self.judge_over(address.ip(), tls) {
                Ok(()) => admitted.push(address),
                Err(refused) => refusal = refused,
            }
        }
        if admitted.is_empty() { Err(refusal) } else { Ok(admitted) }
    }

    /// Judges a URL before it is stored or used: scheme, no credentials, host, and what the name resolves to now.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`], [`OutboundError::Forbidden`] or [`OutboundError::Dns`].
    pub async fn judge_url(&self, url: &Url) -> Result<(), OutboundError> {
        self.judge_written(url)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let port = url.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((name, port)).await.map_err(|_| OutboundError::Dns)?;
        self.admit(found, url.scheme() == "https").map(|_| ())
    }

    /// What [`Guard::judge_url`] can say without asking anybody: a name is not resolved, so a
    /// host that is an IP address is the only kind that can be forbidden.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] or [`OutboundError::Forbidden`].
    pub fn judge_written(&self, url: &Url) -> Result<(), OutboundError> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(OutboundError::Invalid("its scheme must be https (or http where allowed)")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::Invalid("it must not contain a user name or password"));
        }
        match url.host().ok_or(OutboundError::Invalid("it has no host"))? {
            Host::Ipv4(ip) => self.judge_over(ip.into(), tls),
            Host::Ipv6(ip) => self.judge_over(ip.into(), tls),
            Host::Domain(_) => Ok(()),
        }
    }
}

/// The IPv4 address inside a mapped (RFC 4291 2.5.5.2) or NAT64 (RFC 6052) address, else the address itself.
fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    if let Some(four) = six.to_ipv4_mapped() {
        return four.into();
    }
    match six.octets() {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => ip,
    }
}

const fn four(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn six(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const NEVER_4: [Ipv4Net; 7] = [
    four(0, 0, 0, 0, 8),
    four(169, 254, 0, 0, 16),
    four(224, 0, 0, 0, 4),
    four(255, 255, 255, 255, 32),
    // Metadata and platform services of clouds outside the link-local range.
    four(100, 100, 100, 200, 32),
    four(168, 63, 129, 16, 32),
    four(192, 0, 0, 192, 32),
];

/// IANA IPv4 Special-Purpose Address Registry.
const PRIVATE_4: [Ipv4Net; 12] = [
    four(10, 0, 0, 0, 8),
    four(100, 64, 0, 0, 10),
    four(127, 0, 0, 0, 8),
    four(172, 16, 0, 0, 12),
    four(192, 0, 0, 0, 24),
    four(192, 0, 2, 0, 24),
    four(192, 88, 99, 0, 24),
    four(192, 168, 0, 0, 16),
    four(198, 18, 0, 0, 15),
    four(198, 51, 100, 0, 24),
    four(203, 0, 113, 0, 24),
    four(240, 0, 0, 0, 4),
];

/// Only this block is handed out for the public Internet (RFC 4291 section 2.4).
const GLOBAL_6: Ipv6Net = six(0x2000, 0, 0, 3);

/// Protocol assignments, documentation and 6to4 inside it, which can hide an IPv4 address.
const PRIVATE_6: [Ipv6Net; 4] =
    [six(0x2001, 0, 0, 23), six(0x2001, 0xdb8, 0, 32), six(0x2002, 0, 0, 16), six(0x3fff, 0, 0, 20)];

const NEVER_6: [Ipv6Net; 2] = [six(0xfe80, 0, 0, 10), six(0xff00, 0, 0, 8)];

/// Metadata services of clouds on IPv6.
const METADATA_6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

fn class(ip: IpAddr) -> Class {
    let (never, private) = match ip {
        IpAddr::V4(ip) => {
            (NEVER_4.iter().any(|net| net.contains(&ip)), PRIVATE_4.iter().any(|net| net.contains(&ip)))
        }
        IpAddr::V6(ip) => (
            ip.is_unspecified() || METADATA_6.contains(&ip) || NEVER_6.iter().any(|net| net.contains(&ip)),
            !GLOBAL_6.contains(&ip) || PRIVATE_6.iter().any(|net| net.contains(&ip)),
        ),
    };
    match (never, private) {
        (true, _) => Class::Never,
        (false, true) => Class::Private,
        (false, false) => Class::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: [&str; 15] = [
        "0.0.0.0",
        "0.1.2.3",
        "169.254.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ];
    const PRIVATE: [&str; 22] = [
        "127.0.0.1",
        "127.255.0.9",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "240.0.0.1",
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "64:ff9b:1::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "64:ff9b::7f00:1",
    ];
    const PUBLIC: [&str; 6] =
        ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_public_addresses_are_reached_where_no_private_network_is_allowed() {
        let guard = Guard::public_only(vec![]);
        for address in PUBLIC {
            assert!(guard.judge(ip(address)).is_ok(), "{address}");
        }
        for address in NEVER.iter().chain(&PRIVATE) {
            assert!(guard.judge(ip(address)).is_err(), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_admits_its_own_addresses_and_no_others() {
        let guard = Guard::public_only(vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd12::1"] {
            assert!(guard.judge(ip(address)).is_ok(), "{address}");
        }
        for address in ["10.0.0.1", "::1", "fd00:ec2::254"] {
            assert!(guard.judge(ip(address)).is_err(), "{address}");
        }
    }

    #[test]
    fn link_local_and_metadata_addresses_are_never_reached_whatever_is_allowed() {
        let everything = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        for guard in [Guard::public_only(everything), Guard::operator_chosen()] {
            for address in NEVER {
                assert!(guard.judge(ip(address)).is_err(), "{address}");
            }
            for address in PRIVATE.iter().chain(&PUBLIC) {
                assert!(guard.judge_over(ip(address), false).is_ok(), "{address}");
            }
        }
    }

    #[test]
    fn plain_http_is_for_allowed_private_addresses() {
        let guard = Guard::public_only(vec!["127.0.0.0/8".parse().unwrap()]);
        assert!(guard.judge_over(ip("127.0.0.1"), false).is_ok());
        assert!(guard.judge_over(ip("1.1.1.1"), false).is_err());
    }

    #[tokio::test]
    async fn a_url_is_judged_by_scheme_host_and_what_its_name_resolves_to() {
        let guard = Guard::public_only(vec![]);
        for refused in [
            "ftp://1.1.1.1/",
            "file:///etc/passwd",
            "https://user@1.1.1.1/",
            "http://1.1.1.1/",
            "https://localhost/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert!(guard.judge_url(&refused.parse().unwrap()).await.is_err(), "{refused}");
        }
        assert!(guard.judge_url(&"https://1.1.1.1/keys".parse().unwrap()).await.is_ok());
        let local = Guard::public_only(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        assert!(local.judge_url(&"http://localhost:9/".parse().unwrap()).await.is_ok());
    }

    #[test]
    fn an_address_that_is_written_out_is_judged_without_asking_anybody() {
        let guard = Guard::public_only(vec!["10.0.0.0/8".parse().unwrap()]);
        for refused in [
            "http://169.254.169.254/",
            "https://169.254.169.254/",
            "https://2852039166/",
            "https://[::ffff:169.254.169.254]/",
            "https://127.0.0.1/",
            "http://1.1.1.1/",
            "https://a:b@login.example/",
            "ftp://login.example/",
        ] {
            assert!(guard.judge_written(&refused.parse().unwrap()).is_err(), "{refused}");
        }
        for good in ["http://10.0.0.1/", "https://1.1.1.1/", "https://no-such-name.invalid/"] {
            assert!(guard.judge_written(&good.parse().unwrap()).is_ok(), "{good}");
        }
    }
}
