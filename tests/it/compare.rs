//! The bench that compares with nginx answers, within its time and with all five figures.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::process::Process;

#[tokio::test]
async fn the_quick_comparison_gives_five_figures() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/run.sh");
    let mut bench = Command::new("sh");
    bench.arg(script).args([
        "--quick",
        "--json",
        "--rounds",
        "1",
        "--binary",
        env!("CARGO_BIN_EXE_sidegate"),
    ]);
    let ended = Process::run(&mut bench).await;
    // Its exit code also says whether a busy machine lost an answer.
    let report: Value = serde_json::from_str(ended.out.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!(report.as_object().map(|figures| figures.len()), Some(5), "{report:#}");
    for figure in ["ratio_tools_call", "ratio_tools_list", "ratio_refusal", "p99_ratio"] {
        assert!(report[figure].as_f64().is_some_and(|ratio| ratio > 0.0), "{report:#}");
    }
    assert!(report["p50_added_us"].as_f64().is_some_and(f64::is_finite), "{report:#}");
}
