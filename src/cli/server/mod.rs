//! The server's commands: each is a thin file that calls the gate or the app.

mod admin_token;
mod agent;
mod audit;
mod check;
mod demo;
mod idp;
mod import;
mod init;
mod keys;
mod local;
mod logging;
mod serve;
mod store;
mod tenant;
mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::app::{self, AppError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::gate::admin::{Admin, Admins};
use crate::store::Store;
use crate::tool::catalog::Catalog;

/// Where the configuration is looked for when none is named.
const USUAL_PLACES: [&str; 2] = ["sidegate.toml", "/etc/sidegate/sidegate.toml"];

/// What all of them take.
#[derive(Debug, Args)]
pub struct Options {
    /// The configuration file; without it ./sidegate.toml, then /etc/sidegate/sidegate.toml.
    #[arg(long, global = true, env = "SIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant that a command is about, by id or slug; without it the one of the configuration file.
    #[arg(long, global = true, env = "SIDEGATE_TENANT", value_name = "TENANT")]
    tenant: Option<String>,
}

/// What most commands need of the options.
#[derive(Clone, Copy)]
struct Place<'a> {
    config: Option<&'a Path>,
    tenant: Option<&'a str>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP in front of the PSA.
    Serve,
    /// Try everything on this machine: a demo PSA, an issuer and Sidegate in front of them.
    Demo(demo::DemoArguments),
    /// Write a first configuration: asks for what is not given as a flag, and tries each answer.
    Init(init::InitArguments),
    /// Report every problem of the configuration at once.
    Check,
    /// Add, list and switch agents.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Add and list trusted identity providers.
    #[command(subcommand)]
    Idp(idp::IdpCommand),
    /// Add, list and change tenants beside the one of the configuration file.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Make, list and revoke tokens for the administrators' interface.
    #[command(subcommand)]
    AdminToken(admin_token::AdminTokenCommand),
    /// Take over what another MCP server in front of the PSA knows.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Explain a token, or get a new one from the running demo.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Look after the PSA keys that were minted.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Export the record, follow it, and check it or a copy of it.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look after Sidegate's own tables: bring them up to date, show how far they are, copy them elsewhere.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Ask the server that runs here whether it is ready; for containers without a shell.
    Health(local::HealthArguments),
    /// Have the server that runs here refuse new calls and finish those in flight, before it is stopped.
    Drain(local::DrainArguments),
}

/// What a command ends with: nothing, or words for the operator.
type Done = Result<(), AppError>;

/// Runs one command; complaints go to standard error.
pub async fn run(options: Options, command: Command) -> ExitCode {
    let config = options.config.as_deref();
    let at = Place { config, tenant: options.tenant.as_deref() };
    let done = match command {
        Command::Audit(command) => return audit::run(at, command).await,
        Command::Serve => serve::run(config).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Init(arguments) => init::run(config, arguments).await,
        Command::Check => check::run(config),
        Command::Agent(command) => agent::run(at, command).await,
        Command::Idp(command) => idp::run(at, command).await,
        Command::Tenant(command) => tenant::run(config, command).await,
        Command::AdminToken(command) => admin_token::run(at, command).await,
        Command::Import(command) => import::run(at, command).await,
        Command::Token(command) => token::run(at, command).await,
        Command::Keys(command) => keys::run(at, command).await,
        Command::Store(command) => store::run(config, command).await,
        Command::Health(arguments) => local::health(config, arguments).await,
        Command::Drain(arguments) => local::drain(config, arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(AppError(message)) => {
            eprintln!("sidegate: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration file to read: the one that is named, else the first usual place that is there.
fn place(named: Option<&Path>) -> Option<PathBuf> {
    named
        .map(Path::to_path_buf)
        .or_else(|| USUAL_PLACES.iter().map(PathBuf::from).find(|path| path.is_file()))
}

/// The configuration, or every problem of it.
fn load(named: Option<&Path>) -> Result<Config, AppError> {
    config::load(place(named).as_deref(), config::environment())
        .map_err(|problems| AppError(format!("the configuration cannot be used\n{problems}")))
}

/// The administrator's verbs on the configured store. The configuration file's own agents and
/// issuers are not applied here: only `serve` does that, so that a command that is run with
/// another file switches nobody off.
async fn administer(at: Place<'_>) -> Result<(Config, Admin), AppError> {
    let config = load(at.config)?;
    logging::start(&config.log);
    let admin = app::admin(&config, Clock::System, at.tenant).await?;
    Ok((config, admin))
}

/// What the server was given last by the PSA, under its own rules; nothing is asked of the PSA.
pub(super) async fn kept_catalog(options: &Options) -> Result<Catalog, String> {
    let config = load(options.config.as_deref())
        .map_err(|AppError(wrong)| format!("{wrong}\n--registry names a registry's file instead"))?;
    logging::start(&config.log);
    let store = Store::open(&config.store, Clock::System).await.map_err(|error| error.to_string())?;
    let which = options.tenant.as_deref().unwrap_or(&config.tenant.id);
    let rows = store.tenants().await.map_err(|error| error.to_string())?;
    let row = rows.into_iter().find(|row| row.goes_by(which));
    let row = row.ok_or_else(|| format!("--tenant: there is no tenant `{which}`"))?;
    let kept = store.catalog(&row.id).await.map_err(|error| error.to_string())?;
    let kept =
        kept.ok_or("the server has fetched no registry yet; start it once, or name a file with --registry")?;
    Catalog::parse(&kept.body, &config.catalog).map_err(|error| error.to_string())
}

/// The verbs on tenants themselves and on admin tokens.
async fn administer_all(named: Option<&Path>) -> Result<Admins, AppError> {
    let (_, main) = administer(Place { config: named, tenant: None }).await?;
    Ok(Admins::new(Arc::new(main)))
}
