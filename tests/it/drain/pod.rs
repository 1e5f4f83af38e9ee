//! PSA and Sidegate side by side, as in a pod: `sidegate serve` as a process of its own, over TLS, and in front
//! of a PSA that can go while the database with its keys stays.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sidegate::outbound::{Guard, Outbound};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use super::LIMITS;
use crate::support::http::{Answer, message, modern, send};
use crate::support::plan::Plan;
use crate::support::process::{Ended, Process};
use crate::support::tls::Authority;
use crate::support::wait::until;
use crate::support::world::World;

/// The PSA's web server, which ends when it is dropped.
struct Front(JoinHandle<()>);

impl Drop for Front {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn front(psa: &str) -> (String, Front) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let psa = psa.trim_start_matches("http://").to_owned();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let psa = psa.clone();
            connections.spawn(async move {
                let mut far = TcpStream::connect(psa).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    (url, Front(serving))
}

pub struct Pod {
    pub world: World,
    pub folder: Rc<TempDir>,
    pub authority: Authority,
    pub process: Process,
    pub port: u16,
    ops: String,
    client: Outbound,
    psa: Option<Front>,
}

impl Pod {
    /// With further lines for `[server]`.
    pub async fn start(server: &str) -> Self {
        let world = World::of(Plan { tls: true, server, ..Plan::default() }).await;
        let folder = Rc::new(tempfile::tempdir().unwrap());
        let authority = Authority::new("The pod's");
        let (url, psa) = front(&world.psa.url).await;
        let ops = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = world
            .beside(folder.path())
            .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{ops}\""))
            .replace(&format!("\nurl = \"{}\"", world.psa.url), &format!("\nurl = \"{url}\""));
        assert!(text.contains(&url));
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
        let pod = Self { world, folder, authority, process, port, ops, client, psa: Some(psa) };
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
            let (head, body) = client.send(request).await.ok()?.into_parts();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
        })
    }

    /// A call that is not slow.
    pub fn quick(&self) -> JoinHandle<Option<Answer>> {
        self.call(json!({"entryId": "get-_api_v1_boards"}))
    }

    /// As many calls in flight that take so many milliseconds, once the PSA has them all.
    pub async fn slow(&self, count: usize, ms: usize) -> Vec<JoinHandle<Option<Answer>>> {
        let slow = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": ms}});
        let calls = (0..count).map(|_| self.call(slow.clone())).collect();
        until(|| async {
            let reached = self.world.reached().await;
            let slow = |request: &&Value| {
                request["path"].as_str().is_some_and(|path| path.starts_with("/api/v1/reports/slow"))
            };
            (reached.iter().filter(slow).count() == count).then_some(())
        })
        .await;
        calls
    }

    /// Ends the PSA.
    pub fn psa_goes(&mut self) {
        self.psa.take();
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
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
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
