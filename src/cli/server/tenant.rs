//! `sidegate tenant add|list|set`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{Done, administer_all};
use crate::app::AppError;
use crate::gate::admin::{Actor, AdminError, TenantChange, TenantRow, TenantSpec};

#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Serve a further tenant; running servers open it within a second.
    Add(AddArguments),
    /// Show all tenants.
    List(ListArguments),
    /// Change a tenant, or switch its endpoint or its console on or off.
    Set(SetArguments),
}

#[derive(Debug, Args)]
pub struct AddArguments {
    /// What rows and records call it, and its path: /t/ID/api/mcp, unless --host is given.
    id: String,
    /// Its name, for people.
    #[arg(long, default_value = "")]
    name: String,
    /// Its host, as host or host:port, instead of a path below the main one.
    #[arg(long)]
    host: Option<String>,
    /// Its UUID in the PSA; without it, the main tenant's.
    #[arg(long)]
    psa_tenant: Option<String>,
    /// The id of the PSA user for whom the key is minted that its registry is fetched under.
    #[arg(long)]
    catalog_user: Option<String>,
}

#[derive(Debug, Args)]
pub struct ListArguments {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true, id = "changes", args = ["name", "host", "no_host", "psa_tenant", "catalog_user", "mcp", "console", "active"])]
pub struct SetArguments {
    /// Its id or slug.
    tenant: String,
    /// Its name, for people.
    #[arg(long)]
    name: Option<String>,
    /// Its host, as host or host:port.
    #[arg(long, conflicts_with = "no_host")]
    host: Option<String>,
    /// Reach it at /t/ID again.
    #[arg(long)]
    no_host: bool,
    /// Its UUID in the PSA.
    #[arg(long)]
    psa_tenant: Option<String>,
    /// The id of the PSA user for whom the registry's key is minted.
    #[arg(long)]
    catalog_user: Option<String>,
    /// Whether MCP is served to it.
    #[arg(long, value_name = "BOOL")]
    mcp: Option<bool>,
    /// Whether the console is served to it; the API is in any case.
    #[arg(long, value_name = "BOOL")]
    console: Option<bool>,
    /// Whether anything of it is served at all.
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
}

pub async fn run(config: Option<&Path>, command: TenantCommand) -> Done {
    let admins = administer_all(config).await?;
    let failed = |error: AdminError| AppError(error.to_string());
    let actor = Actor::command_line();
    match command {
        TenantCommand::Add(add) => {
            let spec = TenantSpec {
                id: Some(add.id.clone()),
                name: add.name,
                slug: Some(add.id),
                host: add.host,
                psa_tenant: add.psa_tenant,
                catalog_user: add.catalog_user,
            };
            let row = admins.add_tenant(&actor, &spec).await.map_err(failed)?;
            println!("tenant `{}` added: {}", row.id, place(&row));
        }
        TenantCommand::List(list) => {
            for row in admins.tenants().await.map_err(failed)? {
                println!("{}", if list.json { json(&row) } else { line(&row) });
            }
        }
        TenantCommand::Set(set) => {
            let change = TenantChange {
                name: set.name,
                slug: None,
                host: if set.no_host { Some(None) } else { set.host.map(Some) },
                psa_tenant: set.psa_tenant.map(Some),
                catalog_user: set.catalog_user.map(Some),
                mcp: set.mcp,
                console: set.console,
                active: set.active,
            };
            let row = admins.change_tenant(&actor, &set.tenant, &change).await.map_err(failed)?;
            println!("{}", line(&row));
        }
    }
    Ok(())
}

/// Where it is reached.
fn place(row: &TenantRow) -> String {
    match (&row.host, &row.slug) {
        (Some(host), _) => format!("https://{host}"),
        (None, Some(slug)) => format!("/t/{slug}"),
        (None, None) => "the main address".to_owned(),
    }
}

fn line(row: &TenantRow) -> String {
    let on = |on: bool| if on { "on" } else { "off" };
    format!(
        "{}\t{}\t{}\tMCP {}\tconsole {}\t{}",
        row.id,
        on(row.active),
        place(row),
        on(row.mcp),
        on(row.console),
        row.name
    )
}

fn json(row: &TenantRow) -> String {
    serde_json::json!({
        "id": row.id, "name": row.name, "slug": row.slug, "host": row.host, "psa_tenant": row.psa_tenant,
        "catalog_user": row.catalog_user, "mcp": row.mcp, "console": row.console, "active": row.active,
    })
    .to_string()
}
