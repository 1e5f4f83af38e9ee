//! `sidegate import alga`.

use clap::{Args, Subcommand};

use super::{Done, Place, administer};
use crate::app::AppError;
use crate::gate::admin::{Actor, Import, Judged};

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Take over the identity providers and agents of AlgaPSA's own MCP server, with their ids and PSA users.
    Alga(AlgaArguments),
}

#[derive(Debug, Args)]
pub struct AlgaArguments {
    /// Say what would be taken and what not, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub async fn run(at: Place<'_>, command: ImportCommand) -> Done {
    let ImportCommand::Alga(alga) = command;
    let (_, admin) = administer(at).await?;
    let done = admin.import(&Actor::command_line(), alga.dry_run).await;
    let import = done.map_err(|error| AppError(error.to_string()))?;
    if alga.json {
        println!("{}", serde_json::to_string(&import).map_err(|error| AppError(error.to_string()))?);
    } else {
        print!("{}", told(&import));
    }
    Ok(())
}

fn told(import: &Import) -> String {
    let mut text = String::new();
    for (what, all) in [("provider", &import.providers), ("agent", &import.agents)] {
        all.iter().for_each(|judged| text.push_str(&lines(what, judged)));
    }
    let taken =
        |all: &[Judged]| format!("{} of {}", all.iter().filter(|judged| judged.taken).count(), all.len());
    let (providers, agents) = (taken(&import.providers), taken(&import.agents));
    let done = if import.dry_run { "would be taken over; nothing was written" } else { "were taken over" };
    text.push_str(&format!("{providers} providers and {agents} agents {done}\n"));
    text
}

fn lines(what: &str, judged: &Judged) -> String {
    let state = if judged.taken { "take" } else { "leave" };
    let mut text = format!("{state}\t{what}\t{}\t{}", judged.name, judged.id);
    for more in judged.why.iter().chain(&judged.notes) {
        text.push_str("\n\t");
        text.push_str(more);
    }
    text.push('\n');
    text
}
