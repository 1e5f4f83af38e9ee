//! Batches of records by HTTP: lines of JSON, an array, or Loki's push format.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::config::{Format, SinkConfig};
use super::post::{self, Body, Poster};
use super::table::{Kind, Sink, Undelivered};
use crate::record::Record;

pub(super) static KIND: Kind = Kind {
    name: "http",
    keys: &[
        "url",
        "format",
        "labels",
        "compress",
        "headers",
        "token",
        "username",
        "password",
        "max_batch",
        "timeout",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "server_name",
    ],
    problems,
    open: |config| {
        Ok(match config.format {
            Format::Ndjson => Box::new(Http(Poster::open(config, Lines)?)),
            Format::Json => Box::new(Http(Poster::open(config, Array)?)),
            Format::Loki => Box::new(Http(Poster::open(config, Loki { labels: config.labels.clone() })?)),
        })
    },
};

fn problems(config: &SinkConfig) -> Vec<(String, String)> {
    let mut problems = post::problems(config);
    if config.format != Format::Loki && !config.labels.is_empty() {
        problems.push(("labels".to_owned(), "has no effect, because format is not \"loki\"".to_owned()));
        return problems;
    }
    for (name, value) in &config.labels {
        let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let rest = |byte: u8| first(byte) || byte.is_ascii_digit();
        let key = || format!("labels.{name}");
        if !name.bytes().next().is_some_and(first) || !name.bytes().all(rest) {
            let message = "is not the name of a label: letters, digits and _, no digit first".to_owned();
            problems.push((key(), message));
        } else if ["tenant", "kind"].contains(&name.as_str()) {
            problems.push((key(), "is the record's own".to_owned()));
        } else if value.is_empty() {
            problems.push((key(), "is empty; Loki ignores such a label".to_owned()));
        }
    }
    problems
}

struct Http<B>(Poster<B>);

#[async_trait]
impl<B: Body> Sink for Http<B> {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        self.0.deliver(records).await
    }
}

fn line(record: &Record, omitted: bool, into: &mut Vec<u8>) {
    if omitted { record.write_omitted(into) } else { record.write_line(into) }
}

/// One record a line.
struct Lines;

impl Body for Lines {
    fn content_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn body(&self, records: &[Arc<Record>], omitted: bool) -> Vec<u8> {
        let mut body = Vec::new();
        records.iter().for_each(|record| line(record, omitted, &mut body));
        body
    }
}

/// One array of all.
struct Array;

impl Body for Array {
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn body(&self, records: &[Arc<Record>], omitted: bool) -> Vec<u8> {
        let mut body = Vec::new();
        for record in records {
            body.push(if body.is_empty() { b'[' } else { b',' });
            line(record, omitted, &mut body);
        }
        body.push(b']');
        body
    }
}

/// One stream for each tenant and kind, as the body of Loki's `/loki/api/v1/push`.
struct Loki {
    labels: BTreeMap<String, String>,
}

impl Body for Loki {
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn body(&self, records: &[Arc<Record>], omitted: bool) -> Vec<u8> {
        let mut streams: BTreeMap<(&str, &str), Vec<Value>> = BTreeMap::new();
        for record in records {
            let mut text = Vec::new();
            line(record, omitted, &mut text);
            let text = String::from_utf8_lossy(text.trim_ascii_end()).into_owned();
            let stream = streams.entry((&record.facts.tenant, &record.facts.kind)).or_default();
            stream.push(json!([nanoseconds(record).to_string(), text]));
        }
        let stream = |((tenant, kind), values): ((&str, &str), Vec<Value>)| {
            let own = [("service_name", "sidegate"), ("tenant", tenant), ("kind", kind)];
            let mut labels: BTreeMap<&str, &str> = own.into();
            labels.extend(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            json!({"stream": labels, "values": values})
        };
        json!({"streams": streams.into_iter().map(stream).collect::<Vec<_>>()}).to_string().into_bytes()
    }
}

/// The record's time, which has milliseconds; its number in the chain tells apart those of the same one, so that they
/// keep their order. A copy has the same time and text, and Loki drops it.
fn nanoseconds(record: &Record) -> i64 {
    record.facts.at.saturating_mul(1_000_000).saturating_add(record.seq % 1_000_000)
}

#[cfg(test)]
mod tests;
