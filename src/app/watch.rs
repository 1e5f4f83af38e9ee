//! Notices that files have changed, by looking at what each name leads to: an edit, a rename and the
//! swap of a symbolic link on the way (Kubernetes' `..data`) all change what is found there.
//!
//! Does not know what the files are for.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often is looked.
const PACE: Duration = Duration::from_secs(1);

/// What was found under a name: device, inode, size, and the nanoseconds of its last change.
type Found = Option<(u64, u64, u64, i128)>;

fn look(file: &PathBuf) -> Found {
    let meta = std::fs::metadata(file).ok()?;
    let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    Some((meta.dev(), meta.ino(), meta.size(), changed))
}

/// Files that are watched.
pub struct Watch {
    files: Vec<PathBuf>,
    known: Vec<Found>,
    moving: bool,
}

impl Watch {
    /// Begins with what is there now.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let known = files.iter().map(look).collect();
        Self { files, known, moving: false }
    }

    /// Watches these from now on; those that were watched already keep what was last seen of them,
    /// so that nothing that happens meanwhile is missed.
    pub fn only(&mut self, files: Vec<PathBuf>) {
        let seen = |file: &PathBuf| self.files.iter().position(|known| known == file);
        let known = files
            .iter()
            .map(|file| seen(file).and_then(|at| self.known.get(at).copied()).unwrap_or_else(|| look(file)))
            .collect();
        (self.files, self.known) = (files, known);
    }

    /// Ends when something has changed and then been still for one look: what is being written is
    /// not read half.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(PACE).await;
            if self.look_again() {
                return;
            }
        }
    }

    /// One look: true where what was moving has come to rest.
    fn look_again(&mut self) -> bool {
        let now: Vec<_> = self.files.iter().map(look).collect();
        let still = now == self.known;
        self.known = now;
        std::mem::replace(&mut self.moving, !still) && still
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// Whether `change` is noticed, at the second look and not at the first.
    fn is_noticed(file: &Path, change: impl FnOnce()) -> bool {
        let mut watch = Watch::new(vec![file.to_owned()]);
        assert!(!watch.look_again());
        change();
        !watch.look_again() && watch.look_again()
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn an_edit_a_rename_over_it_and_its_removal_are_noticed() {
        let folder = folder();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        write(&file, "one");
        assert!(is_noticed(&file, || write(&file, "two!")));
        write(&other, "two!");
        assert!(is_noticed(&file, || fs::rename(&other, &file).expect("renamed")));
        assert!(is_noticed(&file, || fs::remove_file(&file).expect("removed")));
        assert!(is_noticed(&file, || write(&file, "back")));
        assert!(!is_noticed(&file, || write(&other, "a neighbour")));
    }

    #[test]
    fn the_swap_of_a_link_on_the_way_is_noticed() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        write(&at("..one/tls.crt"), "same text");
        write(&at("..two/tls.crt"), "same text");
        symlink("..one", at("..data")).expect("linked");
        symlink("..data/tls.crt", at("tls.crt")).expect("linked");
        let swap = || {
            symlink("..two", at("..new")).expect("linked");
            fs::rename(at("..new"), at("..data")).expect("renamed");
        };
        assert!(is_noticed(&at("tls.crt"), swap));
    }

    #[test]
    fn a_file_that_is_still_being_written_is_waited_for() {
        let folder = folder();
        let file = folder.path().join("a");
        write(&file, "");
        let mut watch = Watch::new(vec![file.clone()]);
        for length in 1..5 {
            write(&file, &"x".repeat(length));
            assert!(!watch.look_again());
        }
        assert!(watch.look_again());
        assert!(!watch.look_again());
    }

    #[test]
    fn a_change_is_not_lost_when_the_list_changes() {
        let folder = folder();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        write(&file, "one");
        let mut watch = Watch::new(vec![file.clone()]);
        write(&file, "two!");
        watch.only(vec![other, file]);
        assert!(!watch.look_again() && watch.look_again());
    }
}
