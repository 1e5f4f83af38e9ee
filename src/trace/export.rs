//! Sends what is told to an OTLP receiver (OTLP/HTTP, protobuf), many at a time. What has no room is left out and
//! counted: requests never wait for it, and no record rests on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Told, TraceConfig, otlp};
use crate::metrics::Metrics;
use crate::outbound::{Guard, Limits, Outbound, OutboundError};

/// Requests that may wait.
const QUEUE: usize = 2048;
/// Requests that are sent at a time.
const MOST: usize = 512;
/// How long the first of them waits for company.
const GATHER: Duration = Duration::from_secs(1);
/// How often a batch is tried that the receiver may take later, and the pause before the second time.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// What handing over the rest may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

const LIMITS: Limits =
    Limits { deadline: Duration::from_secs(10), connect: Duration::from_secs(5), body: 64 << 10 };

/// The queue, and who empties it.
#[derive(Clone)]
pub struct Export {
    queue: Sender<Told>,
    metrics: Arc<Metrics>,
    ending: CancellationToken,
    sending: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What sends.
struct Sending {
    endpoint: http::Uri,
    token: Option<HeaderValue>,
    client: Outbound,
    instance: String,
    metrics: Arc<Metrics>,
    ending: CancellationToken,
    /// The last batch was lost, which was said.
    failing: bool,
}

/// Why a batch was not taken, and whether it may be later (OTLP/HTTP, failures).
struct Untaken {
    why: String,
    later: bool,
}

impl Export {
    /// None where no endpoint is configured.
    pub fn open(config: &TraceConfig, metrics: &Arc<Metrics>) -> Result<Option<Self>, String> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let bearer = |token: &str| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "token: holds characters that are not fit for a header".to_owned())?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        };
        let token = Some(&config.token).filter(|token| !token.is_empty());
        let client = Outbound::open(Guard::operator_chosen(), LIMITS, config.transport());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let ending = CancellationToken::new();
        let sending = Sending {
            endpoint: endpoint.parse().map_err(|_| "endpoint: is not a URL".to_owned())?,
            token: token.map(|token| bearer(token.expose())).transpose()?,
            client: client.map_err(|error| format!("ca_file: {error}"))?,
            instance: uuid::Uuid::new_v4().to_string(),
            metrics: metrics.clone(),
            ending: ending.clone(),
            failing: false,
        };
        let sending = Arc::new(Mutex::new(Some(tokio::spawn(sending.run(waiting)))));
        Ok(Some(Self { queue, metrics: metrics.clone(), ending, sending }))
    }

    /// Takes it, or counts it as left out.
    pub fn take(&self, told: Told) {
        if let Err(error) = self.queue.try_send(told) {
            self.metrics.spans("dropped", otlp::count(&[error.into_inner()]));
        }
    }

    /// Hands over what waits; a second call returns at once.
    pub async fn close(&self) {
        self.ending.cancel();
        let sending = self.sending.lock().take();
        if let Some(sending) = sending {
            let abort = sending.abort_handle();
            if tokio::time::timeout(FAREWELL, sending).await.is_err() {
                abort.abort();
                tracing::warn!("not all spans could be handed over at the end");
            }
        }
    }
}

impl Sending {
    async fn run(mut self, mut waiting: Receiver<Told>) {
        let mut batch = Vec::with_capacity(MOST);
        loop {
            tokio::select! {
                taken = waiting.recv_many(&mut batch, MOST) => if taken == 0 {
                    return;
                },
                // What is in the queue is still taken out of it.
                () = self.ending.cancelled(), if !waiting.is_closed() => waiting.close(),
            }
            if batch.is_empty() {
                continue;
            }
            let company = async {
                loop {
                    let room = MOST - batch.len();
                    if room == 0 || waiting.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            tokio::select! {
                _ = tokio::time::timeout(GATHER, company) => {}
                () = self.ending.cancelled() => {}
            }
            self.hand_over(&batch).await;
            batch.clear();
        }
    }

    async fn hand_over(&mut self, batch: &[Told]) {
        let count = otlp::count(batch);
        let body = Bytes::from(otlp::request(batch, &self.instance).encode_to_vec());
        match self.patiently(body).await {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.metrics.spans("exported", count - rejected);
                self.metrics.spans("failed", rejected);
                self.failing = false;
            }
            Err(why) => {
                self.metrics.spans("failed", count);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(why, "spans are lost: the receiver does not take them");
                }
            }
        }
    }

    /// How many of a batch's spans the receiver rejected.
    async fn patiently(&self, body: Bytes) -> Result<u64, String> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.send(body.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(Untaken { why, later: false }) => return Err(why),
                Err(_) => {}
            }
            let jitter = pause.mul_f64(rand::random::<f64>() / 2.0);
            tokio::select! {
                () = tokio::time::sleep(pause + jitter) => {}
                // Nobody has time left for pauses.
                () = self.ending.cancelled() => break,
            }
            pause *= 2;
        }
        self.send(body).await.map_err(|untaken| untaken.why)
    }

    async fn send(&self, body: Bytes) -> Result<u64, Untaken> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("sidegate/", env!("CARGO_PKG_VERSION"))),
        );
        headers.extend(self.token.clone().map(|token| (header::AUTHORIZATION, token)));
        let answer = self.client.send(request).await.map_err(|error| Untaken {
            later: !matches!(error, OutboundError::Forbidden { .. } | OutboundError::Invalid(_)),
            why: error.to_string(),
        })?;
        let status = answer.status();
        if status.is_success() {
            // What cannot be read says of no span that it was rejected.
            let read = ExportTraceServiceResponse::decode(answer.into_body()).unwrap_or_default();
            let rejected = read.partial_success.map_or(0, |partial| partial.rejected_spans);
            return Ok(u64::try_from(rejected).unwrap_or_default());
        }
        let later = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Untaken { why: format!("it answered {status}"), later })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::trace::Tracer;

    fn told(tracer: &Tracer) -> Told {
        Told {
            context: tracer.begin(None),
            began: 0,
            took: Duration::ZERO,
            request_id: String::new(),
            tenant: String::new(),
            agent: None,
            revision: None,
            method: None,
            tool: None,
            entry: None,
            outcome: "ok",
            call: None,
        }
    }

    #[tokio::test]
    async fn what_has_no_room_is_counted_and_neither_it_nor_the_end_waits_for_a_receiver_that_hangs() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let metrics = Arc::new(Metrics::new());
        let config = TraceConfig { endpoint: Some(endpoint), ..TraceConfig::default() };
        let tracer = Tracer::open(&config, &metrics).unwrap();
        // Nothing is taken out of the queue meanwhile: this runtime has one thread.
        for _ in 0..QUEUE + 7 {
            tracer.tell(told(&tracer));
        }
        let of = |result: &str| format!("sidegate_trace_spans_total{{result=\"{result}\"}}");
        assert!(metrics.render().contains(&format!("{} 7\n", of("dropped"))));
        let began = std::time::Instant::now();
        tracer.close().await;
        assert!(began.elapsed() < FAREWELL * 2, "{:?}", began.elapsed());
        assert!(metrics.render().contains(&format!("{} 0\n", of("exported"))));
    }

    #[tokio::test]
    async fn what_is_not_sampled_is_not_told() {
        let metrics = Arc::new(Metrics::new());
        let endpoint = Some("http://127.0.0.1:9/v1/traces".to_owned());
        let config = TraceConfig { endpoint, sample: 0.0, ..TraceConfig::default() };
        let tracer = Tracer::open(&config, &metrics).unwrap();
        for _ in 0..QUEUE + 1 {
            tracer.tell(told(&tracer));
        }
        assert!(metrics.render().contains("sidegate_trace_spans_total{result=\"dropped\"} 0\n"));
    }

    #[tokio::test]
    async fn a_token_that_is_no_header_is_refused_without_being_shown() {
        let endpoint = Some("http://127.0.0.1:9/v1/traces".to_owned());
        let token = crate::secret::Secret::new("s3cret\n");
        let config = TraceConfig { endpoint, token, ..TraceConfig::default() };
        let refused = Tracer::open(&config, &Arc::new(Metrics::new())).err().unwrap();
        assert!(refused.starts_with("token: ") && !refused.contains("s3cret"), "{refused}");
    }
}
