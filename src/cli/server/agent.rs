//! `sidegate agent add|list|set|roles|disable|enable|rotate-keys|revoke-keys|delete`.

use clap::{Args, Subcommand};

use super::{Done, Place, administer};
use crate::app::AppError;
use crate::gate::admin::{Actor, AgentChange, AgentRow, AgentSpec, ManagedBy, PsaUserLeft, warnings};
use crate::identity::kind::AgentKind;
use crate::tool::effect::Effect;
use crate::units::Span;

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Bind an issuer's subject to a new agent.
    Add(AddArguments),
    /// Show all agents.
    List(ListArguments),
    /// Change what is said of an agent.
    Set(SetArguments),
    /// Show the roles of an agent's PSA user, or give it exactly those that are named.
    Roles(RolesArguments),
    /// Have every server mint a new key for an agent; no call fails meanwhile.
    RotateKeys(WhichArguments),
    /// End all keys of an agent at once, because one may have been seen.
    RevokeKeys(WhichArguments),
    /// Remove an agent, and the PSA user that was made for it; what it did stays on record.
    Delete(WhichArguments),
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
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Whose tokens it acts with: interactive (a person's) or unattended (an application's own); without it, either.
    #[arg(long, value_parser = kind)]
    kind: Option<AgentKind>,
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
#[group(required = true, multiple = true, id = "changes", args = ["name", "description", "kind", "issuer", "subject", "max_effect", "call_timeout", "psa_user"])]
pub struct SetArguments {
    /// The agent's name or id.
    agent: String,
    /// Another name.
    #[arg(long)]
    name: Option<String>,
    /// What it is for.
    #[arg(long)]
    description: Option<String>,
    /// Whose tokens it acts with: interactive or unattended.
    #[arg(long, value_parser = kind)]
    kind: Option<AgentKind>,
    /// Another issuer of its tokens.
    #[arg(long)]
    issuer: Option<String>,
    /// Another subject of its tokens.
    #[arg(long)]
    subject: Option<String>,
    /// The most it may do: read, write or destroy.
    #[arg(long, value_parser = effect)]
    max_effect: Option<Effect>,
    /// The longest that one of its calls may take.
    #[arg(long, value_parser = span)]
    call_timeout: Option<Span>,
    /// The id of the PSA user whose permissions apply, from the next call on.
    #[arg(long)]
    psa_user: Option<String>,
}

#[derive(Debug, Args)]
pub struct RolesArguments {
    /// The agent's name or id.
    agent: String,
    /// A role by name or id; may be repeated. None: the roles are shown.
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

fn kind(text: &str) -> Result<AgentKind, String> {
    AgentKind::parse(text).ok_or_else(|| "write interactive or unattended".to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    text.parse()
}

pub async fn run(at: Place<'_>, command: AgentCommand) -> Done {
    let (_, admin) = administer(at).await?;
    let failed = |error: crate::gate::admin::AdminError| AppError(error.to_string());
    let actor = Actor::command_line();
    match command {
        AgentCommand::Add(add) => {
            let spec = AgentSpec {
                name: add.name,
                description: add.description,
                kind: add.kind,
                issuer: add.issuer,
                subject: add.subject,
                max_effect: add.max_effect,
                call_timeout: add.call_timeout,
                psa_user: add.psa_user,
                provision: add.provision,
                roles: add.roles,
                active: true,
            };
            let row = admin.add_agent(&actor, &spec).await.map_err(failed)?;
            println!("agent `{}` added: {}", row.name, row.id);
            warn(&row);
        }
        AgentCommand::List(list) => {
            for row in admin.agents().await.map_err(failed)? {
                println!("{}", if list.json { json(&row) } else { line(&row) });
            }
        }
        AgentCommand::Set(set) => {
            let change = AgentChange {
                name: set.name,
                description: set.description.map(Some),
                kind: set.kind.map(Some),
                issuer: set.issuer,
                subject: set.subject,
                max_effect: set.max_effect.map(Some),
                call_timeout: set.call_timeout.map(Some),
                psa_user: set.psa_user.map(Some),
            };
            let row = admin.change_agent(&actor, &set.agent, &change).await.map_err(failed)?;
            println!("{}", line(&row));
        }
        AgentCommand::Roles(roles) if roles.roles.is_empty() => {
            for role in admin.agent_roles(&roles.agent).await.map_err(failed)? {
                println!("{}\t{}", role.name, role.role_id);
            }
        }
        AgentCommand::Roles(roles) => {
            let row = admin.set_agent_roles(&actor, &roles.agent, &roles.roles).await.map_err(failed)?;
            println!("agent `{}` has the roles {}", row.name, row.roles.join(", "));
            warn(&row);
        }
        AgentCommand::RotateKeys(which) => {
            let row = admin.rotate_keys(&actor, &which.agent).await.map_err(failed)?;
            println!("agent `{}` has new keys with its next call", row.name);
        }
        AgentCommand::RevokeKeys(which) => {
            let count = admin.revoke_keys(&actor, &which.agent).await.map_err(failed)?;
            println!("{count} keys revoked");
        }
        AgentCommand::Delete(which) => {
            let gone = admin.delete_agent(&actor, &which.agent).await.map_err(failed)?;
            println!("agent `{}` is deleted; {}", gone.row.name, left(&gone.psa_user));
        }
        AgentCommand::Disable(which) => {
            let row = admin.disable_agent(&actor, &which.agent).await.map_err(failed)?;
            println!("agent `{}` is switched off", row.name);
        }
        AgentCommand::Enable(which) => {
            let row = admin.enable_agent(&actor, &which.agent).await.map_err(failed)?;
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

/// Says on standard error what an administrator should know of an agent's roles.
fn warn(row: &AgentRow) {
    for warning in warnings(row) {
        eprintln!("sidegate: agent `{}`: {warning}", row.name);
    }
}

/// What became of the PSA user behind it, for people.
fn left(user: &PsaUserLeft) -> String {
    match user {
        PsaUserLeft::Removed => "its PSA user is removed".to_owned(),
        PsaUserLeft::Deactivated { why } => format!("its PSA user is switched off, since {why}"),
        PsaUserLeft::Kept => "no PSA user was made for it".to_owned(),
        PsaUserLeft::Failed { why } => format!("its PSA user is still there ({why}); remove it in the PSA"),
    }
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
