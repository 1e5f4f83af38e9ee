//! Records as lines in a file: private to its owner, rotated by size, followed where it is moved away.
//!
//! One process writes the file. Durable means `fdatasync`, and for a new file its directory too.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Failed, write_all};

/// The `file` sink.
pub(in crate::audit) struct FileSink {
    path: PathBuf,
    rotate_size: u64,
    keep: u32,
    open: Option<OpenFile>,
    /// A failed rotation was reported and none has worked since.
    rotation_fails: bool,
}

struct OpenFile {
    file: File,
    /// Device and inode, to see whether `path` still names this file.
    identity: (u64, u64),
    /// Length up to the last whole line.
    length: u64,
    /// Bytes of a cut line behind `length`, as far as this process wrote them.
    torn: Option<u64>,
    /// A device or pipe is neither rotated nor synced.
    regular: bool,
    unsynced: bool,
}

impl FileSink {
    /// Opens or creates `path` (mode 0600) to append to it.
    pub(in crate::audit) fn open(path: &Path, rotate_size: u64, keep: u32) -> io::Result<Self> {
        let open = Some(OpenFile::open(path)?);
        Ok(Self { path: path.to_owned(), rotate_size, keep: keep.max(1), open, rotation_fails: false })
    }

    /// The open file; opened anew where `path` does not name it any more.
    fn current(&mut self) -> io::Result<OpenFile> {
        if let Some(open) = self.open.take() {
            if fs::metadata(&self.path).is_ok_and(|now| identity(&now) == open.identity) {
                return Ok(open);
            }
            // Moved away: what it holds must still be safe before a durable answer is given.
            open.sync()?;
        }
        OpenFile::open(&self.path)
    }

    /// Moves the full file to `path.1` and begins a new one; `path.<keep>` is the last that is kept.
    fn rotate(&self, full: &OpenFile) -> io::Result<OpenFile> {
        full.sync()?;
        let numbered = |number: u32| {
            let mut name = OsString::from(&self.path);
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // Only up to the first gap, so that a rotation that failed half-way costs no file when repeated.
        let gap = (1..self.keep).find(|number| !numbered(*number).exists()).unwrap_or(self.keep);
        for number in (1..gap).rev() {
            fs::rename(numbered(number), numbered(number + 1))?;
        }
        fs::rename(&self.path, numbered(1))?;
        OpenFile::open(&self.path)
    }

    fn rotate_if_full(&mut self, open: OpenFile, more: usize) -> OpenFile {
        let full = open.regular && open.length > 0 && open.length + more as u64 > self.rotate_size;
        if !full {
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
}

impl FileSink {
    pub(in crate::audit) fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
        // A second round only where the file was deleted between finding and writing it.
        for last in [false, true] {
            let open = self.current()?;
            let mut open = self.rotate_if_full(open, batch.len());
            let done = open.append(batch, sync);
            let deleted = open.file.metadata().is_ok_and(|now| open.regular && now.nlink() == 0);
            self.open = Some(open);
            if last || !deleted {
                return done;
            }
        }
        Ok(())
    }
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        let regular = metadata.is_file();
        if regular && metadata.len() == 0 {
            sync_directory(path)?;
        }
        let cut = regular && metadata.len() > 0 && {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            last != [b'\n']
        };
        Ok(Self {
            file,
            identity: identity(&metadata),
            length: metadata.len(),
            torn: cut.then_some(0),
            regular,
            unsynced: false,
        })
    }

    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
        if !batch.is_empty() {
            self.mend()?;
        }
        let done = write_all(&mut self.file, batch);
        let (landed, error) = match done {
            Ok(()) => (batch.len(), None),
            Err(failed) => (failed.landed, Some(failed.source)),
        };
        self.unsynced |= landed > 0;
        let error = error.or_else(|| if sync { self.sync().err() } else { None });
        let Some(source) = error else {
            self.unsynced &= !sync;
            self.length += landed as u64;
            return Ok(());
        };
        if self.take_back(landed as u64) {
            return Err(source.into());
        }
        let whole = batch.get(..landed).unwrap_or_default().iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |newline| newline + 1);
        self.length += whole as u64;
        self.torn = (landed > whole).then_some((landed - whole) as u64);
        Err(Failed { landed, source })
    }

    /// Makes sure that the next line begins on a line of its own.
    fn mend(&mut self) -> Result<(), io::Error> {
        let Some(torn) = self.torn else { return Ok(()) };
        if torn == 0 || !self.take_back(torn) {
            write_all(&mut self.file, b"\n").map_err(|failed| failed.source)?;
            self.length += torn + 1;
        }
        self.torn = None;
        Ok(())
    }

    /// Cuts off the last `bytes`, if they are what this process wrote last; false if they stay.
    fn take_back(&mut self, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        let ours = self.file.metadata().is_ok_and(|now| now.len() == self.length + bytes);
        self.regular && ours && self.file.set_len(self.length).is_ok()
    }

    fn sync(&self) -> io::Result<()> {
        if self.regular && self.unsynced { self.file.sync_data() } else { Ok(()) }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A file is safe only when its name is.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
