//! Records as log records of OpenTelemetry, by OTLP/HTTP in protobuf.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde::Deserialize;

use super::config::SinkConfig;
use super::post::{self, Body, Poster};
use super::severity::Severity;
use super::table::{Kind, Sink, Undelivered};
use crate::clock::Clock;
use crate::record::Record;

pub(super) static KIND: Kind = Kind {
    name: "otlp",
    keys: &post::KEYS,
    problems,
    open: |config| Ok(Box::new(Otlp(Poster::open(config, Logs { clock: Clock::System })?))),
};

fn problems(config: &SinkConfig) -> Vec<(String, String)> {
    let mut problems = post::problems(config);
    if url::Url::parse(&config.url).is_ok_and(|url| url.path() == "/") {
        let message = "must be the whole address, such as http://collector.internal:4318/v1/logs";
        problems.push(("url".to_owned(), message.to_owned()));
    }
    problems
}

struct Otlp(Poster<Logs>);

#[async_trait]
impl Sink for Otlp {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        self.0.deliver(records).await
    }
}

/// The body of an export request.
struct Logs {
    clock: Clock,
}

impl Body for Logs {
    fn content_type(&self) -> &'static str {
        "application/x-protobuf"
    }

    fn body(&self, records: &[Arc<Record>], omitted: bool) -> Vec<u8> {
        let now = nanoseconds(self.clock.now());
        let own = [("service.name", "sidegate"), ("service.version", env!("CARGO_PKG_VERSION"))];
        let scope = InstrumentationScope {
            name: "sidegate.audit".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let log_records = records.iter().map(|record| log_record(record, omitted, now)).collect();
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource {
                    attributes: own.map(|(key, value)| attribute(key, value)).into(),
                    ..Resource::default()
                }),
                scope_logs: vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }],
                ..ResourceLogs::default()
            }],
        };
        request.encode_to_vec()
    }

    /// What was rejected must not be sent again (OTLP specification, "Partial Success").
    fn answered(&self, records: &[Arc<Record>], answer: &Bytes) {
        let Some((rejected, why)) = rejected(answer) else { return };
        let id = |record: Option<&Arc<Record>>| record.map(|record| record.id()).unwrap_or_default();
        let (first, last) = (id(records.first()), id(records.last()));
        tracing::error!(rejected, %first, %last, why, "the receiver has rejected records for good");
    }
}

/// How many records the receiver will never take, and why.
fn rejected(answer: &Bytes) -> Option<(i64, String)> {
    let partial = ExportLogsServiceResponse::decode(answer.as_ref()).ok()?.partial_success?;
    let why = partial.error_message.chars().filter(|char| !char.is_control()).take(200).collect();
    (partial.rejected_log_records > 0).then_some((partial.rejected_log_records, why))
}

/// What of a record's body has no column.
#[derive(Default, Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    trace_id: Option<Cow<'a, str>>,
}

fn log_record(record: &Record, omitted: bool, now: u64) -> LogRecord {
    let facts = &record.facts;
    let severity = Severity::of(facts);
    let told: Told = serde_json::from_str(&facts.body).unwrap_or_default();
    let mut line = Vec::new();
    if omitted {
        record.write_omitted(&mut line)
    } else {
        record.write_line(&mut line)
    }
    line.pop();
    let id = record.id();
    let attributes = [
        ("log.record.uid", Some(id.as_str())),
        ("sidegate.tenant", Some(facts.tenant.as_str())),
        ("sidegate.kind", Some(&facts.kind)),
        ("sidegate.agent.id", facts.agent_id.as_deref()),
        ("sidegate.agent.name", told.agent.as_deref()),
        ("sidegate.tool", facts.tool.as_deref()),
        ("sidegate.entry.id", facts.entry_id.as_deref()),
        ("sidegate.decision", facts.decision.as_deref()),
        ("sidegate.outcome", facts.outcome.as_deref()),
        ("sidegate.request.id", facts.request_id.as_deref()),
    ];
    LogRecord {
        time_unix_nano: nanoseconds(facts.at),
        observed_time_unix_nano: now,
        severity_number: severity.otel(),
        severity_text: severity.text().to_owned(),
        body: Some(text(String::from_utf8_lossy(&line).into_owned())),
        attributes: attributes.into_iter().filter_map(|(key, value)| Some(attribute(key, value?))).collect(),
        trace_id: told.trace_id.as_deref().and_then(trace_id).unwrap_or_default(),
        event_name: format!("sidegate.{}", facts.kind),
        ..LogRecord::default()
    }
}

fn nanoseconds(at: i64) -> u64 {
    u64::try_from(at).unwrap_or(0).saturating_mul(1_000_000)
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value.to_owned())), ..KeyValue::default() }
}

fn text(value: String) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value)) }
}

/// The bytes of 32 hexadecimal digits, unless all are zero, which is none (W3C Trace Context).
fn trace_id(written: &str) -> Option<Vec<u8>> {
    let number = u128::from_str_radix(written, 16).ok().filter(|number| *number != 0)?;
    (written.len() == 32).then(|| number.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests;
