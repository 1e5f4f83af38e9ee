//! PEM files with certificates and keys: read and checked. Knows nothing of who serves them.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: String,
        /// What the reader said.
        cause: String,
    },
    /// The pair cannot be used.
    #[error("the certificate and the key do not work together: {0}")]
    Pair(String),
    /// rustls would not take the settings.
    #[error("TLS cannot be set up: {0}")]
    Settings(String),
}

/// Reads a PEM chain (leaf first) and the leaf's key, and checks that they belong together.
pub fn certified_key(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(cert).map_err(|cause| refused(cert, cause))?;
    let key = private_key(key).map_err(|cause| refused(key, cause))?;
    pair(chain, key).map_err(|error| TlsError::Pair(error.to_string()))
}

/// The error for `path`.
pub fn refused(path: &Path, cause: String) -> TlsError {
    TlsError::File { path: path.display().to_string(), cause }
}

/// The certificates of a PEM file, at least one; the error is what is wrong with the file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err("holds no certificate in PEM; it must begin with -----BEGIN CERTIFICATE-----".to_owned()),
    }
}

/// `certificates` as authorities; the error is what is wrong with the file they are from.
pub fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| format!("holds something that is no certificate: {error}"))?;
    }
    Ok(roots)
}

/// The private key of a PEM file; the error is what is wrong with the file, and quotes nothing of it.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    // The parser's own words are left out: they may quote the file.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        "holds no unencrypted private key in PEM; it must begin with -----BEGIN PRIVATE KEY-----".to_owned()
    })
}

/// The chain with its key, where they belong together.
pub fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
}
