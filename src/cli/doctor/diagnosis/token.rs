//! The given token: what it says of itself, and what the server says to it.

use super::door::same_words;
use super::issuer::provider;
use super::*;
use crate::cli::doctor::client::ALL;
use crate::cli::doctor::token::Said;

/// Seconds within which two clocks are the same.
const SKEW: i64 = 60;

pub(super) fn says(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("token", "The token is for this server");
    let Some(said) = &facts.seen.token else { return skipped(step, "no token was given") };
    if facts.door == Door::Open {
        return skipped(step, "no token is asked for");
    }
    if said.opaque {
        step.ok("it is no JWT: only the server and the issuer can read it");
        return step;
    }
    let faults = faults(facts, said);
    for (detail, remedy) in &faults {
        // A server that takes it nevertheless goes by a rule that cannot be seen from here.
        match facts.accepted {
            Some(false) => step.fail(detail, remedy, &ALL),
            _ => step.warn(detail, remedy, &[]),
        };
    }
    if faults.is_empty() {
        step.ok(format!("aud {}", quoted(&said.audiences.join(" "))));
    }
    step
}

/// What is wrong with it, as far as it can be read, and what to change.
fn faults(facts: &Facts<'_>, said: &Said) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let resource = facts.identifier();
    if said.expires_at.is_some_and(|at| at + SKEW < facts.now) {
        let ago = said.expires_at.map_or(0, |at| facts.now - at);
        found.push((format!("it expired {ago} s ago"), "give a fresh one".to_owned()));
    }
    if said.id_token {
        let remedy = "give an access token: clients send the access_token of the issuer's answer";
        found.push(("it is an ID token, which is for the client itself".to_owned(), remedy.to_owned()));
    }
    if !said.audiences.contains(&resource) {
        let detail = match said.audiences.iter().find(|audience| places::slash_apart(audience, &resource)) {
            Some(audience) => format!("its aud is {}, which is {resource} but for a slash", quoted(audience)),
            None if said.audiences.is_empty() => format!("it has no aud, and the server is {resource}"),
            None => format!("its aud is {}, and the server is {resource}", quoted(&said.audiences.join(" "))),
        };
        // Its own issuer may be another than the one that clients take.
        let own = providers::recognise(said.issuer.as_deref());
        let remedy = match own.or_else(|| provider(facts)) {
            Some(provider) => provider.remedy(&resource),
            None => format!(
                "have the issuer put {resource} into aud (it is sent as `resource`, RFC 8707), or have the server \
                 accept this audience (on Sidegate: `audiences` of the issuer)"
            ),
        };
        found.push((detail, remedy));
    }
    let servers = facts.servers();
    let foreign = |issuer: &&String| !servers.is_empty() && !servers.contains(&issuer.as_str());
    if let Some(issuer) = said.issuer.as_ref().filter(foreign) {
        let detail =
            format!("its iss is {}, and the server names {}", quoted(issuer), quoted(&servers.join(" ")));
        found.push((
            detail,
            "take the token from the issuer that the metadata names, or name its own there".to_owned(),
        ));
    }
    found
}

pub(super) fn accepted(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("accepted", "The token is accepted");
    if facts.seen.token.is_none() {
        if facts.door == Door::Guarded {
            let hint = "no token was given: add --token-file, --token-command or SIDEGATE_DOCTOR_TOKEN to try the rest";
            step.skip(hint, &ALL);
            return step;
        }
        return skipped(step, "no token was given, and none is asked for");
    }
    if facts.door == Door::Open {
        return skipped(step, "no token is asked for");
    }
    match facts.accepted {
        Some(true) => {
            step.ok("yes");
        }
        None => return skipped(step, "there was no answer to it"),
        Some(false) => {
            let answer = facts.seen.legacy.as_ref().and_then(|legacy| legacy.initialize.as_ref().ok());
            let detail = answer.map(told).unwrap_or_else(|| "it is refused".to_owned());
            step.fail(detail, remedy(facts, answer), &ALL);
        }
    }
    step
}

/// Why a token may be refused: what it says itself first, then what the answer gives away.
fn remedy(facts: &Facts<'_>, answer: Option<&Answer>) -> String {
    let said = facts.seen.token.clone().unwrap_or_default();
    let forbidden = answer.is_some_and(|answer| answer.status == 403);
    let scope =
        answer.and_then(bearer).filter(|challenge| challenge.param("error") == Some("insufficient_scope"));
    if let Some(scope) = scope {
        let scopes = scope.param("scope").unwrap_or_default().to_owned();
        return format!("get a token with the scopes {}", quoted(&scopes));
    }
    if forbidden {
        return "the token was understood and its holder may not call: let it in at the server (on Sidegate: is the \
                agent switched off?), or at the firewall in front"
            .to_owned();
    }
    // A wrong token and none at all look alike where the header does not arrive.
    let alike = |heard: &Heard| heard.as_ref().is_ok_and(|answer| same_words(facts, answer));
    if answer.is_some_and(|answer| same_words(facts, answer))
        && facts.seen.made_up.as_ref().is_some_and(alike)
    {
        return "the answer is the one to no token at all: the Authorization header does not seem to arrive; have the \
                proxy in front pass it on (Apache: CGIPassAuth On; gateways: list it among the forwarded headers)"
            .to_owned();
    }
    if !said.opaque
        && let Some((_, remedy)) = faults(facts, &said).into_iter().next()
    {
        return remedy;
    }
    "the server's log says why: the signing key, an issuer that it does not trust, or a subject that it does not know \
     (on Sidegate: sidegate token explain)"
        .to_owned()
}
