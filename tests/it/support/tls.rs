//! A throw-away CA and a certificate of it for loopback's names, as the demo makes them.

use std::path::{Path, PathBuf};

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
