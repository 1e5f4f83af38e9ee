//! The official Rust SDK against Sidegate, with a bearer token that is handed in.
//!
//! Configuration (JSON, the first argument): `{mcp_url, token, mode: "legacy" | "auto" | "modern", query?, read?, write?,
//! cancel?}`; the roots are the system's or those of SSL_CERT_FILE. Prints one JSON line; exit code 0, or 1 with `error` in
//! it. `cancel` is `{watch: where the PSA lists its requests, call: the arguments}`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

type Client = RunningService<RoleClient, ()>;
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // A second provider is in no part of this program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config: Value = match std::env::args().nth(1).map(|text| serde_json::from_str(&text)) {
        Some(Ok(config)) => config,
        _ => {
            eprintln!("the first argument must be a JSON object");
            return ExitCode::from(2);
        }
    };
    let label = format!("rmcp-{}", text(&config, "mode"));
    match run(&config).await {
        Ok(mut line) => {
            line["client"] = label.into();
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", json!({"client": label, "error": {"message": error.to_string()}}));
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &Value) -> Result<Value, Failure> {
    let modern = vec![ProtocolVersion::LATEST];
    let lifecycle = match text(config, "mode") {
        "legacy" => ClientLifecycleMode::Initialize,
        "auto" => ClientLifecycleMode::Auto { preferred_versions: modern, legacy_version: None },
        _ => ClientLifecycleMode::Discover { preferred_versions: modern },
    };
    let transport = StreamableHttpClientTransportConfig::with_uri(text(config, "mcp_url"))
        .auth_header(text(config, "token"));
    let client =
        ().serve_with_lifecycle(StreamableHttpClientTransport::from_config(transport), lifecycle).await?;
    let mut line = converse(&client, config).await?;
    if config["cancel"].is_object() {
        line["cancelled"] = cancel_one(&client, &config["cancel"]).await?;
    }
    client.cancel().await?;
    Ok(line)
}

async fn converse(client: &Client, config: &Value) -> Result<Value, Failure> {
    let tools = client.list_all_tools().await?;
    let query = if config["query"].is_string() { config["query"].clone() } else { "list tickets".into() };
    let searched = call(client, "search_api_registry", &json!({ "query": query })).await?;
    let answered = call(client, "call_api_endpoint", &config["read"]).await?;
    let mut line = json!({
        "revision": client.peer_info().map(|info| info.protocol_version.to_string()),
        "tools": tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
        "searchFirst": searched.structured_content.as_ref().map(|found| &found["results"][0]["entryId"]),
        "readOk": answered.is_error != Some(true),
        "readStructured": answered.structured_content.is_some(),
    });
    if !config["write"].is_null() {
        let wrote = call(client, "call_api_endpoint", &config["write"]).await?;
        line["writeIsError"] = (wrote.is_error == Some(true)).into();
        let said = wrote.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.as_str());
        line["writeText"] = said.collect::<Vec<_>>().join("\n").into();
    }
    Ok(line)
}

async fn call(client: &Client, tool: &'static str, arguments: &Value) -> Result<CallToolResult, Failure> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    Ok(client.call_tool(CallToolRequestParams::new(tool).with_arguments(arguments)).await?)
}

/// Begins a slow call and drops it once the PSA has it, which in this SDK calls it off; the connection stays until the PSA
/// has seen the end.
async fn cancel_one(client: &Client, cancel: &Value) -> Result<Value, Failure> {
    let ended = tokio::select! {
        answer = call(client, "call_api_endpoint", &cancel["call"]) => { answer?; "answered" }
        begun = slow_report(cancel, |_| true) => if begun? { "rejected" } else { "never begun" },
    };
    let aborted = slow_report(cancel, |request| request["aborted"] == true).await?;
    Ok(json!({"ended": ended, "aborted": aborted}))
}

/// Whether the slow report is among what the PSA says it was asked for, as `wanted`, at the latest after ten seconds.
async fn slow_report(cancel: &Value, wanted: fn(&Value) -> bool) -> Result<bool, Failure> {
    for _ in 0..200 {
        let watch = text(cancel, "watch").to_owned();
        let requests = tokio::task::spawn_blocking(move || get(&watch)).await??;
        let slow = |request: &Value| text(request, "path").starts_with("/api/v1/reports/slow");
        if requests.as_array().is_some_and(|all| all.iter().any(|one| slow(one) && wanted(one))) {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(false)
}

/// What a plain HTTP URL of loopback shows as JSON.
fn get(url: &str) -> Result<Value, Failure> {
    let (authority, path) = url.trim_start_matches("http://").split_once('/').ok_or("no path in the URL")?;
    let mut stream = TcpStream::connect(authority)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nhost: {authority}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no body in the answer")?;
    Ok(serde_json::from_str(body)?)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}
