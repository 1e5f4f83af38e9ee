//! Compresses the files that were put aside, on a thread of its own.
//!
//! A crash costs nothing: the compressed file gets its name when it is whole and safe, and the plain one goes after that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::aside::{Aside, COMPRESSED, Found, UNFINISHED, gone_is_well, sync_directory};
use crate::clock::Millis;

/// The thread; it ends when this goes and its file is done.
pub(super) struct Compressor(SyncSender<()>);

impl Compressor {
    /// Starts with what an earlier process left undone.
    pub fn start(aside: Aside) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        std::thread::Builder::new().name("sink-gzip".to_owned()).spawn(move || run(&aside, &woken))?;
        let compressor = Self(wake);
        compressor.wake();
        Ok(compressor)
    }

    /// There may be something to do.
    pub fn wake(&self) {
        // Where it is full, it will look anyway.
        let _ = self.0.try_send(());
    }
}

fn run(aside: &Aside, woken: &Receiver<()>) {
    let mut failing = false;
    while woken.recv().is_ok() {
        match compress_all(aside) {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "an audit file that was put aside cannot be compressed; it stays as it is");
                }
                failing = true;
            }
        }
    }
}

/// Compresses what is not yet, and removes what a crash left over.
pub(super) fn compress_all(aside: &Aside) -> io::Result<()> {
    for (at, found) in aside.found()? {
        match found {
            Found { plain: true, compressed: false, .. } => compress(aside, at)?,
            Found { plain, compressed, unfinished } => {
                if unfinished {
                    gone_is_well(fs::remove_file(aside.path(at, UNFINISHED)))?;
                }
                if plain && compressed {
                    gone_is_well(fs::remove_file(aside.path(at, "")))?;
                }
            }
        }
    }
    Ok(())
}

fn compress(aside: &Aside, at: Millis) -> io::Result<()> {
    let (plain, part) = (aside.path(at, ""), aside.path(at, UNFINISHED));
    let mut from = match File::open(&plain) {
        // Pruned meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => BufReader::new(opened?),
    };
    gone_is_well(fs::remove_file(&part))?;
    let done = (|| {
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let mut to = GzEncoder::new(to, Compression::default());
        io::copy(&mut from, &mut to)?;
        to.finish()?.sync_all()?;
        fs::rename(&part, aside.path(at, COMPRESSED))?;
        sync_directory(&part)
    })();
    if done.is_err() {
        // Best effort: the next start removes it too.
        let _ = fs::remove_file(&part);
        return done;
    }
    gone_is_well(fs::remove_file(&plain))
}
