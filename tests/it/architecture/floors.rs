//! The list of floors: every room of `src/` and the rooms it may know.

pub const GROUND: [&str; 4] = ["secret", "clock", "units", "metrics"];
pub const WORDS: [&str; 4] = ["mcp", "tool", "identity", "record"];
pub const CELLAR: [&str; 2] = ["store", "outbound"];
pub const DOORS: [&str; 4] = ["psa", "idp", "audit", "trace"];
/// May know all rooms but `demo`, which only `cli` starts.
pub const HOUSE: [&str; 6] = ["app", "cli", "config", "connect", "main", "lib"];
/// May read the gathered configuration: `config` itself is a room of the house that nobody else imports.
pub const KNOW_CONFIG: [&str; 4] = ["app", "cli", "main", "config"];

/// True where `room` may know `other`; `None` where `room` has no floor.
pub fn may_know(room: &str, other: &str) -> Option<bool> {
    if room == other {
        return Some(true);
    }
    let among = |groups: &[&[&str]]| groups.iter().any(|group| group.contains(&other));
    let policy: &[&str] = &["policy"];
    let known = match room {
        _ if GROUND.contains(&room) => false,
        _ if WORDS.contains(&room) => among(&[&GROUND]),
        "policy" => among(&[&GROUND, &["tool", "identity"]]),
        _ if CELLAR.contains(&room) => among(&[&GROUND, &WORDS, policy]),
        _ if DOORS.contains(&room) => among(&[&GROUND, &WORDS, policy, &CELLAR]),
        "gate" => among(&[&GROUND, &WORDS, policy, &["store"], &DOORS]),
        // What speaks to a server elsewhere: the gate's opposite, and a stranger to it.
        "bridge" => among(&[&GROUND, &WORDS, &["outbound"]]),
        "edge" => among(&[&GROUND, &WORDS, &["gate"]]),
        "demo" => among(&[&GROUND]),
        _ if HOUSE.contains(&room) => match other {
            "demo" => room == "cli" || room == "lib",
            "config" => KNOW_CONFIG.contains(&room) || room == "lib",
            _ => is_room(other),
        },
        _ => return None,
    };
    Some(known)
}

/// True where the list has a floor for `room`.
pub fn is_room(room: &str) -> bool {
    [&GROUND[..], &WORDS, &CELLAR, &DOORS, &HOUSE, &["policy", "gate", "bridge", "edge", "demo"]]
        .iter()
        .any(|group| group.contains(&room))
}

/// The room that a file belongs to: `src/psa/alga/db.rs` is in `psa`.
pub fn room_of(file: &str) -> &str {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let first = inner.split('/').next().unwrap_or(inner);
    first.strip_suffix(".rs").unwrap_or(first)
}
