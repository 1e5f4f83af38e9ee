//! Arguments in, exit code out. The work is in the library.

use std::process::ExitCode;

use clap::Parser;
use sidegate::cli::{self, Arguments};

#[cfg(feature = "server")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // First of all: pingora, sqlx and the outbound client take whatever provider is installed.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("sidegate: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sidegate: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(arguments));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}
