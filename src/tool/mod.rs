//! Words about tools and REST: what may be called, what a call says, what came back.
//!
//! Pure and sync: no clock, no randomness, no I/O. Knows neither MCP nor identities, neither which
//! PSA answers nor who is asking.

pub mod about;
mod arguments;
pub mod catalog;
pub mod config;
mod data_search;
pub mod effect;
mod entry;
pub mod headers;
#[cfg(test)]
mod hostile;
mod lenient;
mod offer;
mod outcome;
pub mod overlay;
mod own;
mod path;
mod plan;
mod reserve;
pub mod rest;
pub mod rewrite;
mod rows;
mod rules;
pub mod schema;
pub mod search;
pub mod table;
mod text;
mod value;
