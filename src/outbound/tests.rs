//! The client against small servers on loopback.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::{any, get};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
async fn pieces_are_handed_over_as_they_come_and_count_together() {
    let (more, wait) = tokio::sync::oneshot::channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .await
            .unwrap();
        let () = wait.await.unwrap();
        let rest = format!("4\r\nnext\r\n3f8\r\n{}\r\n", "x".repeat(0x3f8));
        stream.write_all(rest.as_bytes()).await.unwrap();
        // Held open: what is too large is told before the end.
        let _ = stream.read(&mut [0; 1]).await;
    });
    let mut pieces = local().stream(ask(url)).await.unwrap().into_body();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "first");
    let given_up = tokio::time::timeout(Duration::from_millis(50), pieces.next()).await;
    assert!(given_up.is_err(), "{given_up:?}");
    more.send(()).unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "next");
    let end = loop {
        match pieces.next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap_err(), OutboundError::TooLarge { status: 200 });
}

#[tokio::test]
async fn a_stream_whose_head_does_not_come_meets_the_deadline() {
    let address = serve(Router::new().route("/", get(std::future::pending::<String>))).await;
    let limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };
    let client = Outbound::new(Guard::operator_chosen(), limits).unwrap();
    let late = client.stream(ask(format!("http://{address}/"))).await.err();
    assert_eq!(late, Some(OutboundError::Deadline));
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

/// Takes connections and answers one request on each: how many came, and the connections themselves once they were answered.
async fn once_each(
    after: &'static [u8],
) -> (SocketAddr, Arc<AtomicUsize>, tokio::sync::mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, (answered, connections)) = (Arc::new(AtomicUsize::new(0)), tokio::sync::mpsc::channel(9));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                stream.write_all(after).await.unwrap();
                answered.send(stream).await.unwrap();
            }
        }
    });
    (address, count, connections)
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_or_has_said_more_is_not_used_and_nothing_is_sent_twice() {
    let stray = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
    for after in [&b""[..], stray] {
        let (address, count, mut connections) = once_each(after).await;
        let (elsewhere, _count, _kept) = once_each(b"").await;
        let client = local();
        for sent in 1..=3 {
            let request = Request::post(format!("http://{address}/")).body(Bytes::from_static(b"x")).unwrap();
            assert_eq!(client.send(request).await.unwrap().status(), 204);
            drop(connections.recv().await);
            // Until a later answer is here: what came on the kept connection before it is known then.
            assert_eq!(local().send(ask(format!("http://{elsewhere}/"))).await.unwrap().status(), 204);
            assert_eq!(count.load(Ordering::SeqCst), sent);
        }
    }
}

#[tokio::test]
async fn a_connection_that_rests_for_too_long_is_closed() {
    let (address, _, mut connections) = once_each(b"").await;
    let client = local();
    assert_eq!(client.send(ask(format!("http://{address}/"))).await.unwrap().status(), 204);
    let mut kept = connections.recv().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(9), kept.read(&mut [0; 1])).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
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

/// A self-signed certificate for `name`.
struct Identity {
    pem: String,
    key: String,
    der: CertificateDer<'static>,
}

fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    Identity { pem: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
}

/// A TLS server with the certificate `own` that asks for one of `clients`, if there are any. It answers
/// with the name that it was asked for and the index of the client; returns its port.
fn tls_server(own: &Identity, clients: &[&Identity]) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        [] => builder.with_no_client_auth(),
        clients => {
            let mut roots = rustls::RootCertStore::empty();
            clients.iter().for_each(|client| roots.add(client.der.clone()).unwrap());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![own.der.clone()], key).unwrap());
    let clients: Vec<_> = clients.iter().map(|client| client.der.clone()).collect();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            if !stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                continue;
            }
            let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
            let client = shown.and_then(|shown| clients.iter().position(|client| client == shown));
            let body = format!("{} {client:?}", stream.conn.server_name().unwrap_or("nobody"));
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    port
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

async fn said(client: &Outbound, url: String) -> Result<String, OutboundError> {
    let answer = client.send(ask(url)).await?;
    Ok(String::from_utf8(answer.into_body().into()).unwrap())
}

fn by(transport: Transport) -> Outbound {
    Outbound::open(Guard::operator_chosen(), LIMITS, transport).unwrap()
}

#[tokio::test]
async fn an_extra_ca_is_trusted_beside_the_systems_roots() {
    let own = identity("localhost");
    let (port, ca) = (tls_server(&own, &[]), file(&own.pem));
    let client = Outbound::with_ca(Guard::operator_chosen(), LIMITS, Some(ca.path())).unwrap();
    assert_eq!(said(&client, format!("https://localhost:{port}/")).await.unwrap(), "localhost None");
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent() {
    let port = tls_server(&identity("localhost"), &[]);
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

#[tokio::test]
async fn a_server_name_stands_for_the_urls_host_in_the_certificate_and_in_the_question() {
    let own = identity("psa.internal");
    let (port, ca) = (tls_server(&own, &[]), file(&own.pem));
    let url = format!("https://127.0.0.1:{port}/");
    let trusting = Transport { ca_file: Some(ca.path().to_owned()), ..Transport::default() };
    let refused = said(&by(trusting.clone()), url.clone()).await.unwrap_err();
    assert!(refused.is_unsent(), "{refused:?}");
    for (name, good) in [("psa.internal", true), ("other.internal", false)] {
        let named = Transport { server_name: Some(name.to_owned()), ..trusting.clone() };
        let answer = said(&by(named), url.clone()).await;
        assert_eq!(answer.ok().as_deref(), good.then_some("psa.internal None"), "{name}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_a_new_one_after_a_reload() {
    let (own, first, second) = (identity("localhost"), identity("first"), identity("second"));
    let port = tls_server(&own, &[&first, &second]);
    let (ca, cert, key) = (file(&own.pem), file(&first.pem), file(&first.key));
    let url = format!("https://localhost:{port}/");
    let bare = Transport { ca_file: Some(ca.path().to_owned()), ..Transport::default() };
    assert!(said(&by(bare.clone()), url.clone()).await.is_err());
    let client = by(Transport {
        client_cert_file: Some(cert.path().to_owned()),
        client_key_file: Some(key.path().to_owned()),
        ..bare
    });
    assert_eq!(said(&client, url.clone()).await.unwrap(), "localhost Some(0)");
    std::fs::write(cert.path(), &second.pem).unwrap();
    let half = client.reload().unwrap_err();
    assert!(matches!(half, OutboundError::Invalid(why) if why.contains("does not go with")), "{half}");
    assert_eq!(said(&client, url.clone()).await.unwrap(), "localhost Some(0)", "what was in use stays");
    std::fs::write(key.path(), &second.key).unwrap();
    client.reload().unwrap();
    assert_eq!(said(&client.clone(), url).await.unwrap(), "localhost Some(1)");
}

#[tokio::test]
async fn another_authority_is_trusted_after_a_reload_and_the_old_one_no_longer() {
    let (old, new) = (identity("localhost"), identity("localhost"));
    let urls = [&old, &new].map(|own| format!("https://localhost:{}/", tls_server(own, &[])));
    let ca = file(&old.pem);
    let client = by(Transport { ca_file: Some(ca.path().to_owned()), ..Transport::default() });
    assert!(said(&client, urls[0].clone()).await.is_ok() && said(&client, urls[1].clone()).await.is_err());
    std::fs::write(ca.path(), &new.pem).unwrap();
    client.reload().unwrap();
    assert!(said(&client, urls[0].clone()).await.is_err() && said(&client, urls[1].clone()).await.is_ok());
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_refused_without_a_word_of_it() {
    let (one, other) = (identity("one"), identity("other"));
    let (cert, key, secret) = (file(&one.pem), file(&other.key), file("s3cret"));
    for (cert, key) in [(&cert, &key), (&cert, &secret), (&secret, &key), (&cert, &cert)] {
        let transport = Transport {
            client_cert_file: Some(cert.path().to_owned()),
            client_key_file: Some(key.path().to_owned()),
            ..Transport::default()
        };
        let refused = Outbound::open(Guard::operator_chosen(), LIMITS, transport).err().unwrap();
        assert!(refused.to_string().contains("client_") && !refused.to_string().contains("s3cret"));
    }
}

#[tokio::test]
async fn a_unix_socket_takes_every_connection_and_the_url_gives_host_and_path() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("psa.sock");
    let client = by(Transport { unix_socket: Some(socket.clone()), ..Transport::default() });
    let url = "http://psa.internal/app/x?y=z";
    let nobody = said(&client, url.to_owned()).await.unwrap_err();
    assert!(matches!(nobody, OutboundError::Unreachable { .. }), "{nobody:?}");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        String::from_utf8(request[..read].to_vec()).unwrap()
    });
    assert_eq!(said(&client, url.to_owned()).await.unwrap(), "ok");
    let request = serving.await.unwrap();
    assert!(request.starts_with("GET /app/x?y=z HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("host: psa.internal\r\n"), "{request}");
}

#[tokio::test]
async fn a_connection_that_is_too_old_takes_no_further_call() {
    let opened = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = opened.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    for (oldest, connections) in [(OLDEST, 1), (Duration::ZERO, 3)] {
        opened.store(0, Ordering::SeqCst);
        let guard = Guard::operator_chosen();
        let client = Outbound::aged(guard, LIMITS, Transport::default(), oldest).unwrap();
        for _ in 0..3 {
            assert_eq!(said(&client, url.clone()).await.unwrap(), "ok");
        }
        assert_eq!(opened.load(Ordering::SeqCst), connections, "{oldest:?}");
    }
}

#[tokio::test]
async fn plain_http_on_a_port_for_tls_and_the_reverse_are_told() {
    let plain = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let refused = said(&local(), format!("https://{plain}/")).await.unwrap_err();
    assert!(matches!(refused, OutboundError::Unreachable { .. }), "{refused:?}");
    let tls = tls_server(&identity("localhost"), &[]);
    let refused = said(&local(), format!("http://127.0.0.1:{tls}/")).await.unwrap_err();
    assert!(
        matches!(refused, OutboundError::Malformed { .. } | OutboundError::Interrupted { .. }),
        "{refused:?}"
    );
}
