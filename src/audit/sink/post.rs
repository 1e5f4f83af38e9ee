//! Batches of records by HTTP POST: what `http` and `otlp` share. Knows nothing of what a body means.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::config::SinkConfig;
use super::table::Undelivered;
use crate::outbound::{Guard, Limits, Outbound};
use crate::record::Record;

/// What every kind that posts goes by.
pub(super) const KEYS: [&str; 12] = [
    "url",
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
];

/// Bytes of an answer that are read.
const ANSWER: usize = 256 << 10;
/// The longest wait that a receiver may ask for: whoever calls counts meanwhile how far behind it is, and is to know.
const PATIENCE: Duration = Duration::from_secs(60);
/// Characters of a refusal's text that are shown.
const SHOWN: usize = 200;
const LEAST_BATCH: usize = 16 << 10;

/// How records become a body.
pub(super) trait Body: Send + Sync {
    /// The media type.
    fn content_type(&self) -> &'static str;

    /// The body of `records`. Where `omitted` is set, of each only what stands for one that is left out.
    fn body(&self, records: &[Arc<Record>], omitted: bool) -> Vec<u8>;

    /// Reads an answer with which the receiver took `records`.
    fn answered(&self, _records: &[Arc<Record>], _answer: &Bytes) {}
}

/// Posts.
pub(super) struct Poster<B> {
    body: B,
    url: String,
    headers: HeaderMap,
    compress: bool,
    max_batch: usize,
    client: Outbound,
    /// The receiver asked to be left alone until then.
    quiet_until: Option<Instant>,
}

/// Why a batch was not taken.
enum Refused {
    TooLarge,
    Other(String),
}

/// What is wrong with the keys that every kind that posts has.
pub(super) fn problems(config: &SinkConfig) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut problem = |key: &str, message: String| problems.push((key.to_owned(), message));
    match Url::parse(&config.url) {
        _ if config.url.is_empty() => problem("url", "is missing; write where to post".to_owned()),
        Ok(url) if url.fragment().is_some() => problem("url", "must have no fragment".to_owned()),
        Ok(url) => {
            if let Err(refused) = Guard::operator_chosen().judge_written(&url) {
                problem("url", refused.to_string());
            }
        }
        Err(error) => problem("url", format!("is not a URL ({error})")),
    }
    for (name, value) in &config.headers {
        let key = format!("headers.{name}");
        match HeaderName::try_from(name) {
            Ok(AUTHORIZATION) => problem(&key, "is no place for a secret; use token or password".to_owned()),
            Ok(CONTENT_TYPE | CONTENT_ENCODING | USER_AGENT) => problem(&key, "is set already".to_owned()),
            Ok(_) if HeaderValue::from_str(value).is_err() => {
                problem(&key, "has a value that no header field can have".to_owned());
            }
            Ok(_) => {}
            Err(_) => problem(&key, "is not the name of a header field".to_owned()),
        }
    }
    let (token, password) = (config.token.is_some(), config.password.is_some());
    if token && (password || !config.username.is_empty()) {
        problem("token", "does not go with username and password; leave out one of them".to_owned());
    }
    if authorization(config).is_none() {
        problem("token", "holds characters that no header field can have".to_owned());
    }
    if password && config.username.is_empty() {
        problem("username", "is missing, but password is set".to_owned());
    }
    if config.username.contains(':') {
        problem("username", "must not contain a colon (RFC 7617)".to_owned());
    }
    if !password && !config.username.is_empty() {
        problem("password", "is missing, but username is set".to_owned());
    }
    if config.max_batch.0 < LEAST_BATCH {
        problem("max_batch", format!("{} is too small; write 16KiB or more", config.max_batch));
    }
    problems.extend(config.wrong_timeout());
    problems.extend(config.way().problems(&config.url));
    problems
}

/// The value of the header field, where there is to be one; none where it cannot be made.
fn authorization(config: &SinkConfig) -> Option<Option<HeaderValue>> {
    let text = match (&config.token, &config.password) {
        (Some(token), _) => Zeroizing::new(format!("Bearer {}", token.expose())),
        (None, Some(password)) => {
            let pair = Zeroizing::new(format!("{}:{}", config.username, password.expose()));
            Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
        }
        (None, None) => return Some(None),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(Some(value))
}

impl<B: Body> Poster<B> {
    /// An error names the key and the remedy.
    pub fn open(config: &SinkConfig, body: B) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let wrong = || format!("headers.{name}: cannot be used");
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type()));
        let agent = concat!("sidegate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if config.compress {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(value) = authorization(config).ok_or("token: cannot be used")? {
            headers.insert(AUTHORIZATION, value);
        }
        let timeout = config.timeout.0;
        let limits =
            Limits { deadline: timeout, connect: timeout.min(Duration::from_secs(10)), body: ANSWER };
        let client = Outbound::open(Guard::operator_chosen(), limits, config.way());
        Ok(Self {
            body,
            url: config.url.clone(),
            headers,
            compress: config.compress,
            max_batch: config.max_batch.0,
            client: client.map_err(|error| error.to_string())?,
            quiet_until: None,
        })
    }

    /// Posts all of `records` in order, in as many batches as they need.
    pub async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        if let Some(until) = self.quiet_until {
            tokio::time::sleep_until(until).await;
            self.quiet_until = None;
        }
        let mut taken = 0;
        while let Some(rest) = records.get(taken..).filter(|rest| !rest.is_empty()) {
            let batch = rest.get(..self.fitting(rest)).unwrap_or(rest);
            match self.post(batch, false).await {
                Ok(()) => taken += batch.len(),
                // Halved until it is taken, and from then on.
                Err(Refused::TooLarge) if batch.len() > 1 => {
                    self.max_batch = batch.iter().map(|record| size(record)).sum::<usize>() / 2;
                }
                Err(Refused::TooLarge) => {
                    self.post_omitted(batch).await.map_err(|why| Undelivered { taken, why })?;
                    taken += 1;
                }
                Err(Refused::Other(why)) => return Err(Undelivered { taken, why }),
            }
        }
        Ok(())
    }

    /// How many from the first of `records` make a batch, one at least.
    fn fitting(&self, records: &[Arc<Record>]) -> usize {
        let mut bytes = 0;
        let fits = |record: &&Arc<Record>| {
            bytes += size(record);
            bytes <= self.max_batch
        };
        records.iter().take_while(fits).count().max(1)
    }

    /// A record that is too large on its own would keep all after it for ever: its digest goes in its place.
    async fn post_omitted(&mut self, batch: &[Arc<Record>]) -> Result<(), String> {
        match self.post(batch, true).await {
            Ok(()) => {
                let id = batch.first().map(|record| record.id());
                tracing::warn!(record = ?id, "the receiver refuses a record as too large: its digest is sent in its place");
                Ok(())
            }
            Err(Refused::TooLarge) => Err("the receiver answered 413 to a single record's digest".to_owned()),
            Err(Refused::Other(why)) => Err(why),
        }
    }

    async fn post(&mut self, batch: &[Arc<Record>], omitted: bool) -> Result<(), Refused> {
        let body = self.body.body(batch, omitted);
        let body = if self.compress { compressed(body).await.map_err(Refused::Other)? } else { body };
        let mut request = Request::post(&self.url)
            .body(Bytes::from(body))
            .map_err(|_| Refused::Other("url: cannot be used".to_owned()))?;
        *request.headers_mut() = self.headers.clone();
        let answer = match self.client.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                // Perhaps for a certificate that was renewed since.
                if error.is_unsent()
                    && let Err(error) = self.client.reload()
                {
                    return Err(Refused::Other(error.to_string()));
                }
                return Err(Refused::Other(error.to_string()));
            }
        };
        match answer.status() {
            status if status.is_success() => {
                self.body.answered(batch, answer.body());
                Ok(())
            }
            StatusCode::PAYLOAD_TOO_LARGE => Err(Refused::TooLarge),
            _ => {
                self.quiet_until = retry_after(&answer).map(|wait| Instant::now() + wait);
                Err(Refused::Other(self.refusal(&answer)))
            }
        }
    }

    /// The status, and the first of what the receiver said, unless it repeats what is secret.
    fn refusal(&self, answer: &Response<Bytes>) -> String {
        let status = answer.status().as_u16();
        let text = String::from_utf8_lossy(answer.body());
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().filter(|char| !char.is_control()).take(SHOWN).collect();
        let secret = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let secret = secret.and_then(|value| value.split_once(' ')).map(|(_, secret)| secret);
        let told = secret.is_some_and(|secret| text.contains(secret));
        if text.is_empty() || told {
            format!("the receiver answered {status}")
        } else {
            format!("the receiver answered {status}: {text}")
        }
    }
}

/// About how long its line is.
fn size(record: &Record) -> usize {
    const PLACE: usize = 140;
    record.facts.body.len() + PLACE
}

/// The wait that a 429 or 503 asks for in seconds (RFC 9110 section 10.2.3). Of a date only the carrier's own pause is left.
fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let wait = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(wait).min(PATIENCE))
}

async fn compressed(body: Vec<u8>) -> Result<Vec<u8>, String> {
    let compress = move || {
        let mut to = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
        to.write_all(&body)?;
        to.finish()
    };
    let done: Result<std::io::Result<_>, _> = tokio::task::spawn_blocking(compress).await;
    done.map_err(|_| "the batch was not compressed".to_owned())?.map_err(|error| error.to_string())
}
