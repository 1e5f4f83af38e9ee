//! `sidegate admin-token create|list|revoke`.

use clap::{Args, Subcommand};

use super::{Done, Place, administer_all};
use crate::app::AppError;
use crate::clock::rfc3339;
use crate::gate::admin::{Actor, AdminError, AdminTokenRow, TokenSpec};
use crate::units::Span;

#[derive(Debug, Subcommand)]
pub enum AdminTokenCommand {
    /// Make a token for the administrators' interface and print it, this once. With --tenant it administers that
    /// tenant alone.
    Create(CreateArguments),
    /// Show all tokens, without themselves.
    List(ListArguments),
    /// End a token, from the next request on.
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Who or what it is for; the record of what is done with it says so.
    #[arg(long)]
    name: String,
    /// How long it is good, such as 12h or 90d; without it until it is revoked.
    #[arg(long, value_parser = span)]
    expires: Option<Span>,
    /// One JSON object instead of the bare token.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// The token's name or id.
    token: String,
}

fn span(text: &str) -> Result<Span, String> {
    text.parse()
}

pub async fn run(at: Place<'_>, command: AdminTokenCommand) -> Done {
    let admins = administer_all(at.config).await?;
    let failed = |error: AdminError| AppError(error.to_string());
    let actor = Actor::command_line();
    match command {
        AdminTokenCommand::Create(create) => {
            let tenant = at.tenant.map(str::to_owned);
            let spec = TokenSpec { name: create.name, tenant, lifetime: create.expires };
            let (row, token) = admins.create_admin_token(&actor, &spec).await.map_err(failed)?;
            if create.json {
                let mut shown = json(&row);
                shown["token"] = token.expose().into();
                println!("{shown}");
            } else {
                println!("{}", token.expose());
            }
        }
        AdminTokenCommand::List(list) => {
            let tenant = match at.tenant {
                Some(which) => Some(admins.tenant(which).await.map_err(failed)?.id),
                None => None,
            };
            let mut rows = admins.admin_tokens().await.map_err(failed)?;
            rows.retain(|row| tenant.is_none() || row.tenant_id == tenant);
            for row in rows {
                println!("{}", if list.json { json(&row).to_string() } else { line(&row) });
            }
        }
        AdminTokenCommand::Revoke(revoke) => {
            let row = admins.revoke_admin_token(&actor, &revoke.token).await.map_err(failed)?;
            println!("token `{}` is revoked", row.name);
        }
    }
    Ok(())
}

fn line(row: &AdminTokenRow) -> String {
    let state = match (row.revoked_at, row.expires_at) {
        (Some(at), _) => format!("revoked {}", rfc3339(at)),
        (None, Some(at)) => format!("until {}", rfc3339(at)),
        (None, None) => "until revoked".to_owned(),
    };
    let used = row.last_used_at.map_or("never used".to_owned(), |at| format!("last used {}", rfc3339(at)));
    let tenant = row.tenant_id.as_deref().unwrap_or("every tenant");
    format!("{}\t{tenant}\t{state}\t{used}\t{}", row.name, row.id)
}

fn json(row: &AdminTokenRow) -> serde_json::Value {
    let time = |at: Option<i64>| at.map(rfc3339);
    serde_json::json!({
        "id": row.id, "name": row.name, "tenant": row.tenant_id, "created_at": rfc3339(row.created_at),
        "expires_at": time(row.expires_at), "revoked_at": time(row.revoked_at),
        "last_used_at": time(row.last_used_at),
    })
}
