//! `sidegate serve`.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::{Done, load, logging, place};
use crate::app::{App, AppError, Notify, Sockets, Source};
use crate::clock::Clock;
use crate::config;
use crate::edge;
use crate::tool::table::standard_rows;

pub async fn run(named: Option<&Path>) -> Done {
    let config = load(named)?;
    logging::start(&config.log);
    let (files, connections) = (edge::allow_many(), config.server.max_connections as u64);
    if let Some(files) = files.filter(|files| *files < connections) {
        tracing::warn!(files, connections, "fewer files may be open than server.max_connections");
    }
    let sockets = Sockets::bind(&config)?;
    let source = Source::new(place(named), logging::change)?;
    let app = App::build(config, sockets, Clock::System, standard_rows()).await?;
    let app = app.following(source).notifying(Notify::new(config::service_manager()));
    for address in app.mcp_addresses() {
        tracing::info!(%address, "serving MCP");
    }
    for address in app.admin_addresses() {
        tracing::info!(%address, "serving administrators");
    }
    tracing::info!(address = %app.ops_address()?, "serving probes and metrics");
    app.run(stopped()?).await
}

/// Ends on SIGTERM or SIGINT.
pub fn stopped() -> Result<impl Future<Output = ()>, AppError> {
    let listen =
        |kind| signal(kind).map_err(|error| AppError(format!("signals cannot be received: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
