//! The connector: what a local MCP client starts on its user's machine.

pub mod snippets;
