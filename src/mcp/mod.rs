//! What MCP clients and this server say to each other: bytes to [`message::Ask`], [`message::Reply`] to bytes.
//!
//! Pure words. Nothing here knows HTTP beyond a status number, a token, a tool's meaning, the time, or another
//! room; and nothing outside `revision/` knows the name of a protocol revision.

pub mod events;
pub mod fault;
pub mod message;
pub mod revision;
pub mod rpc;
pub mod sse;

pub use fault::Fault;
pub use message::{Ask, ClientInfo, Reply, ToolAnswer};
pub use revision::{
    Decoded, Headers, OnDisconnect, Posted, REVISIONS, Rejected, Revision, SERVER_NAME, decode,
};
pub use rpc::Id;
