//! Every metric family of the process, registered once and present from the start.
//!
//! Label values are closed sets declared here; nothing that a caller sends may
//! become a label (Prometheus naming, bounded cardinality). Agents' names are the administrator's
//! and counted up to [`AGENTS`].

mod process;
mod sinks;

pub use sinks::SinkMetrics;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// How a request ended, as `sidegate_requests_total{outcome}` counts it.
pub const OUTCOMES: [&str; 9] =
    ["ok", "tool_error", "denied", "fault", "refused", "cancelled", "timeout", "unavailable", "unknown"];

/// Why a caller was refused: before its message was read, but for `insufficient_scope`.
pub const AUTH_REASONS: [&str; 42] = [
    "missing_token",
    "malformed_authorization",
    "host_not_allowed",
    "origin_not_allowed",
    "unknown_issuer",
    "not_bound",
    "disabled",
    "too_many_failed_authentications",
    "keys_unavailable",
    "roster_stale",
    "too_large",
    "malformed",
    "algorithm",
    "type",
    "critical_header",
    "embedded_key",
    "unknown_key",
    "key_mismatch",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet_valid",
    "missing_expiry",
    "missing_issued_at",
    "too_old",
    "issued_in_future",
    "missing_subject",
    "missing_audience",
    "missing_issuer",
    "confirmation",
    "certificate_missing",
    "certificate_mismatch",
    "unbound_token",
    "user_token",
    "application_token",
    "dpop",
    "insufficient_scope",
    "claim_type",
    "duplicate_member",
    "key_unusable",
    "other",
];

/// The limits that refuse a request, as `sidegate_limit_refusals_total{limit}` counts them.
pub const LIMITS: [&str; 7] = [
    "header_too_large",
    "request_too_large",
    "request_timeout",
    "too_many_requests_in_flight",
    "too_many_failed_authentications",
    "too_many_calls",
    "too_many_calls_in_flight",
];

/// The parts of a request's way, in the order of [`crate::audit::Phase`].
pub const PHASES: [&str; 6] = ["authenticate", "decode", "decide", "intent", "credential", "upstream"];

/// Agents that get a label of their own in `sidegate_calls_total`; those that come later share `other`.
/// Each has a series for each tool, effect and outcome that it came to, 10 to 20 as a rule.
pub const AGENTS: usize = 200;

const LATENCY_BUCKETS: [f64; 13] =
    [0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 30.0];

/// From a lookup in memory to a PSA that takes its time.
const PHASE_BUCKETS: [f64; 10] = [0.000_01, 0.000_1, 0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 30.0];

/// Handles to all families. One instance a process (or a test world).
pub struct Metrics {
    registry: Registry,
    /// Requests on the MCP endpoint by outcome, one of [`OUTCOMES`].
    pub requests: IntCounterVec,
    /// Refusals of callers by one of [`AUTH_REASONS`].
    pub auth_refusals: IntCounterVec,
    /// Calls of tools by agent, tool, effect and outcome; see [`Metrics::called`].
    calls: IntCounterVec,
    /// The agents that have a label of their own.
    agents: RwLock<HashSet<String>>,
    /// Seconds from the first look at a request until it is ended.
    pub request_seconds: Histogram,
    /// Seconds of each part of the way, in the order of [`PHASES`].
    phase_seconds: Vec<Histogram>,
    /// Requests refused because a limit was reached, by one of [`LIMITS`].
    pub limit_refusals: IntCounterVec,
    /// Seconds from sending a call to the PSA until its answer was read.
    pub upstream_seconds: Histogram,
    /// Answers of the PSA by status class (`2xx`, `3xx`, `4xx`, `5xx`) or `none`.
    pub upstream_responses: IntCounterVec,
    /// Requests for the PSA's own web server by status class, `none` or `refused`.
    pub passed_through: IntCounterVec,
    /// PSA keys minted, by `ok` or `error`.
    pub key_mints: IntCounterVec,
    /// Seconds that minting a key took, whether it worked or not.
    pub key_mint_seconds: Histogram,
    /// PSA keys revoked or swept, by `revoked` or `swept`.
    pub key_removals: IntCounterVec,
    /// Revocations and sweeps that failed.
    pub key_removal_failures: IntCounter,
    /// Agents that have a key which can be used now.
    pub keys_in_use: IntGauge,
    /// Keys minted by this process that are neither over nor revoked.
    pub keys_outstanding: IntGauge,
    /// Fetches of an issuer's key set, by `ok` or `error`.
    pub jwks_refreshes: IntCounterVec,
    /// Lookups of verified claims, by `hit` or `miss`.
    pub token_cache: IntCounterVec,
    /// Requests being worked on now.
    pub in_flight: IntGauge,
    /// How many of them there may be.
    pub in_flight_max: IntGauge,
    /// Audit records accepted and not yet written.
    pub audit_queue: IntGauge,
    /// How many of them there may be.
    pub audit_queue_max: IntGauge,
    /// Records that were left out because too many waited.
    pub audit_lost: IntCounter,
    /// Seconds that a call waited for its record to be durable.
    pub audit_wait_seconds: Histogram,
    /// Where the record is carried to.
    pub sinks: SinkMetrics,
    /// How long the oldest of them has been waiting, in seconds.
    pub audit_oldest: Gauge,
    /// Seconds that an attempt to write a batch of records took, its sync included.
    pub audit_write_seconds: Histogram,
    /// Audit records written, by `intent` or `event`.
    pub audit_records: IntCounterVec,
    /// Failed attempts to write audit records.
    pub audit_failures: IntCounter,
    /// Seconds since the catalogue in use was fetched from the PSA.
    pub catalog_age: Gauge,
    /// Entries that the catalogue in use offers.
    pub catalog_entries: IntGauge,
    /// The catalogue in use, 1 for its `hash`.
    pub catalog_info: IntGaugeVec,
    /// Fetches of the catalogue, by `ok` or `error`.
    pub catalog_refreshes: IntCounterVec,
    /// 1 unless the last reload of the configuration was refused.
    pub config_ok: IntGauge,
    /// Reloads of the configuration, by `ok` or `error`.
    pub config_reloads: IntCounterVec,
    /// Connections to the public listeners that are open now.
    pub connections: IntGauge,
    /// How many of them there may be.
    pub connections_max: IntGauge,
    /// Sessions that this process remembers.
    pub sessions: IntGauge,
    /// Streams open that end only when somebody leaves.
    pub streams: IntGauge,
    /// Connections closed at accept because there were too many.
    pub connections_refused: IntCounter,
    /// Connections closed because nothing came in time, by `header` or `idle`.
    pub connections_overdue: IntCounterVec,
    /// TLS handshakes that failed or took too long.
    pub handshake_failures: IntCounter,
    /// When the certificate that is served ends, in seconds since 1970; 0 without TLS.
    pub certificate_expiry: IntGauge,
    /// Spans by what became of them, `exported`, `dropped` or `failed`.
    trace_spans: IntCounterVec,
    /// 1 while `/readyz` answers 200.
    pub ready: IntGauge,
    /// 1 from the beginning of the drain on.
    pub draining: IntGauge,
}

impl Metrics {
    /// Registers all families, each with all its label values at zero.
    ///
    /// # Panics
    /// Only when two families above share a name, which every start would show.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, label: &str, values: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), &[label]).expect("a valid name");
            for value in values {
                family.with_label_values(&[*value]);
            }
            register(&registry, family)
        };
        let gauge =
            |name: &str, help: &str| register(&registry, IntGauge::new(name, help).expect("a valid name"));
        let counter =
            |name: &str, help: &str| register(&registry, IntCounter::new(name, help).expect("a valid name"));
        let ok_or_error = ["ok", "error"];
        let built = IntGaugeVec::new(
            Opts::new(
                "sidegate_build_info",
                "The version that runs and the revision it was built from, always 1.",
            ),
            &["version", "revision"],
        )
        .expect("a valid name");
        let revision = option_env!("SIDEGATE_REVISION").unwrap_or("unknown");
        built.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        register(&registry, built);
        registry.register(Box::new(process::Process)).expect("it declares no family");
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
            register(&registry, Histogram::with_opts(options).expect("sorted buckets"))
        };
        let phases = HistogramOpts::new(
            "sidegate_request_phase_duration_seconds",
            "Time that requests spent in each part of their way, where they came that far.",
        );
        let phases = HistogramVec::new(phases.buckets(PHASE_BUCKETS.to_vec()), &["phase"]);
        let phases = register(&registry, phases.expect("sorted buckets"));
        let calls = IntCounterVec::new(
            Opts::new(
                "sidegate_calls_total",
                "Calls of tools by agent, tool, effect (none where nothing was bound) and outcome.",
            ),
            &["agent", "tool", "effect", "outcome"],
        );
        let float =
            |name: &str, help: &str| register(&registry, Gauge::new(name, help).expect("a valid name"));
        let config_ok = gauge(
            "sidegate_config_last_reload_successful",
            "1 unless the last reload of the configuration was refused.",
        );
        config_ok.set(1);
        let catalog_age = float(
            "sidegate_catalog_age_seconds",
            "Seconds since the catalogue in use was fetched from the PSA; NaN before the first.",
        );
        catalog_age.set(f64::NAN);
        let catalog_info = IntGaugeVec::new(
            Opts::new("sidegate_catalog_info", "The catalogue in use, always 1; none before the first."),
            &["hash"],
        )
        .expect("a valid name");
        catalog_info.with_label_values(&["none"]).set(1);
        Self {
            requests: counters(
                "sidegate_requests_total",
                "Requests on the MCP endpoint by outcome.",
                "outcome",
                &OUTCOMES,
            ),
            auth_refusals: counters(
                "sidegate_auth_refusals_total",
                "Requests refused before their message was read, by reason.",
                "reason",
                &AUTH_REASONS,
            ),
            limit_refusals: counters(
                "sidegate_limit_refusals_total",
                "Requests refused because a limit was reached, by limit.",
                "limit",
                &LIMITS,
            ),
            calls: register(&registry, calls.expect("a valid name")),
            agents: RwLock::default(),
            request_seconds: seconds(
                "sidegate_request_duration_seconds",
                "Time from the first look at a request on the MCP endpoint until it was ended.",
            ),
            phase_seconds: PHASES.iter().map(|phase| phases.with_label_values(&[*phase])).collect(),
            upstream_seconds: seconds(
                "sidegate_upstream_request_duration_seconds",
                "Time from sending a call to the PSA until its answer was read.",
            ),
            upstream_responses: counters(
                "sidegate_upstream_responses_total",
                "Answers of the PSA by status class, none where there was no answer.",
                "class",
                &["2xx", "3xx", "4xx", "5xx", "none"],
            ),
            passed_through: counters(
                "sidegate_passthrough_requests_total",
                "Requests for the PSA's own web server by the status class of its answer: none where there was none, refused where it was not asked.",
                "class",
                &["1xx", "2xx", "3xx", "4xx", "5xx", "none", "refused"],
            ),
            key_mints: counters(
                "sidegate_key_mints_total",
                "PSA keys minted by outcome.",
                "outcome",
                &ok_or_error,
            ),
            key_removals: counters(
                "sidegate_key_removals_total",
                "PSA keys revoked or swept.",
                "kind",
                &["revoked", "swept"],
            ),
            key_mint_seconds: seconds(
                "sidegate_key_mint_duration_seconds",
                "Time that minting a PSA key took.",
            ),
            key_removal_failures: counter(
                "sidegate_key_removal_failures_total",
                "Revocations and sweeps of PSA keys that failed; such keys end by themselves.",
            ),
            keys_in_use: gauge("sidegate_keys_in_use", "Agents with a PSA key that can be used now."),
            keys_outstanding: gauge(
                "sidegate_keys_outstanding",
                "PSA keys minted by this process that are neither over nor revoked.",
            ),
            jwks_refreshes: counters(
                "sidegate_jwks_refreshes_total",
                "Fetches of issuers' key sets by outcome.",
                "outcome",
                &ok_or_error,
            ),
            token_cache: counters(
                "sidegate_token_cache_lookups_total",
                "Lookups of verified claims by result.",
                "result",
                &["hit", "miss"],
            ),
            in_flight: gauge("sidegate_requests_in_flight", "Requests being worked on now."),
            in_flight_max: gauge(
                "sidegate_requests_in_flight_max",
                "Requests that may be worked on at a time; more are refused.",
            ),
            audit_queue: gauge("sidegate_audit_queue_records", "Audit records accepted and not yet written."),
            audit_lost: counter(
                "sidegate_audit_lost_records_total",
                "Records of reads that were left out because too many waited, with audit.durability = relaxed.",
            ),
            audit_wait_seconds: seconds(
                "sidegate_audit_wait_duration_seconds",
                "Time that a call waited until its audit record was durable.",
            ),
            sinks: SinkMetrics::new(&registry),
            audit_queue_max: gauge(
                "sidegate_audit_queue_max_records",
                "Audit records that may wait; with more no request begins.",
            ),
            audit_oldest: float(
                "sidegate_audit_oldest_record_age_seconds",
                "How long the oldest audit record that is not yet written has been waiting.",
            ),
            audit_write_seconds: seconds(
                "sidegate_audit_write_duration_seconds",
                "Time that an attempt to write a batch of audit records took, its sync included.",
            ),
            audit_records: counters(
                "sidegate_audit_records_total",
                "Audit records written by kind.",
                "record",
                &["intent", "event"],
            ),
            audit_failures: counter(
                "sidegate_audit_write_failures_total",
                "Failed attempts to write audit records.",
            ),
            catalog_age,
            catalog_entries: gauge("sidegate_catalog_entries", "Entries that the catalogue in use offers."),
            catalog_info: register(&registry, catalog_info),
            catalog_refreshes: counters(
                "sidegate_catalog_refreshes_total",
                "Fetches of the catalogue by outcome.",
                "outcome",
                &ok_or_error,
            ),
            config_ok,
            config_reloads: counters(
                "sidegate_config_reloads_total",
                "Reloads of the configuration by outcome.",
                "outcome",
                &ok_or_error,
            ),
            connections: gauge("sidegate_connections_open", "Connections to the public listeners open now."),
            sessions: gauge("sidegate_sessions", "Sessions of MCP clients that are remembered."),
            streams: gauge(
                "sidegate_streams_open",
                "Event streams open that end only when the client or the server leaves.",
            ),
            connections_max: gauge(
                "sidegate_connections_max",
                "Connections to the public listeners that may be open at a time.",
            ),
            connections_refused: counter(
                "sidegate_connections_refused_total",
                "Connections closed at accept because max_connections were open.",
            ),
            connections_overdue: counters(
                "sidegate_connections_timed_out_total",
                "Connections closed because no request, or not the whole of its header, came in time.",
                "reason",
                &["header", "idle"],
            ),
            handshake_failures: counter(
                "sidegate_tls_handshake_failures_total",
                "TLS handshakes that failed or took too long.",
            ),
            certificate_expiry: gauge(
                "sidegate_certificate_expiry_timestamp_seconds",
                "When the certificate that is served ends, as a Unix time; 0 without TLS.",
            ),
            trace_spans: counters(
                "sidegate_trace_spans_total",
                "Spans exported, dropped because too many waited, or failed because the receiver did not take them.",
                "result",
                &["exported", "dropped", "failed"],
            ),
            ready: gauge("sidegate_ready", "1 while the readiness probe answers 200."),
            draining: gauge(
                "sidegate_draining",
                "1 from the beginning of the drain on: not ready, and on purpose.",
            ),
            registry,
        }
    }

    /// All families in Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing into memory fails only for a family without a metric, which is then left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Counts one refusal; a reason outside [`AUTH_REASONS`] counts as `other`.
    pub fn refuse(&self, reason: &str) {
        let reason = if AUTH_REASONS.contains(&reason) { reason } else { "other" };
        self.auth_refusals.with_label_values(&[reason]).inc();
    }

    /// Counts one refusal by a limit; a reason outside [`LIMITS`] is another matter and not counted.
    pub fn limited(&self, reason: &str) {
        if LIMITS.contains(&reason) {
            self.limit_refusals.with_label_values(&[reason]).inc();
        }
    }

    /// Counts one call of a tool that is offered, or of `unknown`. `agent` is a name that the administrator
    /// gave; from the [`AGENTS`]th on it is `other`.
    pub fn called(&self, agent: &str, tool: &str, effect: &str, outcome: &str) {
        let agent = if self.has_a_label(agent) { agent } else { "other" };
        self.calls.with_label_values(&[agent, tool, effect, outcome]).inc();
    }

    fn has_a_label(&self, agent: &str) -> bool {
        // A set of names is as good after a panic as before.
        if self.agents.read().unwrap_or_else(PoisonError::into_inner).contains(agent) {
            return true;
        }
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        let known = agents.contains(agent);
        known || (agents.len() < AGENTS && agents.insert(agent.to_owned()))
    }

    /// Takes note of how long the part at `place` in [`PHASES`] took.
    pub fn phase(&self, place: usize, took: Duration) {
        if let Some(phase) = self.phase_seconds.get(place) {
            phase.observe(took.as_secs_f64());
        }
    }

    /// Says which catalogue is in use: the first 12 hex digits of its SHA-256.
    pub fn catalog_is(&self, hash: &str) {
        self.catalog_info.reset();
        self.catalog_info.with_label_values(&[hash.get(..12).unwrap_or(hash)]).set(1);
    }

    /// Counts one reload of the configuration.
    pub fn reloaded(&self, ok: bool) {
        self.config_ok.set(i64::from(ok));
        self.config_reloads.with_label_values(&[if ok { "ok" } else { "error" }]).inc();
    }

    /// Counts one answer of the PSA by the class of `status`.
    pub fn answered(&self, status: u16) {
        let class = if status < 200 { "none" } else { class(status) };
        self.upstream_responses.with_label_values(&[class]).inc();
    }

    /// Counts `count` spans by what became of them: `exported`, `dropped` or `failed`.
    pub fn spans(&self, result: &str, count: u64) {
        self.trace_spans.with_label_values(&[result]).inc_by(count);
    }

    /// Counts one request for the PSA's own web server.
    pub fn passed(&self, status: Option<u16>, refused: bool) {
        let class = if refused { "refused" } else { status.map_or("none", class) };
        self.passed_through.with_label_values(&[class]).inc();
    }
}

fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, family: C) -> C {
    registry.register(Box::new(family.clone())).expect("each family has a name of its own");
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_and_label_value_is_there_before_the_first_request() {
        let text = Metrics::new().render();
        for line in [
            "sidegate_requests_total{outcome=\"denied\"} 0",
            "sidegate_auth_refusals_total{reason=\"expired\"} 0",
            "sidegate_limit_refusals_total{limit=\"too_many_calls\"} 0",
            "sidegate_key_mints_total{outcome=\"ok\"} 0",
            "sidegate_token_cache_lookups_total{result=\"hit\"} 0",
            "sidegate_upstream_request_duration_seconds_count 0",
            "sidegate_audit_queue_records 0",
        ] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
    }

    #[test]
    fn a_reason_nobody_declared_counts_as_other() {
        let metrics = Metrics::new();
        metrics.refuse("made up by a caller");
        assert!(metrics.render().contains("sidegate_auth_refusals_total{reason=\"other\"} 1"));
    }

    #[test]
    fn every_part_of_the_way_is_there_before_the_first_request() {
        let metrics = Metrics::new();
        for (place, phase) in PHASES.iter().enumerate() {
            metrics.phase(place, Duration::from_millis(1));
            let line = format!("sidegate_request_phase_duration_seconds_count{{phase=\"{phase}\"}} 1");
            assert!(metrics.render().contains(&line), "{line}");
        }
    }

    #[test]
    fn agents_have_labels_of_their_own_up_to_a_bound() {
        let metrics = Metrics::new();
        for number in 0..AGENTS + 5 {
            metrics.called(&format!("agent-{number}"), "call_api_endpoint", "read", "ok");
        }
        metrics.called("agent-0", "call_api_endpoint", "read", "ok");
        let text = metrics.render();
        let of = |agent: &str, count: usize| {
            let labels =
                format!("agent=\"{agent}\",effect=\"read\",outcome=\"ok\",tool=\"call_api_endpoint\"");
            assert!(text.contains(&format!("sidegate_calls_total{{{labels}}} {count}\n")), "{agent}");
        };
        of("agent-0", 2);
        of("other", 5);
        assert_eq!(text.matches("\nsidegate_calls_total{").count(), AGENTS + 1);
    }
}
