//! Certificates that change while they are served, and clients that have some of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sidegate::edge::{ClientCertificates, Door, Listening, ServerConfig};
use sidegate::gate::{Front, Gate};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::tls::Authority;
use crate::support::wire::{Tls, ask, leaf};
use crate::support::world::World;

/// A listener of its own on the gate of a world, with certificates of its own.
struct Hall {
    folder: TempDir,
    authority: Authority,
    listening: Listening,
    port: u16,
    world: World,
}

impl Hall {
    /// With a certificate of a new authority, and `clients` as the authority of the clients'.
    async fn open(kind: ClientCertificates, clients: Option<&Authority>) -> Self {
        let authority = Authority::new("The server's");
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.certify();
        let clients = clients.map_or("", |clients| &clients.pem);
        for (name, text) in [("tls.crt", certificate.as_str()), ("tls.key", &key), ("clients.pem", clients)] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self::with(authority, folder, kind).await
    }

    async fn with(authority: Authority, folder: TempDir, clients: ClientCertificates) -> Self {
        let world = World::start().await;
        let file = |name: &str| Some(folder.path().join(name));
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let config = ServerConfig {
            listen: vec!["127.0.0.1:0".to_owned()],
            tls_cert_file: file("tls.crt"),
            tls_key_file: file("tls.key"),
            client_certificates: clients,
            client_ca_file: file("clients.pem").filter(|_| clients != ClientCertificates::Off),
            ..ServerConfig::default()
        };
        let (listening, port) = serve(&config, world.gate.clone());
        Self { folder, authority, listening, port, world }
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    async fn connect(&self, own: Option<(&Path, &Path)>) -> std::io::Result<TlsStream<TcpStream>> {
        Tls::trusting(&self.folder.path().join("ca.pem"), own, "http/1.1").connect(self.port).await
    }

    /// Whether a client is let in that shows a certificate of `authority`, or none.
    async fn lets_in(&self, authority: Option<&Authority>) -> bool {
        let own = authority.map(|authority| {
            let (certificate, key) = authority.certify();
            (self.put("own.crt", &certificate), self.put("own.key", &key))
        });
        let own = own.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        // TLS 1.3 tells a client that it was refused after it believes to be connected.
        match self.connect(own).await {
            Ok(mut stream) => {
                ask(&mut stream, self.world.authority()).await.is_ok_and(|status| status == 200)
            }
            Err(_) => false,
        }
    }
}

fn serve(config: &ServerConfig, gate: Arc<Gate>) -> (Listening, u16) {
    let door = Door::bind(config).unwrap();
    let port = door.addresses()[0].port();
    (door.serve(config, Arc::new(Front::new(gate)), None).unwrap(), port)
}

#[tokio::test]
async fn a_new_certificate_is_served_from_the_next_handshake_on_and_old_connections_go_on() {
    let hall = Hall::open(ClientCertificates::Off, None).await;
    let host = hall.world.authority();
    let mut old = hall.connect(None).await.unwrap();
    assert!(!hall.listening.tuning().reload_certificates().unwrap(), "nothing has changed");
    let (certificate, key) = hall.authority.certify();
    hall.put("tls.crt", &certificate);
    hall.put("tls.key", &key);
    assert!(hall.listening.tuning().reload_certificates().unwrap());
    assert!(!hall.listening.tuning().reload_certificates().unwrap());
    let mut new = hall.connect(None).await.unwrap();
    assert_ne!(leaf(&old), leaf(&new));
    assert_eq!(ask(&mut old, host).await.unwrap(), 200);
    assert_eq!(ask(&mut new, host).await.unwrap(), 200);
    let ends = hall.world.metric("sidegate_certificate_expiry_timestamp_seconds").await;
    assert_eq!(ends, 3_786_998_400.0);
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_is_refused_and_the_old_one_stays() {
    let hall = Hall::open(ClientCertificates::Off, None).await;
    let before = leaf(&hall.connect(None).await.unwrap());
    let (certificate, key) = hall.authority.certify();
    let (old_certificate, old_key) =
        ["tls.crt", "tls.key"].map(|name| fs::read_to_string(hall.folder.path().join(name)).unwrap()).into();
    for (new_certificate, new_key, why) in [
        (certificate.as_str(), old_key.as_str(), "do not work together"),
        (&old_certificate, &key, "do not work together"),
        ("", &key, "tls.crt: holds no certificate"),
        (&certificate, "", "tls.key: holds no unencrypted private key"),
    ] {
        hall.put("tls.crt", new_certificate);
        hall.put("tls.key", new_key);
        let error = hall.listening.tuning().reload_certificates().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(leaf(&hall.connect(None).await.unwrap()), before);
    }
    hall.put("tls.crt", &certificate);
    hall.put("tls.key", &key);
    assert!(hall.listening.tuning().reload_certificates().unwrap());
    assert_ne!(leaf(&hall.connect(None).await.unwrap()), before);
}

#[tokio::test]
async fn files_that_are_swapped_by_a_link_to_their_folder_are_seen() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("The server's");
    let version = |name: &str| {
        let (certificate, key) = authority.certify();
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("tls.crt"), certificate).unwrap();
        fs::write(folder.path().join(name).join("tls.key"), key).unwrap();
    };
    version("..2031");
    version("..2032");
    symlink("..2031", folder.path().join("..data")).unwrap();
    symlink("..data/tls.crt", folder.path().join("tls.crt")).unwrap();
    symlink("..data/tls.key", folder.path().join("tls.key")).unwrap();
    let hall = Hall::with(authority, folder, ClientCertificates::Off).await;
    let before = leaf(&hall.connect(None).await.unwrap());
    symlink("..2032", hall.folder.path().join("..data_tmp")).unwrap();
    fs::rename(hall.folder.path().join("..data_tmp"), hall.folder.path().join("..data")).unwrap();
    assert!(hall.listening.tuning().reload_certificates().unwrap());
    assert_ne!(leaf(&hall.connect(None).await.unwrap()), before);
}

#[tokio::test]
async fn who_has_no_certificate_or_a_foreign_one_is_refused_where_one_is_required() {
    let clients = Authority::new("The clients'");
    let hall = Hall::open(ClientCertificates::Required, Some(&clients)).await;
    assert!(hall.lets_in(Some(&clients)).await);
    assert!(!hall.lets_in(None).await);
    assert!(!hall.lets_in(Some(&Authority::new("The clients'"))).await, "only the name is the same");
    hall.world.metric_is("sidegate_tls_handshake_failures_total", 2.0).await;
}

#[tokio::test]
async fn where_certificates_are_optional_a_foreign_one_is_refused_all_the_same() {
    let clients = Authority::new("The clients'");
    let hall = Hall::open(ClientCertificates::Optional, Some(&clients)).await;
    assert!(hall.lets_in(Some(&clients)).await);
    assert!(hall.lets_in(None).await);
    assert!(!hall.lets_in(Some(&Authority::new("Somebody else's"))).await);
}

#[tokio::test]
async fn a_new_authority_for_clients_replaces_the_old_one() {
    let (old, new) = (Authority::new("The clients'"), Authority::new("The clients' new one"));
    let hall = Hall::open(ClientCertificates::Required, Some(&old)).await;
    assert!(hall.lets_in(Some(&old)).await && !hall.lets_in(Some(&new)).await);
    hall.put("clients.pem", "nothing");
    assert!(
        hall.listening
            .tuning()
            .reload_certificates()
            .unwrap_err()
            .to_string()
            .contains("clients.pem: holds no")
    );
    assert!(hall.lets_in(Some(&old)).await);
    hall.put("clients.pem", &new.pem);
    assert!(hall.listening.tuning().reload_certificates().unwrap());
    assert!(!hall.lets_in(Some(&old)).await && hall.lets_in(Some(&new)).await);
}
