//! `sidegate doctor`: a good server passes every step, and a bad one is told what is wrong, for whom,
//! and what to change.

mod proxy;
mod server;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use self::proxy::{Manner, before};
use self::server::{Endpoint, Server, Ways};
use crate::support::plan::Plan;
use crate::support::process::{Ended, Process};
use crate::support::world::World;

/// Runs the doctor with a token in its environment, if there is one.
async fn run(url: &str, token: Option<&str>, more: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.env_clear().args(["doctor", url]).args(more);
    if let Some(token) = token {
        command.env("SIDEGATE_DOCTOR_TOKEN", token);
    }
    Process::run(&mut command).await
}

/// A report in JSON, and whether the command said that all is well.
struct Report {
    found: Value,
    well: bool,
}

async fn examined(url: &str, token: Option<&str>, more: &[&str]) -> Report {
    let ended = run(url, token, &[&["--json"], more].concat()).await;
    let found = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
    Report { found, well: ended.code == Some(0) }
}

/// The report on this server, with a token of its own.
async fn of(server: &Server) -> Report {
    examined(&server.url(), Some(&server.token()), &["--timeout", "5s"]).await
}

impl Report {
    fn step(&self, id: &str) -> &Value {
        let steps = self.found["steps"].as_array().unwrap();
        steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("no {id} in {:#}", self.found))
    }

    fn connects(&self, client: &str) -> Option<bool> {
        let verdicts = self.found["verdicts"].as_array().unwrap();
        let verdict = verdicts.iter().find(|verdict| verdict["client"] == client);
        verdict.unwrap_or_else(|| panic!("no {client}"))["connects"].as_bool()
    }

    /// The step has this status, and these words in its detail and its remedy.
    #[track_caller]
    fn tells(&self, id: &str, status: &str, detail: &str, remedy: &str) -> &Self {
        let step = self.step(id);
        let has = |member: &str, words: &str| step[member].as_str().unwrap_or_default().contains(words);
        assert!(step["status"] == status && has("detail", detail) && has("remedy", remedy), "{step:#}");
        assert_eq!(self.well, !self.found.to_string().contains("\"status\":\"fail\""), "{:#}", self.found);
        self
    }

    /// Exactly these get no further, whatever is in doubt for others.
    #[track_caller]
    fn stops(&self, clients: &[&str]) {
        let verdicts = self.found["verdicts"].as_array().unwrap();
        let stopped = verdicts.iter().filter(|verdict| verdict["connects"] == false);
        let stopped: Vec<&str> = stopped.map(|verdict| verdict["client"].as_str().unwrap()).collect();
        assert_eq!(stopped, clients, "{:#}", self.found["verdicts"]);
    }
}

const OLD: &str = "VS Code before 1.100";
const ALL: [&str; 8] =
    ["claude.ai", "VS Code", OLD, "Cursor", "Copilot", "mcp-remote", "TypeScript SDK", "Python SDK"];

#[tokio::test]
async fn a_sidegate_behind_tls_passes_every_step() {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    let token_file = world.folder.path().join("token");
    std::fs::write(&token_file, world.token("reader")).unwrap();
    let (ca, token) = (world.ca_file(), token_file.display().to_string());
    let flags = ["--ca-file", ca.to_str().unwrap(), "--token-file", &token];
    let report = examined(&world.mcp_url, None, &flags).await;
    assert!(report.well, "{:#}", report.found);
    assert_eq!(report.found["url"], world.mcp_url);
    for step in report.found["steps"].as_array().unwrap() {
        let fine = match step["id"].as_str().unwrap() {
            // It listens on loopback, with an authority of its own.
            "public" => step["status"] == "warn",
            // Nothing is sent unasked, and the older transport is off, unless it is configured.
            "stream" | "sse" | "sse-message" | "sse-tokenless" => step["status"] != "fail",
            _ => step["status"] == "ok",
        };
        assert!(fine, "{step:#}");
    }
    assert!(report.step("read")["detail"].as_str().unwrap().contains("search_api_registry"));
    assert_eq!(report.connects("claude.ai"), None);
    for client in ["VS Code", "Cursor", "Copilot", "mcp-remote", "TypeScript SDK", "Python SDK"] {
        assert_eq!(report.connects(client), Some(true), "{:#}", report.found);
    }
}

#[tokio::test]
async fn the_event_streams_of_a_sidegate_are_a_resource_of_their_own_and_work_as_one() {
    for (proof, old) in [(false, Some(false)), (true, Some(true))] {
        let more = format!("[sse]\nenabled = true\nstream_is_proof = {proof}\n");
        let world = World::of(Plan { tls: true, more: &more, ..Plan::default() }).await;
        let (ca, url) = (world.ca_file(), format!("{}/sse", world.mcp_url));
        let flags = ["--ca-file", ca.to_str().unwrap()];
        let report = examined(&world.mcp_url, Some(&world.token("reader")), &flags).await;
        report.tells("sse", "skip", "elsewhere", &format!("examine {url}"));
        assert!(report.well, "{:#}", report.found);
        world.issuer.allow_resource(&url);
        let token = world.issuer.token_for("demo-reader", &url).unwrap();
        let report = examined(&url, Some(token.expose()), &flags).await;
        report.tells("resource", "ok", &url, "").tells("accepted", "ok", "yes", "");
        report.tells("sse", "ok", "/messages", "").tells("sse-message", "ok", "202", "");
        assert_eq!(
            (report.connects("VS Code"), report.connects(OLD)),
            (Some(true), old),
            "{:#}",
            report.found
        );
    }
}

#[tokio::test]
async fn without_a_token_only_the_way_to_one_is_judged() {
    let world = World::start().await;
    let report = examined(&world.mcp_url, None, &[]).await;
    report.tells("accepted", "skip", "--token-file", "").tells(
        "issuer",
        "ok",
        "oauth-authorization-server",
        "",
    );
    assert!(report.well);
    for client in ALL {
        assert_eq!(report.connects(client), None, "{client}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_and_a_closed_port_are_told_apart() {
    let world = World::of(Plan { tls: true, ..Plan::default() }).await;
    let report = examined(&world.mcp_url, Some("x"), &[]).await;
    report.tells("reach", "fail", "certificate", "--ca-file").stops(&ALL);
    let report = examined("http://127.0.0.1:1/mcp", None, &[]).await;
    report.tells("reach", "fail", "cannot be reached", "start the server").stops(&ALL);
}

#[tokio::test]
async fn answers_in_streams_that_stay_open_and_a_stream_for_the_rest_are_as_good_as_documents() {
    let ways = Ways { streamed: true, unasked: true, sse: Some(Endpoint::Path), ..Ways::default() };
    let server = Server::start(ways).await;
    let report = of(&server).await;
    report.tells("stream", "ok", "first byte after", "").tells("sse-message", "ok", "202", "");
    report.tells("read", "ok", "search", "").tells(
        "sse-tokenless",
        "ok",
        "refused with 401",
        "update VS Code",
    );
    assert!(report.well, "{:#}", report.found);
    report.stops(&[OLD]);
}

#[tokio::test]
async fn metadata_that_is_missing_stops_all_that_log_in() {
    let server = Server::start(Ways { metadata: false, ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("challenge", "fail", "status 404", "/.well-known/");
    report.tells("metadata-path", "fail", "status 404", "RFC 9728").stops(&ALL);
}

#[tokio::test]
async fn a_slash_too_many_in_resource_is_told_with_both_spellings() {
    let server = Server::start(Ways { resource: "/mcp/", ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("resource", "fail", "/mcp/\"", &format!("change resource to {}", server.url())).stops(&ALL);
    let above = Server::start(Ways { resource: "", ..Ways::default() }).await;
    of(&above).await.tells("resource", "fail", "above", "change resource").stops(&["VS Code", OLD]);
}

#[tokio::test]
async fn a_401_without_a_challenge_is_told() {
    let server = Server::start(Ways { challenges: false, ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("challenge", "fail", "guess", "WWW-Authenticate: Bearer").stops(&[OLD]);
    let blind = Server::start(Ways { challenges: false, metadata: false, ..Ways::default() }).await;
    of(&blind).await.tells("challenge", "fail", "401 without", "proxy").stops(&ALL);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_told_by_its_audience() {
    let server = Server::start(Ways::default()).await;
    let token = server.token_for("https://other.example.com/mcp");
    let report = examined(&server.url(), Some(&token), &[]).await;
    report.tells("token", "fail", "https://other.example.com/mcp", &server.url());
    report.tells("accepted", "fail", "the audience", "RFC 8707").stops(&ALL);
    report.tells("handshake", "skip", "not accepted", "");
}

#[tokio::test]
async fn an_issuer_without_s256_is_told() {
    let issuer_says = json!({"code_challenge_methods_supported": ["plain"]});
    let server = Server::start(Ways { issuer_says, ..Ways::default() }).await;
    of(&server).await.tells("pkce", "fail", "plain", "S256").stops(&ALL);
    let issuer_says = json!({"code_challenge_methods_supported": null});
    let server = Server::start(Ways { issuer_says, ..Ways::default() }).await;
    of(&server).await.tells("pkce", "warn", "nothing of PKCE", "S256").stops(&[OLD]);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_told() {
    let issuer_says = json!({"issuer": "https://other.example.com"});
    let server = Server::start(Ways { issuer_says, ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("issuer", "fail", "/issuer", "https://other.example.com");
    report.stops(&[OLD, "Copilot", "mcp-remote", "TypeScript SDK", "Python SDK"]);
    assert_eq!(report.connects("VS Code"), None);
}

#[tokio::test]
async fn entra_is_told_by_its_authorization_endpoint() {
    let endpoint = "https://login.microsoftonline.com/tenant/oauth2/v2.0/authorize";
    let issuer_says = json!({"authorization_endpoint": endpoint, "registration_endpoint": null});
    let server = Server::start(Ways { issuer_says, ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("resource-parameter", "warn", "AADSTS9010010", "Application ID URIs");
    report.tells("registration", "warn", "neither", "by hand").stops(&[OLD]);
    assert!(report.well);
}

#[tokio::test]
async fn keycloak_lacks_its_mapper_where_the_token_lacks_the_audience() {
    let server = Server::start(Ways { issuer: "/realms/msp", ..Ways::default() }).await;
    let report = examined(&server.url(), Some(&server.token_for("account")), &[]).await;
    report.tells("token", "fail", "\"account\"", "mapper of type Audience");
    report.tells("accepted", "fail", "401", "mapper of type Audience").stops(&ALL);
    let report = of(&server).await;
    report.tells("resource-parameter", "ok", "Keycloak", "");
    assert!(report.well, "{:#}", report.found);
}

#[tokio::test]
async fn a_proxy_that_holds_streams_back_is_told() {
    let ways = Ways { unasked: true, sse: Some(Endpoint::Whole), ..Ways::default() };
    let server = before(ways, Manner::Buffers).await;
    let report = examined(&server.url(), Some(&server.token()), &["--timeout", "2s"]).await;
    report.tells("stream", "fail", "time limit", "proxy_buffering off");
    report.tells("handshake", "ok", "revision", "");
    assert_eq!(report.connects("TypeScript SDK"), None);
}

#[tokio::test]
async fn a_stream_that_opens_and_stays_silent_is_told() {
    let ways = Ways { http: false, sse: Some(Endpoint::Silence), ..Ways::default() };
    let server = Server::start(ways).await;
    let report = examined(&server.url(), Some(&server.token()), &["--timeout", "1s"]).await;
    report.tells("sse", "fail", "held back", "proxy_buffering off").stops(&ALL);
}

#[tokio::test]
async fn a_proxy_that_strips_the_challenge_is_told() {
    let server = before(Ways::default(), Manner::StripsChallenge).await;
    let report = of(&server).await;
    report.tells("challenge", "fail", "401 without WWW-Authenticate", "a proxy in front strips the header");
    assert_eq!(report.connects("Cursor"), Some(true));
}

#[tokio::test]
async fn a_proxy_that_strips_the_token_is_told() {
    let server = before(Ways::default(), Manner::StripsAuthorization).await;
    let report = of(&server).await;
    report.tells("made-up-token", "ok", "same words", "");
    report.tells("accepted", "fail", "401", "Authorization header does not seem to arrive").stops(&ALL);
    report.tells("token", "ok", &server.url(), "");
}

#[tokio::test]
async fn a_web_page_instead_of_an_answer_is_told() {
    let server = Server::start(Ways { page: true, ..Ways::default() }).await;
    of(&server).await.tells("reach", "fail", "a web page", "logins").stops(&ALL);
}

#[tokio::test]
async fn a_server_of_the_modern_era_only_is_for_those_who_speak_it() {
    let server = Server::start(Ways { legacy: false, ..Ways::default() }).await;
    let report = of(&server).await;
    report
        .tells("handshake", "fail", "only the modern era", "initialize")
        .tells("discover", "ok", "revision", "");
    report.tells("read", "ok", "search", "");
    report.stops(&["claude.ai", "VS Code", OLD, "Cursor", "Copilot", "mcp-remote", "TypeScript SDK"]);
    assert_eq!(report.connects("Python SDK"), Some(true));
}

#[tokio::test]
async fn a_server_of_the_legacy_era_only_is_for_everybody() {
    let server = Server::start(Ways { modern: false, ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("discover", "ok", "not spoken", "").tells("handshake", "ok", "revision", "").stops(&[OLD]);
    assert_eq!(report.connects("Python SDK"), Some(true));
    assert!(report.well);
}

#[tokio::test]
async fn a_server_of_http_and_sse_only_is_for_those_who_fall_back_to_it() {
    let server = Server::start(Ways { http: false, sse: Some(Endpoint::Whole), ..Ways::default() }).await;
    let report = of(&server).await;
    report.tells("handshake", "fail", "only HTTP+SSE", "SSE by hand").tells("sse", "ok", "/messages", "");
    report.tells("sse-message", "ok", "answer on the stream", "");
    report.tells("sse-tokenless", "ok", "refused with 401", "sse.stream_is_proof");
    report.stops(&[OLD, "Copilot", "TypeScript SDK", "Python SDK"]);
    assert_eq!(report.connects("VS Code"), Some(true));
}

#[tokio::test]
async fn a_stream_that_stands_for_the_token_lets_old_clients_in() {
    let ways = Ways { sse: Some(Endpoint::Whole), stream_is_proof: true, ..Ways::default() };
    let report = of(&Server::start(ways).await).await;
    report.tells("sse-tokenless", "ok", "short-lived", "").stops(&[]);
    assert_eq!(report.connects(OLD), Some(true));
    assert!(report.well, "{:#}", report.found);
}

#[tokio::test]
async fn messages_for_another_origin_are_told_and_the_token_does_not_go_there() {
    let stranger = Server::start(Ways::default()).await;
    let origin = Box::leak(stranger.base.clone().into_boxed_str());
    let ways = Ways { sse: Some(Endpoint::Elsewhere(origin)), ..Ways::default() };
    let server = Server::start(ways).await;
    let report = of(&server).await;
    report.tells("sse", "fail", "another origin", "public_url").stops(&[OLD]);
    assert_eq!((stranger.count("POST"), stranger.count("GET")), (0, 0));
    assert!(server.saw_a_token_at("/mcp") && !server.saw_a_token_at("/.well-known"));
}

#[tokio::test]
async fn a_server_that_takes_any_token_is_told() {
    let report = of(&Server::start(Ways { checks: false, ..Ways::default() }).await).await;
    report.tells("made-up-token", "fail", "anybody", "signature").stops(&[OLD]);
}

#[tokio::test]
async fn a_token_is_never_shown_even_where_the_server_repeats_it() {
    let server = Server::start(Ways { repeats: true, ..Ways::default() }).await;
    let token = server.token_for("https://other.example.com");
    for format in [&["--json"][..], &[]] {
        let ended = run(&server.url(), Some(&token), format).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.out.contains("not this: [secret]"), "{}", ended.out);
        assert!(!format!("{ended:?}").contains(&token), "{ended:?}");
        assert!(!format!("{ended:?}").contains("c2lnbmF0dXJl"), "{ended:?}");
    }
}

#[tokio::test]
async fn the_text_has_a_line_a_step_and_a_line_a_client() {
    let server = Server::start(Ways::default()).await;
    let command = format!("echo {}", server.token());
    let ended = run(&server.url(), None, &["--token-command", &command]).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines[0], server.url());
    let column = lines[2].find("status 401").unwrap_or_else(|| panic!("{}", ended.out));
    let aligned = lines
        .iter()
        .filter(|line| line.starts_with("ok  "))
        .all(|line| line.get(column - 2..column) == Some("  ") && !line[column..].starts_with(' '));
    assert!(aligned, "{}", ended.out);
    assert!(lines.contains(&"Python SDK            connects"), "{}", ended.out);
    assert!(lines.iter().any(|line| line.starts_with("VS Code before 1.100  does NOT connect  update")));
    let help = run("--help", None, &[]).await.out;
    assert!(help.contains("--token-file") && !help.contains("--token "), "{help}");
}

#[tokio::test]
async fn what_cannot_be_examined_is_told_by_the_name_of_what_is_wrong() {
    let nowhere = Path::new("/no/such/file").display().to_string();
    for (url, flags, wrong) in [
        ("ftp://h/mcp", &[][..], "must begin with https://"),
        ("https://user:pass@h/mcp", &[], "user name or password"),
        ("https://h/mcp", &["--token-file", &nowhere], "--token-file /no/such/file cannot be read"),
        ("https://h/mcp", &["--token-command", "exit 7"], "--token-command failed"),
        ("https://h/mcp", &["--ca-file", &nowhere], "--ca-file"),
        ("https://h/mcp", &["--timeout", "10"], "such as 250ms"),
        ("https://h/mcp", &["--timeout", "0s"], "longer than nothing"),
        ("mcp.example.com", &[], "relative URL"),
    ] {
        let ended = run(url, None, flags).await;
        assert!(ended.code != Some(0) && ended.out.is_empty() && ended.err.contains(wrong), "{ended:?}");
        assert!(!ended.err.contains("pass@"), "{ended:?}");
    }
}
