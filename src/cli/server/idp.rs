//! `sidegate idp add|list`.

use clap::{Args, Subcommand};

use super::{Done, Place, administer};
use crate::app::AppError;
use crate::gate::admin::Actor;
use crate::identity::preset::ProviderSpec;
use crate::identity::scopes::RequiredScopes;
use crate::identity::trust::TrustedIssuer;

#[derive(Debug, Subcommand)]
pub enum IdpCommand {
    /// Trust an issuer, after fetching its metadata and keys once.
    Add(AddArguments),
    /// Show all trusted issuers.
    List,
}

#[derive(Debug, Args)]
pub struct AddArguments {
    /// The `iss` of its tokens, exactly.
    issuer: String,
    /// Where its keys are, where discovery is not to be used.
    #[arg(long)]
    jwks_uri: Option<String>,
    /// An audience accepted beside this server's own URL; may be repeated.
    #[arg(long = "audience")]
    audiences: Vec<String>,
    /// The claim that names the agent.
    #[arg(long, default_value = "sub")]
    subject_claim: String,
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
    /// Do not contact the issuer now.
    #[arg(long)]
    skip_probe: bool,
}

pub async fn run(at: Place<'_>, command: IdpCommand) -> Done {
    let (_, admin) = administer(at).await?;
    let failed = |error: crate::gate::admin::AdminError| AppError(error.to_string());
    match command {
        IdpCommand::Add(add) => {
            let trusted = TrustedIssuer {
                issuer: add.issuer,
                jwks_uri: add.jwks_uri,
                audiences: add.audiences,
                subject_claim: add.subject_claim,
                max_age: add.max_age,
                leeway: add.leeway,
                required_scopes: RequiredScopes {
                    read: add.read_scopes,
                    write: add.write_scopes,
                    destroy: add.destroy_scopes,
                },
                require_bound_tokens: add.require_bound_tokens,
                ..TrustedIssuer::default()
            };
            let name = trusted.issuer.clone();
            let spec = ProviderSpec::of(&trusted);
            let added = admin.add_provider(&Actor::command_line(), &spec, !add.skip_probe).await;
            match added.map_err(failed)?.1 {
                Some(found) => {
                    println!("issuer {name} is trusted: {} keys at {}", found.keys, found.jwks_uri)
                }
                None => println!("issuer {name} is trusted; it was not contacted"),
            }
        }
        IdpCommand::List => {
            for row in admin.issuers().await.map_err(failed)? {
                let state = if row.active { "trusted" } else { "off" };
                let keys = row.jwks_uri.as_deref().unwrap_or("by discovery");
                let bound = if row.require_bound_tokens { "\tbound tokens only" } else { "" };
                println!(
                    "{}\t{state}\tsubject claim {}\tkeys {keys}\tscopes {}{bound}",
                    row.issuer,
                    row.subject_claim,
                    asked(&row.required_scopes)
                );
            }
        }
    }
    Ok(())
}

/// `read: psa.read; write: psa.write`, or `none`.
fn asked(required: &RequiredScopes) -> String {
    let lists = required.lists().into_iter().filter(|(_, scopes)| !scopes.is_empty());
    let lists: Vec<_> = lists.map(|(list, scopes)| format!("{list}: {}", scopes.join(" "))).collect();
    if lists.is_empty() { "none".to_owned() } else { lists.join("; ") }
}
