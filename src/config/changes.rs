//! What differs between two configurations, by key, without showing a value.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::keys::join;

/// The keys of table `section` whose values differ. A difference that no shown value has is a secret's, or that of a
/// file's content.
pub(super) fn of_table<T: Serialize + PartialEq>(section: &str, old: &T, new: &T) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let shown = |table: &T| serde_json::to_value(table).unwrap_or_default();
    let (old, new) = (shown(old), shown(new));
    let keys = new.as_object().into_iter().flatten().filter(|(key, value)| old.get(key) != Some(value));
    let keys: Vec<_> = keys.map(|(key, _)| join(section, key)).collect();
    match (section, keys.is_empty()) {
        (_, false) => keys,
        ("catalog", true) => vec!["catalog.overlay_file".to_owned()],
        (_, true) => vec![format!("{section} (a secret)")],
    }
}

/// The files that `shown`, a configuration as JSON, names under keys that end in `_file`.
pub(super) fn files(shown: &Value) -> Vec<PathBuf> {
    let mut found = Vec::new();
    gather(shown, &mut found);
    found.sort();
    found.dedup();
    found
}

fn gather(shown: &Value, found: &mut Vec<PathBuf>) {
    match shown {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str() {
                    Some(file) if key.ends_with("_file") => found.push(PathBuf::from(file)),
                    _ => gather(value, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| gather(element, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::secret::Secret;

    #[test]
    fn differences_are_told_by_key_and_a_secret_by_its_section() {
        let (old, mut new) = (Config::default(), Config::default());
        assert!(old.changes(&new).is_empty());
        new.server.max_in_flight = 7;
        new.issuers.push(Default::default());
        assert_eq!(old.changes(&new), ["server.max_in_flight", "issuers"]);
        let mut secret = Config::default();
        secret.psa.catalog_key = Secret::new("other");
        assert_eq!(old.changes(&secret), ["psa (a secret)"]);
        let mut repaired = Config::default();
        let rows = crate::tool::overlay::Overlay::read("[[entries]]\nentry = \"x\"").unwrap();
        repaired.catalog.repairs = rows.into();
        assert_eq!(old.changes(&repaired), ["catalog.overlay_file"]);
    }

    #[test]
    fn the_files_are_those_that_keys_name() {
        let mut config = Config::default();
        config.server.tls_cert_file = Some("/tls/tls.crt".into());
        config.idp.ca_file = Some("/tls/ca.crt".into());
        assert_eq!(config.files(), [PathBuf::from("/tls/ca.crt"), PathBuf::from("/tls/tls.crt")]);
    }
}
