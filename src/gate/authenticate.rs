//! Who is calling: a bearer token becomes a [`Caller`], or a refusal that says how to do better.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::roster::{Roster, Snapshot};
use crate::clock::Clock;
use crate::identity::metadata::Resource;
use crate::identity::token::{self, Claims, TokenFault};
use crate::identity::trust::{self, Caller, TrustFault, TrustedIssuer};
use crate::idp::Idp;
use crate::metrics::Metrics;
use crate::secret::Secret;

/// The Authorization header as it came (RFC 6750 section 2.1; never the query).
#[derive(Clone, Debug)]
pub enum Bearer {
    /// None, or one of another scheme.
    Missing,
    /// `Bearer` and one token.
    Token(Secret),
    /// Several headers, or `Bearer` without exactly one token.
    Malformed,
}

impl Bearer {
    /// Reads all values of the Authorization header.
    pub fn read<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(value) = values.next() else { return Self::Missing };
        if values.next().is_some() {
            return Self::Malformed;
        }
        let Ok(value) = std::str::from_utf8(value) else { return Self::Malformed };
        let (scheme, token) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::Missing;
        }
        let token = token.trim();
        let token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || !token.bytes().all(token68) {
            return Self::Malformed;
        }
        Self::Token(Secret::new(token))
    }
}

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthFault {
    /// RFC 6750 section 3.1: without a token the challenge bears no error code.
    #[error("a bearer token is required")]
    Missing,
    /// The header does not have the form of RFC 6750.
    #[error("the Authorization header must be `Bearer` followed by one token")]
    Malformed,
    /// The token itself is not accepted.
    #[error("{0}")]
    Token(#[from] TokenFault),
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
    /// Whether the token proved bad, as a guess would. A genuine one that lets nobody in is none, nor is
    /// what we cannot judge; and every client's first request comes without a token.
    pub fn is_bad_token(&self) -> bool {
        match self {
            Self::Malformed | Self::Token(_) | Self::UnknownIssuer => true,
            Self::Missing | Self::NotBound | Self::Disabled | Self::KeysUnavailable | Self::RosterStale => {
                false
            }
        }
    }

    /// The reason for metrics and records, one of [`crate::metrics::AUTH_REASONS`].
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing_token",
            Self::Malformed => "malformed_authorization",
            Self::Token(fault) => fault.label(),
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
        }
    }
}

/// A caller that is not let in, with its claims where they were verified: whoever it is, the
/// record can name it.
#[derive(Debug)]
pub struct Turned {
    /// Why.
    pub fault: AuthFault,
    /// What the token truthfully says.
    pub claims: Option<Arc<Claims>>,
}

impl From<AuthFault> for Turned {
    fn from(fault: AuthFault) -> Self {
        Self { fault, claims: None }
    }
}

/// A token that was verified, against what and when (Unix seconds).
struct Verified {
    claims: Arc<Claims>,
    issuer: Arc<TrustedIssuer>,
    at: i64,
}

/// The longest that a verified token is believed without a second look at its signature, in seconds.
const CLAIMS_TTL: i64 = 60;
const CLAIMS_KEPT: u64 = 50_000;

/// The longest that a token is remembered as one that was good.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// A token is forgotten when it expires, or after [`REMEMBERED`], whichever is sooner.
struct UntilExpiry(Clock);

impl Expiry<[u8; 32], Arc<Verified>> for UntilExpiry {
    fn expire_after_create(&self, _: &[u8; 32], verified: &Arc<Verified>, _: Instant) -> Option<Duration> {
        let left = verified.claims.expires_at().saturating_sub(self.0.now_seconds());
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(REMEMBERED))
    }
}

/// Turns bearer tokens into callers.
pub struct Authenticator {
    idp: Arc<dyn Idp>,
    roster: Arc<Roster>,
    verified: Cache<[u8; 32], Arc<Verified>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// An authenticated caller and the rows it was judged by.
pub struct Admitted {
    /// Who calls.
    pub caller: Caller,
    /// What its token says.
    claims: Arc<Claims>,
    /// The rows, for the judgement to come.
    pub snapshot: Arc<Snapshot>,
}

impl Authenticator {
    /// An authenticator with an empty cache.
    pub fn new(idp: Arc<dyn Idp>, roster: Arc<Roster>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let verified =
            Cache::builder().max_capacity(CLAIMS_KEPT).expire_after(UntilExpiry(clock.clone())).build();
        Self { idp, roster, verified, clock, metrics }
    }

    /// The tenant's rows as of now.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, AuthFault> {
        self.roster.current().await.map_err(|_| AuthFault::RosterStale)
    }

    /// Who presents this token to `resource`? The claims may come from the cache; the binding never does.
    pub async fn authenticate(&self, bearer: &Bearer, resource: &Resource) -> Result<Admitted, Turned> {
        let token = match bearer {
            Bearer::Missing => return Err(AuthFault::Missing.into()),
            Bearer::Malformed => return Err(AuthFault::Malformed.into()),
            Bearer::Token(token) => token.expose(),
        };
        let snapshot = self.snapshot().await?;
        let claims = self.claims(token, resource, &snapshot).await?;
        // Fetching keys may have taken a while: the binding is read after it.
        bind(claims, self.snapshot().await?)
    }

    /// Whether this token was good when it was last looked at.
    pub fn was_good(&self, bearer: &Bearer) -> bool {
        matches!(bearer, Bearer::Token(token) if self.verified.contains_key(&digest(token.expose())))
    }

    /// The same caller by the rows of now, where they have changed since it was admitted.
    pub async fn again(&self, admitted: Admitted) -> Result<Admitted, Turned> {
        let snapshot = self.snapshot().await?;
        if Arc::ptr_eq(&snapshot, &admitted.snapshot) {
            Ok(admitted)
        } else {
            bind(admitted.claims, snapshot)
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
    ) -> Result<Arc<Claims>, AuthFault> {
        let now = self.clock.now_seconds();
        let digest = digest(token);
        if let Some(known) = self.verified.get(&digest)
            && now - known.at < CLAIMS_TTL
            && let Some(issuer) = snapshot.trust.issuer(known.claims.issuer())
            && *known.issuer == **issuer
        {
            self.metrics.token_cache.with_label_values(&["hit"]).inc();
            token::still_valid(&known.claims, &issuer.rules(resource.identifier()), now)?;
            return Ok(known.claims.clone());
        }
        self.metrics.token_cache.with_label_values(&["miss"]).inc();
        let verified = self.verify(token, resource, snapshot, now).await;
        match &verified {
            Ok(verified) => self.verified.insert(digest, verified.clone()),
            Err(fault) if fault.is_bad_token() => self.verified.invalidate(&digest),
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
    ) -> Result<Arc<Verified>, AuthFault> {
        let peeked = token::peek(token)?;
        let issuer = snapshot.trust.issuer(&peeked.issuer).ok_or(AuthFault::UnknownIssuer)?.clone();
        let keys = self.idp.keys(&issuer, peeked.key_id.as_deref()).await.map_err(|error| {
            tracing::warn!(issuer = %issuer.issuer, %error, "the issuer's keys cannot be fetched");
            AuthFault::KeysUnavailable
        })?;
        let rules = issuer.rules(resource.identifier());
        let claims = Arc::new(token::verify_any(token, &peeked, keys.candidates(&peeked), &rules, now)?);
        Ok(Arc::new(Verified { claims, issuer, at: now }))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Who the claims speak for by these rows.
fn bind(claims: Arc<Claims>, snapshot: Arc<Snapshot>) -> Result<Admitted, Turned> {
    match trust::caller(&snapshot.trust, &claims) {
        Ok(caller) => Ok(Admitted { caller, claims, snapshot }),
        Err(fault) => Err(Turned { fault: fault.into(), claims: Some(claims) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Bearer {
        Bearer::read(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn one_bearer_token_is_read_whatever_the_case_of_the_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert!(matches!(read(&[value]), Bearer::Token(token) if token.expose() == "a.b.c"), "{value}");
        }
    }

    #[test]
    fn no_header_and_other_schemes_are_no_token() {
        assert!(matches!(read(&[]), Bearer::Missing));
        assert!(matches!(read(&["Basic dXNlcjpwYXNz"]), Bearer::Missing));
    }

    #[test]
    fn several_headers_empty_or_broken_tokens_are_malformed() {
        for values in
            [&["Bearer a", "Bearer b"][..], &["Bearer"], &["Bearer "], &["Bearer a b"], &["Bearer a,b"]]
        {
            assert!(matches!(read(values), Bearer::Malformed), "{values:?}");
        }
    }
}
