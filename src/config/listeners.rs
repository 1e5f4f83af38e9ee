//! Whom the listeners can be reached by, that no two want one address, and what
//! TLS they have. Knows the three sections with listeners only.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Config;
use super::findings::Findings;
use crate::edge::{Address, AdminConfig, ClientCertificates, tls};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let taken = addresses(config, findings);
    clashes(&taken, findings);
    exposure(config, &taken, findings);
    let server = &config.server;
    certificate("server", (&server.tls_cert_file, &server.tls_key_file), findings);
    client_certificates(config, findings);
    administrators(&config.admin, &taken, findings);
}

/// A TCP listener that can be read: its key and address.
type Taken = (String, SocketAddr);

const OPS: &str = "ops.listen";
const ADMIN: &str = "admin.listen";

fn addresses(config: &Config, findings: &mut Findings) -> Vec<Taken> {
    if config.server.listen.is_empty() {
        findings.follow("server.listen", &[], "is empty; write at least one address".to_owned());
    }
    let (mut taken, mut paths): (Vec<Taken>, Vec<(String, PathBuf)>) = Default::default();
    for (index, listen) in config.server.listen.iter().enumerate() {
        let key = format!("server.listen[{index}]");
        match Address::parse(listen) {
            Ok(Address::Tcp(address)) => taken.push((key, address)),
            Ok(Address::Unix(path)) => {
                if let Some((first, _)) = paths.iter().find(|(_, other)| *other == path) {
                    let message = format!("{listen} is taken by {first}; choose another path");
                    findings.follow(&key, &[first], message);
                }
                paths.push((key, path));
            }
            Err(message) => findings.follow(&key, &[], message),
        }
    }
    let ops = std::iter::once((OPS.to_owned(), &config.ops.listen, 9464));
    let admin = config.admin.listen.iter().enumerate();
    let admin = admin.map(|(index, listen)| (format!("{ADMIN}[{index}]"), listen, 9444));
    for (key, listen, port) in ops.chain(admin) {
        match listen.parse() {
            Ok(address) => taken.push((key, address)),
            Err(_) => {
                let message = format!(
                    "`{listen}` is not an IP address with a port; write such as 127.0.0.1:{port} or [::1]:{port}"
                );
                findings.follow(&key, &[], message);
            }
        }
    }
    taken
}

fn clashes(taken: &[Taken], findings: &mut Findings) {
    for (index, (key, address)) in taken.iter().enumerate() {
        if let Some((first, other)) = taken.iter().take(index).find(|(_, other)| clash(*address, *other)) {
            let message = format!("{address} is taken by {first} ({other}); choose another port");
            findings.follow(key, &[first], message);
        }
    }
}

/// Whether only one of two sockets can listen.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    // The IPv6 wildcard takes IPv4 connections as well.
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    // Port 0 is any that is free.
    one.port() != 0 && one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

fn is_public(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn exposure(config: &Config, taken: &[Taken], findings: &mut Findings) {
    let server = &config.server;
    let public = taken.iter().filter(|(key, address)| is_public(address) && !key.starts_with(ADMIN));
    let (ops, door): (Vec<_>, Vec<_>) = public.partition(|(key, _)| key == OPS);
    if let Some((key, address)) = ops.first()
        && !config.ops.allow_plaintext
    {
        findings.follow(
            key,
            &["ops.allow_plaintext"],
            format!(
                "{address} can be reached from other machines, and this listener has no TLS; bind loopback, \
                 or set ops.allow_plaintext = true where the network keeps everyone else out"
            ),
        );
    }
    let Some((_, public)) = door.first() else { return };
    if !(server.allow_plaintext || server.tls_cert_file.is_some() || server.tls_key_file.is_some()) {
        findings.follow(
            "server.tls_cert_file",
            &["server.listen", "server.tls_key_file", "server.allow_plaintext"],
            format!(
                "is missing, but {public} can be reached from other machines; set it and \
                 server.tls_key_file, or server.allow_plaintext = true where something in front ends TLS"
            ),
        );
    }
    if server.public_url.is_none() && server.allowed_hosts.is_empty() {
        findings.follow(
            "server.public_url",
            &["server.listen", "server.allowed_hosts"],
            format!(
                "is missing, but {public} can be reached from other machines; set it to the URL \
                 that agents use, or set server.allowed_hosts"
            ),
        );
    }
}

/// The certificate and the key of one section.
fn certificate(section: &str, files: (&Option<PathBuf>, &Option<PathBuf>), findings: &mut Findings) {
    let (cert_key, key_key) = (format!("{section}.tls_cert_file"), format!("{section}.tls_key_file"));
    let half = |given: &str| format!("is missing, but {given} is set; TLS needs both");
    let (cert_file, key_file) = match files {
        (None, None) => return,
        (Some(_), None) => return findings.follow(&key_key, &[&cert_key], half(&cert_key)),
        (None, Some(_)) => return findings.follow(&cert_key, &[&key_key], half(&key_key)),
        (Some(cert), Some(key)) => (cert, key),
    };
    pair((&cert_key, cert_file), (&key_key, key_file), findings);
}

fn administrators(admin: &AdminConfig, taken: &[Taken], findings: &mut Findings) {
    certificate("admin", (&admin.tls_cert_file, &admin.tls_key_file), findings);
    if let Some(file) = &admin.client_ca_file {
        if let Err(message) = tls::certificates(file).and_then(tls::roots) {
            findings.follow("admin.client_ca_file", &[], message);
        }
        if admin.tls_cert_file.is_none() {
            let message = "needs TLS; set admin.tls_cert_file and admin.tls_key_file".to_owned();
            findings.follow("admin.client_ca_file", &["admin.tls_cert_file"], message);
        }
    }
    let mut public = taken.iter().filter(|(key, address)| key.starts_with(ADMIN) && is_public(address));
    let Some((key, address)) = public.next() else { return };
    let open = format!("{address} can be reached from other machines");
    if !(admin.allow_plaintext || admin.tls_cert_file.is_some() || admin.tls_key_file.is_some()) {
        findings.follow(
            "admin.tls_cert_file",
            &[key, "admin.tls_key_file", "admin.allow_plaintext"],
            format!(
                "is missing, but {open}; set it and admin.tls_key_file, or admin.allow_plaintext = true where \
                 something in front ends TLS"
            ),
        );
    }
    if admin.allowed_hosts.is_empty() {
        findings.follow(
            "admin.allowed_hosts",
            &[key],
            format!("is empty, but {open}; name the hosts that administrators use"),
        );
    }
}

/// What is wrong with a certificate and its key, each with the key of the configuration that names its file.
pub(super) fn pair(cert: (&str, &Path), key: (&str, &Path), findings: &mut Findings) {
    let ((cert_key, cert_file), (key_key, key_file)) = (cert, key);
    let chain = tls::certificates(cert_file).map_err(|message| findings.follow(cert_key, &[], message));
    let key = tls::private_key(key_file).map_err(|message| findings.follow(key_key, &[], message));
    if let (Ok(chain), Ok(key)) = (chain, key)
        && let Err(error) = tls::pair(chain, key)
    {
        findings.follow(key_key, &[cert_key], format!("does not go with {cert_key}: {error}"));
    }
}

fn client_certificates(config: &Config, findings: &mut Findings) {
    let server = &config.server;
    let (asking, file, cert) =
        ("server.client_certificates", "server.client_ca_file", "server.tls_cert_file");
    match (server.client_certificates, &server.client_ca_file) {
        (ClientCertificates::Off, None) => return,
        (ClientCertificates::Off, Some(_)) => {
            let message = format!("is off, but {file} is set; write optional or required, or remove {file}");
            return findings.follow(asking, &[file], message);
        }
        (ClientCertificates::Optional | ClientCertificates::Required, None) => {
            let message = format!("is missing, but {asking} is set; name the authorities to accept");
            findings.follow(file, &[asking], message);
        }
        (ClientCertificates::Optional | ClientCertificates::Required, Some(path)) => {
            if let Err(message) = tls::certificates(path).and_then(tls::roots) {
                findings.follow(file, &[], message);
            }
        }
    }
    if server.tls_cert_file.is_none() {
        let message = format!("needs TLS; set {cert} and server.tls_key_file");
        findings.follow(asking, &[cert], message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_clash_where_only_one_can_listen() {
        let clash = |one: &str, other: &str| {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(clash(one, other), clash(other, one));
            clash(one, other)
        };
        for (one, other) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1"),
            ("127.0.0.1:1", "0.0.0.0:1"),
            ("127.0.0.1:1", "[::]:1"),
            ("[::1]:1", "[::]:1"),
            ("0.0.0.0:1", "[::]:1"),
        ] {
            assert!(clash(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("127.0.0.1:1", "[::1]:1"),
            ("0.0.0.0:1", "[::1]:1"),
        ] {
            assert!(!clash(one, other), "{one} {other}");
        }
    }
}
