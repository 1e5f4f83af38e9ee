//! Order, durability, recovery and the end of the pipeline, with the real file sink and one that fails
//! on command.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::audit::EventBuilder;
use crate::audit::sink::Failed;
use crate::audit::sink::file::FileSink;

fn event(id: impl Into<String>) -> Event {
    EventBuilder::new(id, 1_768_000_000_000, Arc::default()).finish("ok", Duration::ZERO)
}

fn on_file(path: &Path, rotate: u64, keep: u32) -> Audit {
    let sink = FileSink::open(path, rotate, keep).unwrap();
    Audit::start(Box::new(sink), 10_000, Arc::default(), Duration::from_millis(200), None).unwrap()
}

fn ids(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("a torn line: {line}"));
            record["request_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// A sink in memory, whose troubles the test chooses.
#[derive(Clone, Default)]
struct Memory(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    text: Vec<u8>,
    synced: usize,
    syncs: usize,
    broken: bool,
    attempts: usize,
    /// Of each broken attempt, this many bytes are written and stay.
    stays: usize,
    held: bool,
}

impl Memory {
    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let done = act(&mut self.0.0.lock());
        self.0.1.notify_all();
        done
    }

    fn text(&self) -> String {
        self.with(|state| String::from_utf8(state.text.clone()).unwrap())
    }

    /// Waits until `ready`; the writer reports each attempt.
    fn until(&self, ready: impl Fn(&State) -> bool) {
        let mut state = self.0.0.lock();
        while !ready(&state) {
            assert!(!self.0.1.wait_for(&mut state, Duration::from_secs(20)).timed_out(), "waited in vain");
        }
    }

    fn audit(&self, queue: usize) -> Audit {
        Audit::start(Box::new(self.clone()), queue, Arc::default(), Duration::from_millis(200), None).unwrap()
    }
}

impl Sink for Memory {
    fn append(&mut self, batch: &[u8], sync: bool) -> Result<(), Failed> {
        let mut state = self.0.0.lock();
        state.attempts += 1;
        self.0.1.notify_all();
        while state.held {
            self.0.1.wait(&mut state);
        }
        if state.broken {
            let landed = state.stays.min(batch.len());
            state.text.extend_from_slice(&batch[..landed]);
            return Err(Failed { landed, source: io::ErrorKind::StorageFull.into() });
        }
        if state.text.last().is_some_and(|last| *last != b'\n') {
            state.text.push(b'\n');
        }
        state.text.extend_from_slice(batch);
        if sync {
            state.synced = state.text.len();
            state.syncs += 1;
        }
        self.0.1.notify_all();
        Ok(())
    }
}

#[tokio::test]
async fn every_record_of_eight_threads_is_in_the_file_after_close_each_threads_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = on_file(&path, 1 << 30, 1);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let audit = audit.clone();
            scope.spawn(move || (0..1250).for_each(|n| audit.submit(event(format!("{thread}-{n:05}")))));
        }
    });
    audit.close().await;
    assert_eq!(audit.depth(), 0);
    let ids = ids(&fs::read_to_string(&path).unwrap());
    assert_eq!(ids.len(), 10_000);
    for thread in 0..8 {
        let own: Vec<&String> = ids.iter().filter(|id| id.starts_with(&format!("{thread}-"))).collect();
        assert_eq!(own.len(), 1250);
        assert!(own.is_sorted(), "thread {thread} out of order");
    }
}

#[tokio::test]
async fn a_durable_record_is_on_disk_before_the_answer_and_so_is_what_came_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = on_file(&path, 1 << 30, 1);
    for n in 0..50 {
        audit.submit(event(format!("before-{n}")));
        audit.submit_durable(event(format!("durable-{n}"))).await.unwrap();
        let ids = ids(&fs::read_to_string(&path).unwrap());
        assert_eq!(ids.len(), 2 * (n + 1));
        assert_eq!(ids.last().unwrap(), &format!("durable-{n}"));
    }
}

#[tokio::test]
async fn durable_records_are_synced_together_and_others_are_not_synced() {
    let memory = Memory::default();
    let audit = memory.audit(100);
    audit.submit(event("plain"));
    memory.until(|state| !state.text.is_empty());
    assert_eq!(memory.with(|state| state.synced), 0);

    memory.with(|state| state.held = true);
    let first = tokio::spawn({
        let audit = audit.clone();
        async move { audit.submit_durable(event("first")).await }
    });
    while memory.with(|state| state.attempts) < 2 {
        tokio::task::yield_now().await;
    }
    let crowd: Vec<_> = (0..20)
        .map(|n| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.submit_durable(event(format!("crowd-{n}"))).await })
        })
        .collect();
    while audit.depth() < 21 {
        tokio::task::yield_now().await;
    }
    memory.with(|state| state.held = false);
    assert_eq!(first.await.unwrap(), Ok(()));
    for one in crowd {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(memory.with(|state| (state.syncs, state.synced == state.text.len())), (2, true));
}

#[tokio::test]
async fn while_the_sink_fails_durable_records_are_refused_and_the_others_come_later_in_order() {
    let memory = Memory::default();
    let audit = memory.audit(3);
    memory.with(|state| state.broken = true);
    audit.submit(event("a"));
    let refused = audit.submit_durable(event("never")).await;
    assert!(matches!(refused, Err(AuditError::Write(_))), "{refused:?}");
    audit.submit(event("b"));
    assert!(audit.has_room());
    audit.submit(event("c"));
    assert_eq!((audit.depth(), audit.has_room()), (3, false));
    assert!(audit.submit_durable(event("never either")).await.is_err());
    assert!(audit.0.shared.depth.metrics.audit_failures.get() >= 2);
    assert_eq!(audit.0.shared.depth.metrics.audit_queue.get(), 3);
    let oldest = || {
        audit.observe();
        audit.0.shared.depth.metrics.audit_oldest.get()
    };
    let age = oldest();
    assert!(age > 0.0 && oldest() > age);

    let attempts = memory.with(|state| state.attempts);
    memory.until(|state| state.attempts > attempts);
    memory.with(|state| state.broken = false);
    memory.until(|state| !state.text.is_empty());
    audit.submit_durable(event("d")).await.unwrap();
    assert_eq!(ids(&memory.text()), ["a", "b", "c", "d"]);
    assert_eq!((audit.depth(), audit.has_room()), (0, true));
    let written = audit.0.shared.depth.metrics.audit_records.with_label_values(&["event"]).get();
    assert_eq!((written, audit.0.shared.depth.metrics.audit_queue.get()), (4, 0));
    assert_eq!(oldest(), 0.0);
}

#[tokio::test]
async fn a_line_that_was_written_before_the_failure_is_not_written_again() {
    let memory = Memory::default();
    let audit = memory.audit(100);
    let mut line = Vec::new();
    event("1").write_line(&mut line).unwrap();
    memory.with(|state| {
        state.held = true;
        state.broken = true;
        state.stays = line.len() + 10;
    });
    audit.submit(event("0"));
    memory.until(|state| state.attempts == 1);
    memory.with(|state| state.stays = 0);
    for id in ["1", "2", "3"] {
        audit.submit(event(id));
    }
    memory.with(|state| state.held = false);
    memory.until(|state| state.attempts == 2);
    // Now 0 to 3 are one batch: 0 stays whole, and 10 bytes of 1.
    memory.with(|state| state.stays = line.len() + 10);
    memory.until(|state| !state.text.is_empty());
    memory.with(|state| state.broken = false);
    audit.close().await;
    let text = memory.text();
    let whole: Vec<&str> = text.lines().filter(|line| line.ends_with('}')).collect();
    assert_eq!(ids(&whole.join("\n")), ["0", "1", "2", "3"], "{text}");
    assert_eq!(audit.depth(), 0);
}

#[tokio::test]
async fn a_removed_directory_is_an_error_and_its_return_brings_the_records() {
    let directory = tempfile::tempdir().unwrap();
    let room = directory.path().join("room");
    fs::create_dir(&room).unwrap();
    let path = room.join("audit.jsonl");
    let audit = on_file(&path, 1 << 30, 1);
    audit.submit_durable(event("before")).await.unwrap();
    fs::remove_dir_all(&room).unwrap();

    audit.submit(event("kept"));
    let refused = audit.submit_durable(event("refused")).await.unwrap_err();
    assert!(matches!(refused, AuditError::Write(_)), "{refused}");
    fs::create_dir(&room).unwrap();
    audit.submit_durable(event("after")).await.unwrap();
    assert_eq!(ids(&fs::read_to_string(&path).unwrap()), ["kept", "after"]);
}

#[tokio::test]
async fn a_full_device_refuses_durable_records() {
    let full = PathBuf::from("/dev/full");
    if !full.exists() {
        return;
    }
    let audit = on_file(&full, 1 << 30, 1);
    let refused = audit.submit_durable(event("x")).await.unwrap_err().to_string();
    assert!(refused.contains("No space left"), "{refused}");
}

#[tokio::test]
async fn rotation_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = on_file(&path, 4096, 500);
    let wanted: HashSet<String> = (0..2000).map(|n| format!("{n:05}")).collect();
    for n in 0..2000 {
        audit.submit(event(format!("{n:05}")));
        if n % 20 == 0 {
            audit.submit_durable(event(format!("d{n:05}"))).await.unwrap();
        }
    }
    audit.close().await;
    let files: Vec<PathBuf> =
        fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 20, "{} files", files.len());
    let found: Vec<String> = files.iter().flat_map(|file| ids(&fs::read_to_string(file).unwrap())).collect();
    assert_eq!(found.len(), 2100);
    assert!(wanted.is_subset(&found.into_iter().collect()));
}

#[test]
fn dropping_the_last_handle_outside_a_runtime_writes_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let audit = on_file(&path, 1 << 30, 1);
    let other = audit.clone();
    audit.submit(event("one"));
    drop(audit);
    other.submit(event("two"));
    drop(other);
    assert_eq!(ids(&fs::read_to_string(&path).unwrap()), ["one", "two"]);
}

#[test]
fn a_guard_may_submit_while_a_panic_unwinds() {
    struct Guard(Audit);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.submit(event("fallback"));
        }
    }
    let memory = Memory::default();
    let audit = memory.audit(100);
    let guard = Guard(audit.clone());
    let unwound = std::thread::spawn(move || {
        let _guard = guard;
        std::panic::resume_unwind(Box::new("cut short"));
    });
    assert!(unwound.join().is_err());
    drop(audit);
    assert_eq!(ids(&memory.text()), ["fallback"]);
}

#[tokio::test]
async fn closing_twice_is_harmless_and_a_late_record_is_still_written() {
    let memory = Memory::default();
    let audit = memory.audit(100);
    audit.submit(event("one"));
    audit.close().await;
    audit.close().await;
    assert_eq!(memory.with(|state| state.synced), memory.text().len());
    audit.submit(event("late"));
    assert_eq!(ids(&memory.text()), ["one", "late"]);
    assert_eq!(audit.submit_durable(event("too late")).await, Err(AuditError::Closed));
    assert_eq!(audit.depth(), 0);
}

#[tokio::test]
async fn closing_over_a_sink_that_fails_gives_up_in_the_end_and_keeps_the_records_countable() {
    let memory = Memory::default();
    let audit = memory.audit(100);
    memory.with(|state| state.broken = true);
    audit.submit(event("stuck"));
    audit.close().await;
    assert_eq!(audit.depth(), 1);
    memory.with(|state| state.broken = false);
    audit.submit(event("late"));
    assert_eq!(ids(&memory.text()), ["stuck", "late"]);
    assert_eq!(audit.depth(), 0);
}

#[tokio::test]
async fn a_submitter_that_goes_away_leaves_its_record() {
    let memory = Memory::default();
    let audit = memory.audit(100);
    memory.with(|state| state.held = true);
    {
        let waiting = audit.submit_durable(event("orphan"));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
    }
    memory.with(|state| state.held = false);
    audit.close().await;
    assert_eq!(ids(&memory.text()), ["orphan"]);
}

#[test]
fn an_unknown_sink_does_not_open() {
    let config = AuditConfig { sink: "nowhere".to_owned(), ..AuditConfig::default() };
    let refused = Audit::open(&config, Arc::default()).err().unwrap();
    assert_eq!(refused, AuditError::UnknownSink("nowhere".to_owned(), "stdout, file".to_owned()));
}

#[test]
fn a_file_that_cannot_be_written_does_not_open_and_the_error_names_key_and_path() {
    let config = AuditConfig {
        sink: "file".to_owned(),
        path: "/nonexistent/audit.jsonl".into(),
        ..AuditConfig::default()
    };
    let refused = Audit::open(&config, Arc::default()).err().unwrap().to_string();
    assert!(refused.contains("audit.path") && refused.contains("/nonexistent/audit.jsonl"), "{refused}");
}
