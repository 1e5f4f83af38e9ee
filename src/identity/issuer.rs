//! An issuer that is trusted, and the rules that its tokens must keep.
//!
//! Knows neither who put it in the table nor which addresses may be reached.

use serde::{Deserialize, Serialize};
use url::Url;

use super::claims::Rules;
use super::scopes::RequiredScopes;

/// An issuer whose tokens are accepted, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The issuer identifier, exactly as `iss` says it. Agents are bound to this one.
    pub issuer: String,
    /// What else it calls itself in `iss`. Its keys are the same.
    pub aliases: Vec<IssuerAlias>,
    /// Where its keys are; `None` finds out by discovery.
    pub jwks_uri: Option<String>,
    /// Audiences that are accepted beside the resource URL.
    pub audiences: Vec<String>,
    /// Whether those are accepted in place of the resource URL.
    pub own_audiences_only: bool,
    /// The claim that names the subject.
    pub subject_claim: String,
    /// How old a token may be, in seconds.
    pub max_age: Option<i64>,
    /// How far its clock may be off, in seconds.
    pub leeway: i64,
    /// What its tokens must have been granted, by what a call does.
    pub required_scopes: RequiredScopes,
    /// Whether its tokens must be bound to a client certificate (RFC 8705).
    pub require_bound_tokens: bool,
}

/// Google's issuer, for people and for service accounts.
pub const GOOGLE: &str = "https://accounts.google.com";

/// Another `iss` of the same issuer, as Entra has one for each version of its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerAlias {
    /// Exactly as `iss` says it.
    pub issuer: String,
    /// The claim that names the subject in tokens of that `iss`; `None`: the same as in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_claim: Option<String>,
}

impl Default for TrustedIssuer {
    /// An issuer without a name whose tokens are read in the usual way: subject in `sub`, a minute
    /// of leeway, keys by discovery.
    fn default() -> Self {
        Self {
            issuer: String::new(),
            aliases: Vec::new(),
            jwks_uri: None,
            audiences: Vec::new(),
            own_audiences_only: false,
            subject_claim: "sub".to_owned(),
            max_age: None,
            leeway: 60,
            required_scopes: RequiredScopes::default(),
            require_bound_tokens: false,
        }
    }
}

/// The most characters of an issuer, a claim's name, and whatever else names somebody.
pub const NAME_LIMIT: usize = 255;

/// The largest clock difference that may be tolerated, in seconds.
const MAX_LEEWAY: i64 = 300;

impl TrustedIssuer {
    /// What is wrong with the description itself, as (field, message). Which addresses may be
    /// reached is not judged here.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut say = |field: &str, message: String| found.push((field.to_owned(), message));
        if let Some(wrong) = wrong_identifier(&self.issuer) {
            say("issuer", wrong);
        }
        for (at, alias) in self.aliases.iter().enumerate() {
            if let Some(wrong) = wrong_identifier(&alias.issuer) {
                say(&format!("aliases[{at}].issuer"), wrong);
            } else if self.identifiers().take(at + 1).any(|earlier| earlier == alias.issuer) {
                say(&format!("aliases[{at}].issuer"), "is named before; leave it out".to_owned());
            }
            if let Some(wrong) = alias.subject_claim.as_deref().and_then(wrong_claim) {
                say(&format!("aliases[{at}].subject_claim"), wrong);
            }
        }
        // Unlike an issuer's, a key set's address may have a query: some providers name a policy in it.
        if let Some(wrong) = self.jwks_uri.as_deref().and_then(|uri| wrong_address(uri, true)) {
            say("jwks_uri", wrong.to_owned());
        }
        if let Some(wrong) = wrong_claim(&self.subject_claim) {
            say("subject_claim", wrong);
        }
        let blank = self.audiences.iter().any(|audience| audience.trim().is_empty());
        if blank || (self.own_audiences_only && self.audiences.is_empty()) {
            say("audiences", "must name an `aud` of its tokens; without one any token would do".to_owned());
        }
        if self.max_age.is_some_and(|age| age <= 0) {
            say("max_age", "must be at least 1s; leave it out for no limit".to_owned());
        }
        if !(0..=MAX_LEEWAY).contains(&self.leeway) {
            say("leeway", format!("must be 0 to {MAX_LEEWAY} seconds; clocks that differ more need setting"));
        }
        for (list, message) in self.required_scopes.problems() {
            say(&format!("required_scopes.{list}"), message);
        }
        found
    }

    /// Every `iss` that its tokens may bear, the one that agents are bound to first.
    pub fn identifiers(&self) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter().map(|alias| alias.issuer.as_str());
        std::iter::once(self.issuer.as_str()).chain(aliases)
    }

    /// The claim that names the subject in tokens of that `iss`, which is the main one or an alias.
    pub fn subject_claim_of(&self, identifier: &str) -> &str {
        let alias = self.aliases.iter().find(|alias| alias.issuer == identifier);
        alias.and_then(|alias| alias.subject_claim.as_deref()).unwrap_or(&self.subject_claim)
    }

    /// The first `iss` that both this issuer and `other` claim.
    pub fn shared_identifier(&self, other: &Self) -> Option<&str> {
        self.identifiers().find(|mine| other.identifiers().any(|theirs| theirs == *mine))
    }

    /// The rules its tokens must keep at the protected resource `resource` (the MCP URL).
    pub fn rules(&self, resource: &str) -> Rules {
        let resource = (!self.own_audiences_only).then(|| resource.to_owned());
        Rules {
            issuer: self.issuer.clone(),
            aliases: self.aliases.clone(),
            audiences: resource.into_iter().chain(self.audiences.iter().cloned()).collect(),
            subject_claim: self.subject_claim.clone(),
            leeway: self.leeway,
            max_age: self.max_age,
        }
    }
}

fn wrong_identifier(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is missing; write exactly the `iss` of its tokens".to_owned());
    }
    let wrong = wrong_address(text, false).map(str::to_owned);
    wrong.or_else(|| too_long(text))
}

fn wrong_claim(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is missing; write the claim that names the agent, such as sub".to_owned());
    }
    too_long(text)
}

fn too_long(text: &str) -> Option<String> {
    (text.chars().count() > NAME_LIMIT).then(|| format!("must be at most {NAME_LIMIT} characters long"))
}

/// What is wrong with an address (an issuer's, RFC 8414 section 2: no query, no fragment).
fn wrong_address(text: &str, may_query: bool) -> Option<&'static str> {
    // The parser would pass over spaces around the text, which are then compared byte for byte.
    let spaced = text.contains(|char: char| char.is_whitespace() || char.is_control());
    let Some(url) = Url::parse(text).ok().filter(|_| !spaced) else {
        return Some("must be an absolute http or https URL");
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        Some("must be an absolute http or https URL")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("must hold neither a user name nor a password")
    } else if may_query && url.fragment().is_some() {
        Some("must have no fragment")
    } else if !may_query && (url.query().is_some() || url.fragment().is_some()) {
        Some("must have neither a query nor a fragment")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::issuer;

    #[test]
    fn the_rules_of_an_issuer_accept_the_resource_and_its_own_audiences() {
        let issuer = TrustedIssuer { audiences: vec!["api://sidegate".into()], ..issuer() };
        assert_eq!(
            issuer.rules("https://gate/api/mcp").audiences,
            ["https://gate/api/mcp", "api://sidegate"]
        );
    }

    #[test]
    fn a_sound_description_of_an_issuer_has_no_problem() {
        let uri = Some("https://login.example:8443/keys".to_owned());
        for sound in [
            issuer(),
            TrustedIssuer { jwks_uri: uri, leeway: 0, max_age: Some(1), ..issuer() },
            TrustedIssuer { issuer: "http://127.0.0.1:9/realms/a".into(), leeway: 300, ..issuer() },
        ] {
            assert_eq!(sound.problems(), []);
        }
    }

    #[test]
    fn whatever_is_wrong_with_an_issuer_is_named_with_its_field() {
        let fields = |bad: TrustedIssuer| -> Vec<String> {
            bad.problems().into_iter().map(|(field, _)| field).collect()
        };
        for text in [
            "",
            " ",
            "garbage",
            "/relative",
            "ftp://login.example",
            "https://",
            "https://a:b@login.example",
            "https://a@login.example",
            "https://login.example/#f",
            "https://login.example ",
            "https://login.example/\n",
        ] {
            assert_eq!(fields(TrustedIssuer { issuer: text.into(), ..issuer() }), ["issuer"], "{text}");
            let uri = Some(text.to_owned());
            assert_eq!(fields(TrustedIssuer { jwks_uri: uri, ..issuer() }), ["jwks_uri"], "{text}");
        }
        let queried = || "https://login.example/?q=1".to_owned();
        assert_eq!(fields(TrustedIssuer { issuer: queried(), ..issuer() }), ["issuer"]);
        assert!(fields(TrustedIssuer { jwks_uri: Some(queried()), ..issuer() }).is_empty());
        let long = "a".repeat(256);
        for claim in ["", " ", &long] {
            let bad = TrustedIssuer { subject_claim: claim.into(), ..issuer() };
            assert_eq!(fields(bad), ["subject_claim"]);
        }
        assert_eq!(fields(TrustedIssuer { issuer: format!("https://{long}"), ..issuer() }), ["issuer"]);
        for leeway in [-1, 301, i64::MAX] {
            assert_eq!(fields(TrustedIssuer { leeway, ..issuer() }), ["leeway"]);
        }
        let asking = RequiredScopes { destroy: vec!["a b".into()], ..RequiredScopes::default() };
        assert_eq!(
            fields(TrustedIssuer { required_scopes: asking, ..issuer() }),
            ["required_scopes.destroy"]
        );
        for age in [0, -1] {
            assert_eq!(fields(TrustedIssuer { max_age: Some(age), ..issuer() }), ["max_age"]);
        }
    }
}
