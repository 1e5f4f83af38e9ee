//! Which keys there are, learned from serialising each section's `Default`, and
//! which of them a misspelt one may have meant.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::secret::Secret;

/// What a room's section has to be; see the macro in the parent for the rest.
pub(super) trait Section: Default + Serialize + DeserializeOwned {}

impl<T: Default + Serialize + DeserializeOwned> Section for T {}

/// One section and what it may hold.
pub(super) struct Known {
    pub section: &'static str,
    /// `[[section]]` rather than `[section]`.
    pub list: bool,
    pub fields: Vec<Field>,
}

/// One key of a section.
pub(super) struct Field {
    pub name: String,
    /// Its type is [`Secret`], so that it may come from `name_file` and is never quoted.
    pub secret: bool,
}

impl Known {
    pub fn of<T: Section>(section: &'static str, list: bool) -> Self {
        let exemplar = serde_json::to_value(T::default()).unwrap_or_default();
        let fields = exemplar.as_object().into_iter().flatten().map(|(name, value)| Field {
            name: name.clone(),
            secret: is_secret(value) || (value.is_null() && is_secret(&probe::<T>(name))),
        });
        Self { section, list, fields: fields.collect() }
    }

    /// The names that may be written in the section.
    pub fn names(&self) -> Vec<String> {
        let files = self.fields.iter().filter(|field| field.secret).map(Field::file);
        self.fields.iter().map(|field| field.name.clone()).chain(files).collect()
    }

    /// The whole keys, `section.name` or `section[].name`.
    pub fn keys(&self) -> Vec<String> {
        let section = if self.list { format!("{}[]", self.section) } else { self.section.to_owned() };
        self.names().iter().map(|name| join(&section, name)).collect()
    }
}

impl Field {
    /// The key that names the file with this secret.
    pub fn file(&self) -> String {
        format!("{}_file", self.name)
    }
}

fn is_secret(shown: &Value) -> bool {
    serde_json::to_value(Secret::default()).is_ok_and(|secret| secret == *shown)
}

/// How `T` shows the text that it was given as `name`: an `Option<Secret>` gives itself away.
fn probe<T: Section>(name: &str) -> Value {
    serde_json::from_value::<T>(json!({ name: "probe" }))
        .and_then(serde_json::to_value)
        .ok()
        .and_then(|mut section| section.get_mut(name).map(Value::take))
        .unwrap_or_default()
}

/// `section` and a key within it as one key.
pub(super) fn join(section: &str, key: &str) -> String {
    match key {
        "" => section.to_owned(),
        key if key.starts_with('[') => format!("{section}{key}"),
        key => format!("{section}.{key}"),
    }
}

/// The candidate most like `written`, if one is like it at all.
pub(super) fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(written, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.85)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Example {
        key: Secret,
        maybe: Option<Secret>,
        name: Option<String>,
        depth: Option<u8>,
    }

    #[test]
    fn a_secret_is_known_by_its_type_even_where_it_is_optional() {
        let keys = Known::of::<Example>("example", true).keys();
        assert_eq!(
            keys,
            [
                "example[].depth",
                "example[].key",
                "example[].maybe",
                "example[].name",
                "example[].key_file",
                "example[].maybe_file"
            ]
        );
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let names = ["listen", "public_url", "grace"];
        assert_eq!(nearest("listn", names.into_iter()), Some("listen"));
        assert_eq!(nearest("public-url", names.into_iter()), Some("public_url"));
        assert_eq!(nearest("colour", names.into_iter()), None);
    }
}
