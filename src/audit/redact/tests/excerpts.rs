//! The beginning of a result: redacted, bounded, whole characters, at a cost that its length does not set.

use super::*;

fn excerpt(text: &str, limit: usize) -> String {
    Rules::default().excerpt(text, limit)
}

#[test]
fn what_is_short_is_shown_whole_and_without_its_secrets() {
    let given = json!({
        "status": 200, "data": {"title": "a", "api_key": "k", "credentials": {"user": "u"}, "n": [1.5, null, true],
        "tokens": ["t"], "note": "password: hunter2"}
    });
    let shown: Value = serde_json::from_str(&excerpt(&given.to_string(), 4096)).unwrap();
    assert_eq!(shown, redact(&given));
    assert_eq!(excerpt(" plain \u{7}text, password: x", 100), " plain \u{7}text, password: [redacted]");
    assert_eq!(excerpt("", 100), "");
}

#[test]
fn a_value_is_hidden_by_its_label_on_either_side() {
    for given in [r#"{"name":"API key","value":"x1"}"#, r#"{"value":{"a":["x1"]},"n":1,"name":"API key"}"#] {
        let shown = excerpt(given, 100);
        assert!(shown.contains("[redacted]") && !shown.contains("x1"), "{shown}");
    }
}

#[test]
fn what_is_long_is_cut_at_a_character() {
    for limit in 3..40 {
        for given in ["ä€𝄞".repeat(100), json!(["ä€𝄞".repeat(100)]).to_string()] {
            let shown = excerpt(&given, limit);
            assert!(shown.len() <= limit && shown.ends_with('…'), "{shown}");
        }
    }
}

#[test]
fn a_secret_across_the_end_is_hidden() {
    for limit in 10..120 {
        let text = format!("{}{JWT}", "a ".repeat(10));
        assert!(!excerpt(&text, limit).contains("eyJ"), "{limit}");
        assert!(!excerpt(&json!({"a": text}).to_string(), limit).contains("eyJ"), "{limit}");
    }
}

#[test]
fn what_only_begins_like_json_is_a_text() {
    assert_eq!(excerpt("[note] pin: 12", 100), "[note] pin: [redacted]");
    assert_eq!(excerpt("\"a\" is his pin: 12", 100), "\"a\" is his pin: [redacted]");
    assert_eq!(excerpt("[1] [2]", 100), "[1] [2]");
    assert_eq!(excerpt(r#"{"pin": 12, "#, 100), r#"{"pin": [redacted], "#);
}

#[test]
fn nesting_beyond_measure_is_left_out() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    assert!(excerpt(&deep, 4096).contains("[too deep]"));
    let deeper = "[".repeat(100_000);
    assert!(excerpt(&deeper, 64).len() <= 64);
}

#[test]
fn a_long_result_costs_no_more_than_what_is_shown_of_it() {
    let rows: Vec<_> = (0..200_000).map(|n| json!({"n": n, "title": "x"})).collect();
    let text = json!({"data": rows}).to_string();
    let started = std::time::Instant::now();
    for _ in 0..200 {
        excerpt(&text, 2048);
    }
    // A single reading of the whole takes a good part of this.
    assert!(started.elapsed().as_secs() < 5, "took {:?}", started.elapsed());
}
