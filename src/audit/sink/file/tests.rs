//! The file sink alone: mode, rotation, files that are moved or cut, devices.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_private_to_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    FileSink::open(&path, 1000, 1).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_full_file_moves_on_and_only_so_many_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut sink = FileSink::open(&path, 8, 2).unwrap();
    for line in ["11111\n", "22222\n", "33333\n", "44444\n"] {
        sink.append(line.as_bytes(), false).unwrap();
    }
    assert_eq!(names(directory.path()), ["a", "a.1", "a.2"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "44444\n");
    assert_eq!(fs::read_to_string(directory.path().join("a.2")).unwrap(), "22222\n");
}

#[test]
fn a_gap_in_the_kept_files_is_filled_before_any_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(directory.path().join("a.1"), "old\n").unwrap();
    fs::write(directory.path().join("a.3"), "oldest\n").unwrap();
    let mut sink = FileSink::open(&path, 8, 3).unwrap();
    sink.append(b"11111\n", false).unwrap();
    sink.append(b"22222\n", true).unwrap();
    assert_eq!(names(directory.path()), ["a", "a.1", "a.2", "a.3"]);
    assert_eq!(fs::read_to_string(directory.path().join("a.3")).unwrap(), "oldest\n");
}

#[test]
fn a_rotation_that_fails_does_not_stop_the_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    // A directory that is not empty cannot be replaced by a file.
    fs::create_dir_all(directory.path().join("a.1/x")).unwrap();
    let mut sink = FileSink::open(&path, 8, 1).unwrap();
    sink.append(b"11111\n", false).unwrap();
    sink.append(b"22222\n", false).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "11111\n22222\n");
    fs::remove_dir_all(directory.path().join("a.1")).unwrap();
    sink.append(b"33333\n", false).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "33333\n");
}

#[test]
fn a_file_that_was_moved_away_or_deleted_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut sink = FileSink::open(&path, 1000, 1).unwrap();
    sink.append(b"1\n", false).unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    sink.append(b"2\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
    fs::remove_file(&path).unwrap();
    sink.append(b"3\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    assert_eq!(fs::read_to_string(directory.path().join("moved")).unwrap(), "1\n");
}

#[test]
fn after_a_line_that_a_crash_cut_off_the_next_begins_on_a_line_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(&path, "{\"n\":1}\n{\"n\":").unwrap();
    let mut sink = FileSink::open(&path, 1000, 1).unwrap();
    sink.append(b"{\"n\":3}\n", true).unwrap();
    sink.append(b"{\"n\":4}\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":1}\n{\"n\":\n{\"n\":3}\n{\"n\":4}\n");
}

#[test]
fn what_was_written_of_a_failed_batch_is_taken_back_unless_another_wrote_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut open = OpenFile::open(&path).unwrap();
    open.append(b"1\n", false).unwrap();
    write_all(&mut open.file, b"half a li").unwrap();
    assert!(open.take_back(9));
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");

    write_all(&mut open.file, b"half a li").unwrap();
    write_all(&mut open.file, b"other\n").unwrap();
    assert!(!open.take_back(9));
    open.torn = Some(9);
    open.append(b"2\n", false).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\nhalf a liother\n\n2\n");
}

#[test]
fn a_device_is_written_without_rotation_or_sync() {
    let mut sink = FileSink::open(Path::new("/dev/null"), 4, 1).unwrap();
    sink.append(b"11111\n", true).unwrap();
    sink.append(b"22222\n", true).unwrap();
    assert!(Path::new("/dev/null").exists());
}

#[test]
fn a_file_that_another_put_in_its_place_is_the_one_that_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut sink = FileSink::open(&path, 1000, 1).unwrap();
    sink.append(b"1\n", false).unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    fs::write(&path, "").unwrap();
    sink.append(b"2\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
    assert_eq!(fs::read_to_string(directory.path().join("moved")).unwrap(), "1\n");
}
