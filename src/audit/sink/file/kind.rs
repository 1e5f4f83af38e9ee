//! The `file` sink's row: what its keys mean.

use super::{FileSink, Rotation};
use crate::audit::sink::config::SinkConfig;
use crate::audit::sink::lines::{Append, BATCH, Lines};
use crate::audit::sink::table::Kind;
use crate::audit::sink::write::Failed;

pub(in crate::audit::sink) static KIND: Kind = Kind {
    name: "file",
    keys: &["path", "rotate_size", "rotate_age", "rotate_keep", "compress"],
    problems,
    open: |config| {
        let rotation = Rotation {
            size: config.rotate_size.0 as u64,
            age: Some(config.rotate_age.0).filter(|age| !age.is_zero()),
            keep: config.rotate_keep as usize,
            compress: config.compress,
        };
        let sink = FileSink::open(&config.path, rotation).and_then(Lines::start);
        Ok(Box::new(sink.map_err(|error| {
            format!(
                "path: {} cannot be written ({error}); create its directory and let the service's user write there",
                config.path.display()
            )
        })?))
    },
};

impl Append for FileSink {
    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
        Self::append(self, batch, sync)
    }
}

const MOST_KEPT: u32 = 10_000;

fn problems(config: &SinkConfig) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut problem = |key: &str, message: String| problems.push((key.to_owned(), message));
    if config.path.as_os_str().is_empty() {
        problem("path", "is missing; write one, such as /var/lib/sidegate/audit.jsonl".to_owned());
    } else if config.path.file_name().is_none() {
        problem("path", format!("{} names no file", config.path.display()));
    }
    if config.rotate_size.0 < BATCH {
        problem("rotate_size", format!("{} is too small; write 256KiB or more", config.rotate_size));
    }
    if !(1..=MOST_KEPT).contains(&config.rotate_keep) {
        problem("rotate_keep", format!("{} is out of range; write 1 to {MOST_KEPT}", config.rotate_keep));
    }
    problems
}
