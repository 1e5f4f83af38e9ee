//! Who is calling: tokens become claims, claims become a caller. Pure: keys and the time are
//! handed in. This room knows no other room, no network and no store.

pub mod challenge;
mod claims;
pub mod confirmation;
mod fault;
mod json;
mod jwk;
pub mod metadata;
pub mod scopes;
pub mod stray;
#[cfg(test)]
pub(crate) mod testing;
pub mod token;
pub mod trust;

pub use confirmation::ProofFault;
pub use metadata::{Resource, metadata_path};
pub use scopes::RequiredScopes;
pub use token::{Claims, Peeked, Rules, TokenFault, VerifyKey};
pub use trust::{AgentBinding, Caller, Trust, TrustFault, TrustedIssuer, caller};
