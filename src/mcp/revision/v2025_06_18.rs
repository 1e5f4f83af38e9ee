//! 2025-06-18, the oldest revision served: the handshake, one message a body, structured content.

use super::{Era, Nameless, OnDisconnect, Revision, ask, legacy};

pub(super) const REVISION: Revision = Revision {
    name: "2025-06-18",
    era: Era::Legacy,
    // Cancelling is a message of its own; a lost connection "SHOULD NOT be interpreted as the client cancelling".
    on_disconnect: OnDisconnect::Detach,
    methods: &[ask::INITIALIZE, ask::PING, ask::LIST_TOOLS, ask::CALL_TOOL],
    mirrored: &[],
    nameless: Nameless::Null,
    status: legacy::status,
    outcome: legacy::outcome,
};
