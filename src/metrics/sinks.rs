//! How far the record has been carried, by sink. Sinks are few, and their names the administrator's.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::register;

/// The families that count what each sink takes.
pub struct SinkMetrics {
    delivered: IntCounterVec,
    failures: IntCounterVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
}

impl SinkMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let labels = &["sink"];
        let counter = |name: &str, help: &str| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels).expect("a valid name"))
        };
        Self {
            delivered: counter("sidegate_audit_sink_delivered_total", "Audit records that a sink has taken."),
            failures: counter(
                "sidegate_audit_sink_failures_total",
                "Failed attempts to hand audit records to a sink.",
            ),
            lag_records: register(
                registry,
                IntGaugeVec::new(
                    Opts::new("sidegate_audit_sink_lag_records", "Audit records that a sink has not taken."),
                    labels,
                )
                .expect("a valid name"),
            ),
            lag_seconds: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "sidegate_audit_sink_lag_seconds",
                        "How old the oldest audit record is that a sink has not taken; 0 where it has all.",
                    ),
                    labels,
                )
                .expect("a valid name"),
            ),
        }
    }

    /// Shows a sink from the start.
    pub fn begin(&self, sink: &str) {
        self.delivered(sink, 0);
        self.failures.with_label_values(&[sink]).inc_by(0);
        self.behind(sink, 0, 0);
    }

    /// It took so many records.
    pub fn delivered(&self, sink: &str, records: u64) {
        self.delivered.with_label_values(&[sink]).inc_by(records);
    }

    /// It took less than it was handed.
    pub fn failed(&self, sink: &str) {
        self.failures.with_label_values(&[sink]).inc();
    }

    /// So many records are left, and the oldest is so many milliseconds old.
    pub fn behind(&self, sink: &str, records: i64, age: i64) {
        self.lag_records.with_label_values(&[sink]).set(records);
        self.lag_seconds.with_label_values(&[sink]).set(age as f64 / 1_000.0);
    }
}
