//! The authorization server: whether it is found, is who it says, and takes what clients send.

use super::providers::{self, Provider};
use super::*;
use crate::cli::doctor::client::{HTTP, ISSUER_EXACT};

/// Those that ask their user for a client id where they can neither register nor show a document.
const ASKING: [Client; 5] =
    [Client::ClaudeAi, Client::VsCode, Client::Cursor, Client::Copilot, Client::McpRemote];

fn text<'a>(document: &'a Map<String, Value>, name: &str) -> &'a str {
    document.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The well-known provider that this issuer is.
pub(super) fn provider(facts: &Facts<'_>) -> Option<&'static Provider> {
    let named = facts.seen.issuer.as_ref().map(|issuer| issuer.name.as_str());
    let endpoint = facts.issuer.as_ref().map(|document| text(document, "authorization_endpoint"));
    let own = facts.seen.token.as_ref().and_then(|token| token.issuer.as_deref());
    providers::recognise([named, endpoint, own].into_iter().flatten())
}

pub(super) fn found(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("issuer", "The authorization server is found");
    if facts.door != Door::Guarded {
        return skipped(step, "no token is asked for");
    }
    let Some(issuer) = &facts.seen.issuer else {
        let remedy = "name the issuer of your tokens: \"authorization_servers\": [\"https://...\"]";
        step.fail("the metadata names none (authorization_servers)", remedy, &HTTP);
        return step;
    };
    let Some(document) = &facts.issuer else {
        let tried: Vec<String> = issuer
            .tried
            .iter()
            .map(|document| {
                let instead = document.object().err().unwrap_or_default();
                format!("{}: {instead}", document.url)
            })
            .collect();
        if !issuer.named {
            return skipped(step, "nothing names it");
        }
        if tried.is_empty() {
            let remedy = "write it in authorization_servers as a whole URL, exactly as the iss of its tokens";
            step.fail(format!("{} is no URL", quoted(&issuer.name)), remedy, &HTTP);
            return step;
        }
        let remedy = "name the issuer exactly as the iss of its tokens, and have it serve its metadata at one of \
            these places to everybody";
        step.fail(tried.join(", "), remedy, &HTTP);
        return step;
    };
    let place = issuer.tried.last().map(|document| document.url.as_str()).unwrap_or_default();
    if issuer.named {
        step.ok(place);
    } else {
        let remedy = "serve protected-resource metadata that names the issuer (RFC 9728)";
        step.warn(format!("at the server's own origin, as older revisions had it: {place}"), remedy, &[]);
    }
    itself(&mut step, &issuer.name, document);
    for name in ["authorization_endpoint", "token_endpoint"] {
        if text(document, name).is_empty() {
            step.fail(format!("its metadata has no {name}"), format!("add {name} to it"), &HTTP);
        }
    }
    let token = url::Url::parse(text(document, "token_endpoint"));
    if token.is_ok_and(|token| token.scheme() == "http" && !loopback(&token)) {
        step.fail(
            "its token endpoint is http",
            "serve it over https",
            &[Client::McpRemote, Client::TypeScript],
        );
    }
    let others = facts.servers().len().saturating_sub(1);
    if others > 0 {
        step.ok(format!("clients take the first of {}", others + 1));
    }
    step
}

fn loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The metadata must be about the issuer that was asked for (RFC 8414 section 3.3).
fn itself(step: &mut Step, name: &str, document: &Map<String, Value>) {
    let own = text(document, "issuer");
    if own == name {
        return;
    }
    let detail = format!("its metadata says issuer {}, and {} was asked for", quoted(own), quoted(name));
    if own.contains("{tenant") {
        let remedy = "name the tenant's own issuer, with its id in place of common or organizations";
        step.fail(detail, remedy, &ISSUER_EXACT);
    } else if places::slash_apart(own, name) {
        let remedy = format!("write authorization_servers as {}, to the slash", quoted(own));
        // The second TypeScript SDK takes metadata without the slash for a name with it.
        let forgiven = name.ends_with('/');
        let stopped: Vec<Client> = ISSUER_EXACT
            .into_iter()
            .filter(|client| !(forgiven && matches!(client, Client::McpRemote | Client::TypeScript)))
            .collect();
        step.fail(detail, remedy, &stopped);
    } else {
        let remedy =
            format!("write authorization_servers as {}, or mend the issuer's own public URL", quoted(own));
        step.fail(detail, remedy, &ISSUER_EXACT);
        step.doubt(&[Client::ClaudeAi, Client::VsCode, Client::Cursor]);
    }
}

/// Why nothing is known of the issuer.
fn unknown(facts: &Facts<'_>) -> &'static str {
    match facts.door {
        Door::Guarded => "there is no issuer's metadata",
        Door::Open | Door::Unclear => "no token is asked for",
    }
}

pub(super) fn pkce(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("pkce", "PKCE with S256 is on offer");
    let Some(document) = &facts.issuer else { return skipped(step, unknown(facts)) };
    match document.get("code_challenge_methods_supported").map(|methods| methods.as_array()) {
        Some(Some(methods)) if methods.iter().any(|method| method == "S256") => {
            step.ok("S256");
        }
        Some(methods) => {
            let shown: Vec<&str> = methods.into_iter().flatten().filter_map(Value::as_str).collect();
            let remedy = "switch S256 on in the issuer, and advertise it in code_challenge_methods_supported";
            step.fail(format!("only {} is advertised", quoted(&shown.join(" "))), remedy, &HTTP);
        }
        None => {
            let remedy = "advertise \"code_challenge_methods_supported\": [\"S256\"]: clients are told to refuse an \
                issuer without, and some do; where it cannot be changed, put a document of your own in front of it";
            step.warn("its metadata says nothing of PKCE", remedy, &[Client::ClaudeAi, Client::Copilot]);
        }
    }
    step
}

pub(super) fn registration(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("registration", "Clients can introduce themselves");
    let Some(document) = &facts.issuer else { return skipped(step, unknown(facts)) };
    let documents = document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
    match (documents, text(document, "registration_endpoint").is_empty()) {
        (true, true) => {
            step.ok("by a client id metadata document");
        }
        (true, false) => {
            step.ok("by a client id metadata document, or by registering");
        }
        (false, false) => {
            step.ok("by registering (RFC 7591)");
        }
        (false, true) => {
            let remedy = "register the client in the issuer by hand and give it the client id: claude.ai in the \
                connector's advanced settings, VS Code when it asks, mcp-remote as --static-oauth-client-info; or \
                switch on registration or client id metadata documents";
            step.warn(
                "the issuer offers neither registration nor client id metadata documents",
                remedy,
                &ASKING,
            );
        }
    }
    step
}

pub(super) fn resource_parameter(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("resource-parameter", "Tokens are made for this resource");
    if facts.door != Door::Guarded {
        return skipped(step, "no token is asked for");
    }
    let Some(provider) = provider(facts) else {
        if facts.issuer.is_none() {
            return skipped(step, unknown(facts));
        }
        step.ok("nothing is known against this issuer: it should put resource into aud (RFC 8707)");
        return step;
    };
    let resource = facts.identifier();
    let detail = format!("{} {}", provider.name, provider.does);
    let fits = facts.seen.token.as_ref().is_some_and(|token| token.audiences.contains(&resource));
    if provider.refuses {
        step.warn(detail, provider.remedy(&resource), &HTTP);
    } else if fits {
        step.ok(format!("{detail}; the given token has the audience"));
    } else {
        // Who must get it right is the issuer's administrator, whatever the client.
        let doubtful: &[Client] = if facts.accepted == Some(true) { &[] } else { &HTTP };
        step.warn(detail, provider.remedy(&resource), doubtful);
    }
    step
}
