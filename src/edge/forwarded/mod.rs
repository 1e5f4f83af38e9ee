//! Where a request comes from and what its client called us, seen through the proxies in front. Pure.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-*` are read only where the peer is a listed proxy, and of
//! each list only what listed proxies wrote: every proxy appends on the right, so the walk goes from
//! the right and ends at the first address that is not listed. Which of the two families a proxy sets
//! and which it merely lets pass cannot be seen from here. So where both speak of one thing and
//! disagree, neither is believed: the client is then the proxy, the scheme is the connection's, and
//! the host is none, which is refused.

mod parse;
#[cfg(test)]
mod tests;
mod trusted;

use std::net::IpAddr;

pub use trusted::TrustedProxy;

use parse::{Element, authority, elements, listed, node, port, prefix, scheme};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// None for a unix socket.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// What is known of the client and of what it called us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether a listed proxy is the peer.
    pub by_proxy: bool,
    /// The client's address; none behind a unix socket that tells nothing.
    pub client: Option<IpAddr>,
    /// The listed proxies after the client, the peer last; a unix peer is not among them.
    pub proxies: Vec<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `host` or `host:port` in lower case, without the scheme's default port; none where it cannot
    /// be read or is in dispute.
    pub host: Option<String>,
    /// The path that a proxy cut off in front, such as `/psa`, or nothing.
    pub prefix: String,
}

impl Place {
    /// All addresses on the way, the client's first: the value of a new `X-Forwarded-For`.
    pub fn chain(&self) -> impl Iterator<Item = IpAddr> {
        self.client.into_iter().chain(self.proxies.iter().copied())
    }

    /// Takes the prefix from a path in which it is inserted (RFC 9728 section 3.1), where a proxy passes
    /// such paths on whole. False where `inserted` is not to be believed.
    pub fn take_inserted(&mut self, inserted: &str) -> bool {
        let plausible = self.by_proxy && prefix(inserted).as_deref() == Some(inserted);
        if !plausible || !(self.prefix.is_empty() || self.prefix == inserted) {
            return false;
        }
        self.prefix = inserted.to_owned();
        true
    }
}

/// Sees through the `trusted` proxies. `host` is the request's own authority, `values` gives all values
/// of a header in their order.
///
/// Of a comma list in `X-Forwarded-Proto`, `-Host`, `-Port` and `-Prefix`, the element counts that stands
/// as far from the right as the client does in `X-Forwarded-For`: what the outermost listed proxy wrote.
/// A shorter list gives its first. Without any word on the scheme, `X-Forwarded-Port: 443` says https.
pub fn place<'a>(
    trusted: &[TrustedProxy],
    peer: Peer,
    host: Option<&str>,
    values: impl Fn(&'static str) -> Vec<&'a [u8]>,
) -> Place {
    let own = if peer.encrypted { "https" } else { "http" };
    let address = peer.address.map(|address| address.to_canonical());
    let known = |address| trusted.iter().any(|proxy| proxy.is(address));
    if !known(address) {
        return Place {
            by_proxy: false,
            client: address,
            proxies: Vec::new(),
            scheme: own,
            host: host.and_then(|host| authority(host, own)),
            prefix: String::new(),
        };
    }
    let lines = values("forwarded");
    let told = elements(&lines);
    let new = Walk::along(told.iter().rev().map(|element| element.node), known);
    let for_values = values("x-forwarded-for");
    let old = Walk::along(listed(&for_values).map(|text| Some(node(text))), known);
    let said = |name| listed(&values(name)).take(old.elements.max(1)).last().map(str::to_owned);
    let written =
        |of: fn(&Element) -> Option<&String>| told.iter().rev().take(new.elements).filter_map(of).next_back();

    let said_port = said("x-forwarded-port").as_deref().and_then(port);
    let proto = agreed(
        written(|element| element.proto.as_ref()).and_then(|text| scheme(text)),
        said("x-forwarded-proto").as_deref().and_then(scheme),
    );
    let scheme = match proto {
        Ok(Some(scheme)) => scheme,
        Ok(None) if said_port == Some(443) => "https",
        Ok(None) | Err(Dispute) => own,
    };
    let read = |text: &str| authority(text, scheme);
    let hosts = agreed(
        written(|element| element.host.as_ref()).map(|text| read(text)),
        said("x-forwarded-host").map(|text| read(&text)),
    );
    let host = match hosts {
        Ok(Some(told)) => told,
        Ok(None) => host.and_then(read),
        Err(Dispute) => None,
    };
    let hops = match agreed(new.client(), old.client()) {
        Ok(_) if new.spoke => new.hops,
        Ok(_) => old.hops,
        Err(Dispute) => Vec::new(),
    };
    // The last address learned is the client's; all that are nearer are proxies.
    let mut way: Vec<_> = hops.into_iter().rev().chain(address).collect();
    let client = (!way.is_empty()).then(|| way.remove(0));
    Place {
        by_proxy: true,
        client,
        proxies: way,
        scheme,
        host: host.map(|host| parse::with_port(host, said_port)),
        prefix: said("x-forwarded-prefix").as_deref().and_then(prefix).unwrap_or_default(),
    }
}

/// Two families say two things.
struct Dispute;

fn agreed<T: PartialEq>(one: Option<T>, other: Option<T>) -> Result<Option<T>, Dispute> {
    match (&one, &other) {
        (Some(a), Some(b)) if a != b => Err(Dispute),
        _ => Ok(one.or(other)),
    }
}

/// What one family says of the way here.
struct Walk {
    /// Whether it names the client at all, be it as unknown.
    spoke: bool,
    /// How many elements listed proxies wrote.
    elements: usize,
    /// The addresses in them, the nearest first, without the peer.
    hops: Vec<IpAddr>,
}

impl Walk {
    /// Follows `nodes` from the nearest: none where an element names no node, `Some(None)` where it names
    /// one without an address.
    fn along(
        nodes: impl Iterator<Item = Option<Option<IpAddr>>>,
        known: impl Fn(Option<IpAddr>) -> bool,
    ) -> Self {
        let mut walk = Self { spoke: false, elements: 0, hops: Vec::new() };
        for node in nodes {
            walk.elements += 1;
            walk.spoke |= node.is_some();
            let Some(Some(address)) = node else { break };
            walk.hops.push(address);
            if !known(Some(address)) {
                break;
            }
        }
        walk
    }

    /// The client, where the family speaks of it; `Some(None)` where it says only that it is unknown.
    fn client(&self) -> Option<Option<IpAddr>> {
        self.spoke.then(|| self.hops.last().copied())
    }
}
