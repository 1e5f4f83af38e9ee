//! Event streams: what the server says unasked, and the older transport that is made of one.

use super::*;
use crate::cli::doctor::client::{FALL_BACK, HANDSHAKE};
use crate::cli::doctor::seen::Sse;

const UNBUFFER: &str = "have the proxy in front pass streams on as they come (nginx: proxy_buffering off, or the \
    server sends X-Accel-Buffering: no; Apache: flushpackets=on; compression off for text/event-stream), and have the \
    server send its head and a comment at once";

pub(super) fn unasked(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("stream", "The stream for what the server says unasked");
    if let Some(reason) = facts.shut() {
        return skipped(step, reason);
    }
    let Some(sent) = facts.seen.legacy.as_ref().and_then(|legacy| legacy.stream.as_ref()) else {
        return skipped(step, "there was no handshake");
    };
    let answer = match sent {
        Ok(answer) => answer,
        Err(_) => {
            let detail = format!("GET: {}", heard(sent));
            step.wrong(detail, UNBUFFER, &HANDSHAKE);
            return step;
        }
    };
    match answer.status {
        405 => {
            step.ok("not offered (405), as a server may");
        }
        200 if answer.is_stream() => opened(&mut step, answer),
        status if status < 300 => {
            let remedy =
                "answer GET with an event stream or with 405: at anything else clients try again and again";
            let detail = format!("GET is answered with {} instead of a stream", quoted(&answer.media()));
            step.warn(detail, remedy, &[Client::VsCode, Client::Cursor]);
        }
        401 | 403 => {
            step.warn(told(answer), "let GET in with the token that POST is let in with", &HANDSHAKE);
        }
        _ => {
            let remedy =
                "answer GET with 405 where there is no stream: at anything else some try again and again";
            step.warn(told(answer), remedy, &[Client::Cursor]);
        }
    }
    step
}

fn opened(step: &mut Step, answer: &Answer) {
    let head = answer.head.as_millis();
    if !answer.header("content-length").is_empty() {
        let detail = "the stream comes with a Content-Length: it was held back to its end";
        step.wrong(detail, UNBUFFER, &HANDSHAKE);
    } else if let Some(first) = answer.first {
        step.ok(format!("opened after {head} ms, first byte after {} ms", first.as_millis()));
    } else if answer.whole {
        let remedy = "keep the stream open, or answer GET with 405";
        step.warn("it is closed at once", remedy, &[Client::VsCode, Client::Cursor]);
    } else {
        step.ok(format!(
            "opened after {head} ms; nothing was said yet (--timeout 30s waits for a keep-alive)"
        ));
    }
}

/// Who comes by HTTP+SSE: those without another way, and where there is none all that look for one.
fn who(facts: &Facts<'_>) -> Vec<Client> {
    let mut clients = vec![Client::OldVsCode];
    if !facts.shook_hands {
        clients.extend(FALL_BACK);
    }
    clients
}

/// Why there is nothing to say about HTTP+SSE, if there is not.
fn offered<'a>(facts: &'a Facts<'_>) -> Result<&'a Sse, &'static str> {
    facts.shut().map_or(Ok(()), Err)?;
    let apart = facts.seen.sse_apart.is_some();
    let why =
        if apart { "it may be on offer elsewhere" } else { "HTTP+SSE is not offered; it is deprecated" };
    facts.seen.sse.as_ref().ok_or(why)
}

pub(super) fn endpoint(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("sse", "HTTP+SSE: the stream names its message URL");
    let sse = match offered(facts) {
        Ok(sse) => sse,
        Err(reason) => {
            step.skip(reason, &[]);
            if facts.shut().is_none() {
                step.stop(&[Client::OldVsCode]);
                step.remedy = Some(match &facts.seen.sse_apart {
                    Some(place) => format!("examine {place} by itself: it asks for tokens of its own"),
                    None => "update VS Code; it speaks nothing but HTTP+SSE".to_owned(),
                });
            }
            return step;
        }
    };
    let Some(endpoint) = &sse.endpoint else {
        let empty = sse.stream.as_ref().is_ok_and(|answer| answer.first.is_none());
        let (detail, remedy) = if empty {
            ("opens, and then nothing comes: it is held back on its way", UNBUFFER)
        } else {
            (
                "does not begin with an endpoint event",
                "send `event: endpoint` with the message URL first of all",
            )
        };
        step.fail(format!("{} {detail}", sse.place), remedy, &who(facts));
        return step;
    };
    let shown = quoted(&bare(endpoint));
    match (url::Url::parse(endpoint), sse.place.join(endpoint)) {
        (Ok(target), _) if target.origin() != sse.place.origin() => {
            let detail =
                format!("{} names {shown}, which is another origin: clients send nothing there", sse.place);
            let remedy = "have the server build it from its public URL (on Sidegate: server.public_url), or name a \
                path only";
            step.fail(detail, remedy, &who(facts));
        }
        (Ok(_), _) => {
            step.ok(format!("{} names {shown}", sse.place));
        }
        (Err(_), Ok(_)) => {
            step.ok(format!("{} names {shown}, a path without its origin", sse.place));
        }
        (Err(_), Err(_)) => {
            let remedy = "name the message URL as a whole";
            step.fail(format!("{} names {shown}, which is no URL", sse.place), remedy, &who(facts));
        }
    }
    step
}

/// The message URL without what may stand for a token in it.
fn bare(endpoint: &str) -> String {
    let path = endpoint.split(['?', '#']).next().unwrap_or_default();
    let short = |segment: &str| if segment.len() > 40 { "...".to_owned() } else { segment.to_owned() };
    path.split('/').map(short).collect::<Vec<_>>().join("/")
}

pub(super) fn message(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("sse-message", "HTTP+SSE: a message is answered on the stream");
    let sse = match offered(facts) {
        Ok(sse) => sse,
        Err(reason) => return skipped(step, reason),
    };
    let Some(sent) = &sse.message else { return skipped(step, "there is no message URL to send one to") };
    match sent {
        Ok(answer) if answer.status < 300 && sse.replied => {
            step.ok(format!("status {}, and the answer on the stream", answer.status));
        }
        Ok(answer) if answer.status < 300 => {
            let detail = format!("status {}, and no answer on the stream", answer.status);
            step.fail(detail, UNBUFFER, &who(facts));
        }
        Ok(answer) if answer.status == 404 => {
            let remedy = "where a proxy adds a path in front, have the server name the whole public URL; where there \
                are several instances, keep stream and messages on one";
            step.fail(told(answer), remedy, &who(facts));
        }
        _ => {
            step.fail(heard(sent), "have the message URL take what the stream takes", &who(facts));
        }
    }
    step
}

pub(super) fn tokenless(facts: &Facts<'_>) -> Step {
    let mut step = Step::new("sse-tokenless", "HTTP+SSE: a message without a token");
    let sse = match offered(facts) {
        Ok(sse) => sse,
        Err(reason) => return skipped(step, reason),
    };
    match &sse.tokenless {
        None => return skipped(step, "no token is asked for, or there is no message URL"),
        Some(Ok(answer)) if matches!(answer.status, 401 | 403) => {
            step.ok(format!(
                "refused with {}, as it should be; old clients send none with messages",
                answer.status
            ));
            step.stop(&[Client::OldVsCode]);
            step.remedy = Some(
                "update VS Code: it sends its token with the stream only; for those who cannot, Sidegate has \
                 sse.stream_is_proof"
                    .to_owned(),
            );
        }
        Some(Ok(answer)) if answer.status < 300 => {
            step.ok("accepted: whoever has the message URL may send, so it must be secret and short-lived");
        }
        Some(sent) => {
            step.warn(heard(sent), "answer a message without a token with 401", &[Client::OldVsCode]);
        }
    }
    step
}
