//! A program that is spoken to over pipes, a line at a time: nothing but JSON may come out of it, and what it says to people
//! is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::wait::until_within;

/// How long it may take to answer where many tests run.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Pipes {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
    errors: Arc<Mutex<String>>,
}

/// `sidegate connect` with nothing of this environment.
pub fn connector() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.env_clear().arg("connect");
    command
}

/// The answer to the request `id` and what came before it.
pub struct Answered {
    pub answer: Value,
    pub before: Vec<Value>,
}

impl Pipes {
    pub fn open(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (say, lines) = mpsc::unbounded_channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            for line in output.lines() {
                // The test may have heard enough.
                let _ = say.send(line.expect("text"));
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (kept, mut said) = (errors.clone(), child.stderr.take().expect("a pipe"));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = said.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let input = child.stdin.take();
        Self { child, input, lines, errors }
    }

    pub fn say_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    pub fn say(&mut self, message: &Value) {
        self.say_line(&message.to_string());
    }

    /// What it says next; nothing but JSON.
    pub async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(LIMIT, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing was said: {}", self.errors()));
        let line = line.unwrap_or_else(|| panic!("it ended: {}", self.errors()));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"))
    }

    /// Hears what it says up to the answer to `id`.
    pub async fn answered(&mut self, id: impl Into<Value>) -> Answered {
        let (id, mut before) = (id.into(), Vec::new());
        loop {
            let said = self.hear().await;
            if said["id"] == id && said.get("method").is_none() {
                return Answered { answer: said, before };
            }
            before.push(said);
        }
    }

    /// Asks and hears the answer's result.
    pub async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answer = self.answered(id).await.answer;
        assert!(answer.get("error").is_none(), "{answer:#}");
        answer["result"].clone()
    }

    /// The handshake of `revision`.
    pub async fn shake_hands(&mut self, revision: &str) -> Value {
        let client = json!({"name": "a local client", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client});
        let result = self.ask(0, "initialize", params).await;
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        result
    }

    /// A tool's result.
    pub async fn call(&mut self, id: u64, tool: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// What it has said to people so far.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Its exit code, once its input was closed or it ends by itself, and what it said and was not heard.
    pub async fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        let child = &mut self.child;
        let status = until_within(LIMIT, || {
            let status = child.try_wait().expect("a child");
            async move { status }
        })
        .await;
        let mut rest = Vec::new();
        while let Ok(Some(line)) = tokio::time::timeout(LIMIT, self.lines.recv()).await {
            rest.push(line);
        }
        (status.code(), rest)
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
