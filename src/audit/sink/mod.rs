//! Where the record goes beside the store: one trait and one table of kinds.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::AuditError;
use crate::record::Record;
use crate::units::Size;

pub(super) mod file;

#[async_trait]
pub(super) trait Sink: Send {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered>;
}

pub(super) struct Undelivered {
    pub taken: usize,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkConfig {
    pub kind: String,
    pub name: String,
    pub path: PathBuf,
    pub rotate_size: Size,
    pub rotate_keep: u32,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            kind: "file".into(),
            name: String::new(),
            path: PathBuf::new(),
            rotate_size: Size(64 << 20),
            rotate_keep: 10,
        }
    }
}

impl SinkConfig {
    pub fn name(&self) -> &str {
        if self.name.is_empty() { &self.kind } else { &self.name }
    }
    pub fn problems(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

struct Lines(file::FileSink, Vec<u8>);

#[async_trait]
impl Sink for Lines {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        self.1.clear();
        for record in records {
            record.write_line(&mut self.1);
        }
        self.0
            .append(&self.1, true)
            .map_err(|failed| Undelivered { taken: 0, why: failed.source.to_string() })
    }
}

pub(super) fn open(config: &SinkConfig) -> Result<Box<dyn Sink>, AuditError> {
    let path = if config.kind == "stdout" { PathBuf::from("/dev/stdout") } else { config.path.clone() };
    let file = file::FileSink::open(&path, config.rotate_size.0 as u64, config.rotate_keep);
    Ok(Box::new(Lines(file.map_err(|error| AuditError::Open(format!("sinks: {error}")))?, Vec::new())))
}

/// An append that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub landed: usize,
    pub source: io::Error,
}

impl From<io::Error> for Failed {
    fn from(source: io::Error) -> Self {
        Self { landed: 0, source }
    }
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
