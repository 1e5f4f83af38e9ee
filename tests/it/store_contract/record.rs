//! What is kept of what happened, and what replicas have in common.

use std::sync::Arc;

use sidegate::record::{Advance, Chain, ChainId, Facts, Filter, Record};
use sidegate::store::{Appended, Store, UsageRow};

use super::{Place, TENANT, on_both};

on_both!(
    records_are_found_by_what_they_say_the_newest_first,
    records_are_written_all_or_none_by_the_chains_owner_alone,
    a_chain_is_taken_over_once_and_only_where_its_owner_is_silent,
    old_records_are_forgotten_up_to_a_checkpoint,
    a_tenants_heads_are_the_latest_first,
    pages_of_records_neither_repeat_nor_leave_out,
    a_signal_is_heard_until_it_is_pruned,
    each_replicas_usage_is_its_last_word,
    a_setting_is_what_the_first_said,
);

fn facts(number: i64) -> Facts {
    Facts {
        tenant: TENANT.to_owned(),
        at: number / 2,
        kind: "call".into(),
        agent_id: Some(format!("a{}", number % 3)),
        tool: Some("psa_call".to_owned()),
        entry_id: Some("get-tickets".to_owned()),
        decision: Some("allow".into()),
        outcome: Some("ok".into()),
        status: Some(200),
        request_id: Some(format!("r{number}")),
        body: format!(r#"{{"number":{number}}}"#),
    }
}

/// A chain that is written by the process `p`.
struct Written {
    store: Store,
    tenant: &'static str,
    chain: Chain,
}

impl Written {
    fn new(store: &Store, tenant: &'static str, id: i64) -> Self {
        Self { store: store.clone(), tenant, chain: Chain::begin(ChainId(id)) }
    }

    async fn append(&mut self, facts: impl IntoIterator<Item = Facts>) -> Vec<Record> {
        let from = self.chain.head().map(|head| head.seq);
        let records: Vec<_> = facts.into_iter().map(|facts| Arc::new(self.chain.append(facts))).collect();
        let to = self.chain.head().unwrap();
        let bytes = records.iter().map(|record| record.facts.body.len() as i64).sum();
        let advance = Advance { from, to, bytes, last: false };
        let advances = [(self.tenant.to_owned(), advance)];
        let appended = self.store.append_records("p", &records, &advances).await.unwrap();
        assert_eq!(appended, Appended::Done);
        records.into_iter().map(|record| Record::clone(&record)).collect()
    }
}

async fn records_are_found_by_what_they_say_the_newest_first(place: Place) {
    let store = place.store().await;
    let plain = Facts {
        tenant: TENANT.to_owned(),
        kind: "change".into(),
        at: 9,
        body: "{}".to_owned(),
        ..Facts::default()
    };
    let odd = Facts {
        tool: Some("psa_search".to_owned()),
        entry_id: Some("get-clients".to_owned()),
        decision: Some("deny".into()),
        outcome: Some("refused".into()),
        kind: "refusal".into(),
        ..facts(7)
    };
    let start = Facts { kind: "start".into(), ..facts(1) };
    let mut ours = Written::new(&store, TENANT, 1);
    let written = ours.append([start, plain, odd, facts(2), facts(4)]).await;
    let [_, plain, odd, two, four] = written.try_into().unwrap();
    Written::new(&store, "other", 2).append([Facts { tenant: "other".to_owned(), ..facts(1) }]).await;
    let find = async |filter: Filter| {
        let found = store.find_records(TENANT, &filter, None, 0, 100).await.unwrap();
        assert_eq!(store.count_records(TENANT, &filter).await.unwrap(), found.len() as u64);
        assert!(found.iter().all(|record| filter.matches(&record.facts)), "{filter:?}");
        found
    };
    let any = Filter::default;
    assert_eq!(find(any()).await, [plain.clone(), odd.clone(), four.clone(), two.clone()]);
    assert_eq!(find(Filter { agent: Some("a1".into()), ..any() }).await, [odd.clone(), four.clone()]);
    for filter in [
        Filter { kind: Some("refusal".into()), ..any() },
        Filter { tool: Some("psa_search".into()), ..any() },
        Filter { entry: Some("get-clients".into()), ..any() },
        Filter { decision: Some("deny".into()), ..any() },
        Filter { outcome: Some("refused".into()), ..any() },
        Filter { request_id: Some("r7".into()), ..any() },
        Filter { since: Some(3), until: Some(9), ..any() },
    ] {
        let found = find(filter.clone()).await;
        assert!(found.len() == 1 && found[0] == odd, "{filter:?}: {found:?}");
    }
    assert_eq!(find(Filter { of_tools: true, ..any() }).await, [odd, four, two]);
    assert_eq!(find(Filter { kind: Some("start".into()), ..any() }).await.len(), 1);
}

async fn records_are_written_all_or_none_by_the_chains_owner_alone(place: Place) {
    let store = place.store().await;
    let mut ours = Written::new(&store, TENANT, 1);
    let mut all = ours.append((0..1_201).map(facts)).await;
    all.extend(ours.append((1_201..1_900).map(facts)).await);
    let mut read = Vec::new();
    while let page @ [_, ..] = &*store.records(ChainId(1), read.len() as i64, 500).await.unwrap() {
        read.extend_from_slice(page);
    }
    assert!(read == all, "what is read is what was written, in order");
    let row = store.chain(ChainId(1)).await.unwrap().unwrap();
    assert_eq!((row.head, row.first_seq, &*row.tenant_id), (ours.chain.head().unwrap(), 0, TENANT));
    // From where it does not stand, or by somebody else, nothing is added, also to no other chain.
    let record = Arc::new(ours.chain.append(facts(1)));
    let to = ours.chain.head().unwrap();
    let advance = |from| Advance { from, to, bytes: 1, last: false };
    let lost = Appended::Lost(vec![ChainId(1)]);
    for (owner, from) in [("p", Some(7)), ("p", None), ("q", Some(1_899))] {
        let advances = [(TENANT.to_owned(), advance(from))];
        let appended = store.append_records(owner, std::slice::from_ref(&record), &advances).await.unwrap();
        assert_eq!(appended, lost, "{owner} {from:?}");
    }
    assert_eq!(store.chain(ChainId(1)).await.unwrap().unwrap(), row);
    assert_eq!(store.records(ChainId(1), 1_900, 9).await.unwrap(), []);
}

async fn a_chain_is_taken_over_once_and_only_where_its_owner_is_silent(place: Place) {
    let store = place.store().await;
    let mut ours = Written::new(&store, TENANT, 1);
    let intent = |number| Facts { kind: "intent".into(), outcome: None, ..facts(number) };
    let written = ours.append([intent(0), facts(0), intent(2), intent(4), facts(6)]).await;
    place.clock.advance(100);
    assert_eq!(store.orphans("q", 1_000).await.unwrap(), []);
    assert_eq!(store.orphans("p", 1_050).await.unwrap(), [], "nobody takes over from itself");
    let orphans = store.orphans("q", 1_050).await.unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!(store.touch_chains("p").await.unwrap(), 1);
    assert!(!store.adopt_chain(&orphans[0], "q").await.unwrap(), "its owner was heard of meanwhile");
    place.clock.advance(100);
    let orphans = store.orphans("q", 1_150).await.unwrap();
    assert!(store.adopt_chain(&orphans[0], "q").await.unwrap());
    assert!(!store.adopt_chain(&orphans[0], "r").await.unwrap());
    let owned = store.owned_chains("q").await.unwrap();
    assert_eq!((owned.len(), owned[0].ended, store.touch_chains("p").await.unwrap()), (1, true, 0));
    assert_eq!(store.open_intents(ChainId(1), 0, 9).await.unwrap(), [written[2].clone(), written[3].clone()]);
    // What happened at the same moment elsewhere is no outcome; what the successor says is.
    let mut theirs = Written::new(&store, TENANT, 2);
    theirs.append([Facts { request_id: Some("elsewhere".to_owned()), ..facts(2) }, facts(4)]).await;
    assert_eq!(store.open_intents(ChainId(1), 0, 9).await.unwrap(), [written[2].clone()]);
    store.put_delivered("file", &[(ChainId(1), 3), (ChainId(2), 1)]).await.unwrap();
    store.put_delivered("file", &[(ChainId(1), 4)]).await.unwrap();
    let delivered = async |sink, chain| store.delivered(sink, ChainId(chain)).await.unwrap();
    assert_eq!(
        (delivered("file", 1).await, delivered("file", 2).await, delivered("http", 1).await),
        (4, 1, -1)
    );
    store.settle_chain(ChainId(1)).await.unwrap();
    assert_eq!((store.owned_chains("q").await.unwrap().len(), delivered("file", 1).await), (0, -1));
}

async fn old_records_are_forgotten_up_to_a_checkpoint(place: Place) {
    let store = place.store().await;
    let mut ours = Written::new(&store, TENANT, 1);
    let checkpoint = |number| Facts { kind: "checkpoint".into(), ..facts(number) };
    ours.append((0..4_000).map(facts).chain([checkpoint(4_000), facts(4_002), checkpoint(4_004)])).await;
    let whole = store.chain(ChainId(1)).await.unwrap().unwrap();
    let before = async |at| store.checkpoint_before(ChainId(1), at).await.unwrap();
    assert_eq!(
        (before(2_000).await, before(2_001).await, before(9_999).await),
        (None, Some(4_000), Some(4_002))
    );
    let after = async |seq| store.checkpoint_after(ChainId(1), seq).await.unwrap();
    assert_eq!((after(0).await, after(4_000).await, after(4_002).await), (Some(4_000), Some(4_002), None));
    assert_eq!(store.oldest_record(ChainId(1)).await.unwrap(), Some(0));
    let (rows, bytes) = store.forget_records(ChainId(1), 4_000).await.unwrap();
    assert_eq!(rows, 4_000);
    let left = store.chain(ChainId(1)).await.unwrap().unwrap();
    assert_eq!((left.first_seq, left.bytes, left.head), (4_000, whole.bytes - bytes, whole.head));
    assert_eq!(store.records(ChainId(1), 0, 9).await.unwrap().len(), 3);
    assert_eq!(store.oldest_record(ChainId(1)).await.unwrap(), Some(2_000));
    assert_eq!(store.forget_records(ChainId(1), 4_000).await.unwrap(), (0, 0));
}

async fn a_tenants_heads_are_the_latest_first(place: Place) {
    let store = place.store().await;
    let (mut one, mut two) = (Written::new(&store, TENANT, 1), Written::new(&store, TENANT, 2));
    Written::new(&store, "other", 3).append([facts(0)]).await;
    one.append([facts(0), facts(1)]).await;
    place.clock.advance(10);
    two.append([facts(0)]).await;
    let heads =
        |chains: &[&Written]| chains.iter().map(|each| each.chain.head().unwrap()).collect::<Vec<_>>();
    assert_eq!(store.heads(TENANT, 0, 9).await.unwrap(), heads(&[&two, &one]));
    assert_eq!(store.heads(TENANT, 0, 1).await.unwrap(), heads(&[&two]));
    assert_eq!(store.heads(TENANT, 1_010, 9).await.unwrap(), heads(&[&two]));
}

async fn pages_of_records_neither_repeat_nor_leave_out(place: Place) {
    let store = place.store().await;
    let mut ours = Written::new(&store, TENANT, 1);
    let mut newest_first = ours.append((0..10).map(facts)).await;
    newest_first.reverse();
    let all = Filter::default();
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = store.find_records(TENANT, &all, after.take(), 0, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.facts.at, last.chain, last.seq));
        seen.extend(page);
        // Whatever happens meanwhile moves no page.
        ours.append([Facts { at: 1_000, ..facts(0) }]).await;
    }
    assert_eq!(seen, newest_first);
    let second = store.find_records(TENANT, &Filter { until: Some(1_000), ..all }, None, 3, 3).await.unwrap();
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
