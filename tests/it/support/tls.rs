//! A throw-away CA and a certificate of it for loopback's names.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The CA's file, for clients to trust.
pub fn authority(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// Writes the CA's certificate to [`authority`], and the server's to `tls.crt` and `tls.key`.
pub fn write(folder: &Path) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.distinguished_name.push(DnType::CommonName, "Sidegate test CA");
    let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names).expect("names");
    // Python's default context wants it (RFC 5280 section 4.2.1.1).
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("written");
    write("ca.pem", ca_certificate.pem());
    write("tls.crt", certificate.pem());
    write("tls.key", key.serialize_pem());
}
