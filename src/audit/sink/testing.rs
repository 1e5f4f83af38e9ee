//! Records for the tests of sinks.

use std::sync::Arc;

use crate::record::{Chain, ChainId, Facts, Record, canonical};

/// So many records of one chain, each with a text of `size` bytes in it.
pub(super) fn records(count: usize, size: usize) -> Vec<Arc<Record>> {
    let mut chain = Chain::begin(ChainId(0x0123_4567_89ab_cdef));
    let body = |number: usize| {
        canonical(&serde_json::json!({
            "agent": "dispatch", "number": number, "outcome": "ok", "record": "event", "tenant": "acme",
            "text": "x".repeat(size), "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        }))
        .unwrap()
    };
    let facts = |number: usize| Facts {
        tenant: "acme".to_owned(),
        at: 1_768_000_000_123 + number as i64,
        kind: "call".into(),
        agent_id: Some("0192-agent".to_owned()),
        tool: Some("call_api_endpoint".to_owned()),
        decision: Some("allow".into()),
        outcome: Some("ok".into()),
        status: Some(200),
        request_id: Some(format!("request-{number}")),
        body: body(number),
        ..Facts::default()
    };
    (0..count).map(|number| Arc::new(chain.append(facts(number)))).collect()
}

/// Their lines.
pub(super) fn lines(records: &[Arc<Record>]) -> String {
    let mut text = Vec::new();
    records.iter().for_each(|record| record.write_line(&mut text));
    String::from_utf8(text).unwrap()
}
