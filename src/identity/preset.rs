//! What an administrator says of a provider becomes an issuer that is trusted: Google and
//! Microsoft from what little they need, any other from its issuer.
//!
//! Pure: nothing is fetched here. Sources: Google's "OpenID Connect" and Microsoft's "Access token
//! claims reference".

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

pub use super::issuer::GOOGLE;
use super::issuer::{IssuerAlias, TrustedIssuer};
use super::scopes::RequiredScopes;

/// Entra's authority names that stand for many directories; a token never bears them in `iss`.
const MANY_DIRECTORIES: [&str; 3] = ["common", "organizations", "consumers"];

/// A provider that is known well enough to need only what differs between customers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Nothing needs to be entered.
    Google,
    /// Entra ID: the directory's id.
    Microsoft,
    /// Its issuer.
    #[default]
    Custom,
}

impl Preset {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Google, Self::Microsoft, Self::Custom];

    /// The word that rows, the API and the command line use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
            Self::Custom => "custom",
        }
    }

    /// The preset of that word, exactly.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == word)
    }

    /// The preset that an issuer belongs to, and its Entra directory if it has one.
    pub fn recognise(issuer: &str) -> (Self, Option<String>) {
        if issuer == GOOGLE {
            return (Self::Google, None);
        }
        match directory(issuer) {
            Some(id) => (Self::Microsoft, Some(id.to_owned())),
            None => (Self::Custom, None),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A provider as an administrator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSpec {
    pub kind: Preset,
    /// Microsoft: the directory (tenant) id, a GUID.
    pub entra_tenant_id: Option<String>,
    /// Custom: exactly the `iss` of its tokens. A preset has its own.
    pub issuer: Option<String>,
    /// Its key set; found by discovery where absent.
    pub jwks_uri: Option<String>,
    /// Accepted `aud` values beside the resource URL.
    pub audiences: Vec<String>,
    /// The claim that names the subject; `None`: the preset's.
    pub subject_claim: Option<String>,
    /// Other `iss` of the same issuer, beside the preset's.
    pub aliases: Vec<IssuerAlias>,
    /// How old a token may be, in seconds.
    pub max_age: Option<i64>,
    /// How far its clock may be off, in seconds.
    pub leeway: i64,
    /// What its tokens must have been granted.
    pub required_scopes: RequiredScopes,
    /// Whether its tokens must be bound to a client certificate (RFC 8705).
    pub require_bound_tokens: bool,
}

impl Default for ProviderSpec {
    fn default() -> Self {
        Self {
            kind: Preset::Custom,
            entra_tenant_id: None,
            issuer: None,
            jwks_uri: None,
            audiences: Vec::new(),
            subject_claim: None,
            aliases: Vec::new(),
            max_age: None,
            leeway: TrustedIssuer::default().leeway,
            required_scopes: RequiredScopes::default(),
            require_bound_tokens: false,
        }
    }
}

impl ProviderSpec {
    /// The description that [`Self::trusted`] makes the same issuer of.
    pub fn of(trusted: &TrustedIssuer) -> Self {
        let trusted = trusted.clone();
        let (kind, entra_tenant_id) = Preset::recognise(&trusted.issuer);
        Self {
            kind,
            entra_tenant_id,
            issuer: Some(trusted.issuer),
            jwks_uri: trusted.jwks_uri,
            audiences: trusted.audiences,
            subject_claim: Some(trusted.subject_claim),
            aliases: trusted.aliases,
            max_age: trusted.max_age,
            leeway: trusted.leeway,
            required_scopes: trusted.required_scopes,
            require_bound_tokens: trusted.require_bound_tokens,
        }
    }

    /// The issuer that is trusted by this description.
    ///
    /// # Errors
    /// All that is wrong, as (field, message). Which addresses may be reached is not judged here.
    pub fn trusted(&self) -> Result<TrustedIssuer, Vec<(String, String)>> {
        let mut found = Vec::new();
        let issuer = match self.kind {
            Preset::Google => GOOGLE.to_owned(),
            Preset::Microsoft => match entra_tenant(self.entra_tenant_id.as_deref()) {
                Ok(id) => entra(&id),
                Err(wrong) => {
                    found.push(("entra_tenant_id".to_owned(), wrong));
                    String::new()
                }
            },
            Preset::Custom => self.issuer.clone().unwrap_or_default(),
        };
        if self.kind != Preset::Microsoft && self.entra_tenant_id.is_some() {
            let message = "belongs to kind microsoft only; leave it out";
            found.push(("entra_tenant_id".to_owned(), message.to_owned()));
        }
        let named = self.issuer.as_deref();
        if self.kind == Preset::Custom {
            found.extend(named.and_then(many_directories).map(|wrong| ("issuer".to_owned(), wrong)));
        } else if !issuer.is_empty() && named.is_some_and(|named| named != issuer) {
            found.push(("issuer".to_owned(), format!("is {issuer} for kind {}; leave it out", self.kind)));
        }
        let trusted = self.read_by_preset(issuer);
        // What is missing because the preset could not be applied was said above.
        let blank = trusted.issuer.is_empty() && self.kind != Preset::Custom;
        found.extend(trusted.problems().into_iter().filter(|(field, _)| !(blank && field == "issuer")));
        if found.is_empty() { Ok(trusted) } else { Err(found) }
    }

    /// The description with what the preset adds to it: claims, aliases, forms of the audience.
    fn read_by_preset(&self, issuer: String) -> TrustedIssuer {
        let mut trusted = TrustedIssuer {
            issuer,
            jwks_uri: self.jwks_uri.clone(),
            audiences: self.audiences.clone(),
            aliases: self.aliases.clone(),
            max_age: self.max_age,
            leeway: self.leeway,
            required_scopes: self.required_scopes.clone(),
            require_bound_tokens: self.require_bound_tokens,
            ..TrustedIssuer::default()
        };
        if let Some(claim) = &self.subject_claim {
            trusted.subject_claim.clone_from(claim);
        }
        if self.kind == Preset::Microsoft {
            read_as_entra(&mut trusted, self.subject_claim.as_deref());
        }
        trusted
    }
}

/// What an administrator changes of a provider; `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderChange {
    /// `Some(None)`: by discovery again.
    pub jwks_uri: Option<Option<String>>,
    pub audiences: Option<Vec<String>>,
    pub subject_claim: Option<String>,
    pub aliases: Option<Vec<IssuerAlias>>,
    /// `Some(None)`: no limit any more.
    pub max_age: Option<Option<i64>>,
    pub leeway: Option<i64>,
    pub required_scopes: Option<RequiredScopes>,
    pub require_bound_tokens: Option<bool>,
    /// False: its tokens are refused.
    pub active: Option<bool>,
}

impl ProviderChange {
    /// `spec` with the changes made; whether it is active is no part of a description.
    pub fn on(&self, mut spec: ProviderSpec) -> ProviderSpec {
        fn set<T: Clone>(field: &mut T, change: &Option<T>) {
            if let Some(value) = change {
                field.clone_from(value);
            }
        }
        set(&mut spec.jwks_uri, &self.jwks_uri);
        set(&mut spec.audiences, &self.audiences);
        set(&mut spec.aliases, &self.aliases);
        set(&mut spec.max_age, &self.max_age);
        set(&mut spec.leeway, &self.leeway);
        set(&mut spec.required_scopes, &self.required_scopes);
        set(&mut spec.require_bound_tokens, &self.require_bound_tokens);
        if self.subject_claim.is_some() {
            spec.subject_claim.clone_from(&self.subject_claim);
        }
        spec
    }
}

/// The applications that a hosted installation has registered with providers, by their client ids.
/// One that is empty is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosted {
    pub google_client_id: Option<String>,
    pub microsoft_client_id: Option<String>,
}

impl Hosted {
    /// Google's application.
    pub fn google(&self) -> Option<&str> {
        given(self.google_client_id.as_deref())
    }

    /// Microsoft's application.
    pub fn microsoft(&self) -> Option<&str> {
        given(self.microsoft_client_id.as_deref())
    }
}

fn given(id: Option<&str>) -> Option<&str> {
    id.map(str::trim).filter(|id| !id.is_empty())
}

/// The issuers that are trusted without anybody's entry, since the shared application of a hosted
/// installation is registered with them: Google, and of Entra each directory that `bound`, the
/// issuers of a tenant's agents, names. The application's id is the only audience.
///
/// The subject is `sub`, with which an ID token for the
/// application names the person; `azp` would be the application itself, the same for all.
pub fn hosted<'a>(hosted: &Hosted, bound: impl IntoIterator<Item = &'a str>) -> Vec<TrustedIssuer> {
    let made_out_to = |id: &str, issuer: String| TrustedIssuer {
        issuer,
        audiences: vec![id.to_owned()],
        own_audiences_only: true,
        ..TrustedIssuer::default()
    };
    let google = hosted.google().map(|id| made_out_to(id, GOOGLE.to_owned()));
    let directories: BTreeSet<_> = bound.into_iter().filter_map(directory).collect();
    let microsoft = hosted.microsoft().into_iter().flat_map(|id| {
        directories.iter().map(move |directory| {
            let mut trusted = made_out_to(id, entra(directory));
            read_as_entra(&mut trusted, Some("sub"));
            trusted
        })
    });
    google.into_iter().chain(microsoft).collect()
}

/// The issuer of a directory's tokens of version 2.
fn entra(directory: &str) -> String {
    format!("https://login.microsoftonline.com/{directory}/v2.0")
}

/// The directory of an issuer of Entra's tokens of version 2, byte for byte as tokens bear it.
fn directory(issuer: &str) -> Option<&str> {
    let id = issuer.strip_prefix("https://login.microsoftonline.com/")?.strip_suffix("/v2.0")?;
    guid(id).filter(|canonical| canonical == id).map(|_| id)
}

/// A GUID in the one form that Entra writes.
fn guid(text: &str) -> Option<String> {
    // Without braces, and not in one piece, as the parser would accept it too.
    let hyphenated = text.len() == 36;
    Uuid::try_parse(text).ok().filter(|_| hyphenated).map(|id| id.hyphenated().to_string())
}

fn entra_tenant(given: Option<&str>) -> Result<String, String> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else {
        return Err("is missing; write the directory (tenant) id, shown in Entra under Overview".to_owned());
    };
    if let Some(name) = MANY_DIRECTORIES.iter().find(|name| given.eq_ignore_ascii_case(name)) {
        return Err(format!(
            "`{name}` stands for every directory there is, so that anybody's tokens would do; write the one \
             directory's own id"
        ));
    }
    guid(given).ok_or_else(|| {
        "must be the directory's id, a GUID such as 8f1c2d3e-0000-4000-8000-123456789abc; a domain name \
         occurs in no token"
            .to_owned()
    })
}

/// Why an issuer that names many directories at once cannot be trusted, if it is such a one.
fn many_directories(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok()?;
    let host = url.host_str()?;
    let microsoft = host == "sts.windows.net" || host.starts_with("login.microsoftonline.");
    let first = url.path_segments()?.next()?;
    let name = MANY_DIRECTORIES.iter().find(|name| first.eq_ignore_ascii_case(name))?;
    microsoft.then(|| {
        format!(
            "`{name}` stands for every directory there is and occurs in no token's `iss`; use kind microsoft \
             with the one directory's own id"
        )
    })
}

/// Entra speaks in two versions: its applications' tokens bear the client in `azp` or `appid`, and an
/// application is an audience as its id or as `api://` and its id, as its manifest has it.
fn read_as_entra(trusted: &mut TrustedIssuer, claim: Option<&str>) {
    let claim = match claim {
        None | Some("appid") => "azp",
        Some(claim) => claim,
    };
    claim.clone_into(&mut trusted.subject_claim);
    let in_version_1 = (claim == "azp").then(|| "appid".to_owned());
    if let Some(directory) = directory(&trusted.issuer) {
        let issuer = format!("https://sts.windows.net/{directory}/");
        trusted.aliases.retain(|alias| alias.issuer != issuer);
        trusted.aliases.insert(0, IssuerAlias { issuer, subject_claim: in_version_1 });
    }
    let forms: Vec<_> = trusted.audiences.iter().flat_map(|audience| both_forms(audience)).collect();
    trusted.audiences.clear();
    for form in forms {
        if !trusted.audiences.contains(&form) {
            trusted.audiences.push(form);
        }
    }
}

/// `X` and `api://X` where X is a GUID, else what was given.
fn both_forms(audience: &str) -> Vec<String> {
    let id = audience.strip_prefix("api://").unwrap_or(audience);
    match guid(id) {
        Some(_) => vec![audience.to_owned(), id.to_owned(), format!("api://{id}")],
        None => vec![audience.to_owned()],
    }
}

#[cfg(test)]
mod tests;
