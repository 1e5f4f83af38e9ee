//! The protocol itself: both eras' beginnings, the tools, one read.

use super::*;
use crate::cli::doctor::client::{ALL, FALL_BACK, HANDSHAKE, HTTP};
use crate::cli::doctor::message::spoken;
use crate::cli::doctor::seen::{Legacy, Read};
use crate::cli::doctor::tools;
use crate::mcp::revision::Era;

const HANDSHAKE_TOO: &str = "serve the handshake (initialize) on the same URL too: most clients know nothing else \
    yet; until then mcp-remote takes --protocol auto, and the second TypeScript SDK versionNegotiation auto";

const LATE: &str =
    "answer the first message without a token with 401, and not only this one: clients log in at the start";

pub(super) fn legacy(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("handshake", "Handshake (initialize)");
    if let Some(reason) = facts.shut() {
        return skipped(step, reason);
    }
    let Some(legacy) = &facts.seen.legacy else { return skipped(step, "there was nobody to ask") };
    let answer = match &legacy.initialize {
        Ok(answer) => answer,
        Err(error) => {
            let detail = heard(&legacy.initialize);
            let remedy = match error {
                OutboundError::Deadline => {
                    "the answer must come at once: look for a proxy that waits for the end of a stream"
                }
                _ => "look into the server's log, or that of the proxy in front of it",
            };
            step.fail(detail, remedy, if facts.discovered { &HANDSHAKE } else { &HTTP });
            return step;
        }
    };
    let Some(result) = answer.result() else {
        refused(&mut step, facts, answer);
        return step;
    };
    agreed(&mut step, &result);
    session(&mut step, legacy);
    step
}

fn refused(step: &mut Step, facts: &Facts<'_>, answer: &Answer) {
    let by_stream = facts.seen.sse.as_ref().is_some_and(|sse| sse.endpoint.is_some());
    if facts.discovered {
        step.fail(format!("{}: only the modern era is spoken", told(answer)), HANDSHAKE_TOO, &HANDSHAKE);
    } else if by_stream {
        let by_hand: Vec<Client> = HTTP.into_iter().filter(|client| !FALL_BACK.contains(client)).collect();
        let remedy =
            "serve Streamable HTTP at this URL; until then set the transport of these clients to SSE by hand";
        step.fail(format!("{}: only HTTP+SSE is spoken here", told(answer)), remedy, &by_hand);
    } else {
        let remedy = match answer.status {
            404 | 405 => "check the URL's path: messages are not taken here",
            406 => "have the server take Accept: application/json, text/event-stream",
            415 => "have the server take Content-Type: application/json",
            202 => "answer requests with their result; 202 is for notifications",
            200 if answer.is_stream() => {
                "the answer must come on the stream at once: look for a proxy that holds it back (nginx: \
                 proxy_buffering off; the server: X-Accel-Buffering: no)"
            }
            _ if answer.is_page() => {
                "have logins, portals and bot checks in front let requests with a token through"
            }
            _ => "look into the server's log",
        };
        step.fail(told(answer), remedy, &HTTP);
    }
}

/// What the result must have, as the SDKs check it.
fn agreed(step: &mut Step, result: &Value) {
    let newest = spoken(Era::Legacy).name;
    match result["protocolVersion"].as_str() {
        // Revisions are dates: a later one than was asked for is none that a client of this era knows.
        Some(revision) if revision.len() == newest.len() && revision <= newest => {
            step.ok(format!("revision {revision}"));
        }
        revision => {
            let shown = revision.map_or_else(|| "none".to_owned(), quoted);
            let remedy = format!("answer with the revision that was asked for ({newest}), or an earlier one");
            step.fail(format!("it answers with the revision {shown}"), remedy, &HANDSHAKE);
        }
    }
    let info = &result["serverInfo"];
    if !(info["name"].is_string() && info["version"].is_string() && result["capabilities"].is_object()) {
        let remedy = "add capabilities and serverInfo with name and version to the result of initialize";
        step.fail("the result lacks capabilities or serverInfo", remedy, &HANDSHAKE);
    } else if !result["capabilities"]["tools"].is_object() {
        step.warn("no tools are announced", "add \"tools\": {} to the capabilities", &HANDSHAKE);
    }
}

fn session(step: &mut Step, legacy: &Legacy) {
    if let Some(id) = &legacy.session.id {
        if id.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            step.ok("with a session");
        } else {
            let remedy = "make session ids of visible ASCII only";
            step.fail("its session id has other characters than visible ASCII", remedy, &HANDSHAKE);
        }
    }
    match &legacy.initialized {
        None => {}
        Some(Ok(answer)) if answer.status == 202 => {}
        Some(Ok(answer)) if answer.status < 300 => {
            let detail = format!("notifications/initialized is answered with {}", answer.status);
            step.warn(detail, "answer notifications with 202 and no body", &[]);
        }
        Some(sent) => {
            let detail = format!("notifications/initialized: {}", heard(sent));
            let remedy = match legacy.session.id {
                Some(_) => {
                    "answer it with 202; where there are several instances, have them share sessions, or have the \
                     balancer keep a session on one of them"
                }
                None => "answer it with 202 and no body",
            };
            step.fail(detail, remedy, &HANDSHAKE);
        }
    }
}

pub(super) fn modern(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("discover", "Modern era (server/discover)");
    if let Some(reason) = facts.shut() {
        return skipped(step, reason);
    }
    let Some(modern) = &facts.seen.modern else { return skipped(step, "there was nobody to ask") };
    let fallen: &[Client] = if facts.shook_hands { &[] } else { &[Client::Python] };
    let answer = match &modern.discover {
        Ok(answer) => answer,
        Err(_) => {
            let remedy = "refuse an unknown method with an error at once; who asks this way first does not go on \
                without an answer";
            step.fail(heard(&modern.discover), remedy, &[Client::Python]);
            return step;
        }
    };
    match answer.result() {
        Some(result) if facts.discovered => {
            let revision = spoken(Era::Modern).name;
            if result["capabilities"].is_object() && result["resultType"] == "complete" {
                step.ok(format!("revision {revision}"));
            } else {
                let remedy =
                    "add capabilities and \"resultType\": \"complete\" to the result of server/discover";
                step.warn(format!("revision {revision}, with an incomplete result"), remedy, fallen);
            }
        }
        Some(result) => {
            let shown = quoted(&result["supportedVersions"].to_string());
            step.ok(format!("other revisions are offered ({shown}): clients shake hands"));
        }
        None if facts.shook_hands && answer.status >= 500 => {
            let remedy = "refuse an unknown method with 4xx or a JSON-RPC error";
            step.warn(told(answer), remedy, &[]);
        }
        None if facts.shook_hands => {
            step.ok(format!("not spoken ({}): who asks this way first shakes hands then", told(answer)));
        }
        None => return skipped(step, "neither era is spoken here"),
    }
    step
}

pub(super) fn list(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("list", "Tools are listed");
    if let Some(reason) = facts.shut() {
        return skipped(step, reason);
    }
    let legacy = facts.seen.legacy.as_ref().and_then(|legacy| legacy.list.as_ref());
    let modern = facts.seen.modern.as_ref().and_then(|modern| modern.list.as_ref());
    let lists: [(Option<&Heard>, &[Client]); 2] = [(legacy, &HANDSHAKE), (modern, &[Client::Python])];
    let mut names: Vec<Vec<String>> = Vec::new();
    for (sent, clients) in lists {
        let Some(sent) = sent else { continue };
        let result = sent.as_ref().ok().and_then(Answer::result);
        let Some(tools) = result.as_ref().and_then(|result| result["tools"].as_array()) else {
            let remedy = match sent {
                Ok(answer) if answer.status == 401 => LATE,
                _ => "answer tools/list with {\"tools\": [...]}; the server's log says why it did not",
            };
            step.fail(heard(sent), remedy, clients);
            continue;
        };
        names.push(tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect());
        if names.len() == 1 {
            let more = result.as_ref().is_some_and(|result| result["nextCursor"].is_string());
            let (count, plural) = (tools.len(), if tools.len() == 1 { "" } else { "s" });
            let rest = if more { " and a further page" } else { "" };
            step.ok(format!("{count} tool{plural}{rest}"));
            for oddity in tools::oddities(tools) {
                step.warn(oddity, "rename it, or mend its schema", &[]);
            }
        }
    }
    match names.as_slice() {
        [] if step.status == Status::Skip => return skipped(step, "neither era is spoken here"),
        [one, other] if one != other => {
            step.warn("the two eras list different tools", "list the same tools in both", &[]);
        }
        _ => {}
    }
    step
}

pub(super) fn read(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("read", "A tool reads");
    if let Some(reason) = facts.shut() {
        return skipped(step, reason);
    }
    let legacy = facts.seen.legacy.as_ref().and_then(|legacy| legacy.read.as_ref());
    let modern = facts.seen.modern.as_ref().and_then(|modern| modern.read.as_ref());
    let read: &Read = match legacy.filter(|read| read.is_ok()).or(modern).or(legacy) {
        Some(Ok(read)) => read,
        Some(Err(reason)) => return skipped(step, reason),
        None => return skipped(step, "there is no list of tools"),
    };
    let tool = quoted(&read.trial.tool);
    match read.heard.as_ref().ok().and_then(Answer::result) {
        Some(result) if result["isError"] == true => {
            let said = quoted(result["content"][0]["text"].as_str().unwrap_or_default());
            step.warn(format!("{tool} answers with an error: {said}"), "see what it says", &[]);
        }
        Some(_) => {
            let took = read.heard.as_ref().map_or(0, |answer| answer.head.as_millis());
            step.ok(format!("{tool} answers after {took} ms"));
        }
        None => {
            let remedy = match &read.heard {
                Ok(answer) if answer.status == 401 => LATE,
                _ => "answer tools/call with a result; the server's log says why it did not",
            };
            step.fail(format!("{tool}: {}", heard(&read.heard)), remedy, &ALL);
        }
    }
    step
}
