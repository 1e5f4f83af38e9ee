//! Where records go: one trait and one table of kinds.
//!
//! A new sink is a file here, its `mod` line and its row. Sinks know bytes only, not records.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use super::{AuditConfig, AuditError};

pub(super) mod file;
mod stdout;

/// The most bytes the pipeline hands over at once, unless a single line is longer.
pub(super) const BATCH: usize = 256 << 10;

/// Takes whole lines, in order. Used by one thread.
pub(super) trait Sink: Send {
    /// Appends `batch`, which is whole lines or nothing, and where `sync` is set returns only when
    /// this and all that was appended before is safe.
    ///
    /// After an error the caller hands over again every line that did not land. So a sink takes back
    /// what it wrote of the batch, or says how much of it stays.
    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed>;
}

/// An append that failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// Bytes from the start of the batch that are written and stay.
    pub landed: usize,
    pub source: io::Error,
}

impl From<io::Error> for Failed {
    fn from(source: io::Error) -> Self {
        Self { landed: 0, source }
    }
}

/// Where nothing is kept. No row of the table: a server has a record.
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn append(&mut self, _batch: &[u8], _sync: bool) -> Result<(), Failed> {
        Ok(())
    }
}

/// A row of the table.
pub(super) struct Kind {
    /// The value of `audit.sink`.
    pub name: &'static str,
    pub open: fn(&AuditConfig) -> Result<Box<dyn Sink>, AuditError>,
    /// What is wrong with the section for this kind, as (key, message).
    pub problems: fn(&AuditConfig) -> Vec<(String, String)>,
}

static KINDS: &[&Kind] = &[&stdout::KIND, &file::KIND];

/// The row of `name`.
pub(super) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}

/// The names of all rows, for a message.
pub(super) fn names() -> String {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// Opens the sink that `config` names.
pub(super) fn open(config: &AuditConfig) -> Result<Box<dyn Sink>, AuditError> {
    let kind = kind(&config.sink).ok_or_else(|| AuditError::UnknownSink(config.sink.clone(), names()))?;
    (kind.open)(config)
}

/// Writes all of `batch`; an error says how much of it was written.
fn write_all(file: &mut File, batch: &[u8]) -> Result<(), Failed> {
    let mut landed = 0;
    let mut waits = 0;
    while let Some(rest) = batch.get(landed..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(Failed { landed, source: io::ErrorKind::WriteZero.into() }),
            Ok(written) => landed += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal or pipe that somebody else made non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && waits < 500 => {
                waits += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(source) => return Err(Failed { landed, source }),
        }
    }
    Ok(())
}
