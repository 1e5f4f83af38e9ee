//! `sidegate audit verify`: reads a file, or the store, and says what the verifier found.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use flate2::bufread::MultiGzDecoder;

use super::super::{Place, load, logging};
use super::{bar, failed};
use crate::app::AppError;
use crate::clock::Clock;
use crate::gate::admin::verify_store;
use crate::record::{PublicKey, Report, Verifier};
use crate::store::Store;

/// The longest line, in bytes: a record has a few KiB, a header a hundred bytes a chain.
const LONGEST: u64 = 64 << 20;
/// How a gzip file begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// What cannot be read is neither whole nor broken.
const UNREAD: u8 = 2;

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The copy, `-` for standard input; compressed with gzip or not. Without it, the store.
    file: Option<PathBuf>,
    /// It is what a sink wrote, and no export.
    #[arg(long, requires = "file")]
    sink: bool,
    /// A public key that may sign, as `sidegate audit key` shows it on the server; may be repeated.
    #[arg(long = "key", value_name = "PUBLIC")]
    keys: Vec<PublicKey>,
}

pub async fn run(at: Place<'_>, arguments: VerifyArguments) -> ExitCode {
    let reports = match &arguments.file {
        Some(file) => of_file(file, arguments.sink, arguments.keys).map(|report| vec![(None, report)]),
        None => of_store(at, &arguments.keys).await,
    };
    match reports {
        Ok(reports) => {
            for (tenant, report) in &reports {
                match tenant {
                    Some(tenant) => println!("tenant {tenant}: {report}"),
                    None => println!("{report}"),
                }
            }
            let whole = reports.iter().all(|(_, report)| report.whole());
            if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(AppError(message)) => {
            eprintln!("sidegate: {message}");
            ExitCode::from(UNREAD)
        }
    }
}

fn of_file(path: &Path, sink: bool, keys: Vec<PublicKey>) -> Result<Report, AppError> {
    let unread = |error: std::io::Error| AppError(format!("{} cannot be read: {error}", path.display()));
    let bar = bar("{wide_bar} {bytes}/{total_bytes} {elapsed}");
    let raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(path).map_err(unread)?;
        bar.set_length(file.metadata().map_err(unread)?.len());
        Box::new(file)
    };
    let mut raw = BufReader::with_capacity(1 << 16, bar.wrap_read(raw));
    let packed = raw.fill_buf().map_err(unread)?.starts_with(&GZIP);
    let text: Box<dyn BufRead> =
        if packed { Box::new(BufReader::new(MultiGzDecoder::new(raw))) } else { Box::new(raw) };
    let verifier = if sink { Verifier::sink(keys) } else { Verifier::export(keys) };
    let report = feed(verifier, text).map_err(unread)?;
    bar.finish_and_clear();
    Ok(report)
}

fn feed(mut verifier: Verifier, mut text: Box<dyn BufRead>) -> std::io::Result<Report> {
    let mut line = Vec::new();
    while !verifier.done() {
        line.clear();
        let read = match text.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(read) => read,
            // A packed copy whose end is missing: what came before it is judged.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => line.len(),
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        if line.len() as u64 == LONGEST {
            return Err(std::io::Error::other("a line is longer than any of a record"));
        }
        match line.strip_suffix(b"\n") {
            Some(line) => verifier.line(line, true),
            None => verifier.line(&line, false),
        }
    }
    Ok(verifier.finish())
}

/// Of the tenant that is named, or of every one that has a record.
async fn of_store(at: Place<'_>, keys: &[PublicKey]) -> Result<Vec<(Option<String>, Report)>, AppError> {
    let config = load(at.config)?;
    logging::start(&config.log);
    let store = Store::open(&config.store, Clock::System).await.map_err(failed)?;
    let rows = store.chains(None).await.map_err(failed)?;
    let mut tenants: BTreeSet<String> = rows.into_iter().map(|row| row.tenant_id).collect();
    if let Some(named) = at.tenant {
        let known = store.tenants().await.map_err(failed)?;
        let found = known.into_iter().find(|row| row.goes_by(named)).map(|row| row.id);
        // One that was removed is known by its record alone.
        let found = found.or_else(|| tenants.get(named).cloned());
        let none = || AppError(format!("--tenant: there is no tenant `{named}`"));
        tenants = BTreeSet::from([found.ok_or_else(none)?]);
    }
    let mut reports = Vec::new();
    for tenant in tenants {
        let bar = bar("{msg:14} {wide_bar} {pos}/{len} records {elapsed}");
        bar.set_message(tenant.clone());
        let mut tell = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let report = verify_store(&store, &tenant, keys.to_vec(), &mut tell).await.map_err(failed)?;
        bar.finish_and_clear();
        reports.push((Some(tenant), report));
    }
    store.close().await;
    Ok(reports)
}
