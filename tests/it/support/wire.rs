//! Connections byte by byte: what a well-behaved client would never do.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wait::PATIENCE;

/// A client's side of TLS.
pub struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// Trusts the authority of `ca`, shows the certificate and key of the files `own`, and offers `alpn`.
    pub fn trusting(ca: &Path, own: Option<(&Path, &Path)>, alpn: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match own {
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Self { connector: TlsConnector::from(Arc::new(config)) }
    }

    /// Connects to `localhost` at this port.
    pub async fn connect(&self, port: u16) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        self.connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
    }
}

/// The server's certificate.
pub fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let certificates = stream.get_ref().1.peer_certificates().expect("certificates");
    certificates.first().expect("a leaf").to_vec()
}

/// Asks for the metadata on a connection that stays open; the status.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, host: &str) -> std::io::Result<u16> {
    let request = format!("GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (status, _) = answer(stream).await?;
    Ok(status)
}

/// One answer with a Content-Length: status and body.
pub async fn answer<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<(u16, Vec<u8>)> {
    let reading = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        stream.read_exact(&mut body).await?;
        Ok((status, body))
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
}

/// Waits until the other side has closed the connection; what it still said.
pub async fn closed<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut said = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        // A reset is an end as well.
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            said.extend(chunk.iter().take(count));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("closed in time");
    said
}
