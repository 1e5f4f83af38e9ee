//! How a server is reached and known: whom to trust, what to show, by which name, through which
//! socket. A plain value; verification has no switch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::OutboundError;

/// Everything about the way to one server but its URL. By default: the system's roots, nothing shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// PEM certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's chain in PEM, leaf first; goes with `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// The leaf's private key in PEM.
    pub client_key_file: Option<PathBuf>,
    /// Whom the server's certificate must name and whom we ask for (SNI, RFC 6066 section 3),
    /// where that is not the URL's host.
    pub server_name: Option<String>,
    /// The socket that every connection goes to; the URL then gives `http`, Host and path only,
    /// and the guard has nothing to judge.
    pub unix_socket: Option<PathBuf>,
}

impl Transport {
    /// What is wrong with it for `url`, as (key, message); reads no file.
    pub fn problems(&self, url: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut say = |key: &str, message: String| found.push((key.to_owned(), message));
        let encrypted = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        if self.unix_socket.is_some() && encrypted {
            say("unix_socket", "goes with a URL that begins with http://: there is no TLS on it".to_owned());
        }
        for (key, given) in [
            ("ca_file", self.ca_file.is_some()),
            ("client_cert_file", self.client_cert_file.is_some()),
            ("client_key_file", self.client_key_file.is_some()),
            ("server_name", self.server_name.is_some()),
        ] {
            if given && !encrypted {
                say(key, "has no effect, because the URL does not begin with https://".to_owned());
            }
        }
        let half = |given: &str| format!("is missing, but {given} is set; a client certificate needs both");
        match (&self.client_cert_file, &self.client_key_file) {
            (Some(_), None) => say("client_key_file", half("client_cert_file")),
            (None, Some(_)) => say("client_cert_file", half("client_key_file")),
            _ => {}
        }
        if self.server_name.is_some() && self.name().is_err() {
            say("server_name", "is neither a DNS name nor an IP address".to_owned());
        }
        found
    }

    /// The files that [`Outbound::reload`](super::Outbound::reload) reads again.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.ca_file, &self.client_cert_file, &self.client_key_file]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// The fixed name of the server, if it has one.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where it is none.
    pub fn name(&self) -> Result<Option<ServerName<'static>>, OutboundError> {
        let name = self.server_name.clone().map(ServerName::try_from).transpose();
        name.map_err(|_| OutboundError::Invalid("server_name is neither a DNS name nor an IP address"))
    }

    /// TLS as the files have it now.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] where one of them cannot be used; no text quotes a file.
    pub fn tls(&self) -> Result<ClientConfig, OutboundError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| OutboundError::Invalid("TLS cannot be set up"))?
            .with_root_certificates(roots(self.ca_file.as_deref())?);
        let (certificate, key) = match (&self.client_cert_file, &self.client_key_file) {
            (None, None) => return Ok(builder.with_no_client_auth()),
            (Some(certificate), Some(key)) => (certificate, key),
            _ => return Err(OutboundError::Invalid("client_cert_file and client_key_file go together")),
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or(OutboundError::Invalid("client_cert_file cannot be read as PEM certificates"))?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|_| OutboundError::Invalid("client_key_file cannot be read as a PEM private key"))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|_| OutboundError::Invalid("client_key_file does not go with client_cert_file"))
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, OutboundError> {
    let mut roots = RootCertStore::empty();
    // A machine without system roots (a bare container) can still speak to what `ca` vouches for.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca {
        let unreadable = |_| OutboundError::Invalid("the CA file cannot be read as PEM certificates");
        let mut found = false;
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(OutboundError::Invalid("the CA file holds something that is no certificate"))?;
            found = true;
        }
        if !found {
            return Err(OutboundError::Invalid("the CA file holds no certificate"));
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(transport: &Transport, url: &str) -> Vec<String> {
        transport.problems(url).into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn half_a_client_certificate_and_a_name_that_is_none_are_named() {
        let half = Transport { client_cert_file: Some("a".into()), ..Transport::default() };
        assert_eq!(keys(&half, "https://psa"), ["client_key_file"]);
        let half = Transport { client_key_file: Some("a".into()), ..Transport::default() };
        assert_eq!(keys(&half, "https://psa"), ["client_cert_file"]);
        for (name, wrong) in [("psa.internal", false), ("10.0.0.1", false), ("a b", true), ("", true)] {
            let named = Transport { server_name: Some(name.to_owned()), ..Transport::default() };
            assert_eq!(!named.problems("https://psa").is_empty(), wrong, "{name}");
        }
    }

    #[test]
    fn what_has_no_effect_is_a_problem() {
        let tls =
            Transport { ca_file: Some("a".into()), server_name: Some("a".into()), ..Transport::default() };
        assert_eq!(keys(&tls, "http://psa"), ["ca_file", "server_name"]);
        assert_eq!(keys(&tls, "HTTPS://psa"), [""; 0]);
        let socket = Transport { unix_socket: Some("a".into()), ..Transport::default() };
        assert_eq!(keys(&socket, "https://psa"), ["unix_socket"]);
        assert_eq!(keys(&socket, "http://psa"), [""; 0]);
    }
}
