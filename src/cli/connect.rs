//! `sidegate connect`: MCP over standard input and output. Nothing but the protocol goes to standard output.

pub mod snippets;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::connect::{Connector, Further, Settings, environment};

/// What a process ends with that was set up wrongly.
const MISCONFIGURED: u8 = 2;

/// Reads ALGA_INSTANCE_URL and ALGA_API_TOKEN, and if they are there ALGA_TENANT_ID, ALGA_REQUEST_TIMEOUT_MS,
/// ALGA_REGISTRY_PATH and ALGA_SEARCH_PATH.
#[derive(Debug, Args)]
pub struct ConnectArguments {
    /// Record each call in this file; without it nothing is recorded here.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// PEM certificates to trust beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// What is said on standard error: error, warn, info or debug, or directives such as sidegate=debug.
    #[arg(long, value_name = "LEVEL", default_value = "warn,sidegate=info")]
    log: String,
}

/// Serves until standard input ends.
pub async fn run(arguments: ConnectArguments) -> ExitCode {
    let filter = match EnvFilter::try_new(&arguments.log) {
        Ok(filter) => filter,
        Err(error) => return complain(&[format!("--log: {error}")], MISCONFIGURED),
    };
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let further = Further { audit: arguments.audit, ca_file: arguments.ca_file };
    let settings = match Settings::read(environment()) {
        Ok(settings) => settings,
        Err(wrong) => return complain(&wrong, MISCONFIGURED),
    };
    let connector = match Connector::open(settings, &further).await {
        Ok(connector) => connector,
        Err(wrong) => return complain(&[wrong], 1),
    };
    connector.inventory().iter().for_each(|line| tracing::info!("{line}"));
    connector.serve().await;
    ExitCode::SUCCESS
}

/// One message for everything that is wrong.
fn complain(wrong: &[String], code: u8) -> ExitCode {
    eprintln!("sidegate connect: {}", wrong.join("\n  "));
    ExitCode::from(code)
}
