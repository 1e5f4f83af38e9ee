//! The clients whose ways are walked, and what is known of them that others do not share.
//!
//! Sources: the sources of VS Code and of the SDKs, and the issue trackers of the rest. Knows no server.

use serde::Serialize;

/// A client, or a family that behaves alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Client {
    /// claude.ai and the connectors of Claude Desktop: they call from the internet, never from the user's machine.
    #[serde(rename = "claude.ai")]
    ClaudeAi,
    /// Compares `resource` with its own URL as a whole; goes on to HTTP+SSE after any 4xx but 401 and 403.
    #[serde(rename = "VS Code")]
    VsCode,
    /// Speaks HTTP+SSE only, and sends its configured headers with the stream but not with messages.
    #[serde(rename = "VS Code before 1.100")]
    OldVsCode,
    /// Built on the first TypeScript SDK; goes on to HTTP+SSE after any failure.
    #[serde(rename = "Cursor")]
    Cursor,
    /// Copilot CLI and coding agent: the issuer of the metadata must be the text that named it.
    #[serde(rename = "Copilot")]
    Copilot,
    /// Built on the second TypeScript SDK; goes on to HTTP+SSE after 404 and 405.
    #[serde(rename = "mcp-remote")]
    McpRemote,
    /// Either of the two; what only one refuses counts as refused.
    #[serde(rename = "TypeScript SDK")]
    TypeScript,
    /// Asks in the modern era first, and with a handshake after an error.
    #[serde(rename = "Python SDK")]
    Python,
}

use Client::*;

/// In the order of the report.
pub const ALL: [Client; 8] = [ClaudeAi, VsCode, OldVsCode, Cursor, Copilot, McpRemote, TypeScript, Python];

/// Those that speak Streamable HTTP and look for an authorization server themselves.
pub const HTTP: [Client; 7] = [ClaudeAi, VsCode, Cursor, Copilot, McpRemote, TypeScript, Python];

/// Those that open with the handshake, whatever else they know.
pub const HANDSHAKE: [Client; 6] = [ClaudeAi, VsCode, Cursor, Copilot, McpRemote, TypeScript];

/// Those that try HTTP+SSE at the same URL where a POST is answered 404 or 405.
pub const FALL_BACK: [Client; 4] = [ClaudeAi, VsCode, Cursor, McpRemote];

/// Those that take the metadata of an origin or a parent path for their URL's (and none of a child's).
pub const BY_PREFIX: [Client; 6] = [ClaudeAi, Cursor, Copilot, McpRemote, TypeScript, Python];

/// Those known to refuse metadata whose `issuer` is not the one that was asked for (RFC 8414 section 3.3).
pub const ISSUER_EXACT: [Client; 4] = [Copilot, McpRemote, TypeScript, Python];

impl Client {
    /// As it is called in the report.
    pub fn name(self) -> &'static str {
        match self {
            ClaudeAi => "claude.ai",
            VsCode => "VS Code",
            OldVsCode => "VS Code before 1.100",
            Cursor => "Cursor",
            Copilot => "Copilot",
            McpRemote => "mcp-remote",
            TypeScript => "TypeScript SDK",
            Python => "Python SDK",
        }
    }
}
