//! `sidegate search`: what an agent that searches would find, for people; and for measuring, over a file of queries.
//!
//! Ranks a registry that is read from a file, or that of the running configuration. Knows nothing of agents: what
//! one may not call is found here all the same.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::tool::catalog::{Catalog, CatalogRules};
use crate::tool::search::{Vocabulary, search};

/// Without --queries: one search, for people.
#[derive(Debug, Args)]
pub struct SearchArguments {
    /// What to look for, such as "close a ticket".
    #[arg(required_unless_present = "queries", conflicts_with = "queries")]
    query: Vec<String>,
    /// A registry as the PSA's endpoint answers it, {"data":{"entries":[...]}}; every entry in it is ranked.
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// JSON lines with a member "q"; one JSON line with "q", "ids", "scores" and "ms" is printed for each.
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// How many entries are shown for each query.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// TOML that adds to the built-in vocabulary, as search.vocabulary_file does.
    #[arg(long, value_name = "FILE")]
    vocabulary: Option<PathBuf>,
}

impl SearchArguments {
    /// Whether the registry is named here, so that no configuration is needed.
    pub fn names_registry(&self) -> bool {
        self.registry.is_some()
    }
}

/// Searches a registry file. Fails with 1 where nothing fits, and with 2 where something cannot be read.
pub fn run(arguments: &SearchArguments) -> ExitCode {
    let catalog = match &arguments.registry {
        Some(file) => registry(file, arguments.vocabulary.as_deref()),
        None => Err("--registry: name the registry's file".to_owned()),
    };
    answer(arguments, catalog)
}

/// Searches `catalog`, or says why there is none.
pub fn answer(arguments: &SearchArguments, catalog: Result<Catalog, String>) -> ExitCode {
    let done = catalog.and_then(|catalog| match &arguments.queries {
        Some(file) => measure(&catalog, file, arguments.limit).map(|()| true),
        None => show(&catalog, &arguments.query.join(" "), arguments.limit),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(wrong) => {
            eprintln!("sidegate search: {wrong}");
            ExitCode::from(2)
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// The registry in `file`, all of it.
fn registry(file: &Path, vocabulary: Option<&Path>) -> Result<Catalog, String> {
    let vocabulary = match vocabulary {
        Some(file) => Vocabulary::extended(&read(file)?).map(Arc::new).map_err(|wrong| {
            wrong.iter().map(|wrong| format!("{}: {wrong}", file.display())).collect::<Vec<_>>().join("\n  ")
        })?,
        None => Vocabulary::built_in(),
    };
    let catalog = Catalog::parse(read(file)?.as_bytes(), &CatalogRules::everything(vocabulary));
    let catalog = catalog.map_err(|error| format!("{}: {error}", file.display()))?;
    for skipped in catalog.skipped() {
        eprintln!(
            "sidegate search: {}: entry `{}` is left out: {}",
            file.display(),
            skipped.id,
            skipped.reason
        );
    }
    Ok(catalog)
}

/// True where something was found.
fn show(catalog: &Catalog, query: &str, limit: usize) -> Result<bool, String> {
    let found = search(catalog, query, limit);
    let mut out = std::io::stdout().lock();
    if found.is_empty() {
        eprintln!(
            "Nothing among {} endpoints fits. Name the thing and what to do with it: close a ticket, list contacts of a client.",
            catalog.entries().len()
        );
        return Ok(false);
    }
    for found in found {
        let entry = found.entry;
        let line = writeln!(
            out,
            "{:>8.3}  {:<6} {}\n          {}  ({})",
            found.score,
            entry.verb.as_str(),
            entry.path,
            entry.display_name,
            entry.id
        );
        line.map_err(|error| error.to_string())?;
    }
    Ok(true)
}

#[derive(Deserialize)]
struct Query {
    q: String,
}

/// One JSON line for each query.
fn measure(catalog: &Catalog, file: &Path, limit: usize) -> Result<(), String> {
    let text = read(file)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let query: Query = serde_json::from_str(line).map_err(|error| {
            format!("{} line {}: {error}; each line is an object with a text `q`", file.display(), number + 1)
        })?;
        let begun = Instant::now();
        let found = search(catalog, &query.q, limit);
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let ids: Vec<&str> = found.iter().map(|found| found.entry.id.as_str()).collect();
        let scores: Vec<f64> = found.iter().map(|found| found.score).collect();
        writeln!(out, "{}", json!({"q": query.q, "ids": ids, "scores": scores, "ms": ms}))
            .map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())
}
