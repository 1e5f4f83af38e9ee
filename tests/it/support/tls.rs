//! Throw-away CAs and certificates of theirs for loopback's names: as the demo makes them, and as often as one likes.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sidegate::demo::write_certificates;

/// The CA's file, for clients to trust.
pub fn authority(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// Writes the CA's certificate to [`authority`], and the server's to `tls.crt` and `tls.key`.
pub fn write(folder: &Path) {
    let ca_file = write_certificates(folder).expect("certificates");
    assert_eq!(ca_file, authority(folder));
}

/// An authority that makes certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `localhost` and its key, both in PEM.
    pub fn certify(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.not_after = rcgen::date_time_ymd(2090, 1, 2);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
