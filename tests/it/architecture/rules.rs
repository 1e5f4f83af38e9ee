//! The rules themselves: files in, complaints out. Pure, so that each rule can be shown a violation.

use super::floors::{WORDS, is_room, may_know, room_of};
use super::lexer::{Kind, Token, tokens, without_tests};
use super::paths::{Path, paths};

const MAIN_LINES: usize = 50;
const FILE_LINES: usize = 600;
const MEDIAN_LINES: usize = 250;

const REVISIONS: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// What words and policy must not touch: runtimes, networks, files, randomness and the clock.
const IMPURE_CRATES: [&str; 8] =
    ["tokio", "pingora", "sqlx", "hyper", "axum", "reqwest", "rand", "getrandom"];
const IMPURE_STD: [&str; 5] = ["fs", "env", "net", "process", "thread"];
const IMPURE_NAMES: [&str; 3] = ["SystemTime", "Instant", "now_utc"];
/// Values of `std::net` that do no I/O.
const PLAIN_NET: [&str; 6] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

/// A file of `src/`: its path from the root, with `/`, and its text.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Every violation in `files`, as `path:line: what is wrong`.
pub fn complaints(files: &[File]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(Source::new).collect();
    // A module that its parent compiles for tests only is test code as a whole.
    let tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    let mut found = Vec::new();
    for source in &sources {
        source.check_form(&mut found);
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let test_code = tests.iter().any(|test| module == test || module.starts_with(&format!("{test}/")));
        if !test_code {
            source.check_code(&mut found);
        }
    }
    check_median(files, &mut found);
    found
}

struct Source<'a> {
    path: &'a str,
    text: &'a str,
    room: &'a str,
    tokens: Vec<Token>,
    test_modules: Vec<String>,
}

impl<'a> Source<'a> {
    fn new(file: &'a File) -> Self {
        let (tokens, test_modules) = without_tests(tokens(&file.text));
        Self { path: &file.path, text: &file.text, room: room_of(&file.path), tokens, test_modules }
    }

    /// The paths, without `.rs`, of modules that are declared here for tests only.
    fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let home = stem.strip_suffix("/mod").or(stem.strip_suffix("/lib")).unwrap_or(stem);
        self.test_modules.iter().map(|name| format!("{home}/{name}")).collect()
    }

    fn check_form(&self, found: &mut Vec<String>) {
        if !self.text.starts_with("//!") {
            found
                .push(format!("{}:1: a file opens with `//!`: its job and what it must not know", self.path));
        }
        let lines = self.text.lines().count();
        let limit = if self.path == "src/main.rs" { MAIN_LINES } else { FILE_LINES };
        if lines > limit {
            found.push(format!("{}:{lines}: {lines} lines, and {limit} are allowed", self.path));
        }
    }

    fn check_code(&self, found: &mut Vec<String>) {
        if !is_room(self.room) {
            found.push(format!("{}:1: `{}` is on no floor; give it one in the list", self.path, self.room));
        }
        let paths = paths(self.path, &self.tokens);
        let mut report = |line: usize, what: String| found.push(format!("{}:{line}: {what}", self.path));
        for path in &paths {
            if let Some(what) = self.floor(path).or_else(|| self.foreign(path)) {
                report(path.line, what);
            }
        }
        let pure = is_pure(self.room);
        for token in &self.tokens {
            match token.kind {
                Kind::Word if pure && IMPURE_NAMES.contains(&token.text.as_str()) => {
                    report(token.line, format!("`{}`: {} is handed the time", token.text, self.room));
                }
                Kind::Text if is_sql(&token.text) && !self.may_hold_sql() => {
                    report(token.line, "SQL belongs in src/store/ or src/psa/alga/db.rs".to_owned());
                }
                _ => {}
            }
        }
        if !self.path.starts_with("src/mcp/revision") {
            self.check_revisions(&mut report);
        }
    }

    /// What is wrong with a path within the crate.
    fn floor(&self, path: &Path) -> Option<String> {
        let Some(room) = path.room() else {
            let root = path.segments == ["crate"];
            return root.then(|| "the crate's root is no room".to_owned());
        };
        if self.room == "lib" {
            return None;
        }
        if !is_room(room) {
            return Some(format!("`crate::{room}` leads to no room; name the room it comes from"));
        }
        let known = may_know(self.room, room).unwrap_or(true);
        (!known).then(|| format!("`{}` may not know `{room}`", self.room))
    }

    /// What is wrong with a path out of the crate.
    fn foreign(&self, path: &Path) -> Option<String> {
        let first = path.segments.first()?.as_str();
        if is_pure(self.room) {
            let outside = IMPURE_CRATES.iter().any(|name| is_crate(first, name));
            let inner = IMPURE_STD.iter().any(|name| path.begins(&["std", name]));
            let plain = path.begins(&["std", "net"])
                && path.segments.get(2).is_some_and(|name| PLAIN_NET.contains(&name.as_str()));
            if outside || (inner && !plain) {
                return Some(format!("`{}`: `{}` is pure", path.segments.join("::"), self.room));
            }
        }
        let edge = self.room == "edge" || self.path == "src/app.rs" || self.path.starts_with("src/app/");
        (is_crate(first, "pingora") && !edge).then(|| "pingora belongs in src/edge and src/app.rs".to_owned())
    }

    fn may_hold_sql(&self) -> bool {
        self.room == "store" || self.path == "src/psa/alga/db.rs" || self.path.starts_with("src/psa/alga/db/")
    }

    /// Comments count too: what a revision says is written once, where the revision is.
    fn check_revisions(&self, report: &mut impl FnMut(usize, String)) {
        let tests_from = self.tests_from();
        for (number, line) in self.text.lines().enumerate().take_while(|(number, _)| number + 1 < tests_from)
        {
            for name in REVISIONS.iter().filter(|name| line.contains(*name)) {
                report(number + 1, format!("the revision {name} belongs in src/mcp/revision/"));
            }
        }
    }

    /// The line at which the tests at the end of the file begin.
    fn tests_from(&self) -> usize {
        let lines = self.text.lines().enumerate();
        let marked = lines.filter(|(_, line)| line.trim() == "#[cfg(test)]").map(|(number, _)| number + 1);
        let last_code = self.tokens.last().map_or(0, |token| token.line);
        marked.filter(|line| *line > last_code).min().unwrap_or(usize::MAX)
    }
}

fn is_pure(room: &str) -> bool {
    WORDS.contains(&room) || room == "policy"
}

/// `hyper_util` is of `hyper`'s family.
fn is_crate(segment: &str, name: &str) -> bool {
    segment.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// True for a text that begins as a statement: keywords in one case, for `Select a client` is prose.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start_matches(|char: char| char.is_whitespace() || char == '\\' || char == 'n');
    let words: Vec<&str> = text.split_whitespace().take(8).collect();
    let [first, second, ..] = words.as_slice() else { return false };
    let one_case = |word: &str| {
        word.chars().all(|char| !char.is_lowercase()) || word.chars().all(|char| !char.is_uppercase())
    };
    if !one_case(first) {
        return false;
    }
    let upper = first.chars().next().is_some_and(char::is_uppercase);
    let second = second.to_ascii_uppercase();
    let later =
        |keyword: &str| text.split_whitespace().skip(2).any(|word| word.eq_ignore_ascii_case(keyword));
    match first.to_ascii_uppercase().as_str() {
        "SELECT" => upper || later("FROM"),
        "INSERT" => second == "INTO" || second == "OR",
        "REPLACE" => second == "INTO",
        "DELETE" => second == "FROM",
        "UPDATE" => !second.starts_with('/') && later("SET"),
        "CREATE" | "ALTER" | "DROP" => [
            "TABLE",
            "INDEX",
            "UNIQUE",
            "VIEW",
            "TRIGGER",
            "TEMP",
            "TEMPORARY",
            "TYPE",
            "ROLE",
            "SCHEMA",
            "FUNCTION",
            "OR",
            "DATABASE",
            "EXTENSION",
        ]
        .contains(&second.as_str()),
        "TRUNCATE" => upper || second == "TABLE",
        "PRAGMA" => true,
        "WITH" => later("AS") && later("SELECT"),
        _ => false,
    }
}

fn check_median(files: &[File], found: &mut Vec<String>) {
    let mut lines: Vec<usize> = files.iter().map(|file| file.text.lines().count()).collect();
    lines.sort_unstable();
    if let Some(median) = lines.get(lines.len() / 2)
        && *median >= MEDIAN_LINES
    {
        found.push(format!("src: the median file has {median} lines, and it must stay under {MEDIAN_LINES}"));
    }
}
