//! Which part of us a request is for. Pure.

use super::through::{Verdict, judge};
use crate::gate::Endpoint;
use crate::identity::metadata::WELL_KNOWN;

/// The parts that answer on the public listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// An MCP endpoint, any method.
    Mcp(Endpoint),
    /// The metadata of a protected resource (RFC 9728), at the root and at the path-inserted URL.
    Metadata(usize),
    /// The PSA itself.
    Through,
    /// Nobody, until it is spelt so that it means one thing; how.
    Unclear(&'static str),
    /// Nobody.
    Nothing,
}

/// The paths that are served.
#[derive(Clone, Debug)]
pub struct Routes {
    endpoints: Vec<(String, Endpoint)>,
    metadata: Vec<(String, usize)>,
    inserted: Vec<(String, usize)>,
    through: bool,
    /// What does not pass through, whatever is below it.
    ours: Vec<String>,
}

impl Routes {
    /// `endpoints` are the MCP endpoints' paths, `metadata` those of the resources' metadata. Where proxies
    /// tell the prefix, `inserted` are the resources' paths after it, and the metadata is at every prefix.
    /// `through`: all else is the PSA's, but for what is hidden; otherwise it is nobody's.
    pub fn new(
        endpoints: Vec<(String, Endpoint)>,
        metadata: Vec<(String, usize)>,
        inserted: Vec<(String, usize)>,
        through: bool,
    ) -> Self {
        let ours = endpoints.iter().map(|(path, _)| path.clone()).collect();
        Self { endpoints, metadata, inserted, through, ours }
    }

    /// Hides these paths from the PSA as well, and whatever is below them.
    #[must_use]
    pub fn with(mut self, ours: &[String]) -> Self {
        self.ours.extend_from_slice(ours);
        self
    }

    /// The paths of all endpoints and metadata documents.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let metadata = self.metadata.iter().map(|(path, _)| path.as_str());
        self.endpoints.iter().map(|(path, _)| path.as_str()).chain(metadata)
    }

    /// The prefix that a proxy in front cut off, as a metadata path tells it: `/psa` where the path is
    /// `/.well-known/oauth-protected-resource/psa/api/mcp` (RFC 9728 section 3.1), and whose metadata is meant.
    pub fn inserted<'a>(&self, path: &'a str) -> Option<(&'a str, usize)> {
        let whole = path.strip_prefix(WELL_KNOWN)?;
        // Of two resources whose paths both end it, the longer is meant.
        let mut resources: Vec<_> = self.inserted.iter().collect();
        resources.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let found =
            resources.iter().find_map(|(path, resource)| Some((whole.strip_suffix(path)?, *resource)));
        found.filter(|(prefix, _)| prefix.starts_with('/'))
    }

    /// Compares the raw path: what is spelt differently is not ours. `target` is what would be
    /// passed on, byte for byte.
    pub fn of(&self, path: &str, target: &[u8]) -> Route {
        if let Some((_, endpoint)) = self.endpoints.iter().find(|(known, _)| known == path) {
            return Route::Mcp(*endpoint);
        }
        let metadata = self.metadata.iter().find(|(known, _)| known == path).map(|(_, resource)| *resource);
        if let Some(resource) = metadata.or_else(|| Some(self.inserted(path)?.1)) {
            Route::Metadata(resource)
        } else if self.through {
            match judge(target, &self.ours) {
                Verdict::Harmless => Route::Through,
                Verdict::Hidden => Route::Nothing,
                Verdict::Unclear(remedy) => Route::Unclear(remedy),
            }
        } else {
            Route::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Kind;

    fn routes(inserted: Option<&str>, through: bool) -> Routes {
        let mcp = vec![("/api/mcp".to_owned(), MCP)];
        let inserted = inserted.map(|path| (path.to_owned(), 0)).into_iter().collect();
        Routes::new(mcp, vec![(WELL_KNOWN.to_owned(), 0)], inserted, through)
    }

    fn of(routes: &Routes, path: &str) -> Route {
        routes.of(path, path.as_bytes())
    }

    const MCP: Endpoint = Endpoint { kind: Kind::Streamable, resource: 0 };

    const MISSPELT: [&str; 5] = ["/api/mcp/", "/api//mcp", "/api/%6dcp", "/API/MCP", "/api/mcp;x"];

    #[test]
    fn only_the_exact_spelling_of_a_path_is_served() {
        for through in [false, true] {
            let routes = routes(None, through);
            assert_eq!(of(&routes, "/api/mcp"), Route::Mcp(MCP));
            assert_eq!(of(&routes, WELL_KNOWN), Route::Metadata(0));
            for path in MISSPELT {
                assert_eq!(of(&routes, path), Route::Nothing, "{path}");
            }
        }
    }

    #[test]
    fn all_else_is_nobodys_or_the_psas() {
        for path in ["/", "/api/v1/tickets", "/api/mcp/../mcp"] {
            assert_eq!(of(&routes(None, false), path), Route::Nothing, "{path}");
        }
        assert_eq!(routes(None, true).of("/", b"/?x=1"), Route::Through);
        assert!(matches!(routes(None, true).of("/a", b"/a/../api/mcp"), Route::Unclear(_)));
    }

    #[test]
    fn the_metadata_is_at_every_prefix_where_proxies_tell_it() {
        for (path, prefix) in [
            ("/.well-known/oauth-protected-resource/psa/api/mcp", Some("/psa")),
            ("/.well-known/oauth-protected-resource/a/b/api/mcp", Some("/a/b")),
            ("/.well-known/oauth-protected-resource//api/mcp", Some("/")),
            ("/.well-known/oauth-protected-resource/api/mcp", None),
            ("/.well-known/oauth-protected-resourcex/api/mcp", None),
            ("/.well-known/oauth-protected-resource/psa/api/mcp/", None),
            ("/psa/.well-known/oauth-protected-resource/api/mcp", None),
        ] {
            let open = routes(Some("/api/mcp"), false);
            assert_eq!(open.inserted(path).map(|(prefix, _)| prefix), prefix, "{path}");
            assert_eq!(of(&open, path) == Route::Metadata(0), prefix.is_some(), "{path}");
            assert_eq!(routes(None, false).inserted(path), None, "{path}");
        }
    }
}
