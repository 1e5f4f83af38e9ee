//! The door to the PSA: what can be asked of it, and the kinds of it there are.
//!
//! Knows neither the gate nor who calls; which adapter is behind the traits is
//! decided by one row of [`KINDS`] and seen by nobody else.

mod alga;
mod config;
mod credential;
mod directory;
mod own;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use config::PsaConfig;
pub use credential::{Credential, Principal};
pub use directory::{
    Activity, Directory, MicrosoftConnection, PsaUser, Removal, Role, Takeover, TakeoverAgent,
    TakeoverProvider,
};
pub use own::{OwnKey, with_own_key};

pub use crate::outbound::Arrival;

use crate::clock::{Clock, Millis};
use crate::policy::Permit;
use crate::tool::overlay::Overlay;
use crate::tool::rest::RestResponse;

/// Why the PSA gave no answer. Texts name no key and no argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PsaError {
    /// Nothing was sent, so nothing happened there.
    #[error("the PSA cannot be reached: {0}")]
    Unavailable(String),
    /// The request was sent and no whole answer came: what happened there is unknown.
    #[error("the PSA did not finish its answer: {0}")]
    Interrupted(String),
    /// The request was sent and what came back is not HTTP/1.1: what happened there is unknown.
    #[error("what the PSA sent is no valid HTTP answer: {0}")]
    Malformed(String),
    /// The answer is larger than `limit` bytes (`psa.max_response`) and was not read. Its `status`,
    /// where known, says what happened: with a 2xx the call was carried out.
    #[error("the PSA's answer is larger than {limit} bytes")]
    TooLarge { limit: usize, status: Option<u16> },
    /// The answer did not come in time; what happened there is unknown.
    #[error("the PSA did not answer in time")]
    Deadline,
    /// The PSA does not accept the key for the registry (401): a minted one must be made anew.
    #[error("{0}")]
    KeyRefused(String),
    /// Someone must change the configuration; nothing was done.
    #[error("{0}")]
    Misconfigured(String),
}

/// What became of one sent call.
#[derive(Debug)]
pub enum SendOutcome {
    /// The PSA answered, with whatever status.
    Answered(RestResponse),
    /// The PSA refused the key (401) before doing anything: the permit comes
    /// back unspent, to be sent once more under a new key, with the refusal.
    KeyRefused(Permit, RestResponse),
}

/// What travels with a call, so that each side finds what the other has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `x-request-id`.
    pub request_id: String,
    /// `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
    /// `tracestate`.
    pub tracestate: Option<String>,
}

/// The PSA's REST side.
#[async_trait]
pub trait Psa: Send + Sync {
    /// Sends the permitted call under `credential` and reads the whole answer.
    /// Consumes the permit. `marks` travel as headers. A read that was never sent is tried once more; a write is sent at most once. `arrival` tells meanwhile
    /// how far the answer is.
    async fn send(
        &self,
        permit: Permit,
        credential: &Credential,
        marks: &Marks,
        deadline: Duration,
        arrival: Option<&Arrival>,
    ) -> Result<SendOutcome, PsaError>;

    /// The raw bytes of the PSA's registry of endpoints, at most 16 MiB.
    ///
    /// # Errors
    /// Any status but 200 is an error that names it; 401 alone is [`PsaError::KeyRefused`].
    async fn catalog(&self, credential: &Credential) -> Result<Bytes, PsaError>;

    /// Whether the PSA can be reached at all: any HTTP answer will do. Sends no key.
    async fn probe(&self) -> Result<(), PsaError>;

    /// Reads certificates and keys for the way there again. Calls under way end as they began.
    ///
    /// # Errors
    /// [`PsaError::Misconfigured`] where a file cannot be used; what was in use stays in use.
    fn reload(&self) -> Result<(), PsaError>;
}

/// Why there is no key, or the directory did nothing. Texts name no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The source of keys cannot be reached or did not answer; later it may.
    #[error("the source of PSA keys is not available: {0}")]
    Unavailable(String),
    /// The PSA has suspended the tenant.
    #[error("the PSA has suspended this tenant")]
    Suspended,
    /// The agent has no PSA user that may hold a key.
    #[error("{0}")]
    NoUser(String),
    /// The source of keys said no.
    #[error("{0}")]
    Refused(String),
    /// No key is configured for this agent.
    #[error("{0}")]
    NoKey(String),
    /// This way to the PSA cannot do it; the text names the setting that is missing.
    #[error("{0}")]
    Unsupported(String),
}

impl KeyError {
    /// The [`KeyError::Unsupported`] of a door without a [`Directory`], or of one that cannot do this.
    pub fn no_directory() -> Self {
        let message = "users and roles can be seen and changed in the PSA's database only: set psa.database_url, and psa.keys = \"postgres\"";
        Self::Unsupported(message.to_owned())
    }
}

/// Where the agents' PSA keys come from and go to.
#[async_trait]
pub trait Keys: Send + Sync {
    /// A key for `who` that lives `ttl` from `now`, by the time that is handed in.
    async fn mint(&self, who: &Principal, ttl: Duration, now: Millis) -> Result<Credential, KeyError>;

    /// Ends one key of our own at once; a key that is gone already is no error.
    async fn revoke(&self, key_id: &str) -> Result<(), KeyError>;

    /// Ends all our keys of one agent, of every instance; returns how many.
    async fn revoke_agent(&self, agent_id: &str) -> Result<u64, KeyError>;

    /// Deletes our own keys that expired before `now` or were switched off; returns how many.
    async fn sweep(&self, now: Millis) -> Result<u64, KeyError>;
}

/// The agent id of the service user for whom the registry's key is minted; no agent has it.
pub const CATALOG_PRINCIPAL: &str = "sidegate-catalog";

/// Under which key the registry is fetched; never an agent's.
#[derive(Clone, Debug)]
pub enum CatalogCredential {
    /// A key from the configuration.
    Fixed(Credential),
    /// Minted for the configured service user.
    Minted(Principal),
}

/// The open door.
#[derive(Clone)]
pub struct PsaDoor {
    /// The REST side.
    pub psa: Arc<dyn Psa>,
    /// The source of keys.
    pub keys: Arc<dyn Keys>,
    /// Users and roles, where the key source can write them.
    pub directory: Option<Arc<dyn Directory>>,
    /// Under which key the registry is fetched.
    pub catalog_credential: CatalogCredential,
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<PsaDoor, PsaError>> + Send + 'a>>;

/// One kind of PSA.
struct Kind {
    /// What `psa.kind` says.
    name: &'static str,
    /// Where its registry contradicts its handlers, and what holds instead.
    overlay: &'static str,
    /// What is wrong with the section for this kind, by key.
    problems: fn(&PsaConfig) -> Vec<(String, String)>,
    /// Opens the door without needing the PSA or its database to be up.
    open: for<'a> fn(&'a PsaConfig, &'a Clock) -> Opening<'a>,
}

static KINDS: &[Kind] = &[Kind {
    name: "alga",
    overlay: include_str!("../../config/overlay.alga.toml"),
    problems: alga::problems,
    open: |config, _clock| Box::pin(alga::open(config)),
}];

/// The built-in repairs of the registry of a kind; none for one that is unknown.
///
/// # Errors
/// What is wrong with them: nothing, or this build is broken.
pub fn repairs(name: &str) -> Result<Overlay, String> {
    let read = |kind: &Kind| Overlay::read(kind.overlay).map_err(|wrong| wrong.join("; "));
    kind(name).map_or(Ok(Overlay::default()), read)
}

/// Opens the configured kind. Needs neither the PSA nor its database to be up.
///
/// # Errors
/// [`PsaError::Misconfigured`] with the first of [`PsaConfig::problems`].
pub async fn open(config: &PsaConfig, clock: Clock) -> Result<PsaDoor, PsaError> {
    if let Some((key, message)) = config.problems().into_iter().next() {
        return Err(PsaError::Misconfigured(format!("psa.{key}: {message}")));
    }
    match kind(&config.kind) {
        Some(kind) => (kind.open)(config, &clock).await,
        None => Err(PsaError::Misconfigured(format!("psa.kind: {} is unknown", config.kind))),
    }
}

fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
