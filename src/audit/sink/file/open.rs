//! A file that is open to be appended to: whole lines, a cut one mended, what did not land taken back.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::aside::sync_directory;
use crate::audit::sink::write::{Failed, write_all};
use crate::clock::Millis;

pub(super) struct OpenFile {
    pub file: File,
    /// Device and inode, to see whether the path still names this file.
    identity: (u64, u64),
    /// Length up to the last whole line.
    pub length: u64,
    /// Bytes of a cut line behind `length`, as far as this process wrote them.
    pub torn: Option<u64>,
    /// A device or pipe is neither rotated nor synced.
    pub regular: bool,
    unsynced: bool,
    /// When it was made, where the file system knows; else when it was last written before this.
    pub born: Option<Millis>,
}

impl OpenFile {
    /// Opens or makes `path` (mode 0600).
    pub fn open(path: &Path) -> io::Result<Self> {
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
            born: metadata.created().or_else(|_| metadata.modified()).ok().and_then(millis),
        })
    }

    /// As [`super::FileSink::append`].
    pub fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
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
    pub fn take_back(&mut self, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        let ours = self.file.metadata().is_ok_and(|now| now.len() == self.length + bytes);
        self.regular && ours && self.file.set_len(self.length).is_ok()
    }

    /// True where `path` names it.
    pub fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|now| identity(&now) == self.identity)
    }

    /// True where no path names it any more.
    pub fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|now| self.regular && now.nlink() == 0)
    }

    pub fn sync(&self) -> io::Result<()> {
        if self.regular && self.unsynced { self.file.sync_data() } else { Ok(()) }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn millis(at: SystemTime) -> Option<Millis> {
    i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
