//! A receiver of spans (OTLP/HTTP, protobuf) that can be told how to answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::net::TcpListener;

use super::wait::until;

/// A span as it was sent, its ids in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty where it has none.
    pub parent: String,
    pub state: String,
    pub name: String,
    /// As OTLP numbers it: 2 is a server's, 3 a client's.
    pub kind: i32,
    pub flags: u32,
    pub failed: bool,
    pub began: u64,
    pub ended: u64,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Inner {
    answers: Mutex<Vec<u16>>,
    headers: Mutex<Vec<HeaderMap>>,
    spans: Mutex<Vec<Span>>,
    resources: Mutex<Vec<BTreeMap<String, String>>>,
}

/// The receiver, on a port of its own until the test ends.
pub struct Receiver {
    pub endpoint: String,
    inner: Arc<Inner>,
}

impl Receiver {
    /// Answers with these statuses one after the other, and then with 200.
    pub async fn start(mut answers: Vec<u16>) -> Self {
        answers.reverse();
        let inner = Arc::new(Inner { answers: Mutex::new(answers), ..Inner::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, inner }
    }

    /// What it has taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.inner.spans.lock().unwrap().clone()
    }

    /// The same once there are `count`.
    pub async fn some(&self, count: usize) -> Vec<Span> {
        until(|| async { Some(self.spans()).filter(|spans| spans.len() >= count) }).await
    }

    /// The headers of all requests, refused ones as well.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.inner.headers.lock().unwrap().clone()
    }

    /// What each batch said of its process.
    pub fn resources(&self) -> Vec<BTreeMap<String, String>> {
        self.inner.resources.lock().unwrap().clone()
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    inner.headers.lock().unwrap().push(headers);
    let status = inner.answers.lock().unwrap().pop().unwrap_or(200);
    let status = StatusCode::from_u16(status).unwrap();
    if !status.is_success() {
        return status;
    }
    let request = ExportTraceServiceRequest::decode(body).expect("an ExportTraceServiceRequest");
    for of_resource in request.resource_spans {
        inner.resources.lock().unwrap().push(attributes(of_resource.resource.unwrap().attributes));
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            inner.spans.lock().unwrap().push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                state: span.trace_state,
                name: span.name,
                kind: span.kind,
                flags: span.flags,
                failed: span.status.is_some_and(|status| status.code == 2),
                began: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
                attributes: attributes(span.attributes),
            });
        }
    }
    status
}

fn hex(bytes: &[u8]) -> String {
    sidegate::units::hex(bytes)
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: KeyValue| match value.value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => (value.key, text),
        Some(Value::IntValue(number)) => (value.key, number.to_string()),
        other => panic!("{}: {other:?}", value.key),
    };
    list.into_iter().map(text).collect()
}
