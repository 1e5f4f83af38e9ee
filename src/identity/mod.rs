//! Who is calling: tokens become claims, claims become a caller. Pure: keys and the time are
//! handed in. This room knows no other room, no network and no store.

pub mod challenge;
mod claims;
pub mod confirmation;
mod fault;
#[cfg(feature = "server")]
pub mod guide;
pub mod issuer;
#[cfg(feature = "server")]
mod json;
#[cfg(feature = "server")]
mod jwk;
pub mod kind;
pub mod metadata;
#[cfg(feature = "server")]
pub mod preset;
mod principal;
pub mod scopes;
pub mod stray;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "server")]
pub mod token;
pub mod trust;

pub use claims::{Claims, Rules};
pub use confirmation::ProofFault;
pub use fault::TokenFault;
pub use kind::{AgentKind, KindFault};
pub use metadata::{Resource, metadata_path};
pub use principal::Principal;
pub use scopes::RequiredScopes;
#[cfg(feature = "server")]
pub use token::{Peeked, VerifyKey};
pub use trust::{AgentBinding, Caller, IssuerAlias, Trust, TrustFault, TrustedIssuer, caller};
