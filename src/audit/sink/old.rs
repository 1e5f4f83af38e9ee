//! What the pipeline before the chain writes to; goes away with it.

use super::file::{FileSink, Rotation};
use super::write::Failed;
use crate::audit::{AuditConfig, AuditError};

pub(in crate::audit) const BATCH: usize = 256 << 10;

pub(in crate::audit) trait Sink: Send {
    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed>;
}

pub(in crate::audit) struct Nowhere;

impl Sink for Nowhere {
    fn append(&mut self, _batch: &[u8], _sync: bool) -> Result<(), Failed> {
        Ok(())
    }
}

impl Sink for FileSink {
    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
        FileSink::append(self, batch, sync)
    }
}

#[cfg(feature = "server")]
impl Sink for super::stdout::Stdout {
    fn append(&mut self, batch: &[u8], _sync: bool) -> Result<(), Failed> {
        super::lines::Append::append(self, batch, false)
    }
}

pub(in crate::audit) fn problems(config: &AuditConfig) -> Vec<(String, String)> {
    match config.sink.as_str() {
        "stdout" => Vec::new(),
        "file" => {
            let mut keys = Vec::new();
            if config.path.as_os_str().is_empty() {
                keys.push("path");
            }
            if config.rotate_size.0 < BATCH {
                keys.push("rotate_size");
            }
            if config.rotate_keep == 0 {
                keys.push("rotate_keep");
            }
            keys.into_iter().map(|key| (key.to_owned(), "is wrong".to_owned())).collect()
        }
        other => vec![("sink".to_owned(), format!("`{other}` is not a sink; write one of stdout, file"))],
    }
}

pub(in crate::audit) fn open(config: &AuditConfig) -> Result<Box<dyn Sink>, AuditError> {
    match config.sink.as_str() {
        #[cfg(feature = "server")]
        "stdout" => Ok(Box::new(super::stdout::Stdout::open().map_err(AuditError::Open)?)),
        "file" => {
            let rotation = Rotation {
                size: config.rotate_size.0 as u64,
                keep: config.rotate_keep as usize,
                ..Rotation::default()
            };
            let sink = FileSink::open(&config.path, rotation).map_err(|error| {
                AuditError::Open(format!(
                    "audit.path: {} cannot be written ({error}); create its directory and let the service's user write there",
                    config.path.display()
                ))
            })?;
            Ok(Box::new(sink))
        }
        other => Err(AuditError::UnknownSink(other.to_owned(), "stdout, file".to_owned())),
    }
}
