//! The file sink alone: mode, rotation, files that are moved or cut, devices.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::super::write::write_all;
use super::*;

fn by_size(size: u64, keep: usize) -> Rotation {
    Rotation { size, keep, ..Rotation::default() }
}

/// The files that were put aside, from the oldest.
fn aside(directory: &Path) -> Vec<PathBuf> {
    let put = |name: &String| name.starts_with("a.2") && name.ends_with('Z');
    names(directory).iter().filter(|name| put(name)).map(|name| directory.join(name)).collect()
}

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
    FileSink::open(&path, by_size(1000, 1)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_full_file_is_put_aside_and_only_so_many_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    fs::write(directory.path().join("a.bak"), "not ours\n").unwrap();
    let mut sink = FileSink::open(&path, by_size(8, 2)).unwrap();
    for line in ["11111\n", "22222\n", "33333\n", "44444\n"] {
        sink.append(line.as_bytes(), false).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "44444\n");
    let aside = aside(directory.path());
    let texts: Vec<_> = aside.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(texts, ["22222\n", "33333\n"]);
    assert_eq!(names(directory.path()).len(), 4, "and what is not ours stays");
}

#[test]
fn an_old_file_is_put_aside_with_the_next_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let clock = Clock::manual(Clock::System.now());
    let rotation = Rotation { age: Some(Duration::from_secs(3600)), ..Rotation::default() };
    let mut sink = FileSink::timed(&path, rotation, clock.clone()).unwrap();
    sink.append(b"1\n", true).unwrap();
    clock.advance(3_500_000);
    sink.append(b"2\n", true).unwrap();
    clock.advance(200_000);
    sink.append(b"3\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    assert_eq!(fs::read_to_string(&aside(directory.path())[0]).unwrap(), "1\n2\n");
    // After a restart too.
    drop(sink);
    let mut sink = FileSink::timed(&path, rotation, clock.clone()).unwrap();
    clock.advance(3_700_000);
    sink.append(b"4\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
}

#[test]
fn files_sort_by_when_they_were_put_aside_though_the_clock_goes_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let clock = Clock::manual(1_768_000_000_000);
    let mut sink = FileSink::timed(&path, by_size(8, 9), clock.clone()).unwrap();
    for line in ["11111\n", "22222\n", "33333\n", "44444\n"] {
        sink.append(line.as_bytes(), false).unwrap();
        clock.advance(-60_000);
    }
    let texts: Vec<_> =
        aside(directory.path()).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(texts, ["11111\n", "22222\n", "33333\n"]);
}

#[cfg(feature = "server")]
#[test]
fn what_was_put_aside_is_compressed_and_no_crash_on_the_way_costs_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let clock = Clock::manual(1_768_000_000_000);
    let mut sink = FileSink::timed(&path, by_size(8, 9), clock.clone()).unwrap();
    for line in ["11111\n", "22222\n", "33333\n", "44444\n"] {
        sink.append(line.as_bytes(), false).unwrap();
        clock.advance(1000);
    }
    let plain = aside(directory.path());
    let with = |file: &Path, ending: &str| PathBuf::from(format!("{}{ending}", file.display()));
    // One crash left a part; another came after the compressed file had its name and before the plain one was gone.
    fs::write(with(&plain[0], ".gz.part"), "half").unwrap();
    compress::compress_all(&Aside::of(&path)).unwrap();
    fs::copy(with(&plain[1], ".gz"), directory.path().join("copy")).unwrap();
    fs::write(&plain[1], "22222\n").unwrap();
    compress::compress_all(&Aside::of(&path)).unwrap();
    assert!(aside(directory.path()).is_empty());
    for (file, line) in plain.iter().zip(["11111\n", "22222\n", "33333\n"]) {
        let compressed = fs::File::open(with(file, ".gz")).unwrap();
        assert_eq!(compressed.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut text = String::new();
        flate2::read::GzDecoder::new(compressed).read_to_string(&mut text).unwrap();
        assert_eq!(text, line);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "44444\n");
    let rest = names(directory.path());
    assert!(!rest.iter().any(|name| name.ends_with(".part")), "{rest:?}");
    Aside::of(&path).prune(1).unwrap();
    assert_eq!(names(directory.path()).len(), 3, "the file, the copy and the last one");
}

#[cfg(feature = "server")]
#[test]
fn compression_goes_on_in_the_background() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let rotation = Rotation { compress: true, ..by_size(8, 9) };
    let mut sink = FileSink::open(&path, rotation).unwrap();
    for line in ["11111\n", "22222\n", "33333\n"] {
        sink.append(line.as_bytes(), false).unwrap();
    }
    let done = || names(directory.path()).iter().filter(|name| name.ends_with("Z.gz")).count() == 2;
    let waits = (0..1000).take_while(|_| !done()).map(|_| std::thread::sleep(Duration::from_millis(10)));
    assert!(waits.count() < 1000, "{:?}", names(directory.path()));
}

#[test]
fn a_rotation_that_fails_does_not_stop_the_record() {
    let directory = tempfile::tempdir().unwrap();
    // With a time behind it, this would be longer than a name can be.
    let path = directory.path().join("a".repeat(250));
    let mut sink = FileSink::open(&path, by_size(8, 1)).unwrap();
    sink.append(b"11111\n", false).unwrap();
    sink.append(b"22222\n", false).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "11111\n22222\n");
}

#[test]
fn a_file_that_was_moved_away_or_deleted_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut sink = FileSink::open(&path, by_size(1000, 1)).unwrap();
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
    let mut sink = FileSink::open(&path, by_size(1000, 1)).unwrap();
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
    let mut sink = FileSink::open(Path::new("/dev/null"), by_size(4, 1)).unwrap();
    sink.append(b"11111\n", true).unwrap();
    sink.append(b"22222\n", true).unwrap();
    assert!(Path::new("/dev/null").exists());
}

#[test]
fn a_file_that_another_put_in_its_place_is_the_one_that_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut sink = FileSink::open(&path, by_size(1000, 1)).unwrap();
    sink.append(b"1\n", false).unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    fs::write(&path, "").unwrap();
    sink.append(b"2\n", true).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
    assert_eq!(fs::read_to_string(directory.path().join("moved")).unwrap(), "1\n");
}
