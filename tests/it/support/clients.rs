//! The programs in `tests/clients`: the official SDKs as clients, a real OpenID provider, a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::process::Process;

/// What a program printed, with the steps it took over HTTP in `trace` and what went wrong in `error`.
pub async fn run(program: &str, config: &Value) -> Value {
    run_command(program, command(program).arg(config.to_string())).await
}

/// The same for one that takes its further roots from the environment.
pub async fn run_trusting(program: &str, config: &Value, ca: &Path) -> Value {
    run_command(program, command(program).arg(config.to_string()).env("SSL_CERT_FILE", ca)).await
}

async fn run_command(program: &str, command: &mut Command) -> Value {
    let ended = Process::run(command).await;
    assert!(matches!(ended.code, Some(0 | 1)), "{program}: {ended:?}");
    let line: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{program}: {ended:?}"));
    assert_eq!(ended.code == Some(1), line.get("error").is_some(), "{program}: {ended:?}");
    line
}

/// The program, with the interpreter it needs if it is no binary.
pub fn command(program: &str) -> Command {
    let mut command = match program {
        "rmcp" => return Command::new(variable("SIDEGATE_TEST_RMCP")),
        _ if program.starts_with("collector/") => Command::new(variable("SIDEGATE_TEST_COLLECTOR")),
        _ if program.starts_with("canaille/") => Command::new(variable("SIDEGATE_TEST_CANAILLE")),
        "sdk_python_v1.py" => Command::new(variable("SIDEGATE_TEST_PYTHON_V1")),
        _ if program.ends_with(".py") => python(),
        _ => Command::new(variable("SIDEGATE_TEST_NODE")),
    };
    command.arg(PathBuf::from(variable("SIDEGATE_TEST_CLIENTS")).join(program));
    command
}

/// Python with the packages of `tests/clients`.
pub fn python() -> Command {
    Command::new(variable("SIDEGATE_TEST_PYTHON"))
}

/// The browser's path.
pub fn chromium() -> String {
    variable("SIDEGATE_TEST_CHROMIUM")
}

#[allow(clippy::disallowed_methods, reason = "the runner tells the tests, not the program under test")]
pub fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run tests/run.sh, which installs the clients"))
}

/// A running `oidc.mjs`. It ends when this value is dropped, and with the test's process however that ends.
pub struct Provider {
    process: Process,
    ready: Value,
}

impl Provider {
    /// Starts one that signs with `alg`.
    pub async fn start(alg: &str) -> Self {
        let config = serde_json::json!({"alg": alg, "until_stdin_ends": true});
        let mut process = Process::start(command("oidc.mjs").arg(config.to_string()));
        let line = process.first_line().await;
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line}"));
        Self { process, ready }
    }

    pub fn issuer(&self) -> &str {
        self.told("/issuer")
    }

    /// The secret of one of its machines, whose name is also the subject of its tokens.
    pub fn secret(&self, machine: &str) -> &str {
        self.told(&format!("/machines/{machine}"))
    }

    /// A member of its ready line, by JSON pointer.
    pub fn told(&self, pointer: &str) -> &str {
        let found = self.ready.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {} of {}", self.ready, self.process.id()))
    }
}
