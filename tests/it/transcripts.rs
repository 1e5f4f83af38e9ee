//! What is said in each revision, word for word. `transcripts/REVISION.jsonl` holds one exchange a line; each is said here to a
//! whole Sidegate and compared with what comes back. With `SIDEGATE_BLESS=1` what came back is written down instead: read
//! the difference before committing it.

use std::path::PathBuf;

use serde_json::Value;
use sidegate::mcp::revision::REVISIONS;

use crate::support::world::World;

mod client;
mod line;
mod mask;

use client::Client;
use line::Line;

fn file(revision: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/transcripts/{revision}.jsonl"))
}

fn read(revision: &str) -> Vec<Line> {
    let path = file(revision);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let line = |(at, text)| {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), at + 1))
    };
    text.lines().enumerate().map(line).collect()
}

#[allow(clippy::disallowed_methods, reason = "the runner tells the tests, not the program under test")]
fn is_blessing() -> bool {
    std::env::var("SIDEGATE_BLESS").is_ok_and(|value| value == "1")
}

/// Says every line, and leaves in it what came back.
async fn said(mut lines: Vec<Line>) -> Vec<Line> {
    let world = World::with("", "[sse]\nenabled = true").await;
    let mut client = Client::new(&world).await;
    for line in &mut lines {
        client.say(line).await;
    }
    lines
}

async fn is_spoken_as_written(revision: &str) {
    let written = read(revision);
    let spoken = said(written.clone()).await;
    if is_blessing() {
        let text: String = spoken.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        std::fs::write(file(revision), text).unwrap();
        return;
    }
    for (at, (written, spoken)) in written.iter().zip(&spoken).enumerate() {
        let pretty = |line: &Line| format!("{:#}", serde_json::to_value(line).unwrap_or(Value::Null));
        assert!(
            written == spoken,
            "{revision}.jsonl:{}, `{}`: written\n{}\nspoken\n{}",
            at + 1,
            written.conversation,
            pretty(written),
            pretty(spoken)
        );
    }
}

#[test]
fn every_revision_that_is_served_has_the_same_conversations() {
    let conversations = |revision: &str| {
        let mut names: Vec<String> = read(revision).into_iter().map(|line| line.conversation).collect();
        names.dedup();
        names
    };
    let first = conversations(REVISIONS[0].name);
    for revision in REVISIONS {
        assert_eq!(conversations(revision.name), first, "{}", revision.name);
    }
    let folder = std::fs::read_dir(file("").parent().unwrap()).unwrap();
    let files =
        folder.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|is| is == "jsonl"));
    assert_eq!(files.count(), REVISIONS.len());
}

#[tokio::test]
async fn the_revision_2024_11_05_is_spoken_as_written() {
    is_spoken_as_written("2024-11-05").await;
}

#[tokio::test]
async fn the_revision_2025_03_26_is_spoken_as_written() {
    is_spoken_as_written("2025-03-26").await;
}

#[tokio::test]
async fn the_revision_2025_06_18_is_spoken_as_written() {
    is_spoken_as_written("2025-06-18").await;
}

#[tokio::test]
async fn the_revision_2025_11_25_is_spoken_as_written() {
    is_spoken_as_written("2025-11-25").await;
}

#[tokio::test]
async fn the_revision_2026_07_28_is_spoken_as_written() {
    is_spoken_as_written("2026-07-28").await;
}
