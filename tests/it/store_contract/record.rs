//! What is kept of what happened, and what replicas have in common.

use sidegate::store::{EventFilter, EventRow, UsageRow};

use super::{Place, TENANT, on_both};

on_both!(
    events_are_found_by_what_they_say_the_newest_first,
    events_are_written_in_any_number_and_each_once,
    pages_of_events_neither_repeat_nor_leave_out,
    a_signal_is_heard_until_it_is_pruned,
    each_replicas_usage_is_its_last_word,
    a_setting_is_what_the_first_said,
);

fn event(number: i64) -> EventRow {
    EventRow {
        id: format!("e{number:05}"),
        tenant_id: TENANT.to_owned(),
        agent_id: Some(format!("a{}", number % 3)),
        at: number / 2,
        kind: "call".to_owned(),
        tool: Some("psa_call".to_owned()),
        entry_id: Some("get-tickets".to_owned()),
        decision: Some("allow".to_owned()),
        outcome: Some("ok".to_owned()),
        status: Some(200),
        request_id: Some(format!("r{number}")),
        body: format!(r#"{{"number":{number}}}"#),
    }
}

async fn events_are_found_by_what_they_say_the_newest_first(place: Place) {
    let store = place.store().await;
    let plain = EventRow { id: "plain".to_owned(), kind: "change".to_owned(), at: 9, ..EventRow::default() };
    let plain = EventRow { tenant_id: TENANT.to_owned(), body: "{}".to_owned(), ..plain };
    let theirs = EventRow { id: "theirs".to_owned(), tenant_id: "other".to_owned(), ..event(1) };
    let odd = EventRow {
        id: "odd".to_owned(),
        tool: Some("psa_search".to_owned()),
        entry_id: Some("get-clients".to_owned()),
        decision: Some("deny".to_owned()),
        outcome: Some("refused".to_owned()),
        kind: "refusal".to_owned(),
        ..event(7)
    };
    store.put_events(&[plain.clone(), theirs, odd.clone(), event(2), event(4)]).await.unwrap();
    let find = async |filter: EventFilter| {
        let found = store.events(TENANT, &filter, None, 0, 100).await.unwrap();
        assert_eq!(store.count_events(TENANT, &filter).await.unwrap(), found.len() as u64);
        found
    };
    let any = EventFilter::default;
    assert_eq!(find(any()).await, [plain.clone(), odd.clone(), event(4), event(2)]);
    assert_eq!(find(EventFilter { agent: Some("a1".into()), ..any() }).await, [odd.clone(), event(4)]);
    for filter in [
        EventFilter { kind: Some("refusal".into()), ..any() },
        EventFilter { tool: Some("psa_search".into()), ..any() },
        EventFilter { entry: Some("get-clients".into()), ..any() },
        EventFilter { decision: Some("deny".into()), ..any() },
        EventFilter { outcome: Some("refused".into()), ..any() },
        EventFilter { request_id: Some("r7".into()), ..any() },
        EventFilter { since: Some(3), until: Some(9), ..any() },
    ] {
        let found = find(filter.clone()).await;
        assert!(found.len() == 1 && found[0] == odd, "{filter:?}: {found:?}");
    }
    assert_eq!(
        store.prune_events(2).await.unwrap(),
        2,
        "a record that is too old is too old in every tenant"
    );
    assert_eq!(find(any()).await, [plain, odd, event(4)]);
}

async fn events_are_written_in_any_number_and_each_once(place: Place) {
    let store = place.store().await;
    store.put_events(&[]).await.unwrap();
    let events: Vec<_> = (0..1_201).map(event).collect();
    store.put_events(&events).await.unwrap();
    store.put_events(&[EventRow { body: "other".to_owned(), ..event(5) }]).await.unwrap();
    let all = EventFilter::default();
    assert_eq!(store.count_events(TENANT, &all).await.unwrap(), 1_201);
    let one = EventFilter { request_id: Some("r5".to_owned()), ..all.clone() };
    assert_eq!(store.events(TENANT, &one, None, 0, 9).await.unwrap(), [event(5)]);
    let more: Vec<_> = (1_201..4_300).map(event).collect();
    store.put_events(&more).await.unwrap();
    assert_eq!(store.prune_events(2_149).await.unwrap(), 4_298);
    assert_eq!(store.events(TENANT, &all, None, 0, 9).await.unwrap(), [event(4_299), event(4_298)]);
}

async fn pages_of_events_neither_repeat_nor_leave_out(place: Place) {
    let store = place.store().await;
    let events: Vec<_> = (0..10).map(event).collect();
    store.put_events(&events).await.unwrap();
    let newest_first: Vec<_> = events.into_iter().rev().collect();
    let all = EventFilter::default();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.events(TENANT, &all, after.take(), 0, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.at, last.id.clone()));
        seen.extend(page);
        // Whatever happens meanwhile moves no page.
        let new = EventRow { id: format!("new{}", seen.len()), at: 1_000, ..event(0) };
        store.put_events(&[new]).await.unwrap();
    }
    assert_eq!(seen, newest_first);
    let second = store.events(TENANT, &EventFilter { until: Some(1_000), ..all }, None, 3, 3).await.unwrap();
    assert_eq!(second, newest_first[3..6]);
}

async fn a_signal_is_heard_until_it_is_pruned(place: Place) {
    let (store, other) = (place.store().await, place.open().await);
    store.signal("session_ended", "s1").await.unwrap();
    place.clock.advance(10);
    other.signal("cancelled", "{}").await.unwrap();
    let heard = store.signals(0).await.unwrap();
    let told: Vec<_> = heard.iter().map(|row| (row.kind.as_str(), row.payload.as_str(), row.at)).collect();
    assert_eq!(told, [("session_ended", "s1", 1_000), ("cancelled", "{}", 1_010)]);
    assert_eq!(store.signals(1_010).await.unwrap(), heard[1..]);
    assert_eq!(store.prune_signals(1_010).await.unwrap(), 1);
    assert_eq!(other.signals(0).await.unwrap(), heard[1..]);
}

async fn each_replicas_usage_is_its_last_word(place: Place) {
    let store = place.store().await;
    let row = |key: &str, calls, in_flight| UsageRow { key: key.to_owned(), calls, in_flight };
    store.put_usage("r1", &[row("a", 1, 1), row("b", 2, 0)]).await.unwrap();
    place.clock.advance(10);
    store.put_usage("r1", &[row("a", 5, 0)]).await.unwrap();
    store.put_usage("r2", &[row("a", 7, 3)]).await.unwrap();
    store.put_usage("r2", &[]).await.unwrap();
    let others = async |replica: &str, since| store.usage_of_others(replica, since).await.unwrap();
    let r1 = |row| ("r1".to_owned(), row);
    assert_eq!(others("r2", 0).await, [r1(row("a", 5, 0)), r1(row("b", 2, 0))]);
    assert_eq!(others("r2", 1_010).await, [r1(row("a", 5, 0))]);
    assert_eq!(others("r1", 0).await, [("r2".to_owned(), row("a", 7, 3))]);
    assert_eq!(store.prune_usage(1_010).await.unwrap(), 1);
    assert_eq!(others("r2", 0).await, [r1(row("a", 5, 0))]);
}

async fn a_setting_is_what_the_first_said(place: Place) {
    let (store, other) = (place.store().await, place.open().await);
    let (one, two) = tokio::join!(store.setting("name", "one"), other.setting("name", "two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one == two && ["one", "two"].contains(&one.as_str()), "{one} {two}");
    assert_eq!(store.setting("name", "three").await.unwrap(), one);
    assert_eq!(store.setting("other", "three").await.unwrap(), "three");
}
