//! A second Sidegate, in a process of its own, beside a world and with the same store, PSA and issuer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::conversation::request;
use super::http::{Answer, message, modern};
use super::process::Process;
use super::wait::until_within;
use super::world::World;

/// How long one may take to serve, where many tests run.
const START: Duration = Duration::from_secs(60);

/// What clients call all replicas.
pub const PUBLIC: &str = "http://gate.test";

/// Lines of `[server]` by which all replicas have one name.
pub fn named(world_lines: &str) -> String {
    format!("public_url = \"{PUBLIC}\"\n{world_lines}")
}

pub struct Replica {
    /// Where it listens.
    pub url: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Replica {
    /// Starts one and waits until it serves.
    pub async fn beside(world: &World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sidegate.toml");
        std::fs::write(&file, world.beside(folder.path())).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        let process = Process::start(
            command.env("SIDEGATE__LOG__FORMAT", "json").arg("serve").arg("--config").arg(&file),
        );
        let address = until_within(START, || {
            let errors = process.errors();
            async move {
                let line = errors.lines().find(|line| line.contains("serving MCP"))?;
                let line: Value = serde_json::from_str(line).ok()?;
                let found = line.to_string();
                let (_, rest) = found.split_once("127.0.0.1:")?;
                Some(format!("127.0.0.1:{}", rest.split('"').next()?))
            }
        })
        .await;
        Self { url: format!("http://{address}/api/mcp"), _process: process, _folder: folder }
    }
}

/// Runs `sidegate` with the world's configuration and says what it wrote.
pub async fn command(config: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let ended = Process::run(command.arg("--config").arg(config).args(arguments)).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
    ended.out
}

/// One call of the newest revision at `url`, under the public name.
pub async fn call(world: &World, url: &str, token: &str, arguments: &Value) -> Answer {
    let (body, headers) = modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
    let mut sent = message(url, Some(token), Bytes::from(body.to_string()), &headers);
    host(&mut sent);
    world.send(sent).await
}

/// A message of the handshake era at `url`, in a session if there is one.
pub async fn say(world: &World, url: &str, token: &str, session: Option<&str>, body: &Value) -> Answer {
    let session: Vec<_> = session.map(|id| ("mcp-session-id", id.to_owned())).into_iter().collect();
    let mut sent = message(url, Some(token), Bytes::from(body.to_string()), &session);
    host(&mut sent);
    world.send(sent).await
}

/// A handshake at `url`; the session's id.
pub async fn begin(world: &World, url: &str, token: &str, revision: &str) -> String {
    let client = json!({"name": "an older client", "version": "3"});
    let hello = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
    let answer = say(world, url, token, None, &request(0, "initialize", hello)).await;
    let session = answer.header("mcp-session-id").to_owned();
    assert!(!session.is_empty(), "{answer:?}");
    session
}

/// Whatever address it goes to, a request is for the public name.
pub fn host(request: &mut http::Request<Bytes>) {
    let name = http::HeaderValue::from_static("gate.test");
    request.headers_mut().insert(http::header::HOST, name);
}
