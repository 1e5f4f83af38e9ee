//! Which hosts and origins may speak to us, and under which URL we are known.
//!
//! The one place that the resource identifier is built from. Pure.

use std::sync::Arc;

use crate::identity::metadata::Resource;

/// Where requests may come from and where they think they go.
pub struct Doorway {
    mcp_path: String,
    fixed: Option<Arc<Resource>>,
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// What the doorway looks at.
#[derive(Clone, Copy, Debug)]
pub struct Approach<'a> {
    /// `http` or `https`, as the connection is.
    pub scheme: &'a str,
    /// The Host header or `:authority`.
    pub host: Option<&'a str>,
    /// The Origin header.
    pub origin: Option<&'a str>,
}

/// What the doorway refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorFault {
    /// A host that is not ours.
    Host,
    /// An origin that may not call us.
    Origin,
}

impl Doorway {
    /// `public_url` is the base that clients use (no path: the root); `hosts` are further names
    /// as `host` or `host:port`; `origins` are browser origins beside those of the hosts.
    pub fn new(mcp_path: &str, public_url: Option<&str>, hosts: &[String], origins: &[String]) -> Self {
        let mut hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let mut origins: Vec<String> = origins.iter().map(|origin| canonical_origin(origin)).collect();
        if let Some((scheme, rest)) = public_url.and_then(|url| url.split_once("://")) {
            let authority = rest.split('/').next().unwrap_or(rest).to_ascii_lowercase();
            origins.push(canonical_origin(&format!("{scheme}://{authority}")));
            hosts.push(authority);
        }
        Self {
            mcp_path: mcp_path.to_owned(),
            fixed: public_url.map(|base| Arc::new(Resource::new(base, mcp_path))),
            hosts,
            origins,
        }
    }

    /// Refuses foreign hosts, then foreign origins (MCP, Streamable HTTP, security warning).
    pub fn check(&self, approach: Approach<'_>) -> Result<(), DoorFault> {
        let host = approach.host.unwrap_or_default().to_ascii_lowercase();
        let known = |host: &str| {
            let bare = without_default_port(host);
            self.hosts.iter().any(|ours| ours == host || without_default_port(ours) == bare)
        };
        if host.is_empty() || !known(&host) {
            return Err(DoorFault::Host);
        }
        let Some(origin) = approach.origin else { return Ok(()) };
        let origin = canonical_origin(origin);
        let ours = origin.split_once("://").is_some_and(|(_, authority)| known(authority));
        if ours || self.origins.contains(&origin) { Ok(()) } else { Err(DoorFault::Origin) }
    }

    /// The resource as this caller knows it: `public_url` first, else scheme and Host.
    pub fn resource(&self, approach: Approach<'_>) -> Arc<Resource> {
        match &self.fixed {
            Some(resource) => resource.clone(),
            None => {
                let host = approach.host.unwrap_or("localhost").to_ascii_lowercase();
                Arc::new(Resource::new(&format!("{}://{host}", approach.scheme), &self.mcp_path))
            }
        }
    }
}

fn canonical_origin(origin: &str) -> String {
    let origin = origin.trim_end_matches('/').to_ascii_lowercase();
    match origin.split_once("://") {
        Some(("http", authority)) => format!("http://{}", authority.strip_suffix(":80").unwrap_or(authority)),
        Some(("https", authority)) => {
            format!("https://{}", authority.strip_suffix(":443").unwrap_or(authority))
        }
        _ => origin,
    }
}

fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Doorway {
        Doorway::new(
            "/api/mcp",
            Some("https://Gate.Example/psa/"),
            &["localhost:8443".to_owned(), "127.0.0.1:8443".to_owned()],
            &["https://app.example".to_owned()],
        )
    }

    fn approach<'a>(host: &'a str, origin: Option<&'a str>) -> Approach<'a> {
        Approach { scheme: "https", host: Some(host), origin }
    }

    #[test]
    fn the_public_host_and_listed_hosts_are_ours_in_any_case_and_with_the_default_port() {
        for host in ["gate.example", "GATE.example:443", "localhost:8443", "127.0.0.1:8443"] {
            assert_eq!(door().check(approach(host, None)), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_foreign_or_absent_host_is_refused_before_the_origin_is_looked_at() {
        for host in ["evil.example", "localhost", "localhost:1", "gate.example.evil.example", ""] {
            assert_eq!(
                door().check(approach(host, Some("https://evil.example"))),
                Err(DoorFault::Host),
                "{host}"
            );
        }
        let absent = Approach { scheme: "https", host: None, origin: None };
        assert_eq!(door().check(absent), Err(DoorFault::Host));
    }

    #[test]
    fn an_origin_must_be_listed_or_be_one_of_our_own_hosts() {
        for origin in ["https://app.example", "https://gate.example", "http://localhost:8443"] {
            assert_eq!(door().check(approach("gate.example", Some(origin))), Ok(()), "{origin}");
        }
        for origin in
            ["https://evil.example", "null", "", "https://app.example.evil.example", "http://app.example"]
        {
            assert_eq!(
                door().check(approach("gate.example", Some(origin))),
                Err(DoorFault::Origin),
                "{origin}"
            );
        }
    }

    #[test]
    fn the_public_url_names_the_resource_whatever_the_host_header_says() {
        let resource = door().resource(approach("localhost:8443", None));
        assert_eq!(resource.identifier(), "https://Gate.Example/psa/api/mcp");
    }

    #[test]
    fn without_a_public_url_scheme_and_host_name_the_resource() {
        let door = Doorway::new("/api/mcp", None, &["localhost:8443".to_owned()], &[]);
        assert_eq!(
            door.resource(approach("LOCALHOST:8443", None)).identifier(),
            "https://localhost:8443/api/mcp"
        );
    }
}
