//! The binary as people and machines run it: the demo, the administrator's commands beside it, and its end.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sidegate::clock::Clock;
use sidegate::outbound::Outbound;
use tempfile::TempDir;

use crate::support::http::{Answer, client_trusting, message, modern, send};
use crate::support::process::{Ended, Process};
use crate::support::wait::until;
use crate::support::world::issuer;

/// The longest that an agent's switch may take to be seen by another process.
const SEEN: Duration = Duration::from_millis(200);

/// `sidegate`, whose temporary files go to `temp`; no configuration of the test's caller reaches it.
fn sidegate(temp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.current_dir(temp).env_clear().env("TMPDIR", temp);
    command
}

/// A running `sidegate demo --json --port 0`.
struct Demo {
    process: Process,
    said: Value,
    client: Outbound,
    temp: Rc<TempDir>,
}

impl Demo {
    async fn start() -> Self {
        Self::start_in(Rc::new(tempfile::tempdir().unwrap())).await
    }

    async fn start_in(temp: Rc<TempDir>) -> Self {
        crate::support::install_crypto();
        let mut process = Process::start(sidegate(temp.path()).args(["demo", "--json", "--port", "0"]));
        let line = process.first_line().await;
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let client = client_trusting(Path::new(said["ca_file"].as_str().unwrap()));
        Self { process, said, client, temp }
    }

    fn says(&self, key: &str) -> &str {
        self.said[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.said))
    }

    /// Another process with the demo's configuration.
    fn beside(&self, arguments: &[&str]) -> Command {
        let mut command = sidegate(self.temp.path());
        command.args(arguments).args(["--config", self.says("config_file")]);
        command
    }

    /// Runs it and returns what it printed; it must exit with 0.
    async fn beside_well(&self, arguments: &[&str]) -> String {
        let ended = Process::run(&mut self.beside(arguments)).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.out
    }

    async fn explain(&self, token: &str) -> Ended {
        Process::run(&mut self.beside(&["token", "explain", token])).await
    }

    /// The reason for which `token` is refused, told as the label and as the step that failed.
    async fn explain_refusal(&self, token: &str) -> (String, String) {
        let told = Process::run(&mut self.beside(&["token", "explain", "--json", token])).await;
        assert_eq!(told.code, Some(1), "{told:?}");
        let told: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(told["accepted"], false, "{told:#}");
        let last = told["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["passed"], false, "{told:#}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&told["reason"]), text(&last["check"]))
    }

    async fn call(&self, token: &str, arguments: Value) -> Answer {
        let (body, headers) =
            modern("tools/call", json!({"name": "call_api_endpoint", "arguments": arguments}));
        send(&self.client, message(self.says("mcp_url"), Some(token), body.to_string(), &headers)).await
    }

    async fn get(&self, url: &str) -> Answer {
        send(&self.client, http::Request::get(url).body(Bytes::new()).unwrap()).await
    }

    /// What reached the demo PSA, as `METHOD target`.
    async fn reached(&self) -> Vec<String> {
        let requests = self.get(&format!("{}/__requests", self.says("psa_url"))).await;
        let line = |request: &Value| {
            format!("{} {}", request["method"].as_str().unwrap(), request["path"].as_str().unwrap())
        };
        requests.body.as_array().unwrap().iter().map(line).collect()
    }

    /// The id of some ticket.
    async fn ticket(&self) -> String {
        let listed = self.call(self.says("token"), tickets()).await;
        let id = &listed.body["result"]["structuredContent"]["data"]["data"][0]["ticket_id"];
        id.as_str().unwrap_or_else(|| panic!("{listed:?}")).to_owned()
    }
}

fn tickets() -> Value {
    json!({"entryId": "get-_api_v1_tickets", "query": {"limit": 1}})
}

fn rename(ticket: &str) -> Value {
    json!({"entryId": "put-_api_v1_tickets_id", "path": {"id": ticket}, "body": {"title": "Renamed"}})
}

#[tokio::test]
async fn the_demo_prints_one_line_of_json_with_everything_a_client_needs() {
    let mut demo = Demo::start().await;
    let keys: BTreeSet<_> = demo.said.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "mcp_url",
        "ca_file",
        "issuer",
        "token",
        "second_token",
        "psa_url",
        "metrics_url",
        "admin_url",
        "admin_token",
        "audit_file",
        "config_file",
        "pid",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!(demo.said["pid"], demo.process.id());
    let mode = std::fs::metadata(demo.says("config_file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds a secret");
    let metrics = demo.get(demo.says("metrics_url")).await;
    assert!(metrics.body.as_str().unwrap().contains("sidegate_ready 1"), "{metrics:?}");
    let metadata = demo.get(&format!("{}/jwks", demo.says("issuer"))).await;
    assert_eq!(metadata.status, 200);
    assert!(!demo.call(demo.says("token"), tickets()).await.is_error());

    demo.process.terminate();
    let ended = demo.process.ended().await;
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    assert_eq!(ended.err, "", "nothing to warn of");
}

#[tokio::test]
async fn the_demos_first_token_may_write_and_its_second_is_denied() {
    let demo = Demo::start().await;
    let ticket = demo.ticket().await;
    let wrote = demo.call(demo.says("token"), rename(&ticket)).await;
    assert!(!wrote.is_error(), "{}", wrote.text());
    let denied = demo.call(demo.says("second_token"), rename(&ticket)).await;
    assert!(denied.is_error(), "{}", denied.text());
    assert_eq!(denied.body["result"]["structuredContent"]["status"], 403);
    let writes = demo.reached().await.into_iter().filter(|line| line.starts_with("PUT ")).collect::<Vec<_>>();
    assert_eq!(writes, vec![format!("PUT /api/v1/tickets/{ticket}"); 2]);
    let audit = Path::new(demo.says("audit_file"));
    until(|| async {
        std::fs::read_to_string(audit).ok()?.contains("\"upstream_status\":403").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_token_of_the_demo_works() {
    let demo = Demo::start().await;
    let token = demo.beside_well(&["token", "new"]).await;
    let ticket = demo.ticket().await;
    assert!(!demo.call(token.trim(), rename(&ticket)).await.is_error());
    let token = demo.beside_well(&["token", "new", "--agent", "reader"]).await;
    assert!(!demo.call(token.trim(), tickets()).await.is_error());
    assert!(demo.call(token.trim(), rename(&ticket)).await.is_error());

    let found = Process::run(sidegate(demo.temp.path()).args(["token", "new"])).await;
    assert_eq!(found.code, Some(0), "without a configuration the running demo is found: {found:?}");
    assert!(!demo.call(found.out.trim(), tickets()).await.is_error());

    let nobody = Process::run(&mut demo.beside(&["token", "new", "--agent", "nobody"])).await;
    assert_eq!((nobody.code, nobody.out.as_str()), (Some(1), ""), "{nobody:?}");
    assert!(nobody.err.contains("technician and reader"), "{nobody:?}");
}

#[tokio::test]
async fn the_demo_that_was_started_last_is_found_also_when_an_earlier_one_has_stopped() {
    let mut earlier = Demo::start().await;
    let later = Demo::start_in(earlier.temp.clone()).await;
    earlier.process.terminate();
    assert_eq!(earlier.process.ended().await.code, Some(0));
    let found = Process::run(sidegate(later.temp.path()).args(["token", "new"])).await;
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(!later.call(found.out.trim(), tickets()).await.is_error());
}

#[tokio::test]
async fn a_good_token_is_explained_as_accepted_also_from_standard_input() {
    let demo = Demo::start().await;
    let told = demo.explain(demo.says("token")).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.ends_with("\naccepted\n") && told.out.contains("technician"), "{told:?}");
    assert!(!told.out.contains(" NO "), "{told:?}");
    let mut asked = Process::start(&mut demo.beside(&["token", "explain"]));
    asked.say(&format!("{}\n", demo.says("second_token")));
    let told = asked.ended().await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("reader"), "{told:?}");
}

#[tokio::test]
async fn a_bad_token_is_explained_by_the_step_that_fails_until_its_agent_is_added() {
    let demo = Demo::start().await;
    let told = demo.explain("garbage").await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains(" NO ") && told.out.contains("refused: malformed"), "{told:?}");
    assert_eq!(demo.explain_refusal("garbage").await, ("malformed".into(), "form and header".into()));
    let (signed, _) = demo.says("token").rsplit_once('.').unwrap();
    let (_, signature) = demo.says("second_token").rsplit_once('.').unwrap();
    let forged = format!("{signed}.{signature}");
    assert_eq!(demo.explain_refusal(&forged).await, ("signature".into(), "signature and claims".into()));

    // An issuer whose tokens are a day old, and who catches up later.
    let clock = Clock::manual(Clock::System.now() - 86_400_000);
    let other = issuer(clock.clone()).await;
    other.allow_resource(demo.says("mcp_url"));
    let sign = || other.token_for("demo-stranger", demo.says("mcp_url")).unwrap().expose().to_owned();
    let old = sign();
    assert_eq!(demo.explain_refusal(&old).await, ("unknown_issuer".into(), "issuer".into()));
    let scope = ["--write-scope", "psa.write"];
    let added = demo.beside_well(&[&["idp", "add", &other.issuer][..], &scope].concat()).await;
    assert!(added.contains("is trusted: 1 key"), "{added}");
    let listed = demo.beside_well(&["idp", "list"]).await;
    for issuer in [demo.says("issuer"), &other.issuer] {
        assert!(listed.lines().any(|line| line.starts_with(&format!("{issuer}\ttrusted"))), "{listed}");
    }
    assert!(listed.contains("\tscopes write: psa.write\n"), "{listed}");
    assert_eq!(demo.explain_refusal(&old).await, ("expired".into(), "signature and claims".into()));

    clock.advance(86_400_000);
    let token = sign();
    assert_eq!(demo.explain_refusal(&token).await, ("not_bound".into(), "agent".into()));
    let listed = demo.beside_well(&["agent", "list", "--json"]).await;
    let technician = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let technician = technician.into_iter().find(|row| row["name"] == "technician").unwrap();
    let user = technician["psa_user"].as_str().unwrap();
    let binding = ["--issuer", &other.issuer, "--subject", "demo-stranger", "--psa-user", user];
    demo.beside_well(&[&["agent", "add", "visitor", "--max-effect", "read"][..], &binding].concat()).await;
    assert_eq!(demo.explain(&token).await.code, Some(0));
    tokio::time::sleep(SEEN).await;
    let ticket = demo.ticket().await;
    assert!(!demo.call(&token, tickets()).await.is_error());
    let denied = demo.call(&token, rename(&ticket)).await;
    assert!(denied.text().contains("rule max_effect"), "{denied:?}");
    assert_eq!(demo.call(&old, tickets()).await.status, 401);
}

#[tokio::test]
async fn an_agent_that_is_disabled_beside_the_demo_is_refused_until_it_is_enabled() {
    let demo = Demo::start().await;
    let token = demo.says("token");
    assert!(!demo.call(token, tickets()).await.is_error());
    let state = async || {
        let listed = demo.beside_well(&["agent", "list"]).await;
        let line = listed.lines().find(|line| line.starts_with("technician\t")).unwrap();
        line.split('\t').nth(1).unwrap().to_owned()
    };
    assert_eq!(state().await, "on");
    demo.beside_well(&["agent", "disable", "technician"]).await;
    tokio::time::sleep(SEEN).await;
    let refused = demo.call(token, tickets()).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(!demo.call(demo.says("second_token"), tickets()).await.is_error(), "the other goes on");
    assert_eq!(state().await, "off");
    let told = demo.explain_refusal(token).await;
    assert_eq!(told, ("disabled".into(), "agent".into()));
    demo.beside_well(&["agent", "enable", "technician"]).await;
    tokio::time::sleep(SEEN).await;
    assert!(!demo.call(token, tickets()).await.is_error());
    assert_eq!(state().await, "on");
    let unknown = Process::run(&mut demo.beside(&["agent", "disable", "nobody"])).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("nobody"), "{unknown:?}");
}

#[tokio::test]
async fn check_reports_every_problem_with_file_and_key() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("bad.toml");
    let text = r#"
[server]
listn = ["127.0.0.1:1"]
max_body = "many"
[psa]
url = "not a URL"
keys = "carved"
[[sinks]]
kind = "tape"
[[agents]]
name = "nobody"
[colour]
"#;
    std::fs::write(&file, text).unwrap();
    let checked = Process::run(sidegate(temp.path()).args(["check", "--config"]).arg(&file)).await;
    assert_eq!((checked.code, checked.out.as_str()), (Some(1), ""), "{checked:?}");
    for key in [
        "server.listn",
        "server.max_body",
        "psa.url",
        "psa.keys",
        "sinks[0].kind",
        "agents[0].issuer",
        "agents[0].subject",
        "colour",
    ] {
        let told = format!("{}: {key}: ", file.display());
        assert!(checked.err.lines().any(|line| line.contains(&told)), "{key} in\n{}", checked.err);
    }
}

#[tokio::test]
async fn check_finds_no_problem_in_what_the_demo_wrote() {
    let demo = Demo::start().await;
    assert!(demo.beside_well(&["check"]).await.contains("no problems"));
}

#[tokio::test]
async fn the_health_of_what_runs_here_is_asked_without_a_shell() {
    let mut demo = Demo::start().await;
    for arguments in [&["health"][..], &["health", "--live"]] {
        demo.beside_well(arguments).await;
    }
    // Without a name for its configuration the running demo is found.
    let ended = Process::run(sidegate(demo.temp.path()).arg("health")).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // A configuration that was spoilt meanwhile does not make a healthy server look dead.
    let listen =
        demo.says("metrics_url").trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    std::fs::write(demo.temp.path().join("spoilt.toml"), "[[ spoilt").unwrap();
    let ended = Process::run(
        sidegate(demo.temp.path())
            .args(["health", "--config", "spoilt.toml"])
            .env("SIDEGATE__OPS__LISTEN", &listen),
    )
    .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    demo.process.terminate();
    demo.process.ended().await;
    let ended =
        Process::run(sidegate(demo.temp.path()).arg("health").env("SIDEGATE__OPS__LISTEN", &listen)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.err.contains(&format!("http://{listen}/readyz: the server cannot be reached")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn the_demo_serves_on_the_address_that_was_asked_for() {
    crate::support::install_crypto();
    let temp = tempfile::tempdir().unwrap();
    let mut process =
        Process::start(sidegate(temp.path()).args(["demo", "--json", "--port", "0", "--host", "0.0.0.0"]));
    let said: Value = serde_json::from_str(&process.first_line().await).unwrap();
    let config = std::fs::read_to_string(said["config_file"].as_str().unwrap()).unwrap();
    assert!(config.contains("listen = [\"0.0.0.0:"), "{config}");
    let client = client_trusting(Path::new(said["ca_file"].as_str().unwrap()));
    let metadata =
        said["mcp_url"].as_str().unwrap().replace("/api/mcp", "/.well-known/oauth-protected-resource");
    let answer = client.send(http::Request::get(metadata).body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    process.terminate();
    process.ended().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let temp = tempfile::tempdir().unwrap();
    let ended = Process::run(sidegate(temp.path()).args(["demo", "--json", "--port", &port])).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.err.contains(&port) && ended.err.contains("--port 0"), "{ended:?}");
    assert_eq!(left_in(temp.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_signal_to_stop_lets_the_call_in_flight_end_and_leaves_nothing_behind() {
    let mut demo = Demo::start().await;
    assert!(left_in(demo.temp.path()).iter().any(|name| name.starts_with("sidegate-demo-")));
    let slow = json!({"entryId": "get-_api_v1_reports_slow", "query": {"ms": 700}});
    let (body, headers) = modern("tools/call", json!({"name": "call_api_endpoint", "arguments": slow}));
    let request = message(demo.says("mcp_url"), Some(demo.says("token")), body.to_string(), &headers);
    let client = demo.client.clone();
    let answer = tokio::spawn(async move { send(&client, request).await });
    until(|| async { demo.reached().await.iter().any(|line| line.contains("/slow")).then_some(()) }).await;
    demo.process.terminate();
    let grace = Duration::from_secs(30);
    let ended = tokio::time::timeout(grace, demo.process.ended()).await.expect("it ended in time");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let answer = answer.await.unwrap();
    assert!(answer.status == 200 && !answer.is_error(), "{answer:?}");
    assert_eq!(left_in(demo.temp.path()), Vec::<String>::new());
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn administrators_tokens_are_made_listed_and_revoked_beside_a_running_demo() {
    let demo = Demo::start().await;
    let agents = async |token: String| {
        let url = format!("{}/agents", demo.says("admin_url"));
        let request = http::Request::get(url).header("authorization", format!("Bearer {token}"));
        send(&demo.client, request.body(Bytes::new()).unwrap()).await
    };
    let answer = agents(demo.says("admin_token").to_owned()).await;
    let names: BTreeSet<_> =
        answer.body["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["reader", "technician"].into());

    let made = demo.beside_well(&["admin-token", "create", "--name", "script", "--expires", "90d"]).await;
    let token = made.trim().to_owned();
    assert!(token.starts_with("sga_") && token.len() == 47, "{made}");
    assert_eq!(agents(token.clone()).await.status, 200);
    let listed = demo.beside_well(&["admin-token", "list"]).await;
    let line = listed.lines().find(|line| line.starts_with("script\t")).unwrap();
    assert!(
        line.contains("every tenant") && line.contains("until 2") && line.contains("last used"),
        "{line}"
    );
    assert!(!listed.contains(&token), "{listed}");
    let row: Value = serde_json::from_str(
        demo.beside_well(&["admin-token", "create", "--name", "own", "--json", "--tenant", "demo"])
            .await
            .trim(),
    )
    .unwrap();
    assert_eq!((&row["tenant"], &row["expires_at"]), (&json!("demo"), &Value::Null));
    assert_eq!(agents(row["token"].as_str().unwrap().to_owned()).await.status, 200);

    demo.beside_well(&["admin-token", "revoke", "script"]).await;
    assert_eq!(agents(token).await.status, 401);
    let unknown = Process::run(&mut demo.beside(&["admin-token", "revoke", "nobody"])).await;
    assert!(unknown.code == Some(1) && unknown.err.contains("nobody"), "{unknown:?}");
    let nowhere = ["admin-token", "create", "--name", "x", "--tenant", "nobody"];
    let nowhere = Process::run(&mut demo.beside(&nowhere)).await;
    assert!(nowhere.code == Some(1) && nowhere.err.contains("nobody"), "{nowhere:?}");
}
