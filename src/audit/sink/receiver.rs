//! An HTTP receiver for the tests of sinks: it keeps what it got and answers as it is told.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Clone)]
pub(super) struct Got {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What was answered.
    pub status: u16,
}

#[derive(Clone, Copy)]
pub(super) struct Reply {
    pub status: u16,
    pub text: &'static str,
    pub retry_after: Option<u32>,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, text: "", retry_after: None }
    }
}

pub(super) struct Receiver {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// One that answers by the request's number, from 0.
    pub async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("http://127.0.0.1:0", move |number, _| reply(number)).await
    }

    /// One that answers by the body.
    pub async fn judging(reply: impl Fn(&[u8]) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("http://127.0.0.1:0", move |_, body| reply(body)).await
    }

    pub async fn at(url: &str, reply: impl Fn(usize, &[u8]) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(url.trim_start_matches("http://")).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let (kept, reply) = (got.clone(), Arc::new(reply));
        let serving = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, reply) = (kept.clone(), reply.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (kept, reply) = (kept.clone(), reply.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let mut kept = kept.lock();
                        let told = reply(kept.len(), &body);
                        let (method, uri, headers) = (head.method, head.uri, head.headers);
                        kept.push(Got { method, uri, headers, body, status: told.status });
                        let mut answer = Response::builder().status(told.status);
                        if let Some(wait) = told.retry_after {
                            answer = answer.header("retry-after", wait);
                        }
                        Ok::<_, hyper::Error>(
                            answer.body(Full::new(Bytes::from_static(told.text.as_bytes()))).unwrap(),
                        )
                    }
                });
                connections.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, got, serving }
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().clone()
    }

    pub async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

pub(super) fn ungzip(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}
