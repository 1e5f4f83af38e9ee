//! A simple HTTP/2 client: it looks at the answer only when its whole body is sent, so that a stream that is reset
//! before then has lost its answer.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http::Answer;

/// One connection.
pub struct Http2(SendRequest<Bytes>);

impl Http2 {
    /// Connects to `https://localhost:port`, trusting `ca`.
    pub async fn connect(base: &str, ca: &Path) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(base.trim_start_matches("https://")).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// Sends a request with its whole body, then reads the answer.
    ///
    /// # Errors
    /// Where the server does not let the body be sent, or its answer does not come whole.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<Answer, h2::Error> {
        let (head, body) = request.into_parts();
        let mut send = self.0.clone().ready().await?;
        let (answer, out) = send.send_request(http::Request::from_parts(head, ()), false)?;
        write(out, body).await?;
        let (head, body) = answer.await?.into_parts();
        let text = String::from_utf8_lossy(&read(body).await?).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

async fn write(mut out: SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        out.reserve_capacity(body.len());
        let room = std::future::poll_fn(|context| out.poll_capacity(context)).await;
        let room = room.ok_or(h2::Error::from(h2::Reason::STREAM_CLOSED))??;
        let piece = body.split_to(room.min(body.len()));
        out.send_data(piece, body.is_empty())?;
    }
    Ok(())
}

async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}
