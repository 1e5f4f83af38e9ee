//! Whether the answers are true: each is tried, and what was found is said with the remedy.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use url::{Host, Url};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::text::{Keys, PLACEHOLDER, Plan};
use crate::clock::{Clock, rfc3339};
use crate::config::{IssuerConfig, wrong_public_url};
use crate::edge::tls;
use crate::idp::{self, IdpConfig, IdpError};
use crate::metrics::Metrics;
use crate::outbound::OutboundError;
use crate::psa::{self, PsaConfig};
use crate::secret::Secret;

/// Within which DNS must answer.
const DNS: Duration = Duration::from_secs(5);
/// Within which the PSA must.
const PSA: u64 = 10;
/// A certificate that ends sooner is worth a word.
const SOON: i64 = 14 * 86_400;

/// How it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Good,
    /// To be looked at, and no reason not to go on.
    Note,
    Bad,
}

/// What one probe found.
#[derive(Debug)]
pub struct Finding {
    about: &'static str,
    pub mark: Mark,
    found: String,
    remedy: String,
}

impl Finding {
    fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, mark: Mark::Good, found: found.into(), remedy: String::new() }
    }

    fn note(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about, mark: Mark::Note, found: found.into(), remedy: remedy.into() }
    }

    fn bad(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about, mark: Mark::Bad, found: found.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Good => "ok",
            Mark::Note => "note",
            Mark::Bad => "NO",
        };
        write!(f, "{:<12} {mark:<5} {}", self.about, self.found)?;
        if !self.remedy.is_empty() {
            write!(f, "\n{:19}{}", "", self.remedy)?;
        }
        Ok(())
    }
}

/// Tries everything, whatever is found; with `skip` only what needs nobody else.
pub async fn all(plan: &Plan, skip: bool, out: &Path) -> Vec<Finding> {
    let (psa, public, issuer) = tokio::join!(psa(plan, skip), public_url(plan, skip), issuer(plan, skip));
    let mut findings = vec![psa, public, certificate(plan, Clock::System.now_seconds())];
    findings.extend(unreadable(plan, out));
    findings.push(issuer);
    findings
}

async fn psa(plan: &Plan, skip: bool) -> Finding {
    const ABOUT: &str = "PSA";
    let url = &plan.psa_url;
    // A key is not needed for asking whether anybody is there.
    let config = PsaConfig {
        url: url.clone(),
        tenant: plan.tenant.clone().unwrap_or_default(),
        keys: "static".to_owned(),
        static_keys: [(String::new(), Default::default())].into(),
        catalog_key: Secret::new(PLACEHOLDER),
        timeout: crate::units::Span::seconds(PSA),
        ..PsaConfig::default()
    };
    let door = match psa::open(&config, Clock::System).await {
        Ok(door) => door,
        Err(error) => return Finding::bad(ABOUT, error.to_string(), "mend --psa-url (or --tenant)"),
    };
    if skip {
        return Finding::note(ABOUT, format!("{url} was not asked"), "");
    }
    match door.psa.probe().await {
        Ok(()) => Finding::good(ABOUT, format!("{url} answers")),
        Err(error) => Finding::bad(
            ABOUT,
            format!("{url}: {error}"),
            "start the PSA, or mend --psa-url; the address must be reachable from this machine",
        ),
    }
}

/// The host that certificates are for.
fn host(url: &str) -> Option<String> {
    Some(match Url::parse(url).ok()?.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    })
}

async fn public_url(plan: &Plan, skip: bool) -> Finding {
    const ABOUT: &str = "public URL";
    let url = &plan.public_url;
    let wrong = match wrong_public_url(url) {
        None if !url.starts_with("https://") => Some("must begin with https://, since it has a certificate"),
        wrong => wrong,
    };
    if let Some(wrong) = wrong {
        return Finding::bad(ABOUT, format!("`{url}` {wrong}"), "mend --public-url");
    }
    let host = host(url).unwrap_or_default();
    if skip {
        return Finding::note(ABOUT, format!("DNS was not asked for {host}"), "");
    }
    let remedy = "agents need the name: add it to DNS, unless it is only known elsewhere";
    match tokio::time::timeout(DNS, tokio::net::lookup_host((host.as_str(), 0))).await {
        Ok(Ok(found)) => {
            let mut found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
            found.dedup();
            Finding::good(ABOUT, format!("{url}: {host} is {}", found.join(", ")))
        }
        Ok(Err(_)) => Finding::note(ABOUT, format!("{host} has no address in DNS here"), remedy),
        Err(_) => Finding::note(ABOUT, format!("DNS did not answer for {host}"), remedy),
    }
}

fn certificate(plan: &Plan, now: i64) -> Finding {
    const ABOUT: &str = "certificate";
    let (cert, key) = (plan.tls_cert.display(), plan.tls_key.display());
    let chain = match tls::certificates(&plan.tls_cert) {
        Ok(chain) => chain,
        Err(wrong) => return Finding::bad(ABOUT, format!("{cert} {wrong}"), "mend --tls-cert"),
    };
    let private = match tls::private_key(&plan.tls_key) {
        Ok(private) => private,
        Err(wrong) => return Finding::bad(ABOUT, format!("{key} {wrong}"), "mend --tls-key"),
    };
    if let Err(error) = tls::pair(chain.clone(), private) {
        let remedy = "name the certificate's own key; in the chain its own certificate comes first";
        return Finding::bad(ABOUT, format!("{cert} and {key} do not belong together: {error}"), remedy);
    }
    let Some((leaf, times)) = chain.first().and_then(|leaf| {
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        let times = parsed.validity();
        Some((leaf, (times.not_before.timestamp(), times.not_after.timestamp())))
    }) else {
        return Finding::bad(
            ABOUT,
            format!("{cert} cannot be read as an X.509 certificate"),
            "mend --tls-cert",
        );
    };
    let day = |at: i64| rfc3339(at.saturating_mul(1000)).chars().take(10).collect::<String>();
    if now < times.0 || now > times.1 {
        let found = format!("{cert} is valid from {} to {}, which is not now", day(times.0), day(times.1));
        return Finding::bad(ABOUT, found, "renew it, or set this machine's clock");
    }
    let host = host(&plan.public_url).unwrap_or_default();
    if !covers(leaf, &host) {
        let remedy = format!("get one with {host} among its subject alternative names, or mend --public-url");
        return Finding::bad(ABOUT, format!("{cert} is not for {host}"), remedy);
    }
    let found = format!("{cert} is for {host} until {} and goes with its key", day(times.1));
    if times.1 - now < SOON {
        return Finding::note(
            ABOUT,
            found,
            "it ends soon; a renewed file is taken into use without a restart",
        );
    }
    Finding::good(ABOUT, found)
}

/// Whether clients will take it for the host's, as they judge it.
fn covers(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(leaf), ServerName::try_from(host)) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

async fn issuer(plan: &Plan, skip: bool) -> Finding {
    const ABOUT: &str = "issuer";
    let trusted = IssuerConfig { issuer: plan.issuer.clone(), ..IssuerConfig::default() }.trusted();
    if let Some((_, wrong)) = trusted.problems().into_iter().next() {
        return Finding::bad(ABOUT, format!("`{}` {wrong}", plan.issuer), "mend --issuer");
    }
    let config = IdpConfig {
        allow_private_networks: plan.private_networks.clone(),
        ca_file: plan.idp_ca.clone(),
        ..IdpConfig::default()
    };
    let idp = match idp::open(&config, Default::default(), Arc::new(Metrics::new()), Clock::System) {
        Ok(idp) => idp,
        Err(error) => return Finding::bad(ABOUT, error.to_string(), "mend --idp-ca"),
    };
    if let Err(error) = idp.judge(&trusted) {
        return Finding::bad(ABOUT, error.to_string(), remedy(&error));
    }
    if skip {
        return Finding::note(ABOUT, format!("{} was not asked", plan.issuer), "");
    }
    match idp.probe(&trusted).await {
        Ok(found) => {
            let plural = if found.keys == 1 { "" } else { "s" };
            let (keys, algorithms) = (found.keys, found.algorithms.join(", "));
            let found = format!("{}: {keys} key{plural} ({algorithms}) at {}", plan.issuer, found.jwks_uri);
            Finding::good(ABOUT, found)
        }
        Err(error) => Finding::bad(ABOUT, error.to_string(), remedy(&error)),
    }
}

fn remedy(error: &IdpError) -> &'static str {
    match error {
        IdpError::Unavailable { why: OutboundError::Forbidden { .. }, .. } => {
            "where it is inside your own network, add --allow-private-network with that network, such as 10.20.0.0/16"
        }
        IdpError::Unavailable { why: OutboundError::Dns, .. } => "mend --issuer, or this machine's DNS",
        IdpError::Unavailable { .. } | IdpError::Deadline => {
            "it must be reachable from here; where its certificate comes from an authority of your own, add --idp-ca"
        }
        IdpError::Status { .. } | IdpError::Document { .. } | IdpError::OtherIssuer { .. } => {
            "write --issuer exactly as the `iss` of its tokens has it, with or without a slash at its end"
        }
        _ => "mend --issuer",
    }
}

/// Files that root can read and the service perhaps cannot: its group is that of the configuration's folder.
fn unreadable(plan: &Plan, out: &Path) -> Vec<Finding> {
    let Some(group) = out.parent().and_then(|folder| folder.metadata().ok()).map(|meta| meta.gid()) else {
        return Vec::new();
    };
    if group == 0 {
        return Vec::new();
    }
    let mut files = vec![&plan.tls_cert, &plan.tls_key];
    files.extend(&plan.idp_ca);
    if let Keys::Postgres { database_url_file, .. } = &plan.keys {
        files.push(database_url_file);
    }
    let closed = files.into_iter().filter(|file| !opens_to(file, group));
    let told = |file: &Path| {
        Finding::note(
            "file",
            format!("{} cannot be read by the service's group", file.display()),
            "copy it beside the configuration, or: chgrp sidegate and chmod 640 (its folders: chmod g+x)",
        )
    };
    closed.map(|file| told(file)).collect()
}

/// Whether `group` may read the file and pass all folders on its way.
fn opens_to(file: &Path, group: u32) -> bool {
    let may = |path: &Path, bit: u32| {
        path.metadata().is_ok_and(|meta| {
            meta.mode() & bit != 0 || (meta.gid() == group && meta.mode() & (bit << 3) != 0)
        })
    };
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    may(&file, 0o4) && file.ancestors().skip(1).all(|folder| may(folder, 0o1))
}
