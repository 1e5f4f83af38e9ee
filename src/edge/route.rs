//! Which part of us a request is for. Pure.

use super::through::{Verdict, judge};
use crate::identity::metadata::WELL_KNOWN;

/// The parts that answer on the public listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The MCP endpoint, any method.
    Mcp,
    /// The protected-resource metadata (RFC 9728), at the root and at the path-inserted URL.
    Metadata,
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
    mcp: Vec<String>,
    metadata: Vec<String>,
    inserted: Option<String>,
    through: bool,
}

impl Routes {
    /// `mcp` are the MCP endpoint's paths, `metadata` the metadata document's. Where proxies tell the
    /// prefix, `inserted` is the MCP endpoint's path after it, and the metadata is at every prefix.
    /// `through`: all else is the PSA's, but for what is hidden; otherwise it is nobody's.
    pub fn new(mcp: Vec<String>, metadata: Vec<String>, inserted: Option<String>, through: bool) -> Self {
        Self { mcp, metadata, inserted, through }
    }

    /// The prefix that a proxy in front cut off, as a metadata path tells it: `/psa` where the path is
    /// `/.well-known/oauth-protected-resource/psa/api/mcp` (RFC 9728 section 3.1).
    pub fn inserted<'a>(&self, path: &'a str) -> Option<&'a str> {
        let prefix = path.strip_prefix(WELL_KNOWN)?.strip_suffix(self.inserted.as_deref()?)?;
        prefix.starts_with('/').then_some(prefix)
    }

    /// Compares the raw path: what is spelt differently is not ours. `target` is what would be
    /// passed on, byte for byte.
    pub fn of(&self, path: &str, target: &[u8]) -> Route {
        let among = |known: &[String]| known.iter().any(|known| known == path);
        if among(&self.mcp) {
            Route::Mcp
        } else if among(&self.metadata) || self.inserted(path).is_some() {
            Route::Metadata
        } else if self.through {
            match judge(target, &self.mcp) {
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

    fn routes(inserted: Option<&str>, through: bool) -> Routes {
        let mcp = vec!["/api/mcp".to_owned()];
        Routes::new(mcp, vec![WELL_KNOWN.to_owned()], inserted.map(str::to_owned), through)
    }

    fn of(routes: &Routes, path: &str) -> Route {
        routes.of(path, path.as_bytes())
    }

    const MISSPELT: [&str; 5] = ["/api/mcp/", "/api//mcp", "/api/%6dcp", "/API/MCP", "/api/mcp;x"];

    #[test]
    fn only_the_exact_spelling_of_a_path_is_served() {
        for through in [false, true] {
            let routes = routes(None, through);
            assert_eq!(of(&routes, "/api/mcp"), Route::Mcp);
            assert_eq!(of(&routes, WELL_KNOWN), Route::Metadata);
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
            assert_eq!(open.inserted(path), prefix, "{path}");
            assert_eq!(of(&open, path) == Route::Metadata, prefix.is_some(), "{path}");
            assert_eq!(routes(None, false).inserted(path), None, "{path}");
        }
    }
}
