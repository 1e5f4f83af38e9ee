//! The way to the PSA's web server: its address, resolved aside and refreshed, and its TLS.
//! Knows nothing of requests.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pingora::protocols::l4::ext::TcpKeepalive;
use pingora::tls::{CertificateDer, RootCertStore};
use pingora::upstreams::peer::{HttpPeer, PeerOptions};
use pingora::utils::tls::{CertKey, WrappedX509};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::edge::tls;

/// How long an address is used before its name is asked again.
const REFRESH: Duration = Duration::from_secs(30);

/// A peer that has vanished without a word is noticed after about a minute and a half.
const PROBE: (Duration, Duration, usize) = (Duration::from_secs(60), Duration::from_secs(10), 3);

/// Where the PSA's web server is: plain values, from its own section of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// Whether it speaks TLS. It is always verified.
    pub tls: bool,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name that its certificate must have, where that is not `host`.
    pub server_name: Option<String>,
    /// PEM certificates that vouch for it beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The PEM chain and key that it may ask of us.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The unix socket that it listens on, instead of `host` and `port`.
    pub unix_socket: Option<PathBuf>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

/// The PSA's addresses as pingora takes them.
pub struct Peers {
    upstream: Upstream,
    patience: Patience,
    /// What all peers have in common; its address is the unix socket's or nobody's.
    model: HttpPeer,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    addresses: Mutex<Addresses>,
    /// One look-up at a time.
    asking: tokio::sync::Mutex<()>,
    /// Which address is used; goes on to the next with every failure, without end.
    chosen: AtomicUsize,
}

#[derive(Default)]
struct Addresses {
    list: Arc<[SocketAddr]>,
    asked: Option<Instant>,
}

impl Peers {
    /// Reads the certificates; asks for no address yet.
    ///
    /// # Errors
    /// The file that cannot be used, in words.
    pub fn new(upstream: Upstream, patience: Patience) -> Result<Self, String> {
        let name = upstream.server_name.as_ref().unwrap_or(&upstream.host).clone();
        if upstream.tls && name.is_empty() {
            // Without a name pingora would verify nothing.
            return Err("the PSA's certificate needs a name to be verified against".to_owned());
        }
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut model = match &upstream.unix_socket {
            Some(path) => HttpPeer::new_uds(&path.to_string_lossy(), upstream.tls, name)
                .map_err(|_| format!("{}: cannot be the path of a unix socket", path.display()))?,
            None => HttpPeer::new(nobody, upstream.tls, name),
        };
        if let (true, Some((chain, key))) = (upstream.tls, &upstream.client) {
            model.client_cert_key = Some(Arc::new(client_certificate(chain, key)?));
        }
        let mut options = PeerOptions::new();
        if let (true, Some(file)) = (upstream.tls, &upstream.ca_file) {
            options.ca = Some(roots(file)?);
        }
        options.connection_timeout = Some(patience.connect);
        options.total_connection_timeout = Some(patience.connect);
        options.idle_timeout = Some(patience.idle);
        let (idle, interval, count) = PROBE;
        options.tcp_keepalive = Some(TcpKeepalive { idle, interval, count, user_timeout: Duration::ZERO });
        model.options = options;
        Ok(Self { upstream, patience, model, known: Arc::default() })
    }

    /// The same with its certificates read again; the addresses that are known stay known.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn renewed(&self) -> Result<Self, String> {
        let mut fresh = Self::new(self.upstream.clone(), self.patience)?;
        // Else a connection that the old authorities vouched for would be used while it is busy.
        fresh.model.group_key = self.model.group_key.wrapping_add(1);
        Ok(Self { known: self.known.clone(), ..fresh })
    }

    /// The peer to speak to now, silent for at most `silence`.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub async fn peer(&self, silence: Duration) -> Result<HttpPeer, ()> {
        let mut peer = self.model.clone();
        if self.upstream.unix_socket.is_none() {
            let list = self.addresses().await;
            let chosen = self.known.chosen.load(Ordering::Relaxed).checked_rem(list.len());
            let address = chosen.and_then(|at| list.get(at)).ok_or(())?;
            // An address, never a name: pingora would ask for it on this thread.
            peer._address = (*address).into();
        }
        peer.options.read_timeout = Some(silence);
        peer.options.write_timeout = Some(silence);
        Ok(peer)
    }

    /// The address could not be connected to. True where there is another to try, `failed` of
    /// them having failed by now.
    pub fn failed(&self, failed: usize) -> bool {
        self.known.chosen.fetch_add(1, Ordering::Relaxed);
        let mut addresses = self.known.addresses.lock();
        addresses.asked = None;
        failed < addresses.list.len()
    }

    async fn addresses(&self) -> Arc<[SocketAddr]> {
        if let Ok(ip) = self.upstream.host.parse::<IpAddr>() {
            return Arc::new([SocketAddr::new(ip, self.upstream.port)]);
        }
        let (list, fresh) = self.known.look();
        if fresh {
            return list;
        }
        let ask = ask(self.known.clone(), self.upstream.host.clone(), self.upstream.port);
        if list.is_empty() {
            let _ = tokio::time::timeout(self.patience.connect, ask).await;
            return self.known.look().0;
        }
        // What was known serves until the answer is there.
        tokio::spawn(tokio::time::timeout(self.patience.connect, ask));
        list
    }
}

impl Known {
    /// What is known, and whether it still needs no asking.
    fn look(&self) -> (Arc<[SocketAddr]>, bool) {
        let addresses = self.addresses.lock();
        (addresses.list.clone(), addresses.asked.is_some_and(|asked| asked.elapsed() < REFRESH))
    }
}

async fn ask(known: Arc<Known>, host: String, port: u16) {
    let _asking = known.asking.lock().await;
    if known.look().1 {
        return;
    }
    match tokio::net::lookup_host((host.as_str(), port)).await {
        Ok(found) => {
            let mut addresses = known.addresses.lock();
            addresses.list = found.collect();
            addresses.asked = Some(Instant::now());
        }
        Err(error) => tracing::warn!(%host, %error, "the PSA's name cannot be resolved"),
    }
}

/// The system's roots and those of `file`, since pingora takes either the one or the other. Roots
/// that cannot be used are left out: pingora would refuse, or panic, at each connection.
fn roots(file: &std::path::Path) -> Result<Arc<[WrappedX509]>, String> {
    let own = tls::certificates(file).map_err(|why| format!("{}: {why}", file.display()))?;
    let unusable = || format!("{}: holds something that is no certificate authority", file.display());
    let mut roots: Vec<WrappedX509> =
        own.into_iter().map(root).collect::<Option<_>>().ok_or_else(unusable)?;
    roots.extend(rustls_native_certs::load_native_certs().certs.into_iter().filter_map(root));
    Ok(roots.into())
}

fn root(der: CertificateDer<'static>) -> Option<WrappedX509> {
    RootCertStore::empty().add(der.clone()).ok()?;
    wrapped(der.to_vec())
}

fn wrapped(der: Vec<u8>) -> Option<WrappedX509> {
    WrappedX509::try_new(der, |der| X509Certificate::from_der(der).map(|(_, certificate)| certificate)).ok()
}

fn client_certificate(chain: &std::path::Path, key: &std::path::Path) -> Result<CertKey, String> {
    let named = |path: &std::path::Path, why: String| format!("{}: {why}", path.display());
    let certificates = tls::certificates(chain).map_err(|why| named(chain, why))?;
    let private = tls::private_key(key).map_err(|why| named(key, why))?;
    let der = private.secret_der().to_vec();
    tls::pair(certificates.clone(), private).map_err(|error| named(key, error.to_string()))?;
    if certificates.iter().any(|certificate| wrapped(certificate.to_vec()).is_none()) {
        return Err(named(chain, "holds something that is no certificate".to_owned()));
    }
    Ok(CertKey::new(certificates.iter().map(|certificate| certificate.to_vec()).collect(), der))
}

#[cfg(test)]
mod tests {
    use pingora::connectors::http::Connector;
    use pingora::upstreams::peer::Peer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    const PATIENCE: Patience = Patience { connect: Duration::from_secs(5), idle: Duration::from_secs(5) };

    fn at(address: SocketAddr) -> Upstream {
        Upstream { host: address.ip().to_string(), port: address.port(), ..Upstream::default() }
    }

    /// Serves one TLS connection under a certificate for `localhost`, which the file vouches for.
    async fn tls_server(folder: &std::path::Path, asks: bool) -> (Upstream, tokio::task::JoinHandle<bool>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (ca, key) = (folder.join("ca.pem"), folder.join("key.pem"));
        std::fs::write(&ca, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let own = tls::private_key(&key).unwrap();
        let mut trusted = rustls::RootCertStore::empty();
        trusted.add(made.cert.der().clone()).unwrap();
        let builder = rustls::ServerConfig::builder();
        let builder = match asks {
            true => builder.with_client_cert_verifier(
                rustls::server::WebPkiClientVerifier::builder(Arc::new(trusted)).build().unwrap(),
            ),
            false => builder.with_no_client_auth(),
        };
        let config = builder.with_single_cert(vec![made.cert.der().clone()], own).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream {
            tls: true,
            ca_file: Some(ca.clone()),
            client: asks.then_some((ca, key)),
            ..at(listener.local_addr().unwrap())
        };
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let Ok(mut stream) = acceptor.accept(stream).await else { return false };
            let shown = stream.get_ref().1.peer_certificates().is_some();
            let _ = stream.read(&mut [0; 16]).await;
            shown
        });
        (upstream, served)
    }

    async fn connects(upstream: Upstream) -> Result<(), String> {
        let peer =
            Peers::new(upstream, PATIENCE)?.peer(Duration::from_secs(5)).await.map_err(|()| "no address")?;
        assert!(peer.verify_cert() && peer.verify_hostname());
        let connected = Connector::new(None).get_http_session(&peer).await;
        connected.map(|_| ()).map_err(|error| error.to_string())
    }

    fn named(upstream: &Upstream, name: &str) -> Upstream {
        Upstream { server_name: Some(name.to_owned()), ..upstream.clone() }
    }

    #[tokio::test]
    async fn the_file_vouches_for_the_certificate_under_its_own_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, _served) = tls_server(folder.path(), false).await;
        connects(named(&upstream, "localhost")).await.unwrap();
        let (upstream, _served) = tls_server(folder.path(), false).await;
        assert!(connects(named(&upstream, "other.example")).await.is_err());
        let (upstream, _served) = tls_server(folder.path(), false).await;
        assert!(connects(upstream).await.is_err(), "127.0.0.1 is not in the certificate");
        let (upstream, _served) = tls_server(folder.path(), false).await;
        let nobody = Upstream { ca_file: None, ..named(&upstream, "localhost") };
        assert!(connects(nobody).await.is_err(), "the system vouches for nothing of it");
    }

    #[tokio::test]
    async fn a_certificate_of_ours_is_shown_where_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (upstream, served) = tls_server(folder.path(), true).await;
        // The certificate names no authority, so that the server may refuse it after having seen it.
        let _ = connects(named(&upstream, "localhost")).await;
        let (shown, other) = tokio::join!(served, async {
            let (upstream, served) = tls_server(folder.path(), true).await;
            let _ = connects(Upstream { client: None, ..named(&upstream, "localhost") }).await;
            served.await.unwrap()
        });
        assert!(shown.unwrap(), "with a certificate");
        assert!(!other, "without one");
    }

    #[tokio::test]
    async fn what_cannot_be_verified_or_read_is_refused_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad.pem");
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let upstream =
            Upstream { tls: true, host: "psa.example".to_owned(), port: 443, ..Upstream::default() };
        for bad in [
            Upstream { host: String::new(), ..upstream.clone() },
            Upstream { ca_file: Some(file.clone()), ..upstream.clone() },
            Upstream { client: Some((file.clone(), file.clone())), ..upstream.clone() },
            Upstream { unix_socket: Some("x".repeat(200).into()), ..upstream.clone() },
        ] {
            assert!(Peers::new(bad, PATIENCE).is_err());
        }
    }

    #[tokio::test]
    async fn a_unix_socket_is_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("psa.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move { listener.accept().await.unwrap().0.write_all(b"x").await });
        let upstream =
            Upstream { unix_socket: Some(path), host: "psa".to_owned(), port: 80, ..Upstream::default() };
        connects(upstream).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_is_resolved_once_and_again_after_a_failure() {
        let upstream = Upstream { host: "localhost".to_owned(), port: 9, ..Upstream::default() };
        let peers = Peers::new(upstream, PATIENCE).unwrap();
        assert!(!peers.known.look().1);
        let first = peers.peer(Duration::from_secs(1)).await.unwrap();
        assert_eq!(first.address().as_inet().unwrap().port(), 9);
        assert!(peers.known.look().1, "it is known now");
        let peers = peers.renewed().unwrap();
        assert!(peers.known.look().1, "and still with new certificates");
        let second = peers.peer(Duration::from_secs(1)).await.unwrap();
        assert_ne!(first.reuse_hash(), second.reuse_hash(), "which no old connection knows");
        peers.failed(1);
        assert!(!peers.known.look().1, "and asked for again");
        assert!(!peers.failed(peers.known.look().0.len()), "there is an end to trying");
        let nowhere = Upstream { host: "no-such-name.invalid".to_owned(), port: 9, ..Upstream::default() };
        assert!(Peers::new(nowhere, PATIENCE).unwrap().peer(Duration::from_secs(1)).await.is_err());
    }
}
