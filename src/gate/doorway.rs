//! Which hosts and origins may speak to us, where, and under which URLs we are known.
//!
//! The one place that resource identifiers are built from: each endpoint is a resource of its own. Pure.

use std::sync::Arc;

use super::registry::REGISTRY;
use crate::identity::metadata::{Resource, WELL_KNOWN, metadata_path};

/// Where requests may come from and where they think they go.
pub struct Doorway {
    /// The first is the one that the metadata at the root speaks of.
    endpoints: Vec<Served>,
    hosts: Vec<String>,
    origins: Vec<String>,
    /// The path of the public URL, where there is one.
    base: Option<String>,
    /// What a tenant's paths begin with below it.
    below: String,
}

/// One endpoint: its path below the public URL, and its resource where that is the same for everybody.
struct Served {
    kind: Kind,
    path: String,
    fixed: Option<Arc<Resource>>,
}

/// What is done at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Streamable HTTP: one endpoint for everything.
    Streamable,
    /// HTTP+SSE: where the event stream is opened.
    Events,
    /// HTTP+SSE: where messages for an open event stream are sent.
    Messages,
    /// The PSA's registry, as far as an agent may use it.
    Registry,
}

/// An endpoint that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What is done there.
    pub kind: Kind,
    /// Which of the resources it belongs to.
    pub resource: usize,
}

/// Paths, and what is meant by each.
pub type Paths<T> = Vec<(String, T)>;

/// Where messages of an event stream are sent, below the stream's own path.
pub const MESSAGES: &str = "/messages";

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
    /// Which of the resources is meant; 0 is the main one.
    pub resource: usize,
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
    /// `streamable` and `events` are the endpoints' paths, the main one first; `below` is what a further tenant's paths
    /// begin with, such as `/t/acme`; `public_url` is the base that
    /// clients use (no path: the root); `hosts` are further names as `host` or `host:port`; `origins` are browser
    /// origins beside those of the hosts.
    pub fn new(
        streamable: &[String],
        events: &[String],
        below: &str,
        public_url: Option<&str>,
        hosts: &[String],
        origins: &[String],
    ) -> Self {
        let mut hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let mut origins: Vec<String> = origins.iter().map(|origin| canonical_origin(origin)).collect();
        if let Some((scheme, rest)) = public_url.and_then(|url| url.split_once("://")) {
            let authority = rest.split('/').next().unwrap_or(rest).to_ascii_lowercase();
            origins.push(canonical_origin(&format!("{scheme}://{authority}")));
            hosts.push(authority);
        }
        let served = |kind, paths: &'_ [String]| {
            let one = move |path: &String| {
                let path = format!("{below}{path}");
                let fixed = public_url.map(|base| Arc::new(Resource::new(base, &path)));
                Served { kind, path, fixed }
            };
            paths.iter().map(one).collect::<Vec<_>>().into_iter()
        };
        Self {
            endpoints: served(Kind::Streamable, streamable).chain(served(Kind::Events, events)).collect(),
            hosts,
            origins,
            base: public_url.and_then(|url| url.split_once("://")).map(|(_, rest)| path_of(rest)),
            below: below.to_owned(),
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
        let served = self.endpoints.get(approach.resource).or(self.endpoints.first());
        match served.and_then(|served| served.fixed.as_ref()) {
            Some(resource) => resource.clone(),
            None => {
                let Approach { scheme, host, prefix, .. } = approach;
                let host = host.unwrap_or("localhost");
                let path = served.map_or("/", |served| &served.path);
                Arc::new(Resource::new(&format!("{scheme}://{host}{prefix}"), path))
            }
        }
    }

    /// The paths of the endpoints, and of each resource's metadata. A proxy may cut off the public URL's own
    /// path or pass it on, and passes the metadata's on whole: all of them are ours.
    pub fn paths(&self) -> (Paths<Endpoint>, Paths<usize>) {
        let (mut endpoints, mut metadata) = (Vec::new(), vec![(WELL_KNOWN.to_owned(), 0)]);
        for path in self.registry() {
            endpoints.push((path, Endpoint { kind: Kind::Registry, resource: 0 }));
        }
        for (resource, served) in self.endpoints.iter().enumerate() {
            let mut all = vec![served.path.clone()];
            all.extend(served.fixed.as_ref().map(|fixed| fixed.path().to_owned()));
            metadata.push((metadata_path(&served.path), resource));
            metadata.extend(served.fixed.as_ref().map(|fixed| (fixed.metadata_path().to_owned(), resource)));
            for path in all {
                if served.kind == Kind::Events {
                    let messages = Endpoint { kind: Kind::Messages, resource };
                    endpoints.push((format!("{path}{MESSAGES}"), messages));
                }
                endpoints.push((path, Endpoint { kind: served.kind, resource }));
            }
        }
        (endpoints, metadata)
    }

    /// The paths of the registry: beside the main endpoint, below the same tenant.
    fn registry(&self) -> Vec<String> {
        let mut paths = vec![format!("{}{REGISTRY}", self.below)];
        let base = self.base.as_deref().map(|base| format!("{base}{}{REGISTRY}", self.below));
        paths.extend(base.filter(|path| !paths.contains(path)));
        paths
    }

    /// The paths of the endpoints after whatever prefix, where each caller may have one of its own.
    pub fn inserted(&self) -> Paths<usize> {
        let open = self.endpoints.iter().enumerate().filter(|(_, served)| served.fixed.is_none());
        open.map(|(resource, served)| (served.path.clone(), resource)).collect()
    }
}

/// The path of what follows a URL's scheme, without a slash at its end.
fn path_of(rest: &str) -> String {
    rest.find('/').map_or_else(String::new, |at| rest[at..].trim_end_matches('/').to_owned())
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
            &["/api/mcp".to_owned(), "/mcp".to_owned()],
            &["/api/mcp/sse".to_owned()],
            "",
            Some("https://Gate.Example/psa/"),
            &["localhost:8443".to_owned(), "127.0.0.1:8443".to_owned()],
            &["https://app.example".to_owned()],
        )
    }

    fn approach<'a>(host: &'a str, origin: Option<&'a str>) -> Approach<'a> {
        Approach { scheme: "https", host: Some(host), prefix: "", origin, resource: 0 }
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
        let absent = Approach { scheme: "https", host: None, prefix: "", origin: None, resource: 0 };
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
        let (endpoints, metadata) = door().paths();
        let of =
            |path: &str| endpoints.iter().find(|(served, _)| served == path).map(|(_, endpoint)| *endpoint);
        for path in ["/api/mcp", "/psa/api/mcp"] {
            assert_eq!(of(path), Some(Endpoint { kind: Kind::Streamable, resource: 0 }), "{path}");
        }
        let about = |path: &str| metadata.iter().find(|(served, _)| served == path).map(|(_, about)| *about);
        assert_eq!(about("/.well-known/oauth-protected-resource"), Some(0));
        assert_eq!(about("/.well-known/oauth-protected-resource/psa/api/mcp"), Some(0));
    }

    #[test]
    fn each_alias_and_each_event_stream_is_a_resource_of_its_own() {
        let (endpoints, metadata) = door().paths();
        let of =
            |path: &str| endpoints.iter().find(|(served, _)| served == path).map(|(_, endpoint)| *endpoint);
        for (path, kind, resource) in [
            ("/psa/mcp", Kind::Streamable, 1),
            ("/api/mcp/sse", Kind::Events, 2),
            ("/psa/api/mcp/sse/messages", Kind::Messages, 2),
        ] {
            assert_eq!(of(path), Some(Endpoint { kind, resource }), "{path}");
        }
        let identifier = |resource| {
            let approach = Approach { resource, ..approach("gate.example", None) };
            door().resource(approach).identifier().to_owned()
        };
        assert_eq!(identifier(1), "https://gate.example/psa/mcp");
        assert_eq!(identifier(2), "https://gate.example/psa/api/mcp/sse");
        assert!(metadata.contains(&("/.well-known/oauth-protected-resource/psa/api/mcp/sse".to_owned(), 2)));
    }

    #[test]
    fn without_a_public_url_scheme_host_and_prefix_name_the_resource() {
        let door = Doorway::new(&["/api/mcp".to_owned()], &[], "", None, &["localhost:8443".to_owned()], &[]);
        assert_eq!(
            door.resource(approach("LOCALHOST:8443", None)).identifier(),
            "https://localhost:8443/api/mcp"
        );
        let behind = Approach { prefix: "/psa", ..approach("localhost:8443", None) };
        assert_eq!(door.resource(behind).identifier(), "https://localhost:8443/psa/api/mcp");
        assert_eq!((door.paths().0.len(), door.inserted()), (2, vec![("/api/mcp".to_owned(), 0)]));
    }
}
