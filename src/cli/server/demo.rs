//! `sidegate demo`: a demo PSA, a development issuer and Sidegate in front of them, all in this
//! process, on throw-away files.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};

use super::{Done, logging};
use crate::app::{App, AppError, Sockets};
use crate::clock::Clock;
use crate::config;
use crate::demo::{DemoClient, DemoIssuer, DemoPsa, write_certificates, write_private};
use crate::edge::Door;
use crate::edge::admin::AdminDoor;
use crate::gate::admin::{Actor, TokenSpec};
use crate::outbound::{Guard, Limits, Outbound};
use crate::secret::Secret;
use crate::tool::table::standard_rows;

/// The demo's agent that may do what a technician may.
pub const TECHNICIAN: &str = "technician";
/// The demo's agent whose role may read and nothing else.
const READER: &str = "reader";

const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The port for MCP; 0 takes a free one.
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// The IP address for MCP instead of loopback: 0.0.0.0 in a container whose port is published.
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Print one JSON line when ready, and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

/// Where everything is: the JSON line.
#[derive(Debug, Serialize)]
struct Whereabouts {
    mcp_url: String,
    ca_file: PathBuf,
    issuer: String,
    token: String,
    second_token: String,
    psa_url: String,
    metrics_url: String,
    admin_url: String,
    admin_token: String,
    audit_file: PathBuf,
    config_file: PathBuf,
    pid: u32,
}

/// What `sidegate token new` needs of a running demo; kept beside its configuration.
#[derive(Debug, Serialize, Deserialize)]
struct Notes {
    token_endpoint: String,
    resource: String,
    clients: Vec<NotedClient>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotedClient {
    agent: String,
    client_id: String,
    client_secret: String,
}

fn failed(error: impl ToString) -> AppError {
    AppError(error.to_string())
}

pub async fn run(arguments: DemoArguments) -> Done {
    let folder = tempfile::Builder::new().prefix("sidegate-demo-").tempdir().map_err(failed)?;
    let clock = Clock::System;
    let door = listeners(arguments.host, arguments.port)?;
    let port = door.addresses().first().map(SocketAddr::port).unwrap_or_default();
    let (ops, admin) = (loopback(0)?, AdminDoor::from_sockets(vec![loopback(0)?]));
    let psa = DemoPsa::start(async_listener(loopback(0)?)?, clock.clone()).await.map_err(failed)?;
    let clients = [TECHNICIAN, READER].map(|agent| NotedClient {
        agent: agent.to_owned(),
        client_id: format!("demo-{agent}"),
        client_secret: Alphanumeric.sample_string(&mut rand::rng(), 40),
    });
    let known = clients.iter().map(|client| DemoClient {
        client_id: client.client_id.clone(),
        client_secret: Secret::new(client.client_secret.clone()),
    });
    let issuer =
        DemoIssuer::start(async_listener(loopback(0)?)?, clock.clone(), known.collect(), TOKEN_LIFETIME)
            .await
            .map_err(failed)?;
    let base = format!("https://localhost:{port}");
    let mcp_url = format!("{base}/api/mcp");
    issuer.allow_resource(&mcp_url);

    let ca_file = write_certificates(folder.path()).map_err(failed)?;
    let audit_file = folder.path().join("audit.jsonl");
    let config_file = folder.path().join("sidegate.toml");
    let ops_address = ops.local_addr().map_err(failed)?;
    let [admin_address] = admin.addresses()[..] else { return Err(failed("one address")) };
    let text = configuration(&Wiring {
        folder: folder.path(),
        audit_file: &audit_file,
        base: &base,
        addresses: &door.addresses(),
        ops: ops_address,
        admin: admin_address,
        psa: &psa,
        issuer: &issuer.issuer,
    });
    write_private(&config_file, &text).map_err(failed)?;
    let config = config::load(Some(&config_file), std::iter::empty())
        .map_err(|problems| AppError(format!("the demo's configuration cannot be used\n{problems}")))?;
    logging::start(&config.log);

    let app = App::build(config, Sockets { door, ops, admin }, clock, standard_rows()).await?;
    app.warm().await?;
    let notes = Notes {
        token_endpoint: format!("{}/token", issuer.issuer),
        resource: mcp_url.clone(),
        clients: clients.into(),
    };
    let notes_file = folder.path().join("demo.json");
    write_private(&notes_file, &serde_json::json!(notes).to_string()).map_err(failed)?;
    let _pointer = Pointer::put(&notes_file)?;

    let spec = TokenSpec { name: "demo".to_owned(), ..TokenSpec::default() };
    let made = app.admins().create_admin_token(&Actor::command_line(), &spec).await;
    let (_, admin_token) = made.map_err(failed)?;
    let token = |client: &NotedClient| issuer.token_for(&client.client_id, &mcp_url).map_err(AppError);
    let [technician, reader] = notes.clients.as_slice() else { return Err(failed("two agents")) };
    let whereabouts = Whereabouts {
        token: token(technician)?.expose().to_owned(),
        second_token: token(reader)?.expose().to_owned(),
        mcp_url,
        ca_file,
        issuer: issuer.issuer.clone(),
        psa_url: psa.url.clone(),
        metrics_url: format!("http://{ops_address}/metrics"),
        admin_url: format!("http://{admin_address}/api/v1/mcp"),
        admin_token: admin_token.expose().to_owned(),
        audit_file,
        config_file,
        pid: std::process::id(),
    };
    // The signals are listened for before anyone is told that we are there.
    let stopped = super::serve::stopped()?;
    let serving = app.run(stopped);
    tokio::pin!(serving);
    // One turn of the loop opens the listeners.
    tokio::select! {
        biased;
        ended = &mut serving => return ended,
        () = tokio::task::yield_now() => {}
    }
    if arguments.json {
        println!("{}", serde_json::json!(whereabouts));
    } else {
        println!("{}", shown(&whereabouts));
    }
    serving.await
}

/// A new token for one of the running demo's agents, from its issuer's token endpoint.
pub async fn new_token(config: Option<&Path>, agent: &str) -> Result<Secret, AppError> {
    let file = match config {
        Some(config) => config.with_file_name("demo.json"),
        None => Pointer::read()?,
    };
    let text = fs::read_to_string(&file).map_err(|error| {
        AppError(format!("no demo runs here ({}: {error}); start one with `sidegate demo`", file.display()))
    })?;
    let notes: Notes = serde_json::from_str(&text).map_err(failed)?;
    let Some(client) = notes.clients.iter().find(|client| client.agent == agent) else {
        let known: Vec<_> = notes.clients.iter().map(|client| client.agent.as_str()).collect();
        return Err(AppError(format!("--agent: the demo has {}, no `{agent}`", known.join(" and "))));
    };
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &client.client_id)
        .append_pair("client_secret", &client.client_secret)
        .append_pair("resource", &notes.resource)
        .finish();
    let request = http::Request::post(&notes.token_endpoint)
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into())
        .map_err(failed)?;
    let patience = Duration::from_secs(5);
    let limits = Limits { deadline: patience, connect: patience, body: 1 << 16 };
    let outbound = Outbound::new(Guard::operator_chosen(), limits).map_err(failed)?;
    let response = outbound.send(request).await.map_err(failed)?;
    let answer: serde_json::Value = serde_json::from_slice(response.body()).map_err(failed)?;
    match answer.get("access_token").and_then(|token| token.as_str()) {
        Some(token) => Ok(Secret::new(token)),
        None => Err(AppError(format!("the demo's issuer answered {}: {answer}", response.status()))),
    }
}

/// The configuration of the demo that runs here, if one does.
pub fn running() -> Option<PathBuf> {
    Pointer::read().ok().map(|notes| notes.with_file_name("sidegate.toml"))
}

/// What the configuration wires together.
struct Wiring<'a> {
    folder: &'a Path,
    audit_file: &'a Path,
    base: &'a str,
    addresses: &'a [SocketAddr],
    ops: SocketAddr,
    admin: SocketAddr,
    psa: &'a DemoPsa,
    issuer: &'a str,
}

fn configuration(wiring: &Wiring<'_>) -> String {
    let Wiring { folder, audit_file, base, addresses, ops, admin, psa, issuer } = wiring;
    let quoted = |text: &dyn std::fmt::Display| serde_json::Value::from(text.to_string()).to_string();
    let listen: Vec<_> = addresses.iter().map(|address| quoted(address)).collect();
    let agents = [(TECHNICIAN, psa.technician(), "destroy"), (READER, psa.reader(), "destroy")];
    let agents: String = agents
        .iter()
        .map(|(name, user, effect)| {
            format!(
                "\n[[agents]]\nname = \"{name}\"\nissuer = {issuer}\nsubject = \"demo-{name}\"\n\
                 psa_user = \"{user}\"\nmax_effect = \"{effect}\"\n",
                issuer = quoted(issuer),
            )
        })
        .collect();
    format!(
        "# Written by `sidegate demo`; gone when it stops.\n\
         [server]\nlisten = [{listen}]\npublic_url = {base}\ntls_cert_file = {cert}\ntls_key_file = {key}\n\n\
         [ops]\nlisten = {ops}\n\n[admin]\nlisten = [{admin}]\n\n[store]\nurl = {store}\n\n[tenant]\nid = \"demo\"\nname = \"Demo MSP\"\n\n\
         [psa]\nurl = {psa_url}\ntenant = \"{tenant}\"\nkeys = \"demo\"\ndemo_secret = {secret}\ncatalog_user = \"{user}\"\n\n\
         [idp]\nallow_private_networks = [\"127.0.0.0/8\", \"::1/128\"]\n\n\
         [[sinks]]\nkind = \"file\"\npath = {audit}\n\n[log]\nfilter = \"warn\"\n\n\
         [[issuers]]\nissuer = {issuer}\n{agents}",
        listen = listen.join(", "),
        base = quoted(base),
        cert = quoted(&folder.join("tls.crt").display()),
        key = quoted(&folder.join("tls.key").display()),
        ops = quoted(ops),
        admin = quoted(admin),
        store = quoted(&format!("sqlite://{}", folder.join("sidegate.db").display())),
        psa_url = quoted(&psa.url),
        tenant = psa.tenant,
        secret = quoted(&psa.control_secret.expose()),
        user = psa.catalog_user,
        audit = quoted(&audit_file.display()),
        issuer = quoted(issuer),
    )
}

fn loopback(port: u16) -> Result<TcpListener, AppError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| AppError(format!("--port: 127.0.0.1:{port} cannot be bound: {error}; try --port 0")))
}

/// 127.0.0.1 and, where this machine has it, ::1 on the same port: `localhost` may be either. Or `host` instead.
fn listeners(host: Option<IpAddr>, port: u16) -> Result<Door, AppError> {
    if let Some(host) = host {
        let bound = TcpListener::bind((host, port));
        let bound = bound.map_err(|error| AppError(format!("--host: {host} port {port}: {error}")))?;
        return Ok(Door::from_sockets(vec![bound]));
    }
    let v4 = loopback(port)?;
    let port = v4.local_addr().map_err(failed)?.port();
    let v6 = TcpListener::bind((IpAddr::from(Ipv6Addr::LOCALHOST), port)).ok();
    Ok(Door::from_sockets(std::iter::once(v4).chain(v6).collect()))
}

fn async_listener(listener: TcpListener) -> Result<tokio::net::TcpListener, AppError> {
    listener.set_nonblocking(true).map_err(failed)?;
    tokio::net::TcpListener::from_std(listener).map_err(failed)
}

/// A file at a known place that says where the running demo's notes are; gone when it stops.
struct Pointer {
    place: PathBuf,
    notes: PathBuf,
}

impl Pointer {
    fn place() -> Result<(PathBuf, u32), AppError> {
        let user = fs::metadata("/proc/self").map_err(failed)?.uid();
        Ok((std::env::temp_dir().join(format!("sidegate-demo-{user}.path")), user))
    }

    fn put(notes: &Path) -> Result<Self, AppError> {
        let (place, _) = Self::place()?;
        // Renamed into place, so that a link that somebody left there is replaced and not followed.
        let parent = place.parent().unwrap_or(Path::new("/tmp"));
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
        file.write_all(notes.display().to_string().as_bytes()).map_err(failed)?;
        file.persist(&place).map_err(failed)?;
        Ok(Self { place, notes: notes.to_owned() })
    }

    fn read() -> Result<PathBuf, AppError> {
        let (place, user) = Self::place()?;
        let ours = fs::symlink_metadata(&place)
            .is_ok_and(|meta| meta.is_file() && meta.uid() == user && meta.permissions().mode() & 0o022 == 0);
        if !ours {
            return Err(AppError("no demo runs here; start one with `sidegate demo`".to_owned()));
        }
        Ok(PathBuf::from(fs::read_to_string(&place).map_err(failed)?))
    }
}

impl Drop for Pointer {
    fn drop(&mut self) {
        // A demo that was started later has put its own there.
        if Self::read().is_ok_and(|named| named == self.notes) {
            let _ = fs::remove_file(&self.place);
        }
    }
}

/// The same for people, with things to paste.
fn shown(at: &Whereabouts) -> String {
    let client = serde_json::json!({"mcpServers": {"sidegate": {
        "type": "http", "url": at.mcp_url, "headers": {"Authorization": format!("Bearer {}", at.token)},
    }}});
    let call = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "call_api_endpoint",
        "arguments": {"entryId": "get-_api_v1_tickets", "query": {"limit": 3, "fields": "ticket_number,title,status_name"}},
    }});
    format!(
        "Sidegate demo, ready.\n\n\
         MCP endpoint    {mcp}\n\
         CA certificate  {ca}\n\
         issuer          {issuer}\n\
         demo PSA        {psa}   (what reached it: {psa}/__requests)\n\
         metrics         {metrics}\n\
         administration  {admin}   (token: {admin_token})\n\
         audit record    {audit}\n\
         configuration   {config}\n\n\
         Read three tickets as the technician's agent:\n\n\
         curl --cacert {ca} {mcp} \\\n  -H 'Authorization: Bearer {token}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{call}'\n\n\
         The token of an agent that may read and is denied writes:\n\n{second}\n\n\
         An MCP client's configuration (a Node client needs NODE_EXTRA_CA_CERTS={ca}):\n\n{client:#}\n\n\
         Tokens live 12 hours; `sidegate token new` prints another. Ctrl-C stops everything.",
        mcp = at.mcp_url,
        ca = at.ca_file.display(),
        issuer = at.issuer,
        psa = at.psa_url,
        metrics = at.metrics_url,
        admin = at.admin_url,
        admin_token = at.admin_token,
        audit = at.audit_file.display(),
        config = at.config_file.display(),
        token = at.token,
        second = at.second_token,
    )
}
