//! `sidegate doctor URL`: does what MCP clients do against any server, and says which step fails for
//! whom and what to change. Needs no configuration and no store.

mod client;
mod diagnosis;
mod message;
mod places;
mod replay;
mod report;
mod seen;
mod sse;
mod token;
mod tools;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use url::Url;

use self::report::Report;
use self::wire::Wire;
use crate::clock::Clock;
use crate::outbound::{Guard, Limits, Outbound};
use crate::secret::Secret;
use crate::units::Span;

/// The most that is read of one answer.
const BODY: usize = 8 << 20;

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The server's MCP endpoint, exactly as clients are given it.
    url: Url,
    /// A file with an access token for the server.
    #[arg(long, value_name = "FILE", conflicts_with = "token_command")]
    token_file: Option<PathBuf>,
    /// A command that prints one; it is run by `sh -c`. Without either, SIDEGATE_DOCTOR_TOKEN is taken.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
    // No flag that is told of: what stands on a command line is seen by every user of the machine.
    #[arg(long, hide = true, env = "SIDEGATE_DOCTOR_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// Authorities in PEM that certificates may come from, beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long each answer, and the first sign of each stream, is waited for.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span)]
    timeout: Duration,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

fn secret(given: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(given))
}

fn span(given: &str) -> Result<Duration, String> {
    let span: Span = given.parse()?;
    if span.0.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(span.0) }
}

/// Fails where a step does, and where nothing could be tried.
pub async fn run(arguments: DoctorArguments) -> ExitCode {
    let json = arguments.json;
    let report = match examine(arguments).await {
        Ok(report) => report,
        Err(wrong) => {
            eprintln!("sidegate: {wrong}");
            return ExitCode::FAILURE;
        }
    };
    if json {
        println!("{}", serde_json::json!(report));
    } else {
        print!("{report}");
    }
    if report.fails() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn examine(arguments: DoctorArguments) -> Result<Report, String> {
    let DoctorArguments { url, token_file, token_command, token, ca_file, timeout, .. } = arguments;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{url} must begin with https:// (or http://)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not contain a user name or password; clients cannot send them".to_owned());
    }
    let source = token::Source { file: token_file, command: token_command, given: token };
    // A command may take its time, and ask its user something.
    let token = tokio::task::spawn_blocking(|| source.token()).await;
    let token = token.map_err(|error| format!("the token cannot be fetched: {error}"))??;
    let limits = Limits { deadline: timeout, connect: timeout, body: BODY };
    let outbound = Outbound::with_ca(Guard::operator_chosen(), limits, ca_file.as_deref());
    let outbound = outbound.map_err(|error| format!("--ca-file: {error}"))?;
    let wire = Wire::new(url, outbound, timeout);
    let seen = replay::run(&wire, token.as_ref(), ca_file.is_some()).await;
    let report = diagnosis::diagnose(&seen, Clock::System.now_seconds());
    Ok(match token {
        Some(token) => report.without(&token),
        None => report,
    })
}
