//! What an export request holds, and what of an answer is told.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;

use super::*;
use crate::audit::sink::receiver::{Receiver, Reply};
use crate::audit::sink::table::open;
use crate::audit::sink::testing::{lines, records};

#[tokio::test]
async fn records_are_exported_with_what_they_are_found_by() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let config = serde_json::json!({
        "kind": "otlp", "url": format!("{}/v1/logs", receiver.url), "compress": false,
    });
    let config: SinkConfig = serde_json::from_value(config).unwrap();
    let records = records(2, 10);
    open(&config).unwrap().deliver(&records).await.unwrap();
    let got = receiver.got();
    assert_eq!(got[0].headers["content-type"], "application/x-protobuf");
    let request = ExportLogsServiceRequest::decode(got[0].body.clone()).unwrap();
    let logs = &request.resource_logs[0];
    let resource = logs.resource.as_ref().unwrap();
    assert_eq!(resource.attributes[0], attribute("service.name", "sidegate"));
    let logs = &logs.scope_logs[0].log_records;
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[0].time_unix_nano, 1_768_000_000_123_000_000);
    assert!(logs[0].observed_time_unix_nano > logs[0].time_unix_nano);
    assert_eq!((logs[0].severity_number, logs[0].severity_text.as_str()), (9, "INFO"));
    assert_eq!(logs[0].event_name, "sidegate.call");
    assert_eq!(logs[0].trace_id.len(), 16);
    assert_eq!(logs[0].trace_id[..2], [0x4b, 0xf9]);
    for (key, value) in [
        ("log.record.uid", "0123456789abcdef-0"),
        ("sidegate.tenant", "acme"),
        ("sidegate.agent.id", "0192-agent"),
        ("sidegate.agent.name", "dispatch"),
        ("sidegate.tool", "call_api_endpoint"),
        ("sidegate.outcome", "ok"),
        ("sidegate.request.id", "request-0"),
    ] {
        assert!(logs[0].attributes.contains(&attribute(key, value)), "{key}");
    }
    let text_of = lines(&records);
    let bodies = logs.iter().map(|log| log.body.clone().unwrap());
    assert!(bodies.eq(text_of.lines().map(|line| text(line.to_owned()))));
}

#[test]
fn rejected_records_are_told_and_a_warning_without_any_is_not() {
    let answer = |rejected_log_records, error_message: &str| {
        let partial =
            ExportLogsPartialSuccess { rejected_log_records, error_message: error_message.to_owned() };
        Bytes::from(ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec())
    };
    assert_eq!(rejected(&answer(2, "too\n old")), Some((2, "too old".to_owned())));
    assert_eq!(rejected(&answer(0, "deprecated")), None);
    assert_eq!(rejected(&Bytes::new()), None);
    assert_eq!(rejected(&Bytes::from_static(b"ok")), None);
}

#[test]
fn a_trace_id_is_sixteen_bytes_that_are_not_all_zero() {
    assert_eq!(trace_id("4bf92f3577b34da6a3ce929d0e0e4736").unwrap().len(), 16);
    for none in ["", "4bf92f", &"0".repeat(32), &"x".repeat(32), "+4bf92f3577b34da6a3ce929d0e0e4736"] {
        assert_eq!(trace_id(none), None, "{none}");
    }
}
