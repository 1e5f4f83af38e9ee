//! `sidegate audit export|tail|verify|key|hash`.

mod verify;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Done, Place, administer};
use crate::app::AppError;
use crate::clock::Millis;
use crate::gate::admin::{Admin, Exporting, Filter, Form};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write the record of a tenant, or a part of it, as a file that can be checked, or as CSV.
    Export(ExportArguments),
    /// Print what comes on record from now on, one JSON line each.
    Tail(WantedArguments),
    /// Check the record in the store, or a copy of it: an export, or with --sink what a sink wrote. Ends with 0 only
    /// where it is whole, with 1 where it is not, with 2 where it cannot be read.
    Verify(verify::VerifyArguments),
    /// Show the public key by which the record's signatures are known.
    Key,
    /// Show what stands in a tenant's record for a value that is hashed there, to look for it.
    Hash(HashArguments),
}

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// The file; without it standard output. It is there when it is complete, and not before.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    wanted: WantedArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// JSON lines with a signed header and seal.
    Ndjson,
    /// For people and spreadsheets; cannot be checked.
    Csv,
}

#[derive(Debug, Args)]
pub struct HashArguments {
    /// The value, as it was sent.
    value: String,
}

/// Which records are wanted.
#[derive(Debug, Args)]
pub struct WantedArguments {
    /// Only of the agent with this id.
    #[arg(long)]
    agent: Option<String>,
    /// Only call, refusal, change, other, intent, lost, start or checkpoint.
    #[arg(long)]
    kind: Option<String>,
    /// Only of this MCP tool.
    #[arg(long)]
    tool: Option<String>,
    /// Only of this entry of the PSA's registry.
    #[arg(long)]
    entry: Option<String>,
    /// Only allow, deny or refuse.
    #[arg(long)]
    decision: Option<String>,
    /// Only with this outcome, such as ok or denied.
    #[arg(long)]
    outcome: Option<String>,
    /// Only at this time or later, such as 2027-01-31T08:00:00Z.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    since: Option<Millis>,
    /// Only before this time.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    until: Option<Millis>,
    /// Only with the id that the caller was told.
    #[arg(long)]
    request_id: Option<String>,
}

impl WantedArguments {
    fn filter(self) -> Filter {
        Filter {
            agent: self.agent,
            kind: self.kind,
            tool: self.tool,
            of_tools: false,
            entry: self.entry,
            decision: self.decision,
            outcome: self.outcome,
            since: self.since,
            until: self.until,
            request_id: self.request_id,
        }
    }
}

fn moment(text: &str) -> Result<Millis, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "is no time; write such as 2027-01-31T08:00:00Z".to_owned())?;
    Ok(i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX))
}

pub async fn run(at: Place<'_>, command: AuditCommand) -> ExitCode {
    let done = match command {
        AuditCommand::Verify(arguments) => return verify::run(at, arguments).await,
        AuditCommand::Export(arguments) => export(at, arguments).await,
        AuditCommand::Tail(wanted) => tail(at, wanted.filter()).await,
        AuditCommand::Key => key(at).await,
        AuditCommand::Hash(arguments) => hash(at, &arguments.value).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(AppError(message)) => {
            eprintln!("sidegate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: impl std::fmt::Display) -> AppError {
    AppError(error.to_string())
}

async fn export(at: Place<'_>, arguments: ExportArguments) -> Done {
    let (_, admin) = administer(at).await?;
    let form = match arguments.format {
        Format::Ndjson => Form::Lines,
        Format::Csv => Form::Table,
    };
    let exporting = admin.export(arguments.wanted.filter(), form).await.map_err(failed)?;
    let Some(file) = arguments.output else {
        return write(exporting, &mut std::io::stdout(), "standard output").await;
    };
    let shown = file.display().to_string();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritten = |error: std::io::Error| AppError(format!("{shown} cannot be written: {error}"));
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(unwritten)?;
    write(exporting, beside.as_file_mut(), &shown).await?;
    beside.as_file().sync_all().map_err(unwritten)?;
    beside.persist(&file).map_err(|error| unwritten(error.error))?;
    Ok(())
}

async fn write(mut exporting: Exporting, out: &mut dyn Write, shown: &str) -> Done {
    let bar = bar("{wide_bar} {pos}/{len} records {elapsed}");
    bar.set_length(exporting.progress().1);
    while let Some(piece) = exporting.next().await.map_err(failed)? {
        out.write_all(&piece).map_err(|error| AppError(format!("{shown} cannot be written: {error}")))?;
        bar.set_position(exporting.progress().0);
    }
    bar.finish_and_clear();
    out.flush().map_err(|error| AppError(format!("{shown} cannot be written: {error}")))
}

/// A bar on a terminal; elsewhere nothing.
fn bar(template: &str) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

async fn tail(at: Place<'_>, filter: Filter) -> Done {
    let (_, admin) = administer(at).await?;
    let mut tail = admin.tail(filter).await.map_err(failed)?;
    loop {
        let record = tail.next().await.map_err(failed)?;
        let mut line = Vec::new();
        record.write_line(&mut line);
        let mut out = std::io::stdout().lock();
        // Nobody reads any more.
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}

async fn key(at: Place<'_>) -> Done {
    let (_, admin): (_, Admin) = administer(at).await?;
    println!("{}", admin.journal.signer().public());
    Ok(())
}

async fn hash(at: Place<'_>, value: &str) -> Done {
    let (_, admin) = administer(at).await?;
    println!("{}", admin.journal.hash(&admin.tenant, value));
    Ok(())
}
