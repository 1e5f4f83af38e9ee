//! Sessions: whose they are, how long, how many, and what they keep.

use super::*;
use crate::mcp::revision::REVISIONS;

fn agreed() -> Agreed {
    Agreed {
        revision: REVISIONS[1],
        client: ClientInfo { name: Some("a client".into()), version: Some("1".into()) },
        capabilities: serde_json::Value::Null,
    }
}

fn shared(change: impl FnOnce(&mut SessionsConfig)) -> Sessions {
    let key = Some(Secret::new("a key of at least thirty-two characters"));
    let mut config = SessionsConfig { key, ..SessionsConfig::default() };
    change(&mut config);
    Sessions::new(config)
}

const DAY: Millis = 24 * 3600 * 1000;

#[test]
fn an_id_is_good_for_its_agent_until_it_expires_and_says_nothing() {
    let sessions = shared(|_| {});
    let (_, id) = sessions.begin("agent-1", agreed(), 1_000);
    assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) && id.len() < 400, "{id}");
    assert!(sessions.find(&id, "agent-1", 1_000 + DAY - 1).is_ok());
    assert!(sessions.find(&id, "agent-1", 1_000 + DAY).is_err());
    assert!(sessions.find(&id, "agent-2", 1_001).is_err());
    assert!(sessions.find("made-up", "agent-1", 1_001).is_err());
}

#[test]
fn another_process_with_the_key_takes_the_id_and_knows_revision_and_client() {
    let (one, other) = (shared(|_| {}), shared(|_| {}));
    let (session, id) = one.begin("agent-1", agreed(), 1_000);
    let found = other.find(&id, "agent-1", 2_000).unwrap_or_else(|_| panic!("not found"));
    assert_eq!(found.id, session.id);
    assert_eq!(found.revision().unwrap().name, REVISIONS[1].name);
    assert_eq!(found.agreed().unwrap().client, agreed().client);
    let stranger = Sessions::new(SessionsConfig::default());
    assert!(stranger.find(&id, "agent-1", 2_000).is_err());
}

#[test]
fn an_ended_session_is_gone_and_what_it_ran_is_cancelled() {
    let sessions = shared(|_| {});
    let (session, id) = sessions.begin("agent-1", agreed(), 1_000);
    let token = CancellationToken::new();
    let running = session.run(&Id::Number(1.into()), token.clone());
    sessions.end(&session);
    assert!(token.is_cancelled());
    drop(running);
    assert!(sessions.find(&id, "agent-1", 1_001).is_err());
    assert_eq!(sessions.count(), 0);
}

#[test]
fn a_further_session_ends_the_agents_least_used_one() {
    let sessions = shared(|config| config.per_agent = 2);
    let (_, first) = sessions.begin("agent-1", agreed(), 1_000);
    let (_, second) = sessions.begin("agent-1", agreed(), 1_000);
    let (_, other) = sessions.begin("agent-2", agreed(), 1_000);
    assert!(sessions.find(&first, "agent-1", 1_001).is_ok());
    let (_, third) = sessions.begin("agent-1", agreed(), 1_002);
    assert!(sessions.find(&second, "agent-1", 1_003).is_err());
    for (id, agent) in [(first, "agent-1"), (third, "agent-1"), (other, "agent-2")] {
        assert!(sessions.find(&id, agent, 1_003).is_ok());
    }
}

#[test]
fn all_together_are_bounded() {
    let sessions = shared(|config| config.max = 50);
    for number in 0..200 {
        sessions.begin(&format!("agent-{number}"), agreed(), 1_000);
    }
    assert_eq!(sessions.count(), 50);
}

#[test]
fn ids_are_never_alike() {
    let sessions = shared(|config| config.per_agent = 2_000);
    let ids: std::collections::HashSet<_> =
        (0..1000).map(|_| sessions.begin("agent-1", agreed(), 1_000).1).collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn cancelling_reaches_the_request_of_that_id_and_no_other() {
    let session = Session::new(Uuid::nil(), "agent-1", None);
    let (one, other) = (CancellationToken::new(), CancellationToken::new());
    let running = session.run(&Id::Number(1.into()), one.clone());
    let _other = session.run(&Id::Text("1".into()), other.clone());
    session.cancel(&Id::Number(1.into()));
    session.cancel(&Id::Number(9.into()));
    assert!(one.is_cancelled() && !other.is_cancelled());
    drop(running);
    assert_eq!(session.running.lock().len(), 1);
}

#[tokio::test]
async fn a_stream_is_resumed_within_its_session_only_and_after_the_event_named() {
    let session = Session::new(Uuid::nil(), "agent-1", None);
    let of = of_session(REVISIONS[2].name).unwrap();
    let (one, other) = (session.stream(of), session.stream(of));
    one.say("one-0");
    one.say("one-1");
    other.say("other-0");
    let Some(Resumed::Answer(mut again)) = session.resume("1-0") else { panic!("it is kept") };
    assert_eq!(&again.next().await.unwrap().data[..], b"one-1");
    for unknown in ["9-0", "1-2", "x", ""] {
        assert!(session.resume(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn one_client_at_a_time_listens() {
    let session = Session::new(Uuid::nil(), "agent-1", None);
    let first = session.listen();
    assert!(first.is_some() && session.listen().is_none());
    drop(first);
    let (listener, reader) = session.listen().unwrap_or_else(|| panic!("nobody does"));
    assert!(session.resume("2-0").is_none(), "nothing was said there");
    listener.say("a change");
    drop(reader);
    assert!(matches!(session.resume("2-0"), Some(Resumed::Listener(..))));
}
