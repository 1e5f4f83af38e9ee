//! Which hosts and origins may speak to us, and under which URL we are known.
//!
//! The one place that the resource identifier is built from. Pure.

use std::sync::Arc;

use crate::identity::metadata::{Resource, metadata_paths};

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
    /// `http` or `https`, as the client sees it.
    pub scheme: &'a str,
    /// The authority that the client addressed.
    pub host: Option<&'a str>,
    /// The path that a proxy in front cut off, such as `/psa`, or nothing.
    pub prefix: &'a str,
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

    /// The resource as this caller knows it: `public_url` first, else scheme, host and prefix.
    pub fn resource(&self, approach: Approach<'_>) -> Arc<Resource> {
        match &self.fixed {
            Some(resource) => resource.clone(),
            None => {
                let Approach { scheme, host, prefix, .. } = approach;
                let host = host.unwrap_or("localhost");
                Arc::new(Resource::new(&format!("{scheme}://{host}{prefix}"), &self.mcp_path))
            }
        }
    }

    /// The paths of the MCP endpoint and those of the metadata. A proxy may cut off the public URL's own
    /// path or pass it on, and passes the metadata's on whole: all of them are ours.
    pub fn paths(&self) -> (Vec<String>, Vec<String>) {
        let mut mcp = vec![self.mcp_path.clone()];
        let mut metadata = metadata_paths(&self.mcp_path).to_vec();
        if let Some(resource) = &self.fixed {
            mcp.push(resource.path().to_owned());
            metadata.push(resource.metadata_path().to_owned());
        }
        (mcp, metadata)
    }

    /// Whether the URL under which we are known is fixed, and not each caller's own.
    pub fn is_fixed(&self) -> bool {
        self.fixed.is_some()
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
        Approach { scheme: "https", host: Some(host), prefix: "", origin }
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
        let absent = Approach { scheme: "https", host: None, prefix: "", origin: None };
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
        assert_eq!(resource.identifier(), "https://gate.example/psa/api/mcp");
        assert_eq!(door().paths().0, ["/api/mcp", "/psa/api/mcp"]);
        assert_eq!(door().paths().1.last().unwrap(), "/.well-known/oauth-protected-resource/psa/api/mcp");
    }

    #[test]
    fn without_a_public_url_scheme_host_and_prefix_name_the_resource() {
        let door = Doorway::new("/api/mcp", None, &["localhost:8443".to_owned()], &[]);
        assert_eq!(
            door.resource(approach("LOCALHOST:8443", None)).identifier(),
            "https://localhost:8443/api/mcp"
        );
        let behind = Approach { prefix: "/psa", ..approach("localhost:8443", None) };
        assert_eq!(door.resource(behind).identifier(), "https://localhost:8443/psa/api/mcp");
        assert_eq!(door.paths().0, ["/api/mcp"]);
    }
}
