//! `sidegate check`: every problem of the configuration at once, with file and key.

use std::path::Path;

use super::init::PLACEHOLDER;
use super::{Done, load, place};
use crate::psa::PsaConfig;

pub fn run(config: Option<&Path>) -> Done {
    let loaded = load(config)?;
    match place(config) {
        Some(path) => println!("{}: no problems", path.display()),
        None => println!("no configuration file; defaults and environment have no problems"),
    }
    for key in still_to_come(&loaded.psa) {
        println!("still to do: {key} names a file without a key yet; put one there");
    }
    Ok(())
}

/// The keys of `[psa]` whose files hold what `init` put there.
fn still_to_come(psa: &PsaConfig) -> Vec<String> {
    let catalog = psa.catalog_key.expose().trim() == PLACEHOLDER;
    let agents = psa.static_keys.iter().filter(|(_, file)| {
        let text = std::fs::read_to_string(file).map(zeroize::Zeroizing::new);
        psa.keys == "static" && text.is_ok_and(|text| text.trim() == PLACEHOLDER)
    });
    let catalog = catalog.then(|| "psa.catalog_key_file".to_owned());
    catalog.into_iter().chain(agents.map(|(agent, _)| format!("psa.static_keys.{agent}"))).collect()
}
