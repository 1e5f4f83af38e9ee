//! 2025-11-25. Against its predecessor, as far as this server can show it: an error without an id leaves it out,
//! and a stream begins with an event that tells only its place, so that it can be resumed from the start. Bad tool arguments as tool errors and 403 for a bad Origin are done for every revision, elsewhere.

use super::{Nameless, Revision, v2025_06_18};

pub(super) const REVISION: Revision =
    Revision { name: "2025-11-25", primes: true, nameless: Nameless::Omitted, ..v2025_06_18::REVISION };
