//! `sidegate health` and `sidegate drain`: ask the server that runs on this machine or in this
//! container, on its operators' listener. They need no shell, no curl and no valid configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode};

use super::{Done, demo, place};
use crate::app::AppError;
use crate::config;
use crate::outbound::{Guard, Limits, Outbound};

/// Within which a server that is well answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer than any drain: the server itself says when its grace is over.
const DRAINED: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Ask only whether it is alive, not whether it can answer calls.
    #[arg(long)]
    live: bool,
}

#[derive(Debug, Args)]
pub struct DrainArguments {
    /// Wait until the last call has ended.
    #[arg(long)]
    wait: bool,
}

/// Fails unless the server says that it is ready.
pub async fn health(config: Option<&Path>, arguments: HealthArguments) -> Done {
    let path = if arguments.live { "/livez" } else { "/readyz" };
    ask(&server(config)?, Method::GET, path, PATIENCE).await
}

/// Has the server refuse new calls, and perhaps waits for those in flight.
pub async fn drain(config: Option<&Path>, arguments: DrainArguments) -> Done {
    let server = server(config)?;
    ask(&server, Method::POST, "/drain", PATIENCE).await?;
    if arguments.wait { ask(&server, Method::GET, "/drained", DRAINED).await } else { Ok(()) }
}

/// Where the operators' listener of the server that is meant is: the configured one's, else the running demo's.
fn server(named: Option<&Path>) -> Result<SocketAddr, AppError> {
    let file: Option<PathBuf> = place(named).or_else(demo::running);
    config::ops_address(file.as_deref(), config::environment()).map_err(AppError)
}

async fn ask(server: &SocketAddr, method: Method, path: &str, patience: Duration) -> Done {
    let failed = |error: &dyn std::fmt::Display| AppError(format!("http://{server}{path}: {error}"));
    let limits = Limits { deadline: patience, connect: PATIENCE, body: 1 << 12 };
    let outbound = Outbound::new(Guard::operator_chosen(), limits).map_err(|error| failed(&error))?;
    let request = Request::builder().method(method).uri(format!("http://{server}{path}"));
    let request = request.body(Bytes::new()).map_err(|error| failed(&error))?;
    let answer = outbound.send(request).await.map_err(|error| failed(&error))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let reason = match answer.status() {
        // A page of somebody else's, perhaps.
        StatusCode::NOT_FOUND => "this is not served there".into(),
        _ => String::from_utf8_lossy(answer.body()),
    };
    Err(failed(&format!("{}: {}", answer.status().as_u16(), reason.trim().escape_debug())))
}
