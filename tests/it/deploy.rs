//! What `deploy/` holds for containers, for Prometheus and for desktops, and what the build is made of: judged by the
//! programs in `tests/deploy`, with this build's `sidegate check`.

use std::path::Path;
use std::process::Command;

use crate::support::process::Process;

/// Runs one file of `tests/deploy`.
async fn judged(file: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy");
    let mut command = Command::new(python());
    command.args(["-m", "unittest", "--quiet", file]).current_dir(tests);
    // Python would put its compiled modules beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("SIDEGATE_TEST_BINARY", env!("CARGO_BIN_EXE_sidegate"));
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code, Some(0), "{file}\n{}{}", ended.out, ended.err);
    assert!(ended.err.contains("\nRan ") && !ended.err.contains("\nRan 0 "), "{ended:?}");
}

#[allow(clippy::disallowed_methods, reason = "the runner tells the tests, not the program under test")]
pub fn python() -> String {
    let name = "SIDEGATE_TEST_DEPLOY_PYTHON";
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run tests/run.sh, which installs what judges deploy/"))
}

#[tokio::test]
async fn the_manifests_are_what_kubernetes_and_sidegate_accept() {
    judged("test_pod.py").await;
}

#[tokio::test]
async fn the_chart_is_the_manifests_with_documented_values() {
    judged("test_chart.py").await;
}

#[tokio::test]
async fn the_image_and_the_compose_file_are_confined() {
    judged("test_image.py").await;
}

#[tokio::test]
async fn prometheus_scrapes_it_and_every_query_of_the_dashboard_returns_data() {
    judged("test_prometheus.py").await;
}

#[tokio::test]
async fn the_dependencies_are_what_deny_toml_asks_for() {
    judged("test_dependencies.py").await;
}

#[tokio::test]
async fn npx_starts_the_connector_of_the_machine_and_says_what_is_missing() {
    judged("test_npm.py").await;
}

#[tokio::test]
async fn the_desktop_bundle_starts_the_connector_as_clients_do() {
    judged("test_mcpb.py").await;
}
