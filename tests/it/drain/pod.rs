//! PSA and Sidegate side by side, as in a pod: `sidegate serve` as a process of its own, over TLS, and in front
//! of a PSA that can go while the database with its keys stays.

use std::fs;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sidegate::outbound::{Guard, Outbound};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::LIMITS;
use crate::support::http::{Answer, message, modern, send};
use crate::support::plan::Plan;
use crate::support::process::{Ended, Process};
use crate::support::tls::Authority;
use crate::support::wait::until;
use crate::support::world::World;

/// The PSA's web server. Its slow reports take until they are let go; it ends when it is dropped.
struct Front {
    url: String,
    /// How many slow reports it has been asked for.
    asked: Arc<AtomicUsize>,
    /// Says true when they are let go.
    done: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Front {
    async fn before(psa: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let psa = psa.trim_start_matches("http://").to_owned();
        let (asked, done) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
        let (count, told) = (asked.clone(), done.subscribe());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(carry(near, psa.clone(), count.clone(), told.clone()));
            }
        });
        Self { url, asked, done, serving }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Carries one connection, each request in one piece as Sidegate writes it.
async fn carry(mut near: TcpStream, psa: String, asked: Arc<AtomicUsize>, mut done: watch::Receiver<bool>) {
    let mut far = TcpStream::connect(psa).await.unwrap();
    let (mut up, mut down) = ([0; 16 << 10], [0; 16 << 10]);
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let request = &up[..read];
                if request.starts_with(b"GET /api/v1/reports/slow") {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let _ = done.wait_for(|done| *done).await;
                }
                far.write_all(request).await.unwrap();
            }
            read = far.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                if near.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

pub struct Pod {
    pub world: World,
    pub folder: Rc<TempDir>,
    pub authority: Authority,
    pub process: Process,
    pub port: u16,
    ops: String,
    client: Outbound,
    psa: Front,
}

impl Pod {
    /// With further lines for `[server]`.
    pub async fn start(server: &str) -> Self {
        let world = World::of(Plan { tls: true, server, ..Plan::default() }).await;
        let folder = Rc::new(tempfile::tempdir().unwrap());
        let authority = Authority::new("The pod's");
        let psa = Front::before(&world.psa.url).await;
        let ops = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = world
            .beside(folder.path())
            .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{ops}\""))
            .replace(&format!("\nurl = \"{}\"", world.psa.url), &format!("\nurl = \"{}\"", psa.url));
        assert!(text.contains(&psa.url));
        fs::write(folder.path().join("own.toml"), text).unwrap();
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        certify(&authority, &folder);
        let client =
            Outbound::with_ca(Guard::operator_chosen(), LIMITS, Some(&folder.path().join("ca.pem"))).unwrap();
        let process = Process::start(
            sidegate(&folder).env("SIDEGATE__LOG__FORMAT", "json").args(["serve", "--config", "own.toml"]),
        );
        let port = until(|| {
            let errors = process.errors();
            async move {
                let line = errors.lines().find(|line| line.contains("serving MCP"))?;
                let line: Value = serde_json::from_str(line).ok()?;
                let found = line.to_string();
                let (_, port) = found.split_once("127.0.0.1:")?;
                port.split('"').next()?.parse().ok()
            }
        })
        .await;
        let ops = format!("http://{ops}");
        let pod = Self { world, folder, authority, process, port, ops, client, psa };
        until(|| async {
            let ready = pod.client.send(get(format!("{}/readyz", pod.ops))).await;
            ready.is_ok_and(|answer| answer.status() == 200).then_some(())
        })
        .await;
        pod
    }

    /// Replaces the certificate and its key, as a renewal does.
    pub fn renew(&self) {
        certify(&self.authority, &self.folder);
    }

    /// What the operators' listener says.
    pub async fn ops(&self, path: &str) -> Answer {
        send(&self.client, get(format!("{}{path}", self.ops))).await
    }

    /// The same, asked by somebody who waits.
    pub fn asked(&self, path: &str) -> JoinHandle<Answer> {
        let (client, request) = (self.client.clone(), get(format!("{}{path}", self.ops)));
        tokio::spawn(async move { send(&client, request).await })
    }

    /// `sidegate` with the pod's own configuration, run to its end.
    pub async fn exec(&self, arguments: &[&str]) -> Ended {
        Process::run(sidegate(&self.folder).args(arguments).args(["--config", "own.toml"])).await
    }

    /// A call that is under way, or refused, as soon as that may be.
    pub fn call(&self, arguments: Value) -> JoinHandle<Option<Answer>> {
        let (body, headers) =
            modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
        let url = format!("https://localhost:{}/api/mcp", self.port);
        let request = message(&url, Some(&self.world.token("technician")), body.to_string(), &headers);
        let client = self.client.clone();
        tokio::spawn(async move {
            // Shown where a test fails.
            let sent = client.send(request).await.inspect_err(|error| println!("a call: {error}"));
            let (head, body) = sent.ok()?.into_parts();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
    }

    /// A call that is not slow.
    pub fn quick(&self) -> JoinHandle<Option<Answer>> {
        self.call(json!({"entryId": "get-_api_v1_boards"}))
    }

    /// As many calls of slow reports, once the PSA has them all.
    pub async fn slow(&self, count: usize) -> Vec<JoinHandle<Option<Answer>>> {
        let slow = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 1}});
        let mut calls: Vec<_> = (0..count).map(|_| self.call(slow.clone())).collect();
        let all = async {
            while self.psa.asked.load(Ordering::SeqCst) < count {
                if let Some(ended) = calls.iter().position(JoinHandle::is_finished) {
                    panic!("it ended before the PSA was asked: {:?}", calls.swap_remove(ended).await);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMITS.deadline, all).await.expect("the PSA was asked for all in time");
        calls
    }

    /// The PSA has its slow reports ready.
    pub fn reports_are_done(&self) {
        self.psa.done.send_replace(true);
    }

    /// Ends the PSA.
    pub fn psa_goes(&self) {
        self.psa.serving.abort();
    }

    /// What the process left behind; it ended well.
    pub async fn ended_well(&mut self) -> Ended {
        let ended = self.process.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// The keys that the pod had made and that are still good.
    pub async fn keys(&self) -> usize {
        let keys = self.world.control("GET", "/__keys", json!(null)).await;
        let keys = keys["data"].as_array().unwrap();
        // The world's own server has one for the catalogue, too.
        keys.iter().filter(|key| key["active"] == true).count() - 1
    }

    /// The outcomes on record, each call's once.
    pub fn outcomes(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("record/audit.jsonl")).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        // What the record says of itself is no call's.
        let records = records.filter(|record| record["record"] == "event");
        records.map(|record| record["outcome"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// All of them came, and all are good.
pub async fn all_good(calls: Vec<JoinHandle<Option<Answer>>>) {
    for answer in join_all(calls).await {
        let answer = answer.unwrap().expect("a call was lost");
        assert!(answer.status == 200 && answer.body["result"]["isError"] == false, "{answer:?}");
    }
}

fn certify(authority: &Authority, folder: &TempDir) {
    let (certificate, key) = authority.certify();
    for (name, text) in [("tls.crt", certificate), ("tls.key", key)] {
        fs::write(folder.path().join("new"), text).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join(name)).unwrap();
    }
}

fn get(url: String) -> http::Request<Bytes> {
    http::Request::get(url).body(Bytes::new()).unwrap()
}

fn sidegate(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.current_dir(folder.path()).env_clear();
    command
}
