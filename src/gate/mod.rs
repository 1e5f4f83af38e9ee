//! The verbs: admit a caller ([`Gate::admit`], the whole story of a request on one screen), answer its message
//! ([`Desk`]). The connector has a desk and no gate.
//!
//! Knows the words, the policy, the store's methods and the doors' traits; no HTTP status,
//! no SQL, no adapter.

mod about;
mod batch;
mod call;
mod catalogue;
mod credential;
mod desk;
mod elsewhere;
mod extra;
mod limits;
mod line;
mod message;
mod offer;
mod progress;
mod refusal;
mod seal;
mod session;
mod stream;
mod trail;
mod visitor;
mod watch;

#[cfg(feature = "server")]
mod activity;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
mod admit;
#[cfg(feature = "server")]
mod authenticate;
#[cfg(feature = "server")]
mod bearer;
#[cfg(feature = "server")]
mod doorway;
#[cfg(feature = "server")]
mod events;
#[cfg(feature = "conformance")]
mod fixtures;
#[cfg(feature = "server")]
mod front;
#[cfg(feature = "server")]
mod neighbours;
#[cfg(feature = "server")]
mod post;
#[cfg(feature = "server")]
mod pulse;
#[cfg(feature = "server")]
mod registry;
#[cfg(feature = "server")]
mod remembered;
#[cfg(feature = "server")]
mod request;
#[cfg(feature = "server")]
mod roster;
#[cfg(feature = "server")]
mod shelf;

pub use catalogue::{Catalogue, CatalogueParts, Kept, Shelf};
pub use credential::{Credentials, Standing};
pub use desk::{Desk, DeskParts, DeskTerms};
pub use extra::{Extra, Talk, Visit};
pub use limits::LimitsConfig;
pub use line::Line;
pub use refusal::{Limit, Refusal};
pub use session::SessionsConfig;
pub use stream::{Event, EventReader};
pub use visitor::Visitor;

#[cfg(feature = "conformance")]
pub use fixtures::Fixtures;
#[cfg(feature = "server")]
pub use {
    activity::{Activities, ActivityFollower, activities},
    admit::{Admission, Gate, Terms},
    authenticate::{Authenticator, Bearer},
    doorway::{Approach, DoorFault, Doorway, Endpoint, Kind, MESSAGES},
    events::{SseConfig, SseTerms},
    front::{Front, TENANTS, Whereabouts},
    neighbours::Neighbours,
    post::{Post, Wire},
    pulse::{MAX_STALENESS, Pulse},
    request::{Head, Method, Outgoing},
    roster::{Defaults, Roster},
    shelf::StoreShelf,
};
