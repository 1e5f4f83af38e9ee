//! The ways to a PSA that a configuration can describe, each gone by a call and by a page that passes through:
//! TLS with an authority, a name and a client certificate of its own, and a unix socket.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::support::plan::Plan;
use crate::support::tls::Authority;
use crate::support::web::Web;
use crate::support::world::World;

/// Carries one connection on to `web`.
async fn carry(mut near: impl AsyncRead + AsyncWrite + Unpin, web: String) {
    let mut far = TcpStream::connect(web).await.unwrap();
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

fn address(web: &Web) -> String {
    web.url.trim_start_matches("http://").to_owned()
}

/// TLS before `web`, under a certificate for `localhost` of `own`, for clients of `clients`; the port.
async fn encrypted(web: &Web, own: &Authority, clients: &Authority) -> u16 {
    crate::support::install_crypto();
    let (certificate, key) = own.certify();
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let asks = WebPkiClientVerifier::builder(Arc::new(trusted)).build().unwrap();
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(asks)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let web = address(web);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, web) = (acceptor.clone(), web.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    carry(stream, web).await;
                }
            });
        }
    });
    port
}

/// Sidegate on the way that `psa` describes, with one key for its agent.
async fn world(folder: &Path, psa: &str) -> World {
    let key = folder.join("key");
    fs::write(&key, "key-of-technician").unwrap();
    let psa = format!(
        "{psa}\nkeys = \"static\"\ncatalog_key = \"k\"\nstatic_keys = {{ technician = \"{}\" }}",
        key.display()
    );
    World::of(Plan { psa: Some(&psa), more: "[passthrough]\nenabled = true", ..Plan::default() }).await
}

/// Whether a call is answered, and the status of a page.
async fn tried(world: &World) -> (bool, u16) {
    let list = json!({"entryId": "get-_api_v1_tickets"});
    let call = world.call("technician", "call_api_endpoint", list).await;
    (!call.is_error(), world.get(&format!("{}/msp", world.base)).await.status)
}

const WELL: (bool, u16) = (true, 200);
const NEITHER: (bool, u16) = (false, 502);

/// The same after a start on a changed configuration.
async fn again(mut world: World, from: &str, to: &str) -> World {
    world.stop().await;
    let text = fs::read_to_string(&world.config_file).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(&world.config_file, text.replace(from, to)).unwrap();
    world.again().await
}

#[tokio::test]
async fn over_tls_the_psa_is_the_one_that_was_meant_and_is_shown_our_certificate() {
    let (own, clients) = (Authority::new("The PSA's"), Authority::new("The PSA's clients'"));
    let web = Web::friendly().await;
    let port = encrypted(&web, &own, &clients).await;
    let files = TempDir::new().unwrap();
    let at = |name: &str| files.path().join(name).display().to_string();
    let (certificate, key) = clients.certify();
    for (name, text) in [("ca.pem", &own.pem), ("own.crt", &certificate), ("own.key", &key)] {
        fs::write(files.path().join(name), text).unwrap();
    }
    let (ca, name) = (format!("ca_file = \"{}\"", at("ca.pem")), "server_name = \"localhost\"");
    let shown = format!("client_cert_file = \"{}\"\nclient_key_file = \"{}\"", at("own.crt"), at("own.key"));
    let psa = format!("url = \"https://127.0.0.1:{port}\"\n{ca}\n{name}\n{shown}");
    let mut world = world(files.path(), &psa).await;
    assert_eq!(tried(&world).await, WELL);
    assert!(web.everything().contains("GET /msp "), "{}", web.everything());

    // Each of the four is needed, and none can be done without.
    let reached = web.everything().len();
    for (line, other) in
        [(ca.as_str(), ""), (name, ""), (name, "server_name = \"other.example\""), (shown.as_str(), "")]
    {
        world = again(world, line, &format!("# the line\n{other}\n# was here")).await;
        assert_eq!(tried(&world).await, NEITHER, "{line}");
        world = again(world, &format!("# the line\n{other}\n# was here"), line).await;
    }
    assert_eq!(web.everything().len(), reached, "nothing was sent: {}", web.everything());
    assert_eq!(tried(&world).await, WELL);
}

#[tokio::test]
async fn a_psa_on_a_unix_socket_is_there_for_calls_and_for_people() {
    let web = Web::friendly().await;
    let files = TempDir::new().unwrap();
    let socket = files.path().join("psa.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let behind = address(&web);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(carry(near, behind.clone()));
        }
    });
    let psa = format!("url = \"http://psa.internal\"\nunix_socket = \"{}\"", socket.display());
    let world = world(files.path(), &psa).await;
    assert_eq!(tried(&world).await, WELL);
    let seen = web.everything().to_lowercase();
    assert!(seen.contains("\r\nhost: psa.internal\r\n"), "the call: {seen}");
    assert!(seen.contains(&format!("\r\nhost: {}\r\n", world.authority())), "the page: {seen}");
}
