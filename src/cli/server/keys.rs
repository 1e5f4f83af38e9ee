//! `sidegate keys sweep`.

use clap::Subcommand;

use super::{Done, Place, administer};
use crate::app::AppError;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Remove our expired keys from the PSA.
    Sweep,
}

pub async fn run(at: Place<'_>, command: KeysCommand) -> Done {
    let KeysCommand::Sweep = command;
    let (_, admin) = administer(at).await?;
    let removed = admin.sweep_keys().await.map_err(|error| AppError(error.to_string()))?;
    println!("{removed} expired keys removed");
    Ok(())
}
