//! The layers, merged by figment, which remembers for each value where it came
//! from. Knows no section: a variable's text stays text until its type is known.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

use super::findings::Findings;
use super::keys::join;

/// What names of variables begin with.
pub(super) const PREFIX: &str = "SIDEGATE__";

/// The file and the environment, merged.
pub(super) struct Layers {
    figment: Figment,
    merged: Dict,
}

impl Layers {
    /// Reads and merges; what cannot be read is told to `findings` and left out.
    pub fn read(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        findings: &mut Findings,
    ) -> Self {
        let mut layers = Self { figment: Figment::new(), merged: Dict::new() };
        // Who first gave a section, and whether key by key: figment would let one shape replace the other.
        let mut shapes = BTreeMap::new();
        if let Some(path) = file {
            let source = path.display().to_string();
            match read_file(path) {
                Ok(values) => {
                    shapes.extend(values.iter().map(|(section, value)| {
                        (section.clone(), (source.clone(), value.as_dict().is_some()))
                    }));
                    layers.add(Metadata::named(source).source(path), values);
                }
                Err(message) => {
                    findings.say(&source, "", message);
                    findings.spoil_everything();
                }
            }
        }
        let mut env: Vec<_> = env.collect();
        env.sort();
        let mut seen = BTreeMap::new();
        for (name, text) in env {
            let Some(path) = name.strip_prefix(PREFIX).map(str::to_lowercase) else { continue };
            let (section, key) = path.split_once("__").map_or((path.as_str(), None), |(a, b)| (a, Some(b)));
            let whole = key.map_or(section.to_owned(), |key| join(section, key));
            let (first, by_key) =
                shapes.entry(section.to_owned()).or_insert_with(|| (name.clone(), key.is_some()));
            if *by_key != key.is_some() {
                let message = format!("does not go with {first}: give {section} whole or key by key");
                findings.say(&name, &whole, message);
            } else if let Some(other) = seen.insert(path.clone(), name.clone()) {
                findings.say(&name, &whole, format!("is given by {other} as well; leave out one of them"));
            } else if text.contains('\u{fffd}') {
                findings.say(&name, &whole, "is not valid UTF-8".to_owned());
            } else {
                let value = match key {
                    Some(key) => Dict::from([(key.to_owned(), Value::from(text))]).into(),
                    None => Value::from(text),
                };
                layers.add(Metadata::named(name), Dict::from([(section.to_owned(), value)]));
            }
        }
        layers.merged =
            layers.figment.data().ok().and_then(|mut all| all.remove(&Profile::Default)).unwrap_or_default();
        layers
    }

    fn add(&mut self, metadata: Metadata, values: Dict) {
        self.figment = std::mem::take(&mut self.figment).merge(Layer { metadata, values });
    }

    pub fn merged(&self) -> &Dict {
        &self.merged
    }

    /// The path of the file or the name of the variable that gave `value`.
    pub fn source(&self, value: &Value) -> String {
        self.metadata(value).map(|metadata| metadata.name.to_string()).unwrap_or_default()
    }

    /// Whether a variable gave `value`, so that its text may stand for another type.
    pub fn is_environment(&self, value: &Value) -> bool {
        self.metadata(value).is_some_and(|metadata| metadata.source.is_none())
    }

    fn metadata(&self, value: &Value) -> Option<&Metadata> {
        self.figment.get_metadata(value.tag())
    }
}

/// The variable that sets `key`, where one can.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// One file or one variable, so that each value carries its own source.
struct Layer {
    metadata: Metadata,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn read_file(path: &Path) -> Result<Dict, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    // Not the error's own text: it quotes the line, which may hold a secret.
    Toml::from_str(&text).map_err(|error| match error.span() {
        Some(span) => {
            let (line, column) = position(&text, span.start);
            format!("line {line}, column {column}: {}", error.message())
        }
        None => error.message().to_owned(),
    })
}

/// Line and column, both from 1, of the byte at `offset`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// `text` as a TOML value, or nothing where it is none.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    let mut parsed: Dict = Toml::from_str(&format!("value = {text}")).ok()?;
    let value = parsed.remove("value");
    // A line break in `text` could have begun a second key.
    if parsed.is_empty() { value } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_lines_and_columns_from_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a = 1\nb\u{e9} = ?", 13), (2, 7));
    }

    #[test]
    fn a_variable_is_one_value_or_none() {
        assert_eq!(toml_value("[1, 2]").and_then(|value| value.into_array()).map(|all| all.len()), Some(2));
        assert!(toml_value("1\nother = 2").is_none());
        assert!(toml_value("plain words").is_none());
    }
}
