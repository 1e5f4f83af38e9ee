//! The `[trace]` section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::outbound::Transport;
use crate::secret::Secret;

/// Whether spans are exported, and where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// The receiver's URL (OTLP/HTTP, protobuf), with its path; none: nothing is exported.
    pub endpoint: Option<String>,
    /// Of the traces that begin here, how many are sampled: 0 to 1.
    pub sample: f64,
    /// What the receiver asks for, as `Authorization: Bearer`.
    pub token: Secret,
    /// PEM certificates that vouch for the receiver beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self { endpoint: None, sample: 1.0, token: Secret::default(), ca_file: None }
    }
}

impl TraceConfig {
    /// What is wrong within the section, as (key, message).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut say = |key: &str, message: &str| problems.push((key.to_owned(), message.to_owned()));
        // NaN is in no range.
        if !(0.0..=1.0).contains(&self.sample) {
            say("sample", "must be a ratio from 0 to 1, such as 0.1");
        }
        match &self.endpoint {
            Some(endpoint) if !is_endpoint(endpoint) => {
                say(
                    "endpoint",
                    "must be an http:// or https:// URL such as http://127.0.0.1:4318/v1/traces, without user or password",
                );
            }
            Some(endpoint) => problems.extend(self.transport().problems(endpoint)),
            None => {
                if !self.token.is_empty() {
                    say("token", "has no effect without trace.endpoint");
                }
                if self.ca_file.is_some() {
                    say("ca_file", "has no effect without trace.endpoint");
                }
            }
        }
        problems
    }

    /// The way to the receiver.
    pub(super) fn transport(&self) -> Transport {
        Transport { ca_file: self.ca_file.clone(), ..Transport::default() }
    }
}

fn is_endpoint(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut TraceConfig)) -> Vec<String> {
        let mut config =
            TraceConfig { endpoint: Some("https://otel.example/v1/traces".to_owned()), ..Default::default() };
        change(&mut config);
        config.problems().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn only_a_url_a_ratio_and_what_goes_with_them_is_taken() {
        assert!(TraceConfig::default().problems().is_empty());
        assert!(wrong(|config| config.ca_file = Some("/ca.pem".into())).is_empty());
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(wrong(|config| config.sample = ratio), ["sample"], "{ratio}");
        }
        for endpoint in ["", "otel:4318", "grpc://otel.example", "/v1/traces", "http://a:b@otel.example/"] {
            assert_eq!(
                wrong(|config| config.endpoint = Some(endpoint.to_owned())),
                ["endpoint"],
                "{endpoint}"
            );
        }
        let plain = |config: &mut TraceConfig| {
            config.endpoint = Some("http://127.0.0.1:4318/v1/traces".to_owned());
            config.ca_file = Some("/ca.pem".into());
        };
        assert_eq!(wrong(plain), ["ca_file"]);
        let without = |config: &mut TraceConfig| {
            config.endpoint = None;
            config.token = Secret::new("t");
            config.ca_file = Some("/ca.pem".into());
        };
        assert_eq!(wrong(without), ["token", "ca_file"]);
    }
}
