//! Which part of us a request is for. Pure.

use super::through::{Verdict, judge};

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
    mcp: String,
    metadata: Vec<String>,
    through: bool,
}

impl Routes {
    /// `mcp` is the MCP endpoint's path, `metadata` the metadata document's. `through`: all else
    /// is the PSA's, but for what is hidden; otherwise it is nobody's.
    pub fn new(mcp: &str, metadata: impl IntoIterator<Item = String>, through: bool) -> Self {
        Self { mcp: mcp.to_owned(), metadata: metadata.into_iter().collect(), through }
    }

    /// Compares the raw path: what is spelt differently is not ours. `target` is what would be
    /// passed on, byte for byte.
    pub fn of(&self, path: &str, target: &[u8]) -> Route {
        if path == self.mcp {
            Route::Mcp
        } else if self.metadata.iter().any(|known| known == path) {
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

    fn routes(through: bool) -> Routes {
        Routes::new("/api/mcp", ["/.well-known/oauth-protected-resource".to_owned()], through)
    }

    const MISSPELT: [&str; 5] = ["/api/mcp/", "/api//mcp", "/api/%6dcp", "/API/MCP", "/api/mcp;x"];

    #[test]
    fn only_the_exact_spelling_of_a_path_is_served() {
        for through in [false, true] {
            let of = |path: &str| routes(through).of(path, path.as_bytes());
            assert_eq!(of("/api/mcp"), Route::Mcp);
            assert_eq!(of("/.well-known/oauth-protected-resource"), Route::Metadata);
            for path in MISSPELT {
                assert_eq!(of(path), Route::Nothing, "{path}");
            }
        }
    }

    #[test]
    fn all_else_is_nobodys_or_the_psas() {
        for path in ["/", "/api/v1/tickets", "/api/mcp/../mcp"] {
            assert_eq!(routes(false).of(path, path.as_bytes()), Route::Nothing, "{path}");
        }
        assert_eq!(routes(true).of("/", b"/?x=1"), Route::Through);
        assert!(matches!(routes(true).of("/a", b"/a/../api/mcp"), Route::Unclear(_)));
    }
}
