//! The arrows between rooms point down: the floors, and where SQL, revision names, pingora and the
//! clock may be. The list is in `floors.rs`; the second half shows that each rule can fail.

use std::fs;
use std::path::Path;

mod floors;
mod lexer;
mod paths;
mod rules;

use rules::{File, complaints};

fn read(directory: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(directory).expect("src can be listed") {
        let entry = entry.expect("an entry of src");
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&entry.path(), &name, files);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file is UTF-8");
            files.push(File { path: name, text });
        }
    }
}

#[test]
fn the_tree_keeps_every_rule() {
    let mut files = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut files);
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the tree was not found");
    let mut complaints = complaints(&files);
    complaints.sort();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The complaints about one file with a proper head.
fn about(path: &str, code: &str) -> Vec<String> {
    complaints(&[File { path: path.to_owned(), text: format!("//! A file.\n{code}") }])
}

/// Asserts that each code draws exactly one complaint, at its second line and with `word` in it.
fn each_is_reported(path: &str, word: &str, codes: &[&str]) {
    for code in codes {
        let found = about(path, code);
        assert_eq!(found.len(), 1, "{path}: {code}\n{found:#?}");
        assert!(found[0].starts_with(&format!("{path}:2: ")) && found[0].contains(word), "{found:#?}");
    }
}

fn none_is_reported(path: &str, codes: &[&str]) {
    for code in codes {
        assert_eq!(about(path, code), Vec::<String>::new(), "{path}: {code}");
    }
}

#[test]
fn an_upward_path_is_reported_however_it_is_written() {
    each_is_reported(
        "src/store/agents.rs",
        "may not know `gate`",
        &[
            "use crate::gate::Gate;",
            "use crate::{clock::Clock, gate::{Gate}, secret};",
            "use crate::{metrics::Metrics, gate::Gate};",
            "pub use crate::gate::Gate as Door;",
            "fn f() { crate::gate::run() }",
            "fn f() -> Vec<crate::gate::Gate> { Vec::new() }",
            "fn f() { let x = 1u64 as crate::gate::Number; }",
            "use super::super::gate::Gate;",
            "use super::super::{gate::Gate};",
            "use self::super::super::gate::Gate;",
            "fn f() { super::super::gate::run() }",
            "mod inner { use super::super::super::gate::Gate; }",
            "use sidegate::gate::Gate;",
            "fn f() { ::sidegate::gate::run() }",
            "macro_rules! m { () => { $crate::gate::run() } }",
            "use r#crate::gate::Gate;",
            "#[serde(with = \"crate::gate::shape\")] struct S;",
            "/* a /* nested */ comment */ use crate::gate::Gate;",
            "const A: char = '\"'; use crate::gate::Gate; const B: char = '\"';",
            "fn f<'a>(x: &'a str) { crate::gate::run(x) }",
        ],
    );
}

#[test]
fn the_root_of_the_crate_is_no_way_around() {
    each_is_reported(
        "src/tool/rest.rs",
        "",
        &[
            "use crate as root;",
            "use crate::*;",
            "use super::super::*;",
            "use crate::{self as root};",
            "use crate::Gate;",
        ],
    );
    each_is_reported("src/tool/mod.rs", "", &["use super::*;", "use super as root;", "use super::psa::Psa;"]);
}

#[test]
fn rooms_of_one_floor_do_not_know_each_other() {
    let doors = floors::DOORS.iter().flat_map(|a| floors::DOORS.iter().map(move |b| (a, b)));
    let words = floors::WORDS.iter().flat_map(|a| floors::WORDS.iter().map(move |b| (a, b)));
    for (room, other) in doors.chain(words).filter(|(a, b)| a != b) {
        let path = format!("src/{room}/mod.rs");
        each_is_reported(
            &path,
            &format!("`{room}` may not know `{other}`"),
            &[&format!("use crate::{other}::X;")],
        );
    }
}

#[test]
fn every_floor_has_a_room_above_it_that_it_may_not_know() {
    for (path, other) in [
        ("src/clock.rs", "metrics"),
        ("src/mcp/rpc.rs", "policy"),
        ("src/policy/mod.rs", "mcp"),
        ("src/policy/mod.rs", "store"),
        ("src/outbound/mod.rs", "idp"),
        ("src/psa/mod.rs", "gate"),
        ("src/gate/mod.rs", "edge"),
        ("src/gate/mod.rs", "outbound"),
        ("src/edge/proxy.rs", "policy"),
        ("src/edge/proxy.rs", "psa"),
        ("src/edge/proxy.rs", "store"),
        ("src/demo/mod.rs", "psa"),
        ("src/demo/mod.rs", "tool"),
    ] {
        each_is_reported(path, &format!("may not know `{other}`"), &[&format!("use crate::{other}::X;")]);
    }
}

#[test]
fn only_the_house_knows_config_and_only_the_cli_knows_the_demo() {
    for room in
        ["gate", "edge", "psa", "idp", "audit", "store", "outbound", "policy", "tool", "demo", "secret"]
    {
        each_is_reported(&format!("src/{room}/x.rs"), "config", &["use crate::config::Config;"]);
    }
    for room in ["app", "config", "main", "gate", "edge", "psa", "store"] {
        each_is_reported(&format!("src/{room}/x.rs"), "demo", &["use crate::demo::Demo;"]);
    }
    none_is_reported("src/cli/serve.rs", &["use crate::config::Config;", "use crate::demo::Demo;"]);
    none_is_reported("src/app.rs", &["use crate::config::Config;", "use crate::{gate::Gate, psa, audit};"]);
}

#[test]
fn downward_paths_and_what_only_looks_like_one_are_allowed() {
    none_is_reported(
        "src/psa/alga/db.rs",
        &[
            "use crate::{clock::{Clock, Millis}, policy::Permit, outbound, store::Store, secret::Secret};",
            "use super::super::Keys;\nuse super::wire;",
            "use super::super::super::secret::Secret;",
            "mod inner { use super::super::super::Keys; }",
            "pub(in crate::psa) fn f() {}",
            "pub(crate) fn f() {}",
            "// use crate::gate::Gate;\n/* crate::edge::X */\n/// See [`crate::gate`].\nfn f() {}",
            "const HELP: &str = \"see crate::gate\";",
            "const RAW: &str = r#\"a \" crate::gate::X\"#;",
        ],
    );
    none_is_reported("src/lib.rs", &["pub mod gate;\npub mod demo;"]);
}

#[test]
fn test_code_is_exempt_and_nothing_behind_it_is() {
    none_is_reported(
        "src/tool/search.rs",
        &[
            "#[cfg(test)]\nmod tests { use crate::psa::Psa; fn f() { let _ = (\"SELECT 1\", \"2025-11-25\"); } }",
            "#[cfg(test)]\nuse crate::{gate::Gate, psa};\nfn f() {}",
            "fn f() {}\n#[cfg(test)]\n#[allow(dead_code)]\nfn helper() -> [u8; 2] { std::fs::read(\"x\"); [0; 2] }",
        ],
    );
    let behind = about("src/tool/search.rs", "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::psa::Psa;");
    assert!(behind.len() == 1 && behind[0].starts_with("src/tool/search.rs:4: "), "{behind:?}");
    let not_test = about("src/tool/search.rs", "#[cfg(not(test))]\nuse crate::psa::Psa;");
    assert_eq!(not_test.len(), 1, "{not_test:?}");
}

#[test]
fn a_file_that_is_compiled_for_tests_only_is_test_code_and_its_neighbour_is_not() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: format!("//! A file.\n{text}") };
    let found = complaints(&[
        file("src/tool/search.rs", "#[cfg(test)]\nmod tests;\nmod index;"),
        file("src/tool/search/tests.rs", "use crate::psa::Psa;"),
        file("src/tool/search/tests/more.rs", "use crate::psa::Psa;"),
        file("src/tool/search/index.rs", "use crate::psa::Psa;"),
    ]);
    assert_eq!(found, ["src/tool/search/index.rs:2: `tool` may not know `psa`"]);
}

#[test]
fn sql_outside_the_store_and_the_psa_s_database_file_is_reported() {
    let statements = [
        "const Q: &str = \"SELECT 1\";",
        "const Q: &str = \"select id from agents\";",
        "const Q: &str = \"INSERT INTO a VALUES ($1)\";",
        "const Q: &str = \"UPDATE a SET b = $1\";",
        "const Q: &str = \"DELETE FROM a\";",
        "const Q: &str = \"CREATE TABLE IF NOT EXISTS a (b TEXT)\";",
        "const Q: &str = \"PRAGMA data_version\";",
        "const Q: &str = r#\"  ALTER TABLE a ADD b TEXT\"#;",
        "const Q: &str = \"WITH x AS (SELECT 1) SELECT * FROM x\";",
        "const Q: &[u8] = b\"DROP TABLE a\";",
    ];
    each_is_reported("src/gate/call.rs", "SQL", &statements);
    each_is_reported("src/psa/alga/postgres.rs", "SQL", &statements);
    none_is_reported("src/store/agents.rs", &statements);
    none_is_reported("src/psa/alga/db.rs", &statements);
    none_is_reported(
        "src/gate/call.rs",
        &[
            "const T: &str = \"Select a client from the list\";",
            "const T: &str = \"DELETE /api/v1/tickets/{id}\";",
            "const T: &str = \"DELETE\";",
            "const T: &str = \"Create a table of tools\";",
            "const T: &str = \"update the key first\";",
        ],
    );
}

#[test]
fn a_revision_name_outside_its_folder_is_reported_in_comments_too() {
    for name in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        let code =
            [format!("const R: &str = \"{name}\";"), format!("// as {name} says"), format!("/// {name}")];
        let codes: Vec<&str> = code.iter().map(String::as_str).collect();
        each_is_reported("src/gate/discover.rs", name, &codes);
        each_is_reported("src/mcp/message.rs", name, &codes);
        none_is_reported("src/mcp/revision/v3.rs", &codes);
    }
    none_is_reported("src/gate/discover.rs", &["const DAY: &str = \"2025-01-01\";"]);
}

#[test]
fn words_and_policy_touch_neither_runtime_nor_network_nor_files_nor_the_clock() {
    for path in ["src/mcp/rpc.rs", "src/tool/catalog.rs", "src/identity/token.rs", "src/policy/mod.rs"] {
        each_is_reported(
            path,
            "",
            &[
                "use tokio::sync::Mutex;",
                "use tokio as runtime;",
                "use pingora_core::Error;",
                "use sqlx::Row;",
                "use hyper_util::rt;",
                "use axum::Router;",
                "use std::fs;",
                "use std::{collections::HashMap, fs::File};",
                "fn f() { std::fs::read(\"x\"); }",
                "fn f() { rand::random::<u8>(); }",
                "fn f(at: SystemTime) {}",
                "fn f() { let at = Instant::now(); }",
                "use std::net::TcpStream;",
            ],
        );
        none_is_reported(
            path,
            &[
                "use std::net::IpAddr;",
                "use std::time::Duration;",
                "use std::{fmt, sync::Arc};",
                "fn fs() {}",
            ],
        );
    }
}

#[test]
fn pingora_stays_at_the_edge() {
    let codes = ["use pingora::proxy::Session;", "fn f(x: pingora_core::Error) {}", "use ::pingora::http;"];
    for path in ["src/gate/mod.rs", "src/psa/mod.rs", "src/cli/serve.rs", "src/outbound.rs"] {
        each_is_reported(path, "pingora", &codes);
    }
    none_is_reported("src/edge/proxy.rs", &codes);
    none_is_reported("src/app.rs", &codes);
}

#[test]
fn a_room_without_a_floor_is_reported() {
    let found = about("src/shed/mod.rs", "fn f() {}");
    assert!(found.len() == 1 && found[0].contains("`shed` is on no floor"), "{found:?}");
}

#[test]
fn a_file_without_a_head_or_of_too_many_lines_is_reported() {
    let file = |path: &str, text: String| File { path: path.to_owned(), text };
    let found = complaints(&[
        file("src/app.rs", "// no head\n".into()),
        file("src/main.rs", "//! x\n".repeat(51)),
        file("src/secret.rs", "//! x\n".repeat(601)),
        file("src/clock.rs", "//! x\n".repeat(600)),
    ]);
    assert_eq!(found.len(), 4, "{found:#?}");
    for (found, says) in
        found.iter().zip(["src/app.rs:1: ", "src/main.rs:51: ", "src/secret.rs:601: ", "src: the median"])
    {
        assert!(found.starts_with(says), "{found}");
    }
    assert_eq!(complaints(&[file("src/main.rs", "//! x\n".repeat(50))]), Vec::<String>::new());
}
