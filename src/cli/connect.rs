//! `sidegate connect`: MCP over standard input and output. Nothing but the protocol goes to standard output.

pub mod snippets;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::bridge::{Client, Gate, Source};
use crate::connect::{Connector, Further, Settings, across, environment};

/// What a process ends with that was set up wrongly.
const MISCONFIGURED: u8 = 2;

/// The address in a snippet where none is known.
const SOME_PSA: &str = "https://psa.example.com";

/// Without --gate: ALGA_INSTANCE_URL and ALGA_API_TOKEN say where the PSA is and who calls; ALGA_TENANT_ID,
/// ALGA_REQUEST_TIMEOUT_MS, ALGA_REGISTRY_PATH and ALGA_SEARCH_PATH are read where they are there.
#[derive(Debug, Args)]
pub struct ConnectArguments {
    /// Connect to the Sidegate, or any MCP server over Streamable HTTP, at this endpoint instead.
    #[arg(long, value_name = "URL")]
    gate: Option<Url>,
    /// Take the token for it from this command's output; it is run by `sh -c`, again when the token ends.
    #[arg(long, value_name = "COMMAND", requires = "gate", conflicts_with_all = ["token_file", "client_id"])]
    token_command: Option<String>,
    /// Take it from this file, which is read again for each message.
    #[arg(long, value_name = "FILE", requires = "gate", conflicts_with = "client_id")]
    token_file: Option<PathBuf>,
    /// Take it from the server's own issuer, as this client of the issuer's.
    #[arg(long, value_name = "ID", requires_all = ["gate", "client_secret_file"])]
    client_id: Option<String>,
    /// The client's secret.
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// What the client asks for, instead of what the server says it needs.
    #[arg(long, value_name = "SCOPES", requires = "client_id")]
    scope: Option<String>,
    /// Record each call in this file; without it nothing is recorded here.
    #[arg(long, value_name = "FILE", conflicts_with = "gate")]
    audit: Option<PathBuf>,
    /// PEM certificates to trust beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// What is said on standard error: error, warn, info or debug, or directives such as sidegate=debug.
    #[arg(long, value_name = "LEVEL", default_value = "warn,sidegate=info")]
    log: String,
    /// Print what makes this client start the connector with the options given here, and do nothing else.
    #[arg(long, value_name = "CLIENT")]
    snippet: Option<snippets::Client>,
}

/// Serves until standard input ends.
pub async fn run(arguments: ConnectArguments) -> ExitCode {
    let filter = match EnvFilter::try_new(&arguments.log) {
        Ok(filter) => filter,
        Err(error) => return complain(&[format!("--log: {error}")], MISCONFIGURED),
    };
    if let Some(client) = arguments.snippet {
        return print(client, &arguments);
    }
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let served = match gate(&arguments) {
        Some(gate) => across(gate).await.map_err(|wrong| (vec![wrong], MISCONFIGURED)),
        None => direct(arguments).await,
    };
    served.map_or_else(|(wrong, code)| complain(&wrong, code), |()| ExitCode::SUCCESS)
}

fn gate(arguments: &ConnectArguments) -> Option<Gate> {
    let url = arguments.gate.clone()?;
    let ConnectArguments { token_command, token_file, client_id, client_secret_file, scope, .. } = arguments;
    let token = match (token_command, token_file, client_id.clone().zip(client_secret_file.clone())) {
        (Some(command), ..) => Source::Command(command.clone()),
        (None, Some(file), _) => Source::File(file.clone()),
        (None, None, Some((id, secret_file))) => {
            Source::Client(Client { id, secret_file, scope: scope.clone() })
        }
        (None, None, None) => Source::None,
    };
    Some(Gate { url, ca_file: arguments.ca_file.clone(), token })
}

async fn direct(arguments: ConnectArguments) -> Result<(), (Vec<String>, u8)> {
    let settings = Settings::read(environment()).map_err(|wrong| (wrong, MISCONFIGURED))?;
    let further = Further { audit: arguments.audit, ca_file: arguments.ca_file };
    let failed = |wrong: String| (vec![wrong], 1);
    let connector = Connector::open(settings, &further).await.map_err(failed)?;
    connector.inventory().iter().for_each(|line| tracing::info!("{line}"));
    connector.serve().await.map_err(failed)
}

/// Options are repeated as they were given; a secret is in none of them.
fn print(client: snippets::Client, arguments: &ConnectArguments) -> ExitCode {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let options: Vec<String> = [
        ("--gate", arguments.gate.as_ref().map(Url::to_string)),
        ("--token-command", arguments.token_command.clone()),
        ("--token-file", path(&arguments.token_file)),
        ("--client-id", arguments.client_id.clone()),
        ("--client-secret-file", path(&arguments.client_secret_file)),
        ("--scope", arguments.scope.clone()),
        ("--audit", path(&arguments.audit)),
        ("--ca-file", path(&arguments.ca_file)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some([name.to_owned(), value?]))
    .flatten()
    .collect();
    let connector = match arguments.gate {
        Some(_) => snippets::Connector::gate(options),
        None => {
            let psa =
                Settings::read(environment()).map_or_else(|_| SOME_PSA.to_owned(), |settings| settings.url);
            snippets::Connector::direct(&psa).with(options)
        }
    };
    match client.snippet(&connector) {
        Ok(snippet) => {
            print!("{snippet}");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&[format!("--snippet: {error}")], 1),
    }
}

/// One message for everything that is wrong.
fn complain(wrong: &[String], code: u8) -> ExitCode {
    eprintln!("sidegate connect: {}", wrong.join("\n  "));
    ExitCode::from(code)
}
