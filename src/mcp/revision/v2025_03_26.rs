//! 2025-03-26. Against its predecessor: one endpoint with streams that can be resumed, batches, annotations of tools.
//! It is what a request without a version header is taken for.

use super::{Revision, v2024_11_05};

pub(super) const REVISION: Revision = Revision {
    name: "2025-03-26",
    assumed: true,
    batches: true,
    replays: true,
    tool_members: &["name", "description", "inputSchema", "annotations"],
    ..v2024_11_05::REVISION
};
