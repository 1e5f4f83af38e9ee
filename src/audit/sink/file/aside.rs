//! Files that were put aside: `audit.jsonl.20260109T230640.123Z`, by when that was, so that they sort by age; `.gz`
//! where they are compressed. Touches no file that is not named so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::{Millis, rfc3339};

/// What a compressed file's name ends with.
pub(super) const COMPRESSED: &str = ".gz";
/// And one that is not whole yet.
pub(super) const UNFINISHED: &str = ".gz.part";

/// Those of one file.
#[derive(Clone)]
pub(super) struct Aside {
    directory: PathBuf,
    /// The file's name and a point.
    prefix: OsString,
}

/// What there is of one that was put aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub plain: bool,
    pub compressed: bool,
    pub unfinished: bool,
}

impl Aside {
    pub fn of(path: &Path) -> Self {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut prefix = path.file_name().unwrap_or_default().to_owned();
        prefix.push(".");
        Self { directory: directory.unwrap_or(Path::new(".")).to_owned(), prefix }
    }

    /// Gives the file at `path` its name for being put aside at `now`. It is later than all others, whatever the clock says.
    pub fn put(&self, path: &Path, now: Millis) -> io::Result<()> {
        let latest = self.found()?.into_keys().next_back();
        let at = latest.map_or(now, |latest| now.max(latest + 1));
        fs::rename(path, self.path(at, ""))?;
        sync_directory(path)
    }

    /// Removes all but the latest `keep`.
    pub fn prune(&self, keep: usize) -> io::Result<()> {
        let found = self.found()?;
        let surplus = found.len().saturating_sub(keep.max(1));
        for (at, found) in found.into_iter().take(surplus) {
            for (there, ending) in
                [(found.plain, ""), (found.compressed, COMPRESSED), (found.unfinished, UNFINISHED)]
            {
                if there {
                    gone_is_well(fs::remove_file(self.path(at, ending)))?;
                }
            }
        }
        Ok(())
    }

    /// All there are, from the oldest.
    pub fn found(&self) -> io::Result<BTreeMap<Millis, Found>> {
        let mut all = BTreeMap::<Millis, Found>::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let rest = name.as_encoded_bytes().strip_prefix(self.prefix.as_encoded_bytes());
            let Some(rest) = rest.and_then(|rest| std::str::from_utf8(rest).ok()) else { continue };
            let (stamp, ending) = rest.split_at(rest.find('Z').map_or(0, |end| end + 1));
            let Some(at) = read(stamp) else { continue };
            match ending {
                "" => all.entry(at).or_default().plain = true,
                COMPRESSED => all.entry(at).or_default().compressed = true,
                UNFINISHED => all.entry(at).or_default().unfinished = true,
                _ => {}
            }
        }
        Ok(all)
    }

    /// The name of the one that was put aside `at`.
    pub fn path(&self, at: Millis, ending: &str) -> PathBuf {
        let mut name = self.prefix.clone();
        name.push(stamp(at));
        name.push(ending);
        self.directory.join(name)
    }
}

fn stamp(at: Millis) -> String {
    rfc3339(at).replace(['-', ':'], "")
}

fn read(written: &str) -> Option<Millis> {
    let (date, time) = written.split_once('T')?;
    let (year, day) = date.split_at_checked(4)?;
    let (month, day) = day.split_at_checked(2)?;
    let (hour, rest) = time.split_at_checked(2)?;
    let (minute, second) = rest.split_at_checked(2)?;
    let at =
        OffsetDateTime::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}"), &Rfc3339).ok()?;
    let at = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
    (stamp(at) == written).then_some(at)
}

/// A file is safe only when its name is.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Somebody else may have removed it before.
pub(super) fn gone_is_well(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_it_gives_itself_are_read() {
        for at in [0, 1_768_000_000_123, 1_768_000_000_000] {
            assert_eq!(read(&stamp(at)), Some(at));
        }
        assert_eq!(stamp(1_768_000_000_123), "20260109T230640.123Z");
        for foreign in ["", "1", "20260109T230640.123", "20260109T230640Z", "20261309T230640.123Z", "bak"] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
