//! Between what a tool says and what MCP carries; neither room knows the other.

use crate::mcp::message::{Reply, ToolAnswer};
use crate::tool::rewrite::ToolResult;

/// A tool's result as a reply.
pub fn reply(result: ToolResult) -> Reply {
    Reply::Tool(ToolAnswer { text: result.text, structured: result.structured, is_error: result.is_error })
}
