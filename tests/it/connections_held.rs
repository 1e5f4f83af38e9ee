//! Calls go on while many connections rest, others dawdle and streams stay open, in little memory: the benchmark of
//! this, made small.

use std::path::Path;

use serde_json::Value;

use crate::support::clients;
use crate::support::process::Process;

#[tokio::test]
async fn calls_go_on_beside_three_hundred_idle_and_thirty_slow_connections_and_as_many_streams() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/connections.py");
    let mut bench = clients::python();
    bench.arg(script).args(["--json", "--binary", env!("CARGO_BIN_EXE_sidegate")]);
    bench.args("--rounds 1 --seconds 3 --idle 300 --slow 30 --streams 300 --callers 2".split(' '));
    // So that some are ended and come again meanwhile.
    bench.env("SIDEGATE__SERVER__BODY_TIMEOUT", "1s");
    let ended = Process::run(&mut bench).await;
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!(report["alone"]["failed"], 0, "{report:#}");
    assert_eq!(report["held"]["failed"], 0, "{report:#}");
    assert_eq!(report["streams"]["failed"], 0, "{report:#}");
    assert!(report["held"]["calls"].as_u64().unwrap() > 10, "{report:#}");
    assert_eq!(report["idle_lost"], 0, "{report:#}");
    assert!(report["slow_ended"]["body"].as_u64().unwrap() > 0, "{report:#}");
    // About 35 and 46 KiB; with the listeners that pingora brings it is more than 100.
    for idle in ["http/1.1", "h2", "stream"] {
        let bytes = report["bytes_per_connection"][idle].as_u64().unwrap();
        assert!((1 << 12..80 << 10).contains(&bytes), "{report:#}");
    }
}
