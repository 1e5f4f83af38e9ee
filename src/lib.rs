//! Sidegate, the governed MCP door to a PSA.

pub mod audit;
pub mod clock;
pub mod demo;
pub mod edge;
pub mod gate;
pub mod identity;
pub mod idp;
pub mod mcp;
pub mod metrics;
pub mod outbound;
pub mod policy;
pub mod psa;
pub mod secret;
pub mod store;
pub mod tool;
pub mod units;
