//! What no section can see alone: names that refer to each other, and rules of
//! one section that bind another. Listeners and files have a file each. Each finding says which other keys it rests on, so that
//! it is not said where one of these is itself in doubt.

use std::collections::BTreeMap;

use url::Url;

use super::findings::Findings;
use super::{Config, IssuerConfig};
use crate::edge::ClientCertificates;
use crate::gate::MESSAGES;
use crate::identity::issuer::TrustedIssuer;
use crate::identity::preset;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    super::listeners::check(config, findings);
    super::places::check(config, findings);
    names_of_the_endpoint(config, findings);
    issuers(config, findings);
    agents(config, findings);
    sinks(config, findings);
    redactions(config, findings);
}

fn names_of_the_endpoint(config: &Config, findings: &mut Findings) {
    if let Some(message) = config.server.public_url.as_deref().and_then(wrong_public_url) {
        findings.follow("server.public_url", &[], message.to_owned());
    }
    let (server, sse) = (&config.server, &config.sse);
    let aliases = |key: &str, paths: &[String]| -> Vec<(String, String)> {
        let all = paths.iter().enumerate();
        all.map(|(index, path)| (format!("{key}[{index}]"), path.clone())).collect()
    };
    let mut paths = vec![("server.mcp_path".to_owned(), server.mcp_path.clone())];
    paths.extend(aliases("server.mcp_aliases", &server.mcp_aliases));
    if sse.enabled {
        paths.push(("sse.path".to_owned(), sse.path.clone()));
        paths.extend(aliases("sse.aliases", &sse.aliases));
    }
    let streams = paths
        .iter()
        .filter(|(key, _)| key.starts_with("sse."))
        .map(|(key, path)| (format!("the messages of {key}"), format!("{path}{MESSAGES}")));
    let mut taken: BTreeMap<String, String> = streams.map(|(key, path)| (path, key)).collect();
    for (key, path) in paths {
        if let Some(message) = wrong_path(&path) {
            findings.follow(&key, &[], message.to_owned());
        }
        if let Some(other) = taken.insert(path, key.clone()) {
            findings.follow(&key, &[], format!("is the path of {other} too; each endpoint has its own"));
        }
    }
}

fn wrong_path(path: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.starts_with('/') {
        Some("must begin with /")
    } else if path.ends_with('/') {
        Some("must not end with /, nor be / alone")
    } else if !path.bytes().all(plain) || path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."))
    {
        Some("must be a plain path of letters, digits and - . _ ~, such as /api/mcp")
    } else if path.starts_with("/.well-known/") {
        Some("must lie outside /.well-known/")
    } else {
        None
    }
}

/// What `server.public_url` cannot be, as a sentence's end.
pub fn wrong_public_url(text: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(text) else {
        return Some("must be an absolute URL, such as https://mcp.example.com");
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        Some("must begin with https:// or http:// and name a host")
    } else if url.query().is_some() || url.fragment().is_some() {
        Some("must have neither a query nor a fragment")
    } else if !url.username().is_empty() || url.password().is_some() {
        Some("must hold neither a user name nor a password")
    } else {
        None
    }
}

fn issuers(config: &Config, findings: &mut Findings) {
    let mut seen: Vec<TrustedIssuer> = Vec::new();
    for (index, issuer) in config.issuers.iter().enumerate() {
        // Where it has problems of its own, what is written may still be what another has.
        let written = || TrustedIssuer { issuer: issuer.issuer.clone(), ..TrustedIssuer::default() };
        let trusted = issuer.spec().trusted().unwrap_or_else(|_| written());
        for (first, other) in seen.iter().enumerate() {
            let message = match trusted.shared_identifier(other) {
                None => continue,
                Some(_) if trusted.issuer == other.issuer => {
                    format!("is the same as issuers[{first}].issuer; an issuer is written once")
                }
                Some(shared) => format!("shares {shared} with issuers[{first}]; an `iss` means one issuer"),
            };
            findings.follow(&format!("issuers[{index}].issuer"), &[], message);
        }
        if issuer.require_bound_tokens && config.server.client_certificates == ClientCertificates::Off {
            let message =
                "needs the clients' certificates; set server.client_certificates to optional or required";
            findings.follow(
                &format!("issuers[{index}].require_bound_tokens"),
                &["server.client_certificates"],
                message.to_owned(),
            );
        }
        let named = Some(&trusted.issuer).filter(|issuer| !issuer.is_empty());
        for (key, address) in [("issuer", named), ("jwks_uri", issuer.jwks_uri.as_ref())] {
            if let Some(Err(error)) = address.map(|address| config.idp.judge(address)) {
                let also = ["idp.allow_private_networks"];
                findings.follow(&format!("issuers[{index}].{key}"), &also, error.to_string());
            }
        }
        seen.push(trusted);
    }
}

fn sinks(config: &Config, findings: &mut Findings) {
    let (mut names, mut paths, mut printed) = (BTreeMap::new(), BTreeMap::new(), None);
    for (index, sink) in config.sinks.iter().enumerate() {
        let at = format!("sinks[{index}]");
        let kind = format!("{at}.kind");
        if !sink.name().is_empty()
            && let Some(first) = names.insert(sink.name(), index)
        {
            let message =
                format!("`{}` is also the name of sinks[{first}]; give one of them another", sink.name());
            findings.follow(&format!("{at}.name"), &[&kind], message);
        }
        match sink.kind.as_str() {
            "file" if !sink.path.as_os_str().is_empty() => {
                if let Some(first) = paths.insert(&sink.path, index) {
                    let message = format!("is the file of sinks[{first}] too; each writes its own");
                    findings.follow(&format!("{at}.path"), &[&kind], message);
                }
            }
            "stdout" => {
                if let Some(first) = printed.replace(index) {
                    let message = format!("is the kind of sinks[{first}] too; there is one standard output");
                    findings.follow(&kind, &[], message);
                }
            }
            _ => {}
        }
    }
}

fn agents(config: &Config, findings: &mut Findings) {
    let (mut names, mut subjects) = (BTreeMap::new(), BTreeMap::new());
    let mut trusted: Vec<_> = config.issuers.iter().map(IssuerConfig::trusted).collect();
    let bound = config.agents.iter().map(|agent| agent.issuer.as_str());
    trusted.extend(preset::hosted(&config.idp.hosted(), bound));
    for (index, agent) in config.agents.iter().enumerate() {
        let at = format!("agents[{index}]");
        if let Some(first) = names.insert(&agent.name, index) {
            let message = format!("`{}` is also the name of agents[{first}]; names are unique", agent.name);
            findings.follow(&format!("{at}.name"), &[], message);
        }
        if let Some(first) = subjects.insert((&agent.issuer, &agent.subject), index) {
            let message = format!(
                "agent `{}` has the issuer and the subject of agents[{first}]; a token can mean one agent only",
                agent.name
            );
            findings.follow(&format!("{at}.subject"), &[&format!("{at}.issuer")], message);
        }
        if let Some(main) =
            trusted.iter().find(|issuer| issuer.aliases.iter().any(|alias| alias.issuer == agent.issuer))
        {
            let message = format!("is an alias; agents are bound to the issuer itself, {}", main.issuer);
            findings.follow(&format!("{at}.issuer"), &["issuers"], message);
        } else if !trusted.iter().any(|issuer| issuer.issuer == agent.issuer) {
            let message = format!(
                "agent `{}` has tokens from {}, which is none of [[issuers]]; add it there",
                agent.name, agent.issuer
            );
            findings.follow(&format!("{at}.issuer"), &["issuers"], message);
        }
        if agent.provision && config.psa.keys == "static" {
            let message = format!(
                "agent `{}` cannot have a user made for it where psa.keys is \"static\"; name an existing \
                 one as psa_user, or leave it to the user of its key",
                agent.name
            );
            findings.follow(&format!("{at}.provision"), &["psa.keys"], message);
        }
    }
}

fn redactions(config: &Config, findings: &mut Findings) {
    let mut tenants = BTreeMap::new();
    for (index, own) in config.redactions.iter().enumerate() {
        if let Some(first) = tenants.insert(&own.tenant, index).filter(|_| !own.tenant.is_empty()) {
            let message = format!("is also the tenant of redactions[{first}]; write one for each");
            findings.follow(&format!("redactions[{index}].tenant"), &[], message);
        }
    }
}
