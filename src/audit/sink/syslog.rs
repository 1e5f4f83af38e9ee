//! Records as syslog messages (RFC 5424) over UDP, TCP or TLS.
//!
//! Syslog acknowledges nothing. Over TCP what was written last is kept and sent again after a connection broke; over
//! UDP only a receiver whose machine says that it is not there is noticed.

use super::config::{SinkConfig, SyslogTransport, TLS_KEYS};
use super::table::Kind;

mod address;
mod message;
mod stream;
mod udp;

use address::Address;
use message::Writer;

pub(super) static KIND: Kind = Kind {
    name: "syslog",
    keys: &[
        "address",
        "transport",
        "facility",
        "hostname",
        "max_message",
        "timeout",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "server_name",
    ],
    problems,
    open: |config| {
        let address: Address = config.address.parse().map_err(|why| format!("address: {why}"))?;
        let writer = Writer::new(config);
        let timeout = config.timeout.0;
        Ok(match config.transport {
            SyslogTransport::Udp => Box::new(udp::Udp::new(address, writer)),
            SyslogTransport::Tcp => Box::new(stream::Stream::new(address, writer, timeout, None)),
            SyslogTransport::Tls => {
                let way = config.way();
                // For its problems: the files are read again with each connection.
                way.tls().map_err(|error| error.to_string())?;
                Box::new(stream::Stream::new(address, writer, timeout, Some(way)))
            }
        })
    },
};

/// What a datagram can hold over IPv4.
const DATAGRAM: usize = 65_507;
/// What every receiver over UDP should take (RFC 5426 section 3.2).
const LEAST: usize = 2048;
const MOST: usize = 16 << 20;

fn problems(config: &SinkConfig) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut problem = |key: &str, message: String| problems.push((key.to_owned(), message));
    if let Err(why) = config.address.parse::<Address>() {
        problem("address", why);
    }
    let most = if config.transport == SyslogTransport::Udp { DATAGRAM } else { MOST };
    if let Some(size) = config.max_message.filter(|size| !(LEAST..=most).contains(&size.0)) {
        problem("max_message", format!("{size} is out of range; write 2KiB to {most} bytes"));
    }
    if !message::is_name(&config.hostname) && !config.hostname.is_empty() {
        problem("hostname", "must be printable ASCII without spaces".to_owned());
    }
    if config.transport == SyslogTransport::Tls {
        // The rules are those of any way over TLS.
        problems.extend(config.way().problems("https://"));
    } else {
        let shown = serde_json::to_value(config).unwrap_or_default();
        for key in TLS_KEYS.iter().filter(|key| !shown[**key].is_null()) {
            problem(key, "has no effect, because transport is not \"tls\"".to_owned());
        }
    }
    problems.extend(config.wrong_timeout());
    problems
}

#[cfg(test)]
mod tests;
