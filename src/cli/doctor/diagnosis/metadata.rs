//! The protected resource's metadata: where it is, and whether clients take it for this URL's.

use super::*;
use crate::cli::doctor::client::{BY_PREFIX, HTTP};
use crate::cli::doctor::seen::Place;

/// Why there is nothing to say about metadata, if there is not.
fn needless(facts: &Facts<'_>) -> Option<&'static str> {
    match facts.door {
        Door::Guarded => None,
        Door::Open => Some("no token is asked for"),
        Door::Unclear => Some("nothing asks for a token"),
    }
}

pub(super) fn inserted(facts: &Facts<'_>) -> Step {
    let step = Step::new("metadata-path", "Metadata at the path's own place");
    served(facts, step, Place::Inserted)
}

pub(super) fn root(facts: &Facts<'_>) -> Step {
    let step = Step::new("metadata-root", "Metadata at the root");
    served(facts, step, Place::Root)
}

fn served(facts: &Facts<'_>, step: Step, place: Place) -> Step {
    let mut step = step;
    if let Some(reason) = needless(facts) {
        return skipped(step, reason);
    }
    let at = |place| facts.seen.metadata.iter().find(|document| document.place == place);
    let Some(document) = at(place) else { return skipped(step, "the URL has no path") };
    let instead = match document.object() {
        Ok(_) => {
            step.ok(&document.url);
            return step;
        }
        Err(instead) => instead,
    };
    let good = |place| at(place).is_some_and(|document| document.object().is_ok());
    let detail = format!("{} has {instead}", document.url);
    let remedy = format!(
        "serve the metadata (RFC 9728) at {}; a proxy in front must pass /.well-known/ on to this server",
        document.url
    );
    match place {
        Place::Root if at(Place::Inserted).is_some() => {
            step.ok(format!("{instead}; only who finds nothing at the path's own place looks here"));
        }
        _ if good(Place::Challenge) => {
            step.warn(format!("{detail}; clients find it by the challenge"), remedy, &[]);
        }
        _ if good(Place::Root) => {
            step.warn(format!("{detail}; clients go on to the root"), remedy, &[Client::ClaudeAi]);
        }
        _ => {
            step.fail(detail, remedy, &HTTP);
        }
    }
    step
}

pub(super) fn resource(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("resource", "The metadata is about this URL");
    if let Some(reason) = needless(facts) {
        return skipped(step, reason);
    }
    let Some(document) = &facts.resource else { return skipped(step, "there is no metadata") };
    let url = &facts.seen.url;
    let Some(resource) = document.get("resource").and_then(Value::as_str) else {
        step.fail("it has no resource", format!("add \"resource\": \"{url}\""), &HTTP);
        return step;
    };
    let (shown, whole) = (quoted(resource), places::same(resource, url));
    if whole && url.path() == "/" && !resource.ends_with('/') {
        let remedy =
            "have the issuer and the server accept the audience with and without the slash at its end";
        let detail = format!("{shown}, to which clients that are built on URLs add a slash");
        step.warn(detail, remedy, &[Client::Cursor, Client::McpRemote, Client::TypeScript]);
    } else if whole {
        step.ok(resource);
    } else if places::slash_apart(resource, url.as_str()) {
        let stopped: &[Client] = if places::covers(resource, url) { &[Client::VsCode] } else { &HTTP };
        let detail = format!("it says {shown}, and the URL is {url}: they differ by the slash at the end");
        let remedy = format!("write both alike: give clients {shown}, or change resource to {url}");
        step.fail(detail, remedy, stopped);
    } else if places::covers(resource, url) {
        let detail = format!("it says {shown}, which is above {url}");
        let remedy = format!("change resource to {url}, and the audience of tokens with it");
        step.fail(detail, remedy, &[Client::VsCode]);
    } else {
        let near = url::Url::parse(resource).is_ok_and(|named| named.path() == url.path());
        let remedy = match near {
            true => format!(
                "have the server know its public URL behind the proxy (on Sidegate: server.public_url): resource \
                 must be {url}"
            ),
            false => format!("change resource to {url}, or give clients the URL that it names"),
        };
        step.fail(format!("it says {shown}, and the URL is {url}"), remedy, &HTTP);
    }
    if document.get("scopes_supported").is_some_and(|scopes| !scopes.is_array()) {
        step.fail("scopes_supported is no list", "write it as a JSON array of texts", &[Client::VsCode]);
        // The SDKs read the document by its schema too.
        step.doubt(&BY_PREFIX);
    }
    step
}

pub(super) fn scopes(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("scopes", "The scopes that clients ask for");
    if let Some(reason) = needless(facts) {
        return skipped(step, reason);
    }
    let listed = facts.resource.as_ref().and_then(|document| document.get("scopes_supported")?.as_array());
    let listed = listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let challenge = facts.challenge();
    let challenged = challenge.as_ref().and_then(|challenge| challenge.param("scope")).unwrap_or_default();
    let mut scopes: Vec<String> = listed.chain(challenged.split_whitespace().map(str::to_owned)).collect();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        step.ok("none are named: clients ask for the issuer's default");
        return step;
    }
    let shown = quoted(&scopes.join(" "));
    if scopes.iter().any(|scope| scope == "offline_access") {
        let remedy =
            "leave offline_access out of scopes_supported and of challenges: it is between client and issuer";
        step.warn(format!("{shown}, with offline_access"), remedy, &[]);
    } else if scopes.iter().any(|scope| scope.contains('*')) {
        let remedy = "name scopes one by one, for issuers refuse what they do not know";
        step.warn(format!("{shown}, with a wildcard"), remedy, &[]);
    } else {
        step.ok(shown);
    }
    step
}
