//! `sidegate store migrate|status|copy`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Done, load, logging};
use crate::app::AppError;
use crate::clock::Clock;
use crate::store::{Store, StoreConfig, StoreError};

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Bring the tables at store.url up to date; for a role that may, where the server's own may not.
    Migrate,
    /// Show which migrations the tables have; fails where one is missing.
    Status(StatusArguments),
    /// Copy every row from store.url into another database, which must be empty: from SQLite to PostgreSQL.
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct CopyArguments {
    /// The URL of the other database, as store.url is written.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file with that URL, so that a password is neither shown nor kept by the shell.
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

pub async fn run(config: Option<&Path>, command: StoreCommand) -> Done {
    let config = load(config)?;
    logging::start(&config.log);
    let store = Store::patient(&config.store, Clock::System).await.map_err(failed)?;
    let done = match command {
        StoreCommand::Migrate => migrate(&store, &config.store).await,
        StoreCommand::Status(arguments) => status(&store, arguments.json).await,
        StoreCommand::Copy(arguments) => copy(&store, &target(arguments)?).await,
    };
    store.close().await;
    done
}

fn failed(error: StoreError) -> AppError {
    AppError(error.to_string())
}

async fn migrate(store: &Store, config: &StoreConfig) -> Done {
    let before = missing(store).await?;
    store.migrate().await.map_err(failed)?;
    match before.as_slice() {
        [] => println!("the tables at {} are up to date", config.shown()),
        applied => println!("applied {} at {}", applied.join(", "), config.shown()),
    }
    Ok(())
}

async fn status(store: &Store, json: bool) -> Done {
    for (version, name, applied) in store.status().await.map_err(failed)? {
        if json {
            println!("{}", serde_json::json!({"version": version, "name": name, "applied": applied}));
        } else {
            println!("{version:04}_{name}\t{}", if applied { "applied" } else { "missing" });
        }
    }
    up_to_date(store, "store.url").await
}

async fn copy(from: &Store, target: &StoreConfig) -> Done {
    up_to_date(from, "store.url").await?;
    if let Some(why) = target.problems().into_iter().next() {
        return Err(AppError(format!("--to: {}", why.1)));
    }
    let to = Store::patient(target, Clock::System).await.map_err(failed)?;
    to.migrate().await.map_err(failed)?;
    let mut shown = Progress::new();
    let copied = Store::copy(from, &to, &mut |table, done, total| shown.tell(table, done, total)).await;
    shown.end();
    to.close().await;
    copied.map_err(failed)?;
    let mut out = std::io::stdout().lock();
    for (table, total) in &shown.tables {
        // Nobody reads any more: the copy is there all the same.
        let _ = writeln!(out, "{table}\t{total}");
    }
    let _ = writeln!(out, "everything is in {}; set store.url to it", target.shown());
    Ok(())
}

fn target(arguments: CopyArguments) -> Result<StoreConfig, AppError> {
    match (arguments.to, arguments.to_file) {
        (Some(url), _) => Ok(StoreConfig::at(url)),
        (None, Some(file)) => std::fs::read_to_string(&file)
            .map(|text| StoreConfig::at(text.trim()))
            .map_err(|error| AppError(format!("--to-file: {} cannot be read: {error}", file.display()))),
        (None, None) => Err(AppError("--to: write the URL of the other database".to_owned())),
    }
}

async fn missing(store: &Store) -> Result<Vec<String>, AppError> {
    let status = store.status().await.map_err(failed)?;
    let missing = status.into_iter().filter(|(_, _, applied)| !applied);
    Ok(missing.map(|(version, name, _)| format!("{version:04}_{name}")).collect())
}

async fn up_to_date(store: &Store, which: &str) -> Done {
    match missing(store).await?.as_slice() {
        [] => Ok(()),
        missing => Err(AppError(format!(
            "{which}: the tables are behind, {} missing; run `sidegate store migrate`",
            missing.join(", ")
        ))),
    }
}

/// A bar a table on a terminal; elsewhere nothing until the end.
struct Progress {
    bar: ProgressBar,
    tables: Vec<(&'static str, u64)>,
}

impl Progress {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        Self { bar, tables: Vec::new() }
    }

    fn tell(&mut self, table: &'static str, done: u64, total: u64) {
        if done == 0 && self.tables.last().is_none_or(|(last, _)| *last != table) {
            self.tables.push((table, total));
            self.bar.set_length(total);
            self.bar.set_message(table);
        }
        self.bar.set_position(done);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
