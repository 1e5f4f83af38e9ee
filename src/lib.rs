//! Sidegate, the governed MCP door to a PSA: AI agents speak the Model Context Protocol to it,
//! it speaks REST to the PSA, and every call runs under the agent's own key and is on record.
//!
//! # The floors
//! Arrows point down; `tests/it/architecture.rs` fails on one that points up.
//!
//! | floor | rooms | what they do |
//! |---|---|---|
//! | house | [`app`] [`cli`] [`config`] [`connect`] [`demo`] | put everything together, decide nothing about a request |
//! | edge | [`edge`] | where bytes come in: pingora, the operators' listener |
//! | gate | [`gate`] [`bridge`] | the verbs: admit, answer, call, administer |
//! | doors | [`psa`] [`idp`] [`audit`] [`trace`] | one trait and one table of kinds each where there are several; adapters are private |
//! | cellar | [`store`] [`outbound`] | SQL, and the one HTTP client |
//! | judgement | [`policy`] | pure |
//! | words | [`mcp`] [`tool`] [`identity`] [`record`] | pure: no I/O, no clock, no randomness |
//! | ground | [`secret`] [`clock`] [`units`] [`metrics`] | |
//!
//! # One call
//! 1. [`edge`] copies the head of the request out of pingora's session: [`gate::Head`].
//! 2. [`gate::Gate::admit`] checks Host and Origin, then the bearer: verified claims, from a cache
//!    by the token's hash or afresh, become a [`identity::trust::Caller`] by today's agent table.
//! 3. [`gate::Gate::answer`] hands the body to the [`gate::Desk`]: [`mcp::revision::decode`] finds the revision
//!    and the [`mcp::message::Ask`]; a session, where there is one, says what was agreed on before.
//! 4. The tool plans the call on a catalogue entry, and [`tool::rewrite::bind`] makes the
//!    [`tool::rewrite::Bound`] request: method fixed by the entry, every value checked.
//! 5. [`policy::decide`] alone turns it into a [`policy::Permit`], which owns it.
//! 6. The intent of anything but a read is on disk before the PSA is called: no record, no action.
//! 7. The agent's own short-lived key is at hand or minted once; [`psa::Psa::send`] consumes the permit.
//! 8. The response is shaped into a tool result, the record is closed, the answer is encoded in
//!    the client's revision: one document, or the end of a stream that told of progress before.
//!
//! # Adding things
//! One new file, one `mod` line and one table row beside each other:
//! a PSA in `psa/` (`KINDS`), an audit sink in `audit/sink/` (`KINDS`), an MCP revision in
//! `mcp/revision/` (`REVISIONS`). A tool is a [`tool::table::ToolRow`].
//!
//! # Editions
//! `server`, the default, is everything. `--no-default-features --features connect` builds the local connector alone:
//! `sidegate connect` and `sidegate doctor`, without pingora, store, issuers and what is served to others.

// The connector's edition speaks to one person and leaves what is for many unused.
#![cfg_attr(not(feature = "server"), allow(dead_code))]

#[cfg(feature = "server")]
pub mod app;
pub mod audit;
pub mod bridge;
pub mod cli;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod connect;
#[cfg(feature = "server")]
pub mod demo;
pub mod edge;
pub mod gate;
pub mod identity;
#[cfg(feature = "server")]
pub mod idp;
pub mod mcp;
pub mod metrics;
pub mod outbound;
pub mod policy;
pub mod psa;
pub mod record;
pub mod secret;
#[cfg(feature = "server")]
pub mod store;
pub mod tool;
pub mod trace;
pub mod units;
