//! Records as lines in a file: private to its owner, rotated by size and age, followed where it is moved away.
//!
//! One process writes the file. Durable means `fdatasync`, and for a new file its directory too.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::write::Failed;
use crate::clock::Clock;

mod aside;
#[cfg(feature = "server")]
mod compress;
#[cfg(feature = "server")]
mod kind;
mod open;

#[cfg(feature = "server")]
pub(super) use kind::KIND;

use aside::Aside;
use open::OpenFile;

/// When a file is put aside, and what becomes of it then.
#[derive(Clone, Copy, Debug)]
pub(in crate::audit) struct Rotation {
    /// Bytes that no line may make a file longer than, unless it is alone in it.
    pub size: u64,
    /// How old a file may be when a line is written.
    pub age: Option<Duration>,
    /// How many files that were put aside are kept.
    pub keep: usize,
    /// They are compressed.
    pub compress: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { size: 64 << 20, age: None, keep: 10, compress: false }
    }
}

/// The `file` sink.
pub(in crate::audit) struct FileSink {
    path: PathBuf,
    rotation: Rotation,
    aside: Aside,
    #[cfg(feature = "server")]
    compressor: Option<compress::Compressor>,
    clock: Clock,
    open: Option<OpenFile>,
    /// A failed rotation was reported and none has worked since.
    rotation_fails: bool,
}

impl FileSink {
    /// Opens or creates `path` (mode 0600) to append to it.
    ///
    /// # Errors
    /// Where it cannot be opened or its directory not be synced.
    pub(in crate::audit) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        Self::timed(path, rotation, Clock::System)
    }

    fn timed(path: &Path, rotation: Rotation, clock: Clock) -> io::Result<Self> {
        let open = Some(OpenFile::open(path)?);
        let aside = Aside::of(path);
        Ok(Self {
            #[cfg(feature = "server")]
            compressor: if rotation.compress {
                Some(compress::Compressor::start(aside.clone())?)
            } else {
                None
            },
            path: path.to_owned(),
            rotation,
            aside,
            clock,
            open,
            rotation_fails: false,
        })
    }

    /// Appends `batch`, which is whole lines or nothing, and where `sync` is set returns only when
    /// this and all that was appended before is safe.
    ///
    /// # Errors
    /// After one the caller hands over again every line that did not land.
    pub(in crate::audit) fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
        // A second round only where the file was deleted between finding and writing it.
        for last in [false, true] {
            let open = self.current()?;
            let mut open = self.rotate_if_due(open, batch.len());
            let done = open.append(batch, sync);
            let deleted = open.is_deleted();
            self.open = Some(open);
            if last || !deleted {
                return done;
            }
        }
        Ok(())
    }

    /// The open file; opened anew where `path` does not name it any more.
    fn current(&mut self) -> io::Result<OpenFile> {
        if let Some(open) = self.open.take() {
            if open.is_at(&self.path) {
                return Ok(open);
            }
            // Moved away: what it holds must still be safe before a durable answer is given.
            open.sync()?;
        }
        OpenFile::open(&self.path)
    }

    fn rotate_if_due(&mut self, open: OpenFile, more: usize) -> OpenFile {
        let full = open.length + more as u64 > self.rotation.size;
        let old = || {
            let (age, born) = (self.rotation.age?, open.born?);
            Some(u128::try_from(self.clock.now() - born).ok()? >= age.as_millis())
        };
        if !open.regular || open.length == 0 || !(full || old().unwrap_or(false)) {
            return open;
        }
        match self.rotate(&open) {
            Ok(fresh) => {
                self.rotation_fails = false;
                fresh
            }
            // A file too long is better than a record too few.
            Err(error) => {
                if !self.rotation_fails {
                    tracing::warn!(path = %self.path.display(), %error, "the audit file cannot be rotated");
                }
                self.rotation_fails = true;
                open
            }
        }
    }

    /// Puts the file aside and begins a new one; the oldest of those put aside goes.
    fn rotate(&self, full: &OpenFile) -> io::Result<OpenFile> {
        full.sync()?;
        self.aside.put(&self.path, self.clock.now())?;
        let fresh = OpenFile::open(&self.path)?;
        #[cfg(feature = "server")]
        if let Some(compressor) = &self.compressor {
            compressor.wake();
        }
        if let Err(error) = self.aside.prune(self.rotation.keep) {
            tracing::warn!(path = %self.path.display(), %error, "an old audit file cannot be removed");
        }
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests;
