//! Which part of us a request is for. Pure.

use crate::identity::metadata::WELL_KNOWN;

/// The parts that answer on the public listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The MCP endpoint, any method.
    Mcp,
    /// The protected-resource metadata (RFC 9728), at the root and at the path-inserted URL.
    Metadata,
    /// Nobody.
    Nothing,
}

/// The paths that are served; anything else is nobody's.
#[derive(Clone, Debug)]
pub struct Routes {
    mcp: Vec<String>,
    metadata: Vec<String>,
    inserted: Option<String>,
}

impl Routes {
    /// `mcp` are the MCP endpoint's paths, `metadata` the metadata document's. Where proxies tell the
    /// prefix, `inserted` is the MCP endpoint's path after it, and the metadata is at every prefix.
    pub fn new(mcp: Vec<String>, metadata: Vec<String>, inserted: Option<String>) -> Self {
        Self { mcp, metadata, inserted }
    }

    /// The prefix that a proxy in front cut off, as a metadata path tells it: `/psa` where the path is
    /// `/.well-known/oauth-protected-resource/psa/api/mcp` (RFC 9728 section 3.1).
    pub fn inserted<'a>(&self, path: &'a str) -> Option<&'a str> {
        let prefix = path.strip_prefix(WELL_KNOWN)?.strip_suffix(self.inserted.as_deref()?)?;
        prefix.starts_with('/').then_some(prefix)
    }

    /// Compares the raw path: what is spelt differently is not ours.
    pub fn of(&self, path: &str) -> Route {
        let among = |known: &[String]| known.iter().any(|known| known == path);
        if among(&self.mcp) {
            Route::Mcp
        } else if among(&self.metadata) || self.inserted(path).is_some() {
            Route::Metadata
        } else {
            Route::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(inserted: Option<&str>) -> Routes {
        Routes::new(vec!["/api/mcp".to_owned()], vec![WELL_KNOWN.to_owned()], inserted.map(str::to_owned))
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
            let open = routes(Some("/api/mcp"));
            assert_eq!(open.inserted(path), prefix, "{path}");
            assert_eq!(open.of(path) == Route::Metadata, prefix.is_some(), "{path}");
            assert_eq!(routes(None).inserted(path), None, "{path}");
        }
    }

    #[test]
    fn only_the_exact_spelling_of_a_path_is_served() {
        let routes = routes(None);
        assert_eq!(routes.of("/api/mcp"), Route::Mcp);
        assert_eq!(routes.of("/.well-known/oauth-protected-resource"), Route::Metadata);
        for path in
            ["/", "/api/mcp/", "/api//mcp", "/api/%6dcp", "/API/MCP", "/api/mcp/../mcp", "/api/v1/tickets"]
        {
            assert_eq!(routes.of(path), Route::Nothing, "{path}");
        }
    }
}
