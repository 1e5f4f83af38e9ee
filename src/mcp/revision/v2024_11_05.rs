//! 2024-11-05, the oldest revision served: the handshake, one message a body, tools by name, description and schema.

use super::{Era, Nameless, OnDisconnect, Revision, ask, legacy};

pub(super) const REVISION: Revision = Revision {
    name: "2024-11-05",
    era: Era::Legacy,
    assumed: false,
    batches: false,
    replays: false,
    primes: false,
    structured: false,
    titles: false,
    // Cancelling is a message of its own; a lost connection "SHOULD NOT be interpreted as the client cancelling".
    on_disconnect: OnDisconnect::Detach,
    tool_members: &["name", "description", "inputSchema"],
    methods: &[ask::INITIALIZE, ask::PING, ask::LIST_TOOLS, ask::CALL_TOOL],
    mirrored: &[],
    nameless: Nameless::Null,
    status: legacy::status,
    outcome: legacy::outcome,
    whole: |result| result,
};
