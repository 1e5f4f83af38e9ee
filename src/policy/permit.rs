//! The right to make one call. Only [`super::decide`] makes one.

use crate::tool::rewrite::Bound;

/// The right to send exactly the call that was judged, once: it owns the call,
/// cannot be cloned, and is used up by sending.
#[derive(Debug)]
pub struct Permit {
    bound: Bound,
    rule: &'static str,
}

impl Permit {
    pub(super) fn new(bound: Bound, rule: &'static str) -> Self {
        Self { bound, rule }
    }

    /// The call that was judged.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}
