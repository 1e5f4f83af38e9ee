//! Files and folders that must be there before anything is served. Knows which
//! keys name them; what is in them is the business of the rooms that read them.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::Config;
use super::findings::Findings;
use crate::edge::tls;
use crate::outbound::Transport;
use crate::psa;
use crate::tool::overlay::Overlay;
use crate::tool::search::Vocabulary;

/// More than any key of the PSA has, in bytes.
const KEY_LIMIT: u64 = 64 << 10;

/// More than any registry has to be repaired, in bytes.
const OVERLAY_LIMIT: u64 = 4 << 20;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    if let Some(file) = config.store.file()
        && let Some(message) = file.parent().and_then(missing)
    {
        findings.follow("store.url", &[], message);
    }
    if let Some(file) = &config.idp.ca_file
        && let Err(message) = authorities(file)
    {
        findings.follow("idp.ca_file", &[], message);
    }
    way("psa", &config.psa.transport(), findings);
    if let Some(socket) = &config.psa.unix_socket
        && let Some(message) = socket.parent().and_then(missing)
    {
        findings.follow("psa.unix_socket", &[], message);
    }
    for (index, issuer) in config.issuers.iter().enumerate() {
        way(&format!("issuers[{index}]"), &issuer.transport(), findings);
    }
    for (index, sink) in config.sinks.iter().enumerate() {
        let at = format!("sinks[{index}]");
        if sink.kind == "file"
            && let Some(message) = sink.path.parent().and_then(missing)
        {
            findings.follow(&format!("{at}.path"), &[&format!("{at}.kind")], message);
        }
        way(&at, &sink.way(), findings);
    }
    if config.psa.keys == "static" {
        for (agent, file) in &config.psa.static_keys {
            if let Err(message) = key(file) {
                findings.follow(&format!("psa.static_keys.{agent}"), &["psa.keys"], message);
            }
        }
    }
}

/// The repairs of the PSA's registry: those of its kind, and the operator's file over them.
pub(super) fn repairs(config: &Config, findings: &mut Findings) -> Overlay {
    let below = psa::repairs(&config.psa.kind).unwrap_or_else(|message| {
        findings.follow("psa.kind", &[], message);
        Overlay::default()
    });
    let Some(file) = &config.catalog.overlay_file else { return below };
    let read = std::fs::File::open(file).and_then(|file| {
        let mut text = String::new();
        file.take(OVERLAY_LIMIT).read_to_string(&mut text).map(|_| text)
    });
    let rows = match read {
        Ok(text) => Overlay::read(&text),
        Err(error) => Err(vec![format!("cannot be read: {error}")]),
    };
    rows.map(|rows| rows.over(below)).unwrap_or_else(|wrong| {
        let message = format!("the file {}: {}", file.display(), wrong.join("; "));
        findings.follow("catalog.overlay_file", &["psa.kind"], message);
        Overlay::default()
    })
}

/// What the search understands: the built-in vocabulary, and the operator's file on top.
pub(super) fn vocabulary(config: &Config, findings: &mut Findings) -> Arc<Vocabulary> {
    let Some(file) = &config.search.vocabulary_file else { return Vocabulary::built_in() };
    let read = match std::fs::read_to_string(file) {
        Ok(text) => Vocabulary::extended(&text),
        Err(error) => Err(vec![error.to_string()]),
    };
    read.map(Arc::new).unwrap_or_else(|wrong| {
        for message in wrong {
            findings.own("search.vocabulary_file", format!("{}: {message}", file.display()));
        }
        Vocabulary::built_in()
    })
}

/// What is wrong with a folder in which a file is to be made.
fn missing(folder: &Path) -> Option<String> {
    let there = folder.as_os_str().is_empty() || folder.is_dir();
    (!there).then(|| format!("the folder {} does not exist; make it first", folder.display()))
}

/// The files of the way to a server that the section `at` describes.
fn way(at: &str, way: &Transport, findings: &mut Findings) {
    if let Some(file) = &way.ca_file
        && let Err(message) = authorities(file)
    {
        findings.follow(&format!("{at}.ca_file"), &[], message);
    }
    let (Some(cert), Some(key)) = (&way.client_cert_file, &way.client_key_file) else { return };
    let (cert_key, key_key) = (format!("{at}.client_cert_file"), format!("{at}.client_key_file"));
    super::listeners::pair((&cert_key, cert), (&key_key, key), findings);
}

fn authorities(file: &Path) -> Result<(), String> {
    tls::roots(tls::certificates(file)?).map(drop)
}

fn key(file: &Path) -> Result<(), String> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::fs::File::open(file)
        .and_then(|file| file.take(KEY_LIMIT).read_to_string(&mut text))
        .map_err(|error| format!("the file {} cannot be read: {error}", file.display()))?;
    if text.trim().is_empty() { Err(format!("the file {} is empty", file.display())) } else { Ok(()) }
}
