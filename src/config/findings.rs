//! What is wrong with a configuration, gathered until all of it can be said at
//! once. Knows neither sections nor files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::Path;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value was given: the path of the file or the name of the variable.
    pub source: String,
    /// The whole key, such as `server.listen` or `agents[2].subject`; empty where the file as such is meant.
    pub key: String,
    /// What is wrong and what to do. Never shows a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        // A value may be quoted in the message: it must not start a line or reach a terminal's controls.
        for shown in format!("{}: {key}{}", self.source, self.message).chars() {
            match shown {
                '\n' => f.write_char(' ')?,
                control if control.is_control() => write!(f, "{}", control.escape_default())?,
                plain => f.write_char(plain)?,
            }
        }
        Ok(())
    }
}

/// Everything that is wrong, shown one a line. Never empty as an error of [`load`](super::load).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `problems` for a person: how many there are, then one a line.
pub fn report(problems: &Problems) -> String {
    let mut text = match problems.0.len() {
        1 => "1 problem in the configuration:\n".to_owned(),
        count => format!("{count} problems in the configuration:\n"),
    };
    for problem in &problems.0 {
        text.push_str(&format!("  {problem}\n"));
    }
    text
}

/// The problems so far, where each key came from, and which values are unknowable.
pub(super) struct Findings {
    problems: Vec<Problem>,
    sources: BTreeMap<String, String>,
    /// Keys whose values could not be read: what follows from these would be noise.
    spoilt: BTreeSet<String>,
    everything_spoilt: bool,
    fallback: String,
}

impl Findings {
    pub fn new(file: Option<&Path>) -> Self {
        Self {
            problems: Vec::new(),
            sources: BTreeMap::new(),
            spoilt: BTreeSet::new(),
            everything_spoilt: false,
            fallback: file.map_or("built-in defaults".to_owned(), |file| file.display().to_string()),
        }
    }

    /// Remembers that `key` was given by `source`.
    pub fn came_from(&mut self, key: &str, source: &str) {
        self.sources.insert(key.to_owned(), source.to_owned());
    }

    /// `source` gave something for `key` that cannot be read.
    pub fn say(&mut self, source: &str, key: &str, message: String) {
        self.spoil(key);
        self.problems.push(Problem { source: source.to_owned(), key: key.to_owned(), message });
    }

    /// Nothing is to follow from the value of `key`.
    pub fn spoil(&mut self, key: &str) {
        self.spoilt.insert(key.to_owned());
    }

    /// A whole layer is missing: nothing is to follow from any value.
    pub fn spoil_everything(&mut self) {
        self.everything_spoilt = true;
    }

    /// A problem that the section of `key` has with its value, said only where that could be read.
    pub fn own(&mut self, key: &str, message: String) {
        if !self.is_spoilt(key) {
            self.push(key, message);
        }
    }

    /// A problem of `key` that follows from its value and from those of `also`;
    /// said only where all of these could be read and nobody had more to say on `key`.
    pub fn follow(&mut self, key: &str, also: &[&str], message: String) {
        let told = self.problems.iter().any(|problem| problem.key == key);
        if !told && !self.is_spoilt(key) && !also.iter().any(|key| self.is_spoilt(key)) {
            self.push(key, message);
        }
    }

    fn push(&mut self, key: &str, message: String) {
        self.problems.push(Problem { source: self.source(key), key: key.to_owned(), message });
    }

    /// Whether the value of `key` or something in it could not be read; or what
    /// it lies in, unless it was given all the same.
    fn is_spoilt(&self, key: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let given = |outer: &str| {
            self.sources.keys().any(|given| given != outer && within(key, given) && within(given, outer))
        };
        self.everything_spoilt
            || self.spoilt.iter().any(|spoilt| within(spoilt, key) || (within(key, spoilt) && !given(spoilt)))
    }

    /// Who gave `key`, or what is around it; else the file, where it would be added.
    pub fn source(&self, key: &str) -> String {
        let mut around = key;
        loop {
            if let Some(source) = self.sources.get(around) {
                return source.clone();
            }
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => return self.fallback.clone(),
            }
        }
    }

    pub fn into_problems(self) -> Option<Problems> {
        (!self.problems.is_empty()).then_some(Problems(self.problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_stays_on_its_line() {
        let problem = Problem {
            source: "a.toml".into(),
            key: "log.filter".into(),
            message: "bad\nvalue \u{1b}[31m".into(),
        };
        assert_eq!(problem.to_string(), "a.toml: log.filter: bad value \\u{1b}[31m");
    }

    #[test]
    fn what_follows_from_a_spoilt_value_is_not_said() {
        let mut findings = Findings::new(None);
        findings.say("a.toml", "issuers[0].issuer", "bad".into());
        findings.follow("agents[0].issuer", &["issuers"], "unknown".into());
        findings.own("issuers[0].issuer", "missing".into());
        findings.own("issuers[1].issuer", "missing".into());
        findings.follow("issuers[1].issuer", &[], "the same".into());
        findings.follow("agents[1].name", &["issue"], "missing".into());
        let keys: Vec<_> =
            findings.into_problems().into_iter().flat_map(|all| all.0).map(|problem| problem.key).collect();
        assert_eq!(keys, ["issuers[0].issuer", "issuers[1].issuer", "agents[1].name"]);
    }
}
