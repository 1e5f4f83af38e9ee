//! What takes the record in: rsyslog, an HTTP receiver, a collector of OpenTelemetry. Each can go away and come back on
//! the same port, and keeps what it has got.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::clients;
use super::process::Process;
use super::tls;
use super::wait::until_within;

/// A program that was just started opens its port.
const LIMIT: Duration = Duration::from_secs(30);

/// Debian's rsyslog, which takes messages over UDP, TCP and TLS and writes what it makes of them to a file.
pub struct Rsyslog {
    folder: PathBuf,
    process: Option<Process>,
    pub udp: u16,
    pub tcp: u16,
    pub tls: u16,
}

/// A message as rsyslog has taken it apart.
#[derive(Debug)]
pub struct Message {
    /// Facility and severity.
    pub priority: String,
    pub app_name: String,
    pub kind: String,
    pub structured: String,
    /// The record.
    pub text: String,
}

impl Rsyslog {
    /// One whose files are in `folder`, its certificate's authority among them: [`Self::ca_file`].
    pub async fn start(folder: &Path) -> Self {
        tls::write(folder);
        let port = || {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            free.local_addr().expect("bound").port()
        };
        let mut rsyslog =
            Self { folder: folder.to_owned(), process: None, udp: port(), tcp: port(), tls: port() };
        rsyslog.again().await;
        rsyslog
    }

    pub fn ca_file(&self) -> PathBuf {
        tls::authority(&self.folder)
    }

    /// Starts what was stopped.
    pub async fn again(&mut self) {
        let Self { udp, tcp, tls, .. } = self;
        let folder = self.folder.display();
        let configuration = format!(
            r#"
global(
    workDirectory="{folder}" maxMessageSize="64k"
    defaultNetstreamDriverCAFile="{folder}/ca.pem"
    defaultNetstreamDriverCertFile="{folder}/tls.crt"
    defaultNetstreamDriverKeyFile="{folder}/tls.key"
)
module(load="imudp")
module(load="imtcp")
template(name="apart" type="string"
    string="%syslogfacility-text%.%syslogseverity-text%|%app-name%|%msgid%|%structured-data%|%msg%\n")
ruleset(name="keep") {{
    action(type="omfile" file="{folder}/messages" template="apart")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="keep"
    streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
"#
        );
        fs::write(self.folder.join("rsyslog.conf"), configuration).expect("written");
        let root = PathBuf::from(clients::variable("SIDEGATE_TEST_RSYSLOG"));
        let libraries = library_folder(&root);
        let process = Process::start(
            Command::new(root.join("usr/sbin/rsyslogd"))
                .env("LD_LIBRARY_PATH", &libraries)
                .args(["-n", "-f"])
                .arg(self.folder.join("rsyslog.conf"))
                .arg("-i")
                .arg(self.folder.join("pid"))
                .arg("-M")
                .arg(libraries.join("rsyslog")),
        );
        let (tcp, tls) = (self.tcp, self.tls);
        until_within(LIMIT, || async move {
            let open = |port| tokio::net::TcpStream::connect(("127.0.0.1", port));
            (open(tcp).await.is_ok() && open(tls).await.is_ok()).then_some(())
        })
        .await;
        self.process = Some(process);
    }

    /// Ends it at once, whatever it has in hand.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it in order.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
            process.ended().await;
        }
    }

    pub fn messages(&self) -> Vec<Message> {
        Self::messages_in(&self.folder)
    }

    /// What the one whose files are in `folder` has written. A line that is not whole yet is none.
    pub fn messages_in(folder: &Path) -> Vec<Message> {
        let text = fs::read(folder.join("messages")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let part =
            |parts: &mut std::str::SplitN<'_, char>| parts.next().unwrap_or_default().trim().to_owned();
        let message = |line: &str| {
            let mut parts = line.splitn(5, '|');
            Message {
                priority: part(&mut parts),
                app_name: part(&mut parts),
                kind: part(&mut parts),
                structured: part(&mut parts),
                text: part(&mut parts),
            }
        };
        whole.lines().map(message).collect()
    }
}

/// Where a Debian package has its libraries: `/usr/lib/TRIPLET`.
fn library_folder(root: &Path) -> PathBuf {
    let folders = fs::read_dir(root.join("usr/lib")).expect("an unpacked rsyslog").flatten();
    let mut folders = folders.map(|entry| entry.path()).filter(|folder| folder.join("rsyslog").is_dir());
    folders.next().expect("rsyslog's modules")
}

/// An HTTP receiver, as Vector's `http_server` source or Loki are. It decompresses and keeps what it takes.
pub struct HttpReceiver {
    pub url: String,
    taken: Arc<Mutex<Vec<Taken>>>,
    /// What the `authorization` field must be.
    asks_for: &'static str,
    serving: Option<JoinHandle<()>>,
}

/// A request that was taken.
#[derive(Clone)]
pub struct Taken {
    pub path: String,
    pub content_type: String,
    pub text: String,
}

impl HttpReceiver {
    pub async fn start(asks_for: &'static str) -> Self {
        let mut receiver =
            Self { url: "http://127.0.0.1:0".to_owned(), taken: Arc::default(), asks_for, serving: None };
        receiver.again().await;
        receiver
    }

    /// Starts what was stopped.
    pub async fn again(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let listener = until_within(LIMIT, || async { TcpListener::bind(&address).await.ok() }).await;
        self.url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = (self.taken.clone(), self.asks_for);
        let router = Router::new().fallback(take).with_state(state);
        self.serving = Some(tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        }));
    }

    /// Takes no connection any more.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// What it has taken so far, and what it will.
    pub fn ledger(&self) -> Arc<Mutex<Vec<Taken>>> {
        self.taken.clone()
    }
}

async fn take(
    State((taken, asks_for)): State<(Arc<Mutex<Vec<Taken>>>, &'static str)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if field("authorization") != asks_for {
        return StatusCode::UNAUTHORIZED;
    }
    let mut text = String::new();
    let read = match field("content-encoding") {
        "gzip" => flate2::read::GzDecoder::new(body.as_ref()).read_to_string(&mut text),
        _ => body.as_ref().read_to_string(&mut text),
    };
    if read.is_err() {
        return StatusCode::BAD_REQUEST;
    }
    let content_type = field("content-type").to_owned();
    taken.lock().push(Taken { path: uri.path().to_owned(), content_type, text });
    StatusCode::NO_CONTENT
}

/// A collector of OpenTelemetry logs, with a decoder that is not ours: `tests/clients/collector`.
pub struct Collector {
    folder: PathBuf,
    process: Option<Process>,
    port: u16,
}

impl Collector {
    pub async fn start(folder: &Path) -> Self {
        let mut collector = Self { folder: folder.to_owned(), process: None, port: 0 };
        collector.again().await;
        collector
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/logs", self.port)
    }

    /// Starts what was stopped.
    pub async fn again(&mut self) {
        let mut command = clients::command("collector/collect.py");
        let mut process = Process::start(command.arg(self.port.to_string()).arg(self.folder.join("logs")));
        self.port = process.first_line().await.parse().expect("a port");
        self.process = Some(process);
    }

    pub fn kill(&mut self) {
        self.process = None;
    }

    /// What the one whose file is in `folder` has written.
    pub fn logs_in(folder: &Path) -> Vec<Value> {
        let text = fs::read_to_string(folder.join("logs")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}
