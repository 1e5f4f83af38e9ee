//! What a verified token says, and the rules it must keep (RFC 7519 section 4.1).
//!
//! Time is handed in: seconds since the epoch. Nothing here knows about keys or signatures.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::confirmation::{self, Thumbprint};
use super::fault::TokenFault;
use super::issuer::IssuerAlias;
use super::principal::{self, Principal};
use super::scopes;

/// The longest subject, in characters (OpenID Connect Core section 2, `sub`).
pub const MAX_SUBJECT: usize = 255;

/// 9999-12-31T23:59:59Z: a later date is a mistake, such as milliseconds for seconds.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a token of one issuer must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `iss`, compared byte by byte.
    pub issuer: String,
    /// Other `iss` that are accepted, each with a subject claim of its own if it has one.
    pub aliases: Vec<IssuerAlias>,
    /// `aud` must name at least one of these; an empty list accepts no token.
    pub audiences: Vec<String>,
    /// The claim that names the subject: `sub`, `azp`, `oid`, `client_id` and so on. No other is read instead.
    pub subject_claim: String,
    /// How far the issuer's clock may be off, in seconds.
    pub leeway: i64,
    /// How old a token may be, in seconds since `iat`; `None` sets no limit and asks for no `iat`.
    pub max_age: Option<i64>,
}

impl Rules {
    /// The claim that names the subject in tokens of `issuer`, which is the main one or an alias.
    ///
    /// # Errors
    /// [`TokenFault::Issuer`] where it is neither.
    fn subject_claim(&self, issuer: &str) -> Result<&str, TokenFault> {
        if issuer == self.issuer {
            return Ok(&self.subject_claim);
        }
        let alias = self.aliases.iter().find(|alias| alias.issuer == issuer);
        let alias = alias.ok_or_else(|| TokenFault::Issuer { expected: self.issuer.clone() })?;
        Ok(alias.subject_claim.as_deref().unwrap_or(&self.subject_claim))
    }
}

/// What a verified token says. Made by [`super::token::verify`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    issuer: String,
    subject: String,
    subject_claim: String,
    audiences: Vec<String>,
    expires_at: i64,
    not_before: Option<i64>,
    issued_at: Option<i64>,
    token_id: Option<String>,
    principal: Principal,
    // Shared with each caller that is made of it, as the next and the last.
    person: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
    certificate: Option<Thumbprint>,
    scopes: Arc<[String]>,
}

impl Claims {
    /// `iss`, which may be an alias of the issuer that is trusted.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The value of the issuer's subject claim: 1 to 255 characters.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// `exp`, in seconds since the epoch.
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// `iat`, in seconds since the epoch.
    pub fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }

    /// `aud` as a list.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whether it carries a person.
    pub fn principal(&self) -> Principal {
        self.principal
    }

    /// The person it carries by name: `preferred_username`, `upn`, `email` or `name`, else `sub`. For the
    /// record only, as the next: who the caller is comes from [`Self::subject`].
    pub fn person(&self) -> Option<&Arc<str>> {
        self.person.as_ref()
    }

    /// The client that obtained it: `client_id` (RFC 9068), else `azp`, `appid` or `cid`.
    pub fn client_id(&self) -> Option<&Arc<str>> {
        self.client_id.as_ref()
    }

    /// The TLS client certificate that the token is bound to (`cnf` with `x5t#S256`, RFC 8705
    /// section 3.1). Whether it is there is judged where a caller is made of the claims.
    pub fn certificate(&self) -> Option<&Thumbprint> {
        self.certificate.as_ref()
    }

    /// What the token was granted: `scope`, `scp` and `roles` together, each once.
    pub fn scopes(&self) -> &Arc<[String]> {
        &self.scopes
    }

    /// Reads a payload whose signature was checked; judges it with [`still_valid`].
    pub(super) fn read(payload: &Map<String, Value>, rules: &Rules, now: i64) -> Result<Self, TokenFault> {
        let issuer = text(payload, "iss")?.ok_or(TokenFault::MissingIssuer)?;
        let subject_claim = rules.subject_claim(issuer)?;
        for claim in ["client_id", "azp"] {
            text(payload, claim)?;
        }
        let principal = Principal::of(payload);
        let claims = Self {
            issuer: issuer.to_owned(),
            audiences: list(payload, "aud")?.ok_or(TokenFault::MissingAudience)?,
            expires_at: date(payload, "exp")?.ok_or(TokenFault::MissingExpiry)?,
            not_before: date(payload, "nbf")?,
            issued_at: date(payload, "iat")?,
            subject: subject(payload, subject_claim)?,
            subject_claim: subject_claim.to_owned(),
            token_id: text(payload, "jti")?.map(str::to_owned),
            principal,
            person: principal::person(principal, payload).map(Arc::from),
            client_id: principal::client(payload).map(Arc::from),
            certificate: confirmation::read(payload)?,
            scopes: scopes::granted(payload)?.into(),
        };
        still_valid(&claims, rules, now)?;
        Ok(claims)
    }
}

/// Judges verified claims again: audience, `exp`, `nbf`, age, all against `rules` as they are now.
///
/// `now` is in seconds since the epoch. A token is expired from the second `exp + leeway` on.
///
/// # Errors
/// The first rule that is not kept. Claims read under another subject claim are
/// [`TokenFault::MissingSubject`], since the token itself is not at hand to be read again.
pub fn still_valid(claims: &Claims, rules: &Rules, now: i64) -> Result<(), TokenFault> {
    let subject_claim = rules.subject_claim(&claims.issuer)?;
    if claims.subject_claim != subject_claim {
        return Err(TokenFault::MissingSubject { claim: subject_claim.to_owned() });
    }
    if !audience_matches(claims, &rules.audiences) {
        return Err(TokenFault::Audience { expected: rules.audiences.clone() });
    }
    let leeway = rules.leeway.max(0);
    if now >= claims.expires_at.saturating_add(leeway) {
        return Err(TokenFault::Expired);
    }
    let latest_start = now.saturating_add(leeway);
    if claims.not_before.is_some_and(|start| start > latest_start) {
        return Err(TokenFault::NotYetValid);
    }
    if claims.issued_at.is_some_and(|issued| issued > latest_start) {
        return Err(TokenFault::IssuedInFuture);
    }
    if let Some(max_age) = rules.max_age {
        let issued = claims.issued_at.ok_or(TokenFault::MissingIssuedAt)?;
        if now.saturating_sub(issued) > max_age.saturating_add(leeway) {
            return Err(TokenFault::TooOld);
        }
    }
    Ok(())
}

/// True where `aud` names at least one of `accepted`, byte by byte.
pub fn audience_matches(claims: &Claims, accepted: &[String]) -> bool {
    claims.audiences.iter().any(|audience| accepted.contains(audience))
}

/// A claim that is absent or a string.
pub(super) fn text<'a>(payload: &'a Map<String, Value>, claim: &str) -> Result<Option<&'a str>, TokenFault> {
    match payload.get(claim) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(TokenFault::claim_type(claim, "a string")),
    }
}

/// A claim that is absent, a string or an array of strings.
pub(super) fn list(payload: &Map<String, Value>, claim: &str) -> Result<Option<Vec<String>>, TokenFault> {
    let wrong = || TokenFault::claim_type(claim, "a string or an array of strings");
    match payload.get(claim) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(vec![value.clone()])),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(wrong()),
    }
}

/// A NumericDate (RFC 7519 section 2): seconds, a fraction is cut off.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn date(payload: &Map<String, Value>, claim: &str) -> Result<Option<i64>, TokenFault> {
    let Some(value) = payload.get(claim) else { return Ok(None) };
    let seconds = match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            number.as_f64().filter(|seconds| (0.0..1e12).contains(seconds)).map(|seconds| seconds as i64)
        }),
        _ => None,
    };
    seconds
        .filter(|seconds| (0..=LAST_SECOND).contains(seconds))
        .map(Some)
        .ok_or_else(|| TokenFault::claim_type(claim, "a number of seconds between 1970 and 9999"))
}

/// The subject under `claim`: 1 to [`MAX_SUBJECT`] characters.
pub(super) fn subject(payload: &Map<String, Value>, claim: &str) -> Result<String, TokenFault> {
    let missing = || TokenFault::MissingSubject { claim: claim.to_owned() };
    let subject = text(payload, claim)?.filter(|subject| !subject.is_empty()).ok_or_else(missing)?;
    if subject.chars().count() > MAX_SUBJECT {
        return Err(TokenFault::claim_type(claim, "a string of at most 255 characters"));
    }
    Ok(subject.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            issuer: "https://idp.example".into(),
            aliases: vec![],
            audiences: vec!["https://sidegate.example/api/mcp".into()],
            subject_claim: "sub".into(),
            leeway: 30,
            max_age: None,
        }
    }

    fn payload() -> Value {
        json!({"iss": "https://idp.example", "sub": "agent", "aud": "https://sidegate.example/api/mcp", "exp": NOW + 60})
    }

    fn read(payload: &Value, rules: &Rules) -> Result<Claims, TokenFault> {
        Claims::read(payload.as_object().unwrap(), rules, NOW)
    }

    #[test]
    fn each_bound_of_time_is_exact_to_the_second() {
        let edge = |claim: &str, at: i64| {
            let mut payload = payload();
            payload[claim] = at.into();
            read(&payload, &Rules { max_age: (claim == "iat").then_some(100), ..rules() })
                .map_or_else(|fault| fault.label(), |_| "accepted")
        };
        assert_eq!(edge("exp", NOW - 29), "accepted");
        assert_eq!(edge("exp", NOW - 30), "expired");
        assert_eq!(edge("nbf", NOW + 30), "accepted");
        assert_eq!(edge("nbf", NOW + 31), "not_yet_valid");
        assert_eq!(edge("iat", NOW + 30), "accepted");
        assert_eq!(edge("iat", NOW + 31), "issued_in_future");
        assert_eq!(edge("iat", NOW - 130), "accepted");
        assert_eq!(edge("iat", NOW - 131), "too_old");
    }

    #[test]
    fn a_cached_token_is_judged_again_by_the_rules_of_the_moment() {
        let claims = read(&payload(), &rules()).unwrap();
        let judge = |rules: &Rules, now| still_valid(&claims, rules, now).map_err(|fault| fault.label());
        assert_eq!(judge(&rules(), NOW), Ok(()));
        assert_eq!(judge(&rules(), NOW + 90), Err("expired"));
        assert_eq!(judge(&Rules { audiences: vec![], ..rules() }, NOW), Err("audience"));
        assert_eq!(judge(&Rules { max_age: Some(60), ..rules() }, NOW), Err("missing_issued_at"));
        assert_eq!(judge(&Rules { subject_claim: "oid".into(), ..rules() }, NOW), Err("missing_subject"));
        assert_eq!(judge(&Rules { issuer: "https://other".into(), ..rules() }, NOW), Err("issuer"));
    }

    #[test]
    fn a_negative_leeway_counts_as_none() {
        let strict = Rules { leeway: -1_000, ..rules() };
        assert!(read(&payload(), &strict).is_ok());
    }

    #[test]
    fn the_client_comes_from_client_id_or_azp() {
        let mut payload = payload();
        payload["azp"] = "robot".into();
        assert_eq!(read(&payload, &rules()).unwrap().client_id().map(|id| &**id), Some("robot"));
        payload["client_id"] = "machine".into();
        assert_eq!(read(&payload, &rules()).unwrap().client_id().map(|id| &**id), Some("machine"));
    }
}
