//! The command line: each command is a thin file that calls the gate, the app or the connector.

pub mod connect;
mod doctor;
mod search;
#[cfg(feature = "server")]
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The governed MCP door to a PSA.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version)]
pub struct Arguments {
    #[cfg(feature = "server")]
    #[command(flatten)]
    options: server::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "server")]
    #[command(flatten)]
    Server(server::Command),
    /// Speak MCP over standard input and output: to the PSA under your own key, or to a Sidegate elsewhere.
    Connect(connect::ConnectArguments),
    /// Do what MCP clients do against any server, and say which step fails for whom and what to change.
    Doctor(doctor::DoctorArguments),
    /// Search the endpoints as agents do, in a registry's file or in what the running server was given last.
    Search(search::SearchArguments),
}

/// Runs one command; complaints go to standard error.
pub async fn run(arguments: Arguments) -> ExitCode {
    #[cfg(feature = "server")]
    let options = arguments.options;
    match arguments.command {
        #[cfg(feature = "server")]
        Command::Server(command) => server::run(options, command).await,
        Command::Connect(arguments) => connect::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        #[cfg(feature = "server")]
        Command::Search(arguments) if !arguments.names_registry() => {
            let kept = server::kept_catalog(&options).await;
            search::answer(&arguments, kept)
        }
        Command::Search(arguments) => search::run(&arguments),
    }
}
