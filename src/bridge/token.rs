//! The token that the server is called with: read or asked for when it is needed, renewed ahead of its end, and once
//! where the server refuses it.
//!
//! What a token says of itself is read without any check, and only for when it ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::issuer::Issuer;
use crate::clock::{Clock, Millis};
use crate::outbound::Outbound;
use crate::secret::Secret;

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The server asks for none.
    None,
    /// `sh -c` of this prints one.
    Command(String),
    /// It is in this file, which somebody else keeps fresh.
    File(PathBuf),
    /// The server's own issuer gives one for these credentials (RFC 6749 section 4.4).
    Client(Client),
}

/// A client of the issuer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Where its secret is.
    pub secret_file: PathBuf,
    /// What it asks for, instead of what the server says it needs.
    pub scope: Option<String>,
}

/// A token is not used in the last part of its life, at most this long.
const AHEAD: Millis = 60_000;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest token, in bytes.
const LONGEST: usize = 64 << 10;

/// A token and when it is to be replaced, in Unix milliseconds.
#[derive(Clone)]
struct Token {
    text: Secret,
    until: Option<Millis>,
}

/// The tokens of one server.
pub struct Tokens {
    source: Source,
    issuer: Issuer,
    clock: Clock,
    // Held while one is fetched, so that all wait for the same.
    current: Mutex<Option<Token>>,
}

impl Tokens {
    pub fn new(source: Source, server: Url, http: Outbound, clock: Clock) -> Self {
        Self { source, issuer: Issuer::new(server, http), clock, current: Mutex::default() }
    }

    /// The token to call with; none where the server is called without.
    ///
    /// # Errors
    /// In words that name the option; never with a word of a token or secret.
    pub async fn get(&self) -> Result<Option<Secret>, String> {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        let lasts = |token: &Token| token.until.is_none_or(|until| now < until);
        // A file is read each time: whoever keeps it fresh does not say when.
        if let (Some(token), false) = (current.as_ref().filter(|token| lasts(token)), self.is_a_file()) {
            return Ok(Some(token.text.clone()));
        }
        *current = self.fetch(now).await?;
        Ok(current.as_ref().map(|token| token.text.clone()))
    }

    /// Another token than `refused`; none where there is no other.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn another(&self, refused: Option<&Secret>) -> Result<Option<Secret>, String> {
        let mut current = self.current.lock().await;
        let known = current.as_ref().map(|token| &token.text);
        if known != refused && known.is_some() {
            return Ok(known.cloned());
        }
        *current = self.fetch(self.clock.now()).await?;
        let other = current.as_ref().map(|token| &token.text);
        Ok(other.filter(|other| Some(*other) != refused).cloned())
    }

    fn is_a_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    async fn fetch(&self, now: Millis) -> Result<Option<Token>, String> {
        let (text, lives) = match &self.source {
            Source::None => return Ok(None),
            Source::Command(command) => (printed_by(command).await?, None),
            Source::File(file) => (read(file, "--token-file").await?, None),
            Source::Client(client) => {
                let secret = read(&client.secret_file, "--client-secret-file").await?;
                self.issuer.token(client, &secret).await?
            }
        };
        let token = usable(&text, &self.source)?;
        let end = match lives {
            Some(seconds) => Some(now + seconds.saturating_mul(1000)),
            None => end_of(token.expose()),
        };
        let until = end.map(|end| end - AHEAD.min((end - now).max(0) / 5));
        Ok(Some(Token { text: token, until }))
    }
}

/// `text` without what editors and other programs put around it.
fn usable(text: &Secret, source: &Source) -> Result<Secret, String> {
    let whence = match source {
        Source::None | Source::Client(_) => "the issuer",
        Source::Command(_) => "--token-command",
        Source::File(_) => "--token-file",
    };
    let token = text.expose().trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    if token.is_empty() {
        return Err(format!("{whence} gives no token"));
    }
    // RFC 6750 section 2.1: nothing else can be sent in the header.
    if token.len() > LONGEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "{whence} gives something else than a token: one line of visible ASCII is expected"
        ));
    }
    Ok(Secret::new(token))
}

async fn read(file: &Path, option: &str) -> Result<Secret, String> {
    let text = tokio::fs::read_to_string(file).await;
    text.map(Secret::new).map_err(|error| format!("{option} {}: it cannot be read: {error}", file.display()))
}

/// The command's standard output; its errors are shown as they come.
async fn printed_by(command: &str) -> Result<Secret, String> {
    let mut child = std::process::Command::new("sh");
    child.arg("-c").arg(command).stdin(Stdio::null()).stderr(Stdio::inherit());
    let ended = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || child.output())).await;
    let ended = ended.map_err(|_| format!("--token-command did not end within {} s", PATIENCE.as_secs()))?;
    let ended = ended.map_err(|_| "--token-command was interrupted".to_owned())?;
    let ended = ended.map_err(|error| format!("--token-command cannot be started: {error}"))?;
    if !ended.status.success() {
        return Err(format!("--token-command failed ({})", ended.status));
    }
    let text = String::from_utf8(ended.stdout);
    text.map(Secret::new).map_err(|_| "--token-command printed something else than text".to_owned())
}

/// When a JWT ends by what it says itself, in Unix milliseconds; none for any other token.
fn end_of(token: &str) -> Option<Millis> {
    let claims = token.split('.').nth(1).filter(|_| token.split('.').count() == 3)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Some((claims.get("exp")?.as_f64()? * 1000.0) as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::{Guard, Limits};

    fn tokens(source: Source) -> Tokens {
        // Other tests may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let limits = Limits { deadline: PATIENCE, connect: PATIENCE, body: 1 };
        let http = Outbound::new(Guard::operator_chosen(), limits).unwrap();
        Tokens::new(source, Url::parse("https://gate.example/mcp").unwrap(), http, Clock::System)
    }

    async fn got(tokens: &Tokens) -> Result<Option<String>, String> {
        tokens.get().await.map(|token| token.map(|token| token.expose().to_owned()))
    }

    /// A token that ends `seconds` from now.
    fn jwt(seconds: i64) -> String {
        let claims = serde_json::json!({"exp": Clock::System.now() / 1000 + seconds});
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[tokio::test]
    async fn a_file_is_read_each_time_and_a_command_runs_when_its_token_is_about_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "Bearer one\n").unwrap();
        let kept = tokens(Source::File(file.clone()));
        assert_eq!(got(&kept).await, Ok(Some("one".into())));
        std::fs::write(&file, "two").unwrap();
        assert_eq!(got(&kept).await, Ok(Some("two".into())));

        let counting = |token: String| {
            let log = folder.path().join(&token);
            (log.clone(), tokens(Source::Command(format!("echo x >> '{}'; echo '{token}'", log.display()))))
        };
        for (token, runs) in [("opaque".to_owned(), 1), (jwt(3600), 1), (jwt(-5), 2)] {
            let (log, tokens) = counting(token.clone());
            for _ in 0..2 {
                assert_eq!(got(&tokens).await, Ok(Some(token.clone())));
            }
            assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), runs, "{token}");
        }
    }

    #[tokio::test]
    async fn a_token_that_was_refused_is_replaced_by_another_or_by_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "one").unwrap();
        let tokens = tokens(Source::Command(format!("cat '{}'", file.display())));
        let first = tokens.get().await.unwrap();
        assert_eq!(tokens.another(first.as_ref()).await, Ok(None));
        std::fs::write(&file, "two").unwrap();
        let second = tokens.another(first.as_ref()).await.unwrap();
        assert_eq!(second.as_ref().map(Secret::expose), Some("two"));
        // Who was refused with the first meanwhile gets the same.
        assert_eq!(tokens.another(first.as_ref()).await.unwrap(), second);
    }

    #[tokio::test]
    async fn what_gives_no_token_is_told_by_its_name_and_without_its_content() {
        for (source, wrong) in [
            (Source::File("/no/such/file".into()), "--token-file /no/such/file: it cannot be read"),
            (Source::Command("echo s3cret; exit 3".into()), "--token-command failed"),
            (Source::Command("true".into()), "--token-command gives no token"),
            (Source::Command("echo s3cret s3cret".into()), "--token-command gives something else"),
        ] {
            let told = got(&tokens(source)).await.unwrap_err();
            assert!(told.starts_with(wrong) && !told.contains("s3cret"), "{told}");
        }
        assert_eq!(got(&tokens(Source::None)).await, Ok(None));
    }
}
