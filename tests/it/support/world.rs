//! A whole Sidegate in this process: the demo PSA, the development issuer, and the gate in front,
//! each on a free port of loopback.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::app::{App, Sockets, Source};
use sidegate::clock::Clock;
use sidegate::config;
use sidegate::demo::{DemoClient, DemoIssuer, DemoPsa};
use sidegate::edge::Door;
use sidegate::edge::admin::AdminDoor;
use sidegate::gate::Gate;
use sidegate::gate::admin::Admins;
use sidegate::outbound::Outbound;
use sidegate::secret::Secret;
use sidegate::store::{IssuerRow, NewAgent, Store, StoreConfig};
use sidegate::tool::table::{ToolRow, standard_rows};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::http::{Answer, client_trusting, message, send};
pub use super::http::{client, modern};
use super::plan::{Ends, Plan};
use super::tap::{Sent, Tap};
use super::tls;
use super::wait::PATIENCE;
pub use super::wait::until;

thread_local! {
    // A world's folder must outlive the test's runtime, whose last task writes the record there:
    // it goes with the test's thread.
    static FOLDERS: RefCell<Vec<Rc<TempDir>>> = const { RefCell::new(Vec::new()) };
}

pub struct World {
    pub psa: DemoPsa,
    pub issuer: DemoIssuer,
    pub mcp_url: String,
    pub base: String,
    pub ops_url: String,
    pub admin_url: String,
    pub admins: Arc<Admins>,
    pub config_file: PathBuf,
    pub folder: Rc<TempDir>,
    pub gate: Arc<Gate>,
    client: Outbound,
    tap: Option<Tap>,
    tokens: parking_lot::Mutex<HashMap<String, String>>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// A development issuer with the demo's machines.
pub async fn issuer(clock: Clock) -> DemoIssuer {
    let clients = ["technician", "reader", "stranger"].map(|agent| DemoClient {
        client_id: format!("demo-{agent}"),
        client_secret: Secret::new(format!("secret-of-{agent}")),
    });
    let lifetime = Duration::from_secs(3600);
    DemoIssuer::start(listener().await, clock, clients.into(), lifetime).await.expect("the demo issuer")
}

impl World {
    /// Everything as the demo has it, in plain HTTP.
    pub async fn start() -> Self {
        Self::of(Plan::default()).await
    }

    /// The same with further lines for `[server]` and further text at the end.
    pub async fn with(server: &str, more: &str) -> Self {
        Self::of(Plan { server, more, ..Plan::default() }).await
    }

    /// The same with these tools.
    pub async fn offering(rows: Vec<ToolRow>, server: &str, more: &str) -> Self {
        Self::of(Plan { rows, server, more, ..Plan::default() }).await
    }

    /// Whatever was planned.
    pub async fn of(plan: Plan<'_>) -> Self {
        super::install_crypto();
        let psa = DemoPsa::start(listener().await, Clock::System).await.expect("the demo PSA");
        let issuer = issuer(Clock::System).await;
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let ops = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let admin = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound");
        let base = match plan.tls {
            true => format!("https://localhost:{}", address.port()),
            false => format!("http://{address}"),
        };
        let mcp_url = format!("{base}/api/mcp");
        issuer.allow_resource(&mcp_url);
        let folder = Rc::new(tempfile::tempdir().expect("a folder"));
        FOLDERS.with_borrow_mut(|folders| folders.push(folder.clone()));
        std::fs::create_dir(folder.path().join("record")).expect("a folder");
        if plan.tls {
            tls::write(folder.path());
        }
        let tap = if plan.tapped { Some(Tap::before(&psa.url).await) } else { None };
        let ends = Ends {
            base: &base,
            address,
            ops: ops.local_addr().expect("bound"),
            admin: admin.local_addr().expect("bound"),
            folder: folder.path(),
            psa: &psa,
            psa_url: tap.as_ref().map_or(&psa.url, |tap| &tap.url),
            issuer: &issuer.issuer,
        };
        let config_file = folder.path().join("sidegate.toml");
        std::fs::write(&config_file, plan.configuration(&ends)).expect("written");
        let ops_url = format!("http://{}", ends.ops);
        let admin_url = format!("http://{}", ends.admin);
        let sockets = sockets(socket, ops, admin);
        let (gate, admins, stop, running) = serve(&config_file, sockets, plan.rows, true).await;
        let stop = Some(stop);
        let running = Some(running);
        let client = match plan.tls {
            true => client_trusting(&tls::authority(folder.path())),
            false => client(),
        };
        Self {
            psa,
            issuer,
            mcp_url,
            base,
            ops_url,
            admin_url,
            admins,
            config_file,
            folder,
            gate,
            client,
            tap,
            stop,
            running,
            tokens: Default::default(),
        }
    }

    /// Host and port of the public listener, as a Host header has them.
    pub fn authority(&self) -> &str {
        self.base.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The CA that a client must trust where there is TLS.
    pub fn ca_file(&self) -> PathBuf {
        tls::authority(self.folder.path())
    }

    /// A second start of what was stopped, on the same addresses and files, whether the PSA is there or not.
    pub async fn again(mut self) -> Self {
        let bind = |url: &str| TcpListener::bind(url.trim_start_matches("http://")).expect("the same port");
        let sockets = sockets(bind(&self.base), bind(&self.ops_url), bind(&self.admin_url));
        let (gate, admins, stop, running) = serve(&self.config_file, sockets, standard_rows(), false).await;
        self.gate = gate;
        self.admins = admins;
        self.stop = Some(stop);
        self.running = Some(running);
        self
    }

    /// What another process with the same store would have.
    pub async fn store(&self) -> Elsewhere {
        let config = StoreConfig::at(format!("sqlite://{}/sidegate.db", self.folder.path().display()));
        Elsewhere(Store::open(&config, Clock::System).await.expect("the store"))
    }

    /// Binds the issuer's `stranger` to a new agent that names no maximum effect of its own, from elsewhere,
    /// and waits until it is let in.
    pub async fn admit_stranger(&self, name: &str, psa_user: &str) {
        let agent = NewAgent {
            name: name.to_owned(),
            issuer: self.issuer.issuer.clone(),
            subject: "demo-stranger".to_owned(),
            psa_user: Some(psa_user.to_owned()),
            ..NewAgent::default()
        };
        self.store().await.0.add_agent("demo", &agent).await.expect("added");
        until(|| async {
            let answer = self.ask("stranger", "tools/list", json!({})).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Asks the demo PSA's control side.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.psa.url))
            .header("x-demo-control", self.psa.control_secret.expose())
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("a request");
        self.send(request).await.body
    }

    /// The agent's token of the demo's issuer for this resource, the same each time.
    pub fn token(&self, agent: &str) -> String {
        let mut tokens = self.tokens.lock();
        let new = || {
            let token = self.issuer.token_for(&format!("demo-{agent}"), &self.mcp_url).expect("a token");
            token.expose().to_owned()
        };
        tokens.entry(agent.to_owned()).or_insert_with(new).clone()
    }

    /// Sends any request; a body that is not JSON is shown as a string.
    pub async fn send(&self, request: http::Request<Bytes>) -> Answer {
        send(&self.client, request).await
    }

    pub async fn get(&self, url: &str) -> Answer {
        self.send(http::Request::get(url).body(Bytes::new()).expect("a request")).await
    }

    /// POSTs a body to the MCP endpoint with the agent's token and further headers.
    pub async fn post(
        &self,
        token: Option<&str>,
        body: impl Into<Bytes>,
        headers: &[(&str, String)],
    ) -> Answer {
        self.send(message(&self.mcp_url, token, body, headers)).await
    }

    /// One message of the newest revision as the named agent.
    pub async fn ask(&self, agent: &str, method: &str, params: Value) -> Answer {
        let (body, headers) = modern(method, params);
        self.post(Some(&self.token(agent)), body.to_string(), &headers).await
    }

    /// One tools/call as the named agent.
    pub async fn call(&self, agent: &str, tool: &str, arguments: Value) -> Answer {
        self.ask(agent, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// The id of some ticket, as the agent sees it.
    pub async fn a_ticket(&self, agent: &str) -> String {
        let arguments = json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 1}});
        let answer = self.call(agent, "call_api_endpoint", arguments).await;
        let id = answer.body["result"]["structuredContent"]["data"]["data"][0]["ticket_id"].as_str();
        id.unwrap_or_else(|| panic!("no ticket: {answer:?}")).to_owned()
    }

    /// The title of a ticket, as the agent sees it.
    pub async fn title(&self, agent: &str, ticket: &str) -> String {
        let arguments = json!({"entryId": "get-_api_v1_tickets_id", "path": {"id": ticket}});
        let answer = self.call(agent, "call_api_endpoint", arguments).await;
        let title = answer.body["result"]["structuredContent"]["data"]["data"]["title"].as_str();
        title.unwrap_or_else(|| panic!("no title: {answer:?}")).to_owned()
    }

    /// What reached the demo PSA under a name other than the catalogue's own fetch.
    pub async fn reached(&self) -> Vec<Value> {
        let all = self.get(&format!("{}/__requests", self.psa.url)).await;
        let all = all.body.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|request| request["path"] != "/api/v1/meta/mcp-registry").collect()
    }

    /// Everything that was sent to the PSA, keys and catalogue included, where the plan says `tapped`.
    pub fn sent(&self) -> Vec<Sent> {
        self.tap.as_ref().expect("a tapped world").seen()
    }

    /// The audit records, once there are at least `count`.
    pub async fn records(&self, count: usize) -> Vec<Value> {
        self.records_when(|records| records.len() >= count).await
    }

    /// The audit records, once they are as `wanted`.
    pub async fn records_when(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let path = self.folder.path().join("record/audit.jsonl");
        until(|| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            // The last line may still be growing.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let line = |line| serde_json::from_str(line).expect("a JSON line");
            let records = whole.lines().map(line);
            // What the record says of itself is left out.
            let asked = |record: &Value| matches!(record["record"].as_str(), Some("event" | "intent"));
            let records: Vec<Value> = records.filter(asked).collect();
            let found = wanted(&records).then_some(records);
            async { found }
        })
        .await
    }

    /// The value of one metric line, named with its labels.
    pub async fn metric(&self, line: &str) -> f64 {
        let metrics = self.get(&format!("{}/metrics", self.ops_url)).await;
        let text = metrics.body.as_str().unwrap_or_default();
        let found = text.lines().find_map(|have| have.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in\n{text}"))
    }

    /// Waits until a metric has this value: some count what is over only after everybody could see it.
    pub async fn metric_is(&self, line: &str, value: f64) {
        until(|| async { (self.metric(line).await == value).then_some(()) }).await;
    }

    /// Rewrites the configuration file, as an editor does, and waits until that was noticed.
    pub async fn edit(&self, change: impl FnOnce(String) -> String) {
        let reloads = || async {
            let of = |outcome| format!("sidegate_config_reloads_total{{outcome=\"{outcome}\"}}");
            self.metric(&of("ok")).await + self.metric(&of("error")).await
        };
        let before = reloads().await;
        let text = std::fs::read_to_string(&self.config_file).expect("the file");
        let beside = self.folder.path().join("new.toml");
        std::fs::write(&beside, change(text)).expect("written");
        std::fs::rename(beside, &self.config_file).expect("renamed");
        until(|| async { (reloads().await > before).then_some(()) }).await;
    }

    /// A configuration like its own, for a server of its own in front of the same PSA and issuer, with its
    /// files in `folder`. It listens wherever there is a port free.
    pub fn beside(&self, folder: &Path) -> String {
        std::fs::create_dir_all(folder.join("record")).expect("a folder");
        let text = std::fs::read_to_string(&self.config_file).expect("the file");
        let own = |line: &str| match line.split(" = ").next() {
            Some("listen") if line.contains('[') => "listen = [\"127.0.0.1:0\"]".to_owned(),
            Some("listen") => "listen = \"127.0.0.1:0\"".to_owned(),
            _ => line.replace(&self.folder.path().display().to_string(), &folder.display().to_string()),
        };
        text.lines().map(|line| own(line) + "\n").collect()
    }

    /// Stops Sidegate as SIGTERM would and waits until it has.
    pub async fn stop(&mut self) {
        if let (Some(stop), Some(running)) = (self.stop.take(), self.running.take()) {
            let _ = stop.send(());
            tokio::time::timeout(PATIENCE, running).await.expect("stopped in time").expect("stopped well");
        }
    }
}

/// Another process's view of the store.
pub struct Elsewhere(Store);

impl Elsewhere {
    /// Puts down an issuer of a tenant that is switched off.
    pub async fn inactive_issuer(&self, tenant: &str, issuer: &str) {
        if tenant != "demo" {
            self.0.ensure_tenant(tenant, "").await.expect("a tenant");
        }
        let row = IssuerRow { issuer: issuer.to_owned(), active: false, ..IssuerRow::default() };
        self.0.put_issuer(tenant, &row).await.expect("put down");
    }

    pub async fn switch(&self, agent: &str, on: bool) {
        self.0.switch_agent("demo", agent, on).await.expect("switched");
    }
}

/// Serves what the file says on these sockets, until told to stop.
async fn serve(
    config_file: &Path,
    sockets: Sockets,
    rows: Vec<ToolRow>,
    warm: bool,
) -> (Arc<Gate>, Arc<Admins>, oneshot::Sender<()>, JoinHandle<()>) {
    let config =
        config::load(Some(config_file), std::iter::empty()).unwrap_or_else(|problems| panic!("{problems}"));
    let source = Source::new(Some(config_file.to_owned()), |_| {}).expect("signals");
    let app = App::build(config, sockets, Clock::System, rows).await.expect("a whole");
    let app = app.following(source);
    if warm {
        app.warm().await.expect("a catalogue");
    }
    let (gate, admins) = (app.gate(), app.admins());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        app.run(stopped).await.expect("served");
    });
    (gate, admins, stop, running)
}

fn sockets(door: TcpListener, ops: TcpListener, admin: TcpListener) -> Sockets {
    Sockets { door: Door::from_sockets(vec![door]), ops, admin: AdminDoor::from_sockets(vec![admin]) }
}

async fn listener() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}
