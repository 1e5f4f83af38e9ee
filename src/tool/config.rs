//! What of the tools the operator may set.
//!
//! Which endpoints they reach is the catalogue's.

use serde::{Deserialize, Serialize};

use crate::units::Size;

/// The `[tools]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolsConfig {
    /// About the largest result that an agent is shown, in bytes of its text; more of it is cut, and the result says so.
    pub max_result: Size,
}

/// With less than this, hardly anything but words about the cut would be left.
const LEAST_RESULT: usize = 4 << 10;

impl Default for ToolsConfig {
    fn default() -> Self {
        Self { max_result: Size(64 << 10) }
    }
}

impl ToolsConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        let small = self.max_result.0 < LEAST_RESULT;
        small.then(|| ("max_result".to_owned(), "must be at least 4KiB".to_owned())).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_too_small_to_be_of_use_is_a_problem_with_its_key() {
        assert!(ToolsConfig::default().problems().is_empty());
        let problems = ToolsConfig { max_result: Size(100) }.problems();
        assert_eq!(problems, [("max_result".to_owned(), "must be at least 4KiB".to_owned())]);
    }
}
