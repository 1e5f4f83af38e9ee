//! Handshakes, lists and streams that are wrong in one way each.

use super::*;
use crate::cli::doctor::client::{FALL_BACK, HANDSHAKE};

fn error(status: u16, code: i64) -> Heard {
    let error = json!({"code": code, "message": "no"});
    answer(status, &[JSON], json!({"jsonrpc": "2.0", "id": 1, "error": error}))
}

fn silent() -> Heard {
    Err(OutboundError::Deadline)
}

/// The legacy conversation ended with its first message.
fn no_handshake(seen: &mut Seen, answer: Heard) {
    seen.legacy = Some(Legacy {
        initialize: answer,
        session: Session::default(),
        initialized: None,
        list: None,
        read: None,
        stream: None,
    });
}

fn initialized(change: impl FnOnce(&mut Value)) -> impl FnOnce(&mut Seen) {
    let mut body = shaken();
    change(&mut body);
    move |seen| seen.legacy.as_mut().unwrap().initialize = result(body)
}

fn legacy_of(seen: &mut Seen) -> &mut Legacy {
    seen.legacy.as_mut().unwrap()
}

#[test]
fn an_answer_in_a_stream_is_as_good_as_a_document() {
    let reply = json!({"jsonrpc": "2.0", "id": 1, "result": shaken()});
    let report = judged(|seen| {
        let body = format!("id: 0\n\nevent: message\ndata: {reply}\n\n");
        legacy_of(seen).initialize = answer(200, &[STREAM], body);
    });
    assert_eq!(step(&report, "handshake").status, Good);
}

#[test]
fn a_server_of_the_modern_era_only_stops_those_who_shake_hands() {
    let report =
        finds("handshake", Fail, &HANDSHAKE, "handshake", |seen| no_handshake(seen, error(400, -32022)));
    assert_eq!(of(&report, Python).connects, Some(true));
    assert_eq!(step(&report, "list").status, Good);
}

#[test]
fn a_server_of_the_legacy_era_only_stops_nobody_unless_it_does_not_answer() {
    for refusal in [error(200, -32601), error(400, -32600), error(404, -32601), answer(404, &[], "")] {
        let report = judged(|seen| seen.modern = Some(Modern { discover: refusal, list: None, read: None }));
        assert_eq!((step(&report, "discover").status, report.fails()), (Good, false), "{report}");
    }
    finds("discover", Fail, &[Python], "at once", |seen| {
        seen.modern = Some(Modern { discover: silent(), list: None, read: None });
    });
    finds("discover", Warn, &[], "4xx", |seen| {
        seen.modern = Some(Modern { discover: answer(500, &[], ""), list: None, read: None });
    });
    let report = judged(|seen| {
        let discover = result(json!({"supportedVersions": ["1999-01-01"], "capabilities": {}}));
        seen.modern = Some(Modern { discover, list: None, read: None });
    });
    assert!(step(&report, "discover").detail.contains("1999-01-01"), "{report}");
}

#[test]
fn an_incomplete_discovery_matters_where_there_is_nothing_else() {
    let bare = || {
        let discover = result(json!({"supportedVersions": [spoken(Era::Modern).name]}));
        Some(Modern { discover, list: Some(listed()), read: None })
    };
    let report = finds("discover", Warn, &[], "resultType", |seen| seen.modern = bare());
    assert_eq!(of(&report, Python).connects, Some(true));
    let report = judged(|seen| {
        no_handshake(seen, error(404, -32601));
        seen.modern = bare();
    });
    assert_eq!(of(&report, Python).connects, None);
}

#[test]
fn a_handshake_that_clients_do_not_take_is_told() {
    finds(
        "handshake",
        Fail,
        &HANDSHAKE,
        "asked for",
        initialized(|body| body["protocolVersion"] = "2999-01-01".into()),
    );
    finds(
        "handshake",
        Fail,
        &HANDSHAKE,
        "asked for",
        initialized(|body| body["protocolVersion"] = "1".into()),
    );
    finds(
        "handshake",
        Fail,
        &HANDSHAKE,
        "serverInfo",
        initialized(|body| body["serverInfo"] = json!({"name": "x"})),
    );
    finds("handshake", Warn, &[], "\"tools\"", initialized(|body| body["capabilities"] = json!({})));
    finds("handshake", Fail, &HANDSHAKE, "visible ASCII", |seen| {
        legacy_of(seen).session.id = Some("a b".into())
    });
    finds("handshake", Fail, &HANDSHAKE, "several instances", |seen| {
        legacy_of(seen).session.id = Some("s".into());
        legacy_of(seen).initialized = Some(error(404, -32001));
    });
    finds("handshake", Warn, &[], "202", |seen| legacy_of(seen).initialized = Some(answer(200, &[], "")));
    finds("handshake", Fail, &HANDSHAKE, "proxy", |seen| no_handshake(seen, silent()));
}

#[test]
fn what_is_said_instead_of_a_handshake_names_what_to_look_at() {
    let page = answer(200, &[("content-type", "text/html")], "<html>");
    for (heard, remedy) in [
        (answer(404, &[], ""), "path"),
        (answer(405, &[], ""), "path"),
        (answer(406, &[], ""), "Accept"),
        (answer(415, &[], ""), "Content-Type"),
        (answer(202, &[], ""), "202"),
        (answer(200, &[STREAM], ": waiting\n\n"), "proxy_buffering"),
        (page, "logins"),
        (error(500, -32603), "log"),
    ] {
        finds("handshake", Fail, &HTTP, remedy, |seen| {
            no_handshake(seen, heard);
            (seen.modern, seen.sse) = (None, None);
        });
    }
}

#[test]
fn a_server_of_http_and_sse_only_stops_those_who_do_not_fall_back() {
    let report = finds("handshake", Fail, &[Copilot, TypeScript, Python], "SSE by hand", |seen| {
        no_handshake(seen, answer(405, &[], ""));
        seen.modern = None;
    });
    for client in FALL_BACK {
        assert_eq!(of(&report, client).connects, Some(true), "{client:?}");
    }
}

#[test]
fn tools_that_are_not_listed_or_differ_between_the_eras_are_told() {
    finds("list", Fail, &HANDSHAKE, "tools/list", |seen| legacy_of(seen).list = Some(error(200, -32601)));
    finds("list", Fail, &[Python], "tools/list", |seen| seen.modern.as_mut().unwrap().list = Some(silent()));
    finds("list", Fail, &HANDSHAKE, "first message", |seen| legacy_of(seen).list = Some(refused("Bearer")));
    finds("list", Warn, &[], "both", |seen| {
        seen.modern.as_mut().unwrap().list = Some(result(json!({"tools": []})));
    });
    finds("list", Warn, &[], "rename", |seen| {
        let tools = json!({"tools": [{"name": "a.b", "inputSchema": {"type": "object"}}], "nextCursor": "c"});
        legacy_of(seen).list = Some(result(tools.clone()));
        seen.modern.as_mut().unwrap().list = Some(result(tools));
    });
}

#[test]
fn a_read_that_goes_wrong_is_told_apart_from_one_that_cannot_be_tried() {
    let reading = |heard: Heard| {
        move |seen: &mut Seen| {
            if let Some(Ok(read)) = &mut legacy_of(seen).read {
                read.heard = heard;
            }
        }
    };
    finds("read", Warn, &[], "what it says", reading(result(json!({"isError": true, "content": []}))));
    finds("read", Fail, &ALL, "tools/call", reading(error(200, -32603)));
    finds("read", Fail, &ALL, "tools/call", reading(silent()));
    let report = judged(|seen| legacy_of(seen).read = Some(Err("no tool reads".into())));
    assert_eq!(step(&report, "read").detail, "no tool reads");
}

#[test]
fn a_stream_that_is_held_back_is_told_by_its_head_its_length_or_its_silence() {
    let stream = |heard: Heard| move |seen: &mut Seen| legacy_of(seen).stream = Some(heard);
    let report = finds("stream", Fail, &[], "proxy_buffering", stream(silent()));
    assert_eq!(of(&report, TypeScript).connects, None);
    let whole = answer(200, &[STREAM, ("content-length", "9")], ": hello\n\n");
    finds("stream", Fail, &[], "proxy_buffering", stream(whole));
    let quiet = answer(200, &[STREAM], "").map(|answer| Answer { first: None, whole: false, ..answer });
    assert!(step(&judged(stream(quiet)), "stream").detail.contains("--timeout 30s"));
    let closed = answer(200, &[STREAM], "").map(|answer| Answer { first: None, ..answer });
    finds("stream", Warn, &[], "405", stream(closed));
    finds("stream", Warn, &[], "405", stream(answer(200, &[("content-type", "text/html")], "<html>")));
    let report = finds("stream", Warn, &[], "405", stream(answer(400, &[], "no session")));
    assert_eq!((of(&report, Cursor).connects, of(&report, VsCode).connects), (None, Some(true)));
    finds("stream", Warn, &[], "token", stream(refused("Bearer")));
    assert_eq!(step(&judged(stream(answer(200, &[STREAM], ": hi\n\n"))), "stream").status, Good);
}

#[test]
fn the_endpoint_event_must_come_and_lead_back_to_the_same_origin() {
    let named = |endpoint: Option<&str>| {
        let endpoint = endpoint.map(str::to_owned);
        move |seen: &mut Seen| {
            let sse = seen.sse.as_mut().unwrap();
            (sse.endpoint, sse.message, sse.replied, sse.tokenless) = (endpoint, None, false, None);
        }
    };
    let old = [OldVsCode];
    finds("sse", Fail, &old, "first of all", named(None));
    finds("sse", Fail, &old, "proxy_buffering", |seen| {
        named(None)(seen);
        seen.sse.as_mut().unwrap().stream =
            answer(200, &[STREAM], "").map(|answer| Answer { first: None, whole: false, ..answer });
    });
    finds("sse", Fail, &old, "server.public_url", named(Some("http://10.0.0.5/messages?s=1")));
    let secret = "x".repeat(41);
    let report = judged(named(Some(&format!("/m/{secret}/n?s=secret"))));
    let found = step(&report, "sse");
    assert!(
        found.status == Good && found.detail.contains("\"/m/.../n\"") && !found.detail.contains("secret")
    );
    let all = [ClaudeAi, VsCode, OldVsCode, Cursor, McpRemote];
    finds("sse", Fail, &all, "first of all", |seen| {
        named(None)(seen);
        no_handshake(seen, answer(404, &[], ""));
    });
}

#[test]
fn a_message_must_be_taken_and_answered_on_the_stream() {
    let sent = |heard: Heard, replied: bool| {
        move |seen: &mut Seen| {
            let sse = seen.sse.as_mut().unwrap();
            (sse.message, sse.replied) = (Some(heard), replied);
        }
    };
    let old = [OldVsCode];
    finds("sse-message", Fail, &old, "proxy_buffering", sent(answer(202, &[], ""), false));
    finds("sse-message", Fail, &old, "public URL", sent(answer(404, &[], ""), false));
    finds("sse-message", Fail, &old, "what the stream takes", sent(refused("Bearer"), false));
}

#[test]
fn a_message_without_a_token_is_rightly_refused_and_the_old_client_told_why() {
    let report = judged(|seen| seen.sse.as_mut().unwrap().tokenless = Some(answer(202, &[], "")));
    assert_eq!(of(&report, OldVsCode).connects, Some(true));
    assert!(step(&report, "sse-tokenless").detail.contains("short-lived"));
    let report = judged(|seen| seen.sse = None);
    let old = of(&report, OldVsCode);
    assert_eq!((old.connects, old.failing_step), (Some(false), Some("sse")));
    assert!(!report.fails(), "what is deprecated need not be offered");
    let report = judged(|seen| {
        seen.sse = None;
        seen.sse_apart = Some(Url::parse("https://mcp.example.com/sse").unwrap());
    });
    assert!(of(&report, OldVsCode).what_to_change.unwrap().contains("examine https://mcp.example.com/sse"));
}

#[test]
fn a_preflight_is_answered_before_a_token_is_asked_for() {
    let asked = |heard: Heard| move |seen: &mut Seen| seen.preflight = Some(heard);
    finds("cors", Warn, &[], "before asking", asked(refused("Bearer")));
    let allowed = |headers| [("access-control-allow-origin", "*"), ("access-control-allow-headers", headers)];
    finds("cors", Warn, &[], "by name", asked(answer(204, &allowed("*"), "")));
    let report = judged(asked(answer(204, &allowed("Authorization, Content-Type"), "")));
    assert!(step(&report, "cors").detail.contains("may call"), "{report}");
}
