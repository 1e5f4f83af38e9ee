//! That every event's text is canonical JSON: the text of what a reader reads is the text that was read.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::record::{Facts, canonical};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::from),
        (any::<i32>(), 0_i32..30)
            .prop_map(|(digits, places)| Value::from(f64::from(digits) * 10_f64.powi(places))),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            // Names beyond the basic plane are the ones whose order is not that of their bytes.
            btree_map(prop_oneof![any::<String>(), "[a-z]{1,6}"], inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The intent and the event of any request.
fn any_facts() -> impl Strategy<Value = [Facts; 2]> {
    let text = || any::<String>();
    let caller = option::of((text(), text(), text(), option::of(text()), option::of(text())));
    let client = option::of((option::of(text()), option::of(text())));
    let ask = option::of((text(), option::of(text())));
    let bound = option::of((text(), text()));
    let answer = option::of((any::<u16>(), 0..usize::MAX >> 11));
    let took = vec((0_usize..6, any::<u64>()), 0..8);
    let change = option::of((text(), option::of(text()), option::of(any_json()), option::of(any_json())));
    (
        text(),
        0_i64..4_000_000_000_000,
        caller,
        client,
        ask,
        bound,
        answer,
        took,
        option::of(any_json()),
        change,
    )
        .prop_map(|(id, at, caller, client, ask, bound, answer, took, arguments, change)| {
            let mut event = EventBuilder::new(id, at, Arc::default());
            if let Some((tenant, agent, issuer, token_id, person)) = &caller {
                event.caller(CallerFacts {
                    tenant,
                    agent_id: agent,
                    agent,
                    issuer,
                    subject: issuer,
                    token_id: token_id.as_deref(),
                    person: person.as_deref(),
                    oauth_client: person.as_deref(),
                });
                event.client_address("2001:db8::7".parse().unwrap());
                event.revision("r1");
                event.reason(issuer);
            }
            if let Some((name, version)) = &client {
                event.client(name.as_deref(), version.as_deref());
            }
            if let Some((method, tool)) = &ask {
                event.ask(method, tool.as_deref());
                event.decision(Verdict::Deny, tool.as_deref());
            }
            if let Some((entry, path)) = &bound {
                event.bound(entry, "GET", path, "read");
            }
            if let Some((status, bytes)) = answer {
                event.upstream(status);
                event.request_bytes(bytes);
                event.response_bytes(bytes);
            }
            for (phase, took) in took {
                const ALL: [Phase; 6] = [
                    Phase::Authenticate,
                    Phase::Decode,
                    Phase::Decide,
                    Phase::Intent,
                    Phase::Credential,
                    Phase::Upstream,
                ];
                event.phase(ALL[phase], Duration::from_micros(took));
            }
            if let Some(arguments) = &arguments {
                event.arguments(arguments);
            }
            if let Some((actor, id, before, after)) = &change {
                event.change(ChangeFacts {
                    actor,
                    actor_kind: "psa_user",
                    actor_id: id.as_deref(),
                    action: "agent.update",
                    target: actor,
                    agent: Some((actor, actor)),
                    before: before.as_ref(),
                    after: after.as_ref(),
                });
            }
            [event.intent().into_facts(), event.finish("ok", Duration::from_micros(3)).into_facts()]
        })
}

proptest! {
    #[test]
    fn what_is_read_back_is_written_in_the_same_way([intent, event] in any_facts()) {
        for facts in [&intent, &event] {
            let read: Value = serde_json::from_str(&facts.body).unwrap();
            prop_assert_eq!(&canonical(&read).unwrap(), &facts.body);
            prop_assert!(!facts.body.contains('\n'));
        }
        prop_assert_eq!((intent.at, &intent.request_id), (event.at, &event.request_id));
    }
}

#[test]
fn a_number_that_readers_would_round_is_a_text() {
    let mut event = EventBuilder::new("id", 0, Arc::default());
    event.arguments(&json!({"id": 9_007_199_254_740_993_u64, "hours": 0.50, "rate": 1e2}));
    let body = event.finish("ok", Duration::ZERO).into_facts().body;
    assert!(body.contains(r#""arguments":{"hours":0.5,"id":"9007199254740993","rate":100}"#), "{body}");
}
