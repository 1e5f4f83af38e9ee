//! What is posted, and what each answer means.

use http::StatusCode;

use super::*;
use crate::audit::sink::receiver::{Receiver, Reply, ungzip};
use crate::audit::sink::table::open;
use crate::audit::sink::testing::{lines, records};

fn sink(url: &str, more: Value) -> Box<dyn Sink> {
    let mut config = json!({"kind": "http", "url": format!("{url}/in?a=b"), "timeout": "5s"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: SinkConfig = serde_json::from_value(config).unwrap();
    assert_eq!(config.problems(), []);
    open(&config).unwrap()
}

#[tokio::test]
async fn records_are_posted_as_compressed_lines_with_the_token() {
    let receiver = Receiver::start(|_| Reply::status(204)).await;
    let records = records(3, 10);
    let mut sink = sink(&receiver.url, json!({"token": "t0ken", "headers": {"x-scope-orgid": "acme"}}));
    sink.deliver(&records).await.unwrap();
    sink.deliver(&records[..1]).await.unwrap();
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    let header = |name: &str| got[0].headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!((got[0].method.as_str(), got[0].uri.to_string().as_str()), ("POST", "/in?a=b"));
    assert_eq!(header("content-type"), Some("application/x-ndjson"));
    assert_eq!(header("authorization"), Some("Bearer t0ken"));
    assert_eq!(header("x-scope-orgid"), Some("acme"));
    assert_eq!(header("content-encoding"), Some("gzip"));
    assert_eq!(ungzip(&got[0].body), lines(&records));
}

#[tokio::test]
async fn a_password_is_sent_as_basic_authentication_and_compression_can_be_left_out() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let records = records(1, 10);
    let more = json!({"username": "sidegate", "password": "p:w", "compress": false});
    sink(&receiver.url, more).deliver(&records).await.unwrap();
    let got = receiver.got();
    assert_eq!(got[0].headers["authorization"], "Basic c2lkZWdhdGU6cDp3");
    assert!(!got[0].headers.contains_key("content-encoding"));
    assert_eq!(String::from_utf8(got[0].body.to_vec()).unwrap(), lines(&records));
}

#[tokio::test]
async fn batches_keep_to_their_size_and_an_error_says_how_many_records_were_taken_before_it() {
    let receiver = Receiver::start(|number| Reply::status(if number == 2 { 500 } else { 200 })).await;
    let records = records(10, 6000);
    let mut sink = sink(&receiver.url, json!({"max_batch": "16KiB"}));
    let why = "the receiver answered 500".to_owned();
    assert_eq!(sink.deliver(&records).await, Err(Undelivered { taken: 4, why }));
    sink.deliver(&records[4..]).await.unwrap();
    let texts: Vec<_> = receiver.got().iter().map(|got| ungzip(&got.body)).collect();
    assert_eq!(texts.len(), 6);
    assert_eq!(texts[2], texts[3], "what was refused came again");
    assert_eq!([&texts[..2], &texts[3..]].concat().concat(), lines(&records));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split_until_it_is_taken() {
    let receiver = Receiver::judging(|body| Reply::status(if body.len() > 9000 { 413 } else { 200 })).await;
    let records = records(20, 2000);
    let mut sink = sink(&receiver.url, json!({"compress": false}));
    sink.deliver(&records).await.unwrap();
    let refused = receiver.got().iter().filter(|got| got.status == 413).count();
    assert!((1..5).contains(&refused), "{refused}");
    sink.deliver(&records).await.unwrap();
    let got = receiver.got();
    let taken: Vec<_> = got.iter().filter(|got| got.status == 200).map(|got| got.body.to_vec()).collect();
    assert_eq!(got.len() - taken.len(), refused, "what fits is remembered");
    assert_eq!(String::from_utf8(taken.concat()).unwrap(), lines(&records).repeat(2));
}

#[tokio::test]
async fn of_a_record_that_is_too_large_alone_its_digest_is_sent() {
    let receiver = Receiver::judging(|body| Reply::status(if body.len() > 9000 { 413 } else { 200 })).await;
    let records = [records(1, 20_000), records(2, 10)[1..].to_vec()].concat();
    sink(&receiver.url, json!({"compress": false})).deliver(&records).await.unwrap();
    let got = receiver.got();
    let taken: Vec<_> = got.iter().filter(|got| got.status == 200).map(|got| got.body.to_vec()).collect();
    let mut omitted = Vec::new();
    records[0].write_omitted(&mut omitted);
    records[1].write_line(&mut omitted);
    assert_eq!(taken.concat(), omitted);
}

#[tokio::test]
async fn an_error_names_status_and_reason_and_never_the_secret() {
    for (text, shown) in [
        ("entry too far\n behind", "the receiver answered 400: entry too far behind"),
        ("no such token: t0ken", "the receiver answered 400"),
    ] {
        let receiver = Receiver::start(move |_| Reply { text, ..Reply::status(400) }).await;
        let refused = sink(&receiver.url, json!({"token": "t0ken"})).deliver(&records(1, 10)).await;
        assert_eq!(refused.unwrap_err().why, shown);
    }
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let receiver = Receiver::start(|number| match number {
        0 => Reply { retry_after: Some(1), ..Reply::status(StatusCode::TOO_MANY_REQUESTS.as_u16()) },
        _ => Reply::status(200),
    })
    .await;
    let records = records(1, 10);
    let mut sink = sink(&receiver.url, json!({}));
    let began = std::time::Instant::now();
    assert_eq!(sink.deliver(&records).await.unwrap_err().taken, 0);
    assert!(began.elapsed().as_millis() < 900, "the error is told at once");
    sink.deliver(&records).await.unwrap();
    assert!(began.elapsed().as_millis() >= 1000);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_an_error_and_its_return_is_found() {
    let receiver = Receiver::start(|_| Reply::status(200)).await;
    let (url, records) = (receiver.url.clone(), records(1, 10));
    let mut sink = sink(&url, json!({}));
    receiver.stop().await;
    assert!(sink.deliver(&records).await.unwrap_err().why.contains("cannot be reached"));
    let again = Receiver::at(&url, |_, _| Reply::status(200)).await;
    sink.deliver(&records).await.unwrap();
    assert_eq!(again.got().len(), 1);
}

#[test]
fn an_array_holds_every_record_as_its_line_does() {
    let records = records(2, 3);
    let body: Vec<Value> = serde_json::from_slice(&Array.body(&records, false)).unwrap();
    let text = lines(&records);
    let expected: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(body, expected);
}

#[test]
fn loki_gets_a_stream_for_each_tenant_and_kind() {
    let mut records = records(3, 3);
    let mut other = (*records[2]).clone();
    other.facts.kind = "refusal".into();
    records[2] = Arc::new(other);
    let loki = Loki { labels: [("site".to_owned(), "north".to_owned())].into() };
    let body: Value = serde_json::from_slice(&loki.body(&records, false)).unwrap();
    let text = lines(&records);
    let line = |number: usize| text.lines().nth(number).unwrap();
    let labels =
        |kind: &str| json!({"service_name": "sidegate", "tenant": "acme", "kind": kind, "site": "north"});
    assert_eq!(
        body,
        json!({"streams": [
            {"stream": labels("call"), "values": [
                ["1768000000123000000", line(0)],
                ["1768000000124000001", line(1)],
            ]},
            {"stream": labels("refusal"), "values": [["1768000000125000002", line(2)]]},
        ]})
    );
}
