//! The standard `process_*` families, read from /proc when they are asked for; left out where there is none.
//!
//! The prometheus crate's own collector would bring two more crates for the same five files.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

/// What the kernel counts CPU time in for /proc, on every Linux: hundredths of a second.
const TICKS: f64 = 100.0;

/// Asks the kernel at every scrape and keeps nothing.
pub(super) struct Process;

/// What /proc said.
struct Reading {
    cpu_seconds: f64,
    started_at: f64,
    resident_bytes: f64,
    threads: f64,
    open_files: f64,
    max_files: f64,
}

impl Reading {
    fn take() -> Option<Self> {
        let read = |name: &str| fs::read_to_string(name).ok();
        let stat = read("/proc/self/stat")?;
        // The second field is the program's name in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        // Numbered from 1 in proc(5), where the first that is left here is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let booted = number_after(&read("/proc/stat")?, "btime")?;
        let status = read("/proc/self/status")?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            started_at: booted + field(22)? / TICKS,
            resident_bytes: number_after(&status, "VmRSS:")? * 1024.0,
            threads: field(20)?,
            // The one that lists the folder is not among those that stay.
            open_files: (fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)) as f64,
            max_files: number_after(&read("/proc/self/limits")?, "Max open files").unwrap_or(f64::INFINITY),
        })
    }

    fn families(&self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let cpu = Counter::with_opts(Opts::new(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        ))?;
        cpu.inc_by(self.cpu_seconds);
        let mut families = cpu.collect();
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                self.started_at,
            ),
            ("process_resident_memory_bytes", "Resident memory size in bytes.", self.resident_bytes),
            ("process_threads", "Number of OS threads in the process.", self.threads),
            ("process_open_fds", "Number of open file descriptors.", self.open_files),
            ("process_max_fds", "Maximum number of open file descriptors.", self.max_files),
        ] {
            let gauge = Gauge::new(name, help)?;
            gauge.set(value);
            families.extend(gauge.collect());
        }
        Ok(families)
    }
}

/// The first number on the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Reading::take().and_then(|reading| reading.families().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_this_process_is_plausible() {
        let reading = Reading::take().unwrap();
        assert!(reading.started_at > 1.7e9, "{}", reading.started_at);
        assert!(reading.resident_bytes > 1e6 && reading.threads >= 1.0);
        assert!(reading.open_files >= 3.0 && reading.open_files < reading.max_files);
        assert!(reading.cpu_seconds >= 0.0);
    }

    #[test]
    fn a_number_is_found_on_its_own_line_only() {
        assert_eq!(
            number_after("Max open files            1024      4096   files\n", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(number_after("VmRSS:\t  7 kB", "VmRSS:"), Some(7.0));
        assert_eq!(number_after("a btime 5", "btime"), None);
    }
}
