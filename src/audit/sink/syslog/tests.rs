//! Messages on the wire, and what becomes of those that were under way when the receiver went.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::audit::sink::config::SinkConfig;
use crate::audit::sink::table::{Sink, open};
use crate::audit::sink::testing::records;
use crate::record::Record;

fn sink(transport: &str, port: u16) -> Box<dyn Sink> {
    let config = serde_json::json!({
        "kind": "syslog", "address": format!("127.0.0.1:{port}"), "transport": transport, "timeout": "2s",
    });
    let config: SinkConfig = serde_json::from_value(config).unwrap();
    assert_eq!(config.problems(), []);
    open(&config).unwrap()
}

/// The ids of records in what was read, until the end.
async fn read_ids(stream: TcpStream, most: usize) -> Vec<String> {
    let mut reader = BufReader::new(stream);
    let mut ids = Vec::new();
    while ids.len() < most {
        let mut length = Vec::new();
        if reader.read_until(b' ', &mut length).await.unwrap_or(0) == 0 {
            break;
        }
        let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
        let mut message = vec![0; length];
        if reader.read_exact(&mut message).await.is_err() {
            break;
        }
        ids.push(id_of(&message));
    }
    ids
}

fn id_of(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).unwrap();
    assert!(text.starts_with("<134>1 2026-01-09T"), "{text}");
    text.split_once(" id=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
}

fn ids(records: &[Arc<Record>]) -> Vec<String> {
    records.iter().map(|record| record.id()).collect()
}

#[tokio::test]
async fn over_tcp_each_message_has_its_length_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink("tcp", listener.local_addr().unwrap().port());
    let records = records(50, 3000);
    let reading = tokio::spawn(async move { read_ids(listener.accept().await.unwrap().0, usize::MAX).await });
    sink.deliver(&records[..20]).await.unwrap();
    sink.deliver(&records[20..]).await.unwrap();
    drop(sink);
    assert_eq!(reading.await.unwrap(), ids(&records));
}

/// What was read over both connections is everything, in order, and of copies the first counts.
fn is_everything(first: Vec<String>, second: Vec<String>, records: &[Arc<Record>]) {
    let mut seen = BTreeSet::new();
    let fresh: Vec<_> = first.into_iter().chain(second).filter(|id| seen.insert(id.clone())).collect();
    assert_eq!(fresh, ids(records));
}

#[tokio::test]
async fn what_a_receiver_did_not_read_before_it_went_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink("tcp", listener.local_addr().unwrap().port());
    let records = records(30, 500);
    let accepted = tokio::spawn(async move { (listener.accept().await.unwrap().0, listener) });
    sink.deliver(&records[..20]).await.unwrap();
    let (stream, listener) = accepted.await.unwrap();
    // It read three messages, and went with seventeen in its buffers that were taken for delivered.
    let first = read_ids(stream, 3).await;
    let reading = tokio::spawn(async move { read_ids(listener.accept().await.unwrap().0, usize::MAX).await });
    // Some take a broken connection to be told by the first write, some by reading.
    while sink.deliver(&records[20..]).await.is_err() {}
    drop(sink);
    is_everything(first, reading.await.unwrap(), &records);
}

#[tokio::test]
async fn a_receiver_that_closed_its_side_gets_nothing_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink("tcp", listener.local_addr().unwrap().port());
    let records = records(4, 10);
    let accepted = tokio::spawn(async move { (listener.accept().await.unwrap().0, listener) });
    sink.deliver(&records[..2]).await.unwrap();
    let (stream, listener) = accepted.await.unwrap();
    let stream = stream.into_std().unwrap();
    // It says that it will write nothing more, as one that ends does, and could still read.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reading = tokio::spawn(async move { read_ids(listener.accept().await.unwrap().0, usize::MAX).await });
    sink.deliver(&records[2..]).await.unwrap();
    drop(sink);
    let first = read_ids(TcpStream::from_std(stream).unwrap(), usize::MAX).await;
    assert_eq!(first, ids(&records[..2]), "the old connection got no more");
    is_everything(first, reading.await.unwrap(), &records);
}

#[tokio::test]
async fn a_receiver_that_stands_still_is_an_error_within_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sink = sink("tcp", listener.local_addr().unwrap().port());
    let held = tokio::spawn(async move { (listener.accept().await.unwrap().0, listener) });
    let refused = sink.deliver(&records(4000, 4000)).await.unwrap_err();
    assert!(refused.taken == 0 && refused.why.contains("time limit"), "{refused:?}");
    drop(held);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let refused = sink("tcp", port).deliver(&records(1, 10)).await.unwrap_err();
    assert!(refused.why.starts_with("127.0.0.1 cannot be reached"), "{refused:?}");
}

#[tokio::test]
async fn over_udp_each_message_is_a_datagram_and_a_receiver_that_is_not_there_is_noticed() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut sink = sink("udp", port);
    let records = records(3, 100);
    sink.deliver(&records).await.unwrap();
    let mut got = Vec::new();
    let mut datagram = vec![0; 65_536];
    for _ in 0..3 {
        let length = socket.recv(&mut datagram).await.unwrap();
        got.push(id_of(&datagram[..length]));
    }
    assert_eq!(got, ids(&records));
    drop(socket);
    assert_eq!(sink.deliver(&records).await.unwrap_err().taken, 0);
    let socket = UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
    sink.deliver(&records[1..]).await.unwrap();
    let length = socket.recv(&mut datagram).await.unwrap();
    assert_eq!(id_of(&datagram[..length]), records[1].id());
}
