//! What is said of servers that are broken in one way each.

mod auth;
mod protocol;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use url::Url;

use super::*;
use crate::cli::doctor::client::{ALL, HTTP};
use crate::cli::doctor::message::{Session, spoken};
use crate::cli::doctor::report::Verdict;
use crate::cli::doctor::seen::{Document, Issuer, Legacy, Modern, Place, Read, Sse};
use crate::cli::doctor::token::Said;
use crate::cli::doctor::tools::Trial;
use crate::mcp::revision::Era;

const URL: &str = "https://mcp.example.com/api/mcp";
const ISSUER: &str = "https://id.example.com/msp";
const INSERTED: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/api/mcp";
const ROOT: &str = "https://mcp.example.com/.well-known/oauth-protected-resource";
const NOW: i64 = 1_800_000_000;

fn answer(status: u16, headers: &[(&str, &str)], body: impl ToString) -> Heard {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let headers: HeaderMap = headers.iter().map(field).collect();
    let (head, first) = (Duration::from_millis(7), Some(Duration::from_millis(8)));
    Ok(Answer { status, headers, head, first, body: body.to_string(), whole: true })
}

const JSON: (&str, &str) = ("content-type", "application/json");
const STREAM: (&str, &str) = ("content-type", "text/event-stream");

fn result(result: Value) -> Heard {
    answer(200, &[JSON], json!({"jsonrpc": "2.0", "id": 1, "result": result}))
}

fn refused(challenge: &str) -> Heard {
    answer(401, &[JSON, ("www-authenticate", challenge)], json!({"error": "no token"}))
}

fn document<P>(place: P, url: &str, body: Value) -> Document<P> {
    Document { place, url: url.to_owned(), heard: answer(200, &[JSON], body) }
}

fn resource(resource: &str) -> Vec<Document<Place>> {
    let body = json!({"resource": resource, "authorization_servers": [ISSUER]});
    let at = |place, url| document(place, url, body.clone());
    vec![at(Place::Challenge, INSERTED), at(Place::Inserted, INSERTED), at(Place::Root, ROOT)]
}

fn metadata() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/token"),
        "registration_endpoint": format!("{ISSUER}/register"),
        "code_challenge_methods_supported": ["S256"],
    })
}

fn issuer(name: &str, body: Value) -> Option<Issuer> {
    let tried = vec![document((), "https://id.example.com/.well-known/oauth-authorization-server/msp", body)];
    Some(Issuer { name: name.to_owned(), named: true, tried })
}

/// The issuer with a change to its metadata; null removes a member.
fn changed(changes: Value) -> Option<Issuer> {
    let mut body = metadata();
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    issuer(ISSUER, body)
}

fn shaken() -> Value {
    let info = json!({"name": "x", "version": "1"});
    json!({"protocolVersion": spoken(Era::Legacy).name, "capabilities": {"tools": {}}, "serverInfo": info})
}

fn listed() -> Heard {
    let tool =
        json!({"name": "search", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    result(json!({"tools": [tool]}))
}

fn legacy() -> Legacy {
    let trial = Trial { tool: "search".to_owned(), arguments: Default::default() };
    let revision = spoken(Era::Legacy).name.to_owned();
    Legacy {
        initialize: result(shaken()),
        session: Session { revision, id: None },
        initialized: Some(answer(202, &[], "")),
        list: Some(listed()),
        read: Some(Ok(Read { trial, heard: result(json!({"content": []})) })),
        stream: Some(answer(405, &[], "")),
    }
}

fn modern() -> Modern {
    let versions = [spoken(Era::Modern).name];
    let discovered = json!({"supportedVersions": versions, "capabilities": {}, "resultType": "complete"});
    Modern { discover: result(discovered), list: Some(listed()), read: None }
}

fn token() -> Said {
    Said {
        opaque: false,
        issuer: Some(ISSUER.to_owned()),
        audiences: vec![URL.to_owned()],
        expires_at: Some(NOW + 300),
        id_token: false,
    }
}

fn sse() -> Sse {
    let endpoint = format!("{URL}/messages?s=1");
    Sse {
        place: Url::parse(&format!("{URL}/sse")).unwrap(),
        stream: answer(200, &[STREAM], format!("event: endpoint\ndata: {endpoint}\n\n")),
        endpoint: Some(endpoint),
        message: Some(answer(202, &[], "")),
        replied: true,
        tokenless: Some(refused("Bearer")),
    }
}

/// A server without a fault.
fn good() -> Seen {
    Seen {
        url: Url::parse(URL).unwrap(),
        addresses: vec!["93.184.215.14".parse().unwrap()],
        private_ca: false,
        anonymous: refused(&format!("Bearer resource_metadata=\"{INSERTED}\"")),
        anonymous_stream: None,
        made_up: Some(refused("Bearer error=\"invalid_token\"")),
        metadata: resource(URL),
        issuer: issuer(ISSUER, metadata()),
        preflight: Some(answer(403, &[], "")),
        token: Some(token()),
        legacy: Some(legacy()),
        modern: Some(modern()),
        sse: Some(sse()),
        sse_apart: None,
    }
}

fn judged(change: impl FnOnce(&mut Seen)) -> Report {
    let mut seen = good();
    change(&mut seen);
    diagnose(&seen, NOW)
}

fn step<'a>(report: &'a Report, id: &str) -> &'a Step {
    report.steps.iter().find(|step| step.id == id).unwrap_or_else(|| panic!("no step {id}"))
}

fn of(report: &Report, client: Client) -> Verdict {
    report.verdicts.iter().find(|verdict| verdict.client == client).cloned().unwrap()
}

/// Judges a change and expects this of one step: its status, whom it stops, words of its remedy.
#[track_caller]
fn finds(
    id: &str,
    status: Status,
    stopped: &[Client],
    remedy: &str,
    change: impl FnOnce(&mut Seen),
) -> Report {
    let report = judged(change);
    let found = step(&report, id);
    let told = found.remedy.clone().unwrap_or_default();
    assert_eq!((found.status, found.stopped.as_slice()), (status, stopped), "{found:#?}");
    assert!(told.contains(remedy), "{remedy:?} is not in {found:#?}");
    report
}

use Client::*;
use Status::{Fail, Ok as Good, Skip, Warn};

#[test]
fn a_server_without_a_fault_lets_every_client_in_but_the_oldest() {
    let report = judged(|_| {});
    for step in &report.steps {
        assert_eq!(step.status, Good, "{step:#?}");
    }
    for verdict in &report.verdicts {
        assert_eq!(verdict.connects, Some(verdict.client != OldVsCode), "{verdict:?}");
    }
    let old = of(&report, OldVsCode);
    assert_eq!(old.failing_step, Some("sse-tokenless"));
    assert!(old.what_to_change.unwrap().contains("update VS Code"));
}

#[test]
fn without_a_token_the_way_to_one_is_judged_and_the_rest_cannot_be_told() {
    let report = finds("accepted", Skip, &[], "", |seen| {
        (seen.token, seen.legacy, seen.modern, seen.sse) = (None, None, None, None);
    });
    assert!(!report.fails());
    assert!(report.verdicts.iter().all(|verdict| verdict.connects.is_none()), "{:#?}", report.verdicts);
    assert_eq!(step(&report, "handshake").detail, "needs a token");
    assert_eq!(step(&report, "issuer").status, Good);
}

#[test]
fn an_open_server_needs_no_metadata_and_no_token() {
    let report = judged(|seen| {
        seen.anonymous = result(shaken());
        (seen.made_up, seen.metadata, seen.issuer, seen.token) = (None, Vec::new(), None, None);
        if let Some(sse) = &mut seen.sse {
            sse.tokenless = None;
        }
    });
    assert!(!report.fails());
    assert!(report.verdicts.iter().all(|verdict| verdict.connects == Some(true)), "{:#?}", report.verdicts);
    let report = judged(|seen| {
        seen.anonymous = result(shaken());
        (seen.made_up, seen.metadata, seen.issuer) = (None, Vec::new(), None);
        seen.token.as_mut().unwrap().audiences.clear();
    });
    assert_eq!((step(&report, "token").status, step(&report, "accepted").status), (Skip, Skip));
}

#[test]
fn nobody_there_is_told_with_the_reason_and_nothing_else_is_judged() {
    let certificate = OutboundError::Unreachable { why: "invalid peer certificate: UnknownIssuer".into() };
    for (error, remedy) in [
        (OutboundError::Dns, "DNS"),
        (OutboundError::Deadline, "proxy"),
        (certificate, "--ca-file"),
        (OutboundError::Unreachable { why: "connection refused".into() }, "start the server"),
        (OutboundError::Malformed { why: "x".into() }, "scheme"),
    ] {
        let report = finds("reach", Fail, &ALL, remedy, |seen| {
            let url = seen.url.clone();
            *seen = Seen {
                anonymous: Err(error),
                url,
                metadata: Vec::new(),
                issuer: None,
                token: None,
                ..good()
            };
        });
        assert!(report.steps[1..].iter().all(|step| step.status == Skip), "{report}");
        assert!(report.verdicts.iter().all(|verdict| verdict.connects == Some(false)));
    }
}

#[test]
fn an_address_that_only_we_can_reach_keeps_claude_ai_in_doubt() {
    type Change = fn(&mut Seen);
    let changes: [(&str, Change); 3] = [
        ("public https URL", |seen| {
            seen.addresses = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]
        }),
        ("--ca-file", |seen| seen.private_ca = true),
        ("https", |seen| seen.url = Url::parse("http://mcp.example.com/api/mcp").unwrap()),
    ];
    for (remedy, change) in changes {
        let report = finds("public", Warn, &[], remedy, change);
        assert_eq!(step(&report, "public").clients, [ClaudeAi]);
    }
}

#[test]
fn what_answers_instead_of_a_server_is_told() {
    let others: Vec<Client> = HTTP.into_iter().filter(|client| *client != VsCode).collect();
    let page = |status| answer(status, &[("content-type", "text/html; charset=utf-8")], "<!doctype html>");
    let moved = |status, location| answer(status, &[("location", location)], "");
    let cases: [(Heard, &[Client], &str); 6] = [
        (page(200), &ALL, "logins"),
        (page(403), &ALL, "logins"),
        (answer(502, &[], "Bad Gateway"), &ALL, "log"),
        (answer(403, &[JSON], "{}"), &others, "401"),
        (moved(302, "https://login.example.com/"), &ALL, "https://login.example.com/"),
        (moved(307, "/api/mcp/"), &[], "/api/mcp/"),
    ];
    for (heard, stopped, remedy) in cases {
        let report = finds("reach", Fail, stopped, remedy, |seen| {
            seen.anonymous = heard;
            (seen.made_up, seen.metadata, seen.issuer) = (None, Vec::new(), None);
        });
        assert!(
            report.verdicts.iter().all(|verdict| verdict.connects != Some(true) || verdict.client == VsCode)
        );
    }
    let unclear = |heard: Heard| {
        move |seen: &mut Seen| {
            seen.anonymous = heard;
            (seen.made_up, seen.metadata, seen.issuer) = (None, Vec::new(), None);
        }
    };
    finds("reach", Fail, &[], "again", unclear(answer(429, &[], "slow down")));
    finds("challenge", Fail, &HTTP, "with 401", unclear(answer(400, &[], "no key")));
    finds("challenge", Fail, &ALL, "path", |seen| {
        unclear(answer(404, &[], "Not Found"))(seen);
        (seen.token, seen.legacy, seen.modern, seen.sse) = (None, None, None, None);
    });
}

#[test]
fn a_server_that_lets_a_made_up_token_in_is_wrong_though_everybody_connects() {
    let report = finds("made-up-token", Fail, &[], "signature", |seen| seen.made_up = Some(result(shaken())));
    assert_eq!(of(&report, Cursor).connects, Some(true));
    assert!(report.fails());
    finds("made-up-token", Warn, &[], "invalid_token", |seen| seen.made_up = Some(answer(500, &[], "x")));
}

#[test]
fn a_servers_words_are_short_and_harmless_on_a_terminal() {
    let shown = quoted(&format!("a\u{1b}[2J\r\nb\"c\" {}", "x".repeat(500)));
    assert!(
        shown.starts_with(r#""a\u{1b}[2J b'c' xxx"#) && shown.ends_with("...\"") && shown.len() < 200,
        "{shown}"
    );
    let report = judged(|seen| {
        seen.legacy.as_mut().unwrap().initialize = answer(401, &[], "\u{1b}]0;owned\u{7}");
        seen.modern = None;
        seen.sse = None;
    });
    assert!(!report.to_string().contains('\u{1b}'), "{report}");
}

#[test]
fn every_failing_step_has_a_remedy() {
    let breaks: [fn(&mut Seen); 4] = [
        |seen| seen.metadata.iter_mut().for_each(|document| document.heard = answer(404, &[], "")),
        |seen| seen.issuer = None,
        |seen| seen.legacy.as_mut().unwrap().initialize = answer(500, &[], ""),
        |seen| seen.sse.as_mut().unwrap().endpoint = None,
    ];
    for change in breaks {
        let report = judged(change);
        assert!(report.fails(), "{report}");
        for step in report.steps.iter().filter(|step| step.status == Fail) {
            assert!(step.remedy.as_ref().is_some_and(|remedy| remedy.len() > 10), "{step:#?}");
        }
    }
}
