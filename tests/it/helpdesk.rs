//! Passthrough in front of a real helpdesk: a person with a browser, agents who have no business there,
//! and bodies that are larger than what may be held.

use std::process::Command;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::clients;
use crate::support::helpdesk::Helpdesk;
use crate::support::plan::Plan;
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::world::World;

/// Sidegate with this helpdesk as its PSA, everything else passed through to it.
async fn in_front_of(helpdesk: &Helpdesk) -> World {
    let psa = helpdesk.as_psa();
    let more = "[passthrough]\nenabled = true";
    World::of(Plan { tls: true, psa: Some(&psa), more, ..Plan::default() }).await
}

#[tokio::test]
async fn a_person_signs_in_and_opens_a_ticket_with_a_file_over_http_2() {
    let helpdesk = Helpdesk::start().await;
    let world = in_front_of(&helpdesk).await;
    let config = json!({
        "base": world.base, "ca_file": world.ca_file(), "chromium": clients::chromium(), "folder": helpdesk.folder(),
        "name": helpdesk.told("name"), "password": helpdesk.told("password"), "title": "The printer on floor 2 jams",
    });
    let line = clients::run("helpdesk.mjs", &config).await;
    assert_eq!(line["error"], Value::Null, "{line:#}");
    assert_eq!((&line["protocols"], &line["navigation"]), (&json!(["h2"]), &json!("h2")), "{line:#}");
    assert_eq!(line["failed"], json!([]), "{line:#}");
    assert_eq!(line["ticket"], format!("{}/tickets/1/", world.base), "{line:#}");
    assert_eq!((&line["title"], &line["sameFile"]), (&json!(true), &json!(true)), "{line:#}");
    assert_eq!(line["events"], json!(["ready", "event 1", "event 2", "event 3"]), "{line:#}");

    let host = world.base.trim_start_matches("https://");
    for line in helpdesk.reached_when("/tickets/1/").await {
        assert_eq!((&line["proto"], &line["forwarded_host"]), (&json!("https"), &json!(host)), "{line:#}");
    }
}

#[tokio::test]
async fn neither_an_agents_token_nor_a_spelling_of_an_mcp_path_reaches_the_helpdesk() {
    let helpdesk = Helpdesk::start().await;
    let world = in_front_of(&helpdesk).await;
    let visit = async |path: &str, authorization: &str| {
        let request =
            http::Request::get(format!("{}{path}", world.base)).header("authorization", authorization);
        world.send(request.body(Bytes::new()).unwrap()).await.status
    };
    for agent in ["technician", "stranger"] {
        for scheme in ["Bearer", "bearer"] {
            visit("/stream/seen?agent", &format!("{scheme} {}", world.token(agent))).await;
        }
    }
    let someone = "Basic YWRhOmxvdmVsYWNl";
    let kept_back = [
        "/api/mcp/",
        "/api/mcp/oauth/token",
        "/api//mcp/oauth/token",
        "/api/%6dcp/oauth/token",
        "/API/MCP/oauth/token",
        "/api/./mcp/tools",
        "/api/x/../mcp/tools",
        "/api/mcp;x=1/tools",
        "/api/mcp%2Ftools",
        "/api%2fmcp/tools",
        "/api%5Cmcp/tools",
        "/api/v1/mcp/tools",
        "/api/v1/%6D%63%70/tools",
        "/.well-known/oauth-authorization-server",
        "/.well-known/%6fauth-authorization-server/x",
    ];
    for path in kept_back {
        let status = visit(path, someone).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(visit("/stream/seen?last", someone).await, 200);

    let reached = helpdesk.reached_when("/stream/seen?last").await;
    for line in &reached {
        assert!(line["request"].as_str().unwrap().starts_with("GET /stream/seen?"), "{line:#}");
        assert!(["-", someone].contains(&line["authorization"].as_str().unwrap()), "{line:#}");
    }
    assert_eq!(reached.last().unwrap()["authorization"], someone, "what is not ours goes on");
}

#[tokio::test]
async fn a_hundred_megabytes_go_down_and_up_in_little_memory() {
    const LARGE: u64 = 100 << 20;
    /// Far more than a connection needs, far less than a body.
    const LITTLE: u64 = 32 << 20;
    /// The kernel keeps some of what nobody reads, on either side of Sidegate.
    const KERNELS: u64 = 64 << 20;
    let helpdesk = Helpdesk::start().await;
    let mut world = in_front_of(&helpdesk).await;
    // Its memory is told apart from the test's in a process of its own.
    world.stop().await;
    let mut sidegate = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    sidegate.args(["serve", "--config"]).arg(&world.config_file).env_clear();
    let sidegate = Process::start(&mut sidegate);
    let ops = world.ops_url.trim_start_matches("http://");
    until(|| async { TcpStream::connect(ops).await.ok() }).await;
    until(|| async { (world.get(&format!("{}/readyz", world.ops_url)).await.status == 200).then_some(()) })
        .await;

    let transfer = async |protocol: &str, sized: bool, bytes: u64| {
        let config = json!({
            "base": world.base, "ca_file": world.ca_file(), "protocol": protocol, "sized": sized, "bytes": bytes,
        });
        let line = clients::run("transfer.mjs", &config).await;
        assert_eq!(line["error"], Value::Null, "{protocol}: {line:#}");
        for way in ["down", "up"] {
            let moved = &line[way];
            assert_eq!((&moved["bytes"], &moved["whole"]), (&json!(bytes), &json!(true)), "{line:#}");
            let ahead = moved["ahead"].as_u64().unwrap();
            assert!(
                ahead < KERNELS,
                "{way}: the sender went on for {ahead} bytes before a reader that stood still"
            );
        }
    };
    for (protocol, sized) in [("h2", false), ("http/1.1", true)] {
        transfer(protocol, sized, 1 << 20).await;
        let before = sidegate.memory("VmRSS");
        transfer(protocol, sized, LARGE).await;
        let most = sidegate.memory("VmHWM");
        assert!(most < before + LITTLE, "{protocol}: {before} bytes grew to {most}");
    }
}
