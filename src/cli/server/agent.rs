//! `sidegate agent add|list|disable|enable`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{Done, administer};
use crate::app::AppError;
use crate::gate::admin::AgentSpec;
use crate::store::{AgentRow, ManagedBy};
use crate::tool::effect::Effect;
use crate::units::Span;

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Bind an issuer's subject to a new agent.
    Add(AddArguments),
    /// Show all agents.
    List(ListArguments),
    /// Switch an agent off, at once.
    Disable(WhichArguments),
    /// Switch an agent on again that was disabled here.
    Enable(WhichArguments),
}

#[derive(Debug, Args)]
pub struct AddArguments {
    /// A name, unique within the tenant.
    name: String,
    /// The issuer of its tokens, one of `sidegate idp list`.
    #[arg(long)]
    issuer: String,
    /// The subject of its tokens, as the issuer's subject claim has it.
    #[arg(long)]
    subject: String,
    /// The most it may do: read, write or destroy.
    #[arg(long, value_parser = effect)]
    max_effect: Option<Effect>,
    /// The longest that one of its calls may take, such as 30s or 2h.
    #[arg(long, value_parser = span)]
    call_timeout: Option<Span>,
    /// The id of the PSA user whose permissions apply.
    #[arg(long, conflicts_with = "provision")]
    psa_user: Option<String>,
    /// Make a PSA user for it, with the given roles.
    #[arg(long, requires = "roles")]
    provision: bool,
    /// A PSA role of that user, by name; may be repeated.
    #[arg(long = "role")]
    roles: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct WhichArguments {
    /// The agent's name or id.
    agent: String,
}

fn effect(text: &str) -> Result<Effect, String> {
    Effect::parse(text).ok_or_else(|| "write read, write or destroy".to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    text.parse()
}

pub async fn run(config: Option<&Path>, command: AgentCommand) -> Done {
    let (_, admin) = administer(config).await?;
    let failed = |error: crate::gate::admin::AdminError| AppError(error.to_string());
    match command {
        AgentCommand::Add(add) => {
            let spec = AgentSpec {
                name: add.name,
                issuer: add.issuer,
                subject: add.subject,
                max_effect: add.max_effect,
                call_timeout: add.call_timeout,
                psa_user: add.psa_user,
                provision: add.provision,
                roles: add.roles,
                active: true,
            };
            let row = admin.add_agent(&spec).await.map_err(failed)?;
            println!("agent `{}` added: {}", row.name, row.id);
        }
        AgentCommand::List(list) => {
            for row in admin.agents().await.map_err(failed)? {
                println!("{}", if list.json { json(&row) } else { line(&row) });
            }
        }
        AgentCommand::Disable(which) => {
            let row = admin.disable_agent(&which.agent).await.map_err(failed)?;
            println!("agent `{}` is switched off", row.name);
        }
        AgentCommand::Enable(which) => {
            let row = admin.enable_agent(&which.agent).await.map_err(failed)?;
            if row.retired_at.is_some() {
                println!(
                    "agent `{}` may be added again; it stays off, since the configuration file names it no longer",
                    row.name
                );
            } else {
                println!("agent `{}` is switched on", row.name);
            }
        }
    }
    Ok(())
}

fn kept_by(row: &AgentRow) -> &'static str {
    match (row.managed_by, row.retired_at) {
        (ManagedBy::Config, None) => "kept by configuration file",
        (ManagedBy::Config, Some(_)) => "dropped from configuration file",
        (ManagedBy::Admin, _) => "kept by administrator",
    }
}

fn line(row: &AgentRow) -> String {
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}",
        row.name,
        if row.is_on() { "on" } else { "off" },
        row.max_effect.as_deref().unwrap_or("default"),
        row.issuer,
        row.subject,
        row.id,
        kept_by(row)
    )
}

fn json(row: &AgentRow) -> String {
    serde_json::json!({
        "id": row.id, "name": row.name, "active": row.is_on(), "issuer": row.issuer, "subject": row.subject,
        "max_effect": row.max_effect,
        "call_timeout_ms": row.call_timeout, "psa_user": row.psa_user, "managed_by": row.managed_by.as_str(),
        "retired": row.retired_at.is_some(),
    })
    .to_string()
}
