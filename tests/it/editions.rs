//! Two editions of one source: the connector's is built of less.

use std::process::{Command, Output};

use http::Method;

use crate::support::world::World;

/// Cargo on this package, as it was built: no network, nothing resolved anew.
fn cargo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    let command = command.arg(arguments[0]).args(["--offline", "--locked"]).args(&arguments[1..]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs")
}

/// The names of the packages that the edition is built of.
fn packages(features: &[&str]) -> Vec<String> {
    let tree = cargo(&[&["tree", "-e", "normal", "--prefix", "none", "--format", "{p}"], features].concat());
    let text = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

const CONNECT: &[&str] = &["--no-default-features", "--features", "connect"];

#[test]
fn the_connectors_edition_is_built_without_proxy_database_or_what_serves_others() {
    let connect = packages(CONNECT);
    for needed in ["sidegate", "tokio", "hyper", "rustls", "clap", "serde_json"] {
        assert!(connect.iter().any(|name| name == needed), "{needed} is not in {connect:?}");
    }
    let server = packages(&[]);
    for kept_out in
        ["pingora", "sqlx", "axum", "rcgen", "figment", "aws-lc-rs", "tikv-jemallocator", "x509-parser"]
    {
        let is = |name: &String| name == kept_out || name.starts_with(&format!("{kept_out}-"));
        assert!(!connect.iter().any(is), "{kept_out} is in {connect:?}");
        assert!(server.iter().any(is), "{kept_out} is not in the server's edition: this test sees nothing");
    }
    assert!(connect.len() < server.len() * 2 / 3, "{} of {}", connect.len(), server.len());
}

#[tokio::test]
async fn what_is_switched_off_is_not_there() {
    let world = World::start().await;
    for path in ["/api/mcp/sse", "/api/mcp/sse/messages", "/sse", "/mcp"] {
        for method in [Method::GET, Method::POST] {
            let request = http::Request::builder()
                .method(&method)
                .uri(format!("{}{path}", world.base))
                .header("authorization", format!("Bearer {}", world.token("technician")))
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream");
            let answer = world.send(request.body("{}".into()).unwrap()).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        }
    }
}
