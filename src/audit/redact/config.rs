//! What of the record's redaction is configured: further names and shapes, and what is kept of results.

use serde::{Deserialize, Serialize};

use super::chosen::Names;
#[cfg(feature = "server")]
use super::chosen::compile;
use crate::secret::Secret;
use crate::units::Size;

/// The fewest characters of a salt.
const SALT: usize = 32;
/// The longest excerpt of a result, in bytes.
const LONGEST: usize = 64 << 10;

/// The `[redaction]` section. What is hidden anyway (secrets by their usual names and shapes) stays hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactionConfig {
    /// Names of further fields whose values are not recorded, in any case and with any separators; `*` at either end
    /// stands for anything.
    pub hide: Vec<String>,
    /// Names of fields whose values are recorded as a keyed hash, so that equal ones can be found.
    pub hash: Vec<String>,
    /// Regular expressions (syntax of the crate `regex`); what they match is not recorded.
    pub shapes: Vec<String>,
    /// What is kept of a tool's answer.
    pub results: Results,
    /// The most of an answer that is shown where excerpts are kept, in bytes.
    pub excerpt: Size,
    /// What the tenants' salts are derived from; `None`: made once and kept in the store.
    pub salt: Option<Secret>,
}

/// What the record keeps of a tool's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Results {
    /// Its size and a keyed hash.
    #[default]
    Digest,
    /// Its beginning too, redacted.
    Excerpt,
}

impl Default for RedactionConfig {
    fn default() -> Self {
        Self {
            hide: Vec::new(),
            hash: Vec::new(),
            shapes: Vec::new(),
            results: Results::Digest,
            excerpt: Size(2 << 10),
            salt: None,
        }
    }
}

/// One `[[redactions]]` element: what is different for one tenant. What it leaves out is as `[redaction]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRedaction {
    /// The tenant's id.
    pub tenant: String,
    /// See [`RedactionConfig::hide`].
    pub hide: Option<Vec<String>>,
    /// See [`RedactionConfig::hash`].
    pub hash: Option<Vec<String>>,
    /// See [`RedactionConfig::shapes`].
    pub shapes: Option<Vec<String>>,
    /// See [`RedactionConfig::results`].
    pub results: Option<Results>,
    /// See [`RedactionConfig::excerpt`].
    pub excerpt: Option<Size>,
}

impl RedactionConfig {
    /// Everything that is wrong with the section, as (key, message with the remedy); no I/O.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = problems_of(&self.hide, &self.hash, &self.shapes, self.excerpt);
        if self.salt.as_ref().is_some_and(|salt| salt.expose().chars().count() < SALT) {
            let message = format!("is too short to be a secret; write at least {SALT} random characters");
            found.push(("salt".to_owned(), message));
        }
        found
    }
}

impl TenantRedaction {
    /// Everything that is wrong with the element, as (key, message with the remedy); no I/O.
    pub fn problems(&self) -> Vec<(String, String)> {
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let excerpt = self.excerpt.unwrap_or(RedactionConfig::default().excerpt);
        let mut found = problems_of(&list(&self.hide), &list(&self.hash), &list(&self.shapes), excerpt);
        if self.tenant.trim().is_empty() {
            found.push(("tenant".to_owned(), "is missing; write the id of a tenant".to_owned()));
        }
        found
    }

    /// The whole of it, over what holds for all.
    pub(super) fn over(&self, all: &RedactionConfig) -> RedactionConfig {
        let list = |own: &Option<Vec<String>>, all: &Vec<String>| own.as_ref().unwrap_or(all).clone();
        RedactionConfig {
            hide: list(&self.hide, &all.hide),
            hash: list(&self.hash, &all.hash),
            shapes: list(&self.shapes, &all.shapes),
            results: self.results.unwrap_or(all.results),
            excerpt: self.excerpt.unwrap_or(all.excerpt),
            salt: None,
        }
    }
}

fn problems_of(hide: &[String], hash: &[String], shapes: &[String], excerpt: Size) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, names) in [("hide", hide), ("hash", hash)] {
        for (index, name) in names.iter().enumerate() {
            if let Some(message) = Names::wrong(name) {
                found.push((format!("{key}[{index}]"), message.to_owned()));
            }
        }
    }
    for (index, shape) in shapes.iter().enumerate() {
        if let Some(message) = wrong_shape(shape) {
            found.push((format!("shapes[{index}]"), message));
        }
    }
    if !(1..=LONGEST).contains(&excerpt.0) {
        found.push(("excerpt".to_owned(), format!("must be 1 to {}, such as 2KiB", Size(LONGEST))));
    }
    found
}

#[cfg(feature = "server")]
fn wrong_shape(shape: &str) -> Option<String> {
    match compile(shape) {
        Ok(pattern) if pattern.is_match("") => {
            Some("matches where nothing is; write what a secret has at least".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("is no regular expression that can be used: {error}")),
    }
}

/// The connector has none.
#[cfg(not(feature = "server"))]
fn wrong_shape(_: &str) -> Option<String> {
    None
}
