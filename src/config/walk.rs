//! From merged values to sections: unknown keys first, then field by field, so
//! that one bad value does not hide the next. Knows no section by name.

use std::collections::BTreeSet;
use std::io::Read;

use figment::error::Kind;
use figment::value::{Dict, Value};

use super::findings::Findings;
use super::keys::{Field, Known, Section, join, nearest};
use super::layers::{Layers, toml_value, variable};

/// The longest secret that is read from a file, in bytes.
const SECRET_LIMIT: u64 = 64 << 10;

/// One walk over all sections.
pub(super) struct Walk<'a> {
    layers: &'a Layers,
    known: Vec<Known>,
    findings: &'a mut Findings,
}

impl<'a> Walk<'a> {
    /// Starts with the sections themselves: an unknown one is reported here.
    pub fn new(layers: &'a Layers, known: Vec<Known>, findings: &'a mut Findings) -> Self {
        let mut walk = Self { layers, known, findings };
        for (name, value) in layers.merged() {
            if !walk.known.iter().any(|known| known.section == name) {
                walk.unknown_section(name, value);
            }
        }
        walk
    }

    /// The section `[at]`; what is bad in it is left at its default.
    pub fn table<T: Section>(&mut self, at: &'static str, value: Option<&Value>) -> T {
        match value {
            None => T::default(),
            Some(Value::Dict(_, dict)) => self.fields(at, &Known::of::<T>(at, false), dict),
            Some(other) => {
                let message = format!("is a section; write [{at}] and its keys under it");
                self.findings.say(&self.layers.source(other), at, message);
                T::default()
            }
        }
    }

    /// The sections `[[at]]`, in order.
    pub fn list<T: Section>(&mut self, at: &'static str, value: Option<&Value>) -> Vec<T> {
        let Some(value) = value else { return Vec::new() };
        let source = self.layers.source(value);
        let parsed = match value.as_str() {
            Some(text) if self.layers.is_environment(value) => toml_value(text),
            _ => None,
        };
        let Value::Array(_, elements) = parsed.as_ref().unwrap_or(value) else {
            let message = if self.layers.is_environment(value) {
                format!("is a list; write {}=[{{ key = \"value\" }}]", variable(at))
            } else {
                format!("is a list; write [[{at}]] for each")
            };
            self.findings.say(&source, at, message);
            return Vec::new();
        };
        let known = Known::of::<T>(at, true);
        let mut sections = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let at = format!("{at}[{index}]");
            self.findings.came_from(&at, &source);
            match element.as_dict() {
                Some(dict) => sections.push(self.fields(&at, &known, dict)),
                None => {
                    self.findings.say(&source, &at, "must be a table of keys".to_owned());
                    sections.push(T::default());
                }
            }
        }
        sections
    }

    fn fields<T: Section>(&mut self, at: &str, known: &Known, dict: &Dict) -> T {
        let names = known.names();
        for (name, value) in dict.iter().filter(|(name, _)| !names.contains(name)) {
            self.unknown_key(at, name, &names, value);
        }
        let mut sound = Dict::new();
        for field in &known.fields {
            let key = join(at, &field.name);
            let value =
                if field.secret { self.secret(at, field, dict) } else { dict.get(&field.name).cloned() };
            let Some(value) = value else { continue };
            let source = self.source(&key, &value);
            self.findings.came_from(&key, &source);
            match self.extract::<T>(field, &value) {
                Ok(value) => {
                    sound.insert(field.name.clone(), value);
                }
                Err(faults) => {
                    for (part, message) in faults {
                        self.findings.say(&source, &join(&key, &part), message);
                    }
                }
            }
        }
        Value::from(sound).deserialize().unwrap_or_else(|error| {
            let source = self.source(at, &Value::from(dict.clone()));
            // With a secret in it, the error may quote that.
            let secret = known.fields.iter().any(|field| field.secret);
            let message = if secret { "cannot be read as a whole".to_owned() } else { explain(&error.kind) };
            self.findings.say(&source, at, message);
            T::default()
        })
    }

    /// `value` in the form in which `T` accepts it as `field`, or what is wrong with which part of it.
    fn extract<T: Section>(&self, field: &Field, value: &Value) -> Result<Value, Vec<(String, String)>> {
        let fits = |value: &Value| {
            let alone = Value::from(Dict::from([(field.name.clone(), value.clone())]));
            alone.deserialize::<T>().map(drop).map_err(|error| error.kind)
        };
        if field.secret {
            // Whatever the error is, it may quote the value.
            return match fits(value) {
                Ok(()) => Ok(value.clone()),
                Err(_) => Err(vec![(String::new(), "must be text in quotes".to_owned())]),
            };
        }
        let mut kinds = Vec::new();
        for reading in self.readings(value) {
            match fits(&reading) {
                Ok(()) => return Ok(reading),
                Err(kind) => kinds.push(kind),
            }
        }
        let parts: Vec<_> = parts(value)
            .into_iter()
            .filter_map(|(part, alone)| fits(&alone).err().map(|kind| (part, explain(&kind))))
            .collect();
        if !parts.is_empty() {
            return Err(parts);
        }
        // The reading that had the right type says more than those that had not.
        let telling = kinds.iter().find(|kind| !matches!(kind, Kind::InvalidType(..))).or(kinds.first());
        Err(vec![(String::new(), telling.map(explain).unwrap_or_default())])
    }

    /// What `value` can stand for: a variable's text also for a TOML value or a comma-separated list.
    fn readings(&self, value: &Value) -> Vec<Value> {
        let mut readings = vec![value.clone()];
        if let Some(text) = value.as_str().filter(|_| self.layers.is_environment(value)) {
            readings.extend(toml_value(text));
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            readings.push(items.map(Value::from).collect::<Vec<_>>().into());
        }
        readings
    }

    /// The secret `field`, given as itself or by the file that `field_file` names.
    fn secret(&mut self, at: &str, field: &Field, dict: &Dict) -> Option<Value> {
        let direct = dict.get(&field.name);
        let Some(path) = dict.get(&field.file()) else { return direct.cloned() };
        let key = join(at, &field.file());
        let source = self.source(&key, path);
        // The path is not shown either: it may be the secret itself, given under the wrong name.
        let content = match (direct, path.as_str()) {
            (Some(_), _) => Err(format!("{} is given as well; leave out one of them", field.name)),
            (None, None) => Err("must be a path in quotes".to_owned()),
            (None, Some(path)) => read_secret(path),
        };
        match content {
            Ok(content) => Some(Value::String(path.tag(), content)),
            Err(message) => {
                self.findings.say(&source, &key, message);
                self.findings.spoil(&join(at, &field.name));
                None
            }
        }
    }

    fn unknown_key(&mut self, at: &str, name: &str, names: &[String], value: &Value) {
        let meant = nearest(name, names.iter().map(String::as_str)).map(|name| join(at, name));
        if let Some(meant) = &meant {
            self.findings.spoil(meant);
        }
        let key = join(at, name);
        let source = self.source(&key, value);
        let meant = meant.or_else(|| self.elsewhere(name)).map(|meant| {
            if self.layers.is_environment(value) && !meant.contains('[') { variable(&meant) } else { meant }
        });
        self.findings.say(&source, &key, unknown("unknown key", meant));
    }

    fn unknown_section(&mut self, name: &str, value: &Value) {
        let mut what = "unknown section";
        let mut meant = nearest(name, self.known.iter().map(|known| known.section)).map(str::to_owned);
        if meant.is_none() && !matches!(value, Value::Dict(..) | Value::Array(..)) {
            what = "unknown key";
            meant = self.elsewhere(name);
        }
        if let Some(meant) = &meant {
            self.findings.spoil(meant);
        }
        // File and variables may each have given a part: each hears of it once.
        let mut sources: BTreeSet<_> =
            value.as_dict().into_iter().flat_map(Dict::values).map(|part| self.layers.source(part)).collect();
        if sources.is_empty() {
            sources.insert(self.layers.source(value));
        }
        for source in sources {
            self.findings.say(&source, name, unknown(what, meant.clone()));
        }
    }

    /// The key called `name` in whichever section has one.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let end = format!(".{name}");
        self.known.iter().flat_map(Known::keys).find(|key| key.ends_with(&end))
    }

    /// Who gave `value`; within a list that a variable gave, who gave the list.
    fn source(&self, key: &str, value: &Value) -> String {
        let source = self.layers.source(value);
        if source.is_empty() { self.findings.source(key) } else { source }
    }
}

fn unknown(what: &str, meant: Option<String>) -> String {
    meant.map_or_else(|| what.to_owned(), |meant| format!("{what}; did you mean {meant}?"))
}

/// The elements of a list or a map, each as a list or map of its own.
fn parts(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Array(_, elements) => {
            let alone =
                |(index, element): (usize, &Value)| (format!("[{index}]"), vec![element.clone()].into());
            elements.iter().enumerate().map(alone).collect()
        }
        Value::Dict(_, dict) => {
            let alone = |(key, element): (&String, &Value)| {
                (key.clone(), Dict::from([(key.clone(), element.clone())]).into())
            };
            dict.iter().map(alone).collect()
        }
        _ => Vec::new(),
    }
}

fn explain(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("found {found}, expected {expected}")
        }
        Kind::UnknownVariant(found, expected) => {
            format!("`{found}` is not known; write one of {}", expected.join(", "))
        }
        other => other.to_string(),
    }
}

fn read_secret(path: &str) -> Result<String, String> {
    let mut content = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_LIMIT + 1).read_to_string(&mut content))
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    if content.len() as u64 > SECRET_LIMIT {
        return Err(format!("the file is larger than {SECRET_LIMIT} bytes"));
    }
    match content.trim_end_matches(['\r', '\n']) {
        "" => Err("the file is empty".to_owned()),
        secret => Ok(secret.to_owned()),
    }
}
