//! `sidegate keys sweep`.

use std::path::Path;

use clap::Subcommand;

use super::{Done, administer};
use crate::app::AppError;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Remove our expired keys from the PSA.
    Sweep,
}

pub async fn run(config: Option<&Path>, command: KeysCommand) -> Done {
    let KeysCommand::Sweep = command;
    let (_, admin) = administer(config).await?;
    let removed = admin.sweep_keys().await.map_err(|error| AppError(error.to_string()))?;
    println!("{removed} expired keys removed");
    Ok(())
}
