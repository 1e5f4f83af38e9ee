//! Before a token comes into it: is anybody there, can others reach it, what is a stranger told.

use super::*;
use crate::cli::doctor::client::{ALL, HTTP};
use crate::cli::doctor::seen::Place;
use crate::outbound::Guard;

const PUBLIC_NAME: &str = "have the server or the proxy in front know its public scheme, host and path \
    (on Sidegate: server.public_url or server.trusted_proxies)";

pub(super) fn reach(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("reach", "The server answers");
    let answer = match &facts.seen.anonymous {
        Ok(answer) => answer,
        Err(error) => {
            step.fail(heard(&facts.seen.anonymous), unreachable(error), &ALL);
            return step;
        }
    };
    match answer.status {
        301 | 302 | 303 | 307 | 308 => redirect(&mut step, facts, answer),
        // A page of a proxy's or of a login's: no client reads it.
        _ if answer.is_page() && facts.door != Door::Guarded => {
            let remedy = "check the URL's path, and have logins, portals and bot checks in front let this path through";
            step.fail(told(answer), remedy, &ALL);
        }
        429 => {
            let remedy = "wait and run this again: the server, or what is in front of it, limits requests";
            step.wrong(told(answer), remedy, &ALL);
        }
        500.. => {
            let remedy = "look into the server's log, or that of the proxy in front of it";
            step.fail(told(answer), remedy, &ALL);
        }
        403 => {
            let others: Vec<Client> = HTTP.into_iter().filter(|client| *client != Client::VsCode).collect();
            let remedy = "clients begin to log in at 401 only: answer requests without a token with 401, and look \
                whether a firewall, an address list or a check of Host or Origin refuses them";
            step.fail(told(answer), remedy, &others);
        }
        status => {
            step.ok(format!("status {status} after {} ms", answer.head.as_millis()));
        }
    }
    step
}

fn redirect(step: &mut Step, facts: &Facts<'_>, answer: &Answer) {
    let target = answer.header("location");
    let url = &facts.seen.url;
    let detail = format!("status {} to {}", answer.status, quoted(target));
    let remedy =
        format!("give clients the URL {} itself, or serve MCP where they are sent now", quoted(target));
    let near = url.join(target).is_ok_and(|target| target.origin() == url.origin());
    if near && matches!(answer.status, 307 | 308) {
        step.wrong(detail, remedy, &ALL);
    } else {
        step.fail(detail, format!("{remedy}; a POST does not survive this redirect"), &ALL);
    }
}

fn unreachable(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::Dns => "check the name, and that it is in DNS where the clients are",
        OutboundError::Unreachable { why } if why.contains("certificate") => {
            "have the server send its whole chain, for this name and in date; where it comes from an authority of \
             your own, add --ca-file here and the same file to each client (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE)"
        }
        OutboundError::Unreachable { .. } => "start the server, and open the port to where the clients are",
        OutboundError::Malformed { .. } => "check the URL's scheme and port: what answers does not speak it",
        OutboundError::Deadline => {
            "the first answer must come at once: look for a proxy that waits for the end of a stream, or a server \
             that waits for something else; --timeout waits longer"
        }
        OutboundError::Interrupted { .. } => {
            "look for the proxy or the server that closes the connection: its log has the reason"
        }
        OutboundError::TooLarge { .. } | OutboundError::Forbidden { .. } | OutboundError::Invalid(_) => {
            "check the URL"
        }
    }
}

pub(super) fn public(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("public", "It can be reached from the internet");
    let seen = facts.seen;
    let cloud = [Client::ClaudeAi];
    let everywhere = Guard::public_only(Vec::new());
    if seen.addresses.is_empty() {
        return skipped(step, "its name is resolved elsewhere");
    }
    if seen.addresses.iter().all(|address| everywhere.judge(*address).is_err()) {
        let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
        step.warn(
            format!("{} is not a public address", addresses.join(", ")),
            "claude.ai calls from the internet: give it a public https URL; clients on your own network need none",
            &cloud,
        );
    } else {
        step.ok("it has a public address");
    }
    let loopback = seen.addresses.iter().all(std::net::IpAddr::is_loopback);
    if seen.url.scheme() == "http" && !loopback {
        step.warn("http sends tokens in the clear", "serve https", &cloud);
    }
    if seen.private_ca {
        let remedy =
            "claude.ai takes publicly trusted certificates only; give the others the file of --ca-file";
        step.warn("its certificate comes from an authority of your own", remedy, &cloud);
    }
    step
}

pub(super) fn challenge(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("challenge", "Who has no token is told where to get one");
    match facts.door {
        Door::Open => {
            step.ok("no token is asked for");
            return step;
        }
        Door::Unclear => {
            // What kept an answer from being one is told by the step before.
            if reach(facts).status == Status::Fail {
                return skipped(step, "there is no answer to judge");
            }
            let answer = facts.seen.anonymous.as_ref().map(told).unwrap_or_default();
            if facts.accepted == Some(true) {
                let remedy = "answer requests without a token with 401 and a challenge: at anything else clients do \
                    not begin to log in";
                step.fail(answer, remedy, &HTTP);
            } else {
                let remedy =
                    "check the URL's path: nothing here takes MCP messages, and nothing asks for a token";
                step.fail(answer, remedy, &ALL);
            }
            return step;
        }
        Door::Guarded => {}
    }
    let good = facts.resource.is_some();
    let Some(challenge) = facts.challenge() else {
        let answer = facts.seen.greeting().as_ref().ok();
        let renamed =
            answer.is_some_and(|answer| !answer.header("x-amzn-remapped-www-authenticate").is_empty());
        let (detail, remedy) = if renamed {
            (
                "401, and AWS API Gateway has renamed WWW-Authenticate to x-amzn-remapped-www-authenticate",
                "map the header back with a gateway response, or put CloudFront, an ALB or nothing in its place",
            )
        } else {
            (
                "401 without WWW-Authenticate: Bearer",
                "send WWW-Authenticate: Bearer resource_metadata=\"...\" with 401, and look whether a proxy in front \
                 strips the header",
            )
        };
        if good {
            step.wrong(
                format!("{detail}; clients have to guess where the metadata is"),
                remedy,
                &[Client::ClaudeAi],
            );
        } else {
            step.fail(detail, remedy, &HTTP);
        }
        return step;
    };
    let Some(place) = challenge.param("resource_metadata") else {
        let remedy = "add resource_metadata=\"...\" to the challenge (RFC 9728 section 5.1)";
        let detail = "401 with a challenge that does not name the metadata";
        if good {
            step.warn(detail, remedy, &[])
        } else {
            step.fail(detail, remedy, &HTTP)
        };
        return step;
    };
    let document = facts.seen.metadata.iter().find(|document| document.place == Place::Challenge);
    match document.map(|document| document.object()) {
        Some(Err(instead)) => {
            // Only the Python SDK looks elsewhere when the named place fails.
            let others: Vec<Client> =
                HTTP.into_iter().filter(|client| !good || *client != Client::Python).collect();
            let detail = format!("401 names {} for the metadata, where there is {instead}", quoted(place));
            step.fail(detail, misplaced(facts, place), &others);
        }
        _ => {
            step.ok(format!("401 names {}", quoted(place)));
        }
    }
    step
}

/// What to change where the metadata is not where the challenge says.
fn misplaced(facts: &Facts<'_>, place: &str) -> String {
    let url = &facts.seen.url;
    let own = places::inserted(url).unwrap_or_else(|| places::root(url));
    match url::Url::parse(place) {
        Ok(named) if named.origin() == url.origin() => {
            format!("serve it there, or name {own}; a proxy in front must pass /.well-known/ on unchanged")
        }
        Ok(_) => format!("that is another server than {}: {PUBLIC_NAME}", places::origin(url)),
        Err(_) => format!("name it as a whole URL: {own}"),
    }
}

pub(super) fn made_up(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("made-up-token", "A token that nobody made is refused");
    let Some(sent) = &facts.seen.made_up else {
        return skipped(step, "no token is asked for");
    };
    let answer = match sent {
        Ok(answer) => answer,
        Err(_) => {
            step.warn(heard(sent), "answer a bad token with 401 invalid_token", &HTTP);
            return step;
        }
    };
    match answer.status {
        401 if same_words(facts, answer) => {
            step.ok("401 in the same words as without a token");
        }
        401 => {
            step.ok(told(answer));
        }
        status if status < 300 => {
            let remedy = "have the server check each token's signature, issuer, audience and expiry";
            step.wrong("it is let in: anybody can call this server", remedy, &[]);
        }
        _ => {
            let remedy = "answer a bad or expired token with 401 and error=\"invalid_token\": at anything else \
                clients do not renew it";
            step.warn(told(answer), remedy, &HTTP);
        }
    }
    step
}

/// Whether an answer to a token is the one that is given to those who send none.
pub(super) fn same_words(facts: &Facts<'_>, answer: &Answer) -> bool {
    let words =
        |answer: &Answer| (answer.status, answer.header("www-authenticate").to_owned(), answer.body.clone());
    facts.seen.greeting().as_ref().is_ok_and(|greeting| words(greeting) == words(answer))
}

pub(super) fn preflight(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("cors", "Web pages may ask (CORS)");
    let answer = match &facts.seen.preflight {
        Some(Ok(answer)) => answer,
        Some(Err(_)) | None => return skipped(step, "OPTIONS was not answered"),
    };
    let allowed = !answer.header("access-control-allow-origin").is_empty();
    match answer.status {
        401 => {
            let remedy = "answer OPTIONS before asking for a token: browsers send none with it";
            step.warn("OPTIONS is answered with 401, so that no page of any origin may call", remedy, &[]);
        }
        status if allowed && status < 300 => {
            let headers = answer.header("access-control-allow-headers").to_ascii_lowercase();
            if headers == "*" || !headers.contains("authorization") {
                let remedy =
                    "list authorization in Access-Control-Allow-Headers by name; * does not cover it";
                step.warn("pages may call, but not with a token", remedy, &[]);
            } else {
                step.ok("pages of other origins may call");
            }
        }
        status => {
            step.ok(format!("pages of other origins may not call (status {status}); no client here is one"));
        }
    }
    let good = facts.seen.metadata.iter().filter(|document| document.object().is_ok());
    let mut answers = good.filter_map(|document| document.heard.as_ref().ok());
    if answers.any(|answer| answer.header("access-control-allow-origin").is_empty()) {
        step.ok("the metadata has no Access-Control-Allow-Origin, which pages would need");
    }
    step
}
