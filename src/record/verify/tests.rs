//! Generated records, copied as an export, a sink and the store; one deed is done to each copy and must be found and named.

mod deeds;
mod made;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Kind, Report, Verifier};
use crate::record::{Head, PublicKey, Record};
use deeds::deed;
use made::{Made, made, signer};

fn feed(mut verifier: Verifier, copy: &[u8]) -> Report {
    for line in copy.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => verifier.line(line, true),
            None => verifier.line(line, false),
        }
    }
    verifier.finish()
}

fn verify(copy: &[u8]) -> Report {
    feed(Verifier::export(vec![signer().public()]), copy)
}

fn verify_sink(copy: &[u8]) -> Report {
    feed(Verifier::sink(vec![signer().public()]), copy)
}

/// Line for line the same JSON: only the form differs, which does not count.
fn same(one: &[u8], other: &[u8]) -> bool {
    let read = |copy: &[u8]| -> Option<Vec<serde_json::Value>> {
        let lines = copy.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(|line| serde_json::from_slice(line).ok()).collect()
    };
    read(other).is_some_and(|other| read(one) == Some(other))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_untouched_export_is_whole(made in made()) {
        let report = verify(&made.export());
        prop_assert!(report.whole(), "{}", report);
        prop_assert_eq!(report.records + report.omitted, made.exported());
        let unpinned = feed(Verifier::export(Vec::new()), &made.export());
        prop_assert!(unpinned.whole() && unpinned.to_string().contains("nobody vouches"), "{}", unpinned);
    }

    #[test]
    fn any_deed_to_an_export_is_found_and_named(made in made(), deed in deed()) {
        let copy = made.export();
        if let Some((touched, kind)) = deed.done_to(&copy) && !same(&copy, &touched) {
            let report = verify(&touched);
            prop_assert_eq!(
                report.first_break.as_ref().map(|found| found.kind), Some(kind),
                "{:?}\n{}\n{}", deed, report, String::from_utf8_lossy(&touched)
            );
        }
    }

    #[test]
    fn a_change_that_is_linked_anew_is_found_where_something_signed_follows(made in made(), at in any::<Index>()) {
        let report = verify(&made.relinked_export(at));
        prop_assert_eq!(report.first_break.as_ref().map(|found| found.kind), Some(Kind::Edit), "{}", report);
    }

    #[test]
    fn an_export_that_another_key_signed_is_told_from_one_s_own(made in made()) {
        let report = feed(Verifier::export(vec![made::stranger().public()]), &made.export());
        prop_assert_eq!(report.first_break.map(|found| (found.kind, found.line)), Some((Kind::Signature, 1)));
        let both = vec![made::stranger().public(), signer().public()];
        prop_assert!(feed(Verifier::export(both), &made.export()).whole());
    }

    #[test]
    fn what_a_sink_wrote_is_whole_with_its_repeats(made in made(), from in any::<Index>(), to in any::<Index>()) {
        let report = verify_sink(&made.sink());
        prop_assert!(report.whole() && report.repeats == 0, "{}", report);
        let (repeated, again) = deeds::repeated_run(&made.sink(), from, to);
        let report = verify_sink(&repeated);
        prop_assert!(report.whole(), "{}", report);
        prop_assert_eq!(report.repeats, again);
    }

    #[test]
    fn any_deed_to_what_a_sink_wrote_is_found(made in made(), deed in deed()) {
        let copy = made.sink();
        let Some((touched, _)) = deed.done_to(&copy) else { return Ok(()) };
        if same(&copy, &touched) {
            return Ok(());
        }
        let report = verify_sink(&touched);
        let named = report.first_break.as_ref().map(|found| found.kind);
        match deeds::of_a_sink(&deed, &copy) {
            Some(kind) => prop_assert_eq!(named, kind, "{:?}\n{}\n{}", deed, report, String::from_utf8_lossy(&touched)),
            None => prop_assert!(!report.whole(), "{:?}\n{}", deed, String::from_utf8_lossy(&touched)),
        }
    }

    #[test]
    fn a_sink_s_copy_may_begin_anywhere_and_says_so(made in made(), at in any::<Index>()) {
        let copy = made.sink();
        let lines: Vec<_> = copy.split_inclusive(|byte| *byte == b'\n').collect();
        let rest = lines[at.index(lines.len())..].concat();
        let report = verify_sink(&rest);
        prop_assert!(report.whole(), "{}", report);
        for stretch in &report.chains {
            let own = made.record(stretch.chain, stretch.from).facts.kind.clone();
            prop_assert_eq!(stretch.loose, !matches!(&*own, "start" | "checkpoint"));
        }
    }

    #[test]
    fn the_store_is_whole_until_a_row_is_changed_or_gone(made in made(), at in any::<Index>()) {
        let report = made.verify_store(&made.stored());
        prop_assert!(report.whole(), "{}", report);
        let at = at.index(made.stored().len());
        let mut records = made.stored();
        let gone = records.remove(at);
        let report = made.verify_store(&records);
        let found = report.first_break.map(|found| (found.kind, found.record));
        prop_assert_eq!(found, Some((Kind::Removal, Some((gone.chain, gone.seq)))));
        records = made.stored();
        records[at].facts.body = records[at].facts.body.replace('}', ",\"more\":1}");
        let found = made.verify_store(&records).first_break.map(|found| (found.kind, found.record));
        prop_assert_eq!(found, Some((Kind::Edit, Some((gone.chain, gone.seq)))));
    }

    #[test]
    fn a_column_that_does_not_say_what_the_text_says_is_an_edit(made in made(), at in any::<Index>(), which in 0..10_usize) {
        let mut records = made.stored();
        let at = at.index(records.len());
        let facts = &mut records[at].facts;
        match which {
            0 => facts.tenant = "globex".to_owned(),
            1 => facts.at += 1,
            2 => facts.kind = "other than that".into(),
            3 => facts.agent_id = Some("x".to_owned()),
            4 => facts.tool = Some("x".to_owned()),
            5 => facts.entry_id = Some("x".to_owned()),
            6 => facts.decision = Some("x".into()),
            7 => facts.outcome = Some("x".into()),
            8 => facts.status = Some(599),
            _ => facts.request_id = Some("x".to_owned()),
        }
        let place = (records[at].chain, records[at].seq);
        let found = made.verify_store(&records).first_break.map(|found| (found.kind, found.record));
        prop_assert_eq!(found, Some((Kind::Edit, Some(place))));
    }
}

#[test]
fn a_chain_that_is_gone_as_a_whole_is_missed_by_those_that_name_it() {
    let made = Made::two_chains();
    let report = made.without_chain(0);
    let found = report.first_break.unwrap();
    assert_eq!((found.kind, found.record.map(|(chain, _)| chain)), (Kind::Removal, Some(made.chain(0))));
    assert!(found.what.contains("whole chain"), "{found}");
}

#[test]
fn a_tail_that_was_linked_anew_is_found_by_what_another_chain_says_of_it() {
    let made = Made::two_chains();
    let (records, chains) = made.relinked_tail(0);
    let mut verifier = Verifier::store(vec![signer().public()], &chains);
    for record in &records {
        verifier.record(record);
    }
    let asked = verifier.asks();
    assert_eq!(asked.len(), 1);
    let of = |head: &Head| -> &Record {
        records.iter().find(|record| (record.chain, record.seq) == (head.chain, head.seq)).unwrap()
    };
    for head in asked {
        let record = of(&head);
        verifier.saw(Head { chain: record.chain, seq: record.seq, link: record.link });
    }
    let found = verifier.finish().first_break.unwrap();
    assert_eq!(
        (found.kind, found.record.map(|(chain, _)| chain)),
        (Kind::Edit, Some(made.chain(0))),
        "{found}"
    );
}

#[test]
fn white_space_and_the_order_of_names_do_not_count_and_a_name_that_occurs_twice_does() {
    let made = Made::two_chains();
    let copy = String::from_utf8(made.export()).unwrap();
    let other: String = copy
        .lines()
        .map(|line| {
            let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            let members: Vec<_> = value
                .iter()
                .rev()
                .map(|(name, value)| format!("{} : {value}", serde_json::json!(name)))
                .collect();
            format!("{{ {} }}\r\n\n", members.join(" , "))
        })
        .collect();
    assert!(verify(other.as_bytes()).whole(), "{}", verify(other.as_bytes()));
    let twice = copy.replacen("{\"chain\":", "{\"said\":\"no\",\"chain\":", 5);
    let report = verify(twice.as_bytes());
    assert_eq!(report.first_break.unwrap().kind, Kind::Edit);
}

#[test]
fn the_words_say_what_was_done_where_and_who_vouches() {
    let made = Made::two_chains();
    let copy = made.export();
    let whole = verify(&copy).to_string();
    assert!(whole.starts_with("whole\n") && whole.contains("pinned key"), "{whole}");
    let sink = verify_sink(&made.sink()).to_string();
    assert!(sink.contains("without a seal nobody can tell"), "{sink}");
    let lines: Vec<_> = copy.split_inclusive(|byte| *byte == b'\n').collect();
    let without = [&lines[..3], &lines[4..]].concat().concat();
    let said = verify(&without).to_string();
    assert!(said.starts_with("BROKEN, line 4: removal at record ") && said.contains("-2:"), "{said}");
    assert!("not a key".parse::<PublicKey>().is_err());
    let nothing = verify(b"");
    assert_eq!(nothing.first_break.map(|found| found.kind), Some(Kind::Cut));
}
