//! From what is told of requests to OTLP's messages, by OpenTelemetry's semantic conventions for MCP and HTTP. Pure.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status};

use super::{Call, Context, Told};

const NAME: &str = "sidegate";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All of `told`, as from the process that is called `instance`.
pub fn request(told: &[Told], instance: &str) -> ExportTraceServiceRequest {
    let spans = told.iter().flat_map(|told| {
        let call = told.call.as_ref().map(|call| of_call(call, told));
        std::iter::once(of_request(told)).chain(call)
    });
    let scope = InstrumentationScope {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: spans.collect(), schema_url: String::new() };
    let attributes = vec![
        text("service.name", NAME),
        text("service.version", VERSION),
        text("service.instance.id", instance),
    ];
    let resource = Resource { attributes, ..Resource::default() };
    let spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], schema_url: String::new() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

/// How many spans are told of.
pub fn count(told: &[Told]) -> u64 {
    told.iter().map(|told| 1 + u64::from(told.call.is_some())).sum()
}

fn of_request(told: &Told) -> Span {
    let method = told.method.as_deref();
    let name = match (method, &told.tool) {
        (Some(method), Some(tool)) => format!("{method} {tool}"),
        (Some(method), None) => method.to_owned(),
        (None, _) => "request".to_owned(),
    };
    let failed = told.outcome != "ok";
    let texts = [
        ("mcp.method.name", method),
        ("mcp.protocol.version", told.revision),
        ("gen_ai.operation.name", told.tool.as_ref().map(|_| "execute_tool")),
        ("gen_ai.tool.name", told.tool.as_deref()),
        ("error.type", failed.then_some(told.outcome)),
        ("sidegate.request_id", Some(&told.request_id)),
        ("sidegate.tenant", Some(&told.tenant)),
        ("sidegate.agent", told.agent.as_deref()),
        ("sidegate.entry_id", told.entry.as_deref()),
        ("sidegate.outcome", Some(told.outcome)),
    ];
    let attributes = texts.into_iter().filter_map(|(key, value)| Some(text(key, value?))).collect();
    let began = nanos(told.began);
    let ended = began.saturating_add(told.took.as_nanos() as u64);
    Span { name, ..span(&told.context, SpanKind::Server, (began, ended), attributes, failed) }
}

fn of_call(call: &Call, told: &Told) -> Span {
    let failed = call.status.is_none_or(|status| status >= 400);
    let mut attributes = vec![text("http.request.method", call.verb), text("url.template", &call.path)];
    match call.status {
        Some(status) => {
            attributes.push(attribute("http.response.status_code", Value::IntValue(status.into())));
            attributes.extend(failed.then(|| text("error.type", &status.to_string())));
        }
        None => attributes.push(text("error.type", told.outcome)),
    }
    let began = nanos(told.began).saturating_add(call.after.as_nanos() as u64);
    let took = call.took.unwrap_or_else(|| told.took.saturating_sub(call.after));
    let ended = began.saturating_add(took.as_nanos() as u64);
    let name = format!("{} {}", call.verb, call.path);
    Span { name, ..span(&call.context, SpanKind::Client, (began, ended), attributes, failed) }
}

fn span(
    context: &Context,
    kind: SpanKind,
    (began, ended): (u64, u64),
    attributes: Vec<KeyValue>,
    failed: bool,
) -> Span {
    let known = SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = if context.remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    Span {
        trace_id: context.trace.get().to_be_bytes().to_vec(),
        span_id: context.span.get().to_be_bytes().to_vec(),
        trace_state: context.tracestate().unwrap_or_default().to_owned(),
        parent_span_id: context.parent.map(|id| id.get().to_be_bytes().to_vec()).unwrap_or_default(),
        flags: u32::from(context.sampled) | known | remote,
        kind: kind.into(),
        start_time_unix_nano: began,
        end_time_unix_nano: ended,
        attributes,
        status: failed.then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
        ..Span::default()
    }
}

fn nanos(millis: i64) -> u64 {
    u64::try_from(millis).unwrap_or_default().saturating_mul(1_000_000)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
