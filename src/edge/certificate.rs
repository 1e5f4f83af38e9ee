//! Who the listeners are to their clients, and whose certificates they ask for: read from
//! files, and read again while they serve.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::listeners::tls::Acceptor;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tls::{self, TlsError};
use super::{AdminConfig, ServerConfig};
use crate::metrics::Metrics;

/// Whether clients are asked for a certificate of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// No.
    #[default]
    Off,
    /// They may have none; a wrong one is refused.
    Optional,
    /// Who has none is refused.
    Required,
}

/// The certificate that is served, and the authority that clients' certificates must come from.
pub struct Identity {
    files: Files,
    current: ArcSwap<Current>,
    /// Where the end of the certificate is shown.
    metrics: Option<Arc<Metrics>>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    clients: Option<(PathBuf, Asking)>,
    protocols: &'static [&'static [u8]],
}

/// What agents may speak, the best first.
const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// What administrators speak.
const PLAIN: &[&[u8]] = &[b"http/1.1"];

/// [`ClientCertificates`] where there are any.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asking {
    Optional,
    Required,
}

struct Current {
    acceptor: Arc<Acceptor>,
    settings: Arc<rustls::ServerConfig>,
    /// Of everything that was read.
    fingerprint: [u8; 32],
    /// Seconds since 1970.
    not_after: i64,
}

impl Identity {
    /// Reads the files that `config` names; None where it names none.
    ///
    /// # Errors
    /// Files that cannot be read, are empty, or do not belong together.
    pub fn load(config: &ServerConfig, metrics: Arc<Metrics>) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key)) = (&config.tls_cert_file, &config.tls_key_file) else {
            return Ok(None);
        };
        let asking = match config.client_certificates {
            ClientCertificates::Off => None,
            ClientCertificates::Optional => Some(Asking::Optional),
            ClientCertificates::Required => Some(Asking::Required),
        };
        let clients = match (asking, &config.client_ca_file) {
            (None, _) => None,
            (Some(asking), Some(file)) => Some((file.clone(), asking)),
            (Some(_), None) => {
                return Err(TlsError::Settings("client certificates need a client_ca_file".to_owned()));
            }
        };
        let files = Files { certificate: certificate.clone(), key: key.clone(), clients, protocols: BOTH };
        Self::of(files, Some(metrics)).map(Some)
    }

    /// The same for the administrators' listener: where it names authorities, a client without a
    /// certificate of theirs is refused.
    pub fn of_administrators(config: &AdminConfig) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key)) = (&config.tls_cert_file, &config.tls_key_file) else {
            return Ok(None);
        };
        let clients = config.client_ca_file.clone().map(|file| (file, Asking::Required));
        let files = Files { certificate: certificate.clone(), key: key.clone(), clients, protocols: PLAIN };
        Self::of(files, None).map(Some)
    }

    fn of(files: Files, metrics: Option<Arc<Metrics>>) -> Result<Self, TlsError> {
        let current = files.read()?;
        let identity = Self { files, current: ArcSwap::from_pointee(current), metrics };
        identity.show_end();
        Ok(identity)
    }

    fn show_end(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.certificate_expiry.set(self.current.load().not_after);
        }
    }

    /// Reads the files again; the next handshake has what is new, connections go on. Says whether
    /// anything has changed.
    ///
    /// # Errors
    /// As [`Self::load`]; what was there stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let fresh = self.files.read()?;
        if fresh.fingerprint == self.current.load().fingerprint {
            return Ok(false);
        }
        self.current.store(Arc::new(fresh));
        self.show_end();
        Ok(true)
    }

    /// What takes the next handshake.
    pub fn acceptor(&self) -> Arc<Acceptor> {
        self.current.load().acceptor.clone()
    }

    /// The settings of the next handshake.
    pub fn settings(&self) -> Arc<rustls::ServerConfig> {
        self.current.load().settings.clone()
    }
}

impl Files {
    fn read(&self) -> Result<Current, TlsError> {
        let certified = tls::certified_key(&self.certificate, &self.key)?;
        let not_after = certified.cert.first().and_then(|leaf| {
            let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
            Some(leaf.validity().not_after.timestamp())
        });
        let not_after = not_after
            .ok_or_else(|| tls::refused(&self.certificate, "the first certificate has no end".to_owned()))?;
        // The certificate stands for the key, which goes with it.
        let mut seen = Sha256::new();
        certified.cert.iter().for_each(|certificate| seen.update(Sha256::digest(certificate)));
        let clients = match &self.clients {
            Some((file, asking)) => {
                let authorities = tls::certificates(file).map_err(|cause| tls::refused(file, cause))?;
                seen.update("clients");
                authorities.iter().for_each(|certificate| seen.update(Sha256::digest(certificate)));
                Some((tls::roots(authorities).map_err(|cause| tls::refused(file, cause))?, *asking))
            }
            None => None,
        };
        let settings = Arc::new(settings(certified, clients, self.protocols)?);
        let acceptor = Arc::new(Acceptor::from_server_config(settings.clone()));
        Ok(Current { acceptor, settings, fingerprint: seen.finalize().into(), not_after })
    }
}

/// TLS 1.2 and 1.3 for `protocols`.
fn settings(
    certified: CertifiedKey,
    clients: Option<(RootCertStore, Asking)>,
    protocols: &[&[u8]],
) -> Result<rustls::ServerConfig, TlsError> {
    let wrong = |error: &dyn std::error::Error| TlsError::Settings(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| wrong(&error))?;
    let asks = clients.is_some();
    let builder = match clients {
        Some((roots, asking)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match asking {
                Asking::Optional => verifier.allow_unauthenticated(),
                Asking::Required => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(&error))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    if asks {
        // A session that is resumed is not verified again: not its end, and not its authority.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::duplex;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::edge::line::{self, Line};

    struct Made {
        issuer: Issuer<'static, KeyPair>,
        authority: rcgen::Certificate,
    }

    fn authority() -> Made {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        Made { issuer: Issuer::new(params, key), authority }
    }

    #[tokio::test]
    async fn a_connection_knows_the_digest_of_the_certificate_that_its_client_showed() {
        let made = authority();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &made.issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).unwrap();
            Some(folder.path().join(name))
        };
        let config = ServerConfig {
            tls_cert_file: put("tls.crt", certificate.pem()),
            tls_key_file: put("tls.key", key.serialize_pem()),
            client_ca_file: put("ca.pem", made.authority.pem()),
            client_certificates: ClientCertificates::Optional,
            ..ServerConfig::default()
        };
        let identity = Identity::load(&config, Arc::new(Metrics::new())).unwrap().unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        for (own, known) in
            [(Some(chain.clone()), Some(Sha256::digest(certificate.der()).into())), (None, None::<[u8; 32]>)]
        {
            let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(tls::roots(vec![made.authority.der().clone()]).unwrap());
            let mut client = match own {
                Some(own) => {
                    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                    builder.with_client_auth_cert(own, key).unwrap()
                }
                None => builder.with_no_client_auth(),
            };
            client.alpn_protocols = vec![b"h2".to_vec()];
            let (ours, theirs) = duplex(16 << 10);
            let name = ServerName::try_from("localhost").unwrap();
            let connector = TlsConnector::from(Arc::new(client));
            let acceptor = identity.acceptor();
            let (stream, _client) =
                tokio::join!(acceptor.tls_handshake(ours), connector.connect(name, theirs));
            let line = Line::new(Box::new(stream.unwrap()), None, std::time::Duration::MAX).unwrap();
            let connection: &Arc<line::Connection> = line.connection();
            assert_eq!(connection.client_certificate, known);
            assert!(connection.encrypted && connection.http2);
        }
    }
}
