//! `sidegate check`: every problem of the configuration at once, with file and key.

use std::path::Path;

use super::{Done, load, place};

pub fn run(config: Option<&Path>) -> Done {
    load(config)?;
    match place(config) {
        Some(path) => println!("{}: no problems", path.display()),
        None => println!("no configuration file; defaults and environment have no problems"),
    }
    Ok(())
}
