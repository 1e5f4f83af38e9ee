//! A record as a syslog message (RFC 5424). Knows nothing of how it travels.

use std::fmt::Write as _;

use crate::audit::sink::config::{SinkConfig, SyslogTransport};
use crate::audit::sink::severity::Severity;
use crate::clock::rfc3339;
use crate::record::Record;

/// Names of structured data that are not registered need an enterprise number (section 7.2.2). We have none: this is
/// the one for examples (RFC 5612).
const ELEMENT: &str = "sidegate@32473";
/// What stands for what is not known.
const NIL: &str = "-";

/// Writes messages.
pub(super) struct Writer {
    facility: u8,
    hostname: String,
    /// Bytes of a message.
    most: usize,
    /// That records were too long was said in the log.
    told: bool,
}

impl Writer {
    pub fn new(config: &SinkConfig) -> Self {
        let default = if config.transport == SyslogTransport::Udp { 8 << 10 } else { 64 << 10 };
        let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let hostname = if config.hostname.is_empty() { own() } else { config.hostname.clone() };
        Self {
            facility: config.facility as u8,
            hostname: if is_name(&hostname) { hostname } else { NIL.to_owned() },
            most: config.max_message.map_or(default, |size| size.0),
            told: false,
        }
    }

    /// The message of `record`. Of one that would be too long only its place and digest are left: `omitted_bytes` in
    /// its structured data says so, the chain can still be checked, and the record itself is in the store.
    pub fn message(&mut self, record: &Record) -> Vec<u8> {
        let mut message = self.head(record, None);
        let start = message.len();
        record.write_line(&mut message);
        message.pop();
        if message.len() <= self.most {
            return message;
        }
        if !self.told {
            tracing::warn!(
                record = %record.id(), bytes = message.len(), max_message = self.most,
                "records are too long for syslog, this one the first: their digest is sent in their place"
            );
            self.told = true;
        }
        let mut short = self.head(record, Some(message.len() - start));
        record.write_omitted(&mut short);
        short.pop();
        short
    }

    fn head(&self, record: &Record, omitted: Option<usize>) -> Vec<u8> {
        let facts = &record.facts;
        let priority = self.facility * 8 + Severity::of(facts).syslog();
        let kind = if is_name(&facts.kind) { &facts.kind } else { NIL };
        let mut head = format!(
            "<{priority}>1 {} {} sidegate - {kind} [{ELEMENT} id=\"{}\" tenant=\"",
            rfc3339(facts.at),
            self.hostname,
            record.id()
        );
        escape(&facts.tenant, &mut head);
        if let Some(outcome) = &facts.outcome {
            head.push_str("\" outcome=\"");
            escape(outcome, &mut head);
        }
        if let Some(bytes) = omitted {
            // Writing to a text does not fail.
            let _ = write!(head, "\" omitted_bytes=\"{bytes}");
        }
        head.push_str("\"] ");
        head.into_bytes()
    }
}

/// Section 6.3.3.
fn escape(value: &str, into: &mut String) {
    for char in value.chars() {
        if matches!(char, '"' | '\\' | ']') {
            into.push('\\');
        }
        into.push(char);
    }
}

/// True for what may stand in a header's field: printable ASCII without spaces, up to what a host name may have.
pub(super) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sink::config::Facility;
    use crate::audit::sink::testing::{lines, records};
    use crate::record::Facts;
    use crate::units::Size;

    fn writer() -> Writer {
        Writer::new(&SinkConfig {
            hostname: "gate.example".to_owned(),
            facility: Facility::Audit,
            max_message: Some(Size(2048)),
            ..SinkConfig::default()
        })
    }

    #[test]
    fn a_message_has_the_form_of_the_specification() {
        let records = records(1, 3);
        let message = String::from_utf8(writer().message(&records[0])).unwrap();
        let line = lines(&records);
        assert_eq!(
            message,
            format!(
                "<110>1 2026-01-09T23:06:40.123Z gate.example sidegate - call [sidegate@32473 \
                 id=\"0123456789abcdef-0\" tenant=\"acme\" outcome=\"ok\"] {}",
                line.trim_end()
            )
        );
    }

    #[test]
    fn what_would_end_a_value_is_escaped() {
        let facts = Facts { tenant: "a\"]\\b".to_owned(), kind: "intent".into(), ..Facts::default() };
        let record = crate::record::Chain::begin(crate::record::ChainId(1)).append(facts);
        let message = String::from_utf8(writer().message(&record)).unwrap();
        assert!(message.contains("tenant=\"a\\\"\\]\\\\b\"] {"), "{message}");
    }

    #[test]
    fn of_a_record_that_is_too_long_its_place_and_digest_are_sent() {
        let records = records(1, 5000);
        let message = String::from_utf8(writer().message(&records[0])).unwrap();
        let mut omitted = Vec::new();
        records[0].write_omitted(&mut omitted);
        let bytes = lines(&records).trim_end().len();
        assert!(
            message.len() <= 2048 && message.contains(&format!(" omitted_bytes=\"{bytes}\"] ")),
            "{message}"
        );
        assert!(message.ends_with(String::from_utf8(omitted).unwrap().trim_end()), "{message}");
    }

    #[test]
    fn the_machine_says_its_own_name() {
        let writer = Writer::new(&SinkConfig::default());
        assert!(is_name(&writer.hostname) && writer.most == 64 << 10);
    }
}
