//! 2025-06-18. Against its predecessor: no batches any more; titles, structured content and its schema.

use super::{Revision, v2025_03_26};

pub(super) const REVISION: Revision = Revision {
    name: "2025-06-18",
    assumed: false,
    batches: false,
    structured: true,
    titles: true,
    tool_members: &["name", "title", "description", "inputSchema", "outputSchema", "annotations"],
    ..v2025_03_26::REVISION
};
