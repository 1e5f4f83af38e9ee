//! Every metric family of the process, registered once and present from the start.
//!
//! Label values are closed sets declared here; nothing that a caller sends may
//! become a label (Prometheus naming, bounded cardinality).

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// How a request ended, as `sidegate_requests_total{outcome}` counts it.
pub const OUTCOMES: [&str; 9] =
    ["ok", "tool_error", "denied", "fault", "refused", "cancelled", "timeout", "unavailable", "unknown"];

/// Why a caller was refused: before its message was read, but for `insufficient_scope`.
pub const AUTH_REASONS: [&str; 40] = [
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

const LATENCY_BUCKETS: [f64; 13] =
    [0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5.0, 30.0];

/// Handles to all families. One instance a process (or a test world).
pub struct Metrics {
    registry: Registry,
    /// Requests on the MCP endpoint by outcome, one of [`OUTCOMES`].
    pub requests: IntCounterVec,
    /// Refusals of callers by one of [`AUTH_REASONS`].
    pub auth_refusals: IntCounterVec,
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
    /// PSA keys revoked or swept, by `revoked` or `swept`.
    pub key_removals: IntCounterVec,
    /// Fetches of an issuer's key set, by `ok` or `error`.
    pub jwks_refreshes: IntCounterVec,
    /// Lookups of verified claims, by `hit` or `miss`.
    pub token_cache: IntCounterVec,
    /// Requests being worked on now.
    pub in_flight: IntGauge,
    /// Audit records accepted and not yet written.
    pub audit_queue: IntGauge,
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
    /// Connections closed at accept because there were too many.
    pub connections_refused: IntCounter,
    /// Connections closed because nothing came in time, by `header` or `idle`.
    pub connections_overdue: IntCounterVec,
    /// TLS handshakes that failed or took too long.
    pub handshake_failures: IntCounter,
    /// When the certificate that is served ends, in seconds since 1970; 0 without TLS.
    pub certificate_expiry: IntGauge,
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
            Opts::new("sidegate_build_info", "The version that runs, always 1."),
            &["version"],
        )
        .expect("a valid name");
        built.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register(&registry, built);
        let config_ok = gauge(
            "sidegate_config_last_reload_successful",
            "1 unless the last reload of the configuration was refused.",
        );
        config_ok.set(1);
        let catalog_age = register(
            &registry,
            Gauge::new(
                "sidegate_catalog_age_seconds",
                "Seconds since the catalogue in use was fetched from the PSA; NaN before the first.",
            )
            .expect("a valid name"),
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
            upstream_seconds: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "sidegate_upstream_request_duration_seconds",
                        "Time from sending a call to the PSA until its answer was read.",
                    )
                    .buckets(LATENCY_BUCKETS.to_vec()),
                )
                .expect("sorted buckets"),
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
            audit_queue: gauge("sidegate_audit_queue_records", "Audit records accepted and not yet written."),
            audit_records: counters(
                "sidegate_audit_records_total",
                "Audit records written by kind.",
                "record",
                &["intent", "event"],
            ),
            audit_failures: register(
                &registry,
                IntCounter::new(
                    "sidegate_audit_write_failures_total",
                    "Failed attempts to write audit records.",
                )
                .expect("a valid name"),
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
}
