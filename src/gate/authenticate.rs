//! Who is calling: a bearer token becomes a [`Caller`], or a refusal that says how to do better.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

pub use super::bearer::Bearer;
use super::remembered::Remembered;
use super::roster::{Roster, Snapshot};
use super::trail::Holder;
use super::{Refusal, Visitor};
use crate::clock::Clock;
use crate::identity::confirmation::{ProofFault, Thumbprint};
use crate::identity::kind::KindFault;
use crate::identity::metadata::Resource;
use crate::identity::token::{self, Claims, Signed, TokenFault};
use crate::identity::trust::{self, Caller, TrustFault, TrustedIssuer};
use crate::idp::Idp;
use crate::metrics::Metrics;

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthFault {
    /// RFC 6750 section 3.1: without a token the challenge bears no error code.
    #[error("a bearer token is required")]
    Missing,
    /// The header does not have the form of RFC 6750.
    #[error("the Authorization header must be `Bearer` followed by one token")]
    Malformed,
    /// RFC 9449, by name: a client that counts on it learns what is wanted instead.
    #[error(
        "DPoP is not supported; send the token as `Authorization: Bearer` without a DPoP header, bound to a TLS client certificate (RFC 8705) if to anything"
    )]
    Dpop,
    /// The token itself is not accepted.
    #[error("{0}")]
    Token(#[from] TokenFault),
    /// The token is good, and not from this connection.
    #[error("{0}")]
    Proof(ProofFault),
    /// The token is good, and a person's where an application's is wanted or the reverse.
    #[error("{0}")]
    Kind(KindFault),
    /// The token is good and nobody is bound to it.
    #[error(
        "the token's issuer and subject are bound to no agent here; ask the administrator to add the agent"
    )]
    NotBound,
    /// The issuer is none of the tenant's.
    #[error("the token's issuer is not trusted here")]
    UnknownIssuer,
    /// The agent is switched off.
    #[error("the agent is switched off")]
    Disabled,
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be fetched at the moment")]
    KeysUnavailable,
    /// The store cannot be read.
    #[error("the agent table cannot be read at the moment")]
    RosterStale,
}

impl AuthFault {
    /// Whether the token proved bad, as a guess or a stolen one would. A genuine one that lets nobody in is
    /// none, nor is what we cannot judge; and every client's first request comes without a token.
    pub fn is_bad_token(&self) -> bool {
        match self {
            Self::Malformed | Self::Token(_) | Self::Proof(_) | Self::UnknownIssuer => true,
            Self::Missing
            | Self::Dpop
            | Self::Kind(_)
            | Self::NotBound
            | Self::Disabled
            | Self::KeysUnavailable
            | Self::RosterStale => false,
        }
    }

    /// The reason for metrics and records, one of [`crate::metrics::AUTH_REASONS`].
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing_token",
            Self::Malformed => "malformed_authorization",
            Self::Dpop => "dpop",
            Self::Token(fault) => fault.label(),
            Self::Proof(fault) => fault.label(),
            Self::Kind(fault) => fault.label(),
            Self::NotBound => "not_bound",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Disabled => "disabled",
            Self::KeysUnavailable => "keys_unavailable",
            Self::RosterStale => "roster_stale",
        }
    }
}

impl From<TrustFault> for AuthFault {
    fn from(fault: TrustFault) -> Self {
        match fault {
            TrustFault::UnknownIssuer => Self::UnknownIssuer,
            TrustFault::NotBound => Self::NotBound,
            TrustFault::Disabled => Self::Disabled,
            TrustFault::Kind(fault) => Self::Kind(fault),
            TrustFault::Proof(fault) => Self::Proof(fault),
        }
    }
}

/// A caller that is not let in, with its name where its token's signature was verified: whoever
/// it is, the record can say so.
#[derive(Debug)]
pub struct Turned {
    /// Why.
    pub fault: AuthFault,
    /// Whose token it truthfully is.
    pub holder: Option<Box<Holder>>,
}

impl Turned {
    fn known(fault: impl Into<AuthFault>, claims: &Claims) -> Self {
        let holder = Holder {
            issuer: claims.issuer().to_owned(),
            subject: Some(claims.subject().to_owned()),
            token_id: claims.token_id().map(str::to_owned),
            person: claims.person().cloned(),
            client_id: claims.client_id().cloned(),
        };
        Self { fault: fault.into(), holder: Some(Box::new(holder)) }
    }

    fn signed(fault: TokenFault, signed: &Signed, subject_claim: &str) -> Self {
        let holder = Holder {
            issuer: signed.issuer().to_owned(),
            subject: signed.subject(subject_claim),
            token_id: signed.token_id().map(str::to_owned),
            person: None,
            client_id: None,
        };
        Self { fault: fault.into(), holder: Some(Box::new(holder)) }
    }
}

impl Refusal {
    /// How an authentication fault is told: a challenge where another token would help, with the
    /// `scopes` to ask for, without one where none would, unavailable where we cannot judge.
    pub(super) fn of(fault: &AuthFault, resource: &Resource, scopes: &[String]) -> Self {
        let message = fault.to_string();
        match fault {
            AuthFault::Missing => {
                Self::Unauthorized { challenge: resource.challenge(scopes, None), code: None, message }
            }
            AuthFault::Malformed
            | AuthFault::Dpop
            | AuthFault::Token(_)
            | AuthFault::Proof(_)
            | AuthFault::Kind(_)
            | AuthFault::NotBound
            | AuthFault::UnknownIssuer => {
                let code = "invalid_token";
                let challenge = resource.challenge(scopes, Some((code, &message)));
                Self::Unauthorized { challenge, code: Some(code), message }
            }
            AuthFault::Disabled => Self::Disabled,
            AuthFault::KeysUnavailable => Self::Unavailable {
                message: "the issuer's keys cannot be fetched at the moment; try again shortly",
            },
            AuthFault::RosterStale => Self::STORE_UNREADABLE,
        }
    }
}

impl From<AuthFault> for Turned {
    fn from(fault: AuthFault) -> Self {
        Self { fault, holder: None }
    }
}

impl From<TokenFault> for Turned {
    fn from(fault: TokenFault) -> Self {
        AuthFault::from(fault).into()
    }
}

/// A token that was verified, against what and when (Unix seconds).
struct Verified {
    claims: Arc<Claims>,
    issuer: Arc<TrustedIssuer>,
    at: i64,
}

/// The longest that a verified token is believed without a second look at its signature, in seconds.
const CLAIMS_TTL: u32 = 60;
const CLAIMS_KEPT: u64 = 50_000;

/// Turns bearer tokens into callers.
pub struct Authenticator {
    idp: Arc<dyn Idp>,
    roster: Arc<Roster>,
    verified: Cache<[u8; 32], Arc<Verified>>,
    good: RwLock<Remembered>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// An authenticated caller and the rows it was judged by.
#[derive(Clone)]
pub struct Admitted {
    /// Who calls.
    pub caller: Caller,
    /// What its token says.
    claims: Arc<Claims>,
    /// The client certificate of its connection.
    certificate: Option<Thumbprint>,
    /// The rows, for the judgement to come.
    pub snapshot: Arc<Snapshot>,
}

impl Admitted {
    /// Whether its connection showed exactly this certificate.
    pub fn showed(&self, certificate: Option<Thumbprint>) -> bool {
        self.certificate == certificate
    }

    /// The same for the desk, which is told nothing of tokens but when this one ends.
    pub fn visitor(&self, resource: Arc<Resource>) -> Visitor {
        Visitor {
            caller: self.caller.clone(),
            policies: self.snapshot.policies.clone(),
            resource,
            until: Some(self.claims.expires_at()),
        }
    }
}

impl Authenticator {
    /// An authenticator with an empty cache.
    pub fn new(idp: Arc<dyn Idp>, roster: Arc<Roster>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let believed = Duration::from_secs(CLAIMS_TTL.into());
        let verified = Cache::builder().max_capacity(CLAIMS_KEPT).time_to_live(believed).build();
        let good = RwLock::new(Remembered::new(Instant::now()));
        Self { idp, roster, verified, good, clock, metrics }
    }

    /// The tenant's rows as of now.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, AuthFault> {
        self.roster.current().await.map_err(|_| AuthFault::RosterStale)
    }

    /// The scopes to ask for, by the rows as they were last read.
    pub fn scopes_to_ask_for(&self) -> Vec<String> {
        self.roster.latest().trust.scopes_to_ask_for().to_vec()
    }

    /// Who presents this token to `resource`, on a connection that has shown `certificate`? The
    /// claims may come from the cache; the binding to an agent and the proof never do.
    pub async fn authenticate(
        &self,
        bearer: &Bearer,
        certificate: Option<Thumbprint>,
        resource: &Resource,
    ) -> Result<Admitted, Turned> {
        let token = match bearer {
            Bearer::Missing => return Err(AuthFault::Missing.into()),
            Bearer::Malformed => return Err(AuthFault::Malformed.into()),
            Bearer::Dpop => return Err(AuthFault::Dpop.into()),
            Bearer::Token(token) => token.expose(),
        };
        let snapshot = self.snapshot().await?;
        let claims = self.claims(token, resource, &snapshot).await?;
        // Fetching keys may have taken a while: the binding is read after it.
        bind(claims, certificate, self.snapshot().await?)
    }

    /// Whether this token was good when it was last looked at.
    pub fn was_good(&self, bearer: &Bearer) -> bool {
        matches!(bearer, Bearer::Token(token) if self.good.read().knows(&digest(token.expose())))
    }

    /// The same caller by the rows of now, where they have changed since it was admitted.
    pub async fn again(&self, admitted: Admitted) -> Result<Admitted, Turned> {
        let snapshot = self.snapshot().await?;
        if Arc::ptr_eq(&snapshot, &admitted.snapshot) {
            Ok(admitted)
        } else {
            bind(admitted.claims, admitted.certificate, snapshot)
        }
    }

    /// True while the rows are being followed.
    pub fn is_fresh(&self) -> bool {
        self.roster.is_fresh()
    }

    async fn claims(
        &self,
        token: &str,
        resource: &Resource,
        snapshot: &Snapshot,
    ) -> Result<Arc<Claims>, Turned> {
        let now = self.clock.now_seconds();
        let digest = digest(token);
        if let Some(known) = self.verified.get(&digest)
            && now - known.at < CLAIMS_TTL.into()
            && let Some(issuer) = snapshot.trust.issuer(known.claims.issuer())
            && *known.issuer == **issuer
        {
            self.metrics.token_cache.with_label_values(&["hit"]).inc();
            return match token::still_valid(&known.claims, &issuer.rules(resource.identifier()), now) {
                Ok(()) => Ok(known.claims.clone()),
                Err(fault) => Err(Turned::known(fault, &known.claims)),
            };
        }
        self.metrics.token_cache.with_label_values(&["miss"]).inc();
        let verified = self.verify(token, resource, snapshot, now).await;
        match &verified {
            Ok(verified) => {
                self.verified.insert(digest, verified.clone());
                self.good.write().note(&digest, Instant::now());
            }
            Err(turned) if turned.fault.is_bad_token() => {
                self.verified.invalidate(&digest);
                self.good.write().forget(&digest);
            }
            Err(_) => {}
        }
        verified.map(|verified| verified.claims.clone())
    }

    async fn verify(
        &self,
        token: &str,
        resource: &Resource,
        snapshot: &Snapshot,
        now: i64,
    ) -> Result<Arc<Verified>, Turned> {
        let peeked = token::peek(token)?;
        let issuer = snapshot.trust.issuer(&peeked.issuer).ok_or(AuthFault::UnknownIssuer)?.clone();
        let keys = self.idp.keys(&issuer, peeked.key_id.as_deref()).await.map_err(|error| {
            tracing::warn!(issuer = %issuer.issuer, %error, "the issuer's keys cannot be fetched");
            AuthFault::KeysUnavailable
        })?;
        let candidates = keys.candidates(&peeked);
        let signed = token::signed(peeked, candidates)?;
        let claims = signed
            .claims(&issuer.rules(resource.identifier()), now)
            .map_err(|fault| Turned::signed(fault, &signed, issuer.subject_claim_of(signed.issuer())))?;
        Ok(Arc::new(Verified { claims: Arc::new(claims), issuer, at: now }))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Who the claims speak for by these rows, on a connection that has shown `certificate`.
fn bind(
    claims: Arc<Claims>,
    certificate: Option<Thumbprint>,
    snapshot: Arc<Snapshot>,
) -> Result<Admitted, Turned> {
    match trust::caller(&snapshot.trust, &claims, certificate.as_ref()) {
        Ok(caller) => Ok(Admitted { caller, claims, certificate, snapshot }),
        Err(fault) => Err(Turned::known(fault, &claims)),
    }
}
