//! Records as lines on standard output, for a supervisor that collects them.
//!
//! A pipe cannot be synced: here a record is safe when the reader's end has taken it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::lines::{Append, Lines};
use super::table::Kind;
use super::write::{Failed, write_all};

pub(super) static KIND: Kind = Kind {
    name: "stdout",
    keys: &[],
    problems: |_| Vec::new(),
    open: |_| {
        let sink = Lines::start(Stdout::open()?);
        Ok(Box::new(sink.map_err(|error| format!("its writer cannot start ({error})"))?))
    },
};

/// Not `io::Stdout`: after an error its buffer would keep a part of the line, and write it later.
pub(super) struct Stdout {
    file: File,
    /// The last line is cut off, and the next must begin on one of its own.
    torn: bool,
}

impl Stdout {
    /// A descriptor of its own.
    pub fn open() -> Result<Self, String> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(|error| format!("standard output cannot be used ({error})"))?;
        Ok(Self { file: File::from(descriptor), torn: false })
    }
}

impl Append for Stdout {
    fn append(&mut self, batch: &[u8], _sync: bool) -> Result<(), Failed> {
        if self.torn {
            write_all(&mut self.file, b"\n").map_err(|failed| failed.source)?;
            self.torn = false;
        }
        write_all(&mut self.file, batch).inspect_err(|failed| {
            self.torn = failed.landed.checked_sub(1).is_some_and(|last| batch.get(last) != Some(&b'\n'));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn after_a_cut_line_the_next_begins_on_a_line_of_its_own() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let file = File::from(OwnedFd::from(ours));
        let mut sink = Stdout { file, torn: true };
        sink.append(b"{\"n\":1}\n", true).unwrap();
        drop(sink);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "\n{\"n\":1}\n");
    }

    #[test]
    fn a_reader_that_went_away_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut sink = Stdout { file: File::from(OwnedFd::from(ours)), torn: false };
        assert_eq!(sink.append(b"{}\n", false).unwrap_err().landed, 0);
    }
}
