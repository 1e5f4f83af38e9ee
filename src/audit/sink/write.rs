//! Bytes into a descriptor, and how many of them landed where not all did. Knows nothing of lines or records.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

/// A write that failed.
#[derive(Debug)]
pub(in crate::audit) struct Failed {
    /// Bytes from the start of what was to be written that are written and stay.
    pub landed: usize,
    pub source: io::Error,
}

impl From<io::Error> for Failed {
    fn from(source: io::Error) -> Self {
        Self { landed: 0, source }
    }
}

/// Writes all of `bytes`; an error says how much of it was written.
pub(super) fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), Failed> {
    let mut landed = 0;
    let mut waits = 0;
    while let Some(rest) = bytes.get(landed..).filter(|rest| !rest.is_empty()) {
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
