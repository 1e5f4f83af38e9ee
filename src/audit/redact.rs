//! Takes secrets, and what else a tenant wants out, out of what goes on record: by the name of a field and by the shape
//! of a value.
//!
//! Pure: it decides nothing about what is recorded and never fails; in doubt it hides.

mod chosen;
mod config;
mod excerpt;
mod iban;
mod names;
mod rules;
mod shapes;
mod target;
mod value;

pub use config::{RedactionConfig, Results, TenantRedaction};
pub use rules::{Redactors, Rules};

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// What becomes of a value; the last wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Treatment {
    /// Equal ones stay equal: see [`Rules::hash`].
    Hash,
    /// [`REDACTED`] stands for it.
    Hide,
}

#[cfg(test)]
mod tests;
