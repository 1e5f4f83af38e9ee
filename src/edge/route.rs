//! Which part of us a request is for. Pure.

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
    mcp: String,
    metadata: Vec<String>,
}

impl Routes {
    /// `mcp` is the MCP endpoint's path, `metadata` the metadata document's.
    pub fn new(mcp: &str, metadata: impl IntoIterator<Item = String>) -> Self {
        Self { mcp: mcp.to_owned(), metadata: metadata.into_iter().collect() }
    }

    /// Compares the raw path: what is spelt differently is not ours.
    pub fn of(&self, path: &str) -> Route {
        if path == self.mcp {
            Route::Mcp
        } else if self.metadata.iter().any(|known| known == path) {
            Route::Metadata
        } else {
            Route::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_spelling_of_a_path_is_served() {
        let routes = Routes::new("/api/mcp", ["/.well-known/oauth-protected-resource".to_owned()]);
        assert_eq!(routes.of("/api/mcp"), Route::Mcp);
        assert_eq!(routes.of("/.well-known/oauth-protected-resource"), Route::Metadata);
        for path in
            ["/", "/api/mcp/", "/api//mcp", "/api/%6dcp", "/API/MCP", "/api/mcp/../mcp", "/api/v1/tickets"]
        {
            assert_eq!(routes.of(path), Route::Nothing, "{path}");
        }
    }
}
