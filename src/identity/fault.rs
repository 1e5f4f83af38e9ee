//! Why a token is not accepted: one variant a reason, one label a variant.
//!
//! No variant holds a byte of the token; only names of claims and what was expected of them.

use thiserror::Error;

/// Why a token (or the key set it should be checked with) is refused.
///
/// The text tells the owner of the token what to change. It never quotes the token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenFault {
    #[error("the token is longer than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the token is not a signed JWT in compact form: {0}")]
    Malformed(&'static str),
    #[error("a member occurs twice in the token's {0}")]
    DuplicateMember(&'static str),
    #[error(
        "the token's `alg` is not accepted; use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
    )]
    Algorithm,
    #[error("the token's `typ` is not accepted; it must be absent, `JWT` or `at+jwt`")]
    Type,
    #[error("the token's header has `{0}`, which asks for an extension that is not supported")]
    CriticalHeader(&'static str),
    #[error("the token's header brings or names a key of its own (`{0}`); keys come from the issuer only")]
    EmbeddedKey(&'static str),
    #[error("the issuer publishes no key that could have signed the token")]
    UnknownKey,
    #[error("the token's `alg` or `kid` does not belong to the issuer's key")]
    KeyMismatch,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has no `iss`")]
    MissingIssuer,
    #[error("the token's `iss` is not `{expected}`")]
    Issuer { expected: String },
    #[error("the token has no `aud`")]
    MissingAudience,
    #[error("the token's `aud` names none of: {}", .expected.join(", "))]
    Audience { expected: Vec<String> },
    #[error("the token has no `exp`")]
    MissingExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYetValid,
    #[error("the token has no `iat`, which this issuer's maximum age needs")]
    MissingIssuedAt,
    #[error("the token's `iat` lies in the future")]
    IssuedInFuture,
    #[error("the token is older than this issuer's maximum age")]
    TooOld,
    #[error("the token has no `{claim}`, which names the subject for this issuer")]
    MissingSubject { claim: String },
    #[error("the token's `cnf` {0}; supported is `x5t#S256` alone, a TLS client certificate (RFC 8705)")]
    Confirmation(&'static str),
    #[error("the token's `{claim}` is not {expected}")]
    ClaimType { claim: String, expected: &'static str },
    #[error("the key set cannot be used: {0}")]
    KeyUnusable(&'static str),
}

impl TokenFault {
    /// The reason as metrics and audit records name it, one of [`crate::metrics::AUTH_REASONS`].
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) => "malformed",
            Self::DuplicateMember(_) => "duplicate_member",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::CriticalHeader(_) => "critical_header",
            Self::EmbeddedKey(_) => "embedded_key",
            Self::UnknownKey => "unknown_key",
            Self::KeyMismatch => "key_mismatch",
            Self::Signature => "signature",
            Self::MissingIssuer => "missing_issuer",
            Self::Issuer { .. } => "issuer",
            Self::MissingAudience => "missing_audience",
            Self::Audience { .. } => "audience",
            Self::MissingExpiry => "missing_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::MissingIssuedAt => "missing_issued_at",
            Self::IssuedInFuture => "issued_in_future",
            Self::TooOld => "too_old",
            Self::MissingSubject { .. } => "missing_subject",
            Self::Confirmation(_) => "confirmation",
            Self::ClaimType { .. } => "claim_type",
            Self::KeyUnusable(_) => "key_unusable",
        }
    }

    pub(super) fn claim_type(claim: &str, expected: &'static str) -> Self {
        Self::ClaimType { claim: claim.to_owned(), expected }
    }
}
