//! A throw-away CA and a certificate of it for loopback's names.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Writes into `folder` the CA's certificate as `ca.pem`, and a server's for `localhost`,
/// 127.0.0.1 and ::1 as `tls.crt` with its key as `tls.key`; returns the CA's file.
///
/// # Errors
/// A file that cannot be written, or is there already where the key goes.
pub fn write_certificates(folder: &Path) -> io::Result<PathBuf> {
    let ca_key = KeyPair::generate().map_err(io::Error::other)?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.distinguished_name.push(DnType::CommonName, "Sidegate demo CA (throw-away)");
    let ca_certificate = ca.self_signed(&ca_key).map_err(io::Error::other)?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names).map_err(io::Error::other)?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    // Python's default context wants it (RFC 5280 section 4.2.1.1).
    leaf.use_authority_key_identifier_extension = true;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).map_err(io::Error::other)?;
    let ca_file = folder.join("ca.pem");
    fs::write(&ca_file, ca_certificate.pem())?;
    fs::write(folder.join("tls.crt"), certificate.pem())?;
    write_private(&folder.join("tls.key"), &key.serialize_pem())?;
    Ok(ca_file)
}

/// Writes a new file that only its owner may read.
///
/// # Errors
/// Where it cannot be written or is there already; the text names the file.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
