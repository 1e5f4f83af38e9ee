//! `sidegate audit` as an auditor runs it: on exports, on what a sink wrote and on the store.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::support::plan::Plan;
use crate::support::postgres;
use crate::support::process::{Ended, Process};
use crate::support::replica;
use crate::support::wait::until;
use crate::support::world::World;

const STRANGER: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

async fn sidegate(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    Process::run(command.arg("audit").args(arguments)).await
}

/// In a folder without a configuration: a file is checked by whoever has it.
async fn verify(file: &Path, more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.current_dir(folder.path()).env_clear().args(["audit", "verify"]).arg(file).args(more);
    Process::run(&mut command).await
}

async fn calls(world: &World, count: usize) {
    for _ in 0..count {
        let answer = world.call("reader", "search_api_registry", json!({"query": "tickets"})).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn an_export_is_checked_by_who_has_it_and_says_the_first_break_in_words() {
    let world = World::start().await;
    calls(&world, 3).await;
    let file = world.folder.path().join("export.ndjson");
    let shown = file.display().to_string();
    replica::command(&world.config_file, &["audit", "export", "--output", &shown]).await;
    let key = replica::command(&world.config_file, &["audit", "key"]).await;
    let key = key.trim();
    let whole = verify(&file, &[]).await;
    assert_eq!(whole.code, Some(0), "{}{}", whole.out, whole.err);
    assert!(whole.out.starts_with("whole\n") && whole.out.contains("nobody vouches"), "{}", whole.out);
    assert!(whole.out.contains(key), "{}", whole.out);
    let pinned = verify(&file, &["--key", key]).await;
    assert!(pinned.code == Some(0) && pinned.out.contains("pinned key"), "{}", pinned.out);
    let both = verify(&file, &["--key", STRANGER, "--key", key]).await;
    assert_eq!(both.code, Some(0), "{}", both.out);
    let other = verify(&file, &["--key", STRANGER]).await;
    assert_eq!(other.code, Some(1), "{}", other.out);
    assert!(other.out.starts_with("BROKEN, line 1: foreign signature"), "{}", other.out);

    let copy = std::fs::read_to_string(&file).unwrap();
    let packed = world.folder.path().join("export.gz");
    let mut encoder = GzEncoder::new(std::fs::File::create(&packed).unwrap(), Compression::fast());
    encoder.write_all(copy.as_bytes()).unwrap();
    encoder.finish().unwrap();
    assert_eq!(verify(&packed, &["--key", key]).await.code, Some(0));
    let bytes = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    let cut = verify(&packed, &[]).await;
    assert!(cut.code == Some(1) && cut.out.contains("cut"), "{}{}", cut.out, cut.err);

    std::fs::write(&file, copy.replacen("search_api_registry", "search_api_registrz", 1)).unwrap();
    let edited = verify(&file, &[]).await;
    assert_eq!(edited.code, Some(1));
    let line = 1 + copy.lines().position(|line| line.contains("search_api_registry")).unwrap();
    assert!(edited.out.starts_with(&format!("BROKEN, line {line}: edit at record ")), "{}", edited.out);

    let missing = verify(&world.folder.path().join("no such file"), &[]).await;
    assert!(missing.code == Some(2) && missing.err.contains("cannot be read"), "{}", missing.err);
    let wrong = verify(&file, &["--key", "hunter2"]).await;
    assert!(wrong.code == Some(2) && wrong.err.contains("is no public key"), "{}", wrong.err);
}

#[tokio::test]
async fn the_command_exports_with_the_same_filters_and_as_a_table() {
    let world = World::start().await;
    calls(&world, 2).await;
    world.ask("technician", "tools/list", json!({})).await;
    let of = |arguments: &[&str]| {
        let all: Vec<String> =
            ["audit", "export"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
        let file = world.config_file.clone();
        async move {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            replica::command(&file, &all).await
        }
    };
    let calls = of(&["--kind", "call"]).await;
    let full = calls.lines().filter(|line| line.contains("\"record\":\"event\"")).count();
    assert_eq!(full, 2, "{calls}");
    let table = of(&["--format", "csv", "--tool", "search_api_registry"]).await;
    assert_eq!(table.lines().count(), 3, "{table}");
    let none = of(&["--until", "2001-01-01T00:00:00Z"]).await;
    assert_eq!(none.lines().count(), 2, "{none}");
}

#[tokio::test]
async fn what_a_sink_wrote_is_checked_with_its_repeats_and_its_torn_end() {
    let world = World::start().await;
    calls(&world, 3).await;
    world.records(3).await;
    let file = world.folder.path().join("record/audit.jsonl");
    let copy = std::fs::read_to_string(&file).unwrap();
    let beside = world.folder.path().join("copy.jsonl");
    let judged = async |text: &str| {
        std::fs::write(&beside, text).unwrap();
        verify(&beside, &["--sink"]).await
    };
    let whole = judged(&copy).await;
    assert!(whole.code == Some(0) && whole.out.contains("without a seal"), "{}{}", whole.out, whole.err);
    let last = copy.lines().last().unwrap();
    let repeated = judged(&format!("{copy}{last}\n")).await;
    assert!(repeated.code == Some(0) && repeated.out.contains("1 of them repeated"), "{}", repeated.out);
    let torn = judged(&copy[..copy.len() - 5]).await;
    assert!(torn.code == Some(1) && torn.out.contains("cut"), "{}", torn.out);
    let lines: Vec<&str> = copy.split_inclusive('\n').collect();
    let removed = judged(&[&lines[..1], &lines[2..]].concat().concat()).await;
    assert!(removed.code == Some(1) && removed.out.contains("removal"), "{}", removed.out);
    let export = verify(&file, &[]).await;
    assert!(export.code == Some(1) && export.out.contains("header is missing"), "{}", export.out);
}

/// The store is whole, and not after any of these was done to it by who can write there.
async fn tampering_is_found(world: &World, url: &str) {
    calls(world, 4).await;
    until(|| async {
        let shown = replica::command(&world.config_file, &["audit", "export"]).await;
        (shown.matches("\"tool\":\"search_api_registry\"").count() >= 4).then_some(())
    })
    .await;
    let config = world.config_file.display().to_string();
    let check = async || sidegate(&["verify", "--config", &config]).await;
    let whole = check().await;
    assert_eq!(whole.code, Some(0), "{}{}", whole.out, whole.err);
    assert!(whole.out.starts_with("tenant demo: whole"), "{}", whole.out);
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let mut run = async |sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap().rows_affected()
    };
    let third = "kind = 'call' AND seq = 3";
    for (done, undone, kind) in [
        (
            format!("UPDATE record SET body = replace(body, 'tickets', 'tickexs') WHERE {third}"),
            format!("UPDATE record SET body = replace(body, 'tickexs', 'tickets') WHERE {third}"),
            "edit",
        ),
        (
            format!("UPDATE record SET outcome = 'fine' WHERE {third}"),
            format!("UPDATE record SET outcome = 'ok' WHERE {third}"),
            "edit",
        ),
        (
            format!("UPDATE record SET seq = 1000000 WHERE {third}"),
            "UPDATE record SET seq = 3 WHERE seq = 1000000".to_owned(),
            "removal",
        ),
    ] {
        assert_eq!(run(&done).await, 1, "{done}");
        let found = check().await;
        assert_eq!(found.code, Some(1), "{done}: {}{}", found.out, found.err);
        assert!(found.out.contains(&format!(": {kind} at record ")), "{done}: {}", found.out);
        assert_eq!(run(&undone).await, 1, "{undone}");
        assert_eq!(check().await.code, Some(0));
    }
    assert!(run("DELETE FROM record WHERE seq >= 3").await >= 1);
    let found = check().await;
    assert!(found.code == Some(1) && found.out.contains("removal"), "{}", found.out);
}

#[tokio::test]
async fn tampering_with_the_store_is_found_on_sqlite() {
    let world = World::start().await;
    let url = format!("sqlite://{}/sidegate.db", world.folder.path().display());
    tampering_is_found(&world, &url).await;
}

#[tokio::test]
async fn tampering_with_the_store_is_found_on_postgres() {
    crate::support::install_crypto();
    let database = postgres::database("SELECT 1").await;
    let world = World::of(Plan { store: Some(&database.url), ..Plan::default() }).await;
    tampering_is_found(&world, &database.url).await;
}

#[tokio::test]
async fn the_command_prints_what_comes_on_record() {
    let world = World::start().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let mut tail = Process::start(
        command.args(["audit", "tail", "--tool", "search_api_registry", "--config"]).arg(&world.config_file),
    );
    // It says nothing until there is something to say: calls are made until it does.
    let line = tokio::select! {
        line = tail.first_line() => line,
        () = async { loop { calls(&world, 1).await; tokio::time::sleep(std::time::Duration::from_millis(200)).await; } } => unreachable!(),
    };
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["tool"], &line["record"]), (&json!("search_api_registry"), &json!("event")));
}

#[tokio::test]
async fn the_command_says_what_a_hashed_value_has_become() {
    let world = World::with("", "[redaction]\nhash = [\"query\"]").await;
    calls(&world, 1).await;
    let became = replica::command(&world.config_file, &["audit", "hash", "tickets"]).await;
    let record = world.records(1).await.remove(0);
    assert_eq!(record["arguments"]["query"], became.trim());
}
