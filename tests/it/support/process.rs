//! Another program: its output read while it runs, a time limit on everything, and killed when it is dropped.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::wait::until_within;

/// How long a program may take that is waited for: Node starts slowly where many tests run.
const LIMIT: Duration = Duration::from_secs(90);

pub struct Process {
    child: Child,
    // Files and no pipes: nobody has to empty them.
    output: TempDir,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Process {
    /// Starts `command`. What it reads ends when this value goes, unless [`Self::say`] ends it before.
    pub fn start(command: &mut Command) -> Self {
        let output = tempfile::tempdir().expect("a folder");
        let file = |name| fs::File::create(output.path().join(name)).expect("a file");
        let child = command.stdin(Stdio::piped()).stdout(file("out")).stderr(file("err")).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        Self { child, output }
    }

    /// Runs `command` to its end with nothing to read.
    pub async fn run(command: &mut Command) -> Ended {
        let mut process = Self::start(command);
        process.say("");
        process.ended().await
    }

    /// All that it will ever read.
    pub fn say(&mut self, text: &str) {
        let mut stdin = self.child.stdin.take().expect("it was told all it will be told");
        // A program that ended already reads nothing; its exit code tells why.
        let _ = stdin.write_all(text.as_bytes());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of its /proc/PID/status in bytes: `VmRSS`, its memory, or `VmHWM`, the most that was ever.
    pub fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a process");
        let value = status.lines().find_map(|have| have.strip_prefix(line)?.strip_prefix(':'));
        let value = value.unwrap_or_else(|| panic!("no {line} in {status}"));
        value.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// Its first line on standard output, once it is whole.
    pub async fn first_line(&mut self) -> String {
        let path = self.output.path().to_owned();
        let ended = &mut self.child;
        until_within(LIMIT, || {
            let out = read(&path, "out");
            let line = out.split_once('\n').map(|(line, _)| line.to_owned());
            if line.is_none() && ended.try_wait().expect("a child").is_some() {
                panic!("it ended before it was ready:\n{out}{}", read(&path, "err"));
            }
            async { line }
        })
        .await
    }

    /// What it has written to standard error so far.
    pub fn errors(&self) -> String {
        read(self.output.path(), "err")
    }

    /// Asks it to end, as an operator would.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name.
    pub fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &order]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
    }

    /// What it left behind, once it has ended.
    pub async fn ended(&mut self) -> Ended {
        let child = &mut self.child;
        let status = until_within(LIMIT, || {
            let status = child.try_wait().expect("a child");
            async move { status }
        })
        .await;
        let path = self.output.path();
        Ended { code: status.code(), out: read(path, "out"), err: read(path, "err") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(folder: &Path, name: &str) -> String {
    let bytes = fs::read(folder.join(name)).expect("a file");
    String::from_utf8_lossy(&bytes).into_owned()
}
