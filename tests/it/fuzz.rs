//! The corpora of the fuzz targets, replayed: what a fuzzer once found stays found.

use std::path::Path;

#[path = "../fuzz/targets.rs"]
mod targets;

/// Every file of the target's corpus, and each of its beginnings.
fn replayed(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files: Vec<_> =
        std::fs::read_dir(&folder).expect("a corpus").map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 5, "{target} has a corpus of {}", files.len());
    for file in files {
        let bytes = std::fs::read(&file).expect("a file");
        for end in 0..=bytes.len() {
            run(&bytes[..end]);
        }
    }
}

#[test]
fn json_rpc_is_read_or_refused() {
    replayed("rpc", targets::rpc);
}

#[test]
fn a_revision_is_found_or_the_message_refused() {
    replayed("negotiation", targets::negotiation);
}

#[test]
fn a_name_header_is_the_name_or_refused() {
    replayed("header", targets::header);
}

#[test]
fn an_event_comes_back_as_it_was() {
    replayed("sse", targets::sse);
}

#[test]
fn a_token_names_its_issuer_or_is_refused() {
    replayed("token", targets::token);
}
