//! Sidegate, the governed MCP door to a PSA.

pub mod clock;
pub mod identity;
pub mod mcp;
pub mod metrics;
pub mod outbound;
pub mod policy;
pub mod secret;
pub mod store;
pub mod tool;
pub mod units;
