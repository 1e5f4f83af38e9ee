//! `sidegate idp add|list|set|remove|explain`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Done, Place, administer, load, place};
use crate::app::{self, AppError};
use crate::gate::admin::{Actor, AdminError};
use crate::identity::guide::{self, GUIDES};
use crate::identity::preset::{Preset, ProviderChange, ProviderSpec};
use crate::identity::scopes::RequiredScopes;
use crate::store::IssuerRow;

#[derive(Debug, Subcommand)]
pub enum IdpCommand {
    /// Trust an issuer, after fetching its metadata and keys once.
    Add(Box<AddArguments>),
    /// Show all trusted issuers.
    List,
    /// Change what is said of an issuer; what is not named stays as it is.
    Set(Box<SetArguments>),
    /// Trust an issuer no longer: its agents are refused from now on, and stay.
    Remove(WhichArguments),
    /// Say what to create at a provider, and which claim of its tokens names an agent.
    Explain(ExplainArguments),
}

#[derive(Debug, Args)]
pub struct AddArguments {
    /// The `iss` of its tokens, exactly; google and microsoft have their own.
    #[arg(required_unless_present = "preset")]
    issuer: Option<String>,
    /// The provider: google (nothing else is needed), microsoft (with --entra-tenant-id) or custom.
    #[arg(long, value_parser = PossibleValuesParser::new(Preset::ALL.map(Preset::as_str)))]
    preset: Option<String>,
    /// The id of the directory (tenant) in Entra, a GUID.
    #[arg(long)]
    entra_tenant_id: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// Do not contact the issuer now.
    #[arg(long)]
    skip_probe: bool,
}

/// How the issuer's tokens are read and what they must say.
#[derive(Debug, Args)]
struct Terms {
    /// Where its keys are, where discovery is not to be used.
    #[arg(long)]
    jwks_uri: Option<String>,
    /// An audience accepted beside this server's own URL; may be repeated.
    #[arg(long = "audience")]
    audiences: Vec<String>,
    /// The claim that names the agent; without it sub, and azp for microsoft.
    #[arg(long)]
    subject_claim: Option<String>,
    /// The oldest token to accept, in seconds since it was issued.
    #[arg(long)]
    max_age: Option<i64>,
    /// Tolerated clock difference in seconds.
    #[arg(long, default_value_t = 60)]
    leeway: i64,
    /// A scope that its tokens need for whatever reads; may be repeated, as the next two.
    #[arg(long = "read-scope")]
    read_scopes: Vec<String>,
    /// A scope that its tokens need for whatever changes something.
    #[arg(long = "write-scope")]
    write_scopes: Vec<String>,
    /// A scope that its tokens need for whatever removes something.
    #[arg(long = "destroy-scope")]
    destroy_scopes: Vec<String>,
    /// Refuse tokens that are not bound to a TLS client certificate (RFC 8705).
    #[arg(long)]
    require_bound_tokens: bool,
}

#[derive(Debug, Args)]
pub struct WhichArguments {
    /// The issuer's `iss`, or its id.
    issuer: String,
}

#[derive(Debug, Args)]
pub struct SetArguments {
    #[command(flatten)]
    which: WhichArguments,
    /// Where its keys are; `discovery` finds out again.
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// An audience accepted beside this server's own URL; may be repeated. Those of before are dropped.
    #[arg(long = "audience")]
    audiences: Option<Vec<String>>,
    /// No audience but this server's own URL.
    #[arg(long, conflicts_with = "audiences")]
    no_audience: bool,
    /// The claim that names the agent.
    #[arg(long)]
    subject_claim: Option<String>,
    /// The oldest token to accept, in seconds since it was issued; 0 for any.
    #[arg(long)]
    max_age: Option<i64>,
    /// Tolerated clock difference in seconds.
    #[arg(long)]
    leeway: Option<i64>,
    /// Refuse tokens that are not bound to a TLS client certificate (RFC 8705), or no longer.
    #[arg(long, value_name = "BOOL")]
    require_bound_tokens: Option<bool>,
    /// false: refuse its tokens for now.
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
}

impl SetArguments {
    fn change(self) -> ProviderChange {
        ProviderChange {
            jwks_uri: self.jwks_uri.map(|uri| Some(uri).filter(|uri| uri != "discovery")),
            audiences: if self.no_audience { Some(Vec::new()) } else { self.audiences },
            subject_claim: self.subject_claim,
            max_age: self.max_age.map(|age| Some(age).filter(|age| *age != 0)),
            leeway: self.leeway,
            require_bound_tokens: self.require_bound_tokens,
            active: self.active,
            ..ProviderChange::default()
        }
    }
}

#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The provider.
    #[arg(value_name = "KIND", value_parser = PossibleValuesParser::new(GUIDES.iter().map(|guide| guide.provider)))]
    provider: String,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

impl AddArguments {
    fn spec(self) -> ProviderSpec {
        let terms = self.terms;
        ProviderSpec {
            kind: self.preset.as_deref().and_then(Preset::parse).unwrap_or_default(),
            entra_tenant_id: self.entra_tenant_id,
            issuer: self.issuer,
            jwks_uri: terms.jwks_uri,
            audiences: terms.audiences,
            subject_claim: terms.subject_claim,
            aliases: Vec::new(),
            max_age: terms.max_age,
            leeway: terms.leeway,
            required_scopes: RequiredScopes {
                read: terms.read_scopes,
                write: terms.write_scopes,
                destroy: terms.destroy_scopes,
            },
            require_bound_tokens: terms.require_bound_tokens,
        }
    }
}

pub async fn run(at: Place<'_>, command: IdpCommand) -> Done {
    match command {
        IdpCommand::Add(arguments) => add(at, *arguments).await,
        IdpCommand::List => list(at).await,
        IdpCommand::Set(arguments) => set(at, *arguments).await,
        IdpCommand::Remove(arguments) => remove(at, &arguments.issuer).await,
        IdpCommand::Explain(arguments) => explain(at, &arguments),
    }
}

fn failed(error: AdminError) -> AppError {
    AppError(error.to_string())
}

async fn add(at: Place<'_>, arguments: AddArguments) -> Done {
    let (_, admin) = administer(at).await?;
    let probe = !arguments.skip_probe;
    let added = admin.add_provider(&Actor::command_line(), &arguments.spec(), probe).await;
    let (row, found) = added.map_err(failed)?;
    match found {
        Some(found) => {
            println!("issuer {} is trusted: {} keys at {}", row.issuer, found.keys, found.jwks_uri)
        }
        None => println!("issuer {} is trusted; it was not contacted", row.issuer),
    }
    Ok(())
}

async fn set(at: Place<'_>, arguments: SetArguments) -> Done {
    let (_, admin) = administer(at).await?;
    let issuer = arguments.which.issuer.clone();
    let changed = admin.change_provider(&Actor::command_line(), &issuer, &arguments.change()).await;
    println!("{}", line(&changed.map_err(failed)?));
    Ok(())
}

async fn remove(at: Place<'_>, issuer: &str) -> Done {
    let (_, admin) = administer(at).await?;
    let removed = admin.remove_provider(&Actor::command_line(), issuer).await.map_err(failed)?;
    println!(
        "issuer {} is trusted no longer; its agents are refused until it is added again",
        removed.issuer
    );
    Ok(())
}

async fn list(at: Place<'_>) -> Done {
    let (_, admin) = administer(at).await?;
    for row in admin.issuers().await.map_err(failed)? {
        println!("{}", line(&row));
    }
    Ok(())
}

/// What is said of a provider, on one line.
fn line(row: &IssuerRow) -> String {
    let state = if row.active { "trusted" } else { "off" };
    let keys = row.jwks_uri.as_deref().unwrap_or("by discovery");
    let bound = if row.require_bound_tokens { "\tbound tokens only" } else { "" };
    let audiences = if row.audiences.is_empty() {
        String::new()
    } else {
        format!("\taudiences {}", row.audiences.join(" "))
    };
    format!(
        "{}\t{state}\tsubject claim {}\tkeys {keys}\tscopes {}{audiences}{bound}",
        row.issuer,
        row.subject_claim,
        asked(&row.required_scopes)
    )
}

/// `read: psa.read; write: psa.write`, or `none`.
fn asked(required: &RequiredScopes) -> String {
    let lists = required.lists().into_iter().filter(|(_, scopes)| !scopes.is_empty());
    let lists: Vec<_> = lists.map(|(list, scopes)| format!("{list}: {}", scopes.join(" "))).collect();
    if lists.is_empty() { "none".to_owned() } else { lists.join("; ") }
}

/// Needs no configuration; where there is a good one, the guide names this server's own URL.
fn explain(at: Place<'_>, arguments: &ExplainArguments) -> Done {
    let known = guide::of(&arguments.provider);
    let guide = known.ok_or_else(|| AppError(format!("there is no guide for {}", arguments.provider)))?;
    let config = if place(at.config).is_some() { load(at.config).ok() } else { None };
    // A further tenant's URL is known to the store alone, which is not opened for a guide.
    let resource = config.filter(|_| at.tenant.is_none()).map(|config| app::main_resource(&config));
    let endpoint = "the URL of the MCP endpoint";
    let resource = resource.as_ref().map_or(endpoint, |resource| resource.identifier());
    let told = guide.json(Some(resource));
    if arguments.json {
        println!("{told}");
    } else {
        print!("{}", in_lines(&told));
    }
    Ok(())
}

/// The guide for a terminal.
fn in_lines(told: &Value) -> String {
    let text = |at: &str| told.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![
        format!("{} (preset {})", text("/title"), text("/preset")),
        format!("issuer     {}", text("/issuer")),
        format!("audience   {}", text("/audience")),
    ];
    for way in told.get("ways").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| way.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push(String::new());
        lines.push(format!("{} agents: the claim {} names the agent", text("kind"), text("subject_claim")));
        lines.push(format!("  subject  {}", text("subject")));
        let steps = way.get("steps").and_then(Value::as_array).into_iter().flatten();
        lines.extend(
            steps
                .enumerate()
                .map(|(at, step)| format!("  {}. {}", at + 1, step.as_str().unwrap_or_default())),
        );
    }
    lines.push(String::new());
    lines.push(format!("Beware: {}", text("/beware")));
    lines.join("\n") + "\n"
}
