//! The table of what the protocol asks for names tests that exist, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rows of the table.
const ROWS: usize = 72;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One row: what is asked, and its answer.
struct Row {
    asks: String,
    answer: String,
}

impl Row {
    /// The tests that it names.
    fn tests(&self) -> Vec<&str> {
        self.answer.split('`').skip(1).step_by(2).collect()
    }
}

/// The rows of `text` by number; a number that comes twice is an error.
fn rows(text: &str) -> BTreeMap<usize, Row> {
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(number) = cells[0].parse() else { continue };
        assert_eq!(cells.len(), 3, "{line}");
        let row = Row { asks: cells[1].to_owned(), answer: cells[2].to_owned() };
        assert!(rows.insert(number, row).is_none(), "row {number} comes twice");
    }
    rows
}

/// Collects the names of test functions below `folder`: an attribute that ends in `test`, then `fn`.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_in(&fs::read_to_string(&path).expect("UTF-8")));
        }
    }
}

fn tests_in(text: &str) -> Vec<String> {
    let mut tests = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        let is_mark = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some((_, name)) = line.split_once("fn ").filter(|_| marked && !line.starts_with("//")) {
            tests.push(name.split('(').next().unwrap_or_default().to_owned());
            marked = false;
        }
        marked |= is_mark;
    }
    tests
}

#[test]
fn every_row_names_tests_that_exist_or_says_why_it_does_not_apply() {
    let text = fs::read_to_string(root().join("deploy/mcp-conformance.md")).expect("the table");
    let rows = rows(&text);
    assert!(rows.keys().copied().eq(1..=ROWS), "rows 1 to {ROWS}, and no other: {:?}", rows.keys());
    let mut tests = BTreeSet::new();
    tests_below(&root().join("src"), &mut tests);
    tests_below(&root().join("tests/it"), &mut tests);
    let mut wrong = Vec::new();
    for (number, row) in &rows {
        let (named, says) = (row.tests(), row.answer.as_str());
        let unknown: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
        if !unknown.is_empty() {
            wrong.push(format!("row {number} names {unknown:?}, which do not exist"));
        }
        let excused = says.starts_with("Does not apply: ");
        if row.asks.is_empty() || named.is_empty() && !excused {
            wrong.push(format!("row {number} neither names a test nor says why not: {says}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_test_is_found_by_its_attribute_and_nothing_else_is() {
    let text = "#[test]\nfn one() {}\nfn helper() {}\n    #[tokio::test(start_paused = true)]\n    async fn two() {\n// fn three() {}\n";
    assert_eq!(tests_in(text), ["one", "two"]);
}
