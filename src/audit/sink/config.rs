//! One `[[sinks]]` element: its keys, their defaults, and what can be wrong with them. What a key means is its kind's
//! business.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::table;
use crate::outbound::Transport;
use crate::secret::Secret;
use crate::units::{Size, Span};

/// One `[[sinks]]` element: where the record goes beside the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkConfig {
    /// What logs and metrics call it, and by which the store remembers how far it is; empty: its kind.
    pub name: String,
    /// Which kind: `stdout`, `file`, `syslog`, `http` or `otlp`.
    pub kind: String,
    /// `file`: where to. Its directory must exist.
    pub path: PathBuf,
    /// `file`: the size at which it is put aside and a new one begun.
    pub rotate_size: Size,
    /// `file`: the age at which the same happens, with the next record; 0s: never.
    pub rotate_age: Span,
    /// `file`: how many files that were put aside are kept.
    pub rotate_keep: u32,
    /// By gzip: `file`: files that were put aside; `http` and `otlp`: what is sent.
    pub compress: bool,
    /// `syslog`: host and port of the receiver.
    pub address: String,
    /// `syslog`: how it is reached.
    pub transport: SyslogTransport,
    /// `syslog`: the facility (RFC 5424 section 6.2.1).
    pub facility: Facility,
    /// `syslog`: what messages say for the machine's name; empty: what the machine says itself.
    pub hostname: String,
    /// `syslog`: the longest message in bytes; none: 8KiB over UDP, else 64KiB.
    pub max_message: Option<Size>,
    /// `http` and `otlp`: where to post.
    pub url: String,
    /// `http`: what the body is.
    pub format: Format,
    /// `http` with format `loki`: labels of its streams.
    pub labels: BTreeMap<String, String>,
    /// `http` and `otlp`: further header fields; no secrets.
    pub headers: BTreeMap<String, String>,
    /// `http` and `otlp`: the bearer token.
    pub token: Option<Secret>,
    /// `http` and `otlp`: for basic authentication.
    pub username: String,
    pub password: Option<Secret>,
    /// `http` and `otlp`: the most bytes of records in one request, before compression, unless one record is longer.
    pub max_batch: Size,
    /// `syslog`, `http` and `otlp`: within which the receiver must have taken a batch.
    pub timeout: Span,
    /// `syslog` over TLS, `http` and `otlp`: PEM certificates that vouch for the receiver beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that the receiver may ask of us: its chain in PEM, and the key of its first certificate.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    /// The name that the receiver's certificate must have, where that is not its host.
    pub server_name: Option<String>,
}

/// How a syslog receiver is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogTransport {
    /// RFC 5426.
    Udp,
    /// RFC 6587 section 3.4.1, octet counting.
    Tcp,
    /// RFC 5425.
    #[default]
    Tls,
}

/// The facilities, in the order of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facility {
    Kern,
    User,
    Mail,
    Daemon,
    Auth,
    Syslog,
    Lpr,
    News,
    Uucp,
    Cron,
    Authpriv,
    Ftp,
    Ntp,
    Audit,
    Alert,
    Clock,
    #[default]
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

/// What a request's body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// One array.
    Json,
    /// Loki's push format.
    Loki,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: String::new(),
            path: PathBuf::new(),
            rotate_size: Size(64 << 20),
            rotate_age: Span::seconds(0),
            rotate_keep: 10,
            compress: true,
            address: String::new(),
            transport: SyslogTransport::default(),
            facility: Facility::default(),
            hostname: String::new(),
            max_message: None,
            url: String::new(),
            format: Format::default(),
            labels: BTreeMap::new(),
            headers: BTreeMap::new(),
            token: None,
            username: String::new(),
            password: None,
            max_batch: Size(1 << 20),
            timeout: Span::seconds(30),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            server_name: None,
        }
    }
}

/// The most characters of a name.
const NAME: usize = 40;
/// What certificates and names of the way to a receiver are called.
pub(super) const TLS_KEYS: [&str; 4] = ["ca_file", "client_cert_file", "client_key_file", "server_name"];

impl SinkConfig {
    /// What it is called.
    pub fn name(&self) -> &str {
        if self.name.is_empty() { &self.kind } else { &self.name }
    }

    /// The way to the receiver.
    pub fn way(&self) -> Transport {
        Transport {
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
            server_name: self.server_name.clone(),
            unix_socket: None,
        }
    }

    /// Everything that is wrong with it, as (key, message with the remedy); no I/O.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if self.name.len() > NAME || !self.name.bytes().all(plain) {
            let message =
                format!("must be at most {NAME} of the characters a to z, 0 to 9, _ and -, such as siem");
            found.push(("name".to_owned(), message));
        }
        match table::kind(&self.kind) {
            Some(kind) => {
                found.extend(self.without_effect(kind.keys).into_iter().map(|key| {
                    let message = format!("has no effect, because kind is \"{}\"; leave it out", kind.name);
                    (key, message)
                }));
                found.extend((kind.problems)(self));
            }
            None if self.kind.is_empty() => {
                found.push(("kind".to_owned(), format!("is missing; write one of {}", table::names())));
            }
            None => found.push((
                "kind".to_owned(),
                format!("`{}` is not a kind of sink; write one of {}", self.kind, table::names()),
            )),
        }
        found
    }

    /// The keys that were given and are none of `keys`.
    fn without_effect(&self, keys: &[&str]) -> Vec<String> {
        let shown = |config: &Self| serde_json::to_value(config).unwrap_or_default();
        let (given, default) = (shown(self), shown(&Self::default()));
        let given = given.as_object().into_iter().flatten();
        let given = given.filter(|(key, value)| default.get(key.as_str()) != Some(value)).map(|(key, _)| key);
        given
            .filter(|key| !["name", "kind"].contains(&key.as_str()) && !keys.contains(&key.as_str()))
            .cloned()
            .collect()
    }

    /// What is wrong with `timeout`.
    pub(super) fn wrong_timeout(&self) -> Option<(String, String)> {
        self.timeout
            .0
            .is_zero()
            .then(|| ("timeout".to_owned(), "must be longer than 0, such as 30s".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &SinkConfig) -> Vec<String> {
        config.problems().into_iter().map(|(key, _)| key).collect()
    }

    fn sink(text: serde_json::Value) -> SinkConfig {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn each_kind_has_a_form_without_problems() {
        for good in [
            serde_json::json!({"kind": "stdout"}),
            serde_json::json!({"kind": "file", "path": "/var/log/sidegate/audit.jsonl"}),
            serde_json::json!({"kind": "syslog", "address": "siem.internal:6514", "name": "siem"}),
            serde_json::json!({"kind": "syslog", "address": "[::1]:514", "transport": "udp"}),
            serde_json::json!({"kind": "http", "url": "https://vector.internal:8080/", "token": "t"}),
            serde_json::json!({"kind": "http", "url": "http://loki:3100/loki/api/v1/push", "format": "loki"}),
            serde_json::json!({"kind": "otlp", "url": "http://collector:4318/v1/logs"}),
        ] {
            assert_eq!(sink(good.clone()).problems(), [], "{good}");
        }
        assert_eq!(sink(serde_json::json!({"kind": "file"})).name(), "file");
    }

    #[test]
    fn every_problem_is_named_with_its_key() {
        for (bad, expected) in [
            (serde_json::json!({}), vec!["kind"]),
            (serde_json::json!({"kind": "syslogd", "name": "A b"}), vec!["name", "kind"]),
            (serde_json::json!({"kind": "stdout", "path": "/a", "token": "t"}), vec!["path", "token"]),
            (
                serde_json::json!({"kind": "file", "rotate_size": 10, "rotate_keep": 0}),
                vec!["path", "rotate_size", "rotate_keep"],
            ),
            (serde_json::json!({"kind": "syslog"}), vec!["address"]),
            (serde_json::json!({"kind": "syslog", "address": "siem"}), vec!["address"]),
            (serde_json::json!({"kind": "syslog", "address": "siem:0"}), vec!["address"]),
            (
                serde_json::json!({"kind": "syslog", "address": "a:1", "transport": "tcp", "ca_file": "/a"}),
                vec!["ca_file"],
            ),
            (
                serde_json::json!({"kind": "syslog", "address": "a:1", "transport": "udp", "max_message": "64KiB"}),
                vec!["max_message"],
            ),
            (
                serde_json::json!({"kind": "syslog", "address": "a:1", "max_message": 100, "hostname": "a b"}),
                vec!["max_message", "hostname"],
            ),
            (
                serde_json::json!({"kind": "syslog", "address": "a:1", "client_cert_file": "/a"}),
                vec!["client_key_file"],
            ),
            (serde_json::json!({"kind": "http"}), vec!["url"]),
            (serde_json::json!({"kind": "http", "url": "ftp://a", "timeout": "0s"}), vec!["url", "timeout"]),
            (serde_json::json!({"kind": "http", "url": "https://u:p@a/"}), vec!["url"]),
            (
                serde_json::json!({"kind": "http", "url": "https://a/", "token": "t", "username": "u"}),
                vec!["token", "password"],
            ),
            (serde_json::json!({"kind": "http", "url": "https://a/", "token": "a\nb"}), vec!["token"]),
            (serde_json::json!({"kind": "http", "url": "https://a/", "password": "p"}), vec!["username"]),
            (serde_json::json!({"kind": "http", "url": "https://a/", "labels": {"a": "b"}}), vec!["labels"]),
            (
                serde_json::json!({"kind": "http", "url": "https://a/", "format": "loki", "labels": {"a-b": "b"}}),
                vec!["labels.a-b"],
            ),
            (
                serde_json::json!({"kind": "http", "url": "https://a/", "headers": {"authorization": "b", "a b": "c"}}),
                vec!["headers.a b", "headers.authorization"],
            ),
            (serde_json::json!({"kind": "http", "url": "https://a/", "max_batch": 10}), vec!["max_batch"]),
            (serde_json::json!({"kind": "otlp", "url": "http://collector:4318"}), vec!["url"]),
            (
                serde_json::json!({"kind": "otlp", "url": "http://collector:4318/v1/logs", "ca_file": "/a"}),
                vec!["ca_file"],
            ),
        ] {
            assert_eq!(keys(&sink(bad.clone())), expected, "{bad}");
        }
    }

    #[test]
    fn no_problem_shows_a_secret() {
        let config = sink(serde_json::json!({"kind": "stdout", "token": "hunter2\n", "password": "hunter2"}));
        assert!(!format!("{:?}{config:?}", config.problems()).contains("hunter2"));
    }
}
