//! The client against small servers on loopback.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::{any, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LIMITS: Limits =
    Limits { deadline: Duration::from_secs(10), connect: Duration::from_secs(5), body: 1024 };

fn local() -> Outbound {
    Outbound::new(Guard::operator_chosen(), LIMITS).unwrap()
}

fn ask(url: String) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

async fn refusal(client: &Outbound, address: SocketAddr) -> OutboundError {
    client.send(ask(format!("http://{address}/"))).await.unwrap_err()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Accepts connections, reads something from each, answers with `answer` and closes.
async fn raw(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

#[tokio::test]
async fn any_method_and_body_arrive_and_any_status_comes_back() {
    let echo = |method: http::Method, body: String| async move {
        (http::StatusCode::IM_A_TEAPOT, format!("{method} {body}"))
    };
    let address = serve(Router::new().route("/", any(echo))).await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = Request::builder().method(method).uri(format!("http://{address}/"));
        let answer = local().send(request.body(Bytes::from_static(b"x")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 418);
        assert_eq!(answer.body(), format!("{method} x").as_bytes());
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let target = Arc::new(AtomicUsize::new(0));
    let seen = target.clone();
    let router = Router::new()
        .route("/", get(|| async { axum::response::Redirect::temporary("/there") }))
        .route("/there", get(move || async move { seen.fetch_add(1, Ordering::SeqCst).to_string() }));
    let address = serve(router).await;
    assert_eq!(local().send(ask(format!("http://{address}/"))).await.unwrap().status(), 307);
    assert_eq!(target.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_over_the_cap_is_too_large_whether_announced_or_streamed() {
    let announced = serve(Router::new().route("/", get(|| async { vec![0; 1025] }))).await;
    let streamed = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n500\r\n\
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
    .await;
    assert_eq!(refusal(&local(), announced).await, OutboundError::TooLarge { status: 200 });
    let small = Outbound::new(Guard::operator_chosen(), Limits { body: 16, ..LIMITS }).unwrap();
    assert_eq!(refusal(&small, streamed).await, OutboundError::TooLarge { status: 200 });
    let exact = serve(Router::new().route("/", get(|| async { vec![0; 1024] }))).await;
    assert_eq!(local().send(ask(format!("http://{exact}/"))).await.unwrap().body().len(), 1024);
}

#[tokio::test]
async fn a_server_that_never_answers_meets_the_deadline() {
    let address = serve(Router::new().route("/", get(std::future::pending::<String>))).await;
    let late = local().send_within(ask(format!("http://{address}/")), Duration::from_millis(50)).await;
    assert_eq!(late.unwrap_err(), OutboundError::Deadline);
    assert!(!OutboundError::Deadline.is_unsent());
}

#[tokio::test]
async fn a_closed_port_was_certainly_not_sent_to() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = local().send(ask(format!("http://{address}/"))).await.unwrap_err();
    assert!(matches!(refused, OutboundError::Unreachable { .. }) && refused.is_unsent(), "{refused:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_interrupted() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"] {
        let address = raw(answer).await;
        let request = Request::post(format!("http://{address}/")).body(Bytes::from_static(b"x")).unwrap();
        let broken = local().send(request).await.unwrap_err();
        assert!(matches!(broken, OutboundError::Interrupted { .. }) && !broken.is_unsent(), "{broken:?}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // A second connection would find nobody.
        drop(listener);
        while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    });
    let client = local();
    for _ in 0..3 {
        assert_eq!(client.send(ask(format!("http://{address}/"))).await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn the_guard_judges_literals_and_names_when_connecting() {
    let address = serve(Router::new().route("/", get(|| async { "secret" }))).await;
    let port = address.port();
    let guarded = Outbound::new(Guard::public_only(vec![]), LIMITS).unwrap();
    for target in [
        "http://127.0.0.1",
        "https://127.0.0.1",
        "http://localhost",
        "https://localhost",
        "http://[::ffff:127.0.0.1]",
        "https://[::ffff:127.0.0.1]",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://169.254.169.254",
    ] {
        let refused = guarded.send(ask(format!("{target}:{port}/"))).await.unwrap_err();
        assert!(matches!(refused, OutboundError::Forbidden { .. }), "{target}: {refused:?}");
        assert!(refused.is_unsent());
    }
    let admitted = Outbound::new(Guard::public_only(vec!["127.0.0.0/8".parse().unwrap()]), LIMITS).unwrap();
    assert_eq!(admitted.send(ask(format!("http://localhost:{port}/"))).await.unwrap().body(), "secret");
}

#[tokio::test]
async fn what_cannot_be_asked_is_invalid() {
    for url in ["/relative", "ftp://127.0.0.1/", "http://user@127.0.0.1/"] {
        let refused = local().send(ask(url.to_owned())).await.unwrap_err();
        assert!(matches!(refused, OutboundError::Invalid(_)), "{url}: {refused:?}");
    }
    let unknown = local().send(ask("http://no-such-name.invalid/".to_owned())).await;
    assert_eq!(unknown.unwrap_err(), OutboundError::Dns);
}

/// A TLS server for one connection; returns its port and the PEM of its certificate.
fn tls_server() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        if stream.read(&mut [0; 4096]).is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn an_extra_ca_is_trusted_beside_the_systems_roots() {
    let (port, pem) = tls_server();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let client = Outbound::with_ca(Guard::operator_chosen(), LIMITS, Some(file.path())).unwrap();
    assert_eq!(client.send(ask(format!("https://localhost:{port}/"))).await.unwrap().body(), "ok");
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent() {
    let (port, _) = tls_server();
    let refused = local().send(ask(format!("https://localhost:{port}/"))).await.unwrap_err();
    assert!(
        matches!(&refused, OutboundError::Unreachable { why } if why.contains("certificate")),
        "{refused:?}"
    );
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(file.path(), content).unwrap();
        assert!(Outbound::with_ca(Guard::operator_chosen(), LIMITS, Some(file.path())).is_err(), "{content}");
    }
}
