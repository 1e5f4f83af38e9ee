//! The record as lines of one file, for the connector: no store, no sinks.

use async_trait::async_trait;

use super::{Ledger, Unwritten, Written};
use crate::audit::chains::Plan;
use crate::audit::sink::file::FileSink;
use crate::clock::Millis;
use crate::record::Head;

/// The ledger in a file.
pub(in crate::audit) struct FileLedger {
    file: FileSink,
    lines: Vec<u8>,
    /// How many bytes of the plan are there already.
    landed: usize,
}

impl FileLedger {
    pub fn new(file: FileSink) -> Self {
        Self { file, lines: Vec::new(), landed: 0 }
    }
}

#[async_trait]
impl Ledger for FileLedger {
    async fn heads(&mut self, _: &str, _: Millis, _: u32) -> Result<Vec<Head>, Unwritten> {
        Ok(Vec::new())
    }

    async fn commit(&mut self, plan: &Plan) -> Result<Written, Unwritten> {
        self.lines.clear();
        for record in &plan.records {
            record.write_line(&mut self.lines);
        }
        let rest = self.lines.get(self.landed..).unwrap_or_default();
        match self.file.append(rest, true) {
            Ok(()) => {
                self.landed = 0;
                Ok(Written::Done)
            }
            Err(failed) => {
                // Only whole lines count: a cut one is written again on a line of its own.
                let whole =
                    rest.get(..failed.landed).and_then(|part| part.iter().rposition(|byte| *byte == b'\n'));
                self.landed += whole.map_or(0, |newline| newline + 1);
                Err(Unwritten(failed.source.to_string()))
            }
        }
    }
}
