//! One tenant's redaction, and that of all tenants.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::hmac;

use super::chosen::Chosen;
use super::config::{RedactionConfig, TenantRedaction};
use super::{REDACTED, Treatment, shapes};
use crate::units::hex;

/// What a tenant's salt is derived under.
const SALT_OF: &str = "sidegate redaction salt 1\n";

/// What one tenant's record does not show. Its hashes are keyed with the tenant's salt.
pub struct Rules {
    pub(super) chosen: Arc<Chosen>,
    salt: hmac::Key,
}

impl Default for Rules {
    /// What is built in, under a salt that nobody knows.
    fn default() -> Self {
        Self::new(&RedactionConfig::default(), &rand::random::<[u8; 32]>())
    }
}

impl Rules {
    /// What is built in and what `config` adds to it, under a tenant's `salt`.
    pub fn new(config: &RedactionConfig, salt: &[u8]) -> Self {
        Self { chosen: Arc::new(Chosen::new(config)), salt: hmac::Key::new(hmac::HMAC_SHA256, salt) }
    }

    /// What stands in the record for a hashed `text`: HMAC-SHA256 under the tenant's salt, its first 16 bytes.
    pub fn hash(&self, text: &str) -> String {
        let tag = hmac::sign(&self.salt, text.as_bytes());
        format!("hmac:{}", hex(tag.as_ref().get(..16).unwrap_or_default()))
    }

    /// HMAC-SHA256 of `text` under the tenant's salt, in hexadecimal.
    pub(in crate::audit) fn digest(&self, text: &str) -> String {
        hex(hmac::sign(&self.salt, text.as_bytes()).as_ref())
    }

    /// The beginning of a tool's answer, where excerpts are kept.
    pub(in crate::audit) fn excerpt_of(&self, text: &str) -> Option<String> {
        self.chosen.excerpt.map(|limit| self.excerpt(text, limit))
    }

    /// `text` with every stretch that has the shape of a secret replaced by [`REDACTED`], and values behind a name
    /// (`email: ..`) treated as that name asks.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found = shapes::secrets(text, |name| self.treatment(name));
        let shaped = self.chosen.shaped(text);
        if !shaped.is_empty() {
            found.extend(shaped.into_iter().map(|range| (range, Treatment::Hide)));
            found = apart(found);
        }
        self.replaced(text, &found)
    }

    /// A member of the record itself, where its name or a part of its value was chosen. What is built in is for what
    /// clients send: an id that looks like a secret is still who it was.
    pub(in crate::audit) fn member<'a>(&self, name: &str, text: &'a str) -> Cow<'a, str> {
        match self.chosen.name(name).chosen {
            Some(treatment) => self.treated(text, treatment),
            None => {
                let found = self.chosen.shaped(text).into_iter().map(|range| (range, Treatment::Hide));
                self.replaced(text, &apart(found.collect()))
            }
        }
    }

    /// What becomes of the value under `name`; none where it is judged by itself.
    pub(super) fn treatment(&self, name: &str) -> Option<Treatment> {
        self.chosen.name(name).treatment()
    }

    /// A field's name as it is shown.
    pub(super) fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.chosen.name(name).plain { Cow::Borrowed(name) } else { self.text(name) }
    }

    pub(super) fn treated(&self, text: &str, treatment: Treatment) -> Cow<'static, str> {
        match treatment {
            Treatment::Hide => Cow::Borrowed(REDACTED),
            Treatment::Hash => Cow::Owned(self.hash(text)),
        }
    }

    /// `found` is in order and apart from each other.
    fn replaced<'a>(&self, text: &'a str, found: &[(Range<usize>, Treatment)]) -> Cow<'a, str> {
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut from = 0;
        for (range, treatment) in found {
            shown.push_str(text.get(from..range.start).unwrap_or_default());
            shown.push_str(&self.treated(text.get(range.clone()).unwrap_or_default(), *treatment));
            from = range.end;
        }
        shown.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(shown)
    }
}

/// In order, and one where they overlap.
fn apart(mut found: Vec<(Range<usize>, Treatment)>) -> Vec<(Range<usize>, Treatment)> {
    found.sort_by_key(|(range, _)| range.start);
    let mut all: Vec<(Range<usize>, Treatment)> = Vec::with_capacity(found.len());
    for (range, treatment) in found {
        match all.last_mut() {
            Some((last, of_last)) if range.start < last.end => {
                last.end = last.end.max(range.end);
                *of_last = (*of_last).max(treatment);
            }
            _ => all.push((range, treatment)),
        }
    }
    all
}

/// Every tenant's rules; clones share them.
#[derive(Clone)]
pub struct Redactors {
    root: Arc<hmac::Key>,
    chosen: Arc<ArcSwap<ByTenant>>,
}

struct ByTenant {
    /// Of those that have none of their own.
    common: Arc<Chosen>,
    own: HashMap<String, Arc<Chosen>>,
}

impl Redactors {
    /// As configured for all and for some; the tenants' salts are derived from `root`.
    pub fn new(common: &RedactionConfig, own: &[TenantRedaction], root: &[u8]) -> Self {
        Self {
            root: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, root)),
            chosen: Arc::new(ArcSwap::from_pointee(ByTenant::new(common, own))),
        }
    }

    /// From now on it is as configured here, under the same salts.
    pub fn adopt(&self, common: &RedactionConfig, own: &[TenantRedaction]) {
        self.chosen.store(Arc::new(ByTenant::new(common, own)));
    }

    /// Those of the tenant with this id.
    pub fn of(&self, tenant: &str) -> Arc<Rules> {
        let chosen = self.chosen.load();
        let chosen = chosen.own.get(tenant).unwrap_or(&chosen.common).clone();
        let salt = hmac::sign(&self.root, format!("{SALT_OF}{tenant}").as_bytes());
        Arc::new(Rules { chosen, salt: hmac::Key::new(hmac::HMAC_SHA256, salt.as_ref()) })
    }
}

impl ByTenant {
    fn new(common: &RedactionConfig, own: &[TenantRedaction]) -> Self {
        let own = own.iter().map(|own| (own.tenant.clone(), Arc::new(Chosen::new(&own.over(common)))));
        Self { own: own.collect(), common: Arc::new(Chosen::new(common)) }
    }
}
